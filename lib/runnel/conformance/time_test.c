/* Sleeps, timers and tickers, as Go's sleep_test.go and tick_test.go know them; mostly in virtual
 * time, where a moment is exact. */
#include <runnel/loop.h>

#include "conformance/conformance_testing.h"

/* ---- Sleeps ---------------------------------------------------------------------------------- */

struct sleeper {
    rn_time when;
    struct rn_tx tx;
};

static int tells_when_awake(void *arg)
{
    const struct sleeper *s = arg;

    OK(rn_sleep(s->when));
    return rn_tx_send(s->tx, &s->when, RN_FOREVER);
}

SIM_TEST(sleepers_wake_in_the_order_of_their_deadlines, SEEDS)
{
    enum { N = 40 };
    struct sleeper sleepers[N];
    struct chan c = chan_open(sizeof(rn_time), 0);
    rn_time last = 0, when;
    SCOPE(s);

    for (int i = 0; i < N; i++) {
        sleepers[i].when = (rn_time)dice(&seed, 1000) * 7 * RN_MS;
        OK(rn_tx_dup(c.tx, &sleepers[i].tx));
        OK(GO(s, tells_when_awake, &sleepers[i], rn_end_tx(sleepers[i].tx)));
    }
    for (int i = 0; i < N; i++) {
        OK(rn_rx_recv(c.rx, &when, RN_FOREVER));
        LE(last, when);
        LE(when, rn_now());
        last = when;
    }
    OK(rn_scope_wait(s));
}

static int sleeps_no_time(void *arg)
{
    (void)arg;
    for (int i = 0; i < 100; i++)
        OK(rn_sleep(i % 2 ? 0 : rn_now()));
    return 0;
}

SIM_TEST(sleeps_of_no_time_never_get_stuck, SEEDS)
{
    SCOPE(s);

    for (int i = 0; i < 20; i++)
        OK(GO0(s, sleeps_no_time, NULL));
    OK(rn_scope_wait(s));
    EQ(rn_now(), 0); /* and no time has passed */
}

static int yields(void *arg)
{
    (void)arg;
    while (rn_yield() == 0)
        ;
    return 0;
}

TASK_TEST(tasks_that_yield_do_not_hold_timers_up)
{
    const rn_time begin = rn_now();
    SCOPE(s);

    OK(GO0(s, yields, NULL));
    OK(GO0(s, yields, NULL));
    for (int i = 0; i < 5; i++)
        OK(rn_sleep(rn_after(RN_MS)));
    GE(rn_now() - begin, 5 * RN_MS); /* that we are here at all is the point */
    OK(rn_scope_cancel(s));
    OK(rn_scope_wait(s));
}

/* ---- Timers with callbacks ------------------------------------------------------------------- */

struct bell {
    struct rn_timer timer;
    rn_time want;
    int rang;
};

static void rings(struct rn_timer *timer)
{
    struct bell *b = (struct bell *)(void *)timer; /* its first member */

    b->rang++;
    EQ(rn_now(), b->want);
}

static void arm(struct bell *b, rn_time when)
{
    b->want = when > rn_now() ? when : rn_now();
    rn_timer_arm(&b->timer, when, rings);
}

SIM_TEST(a_stopped_timer_never_fires, SEEDS)
{
    enum { N = 100 };
    static struct bell b[N];
    bool stopped[N];

    for (int i = 0; i < N; i++) {
        b[i] = (struct bell){0};
        arm(&b[i], rn_after((rn_time)(1 + dice(&seed, 100)) * RN_MS));
    }
    OK(rn_sleep(rn_after(50 * RN_MS)));
    for (int i = 0; i < N; i++) {
        stopped[i] = dice(&seed, 2) && b[i].rang == 0;
        if (stopped[i])
            rn_timer_disarm(&b[i].timer);
    }
    OK(rn_sleep(rn_after(RN_S)));
    for (int i = 0; i < N; i++)
        EQ(b[i].rang, !stopped[i]);
}

SIM_TEST(a_timer_moved_earlier_or_later_fires_once_at_its_last_moment, SEEDS)
{
    enum { N = 50 };
    static struct bell b[N];

    for (int i = 0; i < N; i++)
        b[i] = (struct bell){0};
    for (int round = 0; round < 20; round++) {
        for (int i = 0; i < N; i++) {
            if (b[i].rang == 0)
                arm(&b[i], rn_after((rn_time)dice(&seed, 1000) * (dice(&seed, 2) ? RN_US : RN_S)));
        }
        OK(rn_sleep(rn_after(100 * RN_US)));
    }
    OK(rn_sleep(rn_after(2000 * RN_S)));
    for (int i = 0; i < N; i++)
        EQ(b[i].rang, 1);
}

