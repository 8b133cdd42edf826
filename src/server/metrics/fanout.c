#include "metrics/internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include <base/cleanup.h>
#include <base/log.h>

#include "events.h"
#include "metrics/outlet.h"

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

/* ---- Sets of lanes: any thread --------------------------------------------------------------- */

struct ft_lane_set *ft_fanout_lanes(struct ft_fanout *f)
{
    rn_lock_acquire(&f->lock);
    struct ft_lane_set *s = f->set;
    atomic_fetch_add_explicit(&s->refs, 1, memory_order_relaxed);
    rn_lock_release(&f->lock);
    return s;
}

void ft_lane_set_unref(struct ft_lane_set *s)
{
    if (!s || atomic_fetch_sub_explicit(&s->refs, 1, memory_order_acq_rel) > 1)
        return;
    for (size_t i = 0; i < s->n_all; i++)
        atomic_fetch_sub_explicit(&s->items[i].record->sets, 1, memory_order_release);
    free(s->seen);
    free(s);
}

static struct ft_lane_set *set_new(size_t n_max)
{
    struct ft_lane_set *s = calloc(1, sizeof(*s) + n_max * sizeof(s->items[0]));

    if (s)
        s->seen = calloc(n_max + 1, sizeof(*s->seen));
    if (!s || !s->seen) {
        free(s);
        return NULL;
    }
    atomic_init(&s->refs, 1);
    return s;
}

/* Those that take offers first. */
static void set_add(struct ft_lane_set *s, struct ft_lane_record *record, bool takes_offers)
{
    const bool required = ft_lane_required(record->lane);

    atomic_fetch_add_explicit(&record->sets, 1, memory_order_relaxed);
    s->items[s->n_all].record = record;
    s->items[s->n_all].lane = record->lane;
    s->items[s->n_all++].required = required;
    if (takes_offers) {
        s->n++;
        s->required += required;
    }
}

/* Exchange the set if it is still `old`, which the caller holds; then the reference of `s` is
 * taken. */
static bool set_publish(struct ft_fanout *f, struct ft_lane_set *old, struct ft_lane_set *s)
{
    rn_lock_acquire(&f->lock);
    const bool still = f->set == old;
    if (still)
        f->set = s;
    rn_lock_release(&f->lock);
    ft_lane_set_unref(still ? old : NULL);
    return still;
}

/* ---- Lanes that go --------------------------------------------------------------------------- */

struct departure {
    struct ft_fanout *fanout;
    struct ft_lane_record *record;
    rn_time until;
    struct rn_rx ended;
};

/* Show it no more. */
static void lane_forget(struct ft_fanout *f, struct ft_lane_record *record)
{
    bool done = false;

    while (!done) {
        struct ft_lane_set *old = ft_fanout_lanes(f), *s = set_new(old->n_all);

        for (size_t i = 0; s && i < old->n_all; i++)
            if (old->items[i].record != record)
                set_add(s, old->items[i].record, i < old->n);
        done = !s || set_publish(f, old, s); /* without memory the next change forgets it */
        ft_lane_set_unref(done ? NULL : s);
        ft_lane_set_unref(old);
    }
}

static int departure_main(void *arg)
{
    CLEANUP(freep) struct departure *d = arg;
    struct ft_lane_record *record = d->record;
    struct ft_ledger_view books;

    int r = rn_rx_recv(d->ended, NULL, d->until);
    if (r == -ETIMEDOUT) {
        ft_lane_cut(record->lane);
        r = rn_rx_recv(d->ended, NULL, RN_FOREVER);
    }
    rn_rx_closep(&d->ended);
    if (r == -ECANCELED)
        return 0; /* all lanes end */
    ft_lane_ledger(record->lane, &books);
    log_info("exporter has drained", LOG_STR("exporter", ft_lane_name(record->lane)),
             LOG_UINT("dropped", books.columns[FT_DROPPED_shutdown]));
    atomic_store_explicit(&record->over, true, memory_order_release);
    lane_forget(d->fanout, record);
    ft_events_publish(d->fanout->events,
                      &(struct ft_event){.change = FT_EVENT_exporter_removed,
                                         .name = rn_slice_str(ft_lane_name(record->lane))});
    atomic_fetch_sub_explicit(&record->sets, 1, memory_order_release);
    return 0;
}

