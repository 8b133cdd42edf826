#include "metrics/fanout_testing.h"

#include <stdlib.h>

static void on_decided(void *arg, struct ft_batch *batch)
{
    struct fixture *x = arg;

    atomic_fetch_add(&x->decided, 1);
    atomic_store(&x->decided_last, batch->last_seq);
}

struct fixture *fixture_new(size_t n)
{
    static const char *const names[] = {"a", "b"};
    struct fixture *x = calloc(1, sizeof(*x));

    test_heap_allow(16 * 1024); /* what glibc keeps for the threads of two exporters */
    for (size_t i = 0; i < n; i++) {
        x->settings[i] = (struct fake_settings){.head = {.name = names[i], .required = i == 0},
                                                .fake = &x->fakes[i]};
        x->specs[i] = (struct ft_exporter_spec){.type = &fake_type, .settings = &x->settings[i]};
    }
    x->options = (struct ft_fanout_options){.exporters = x->specs,
                                            .n = n,
                                            .lane = ft_lane_settings_default,
                                            .tuning = {.retry_base = 10 * RN_MS, .seed = 1},
                                            .decided = on_decided,
                                            .decided_arg = x};
    return x;
}

void fixture_start(struct fixture *x)
{
    OK(ft_fanout_new(&x->options, &x->fanout));
}

void fixture_finish(struct fixture *x)
{
    OK(ft_fanout_stop(x->fanout, rn_after(20 * RN_S)));
    for (size_t i = 0; i < ft_fanout_count(x->fanout); i++) {
        EQ(fake_column(x->fanout, i, FT_COLUMN_queued), 0);
        EQ(fake_column(x->fanout, i, FT_COLUMN_in_flight), 0);
    }
    x->fanout = ft_fanout_free(x->fanout);
    for (size_t i = 0; i < x->options.n; i++)
        EQ(atomic_load(&x->fakes[i].opened), atomic_load(&x->fakes[i].closed));
    free(x);
}

struct ft_lane_info fixture_info(struct fixture *x, size_t i)
{
    struct ft_lane_info info;

    OK(ft_fanout_describe(x->fanout, i, &info));
    return info;
}

bool fixture_idle(struct fixture *x, size_t i)
{
    struct ft_ledger_view v = fake_books(x->fanout, i);

    return v.columns[FT_COLUMN_queued] == 0 && v.columns[FT_COLUMN_in_flight] == 0;
}
