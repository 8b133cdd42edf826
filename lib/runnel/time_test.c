#include <errno.h>
#include <stdlib.h>

#include <harness/task_test.h>

#include "core.h"

enum { TIMERS = 500 };

struct probe {
    struct rn_timer timer;
    rn_time when;
    unsigned fired;
};
static rn_time wheel_now;
static unsigned fired_total;

static void probe_fired(struct rn_timer *timer)
{
    struct probe *p = LIST_ENTRY(timer, struct probe, timer);

    GE(wheel_now, p->when);
    p->fired++;
    fired_total++;
}

static uint64_t dice(uint64_t *state)
{
    *state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return *state >> 16;
}

/* Spans from nanoseconds to days, so that every level is used. */
static rn_time span(uint64_t *state)
{
    return (rn_time)(dice(state) >> (dice(state) % 44)) & INT64_C(0xffffffffffff);
}

static void wheel_against_truth(bool exact, uint64_t seed)
{
    static struct rn__wheel w;
    struct probe *p = calloc(TIMERS, sizeof(*p));
    rn_time lag = exact ? 0 : 1 << 16;
    unsigned due = 0;

    wheel_now = 12345678;
    fired_total = 0;
    rn__wheel_init(&w, exact, wheel_now);
    for (int i = 0; i < TIMERS; i++) {
        p[i].when = wheel_now + span(&seed);
        rn__wheel_arm(&w, &p[i].timer, p[i].when, probe_fired);
    }
    for (int i = 0; i < TIMERS; i += 10) {
        rn__wheel_disarm(&w, &p[i].timer);
        rn__wheel_disarm(&w, &p[i].timer);
    }
    for (int i = 5; i < TIMERS; i += 10) {
        p[i].when = wheel_now + span(&seed);
        rn__wheel_arm(&w, &p[i].timer, p[i].when, probe_fired);
    }
    while (rn__wheel_next(&w) != RN_FOREVER) {
        rn_time next = rn__wheel_next(&w);

        wheel_now = next > wheel_now && dice(&seed) % 2 ? next : wheel_now + span(&seed);
        rn__wheel_advance(&w, wheel_now);
        for (int i = 0; i < TIMERS; i++)
            if (i % 10 && p[i].when + lag <= wheel_now)
                EQ(p[i].fired, 1u);
    }
    for (int i = 0; i < TIMERS; i++) {
        EQ(p[i].fired, i % 10 ? 1u : 0u);
        due += p[i].fired;
    }
    EQ(fired_total, due);
    EQ(atomic_load(&w.armed), 0u);
    free(p);
}

TEST(every_timer_fires_once_and_never_early)
{
    for (uint64_t seed = 1; seed <= 50; seed++) {
        wheel_against_truth(false, seed);
        wheel_against_truth(true, seed);
    }
}

static struct probe pair[2];

static void disarm_other(struct rn_timer *timer)
{
    struct probe *p = LIST_ENTRY(timer, struct probe, timer);

    p->fired++;
    rn_timer_disarm(&pair[p == &pair[0]].timer);
}

TASK_TEST(a_callback_may_disarm_a_timer_of_the_same_moment)
{
    rn_time when = rn_after(RN_MS);

    rn_timer_arm(&pair[0].timer, when, disarm_other);
    rn_timer_arm(&pair[1].timer, when, disarm_other);
    TASK_UNTIL(pair[0].fired + pair[1].fired > 0);
    OK(rn_sleep(rn_after(5 * RN_MS)));
    EQ(pair[0].fired + pair[1].fired, 1u);
}

static struct {
    struct rn_timer timer;
    int left;
} again;

static void rearm(struct rn_timer *timer)
{
    if (--again.left > 0)
        rn_timer_arm(timer, rn_now(), rearm);
}

TASK_TEST(a_callback_may_arm_its_own_timer_again)
{
    again.left = 5;
    rn_timer_arm(&again.timer, rn_after(RN_MS), rearm);
    TASK_UNTIL(again.left == 0);
}

static int order[8], order_n;

static int sleeper(void *arg)
{
    int n = (int)(intptr_t)arg;

    OK(rn_sleep(n * RN_S));
    EQ(rn_now(), n * RN_S);
    order[order_n++] = n;
    return 0;
}

SIM_TEST(a_simulated_clock_jumps_from_timer_to_timer, 20)
{
    struct rn_scope s;

    order_n = 0;
    EQ(rn_now(), 0);
    OK(rn_scope_open(0, &s));
    for (intptr_t n = 5; n >= 1; n--)
        OK(rn_go(s, sleeper, (void *)n, NULL, 0));
    OK(rn_scope_wait(s));
    OK(rn_scope_close(s));
    EQ(order_n, 5);
    for (int i = 0; i < 5; i++)
        EQ(order[i], i + 1);
}

TASK_TEST(a_sleep_lasts_at_least_as_long_as_asked)
{
    rn_time begin = rn_now();

    OK(rn_sleep(rn_after(3 * RN_MS)));
    GE(rn_now(), begin + 3 * RN_MS);
    OK(rn_sleep(0));
    OK(rn_sleep(begin));
}

TASK_TEST(a_span_beyond_the_end_of_time_is_for_ever)
{
    EQ(rn_after(RN_FOREVER), RN_FOREVER);
    EQ(rn_after(RN_FOREVER - 1), RN_FOREVER);
    LT(rn_after(RN_S), RN_FOREVER);
}
