/* Other exporters while the fanout runs: lanes that are added, changed and removed, and their
 * books. */
#include "metrics/fanout_testing.h"

#include <pthread.h>
#include <string.h>

#include "events.h"

/* The exporters shall be these. */
static int change_to(struct fixture *x, const struct ft_exporter_spec *specs, size_t n,
                     rn_time drain, struct ft_text_list *news)
{
    struct ft_fanout_options o = x->options;

    o.exporters = specs;
    o.n = n;
    return ft_fanout_change(x->fanout, &o, rn_after(drain), news);
}

TASK_TEST(a_changed_exporter_takes_over_what_its_lane_holds_and_nothing_is_lost)
{
    struct fixture *x = fixture_new(2);
    struct fake_settings settings = x->settings[0];
    struct ft_exporter_spec spec = {.type = &fake_slow_type, .settings = &settings};
    struct ft_text_list news;

    x->options.n = 1;
    settings.fake = &x->fakes[1];
    atomic_store(&x->fakes[0].temper, FAKE_HOLDS);
    fixture_start(x);
    for (uint64_t i = 0; i < 10; i++)
        fake_offer(x->fanout, 1 + 3 * i, 3);
    TASK_UNTIL(fixture_info(x, 0).state == FT_LANE_holding);
    OK(change_to(x, &spec, 1, RN_S, &news));
    STREQ(news.text, "changed a");
    TASK_UNTIL(fake_column(x->fanout, 0, FT_COLUMN_delivered) >= 28); /* 7 make a send due */
    EQ(fake_column(x->fanout, 0, FT_COLUMN_offered), 30);
    EQ(atomic_load(&x->fakes[0].opened), atomic_load(&x->fakes[0].closed));
    EQ(atomic_load(&x->fakes[0].stored), 0);
    OK(change_to(x, &spec, 1, RN_S, &news));
    STREQ(news.text, ""); /* the same again is no change */
    OK(ft_fanout_stop(x->fanout, rn_after(20 * RN_S)));
    EQ(fake_column(x->fanout, 0, FT_COLUMN_delivered), 30);
    EQ(atomic_load(&x->decided), 10);
    x->fanout = ft_fanout_free(x->fanout);
    free(x);
}

TASK_TEST(an_exporter_that_cannot_be_opened_is_replaced_too)
{
    struct fixture *x = fixture_new(1);
    struct fake_settings settings = x->settings[0];
    struct ft_exporter_spec spec = {.type = &fake_type, .settings = &settings};
    struct ft_text_list news;

    settings.fake = &x->fakes[1];
    atomic_store(&x->fakes[0].shut, true);
    fixture_start(x);
    fake_offer(x->fanout, 1, 3);
    TASK_UNTIL(fixture_info(x, 0).state != FT_LANE_starting);
    OK(change_to(x, &spec, 1, RN_S, &news));
    TASK_UNTIL(fake_column(x->fanout, 0, FT_COLUMN_delivered) == 3);
    EQ(atomic_load(&x->fakes[0].opened), 0);
    fixture_finish(x);
}

TASK_TEST(an_exporter_that_is_removed_drains_and_then_is_not_shown_any_more)
{
    struct fixture *x = fixture_new(2);
    struct ft_text_list news;

    atomic_store(&x->fakes[1].temper, FAKE_HOLDS);
    fixture_start(x);
    fake_offer(x->fanout, 1, 3);
    TASK_UNTIL(fixture_info(x, 1).state == FT_LANE_holding);
    OK(change_to(x, x->specs, 1, 20 * RN_S, &news));
    STREQ(news.text, "removed b");
    EQ(ft_fanout_count(x->fanout), 2);
    TRUE(fixture_info(x, 1).draining);
    fake_offer(x->fanout, 4, 3); /* not for b */
    EQ(fake_column(x->fanout, 1, FT_COLUMN_offered), 3);
    ERR(change_to(x, x->specs, 2, RN_S, &news), EBUSY);
    STREQ(news.text, "still draining: b");
    atomic_store(&x->fakes[1].temper, FAKE_TAKES);
    TASK_UNTIL(ft_fanout_count(x->fanout) == 1);
    EQ(atomic_load(&x->fakes[1].stored), 3);
    OK(change_to(x, x->specs, 2, RN_S, &news));
    STREQ(news.text, "added b");
    fake_offer(x->fanout, 7, 3);
    TASK_UNTIL(fake_column(x->fanout, 1, FT_COLUMN_delivered) == 3);
    EQ(fake_column(x->fanout, 1, FT_COLUMN_offered), 3); /* books of its own */
    TASK_UNTIL(fixture_idle(x, 0));
    EQ(atomic_load(&x->decided), 3);
    fixture_finish(x);
}

