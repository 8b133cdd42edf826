/* The fanout with its lanes, from outside: what comes of offers when exporters take, fail, hang,
 * reject and go. */
#include "metrics/fanout_testing.h"

#include <string.h>

#include <base/list.h>

#include <runnel/loop.h>
#include <runnel/runtime.h>

TASK_TEST(samples_reach_every_exporter_and_are_told_when_the_required_one_has_them)
{
    struct fixture *x = fixture_new(2);
    struct ft_lane_info info;

    fixture_start(x);
    for (uint64_t i = 0; i < 10; i++)
        fake_offer(x->fanout, 1 + 3 * i, 3);
    TASK_UNTIL(fixture_idle(x, 0) && fixture_idle(x, 1));
    EQ(fake_column(x->fanout, 0, FT_COLUMN_delivered), 30);
    EQ(fake_column(x->fanout, 1, FT_COLUMN_delivered), 30);
    EQ(atomic_load(&x->decided), 10);
    info = fixture_info(x, 0);
    STREQ(info.name, "a");
    STREQ(info.type, "fake");
    EQ(info.state, FT_LANE_ok);
    EQ(info.queued_batches, 0);
    EQ(info.in_flight_batches, 0);
    GT(info.last_success_ms, 0);
    STREQ(info.last_error.text, "");
    fixture_finish(x);
}

TASK_TEST(a_sample_that_comes_again_is_a_duplicate_and_is_told_again)
{
    struct fixture *x = fixture_new(1);

    fixture_start(x);
    fake_offer(x->fanout, 1, 5);
    TASK_UNTIL(fixture_idle(x, 0));
    fake_offer(x->fanout, 3, 5);
    TASK_UNTIL(fixture_idle(x, 0));
    EQ(fake_column(x->fanout, 0, FT_COLUMN_delivered), 7);
    EQ(fake_column(x->fanout, 0, FT_COLUMN_duplicate), 3);
    EQ(atomic_load(&x->decided), 2);
    fixture_finish(x);
}

TASK_TEST(without_exporters_everything_is_dropped_and_counted_and_told_at_once)
{
    struct fixture *x = fixture_new(0);
    struct ft_lane_info info;

    fixture_start(x);
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
    fixture_finish(x);
}

TASK_TEST(with_no_required_exporter_an_offer_is_told_at_once)
{
    struct fixture *x = fixture_new(1);

    x->settings[0].head.required = false;
    atomic_store(&x->fakes[0].temper, FAKE_FAILS);
    fixture_start(x);
    fake_offer(x->fanout, 1, 5);
    EQ(atomic_load(&x->decided), 1);
    atomic_store(&x->fakes[0].temper, FAKE_TAKES);
    fixture_finish(x);
}

TASK_TEST(a_batch_waits_for_the_slowest_of_several_required_exporters)
{
    struct fixture *x = fixture_new(2);

    x->settings[1].head.required = true;
    atomic_store(&x->fakes[1].temper, FAKE_FAILS);
    fixture_start(x);
    fake_offer(x->fanout, 1, 5);
    TASK_UNTIL(fixture_idle(x, 0) && atomic_load(&x->fakes[1].sends) > 2);
    EQ(atomic_load(&x->decided), 0);
    atomic_store(&x->fakes[1].temper, FAKE_TAKES);
    TASK_UNTIL(fixture_idle(x, 1));
    EQ(atomic_load(&x->decided), 1);
    fixture_finish(x);
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
    TASK_UNTIL(fixture_idle(x, 0));
}

