/* The fanout with its lanes, from outside: what comes of offers when exporters take, fail, hang,
 * reject and go. */
#include "metrics/testing.h"

#include <pthread.h>
#include <string.h>

#include <base/list.h>

#include <runnel/loop.h>
#include <runnel/runtime.h>

#include "events.h"

struct fixture {
    struct fake fakes[2];
    struct fake_settings settings[2];
    struct ft_exporter_spec specs[2];
    struct ft_fanout_options options;
    struct ft_fanout *fanout;
    _Atomic uint64_t decided;      /* batches */
    _Atomic uint64_t decided_last; /* their highest number */
};

static void on_decided(void *arg, struct ft_batch *batch)
{
    struct fixture *x = arg;

    atomic_fetch_add(&x->decided, 1);
    atomic_store(&x->decided_last, batch->last_seq);
}

/* `n` fakes called a and b; tests change what they like, then start. */
static struct fixture *fixture_new(size_t n)
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

static void start(struct fixture *x)
{
    OK(ft_fanout_new(&x->options, &x->fanout));
}

static void finish(struct fixture *x)
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

static struct ft_lane_info info_of(struct fixture *x, size_t i)
{
    struct ft_lane_info info;

    OK(ft_fanout_describe(x->fanout, i, &info));
    return info;
}

static bool idle(struct fixture *x, size_t i)
{
    struct ft_ledger_view v = fake_books(x->fanout, i);

    return v.columns[FT_COLUMN_queued] == 0 && v.columns[FT_COLUMN_in_flight] == 0;
}

TASK_TEST(samples_reach_every_exporter_and_are_told_when_the_required_one_has_them)
{
    struct fixture *x = fixture_new(2);
    struct ft_lane_info info;

    start(x);
    for (uint64_t i = 0; i < 10; i++)
        fake_offer(x->fanout, 1 + 3 * i, 3);
    TASK_UNTIL(idle(x, 0) && idle(x, 1));
    EQ(fake_column(x->fanout, 0, FT_COLUMN_delivered), 30);
    EQ(fake_column(x->fanout, 1, FT_COLUMN_delivered), 30);
    EQ(atomic_load(&x->decided), 10);
    info = info_of(x, 0);
    STREQ(info.name, "a");
    STREQ(info.type, "fake");
    EQ(info.state, FT_LANE_ok);
    EQ(info.queued_batches, 0);
    EQ(info.in_flight_batches, 0);
    GT(info.last_success_ms, 0);
    STREQ(info.last_error.text, "");
    finish(x);
}

TASK_TEST(a_sample_that_comes_again_is_a_duplicate_and_is_told_again)
{
    struct fixture *x = fixture_new(1);

    start(x);
    fake_offer(x->fanout, 1, 5);
    TASK_UNTIL(idle(x, 0));
    fake_offer(x->fanout, 3, 5);
    TASK_UNTIL(idle(x, 0));
    EQ(fake_column(x->fanout, 0, FT_COLUMN_delivered), 7);
    EQ(fake_column(x->fanout, 0, FT_COLUMN_duplicate), 3);
    EQ(atomic_load(&x->decided), 2);
    finish(x);
}

TASK_TEST(without_exporters_everything_is_dropped_and_counted_and_told_at_once)
{
    struct fixture *x = fixture_new(0);
    struct ft_lane_info info;

    start(x);
    for (uint64_t i = 0; i < 5000; i++)
        fake_offer(x->fanout, i + 1, 1);
    EQ(atomic_load(&x->decided), 5000);
    EQ(ft_fanout_count(x->fanout), 1);
    OK(ft_fanout_find(x->fanout, rn_slice_str("none"), &info));
    STREQ(info.name, "none");
    EQ(info.ledger.columns[FT_COLUMN_offered], 5000);
    EQ(info.ledger.columns[FT_DROPPED_no_exporter], 5000);
    ERR(ft_fanout_find(x->fanout, rn_slice_str("a"), &info), ENOENT);
    ERR(ft_fanout_describe(x->fanout, 1, &info), ENOENT);
    finish(x);
}

