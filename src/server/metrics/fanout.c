#include "metrics/internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include <base/cleanup.h>

static void fanout_freep(struct ft_fanout **f)
{
    *f = ft_fanout_free(*f);
}

static struct ft_lane_tuning tuning_complete(struct ft_lane_tuning t, size_t lane)
{
    if (t.age_max == 0)
        t.age_max = FT_LANE_AGE_MAX;
    if (t.retry_base == 0)
        t.retry_base = FT_LANE_RETRY_BASE;
    if (t.seed == 0 && getrandom(&t.seed, sizeof(t.seed), GRND_NONBLOCK) < 0)
        t.seed = (uint64_t)rn_now();
    t.seed += lane; /* lanes must not try again in step */
    return t;
}

static int lane_add(struct ft_fanout *f, const struct ft_fanout_options *o)
{
    const struct ft_lane_tuning tuning = tuning_complete(o->tuning, f->n);
    const struct ft_lane_setup in = {
        .spec = o->exporters[f->n],
        .data_dir = o->data_dir,
        .settings = &o->lane,
        .tuning = &tuning,
        .decided = o->decided,
        .decided_arg = o->decided_arg,
        .events = o->events,
    };
    int r = ft_lane_new(&in, f->scope, &f->lanes[f->n]);

    if (r < 0)
        return r;
    f->required += ft_lane_required(f->lanes[f->n]);
    f->n++;
    return 0;
}

int ft_fanout_new(const struct ft_fanout_options *options, struct ft_fanout **ret)
{
    CLEANUP(fanout_freep) struct ft_fanout *f = calloc(1, sizeof(*f));
    int r;

    if (!f)
        return -ENOMEM;
    f->decided = options->decided;
    f->decided_arg = options->decided_arg;
    f->lanes = calloc(options->n + 1, sizeof(*f->lanes));
    f->seen = calloc(options->n + 1, sizeof(*f->seen));
    if (!f->lanes || !f->seen)
        return -ENOMEM;
    r = rn_scope_open(RN_SCOPE_WAIT_ALL, &f->scope);
    if (r < 0)
        return r;
    while (f->n < options->n) {
        r = lane_add(f, options);
        if (r < 0)
            return r;
    }
    *ret = TAKE(f);
    return 0;
}

uint32_t ft_fanout_required(const struct ft_fanout *f)
{
    return f->required;
}

void ft_fanout_offer(struct ft_fanout *f, struct ft_batch *batch)
{
    ft_batch_require(batch, f->required);
    if (f->n == 0)
        ft_ledger_move(&f->none, FT_COLUMN_offered, FT_DROPPED_no_exporter, batch->count);
    for (size_t i = 0; i < f->n; i++)
        ft_lane_offer(f->lanes[i], batch);
    if (f->required == 0 && !atomic_load_explicit(&f->stopping, memory_order_relaxed))
        f->decided(f->decided_arg, batch);
}

int ft_fanout_stop(struct ft_fanout *f, rn_time deadline)
{
    bool hangs = false;

    atomic_store_explicit(&f->stopping, true, memory_order_relaxed);
    for (size_t i = 0; i < f->n; i++)
        ft_lane_stop(f->lanes[i]);
    (void)rn_scope_deadline(f->scope, deadline);
    (void)rn_scope_wait(f->scope);
    rn_scope_closep(&f->scope); /* also when we were cancelled ourselves: then the lanes are too */
    for (size_t i = 0; i < f->n; i++)
        hangs |= ft_lane_hangs(f->lanes[i]);
    return hangs ? -ETIMEDOUT : 0;
}

struct ft_fanout *ft_fanout_free(struct ft_fanout *f)
{
    if (!f)
        return NULL;
    rn_scope_closep(&f->scope);
    for (size_t i = 0; i < f->n; i++)
        f->lanes[i] = ft_lane_free(f->lanes[i]);
    free(f->lanes);
    free(f->seen);
    free(f);
    return NULL;
}

/* ---- Questions ------------------------------------------------------------------------------ */

size_t ft_fanout_count(const struct ft_fanout *f)
{
    return f->n ? f->n : 1;
}

static void none_describe(struct ft_fanout *f, struct ft_lane_info *ret)
{
    *ret = (struct ft_lane_info){.name = "none", .type = "none", .state = FT_LANE_ok};
    ft_ledger_read(&f->none, &ret->ledger);
}

int ft_fanout_describe(struct ft_fanout *f, size_t i, struct ft_lane_info *ret)
{
    if (i >= ft_fanout_count(f))
        return -ENOENT;
    if (f->n == 0)
        none_describe(f, ret);
    else
        ft_lane_describe(f->lanes[i], ret);
    return 0;
}

int ft_fanout_find(struct ft_fanout *f, struct rn_slice name, struct ft_lane_info *ret)
{
    if (f->n == 0 && rn_slice_eq_str(name, "none"))
        return ft_fanout_describe(f, 0, ret);
    for (size_t i = 0; i < f->n; i++)
        if (rn_slice_eq_str(name, ft_lane_name(f->lanes[i])))
            return ft_fanout_describe(f, i, ret);
    return -ENOENT;
}