SIM_TEST(a_timer_that_never_was_armed_can_be_stopped, 1)
{
    struct bell b = {0};

    rn_timer_disarm(&b.timer);
    rn_timer_disarm(&b.timer);
    arm(&b, 0); /* the past is now */
    b.want = rn_now();
    OK(rn_sleep(rn_after(RN_MS)));
    EQ(b.rang, 1);
    rn_timer_disarm(&b.timer);
}

struct again {
    struct rn_timer timer;
    int left;
};

static void rings_again(struct rn_timer *timer)
{
    struct again *a = (struct again *)(void *)timer;

    if (--a->left > 0)
        rn_timer_arm(timer, rn_after(RN_MS), rings_again);
}

SIM_TEST(many_timers_armed_and_stopped_at_once_lose_none, SEEDS)
{
    enum { N = 50 };
    static struct again a[N];
    struct rn_stats before, after;

    rn_stats(rn_runtime_self(), &before);
    for (int i = 0; i < N; i++) {
        a[i] = (struct again){.left = 20};
        rn_timer_arm(&a[i].timer, rn_after(RN_MS), rings_again);
    }
    for (int i = 0; i < 15; i++) {
        struct bell b = {0};
        arm(&b, rn_after(10 * RN_MS));
        OK(rn_sleep(rn_after((rn_time)dice(&seed, 3) * RN_MS)));
        rn_timer_disarm(&b.timer);
    }
    OK(rn_sleep(rn_after(RN_S)));
    for (int i = 0; i < N; i++)
        EQ(a[i].left, 0);
    rn_stats(rn_runtime_self(), &after);
    EQ(after.timers, before.timers);
}

/* ---- Tickers --------------------------------------------------------------------------------- */

SIM_TEST(a_ticker_started_again_keeps_its_new_times, SEEDS)
{
    const rn_time slow = 20 * RN_MS, fast = slow / 4;
    struct rn_ticker t;

    OK(rn_ticker_start(&t, slow));
    for (int i = 0; i < 5; i++)
        OK(rn_ticker_wait(&t));
    OK(rn_sleep(rn_after((rn_time)dice(&seed, 19) * RN_MS))); /* somewhere between two ticks */
    const rn_time begin = rn_now();
    OK(rn_ticker_start(&t, fast));
    for (int i = 1; i <= 5; i++) {
        OK(rn_ticker_wait(&t));
        EQ(rn_now(), begin + i * fast);
    }
}

static int ticks_once(void *arg)
{
    const rn_time *period = arg;
    struct rn_ticker t;

    OK(rn_ticker_start(&t, *period));
    return rn_ticker_wait(&t);
}

SIM_TEST(tickers_that_nobody_waits_for_any_more_leave_no_timer, SEEDS)
{
    rn_time often = RN_US, never = RN_FOREVER / 2;
    struct rn_stats before, after;
    SCOPE(s);

    rn_stats(rn_runtime_self(), &before);
    for (int i = 0; i < 20; i++) {
        OK(GO0(s, ticks_once, &often));
        OK(GO0(s, ticks_once, &never));
    }
    OK(rn_sleep(rn_after(RN_MS)));
    rn_stats(rn_runtime_self(), &after);
    EQ(after.timers, before.timers + 20);
    OK(rn_scope_cancel(s));
    ERR(rn_scope_wait(s), ECANCELED);
    rn_stats(rn_runtime_self(), &after);
    EQ(after.timers, before.timers);
}

SIM_TEST(a_period_beyond_the_end_of_time_never_ticks_and_holds_nobody_up, SEEDS)
{
    struct rn_ticker t;
    SCOPE(s);

    OK(rn_sleep(rn_after(RN_S)));
    for (rn_time less = 0; less < 3 * RN_S; less += RN_S / 2) {
        rn_time period = RN_FOREVER - less, begin = rn_now();
        OK(GO0(s, ticks_once, &period));
        OK(rn_ticker_start(&t, period));
        GT(t.next, begin); /* not in the past, by a sum that is too large */
        EQ(rn_ticker_step(&t), 0);
        EQ(t.next, RN_FOREVER);
        OK(rn_ticker_start(&t, RN_MS)); /* another one goes on beside it */
        OK(rn_ticker_wait(&t));
        EQ(rn_now(), begin + RN_MS);
    }
    OK(rn_scope_cancel(s));
    ERR(rn_scope_wait(s), ECANCELED);
}