TASK_TEST(a_removed_exporter_that_cannot_be_opened_does_not_drain_when_it_has_nothing)
{
    struct fixture *x = fixture_new(2);
    struct ft_text_list news;

    atomic_store(&x->fakes[1].shut, true);
    fixture_start(x);
    TASK_UNTIL(fixture_info(x, 1).state != FT_LANE_starting);
    OK(change_to(x, x->specs, 1, 3600 * RN_S, &news));
    STREQ(news.text, "removed b");
    TASK_UNTIL(ft_fanout_count(x->fanout) == 1);
    OK(change_to(x, x->specs, 2, RN_S, &news)); /* and may come again */
    fake_offer(x->fanout, 1, 3);
    OK(change_to(x, x->specs, 1, 3600 * RN_S, &news));
    TASK_UNTIL(fixture_info(x, 1).last_error.text[0]);
    EQ(fake_column(x->fanout, 1, FT_COLUMN_queued), 3); /* now it has something, so it tries */
    atomic_store(&x->fakes[1].shut, false);
    TASK_UNTIL(ft_fanout_count(x->fanout) == 1);
    EQ(atomic_load(&x->fakes[1].stored), 3);
    fixture_finish(x);
}

TASK_TEST(what_a_removed_required_exporter_could_not_send_in_time_is_decided)
{
    struct fixture *x = fixture_new(2);
    struct ft_text_list news;

    atomic_store(&x->fakes[0].temper, FAKE_FAILS);
    fixture_start(x);
    for (uint64_t i = 0; i < 200; i++)
        fake_offer(x->fanout, 1 + i, 1);
    TASK_UNTIL(fake_column(x->fanout, 0, FT_COLUMN_in_flight) > 0);
    OK(change_to(x, x->specs + 1, 1, 10 * RN_MS, &news));
    STREQ(news.text, "removed a");
    TASK_UNTIL(ft_fanout_count(x->fanout) == 1);
    TASK_UNTIL(atomic_load(&x->decided) == 200);
    STREQ(fixture_info(x, 0).name, "b");
    fake_offer(x->fanout, 201, 1);
    EQ(atomic_load(&x->decided), 201); /* at once: nobody has to decide any more */
    fixture_finish(x);
}

TASK_TEST(the_last_exporter_goes_and_offers_are_counted_as_discarded)
{
    struct fixture *x = fixture_new(1);
    struct ft_text_list news;

    fixture_start(x);
    fake_offer(x->fanout, 1, 3);
    TASK_UNTIL(fixture_idle(x, 0));
    OK(change_to(x, NULL, 0, RN_S, &news));
    TASK_UNTIL(ft_fanout_count(x->fanout) == 1);
    STREQ(fixture_info(x, 0).name, "none");
    fake_offer(x->fanout, 4, 3);
    EQ(fake_column(x->fanout, 0, FT_DROPPED_no_exporter), 3);
    OK(change_to(x, x->specs, 1, RN_S, &news));
    fake_offer(x->fanout, 7, 3);
    TASK_UNTIL(fake_column(x->fanout, 0, FT_COLUMN_delivered) == 3);
    EQ(atomic_load(&x->decided), 3);
    fixture_finish(x);
}

TASK_TEST(exporters_change_while_samples_flow_and_every_batch_is_decided_once)
{
    struct fixture *x = fixture_new(2);
    struct ft_text_list news;
    uint64_t seq = 1;

    fixture_start(x);
    for (unsigned round = 0; round < 60; round++) {
        const size_t n = round % 3;
        int r = change_to(x, x->specs + (n == 1 ? round % 2 : 0), n, RN_S, &news);

        TRUE(r == 0 || r == -EBUSY);
        for (unsigned i = 0; i < 20; i++, seq += 2)
            fake_offer(x->fanout, seq, 2);
        OK(rn_sleep(rn_after(RN_MS)));
    }
    TASK_UNTIL(change_to(x, x->specs, 2, RN_S, &news) == 0);
    TASK_UNTIL(atomic_load(&x->decided) == 60 * 20);
    fixture_finish(x);
}

struct load {
    struct fixture *x;
    _Atomic bool over;
    _Atomic uint64_t offered; /* batches */
};

static void load_offer(struct load *l)
{
    CLEANUP(ft_batch_unrefp) struct ft_batch *b = NULL;
    const struct ft_uuid id = fake_uuid(1);
    const uint64_t seq = 1 + 2 * (atomic_fetch_add(&l->offered, 1) % (FAKE_SEQ_MAX / 4));
    const struct ft_sample samples[] = {fake_sample(seq), fake_sample(seq + 1)};

    OK(ft_batch_new_from(&id, &id, samples, 2, &b));
    ft_fanout_offer(l->x->fanout, b);
}