TASK_TEST(a_full_lane_drops_its_oldest)
{
    struct fixture *x = fixture_new(1);

    x->options.lane.batches_max = 10;
    fixture_start(x);
    block(x);
    for (uint64_t i = 2; i <= 31; i++)
        fake_offer(x->fanout, i, 1);
    EQ(fake_column(x->fanout, 0, FT_DROPPED_overflow), 20);
    EQ(fake_column(x->fanout, 0, FT_COLUMN_queued), 10);
    EQ(fixture_info(x, 0).queued_batches, 10);
    EQ(fixture_info(x, 0).in_flight_batches, 1);
    EQ(atomic_load(&x->decided), 20); /* dropped is decided */
    unblock(x);
    TRUE(x->fakes[0].has[1] && !x->fakes[0].has[2] && !x->fakes[0].has[21] && x->fakes[0].has[22] &&
         x->fakes[0].has[31]);
    EQ(atomic_load(&x->decided), 31);
    fixture_finish(x);
}

TASK_TEST(a_full_lane_can_drop_its_newest_instead)
{
    struct fixture *x = fixture_new(1);

    x->options.lane.batches_max = 10;
    x->options.lane.overflow = FT_DROP_NEWEST;
    fixture_start(x);
    block(x);
    for (uint64_t i = 2; i <= 31; i++)
        fake_offer(x->fanout, i, 1);
    EQ(fake_column(x->fanout, 0, FT_DROPPED_overflow), 20);
    unblock(x);
    TRUE(x->fakes[0].has[2] && x->fakes[0].has[11] && !x->fakes[0].has[12]);
    fixture_finish(x);
}

static void overflow_by_bytes(enum ft_overflow policy, uint64_t survivor, uint64_t victim)
{
    struct fixture *x = fixture_new(1);
    CLEANUP(ft_batch_unrefp) struct ft_batch *one = fake_batch(1, 1, 4);

    x->options.lane.bytes_max = (int64_t)(5 * one->bytes + one->bytes / 2);
    x->options.lane.overflow = policy;
    fixture_start(x);
    block(x);
    for (uint64_t i = 0; i < 20; i++)
        fake_offer(x->fanout, 100 + 4 * i, 4);
    EQ(fake_column(x->fanout, 0, FT_COLUMN_queued), 20); /* five batches */
    EQ(fake_column(x->fanout, 0, FT_DROPPED_overflow), 60);
    unblock(x);
    TRUE(x->fakes[0].has[survivor] && !x->fakes[0].has[victim]);
    fixture_finish(x);
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
    fixture_start(x);
    block(x);
    fake_offer(x->fanout, 100, 1000);
    EQ(fake_column(x->fanout, 0, FT_DROPPED_overflow), 1000);
    fake_offer(x->fanout, 2, 1);
    unblock(x);
    TRUE(x->fakes[0].has[2]);
    fixture_finish(x);
}

TASK_TEST(one_that_hangs_slows_neither_the_offers_nor_the_others)
{
    struct fixture *x = fixture_new(2);
    const uint64_t n = test_tasks(20000);

    x->options.lane.batches_max = 100;
    fixture_start(x);
    block(x);
    for (uint64_t i = 2; i <= n; i++) {
        fake_offer(x->fanout, i, 1);
        if (i % 50 == 0)
            TASK_UNTIL(fixture_info(x, 1).queued_batches < 50);
    }
    TASK_UNTIL(fixture_idle(x, 1));
    EQ(fake_column(x->fanout, 1, FT_COLUMN_delivered), n);
    EQ(atomic_load(&x->fakes[0].sends), 1);
    EQ(fake_column(x->fanout, 0, FT_COLUMN_in_flight), 1);
    unblock(x);
    fixture_finish(x);
}

/* ---- Batching ------------------------------------------------------------------------------- */

SIM_TEST(chores_are_done_at_their_pace_while_idle_and_while_gathering, 10)
{
    struct fixture *x = fixture_new(1);

    x->specs[0].type = &fake_slow_type;
    x->fakes[0].tend_pause = 4 * RN_S;
    fixture_start(x);
    OK(rn_sleep(rn_after(41 * RN_S)));
    TRUE(atomic_load(&x->fakes[0].tended) >= 10 && atomic_load(&x->fakes[0].tended) <= 12);
    fake_offer(x->fanout, 1, 1); /* waits for 10 s */
    OK(rn_sleep(rn_after(9 * RN_S)));
    EQ(atomic_load(&x->fakes[0].sends), 0);
    TRUE(atomic_load(&x->fakes[0].tended) >= 12);
    TASK_UNTIL(fixture_idle(x, 0));
    EQ(atomic_load(&x->fakes[0].sends), 1);
    fixture_finish(x);
}