TASK_TEST(with_no_required_exporter_an_offer_is_told_at_once)
{
    struct fixture *x = fixture_new(1);

    x->settings[0].head.required = false;
    atomic_store(&x->fakes[0].temper, FAKE_FAILS);
    start(x);
    fake_offer(x->fanout, 1, 5);
    EQ(atomic_load(&x->decided), 1);
    atomic_store(&x->fakes[0].temper, FAKE_TAKES);
    finish(x);
}

TASK_TEST(a_batch_waits_for_the_slowest_of_several_required_exporters)
{
    struct fixture *x = fixture_new(2);

    x->settings[1].head.required = true;
    atomic_store(&x->fakes[1].temper, FAKE_FAILS);
    start(x);
    fake_offer(x->fanout, 1, 5);
    TASK_UNTIL(idle(x, 0) && atomic_load(&x->fakes[1].sends) > 2);
    EQ(atomic_load(&x->decided), 0);
    atomic_store(&x->fakes[1].temper, FAKE_TAKES);
    TASK_UNTIL(idle(x, 1));
    EQ(atomic_load(&x->decided), 1);
    finish(x);
}

/* ---- Fullness ------------------------------------------------------------------------------- */

/* The lane's task sits in a send, with the first batch. */
static void block(struct fixture *x)
{
    atomic_store(&x->fakes[0].temper, FAKE_HANGS);
    fake_offer(x->fanout, 1, 1);
    TASK_UNTIL(atomic_load(&x->fakes[0].sends) == 1);
}

static void unblock(struct fixture *x)
{
    atomic_store(&x->fakes[0].temper, FAKE_TAKES);
    TASK_UNTIL(idle(x, 0));
}

TASK_TEST(a_full_lane_drops_its_oldest)
{
    struct fixture *x = fixture_new(1);

    x->options.lane.batches_max = 10;
    start(x);
    block(x);
    for (uint64_t i = 2; i <= 31; i++)
        fake_offer(x->fanout, i, 1);
    EQ(fake_column(x->fanout, 0, FT_DROPPED_overflow), 20);
    EQ(fake_column(x->fanout, 0, FT_COLUMN_queued), 10);
    EQ(info_of(x, 0).queued_batches, 10);
    EQ(info_of(x, 0).in_flight_batches, 1);
    EQ(atomic_load(&x->decided), 20); /* dropped is decided */
    unblock(x);
    TRUE(x->fakes[0].has[1] && !x->fakes[0].has[2] && !x->fakes[0].has[21] && x->fakes[0].has[22] &&
         x->fakes[0].has[31]);
    EQ(atomic_load(&x->decided), 31);
    finish(x);
}

TASK_TEST(a_full_lane_can_drop_its_newest_instead)
{
    struct fixture *x = fixture_new(1);

    x->options.lane.batches_max = 10;
    x->options.lane.overflow = FT_DROP_NEWEST;
    start(x);
    block(x);
    for (uint64_t i = 2; i <= 31; i++)
        fake_offer(x->fanout, i, 1);
    EQ(fake_column(x->fanout, 0, FT_DROPPED_overflow), 20);
    unblock(x);
    TRUE(x->fakes[0].has[2] && x->fakes[0].has[11] && !x->fakes[0].has[12]);
    finish(x);
}

static void overflow_by_bytes(enum ft_overflow policy, uint64_t survivor, uint64_t victim)
{
    struct fixture *x = fixture_new(1);
    CLEANUP(ft_batch_unrefp) struct ft_batch *one = fake_batch(1, 1, 4);

    x->options.lane.bytes_max = (int64_t)(5 * one->bytes + one->bytes / 2);
    x->options.lane.overflow = policy;
    start(x);
    block(x);
    for (uint64_t i = 0; i < 20; i++)
        fake_offer(x->fanout, 100 + 4 * i, 4);
    EQ(fake_column(x->fanout, 0, FT_COLUMN_queued), 20); /* five batches */
    EQ(fake_column(x->fanout, 0, FT_DROPPED_overflow), 60);
    unblock(x);
    TRUE(x->fakes[0].has[survivor] && !x->fakes[0].has[victim]);
    finish(x);
}