static int lane_leave(struct ft_fanout *f, struct ft_lane_record *record, rn_time until)
{
    struct departure *d = calloc(1, sizeof(*d));

    if (!d)
        return -ENOMEM;
    *d = (struct departure){f, record, until, ft_lane_ended(record->lane)};
    atomic_fetch_add_explicit(&record->sets, 1, memory_order_relaxed);
    int r = rn_go(f->scope, departure_main, d, (struct rn_end[]){rn_end_rx(d->ended)}, 1);
    if (r < 0) {
        atomic_fetch_sub_explicit(&record->sets, 1, memory_order_relaxed);
        free(d);
        return r;
    }
    ft_lane_drain(record->lane);
    record->draining = true;
    return 0;
}

static void record_free(struct ft_lane_record *record)
{
    list_remove(&record->in_fanout);
    record->lane = ft_lane_free(record->lane);
    (void)ft_yaml_free(record->spec.yaml);
    free(record);
}

/* Free what has drained and nobody looks at any more. */
static void lanes_reap(struct ft_fanout *f)
{
    struct ft_lane_record *record, *next;

    LIST_EACH_SAFE(record, next, &f->lanes, in_fanout)
    {
        if (!atomic_load_explicit(&record->over, memory_order_acquire) ||
            atomic_load_explicit(&record->sets, memory_order_acquire) > 0)
            continue;
        f->left_hanging |= ft_lane_hangs(record->lane);
        record_free(record);
    }
}

/* ---- Changing: the maker's task -------------------------------------------------------------- */

static int lane_add(struct ft_fanout *f, const struct ft_exporter_spec *spec,
                    const struct ft_lane_settings *settings, struct ft_lane_record **ret)
{
    const struct ft_lane_tuning tuning = tuning_complete(f->tuning, f->made);
    const struct ft_lane_setup in = {
        .spec = *spec,
        .data_dir = f->data_dir,
        .settings = settings,
        .tuning = &tuning,
        .decided = f->decided,
        .decided_arg = f->decided_arg,
        .events = f->events,
    };
    struct ft_lane_record *record = calloc(1, sizeof(*record));

    if (!record)
        return -ENOMEM;
    int r = ft_lane_new(&in, f->scope, &record->lane);
    if (r < 0) {
        free(record);
        return r;
    }
    record->spec = *spec;
    (void)ft_yaml_ref(spec->yaml);
    list_add_tail(&f->lanes, &record->in_fanout);
    f->made++;
    *ret = record;
    return 0;
}

static int lane_change(struct ft_fanout *f, struct ft_lane_record *record,
                       const struct ft_exporter_spec *spec)
{
    struct ft_outlet *next;
    int r = ft_outlet_new(spec, f->data_dir, &next);

    if (r < 0)
        return r;
    (void)ft_yaml_ref(spec->yaml);
    (void)ft_yaml_free(record->spec.yaml);
    record->spec = *spec;
    ft_lane_replace(record->lane, next, ft_exporter_spec_head(spec)->required);
    return 0;
}

/* The lane of this name that is not over. */
static struct ft_lane_record *record_find(struct ft_fanout *f, const char *name)
{
    struct ft_lane_record *record;

    LIST_EACH(record, &f->lanes, in_fanout)
    if (!atomic_load_explicit(&record->over, memory_order_relaxed) &&
        strcmp(ft_lane_name(record->lane), name) == 0)
        return record;
    return NULL;
}

/* One exporter as it shall be. 0, or it stays as it was; *ret_record is NULL where there is none.
 */
static int lane_follow(struct ft_fanout *f, const struct ft_exporter_spec *spec,
                       const struct ft_lane_settings *settings, struct ft_lane_record **ret_record,
                       struct ft_text_list *news)
{
    const char *name = ft_exporter_spec_head(spec)->name;
    struct ft_lane_record *record = record_find(f, name);
    const char *what = "changed";
    int r = 0;