SIM_TEST(a_send_is_due_by_count_or_by_age, 10)
{
    struct fixture *x = fixture_new(1);

    x->specs[0].type = &fake_slow_type;
    fixture_start(x);
    TASK_UNTIL(atomic_load(&x->fakes[0].opened) == 1);
    for (uint64_t i = 1; i <= 6; i++)
        fake_offer(x->fanout, i, 1);
    OK(rn_sleep(rn_after(9 * RN_S)));
    EQ(atomic_load(&x->fakes[0].sends), 0);
    fake_offer(x->fanout, 7, 1);
    TASK_UNTIL(fixture_idle(x, 0));
    EQ(atomic_load(&x->fakes[0].sends), 1);
    EQ(atomic_load(&x->fakes[0].biggest), 7);

    const rn_time from = rn_now();
    fake_offer(x->fanout, 8, 1);
    TASK_UNTIL(fixture_idle(x, 0));
    GE(atomic_load(&x->fakes[0].last_at) - from, 10 * RN_S);
    EQ(atomic_load(&x->fakes[0].sends), 2);
    fixture_finish(x);
}

/* ---- Trouble -------------------------------------------------------------------------------- */

SIM_TEST(what_fails_is_tried_again_until_it_is_taken, 20)
{
    struct fixture *x = fixture_new(1);
    struct ft_lane_info info;

    x->options.tuning.seed = seed + 1;
    atomic_store(&x->fakes[0].temper, FAKE_FAILS);
    fixture_start(x);
    fake_offer(x->fanout, 1, 10);
    TASK_UNTIL(atomic_load(&x->fakes[0].sends) == 3);
    OK(rn_yield());
    EQ(fixture_info(x, 0).state, FT_LANE_degraded);
    TASK_UNTIL(atomic_load(&x->fakes[0].sends) >= 6);
    info = fixture_info(x, 0);
    EQ(info.state, FT_LANE_open);
    STREQ(info.last_error.text, "the fake fails");
    EQ(info.last_success_ms, 0);
    EQ(info.in_flight_batches, 1);
    atomic_store(&x->fakes[0].temper, FAKE_TAKES);
    TASK_UNTIL(fixture_idle(x, 0));
    EQ(fake_column(x->fanout, 0, FT_COLUMN_delivered), 10);
    EQ(fixture_info(x, 0).state, FT_LANE_ok);
    fixture_finish(x);
}

SIM_TEST(only_what_was_not_taken_is_sent_again, 20)
{
    struct fixture *x = fixture_new(1);

    atomic_store(&x->fakes[0].temper, FAKE_HALF);
    fixture_start(x);
    fake_offer(x->fanout, 1, 64);
    TASK_UNTIL(fixture_idle(x, 0));
    EQ(fake_column(x->fanout, 0, FT_COLUMN_delivered), 64);
    EQ(fake_column(x->fanout, 0, FT_COLUMN_duplicate), 0);
    EQ(atomic_load(&x->fakes[0].sends), 7);
    EQ(atomic_load(&x->fakes[0].rows), 127);
    EQ(atomic_load(&x->decided), 1);
    fixture_finish(x);
}