TASK_TEST(a_lane_is_bounded_by_bytes_too)
{
    overflow_by_bytes(FT_DROP_OLDEST, 179, 100);
    overflow_by_bytes(FT_DROP_NEWEST, 100, 179);
}

TASK_TEST(a_batch_that_is_larger_than_the_whole_lane_is_dropped_and_nothing_is_left_behind)
{
    struct fixture *x = fixture_new(1);

    x->options.lane.bytes_max = 4096;
    start(x);
    block(x);
    fake_offer(x->fanout, 100, 1000);
    EQ(fake_column(x->fanout, 0, FT_DROPPED_overflow), 1000);
    fake_offer(x->fanout, 2, 1);
    unblock(x);
    TRUE(x->fakes[0].has[2]);
    finish(x);
}

TASK_TEST(one_that_hangs_slows_neither_the_offers_nor_the_others)
{
    struct fixture *x = fixture_new(2);
    const uint64_t n = test_tasks(20000);

    x->options.lane.batches_max = 100;
    start(x);
    block(x);
    for (uint64_t i = 2; i <= n; i++) {
        fake_offer(x->fanout, i, 1);
        if (i % 50 == 0)
            TASK_UNTIL(info_of(x, 1).queued_batches < 50);
    }
    TASK_UNTIL(idle(x, 1));
    EQ(fake_column(x->fanout, 1, FT_COLUMN_delivered), n);
    EQ(atomic_load(&x->fakes[0].sends), 1);
    EQ(fake_column(x->fanout, 0, FT_COLUMN_in_flight), 1);
    unblock(x);
    finish(x);
}

/* ---- Batching ------------------------------------------------------------------------------- */

SIM_TEST(chores_are_done_at_their_pace_while_idle_and_while_gathering, 10)
{
    struct fixture *x = fixture_new(1);

    x->specs[0].type = &fake_slow_type;
    x->fakes[0].tend_pause = 4 * RN_S;
    start(x);
    OK(rn_sleep(rn_after(41 * RN_S)));
    TRUE(atomic_load(&x->fakes[0].tended) >= 10 && atomic_load(&x->fakes[0].tended) <= 12);
    fake_offer(x->fanout, 1, 1); /* waits for 10 s */
    OK(rn_sleep(rn_after(9 * RN_S)));
    EQ(atomic_load(&x->fakes[0].sends), 0);
    TRUE(atomic_load(&x->fakes[0].tended) >= 12);
    TASK_UNTIL(idle(x, 0));
    EQ(atomic_load(&x->fakes[0].sends), 1);
    finish(x);
}

SIM_TEST(a_send_is_due_by_count_or_by_age, 10)
{
    struct fixture *x = fixture_new(1);

    x->specs[0].type = &fake_slow_type;
    start(x);
    TASK_UNTIL(atomic_load(&x->fakes[0].opened) == 1);
    for (uint64_t i = 1; i <= 6; i++)
        fake_offer(x->fanout, i, 1);
    OK(rn_sleep(rn_after(9 * RN_S)));
    EQ(atomic_load(&x->fakes[0].sends), 0);
    fake_offer(x->fanout, 7, 1);
    TASK_UNTIL(idle(x, 0));
    EQ(atomic_load(&x->fakes[0].sends), 1);
    EQ(atomic_load(&x->fakes[0].biggest), 7);

    const rn_time from = rn_now();
    fake_offer(x->fanout, 8, 1);
    TASK_UNTIL(idle(x, 0));
    GE(atomic_load(&x->fakes[0].last_at) - from, 10 * RN_S);
    EQ(atomic_load(&x->fakes[0].sends), 2);
    finish(x);
}

/* ---- Trouble -------------------------------------------------------------------------------- */