    *ret_record = NULL;
    if (record && record->draining) {
        ft_text_list_add(news, "still draining: %s", name);
        return -EBUSY;
    }
    if (!record) {
        what = "added";
        r = lane_add(f, spec, settings, &record);
    } else {
        ft_lane_tune(record->lane, settings);
        if (ft_exporter_same(&record->spec, spec))
            what = NULL;
        else
            r = lane_change(f, record, spec);
    }
    if (r < 0)
        ft_text_list_add(news, "no memory for %s", name);
    else if (what)
        ft_text_list_add(news, "%s %s", what, name);
    *ret_record = record;
    return r;
}

/* A set in which `wanted` take offers, and whoever else there is drains. */
static struct ft_lane_set *set_make(struct ft_fanout *f, struct ft_lane_record *const *wanted,
                                    size_t n)
{
    struct ft_lane_set *s = set_new(list_count(&f->lanes));
    struct ft_lane_record *record;

    for (size_t i = 0; s && i < n; i++)
        set_add(s, wanted[i], true);
    LIST_EACH(record, &f->lanes, in_fanout)
    {
        bool drains = !atomic_load_explicit(&record->over, memory_order_acquire);

        for (size_t i = 0; drains && i < n; i++)
            drains = wanted[i] != record;
        if (s && drains)
            set_add(s, record, false);
    }
    return s;
}

/* From now on `wanted` take the offers. A lane that has drained may leave the set at the same time.
 */
static int lanes_publish(struct ft_fanout *f, struct ft_lane_record *const *wanted, size_t n)
{
    bool done = false;

    while (!done) {
        struct ft_lane_set *old = ft_fanout_lanes(f), *s = set_make(f, wanted, n);

        done = s && set_publish(f, old, s);
        ft_lane_set_unref(old);
        if (!s)
            return -ENOMEM;
        if (!done)
            ft_lane_set_unref(s);
    }
    return 0;
}

static bool is_wanted(const struct ft_fanout_options *o, const struct ft_lane_record *record)
{
    for (size_t i = 0; i < o->n; i++)
        if (strcmp(ft_exporter_spec_head(&o->exporters[i])->name, ft_lane_name(record->lane)) == 0)
            return true;
    return false;
}

static int leave_unwanted(struct ft_fanout *f, const struct ft_fanout_options *o, rn_time until,
                          struct ft_text_list *news)
{
    struct ft_lane_record *record;
    int r = 0;

    LIST_EACH(record, &f->lanes, in_fanout)
    {
        if (record->draining || is_wanted(o, record))
            continue;
        int e = lane_leave(f, record, until);
        ft_text_list_add(news, "%s %s", e < 0 ? "no memory to remove" : "removed",
                         ft_lane_name(record->lane));
        r = r < 0 ? r : e;
    }
    return r;
}

int ft_fanout_change(struct ft_fanout *f, const struct ft_fanout_options *options,
                     rn_time drain_until, struct ft_text_list *ret_news)
{
    CLEANUP(freep) struct ft_lane_record **wanted = calloc(options->n + 1, sizeof(*wanted));
    size_t n = 0;
    int r = 0;

    *ret_news = (struct ft_text_list){.len = 0};
    if (!wanted)
        return -ENOMEM;
    lanes_reap(f);
    for (size_t i = 0; i < options->n; i++) {
        int e = lane_follow(f, &options->exporters[i], &options->lane, &wanted[n], ret_news);

        n += wanted[n] != NULL;
        r = r < 0 ? r : e;
    }
    int e = lanes_publish(f, wanted, n);
    if (e == 0)
        e = leave_unwanted(f, options, drain_until, ret_news);
    return r < 0 ? r : e;
}