SIM_TEST(trying_again_ends_when_a_sample_is_too_old, 20)
{
    struct fixture *x = fixture_new(1);

    x->options.tuning.seed = seed + 1;
    x->options.tuning.age_max = 60 * RN_S;
    atomic_store(&x->fakes[0].temper, FAKE_FAILS);
    fixture_start(x);
    fake_offer(x->fanout, 1, 10);
    const rn_time from = rn_now();
    TASK_UNTIL(fixture_idle(x, 0));
    EQ(fake_column(x->fanout, 0, FT_DROPPED_expired), 10);
    GE(rn_now() - from, 60 * RN_S);
    LE(rn_now() - from, 63 * RN_S); /* one pause more at most */
    GT(atomic_load(&x->fakes[0].sends), 20);
    EQ(atomic_load(&x->decided), 1);
    fixture_finish(x);
}

SIM_TEST(an_exporter_that_wants_to_be_left_alone_is, 10)
{
    struct fixture *x = fixture_new(1);

    x->fakes[0].retry_after = 100 * RN_S;
    atomic_store(&x->fakes[0].temper, FAKE_LATER);
    fixture_start(x);
    fake_offer(x->fanout, 1, 1);
    TASK_UNTIL(atomic_load(&x->fakes[0].sends) == 2);
    GE(atomic_load(&x->fakes[0].last_at) - atomic_load(&x->fakes[0].first_at), 100 * RN_S);
    atomic_store(&x->fakes[0].temper, FAKE_TAKES);
    fixture_finish(x);
}

SIM_TEST(a_wish_to_be_left_alone_for_ever_is_cut_to_ten_minutes, 4)
{
    struct fixture *x = fixture_new(1);

    x->fakes[0].retry_after = RN_FOREVER;
    atomic_store(&x->fakes[0].temper, FAKE_LATER);
    fixture_start(x);
    fake_offer(x->fanout, 1, 1);
    TASK_UNTIL(atomic_load(&x->fakes[0].sends) == 2);
    LE(atomic_load(&x->fakes[0].last_at) - atomic_load(&x->fakes[0].first_at), 601 * RN_S);
    atomic_store(&x->fakes[0].temper, FAKE_TAKES);
    fixture_finish(x);
}

TASK_TEST(a_rejected_sample_is_dropped_with_its_reason_and_holds_nobody_up)
{
    struct fixture *x = fixture_new(1);
    struct ft_lane_info info;

    atomic_store(&x->fakes[0].temper, FAKE_REJECTS);
    fixture_start(x);
    fake_offer(x->fanout, 1, 4);
    TASK_UNTIL(fixture_idle(x, 0));
    info = fixture_info(x, 0);
    EQ(info.ledger.columns[FT_DROPPED_rejected], 2);
    EQ(info.ledger.columns[FT_COLUMN_delivered], 2);
    EQ(info.ledger.columns[FT_COLUMN_dead_lettered], 0);
    EQ(info.state, FT_LANE_ok);
    STREQ(info.last_error.text, "rejected: 2 is even");
    EQ(atomic_load(&x->decided), 1);
    fixture_finish(x);
}

TASK_TEST(a_send_that_does_not_come_back_is_seen_by_whoever_asks)
{
    struct fixture *x = fixture_new(1);

    x->specs[0].type = &fake_late_type;
    fixture_start(x);
    block(x);
    TASK_UNTIL(fixture_info(x, 0).state == FT_LANE_open);
    TRUE(strstr(fixture_info(x, 0).last_error.text, "a send has not come back for"));
    EQ(fake_column(x->fanout, 0, FT_COLUMN_in_flight), 1);
    unblock(x);
    EQ(fixture_info(x, 0).state, FT_LANE_ok);
    fixture_finish(x);
}

TASK_TEST(a_hold_keeps_everything_and_says_what_a_person_has_to_do)
{
    struct fixture *x = fixture_new(1);

    atomic_store(&x->fakes[0].temper, FAKE_HOLDS);
    fixture_start(x);
    fake_offer(x->fanout, 1, 4);
    TASK_UNTIL(fixture_info(x, 0).state == FT_LANE_holding);
    STREQ(fixture_info(x, 0).last_error.text, "the fake holds");
    EQ(fake_column(x->fanout, 0, FT_COLUMN_in_flight), 4);
    atomic_store(&x->fakes[0].temper, FAKE_TAKES);
    TASK_UNTIL(fixture_idle(x, 0));
    EQ(fixture_info(x, 0).state, FT_LANE_ok);
    fixture_finish(x);
}