SIM_TEST(what_fails_is_tried_again_until_it_is_taken, 20)
{
    struct fixture *x = fixture_new(1);
    struct ft_lane_info info;

    x->options.tuning.seed = seed + 1;
    atomic_store(&x->fakes[0].temper, FAKE_FAILS);
    start(x);
    fake_offer(x->fanout, 1, 10);
    TASK_UNTIL(atomic_load(&x->fakes[0].sends) == 3);
    OK(rn_yield());
    EQ(info_of(x, 0).state, FT_LANE_degraded);
    TASK_UNTIL(atomic_load(&x->fakes[0].sends) >= 6);
    info = info_of(x, 0);
    EQ(info.state, FT_LANE_open);
    STREQ(info.last_error.text, "the fake fails");
    EQ(info.last_success_ms, 0);
    EQ(info.in_flight_batches, 1);
    atomic_store(&x->fakes[0].temper, FAKE_TAKES);
    TASK_UNTIL(idle(x, 0));
    EQ(fake_column(x->fanout, 0, FT_COLUMN_delivered), 10);
    EQ(info_of(x, 0).state, FT_LANE_ok);
    finish(x);
}

SIM_TEST(only_what_was_not_taken_is_sent_again, 20)
{
    struct fixture *x = fixture_new(1);

    atomic_store(&x->fakes[0].temper, FAKE_HALF);
    start(x);
    fake_offer(x->fanout, 1, 64);
    TASK_UNTIL(idle(x, 0));
    EQ(fake_column(x->fanout, 0, FT_COLUMN_delivered), 64);
    EQ(fake_column(x->fanout, 0, FT_COLUMN_duplicate), 0);
    EQ(atomic_load(&x->fakes[0].sends), 7);
    EQ(atomic_load(&x->fakes[0].rows), 127);
    EQ(atomic_load(&x->decided), 1);
    finish(x);
}

SIM_TEST(trying_again_ends_when_a_sample_is_too_old, 20)
{
    struct fixture *x = fixture_new(1);

    x->options.tuning.seed = seed + 1;
    x->options.tuning.age_max = 60 * RN_S;
    atomic_store(&x->fakes[0].temper, FAKE_FAILS);
    start(x);
    fake_offer(x->fanout, 1, 10);
    const rn_time from = rn_now();
    TASK_UNTIL(idle(x, 0));
    EQ(fake_column(x->fanout, 0, FT_DROPPED_expired), 10);
    GE(rn_now() - from, 60 * RN_S);
    LE(rn_now() - from, 63 * RN_S); /* one pause more at most */
    GT(atomic_load(&x->fakes[0].sends), 20);
    EQ(atomic_load(&x->decided), 1);
    finish(x);
}

SIM_TEST(an_exporter_that_wants_to_be_left_alone_is, 10)
{
    struct fixture *x = fixture_new(1);

    x->fakes[0].retry_after = 100 * RN_S;
    atomic_store(&x->fakes[0].temper, FAKE_LATER);
    start(x);
    fake_offer(x->fanout, 1, 1);
    TASK_UNTIL(atomic_load(&x->fakes[0].sends) == 2);
    GE(atomic_load(&x->fakes[0].last_at) - atomic_load(&x->fakes[0].first_at), 100 * RN_S);
    atomic_store(&x->fakes[0].temper, FAKE_TAKES);
    finish(x);
}

SIM_TEST(a_wish_to_be_left_alone_for_ever_is_cut_to_ten_minutes, 4)
{
    struct fixture *x = fixture_new(1);

    x->fakes[0].retry_after = RN_FOREVER;
    atomic_store(&x->fakes[0].temper, FAKE_LATER);
    start(x);
    fake_offer(x->fanout, 1, 1);
    TASK_UNTIL(atomic_load(&x->fakes[0].sends) == 2);
    LE(atomic_load(&x->fakes[0].last_at) - atomic_load(&x->fakes[0].first_at), 601 * RN_S);
    atomic_store(&x->fakes[0].temper, FAKE_TAKES);
    finish(x);
}

TASK_TEST(a_rejected_sample_is_dropped_with_its_reason_and_holds_nobody_up)
{
    struct fixture *x = fixture_new(1);
    struct ft_lane_info info;

    atomic_store(&x->fakes[0].temper, FAKE_REJECTS);
    start(x);
    fake_offer(x->fanout, 1, 4);
    TASK_UNTIL(idle(x, 0));
    info = info_of(x, 0);
    EQ(info.ledger.columns[FT_DROPPED_rejected], 2);
    EQ(info.ledger.columns[FT_COLUMN_delivered], 2);
    EQ(info.ledger.columns[FT_COLUMN_dead_lettered], 0);
    EQ(info.state, FT_LANE_ok);
    STREQ(info.last_error.text, "rejected: 2 is even");
    EQ(atomic_load(&x->decided), 1);
    finish(x);
}