int ft_fanout_new(const struct ft_fanout_options *options, struct ft_fanout **ret)
{
    CLEANUP(fanout_freep) struct ft_fanout *f = calloc(1, sizeof(*f));
    struct ft_text_list news;
    int r;

    if (!f)
        return -ENOMEM;
    list_init(&f->lanes);
    f->decided = options->decided;
    f->decided_arg = options->decided_arg;
    f->events = options->events;
    f->data_dir = options->data_dir;
    f->tuning = options->tuning;
    f->set = set_new(0);
    if (!f->set)
        return -ENOMEM;
    r = rn_scope_open(RN_SCOPE_WAIT_ALL, &f->scope);
    if (r == 0)
        r = ft_fanout_change(f, options, 0, &news);
    if (r < 0)
        return r;
    *ret = TAKE(f);
    return 0;
}

/* ---- Offering -------------------------------------------------------------------------------- */

void ft_fanout_offer(struct ft_fanout *f, struct ft_batch *batch)
{
    struct ft_lane_set *s = ft_fanout_lanes(f);

    ft_batch_require(batch, s->required);
    if (s->n == 0)
        ft_ledger_move(&f->none, FT_COLUMN_offered, FT_DROPPED_no_exporter, batch->count);
    for (size_t i = 0; i < s->n; i++)
        ft_lane_offer(s->items[i].lane, batch, s->items[i].required);
    if (s->required == 0 && !atomic_load_explicit(&f->stopping, memory_order_relaxed))
        f->decided(f->decided_arg, batch);
    ft_lane_set_unref(s);
}

/* ---- The end: the maker's task --------------------------------------------------------------- */

int ft_fanout_stop(struct ft_fanout *f, rn_time deadline)
{
    struct ft_lane_record *record;
    bool hangs = f->left_hanging;

    atomic_store_explicit(&f->stopping, true, memory_order_relaxed);
    LIST_EACH(record, &f->lanes, in_fanout)
    ft_lane_stop(record->lane);
    (void)rn_scope_deadline(f->scope, deadline);
    (void)rn_scope_wait(f->scope);
    rn_scope_closep(&f->scope); /* also when we were cancelled ourselves: then the lanes are too */
    LIST_EACH(record, &f->lanes, in_fanout)
    hangs |= ft_lane_hangs(record->lane);
    return hangs ? -ETIMEDOUT : 0;
}

struct ft_fanout *ft_fanout_free(struct ft_fanout *f)
{
    struct ft_lane_record *record, *next;

    if (!f)
        return NULL;
    rn_scope_closep(&f->scope);
    ft_lane_set_unref(f->set);
    LIST_EACH_SAFE(record, next, &f->lanes, in_fanout)
    record_free(record);
    free(f);
    return NULL;
}

/* ---- Questions ------------------------------------------------------------------------------ */

size_t ft_fanout_count(struct ft_fanout *f)
{
    struct ft_lane_set *s = ft_fanout_lanes(f);
    const size_t n = ft_lane_set_count(s);

    ft_lane_set_unref(s);
    return n;
}

static void item_describe(struct ft_fanout *f, const struct ft_lane_set *s, size_t i,
                          struct ft_lane_info *ret)
{
    if (i < s->n_all) {
        ft_lane_describe(s->items[i].lane, ret);
        return;
    }
    *ret = (struct ft_lane_info){.name = "none", .type = "none", .state = FT_LANE_ok};
    ft_ledger_read(&f->none, &ret->ledger);
}

int ft_fanout_describe(struct ft_fanout *f, size_t i, struct ft_lane_info *ret)
{
    struct ft_lane_set *s = ft_fanout_lanes(f);
    const bool there = i < ft_lane_set_count(s);

    if (there)
        item_describe(f, s, i, ret);
    ft_lane_set_unref(s);
    return there ? 0 : -ENOENT;
}

int ft_fanout_find(struct ft_fanout *f, struct rn_slice name, struct ft_lane_info *ret)
{
    struct ft_lane_set *s = ft_fanout_lanes(f);
    const size_t n = ft_lane_set_count(s);
    size_t i = 0;

    while (i < n && !rn_slice_eq_str(name, i < s->n_all ? ft_lane_name(s->items[i].lane) : "none"))
        i++;
    if (i < n)
        item_describe(f, s, i, ret);
    ft_lane_set_unref(s);
    return i < n ? 0 : -ENOENT;
}