TASK_TEST(an_exporter_that_cannot_be_opened_yet_collects_until_it_can)
{
    struct fixture *x = fixture_new(1);

    atomic_store(&x->fakes[0].shut, true);
    fixture_start(x);
    EQ(fixture_info(x, 0).state, FT_LANE_starting);
    fake_offer(x->fanout, 1, 4);
    TASK_UNTIL(fixture_info(x, 0).state == FT_LANE_open);
    STREQ(fixture_info(x, 0).last_error.text, "the fake is shut");
    EQ(fake_column(x->fanout, 0, FT_COLUMN_queued), 4);
    atomic_store(&x->fakes[0].shut, false);
    TASK_UNTIL(fixture_idle(x, 0));
    EQ(fake_column(x->fanout, 0, FT_COLUMN_delivered), 4);
    fixture_finish(x);
}

/* ---- Stop ----------------------------------------------------------------------------------- */

TASK_TEST(a_stop_sends_what_is_queued_first)
{
    struct fixture *x = fixture_new(1);

    x->specs[0].type = &fake_slow_type; /* it would wait for 10 s */
    fixture_start(x);
    TASK_UNTIL(atomic_load(&x->fakes[0].opened) == 1);
    for (uint64_t i = 1; i <= 500; i++)
        fake_offer(x->fanout, i, 1);
    OK(ft_fanout_stop(x->fanout, rn_after(20 * RN_S)));
    EQ(fake_column(x->fanout, 0, FT_COLUMN_delivered), 500);
    EQ(atomic_load(&x->decided), 500);
    fake_offer(x->fanout, 501, 1);
    EQ(fake_column(x->fanout, 0, FT_DROPPED_shutdown), 1);
    EQ(atomic_load(&x->decided), 500);
    fixture_finish(x);
}

SIM_TEST(what_cannot_be_sent_before_the_deadline_is_dropped_in_the_books_and_told_to_nobody, 50)
{
    struct fixture *x = fixture_new(1);

    x->options.tuning.seed = seed + 1;
    atomic_store(&x->fakes[0].temper, FAKE_FAILS);
    fixture_start(x);
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
    fixture_finish(x);
}

TASK_TEST(a_stop_does_not_wait_for_a_call_that_hangs)
{
    struct fixture *x = fixture_new(1);

    fixture_start(x);
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

    fixture_start(x);
    OK(rn_loop_post(rn_loop_self(), &callback.post));
    OK(rn_scope_open(RN_SCOPE_WAIT_ALL, &s));
    OK(rn_go(s, offer_in_task, &task, NULL, 0));
    OK(rn_scope_wait(s));
    rn_scope_closep(&s);
    TASK_UNTIL(atomic_load(&callback.done) && fixture_idle(x, 0));
    EQ(fake_column(x->fanout, 0, FT_COLUMN_delivered), 2);
    fixture_finish(x);
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
    fixture_start(x);
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
        TASK_UNTIL(fixture_idle(x, 0) && fixture_idle(x, 1));
        EQ(atomic_load(&x->decided), 200);
    }
    OK(ft_fanout_stop(x->fanout, rn_after(10 * RN_S)));
    for (size_t k = 0; k < 2;
         k++) /* an answer that was lost makes a duplicate of what was stored */
        LE(fake_column(x->fanout, k, FT_COLUMN_delivered), atomic_load(&x->fakes[k].stored));
    fixture_finish(x);
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
    fixture_start(x);
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
    TASK_UNTIL(fixture_idle(x, 0));
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
    fixture_finish(x);
}