TASK_TEST(a_send_that_does_not_come_back_is_seen_by_whoever_asks)
{
    struct fixture *x = fixture_new(1);

    x->specs[0].type = &fake_late_type;
    start(x);
    block(x);
    TASK_UNTIL(info_of(x, 0).state == FT_LANE_open);
    TRUE(strstr(info_of(x, 0).last_error.text, "a send has not come back for"));
    EQ(fake_column(x->fanout, 0, FT_COLUMN_in_flight), 1);
    unblock(x);
    EQ(info_of(x, 0).state, FT_LANE_ok);
    finish(x);
}

TASK_TEST(a_hold_keeps_everything_and_says_what_a_person_has_to_do)
{
    struct fixture *x = fixture_new(1);

    atomic_store(&x->fakes[0].temper, FAKE_HOLDS);
    start(x);
    fake_offer(x->fanout, 1, 4);
    TASK_UNTIL(info_of(x, 0).state == FT_LANE_holding);
    STREQ(info_of(x, 0).last_error.text, "the fake holds");
    EQ(fake_column(x->fanout, 0, FT_COLUMN_in_flight), 4);
    atomic_store(&x->fakes[0].temper, FAKE_TAKES);
    TASK_UNTIL(idle(x, 0));
    EQ(info_of(x, 0).state, FT_LANE_ok);
    finish(x);
}

TASK_TEST(an_exporter_that_cannot_be_opened_yet_collects_until_it_can)
{
    struct fixture *x = fixture_new(1);

    atomic_store(&x->fakes[0].shut, true);
    start(x);
    EQ(info_of(x, 0).state, FT_LANE_starting);
    fake_offer(x->fanout, 1, 4);
    TASK_UNTIL(info_of(x, 0).state == FT_LANE_open);
    STREQ(info_of(x, 0).last_error.text, "the fake is shut");
    EQ(fake_column(x->fanout, 0, FT_COLUMN_queued), 4);
    atomic_store(&x->fakes[0].shut, false);
    TASK_UNTIL(idle(x, 0));
    EQ(fake_column(x->fanout, 0, FT_COLUMN_delivered), 4);
    finish(x);
}

/* ---- Stop ----------------------------------------------------------------------------------- */

TASK_TEST(a_stop_sends_what_is_queued_first)
{
    struct fixture *x = fixture_new(1);

    x->specs[0].type = &fake_slow_type; /* it would wait for 10 s */
    start(x);
    TASK_UNTIL(atomic_load(&x->fakes[0].opened) == 1);
    for (uint64_t i = 1; i <= 500; i++)
        fake_offer(x->fanout, i, 1);
    OK(ft_fanout_stop(x->fanout, rn_after(20 * RN_S)));
    EQ(fake_column(x->fanout, 0, FT_COLUMN_delivered), 500);
    EQ(atomic_load(&x->decided), 500);
    fake_offer(x->fanout, 501, 1);
    EQ(fake_column(x->fanout, 0, FT_DROPPED_shutdown), 1);
    EQ(atomic_load(&x->decided), 500);
    finish(x);
}

SIM_TEST(what_cannot_be_sent_before_the_deadline_is_dropped_in_the_books_and_told_to_nobody, 50)
{
    struct fixture *x = fixture_new(1);

    x->options.tuning.seed = seed + 1;
    atomic_store(&x->fakes[0].temper, FAKE_FAILS);
    start(x);
    for (uint64_t i = 1; i <= 300; i++) {
        fake_offer(x->fanout, i, 1);
        if (i == seed * 5)
            TASK_UNTIL(atomic_load(&x->fakes[0].sends) > 1);
    }
    const rn_time from = rn_now();
    OK(ft_fanout_stop(x->fanout, rn_after(5 * RN_S)));
    LE(rn_now() - from, 6 * RN_S);
    EQ(fake_column(x->fanout, 0, FT_DROPPED_shutdown), 300);
    EQ(atomic_load(&x->decided), 0);
    finish(x);
}