static int load_offers(void *arg)
{
    struct load *l = arg;

    while (!atomic_load(&l->over)) {
        for (unsigned i = 0; i < 8; i++)
            load_offer(l);
        OK(rn_yield());
    }
    return 0;
}

/* As the debug window does: from a thread of another runtime. */
static void *load_looks(void *arg)
{
    struct load *l = arg;

    while (!atomic_load(&l->over)) {
        CLEANUP(rnet_metrics_freep) struct rnet_metrics *m = NULL;

        OK(rnet_metrics_new(&m));
        ft_fanout_collect(l->x->fanout, m);
    }
    return NULL;
}

TASK_TEST(exporters_change_under_load_while_another_thread_looks_at_their_books)
{
    CLEANUP(ft_events_freep) struct ft_events *events = NULL;
    struct fixture *x = fixture_new(2);
    struct load load = {.x = x};
    struct ft_text_list news;
    struct rn_scope scope;
    pthread_t looks;
    unsigned changes = 0;

    test_heap_allow(1024 * 1024);
    OK(ft_events_new(NULL, &events));
    x->options.events = events;
    fixture_start(x);
    OK(rn_scope_open(RN_SCOPE_WAIT_ALL, &scope));
    for (int i = 0; i < 3; i++)
        OK(rn_go(scope, load_offers, &load, NULL, 0));
    EQ(pthread_create(&looks, NULL, load_looks, &load), 0);
    for (unsigned round = 0; round < 300; round++) {
        const size_t n = round % 5 ? 1 + round % 2 : 0;

        x->specs[0].type = round % 3 ? &fake_type : &fake_slow_type;
        int r = change_to(x, x->specs + (n == 1 ? round % 4 / 2 : 0), n, 20 * RN_S, &news);
        TRUE(r == 0 || r == -EBUSY);
        changes += r == 0;
        OK(rn_sleep(rn_after(RN_MS / 2)));
    }
    GT(changes, 10);
    atomic_store(&load.over, true);
    EQ(pthread_join(looks, NULL), 0);
    OK(rn_scope_wait(scope));
    OK(rn_scope_close(scope));
    x->specs[0].type = &fake_type;
    TASK_UNTIL(change_to(x, x->specs, 2, RN_S, &news) == 0);
    TASK_UNTIL(atomic_load(&x->decided) == atomic_load(&load.offered));
    fixture_finish(x);
}

/* What the events say of exporter `name`: its states, and "removed". */
static void told_of(struct ft_events *e, const char *name, char *ret, size_t size)
{
    struct ft_event_copy copy;
    size_t place, len = 0;

    ret[0] = '\0';
    OK(ft_events_join(e, RNET_CONN_NONE, &place));
    for (uint64_t i = 1; i <= ft_events_last(e); i++) {
        EQ(ft_events_read(e, place, i, &copy), 1);
        if (rn_slice_eq_str(copy.event.name, name))
            len += (size_t)snprintf(ret + len, size - len, " %s",
                                    copy.event.change == FT_EVENT_exporter_removed
                                        ? "removed"
                                        : ft_lane_state_name(copy.event.state));
    }
    ft_events_leave(e, place);
}

static bool was_told(struct ft_events *e, const char *name, const char *what)
{
    char told[256];

    told_of(e, name, told, sizeof(told));
    return strcmp(told, what) == 0;
}

TASK_TEST(who_follows_events_learns_that_a_reload_changed_added_and_removed_exporters)
{
    CLEANUP(ft_events_freep) struct ft_events *events = NULL;
    struct fixture *x = fixture_new(2);
    struct fake_settings settings = x->settings[0];
    struct ft_exporter_spec changed = {.type = &fake_slow_type, .settings = &settings};
    struct ft_text_list news;

    OK(ft_events_new(NULL, &events));
    x->options.events = events;
    x->options.n = 1;
    fixture_start(x);
    TASK_UNTIL(was_told(events, "a", " ok"));
    OK(change_to(x, &changed, 1, RN_S, &news));
    TASK_UNTIL(was_told(events, "a", " ok starting ok"));
    OK(change_to(x, x->specs + 1, 1, 20 * RN_S, &news));
    TASK_UNTIL(was_told(events, "b", " ok"));
    TASK_UNTIL(was_told(events, "a", " ok starting ok removed"));
    EQ(ft_fanout_count(x->fanout), 1); /* who is told looks, and does not see it any more */
    OK(change_to(x, x->specs, 2, RN_S, &news));
    STREQ(news.text, "added a");
    TASK_UNTIL(was_told(events, "a", " ok starting ok removed ok"));
    x->options.n = 2;
    fixture_finish(x);
}