TASK_TEST(a_stop_does_not_wait_for_a_call_that_hangs)
{
    struct fixture *x = fixture_new(1);

    start(x);
    block(x);
    fake_offer(x->fanout, 2, 3);
    ERR(ft_fanout_stop(x->fanout, rn_after(20 * RN_MS)), ETIMEDOUT);
    EQ(fake_column(x->fanout, 0, FT_DROPPED_shutdown), 4);
    EQ(fake_column(x->fanout, 0, FT_COLUMN_in_flight), 0);
    x->fanout = ft_fanout_free(x->fanout);
    EQ(atomic_load(&x->fakes[0].closed), 0);
    atomic_store(&x->fakes[0].temper, FAKE_TAKES);
    TASK_UNTIL(atomic_load(&x->fakes[0].closed) == 1); /* whoever lets go last closes */
    free(x);
}

/* ---- Who may offer -------------------------------------------------------------------------- */

struct offerer {
    struct rn_post post;
    struct fixture *x;
    uint64_t seq;
    _Atomic bool done;
};

static void offer_in_callback(struct rn_post *post)
{
    struct offerer *o = LIST_ENTRY(post, struct offerer, post);

    EQ(rn_task_id(), 0);
    fake_offer(o->x->fanout, o->seq, 1);
    atomic_store(&o->done, true);
}

static int offer_in_task(void *arg)
{
    struct offerer *o = arg;

    fake_offer(o->x->fanout, o->seq, 1);
    atomic_store(&o->done, true);
    return 0;
}

TASK_TEST(callbacks_and_tasks_of_other_scopes_may_offer)
{
    struct fixture *x = fixture_new(1);
    struct offerer callback = {.post = {.fn = offer_in_callback}, .x = x, .seq = 1},
                   task = {.x = x, .seq = 2};
    struct rn_scope s = {0};

    start(x);
    OK(rn_loop_post(rn_loop_self(), &callback.post));
    OK(rn_scope_open(RN_SCOPE_WAIT_ALL, &s));
    OK(rn_go(s, offer_in_task, &task, NULL, 0));
    OK(rn_scope_wait(s));
    rn_scope_closep(&s);
    TASK_UNTIL(atomic_load(&callback.done) && idle(x, 0));
    EQ(fake_column(x->fanout, 0, FT_COLUMN_delivered), 2);
    finish(x);
}

/* ---- Everything at random ------------------------------------------------------------------- */

static uint64_t next(uint64_t *state)
{
    *state = *state * UINT64_C(6364136223846793005) + 1442695040888963407;
    return *state >> 33;
}

SIM_TEST(the_books_balance_at_every_moment_whatever_happens, 200)
{
    static const int tempers[] = {FAKE_TAKES,  FAKE_FAILS, FAKE_HOLDS, FAKE_REJECTS,
                                  FAKE_RANDOM, FAKE_LATER, FAKE_HALF};
    struct fixture *x = fixture_new(2);
    uint64_t random = seed, seq = 1, offered = 0;

    for (size_t i = 0; i < 2; i++) {
        x->fakes[i].random = seed + i;
        x->fakes[i].retry_after = 3 * RN_S;
        x->settings[i].head.required = next(&random) % 2;
        atomic_store(&x->fakes[i].shut, next(&random) % 4 == 0);
    }
    x->options.tuning =
        (struct ft_lane_tuning){.age_max = 20 * RN_S, .retry_base = 50 * RN_MS, .seed = seed + 1};
    x->options.lane.batches_max = 1 + (int64_t)(next(&random) % 20);
    x->options.lane.bytes_max = next(&random) % 2 ? 20000 : 1 << 20;
    x->options.lane.overflow = (int)(next(&random) % 2);
    start(x);
    for (int i = 0; i < 200; i++) {
        const uint32_t count = 1 + (uint32_t)(next(&random) % 9);

        if (next(&random) % 8 == 0 && seq > 50) /* a resent one */
            fake_offer(x->fanout, 1 + next(&random) % (seq - 40), count);
        else {
            fake_offer(x->fanout, seq, count);
            seq += count;
        }
        offered += count;
        for (size_t k = 0; k < 2; k++)
            EQ(fake_column(x->fanout, k, FT_COLUMN_offered), offered);
        if (next(&random) % 5 == 0) {
            const size_t k = next(&random) % 2;

            atomic_store(&x->fakes[k].temper, tempers[next(&random) % 7]);
            atomic_store(&x->fakes[k].shut, next(&random) % 10 == 0);
        }
        if (next(&random) % 3 == 0)
            OK(rn_sleep(rn_after((rn_time)(next(&random) % 2000) * RN_MS)));
    }
    if (seed % 2 == 0) {
        for (size_t k = 0; k < 2; k++) {
            atomic_store(&x->fakes[k].shut, false);
            atomic_store(&x->fakes[k].temper, FAKE_TAKES);
        }
        TASK_UNTIL(idle(x, 0) && idle(x, 1));
        EQ(atomic_load(&x->decided), 200);
    }
    OK(ft_fanout_stop(x->fanout, rn_after(10 * RN_S)));
    for (size_t k = 0; k < 2;
         k++) /* an answer that was lost makes a duplicate of what was stored */
        LE(fake_column(x->fanout, k, FT_COLUMN_delivered), atomic_load(&x->fakes[k].stored));
    finish(x);
}

/* ---- Metrics -------------------------------------------------------------------------------- */

static void has_line(struct rn_slice text, const char *line)
{
    char needle[200];

    (void)snprintf(needle, sizeof(needle), "%s\n", line);
    if (!memmem(text.data, text.len, needle, strlen(needle)))
        FAIL("no line %s in:\n%.*s", line, (int)text.len, (const char *)text.data);
}

TASK_TEST(the_metrics_are_there_from_the_start_and_count)
{
    struct fixture *x = fixture_new(2);
    CLEANUP(rnet_metrics_freep) struct rnet_metrics *m = NULL, *later = NULL;

    atomic_store(&x->fakes[1].shut, true);
    start(x);
    OK(rnet_metrics_new(&m));
    ft_fanout_collect(x->fanout, m);
    OK(rnet_metrics_error(m));
    has_line(rnet_metrics_text(m), "fettle_samples_total{exporter=\"a\",outcome=\"delivered\"} 0");
    has_line(rnet_metrics_text(m),
             "fettle_samples_dropped_total{exporter=\"b\",reason=\"overflow\"} 0");
    has_line(rnet_metrics_text(m), "fettle_samples_imbalance{exporter=\"a\"} 0");
    has_line(rnet_metrics_text(m), "fettle_lane_queued{exporter=\"b\"} 0");
    has_line(rnet_metrics_text(m), "fettle_exporter_up{exporter=\"a\"} 0");

    fake_offer(x->fanout, 1, 6);
    TASK_UNTIL(idle(x, 0));
    OK(rnet_metrics_new(&later));
    ft_fanout_collect(x->fanout, later);
    has_line(rnet_metrics_text(later),
             "fettle_samples_total{exporter=\"a\",outcome=\"delivered\"} 6");
    has_line(rnet_metrics_text(later),
             "fettle_samples_total{exporter=\"b\",outcome=\"offered\"} 6");
    has_line(rnet_metrics_text(later), "fettle_lane_queued{exporter=\"b\"} 1");
    has_line(rnet_metrics_text(later), "fettle_exporter_up{exporter=\"a\"} 1");
    has_line(rnet_metrics_text(later), "fettle_exporter_up{exporter=\"b\"} 0");
    atomic_store(&x->fakes[1].shut, false);
    finish(x);
}

/* ---- other exporters while it runs ---- */

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
    start(x);
    for (uint64_t i = 0; i < 10; i++)
        fake_offer(x->fanout, 1 + 3 * i, 3);
    TASK_UNTIL(info_of(x, 0).state == FT_LANE_holding);
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
    start(x);
    fake_offer(x->fanout, 1, 3);
    TASK_UNTIL(info_of(x, 0).state != FT_LANE_starting);
    OK(change_to(x, &spec, 1, RN_S, &news));
    TASK_UNTIL(fake_column(x->fanout, 0, FT_COLUMN_delivered) == 3);
    EQ(atomic_load(&x->fakes[0].opened), 0);
    finish(x);
}

TASK_TEST(an_exporter_that_is_removed_drains_and_then_is_not_shown_any_more)
{
    struct fixture *x = fixture_new(2);
    struct ft_text_list news;

    atomic_store(&x->fakes[1].temper, FAKE_HOLDS);
    start(x);
    fake_offer(x->fanout, 1, 3);
    TASK_UNTIL(info_of(x, 1).state == FT_LANE_holding);
    OK(change_to(x, x->specs, 1, 20 * RN_S, &news));
    STREQ(news.text, "removed b");
    EQ(ft_fanout_count(x->fanout), 2);
    TRUE(info_of(x, 1).draining);
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
    TASK_UNTIL(idle(x, 0));
    EQ(atomic_load(&x->decided), 3);
    finish(x);
}

TASK_TEST(a_removed_exporter_that_cannot_be_opened_does_not_drain_when_it_has_nothing)
{
    struct fixture *x = fixture_new(2);
    struct ft_text_list news;

    atomic_store(&x->fakes[1].shut, true);
    start(x);
    TASK_UNTIL(info_of(x, 1).state != FT_LANE_starting);
    OK(change_to(x, x->specs, 1, 3600 * RN_S, &news));
    STREQ(news.text, "removed b");
    TASK_UNTIL(ft_fanout_count(x->fanout) == 1);
    OK(change_to(x, x->specs, 2, RN_S, &news)); /* and may come again */
    fake_offer(x->fanout, 1, 3);
    OK(change_to(x, x->specs, 1, 3600 * RN_S, &news));
    TASK_UNTIL(info_of(x, 1).last_error.text[0]);
    EQ(fake_column(x->fanout, 1, FT_COLUMN_queued), 3); /* now it has something, so it tries */
    atomic_store(&x->fakes[1].shut, false);
    TASK_UNTIL(ft_fanout_count(x->fanout) == 1);
    EQ(atomic_load(&x->fakes[1].stored), 3);
    finish(x);
}

TASK_TEST(what_a_removed_required_exporter_could_not_send_in_time_is_decided)
{
    struct fixture *x = fixture_new(2);
    struct ft_text_list news;

    atomic_store(&x->fakes[0].temper, FAKE_FAILS);
    start(x);
    for (uint64_t i = 0; i < 200; i++)
        fake_offer(x->fanout, 1 + i, 1);
    TASK_UNTIL(fake_column(x->fanout, 0, FT_COLUMN_in_flight) > 0);
    OK(change_to(x, x->specs + 1, 1, 10 * RN_MS, &news));
    STREQ(news.text, "removed a");
    TASK_UNTIL(ft_fanout_count(x->fanout) == 1);
    TASK_UNTIL(atomic_load(&x->decided) == 200);
    STREQ(info_of(x, 0).name, "b");
    fake_offer(x->fanout, 201, 1);
    EQ(atomic_load(&x->decided), 201); /* at once: nobody has to decide any more */
    finish(x);
}

TASK_TEST(the_last_exporter_goes_and_offers_are_counted_as_discarded)
{
    struct fixture *x = fixture_new(1);
    struct ft_text_list news;

    start(x);
    fake_offer(x->fanout, 1, 3);
    TASK_UNTIL(idle(x, 0));
    OK(change_to(x, NULL, 0, RN_S, &news));
    TASK_UNTIL(ft_fanout_count(x->fanout) == 1);
    STREQ(info_of(x, 0).name, "none");
    fake_offer(x->fanout, 4, 3);
    EQ(fake_column(x->fanout, 0, FT_DROPPED_no_exporter), 3);
    OK(change_to(x, x->specs, 1, RN_S, &news));
    fake_offer(x->fanout, 7, 3);
    TASK_UNTIL(fake_column(x->fanout, 0, FT_COLUMN_delivered) == 3);
    EQ(atomic_load(&x->decided), 3);
    finish(x);
}

TASK_TEST(exporters_change_while_samples_flow_and_every_batch_is_decided_once)
{
    struct fixture *x = fixture_new(2);
    struct ft_text_list news;
    uint64_t seq = 1;

    start(x);
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
    finish(x);
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
    start(x);
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
    finish(x);
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
    start(x);
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
    finish(x);
}
