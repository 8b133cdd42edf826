#include <errno.h>

#include <harness/task_test.h>

#include <runnel/runnel.h>

#include <base/cleanup.h>

static int returns(void *arg)
{
    return (int)(intptr_t)arg;
}

static int sleeps_for_ever(void *arg)
{
    int r = rn_sleep(RN_FOREVER);

    if (arg)
        ++*(_Atomic int *)arg;
    return r;
}

TASK_TEST(a_scope_returns_the_first_error_of_its_tasks)
{
    struct rn_scope s;

    OK(rn_scope_open(RN_SCOPE_WAIT_ALL, &s));
    OK(rn_go(s, returns, (void *)(intptr_t)0, NULL, 0));
    OK(rn_scope_wait(s));
    OK(rn_go(s, returns, (void *)(intptr_t)-EIO, NULL, 0));
    OK(rn_go(s, returns, (void *)(intptr_t)-ENOENT, NULL, 0));
    ERR(rn_scope_wait(s), EIO);
    ERR(rn_scope_close(s), EIO);
    ERR(rn_scope_close(s), EBADF);
    ERR(rn_go(s, returns, NULL, NULL, 0), EBADF);
}

TASK_TEST(close_cancels_what_still_runs_and_waits_for_it)
{
    struct rn_scope s;
    _Atomic int woken = 0;

    OK(rn_scope_open(0, &s));
    for (int i = 0; i < 100; i++)
        OK(rn_go(s, sleeps_for_ever, &woken, NULL, 0));
    OK(rn_yield());
    OK(rn_scope_close(s)); /* -ECANCELED of the tasks is no error of the scope */
    EQ(woken, 100);
}

TASK_TEST(the_first_error_cancels_the_others_if_asked)
{
    struct rn_scope s;
    _Atomic int woken = 0;

    OK(rn_scope_open(RN_SCOPE_FAIL_FAST, &s));
    OK(rn_go(s, sleeps_for_ever, &woken, NULL, 0));
    OK(rn_go(s, returns, (void *)(intptr_t)-EPROTO, NULL, 0));
    ERR(rn_scope_wait(s), EPROTO);
    EQ(woken, 1);
    ERR(rn_go(s, returns, NULL, NULL, 0), ECANCELED);
    OK(rn_cancelled()); /* the opener is no task of the scope */
    ERR(rn_scope_close(s), EPROTO);
}

TASK_TEST(a_deadline_cancels_and_can_be_taken_back)
{
    struct rn_scope s;

    OK(rn_scope_open(0, &s));
    OK(rn_go(s, sleeps_for_ever, NULL, NULL, 0));
    OK(rn_scope_deadline(s, rn_after(RN_S)));
    OK(rn_scope_deadline(s, rn_after(RN_MS)));
    ERR(rn_scope_wait(s), ECANCELED);
    OK(rn_scope_close(s));

    OK(rn_scope_open(0, &s));
    OK(rn_scope_deadline(s, rn_after(RN_MS)));
    OK(rn_scope_deadline(s, RN_FOREVER));
    OK(rn_sleep(rn_after(5 * RN_MS)));
    OK(rn_go(s, returns, NULL, NULL, 0));
    OK(rn_scope_close(s));
}

static int opens_inside(void *arg)
{
    CLEANUP(rn_scope_closep) struct rn_scope inner = {0};

    OK(rn_scope_open(0, &inner));
    OK(rn_go(inner, sleeps_for_ever, arg, NULL, 0));
    ERR(rn_scope_wait(inner), ECANCELED);
    return -ECANCELED;
}

TASK_TEST(a_cancel_goes_down_the_tree)
{
    struct rn_scope s, beside;
    _Atomic int woken = 0;

    OK(rn_scope_open(0, &s));
    OK(rn_scope_open(0, &beside));
    for (int i = 0; i < 10; i++)
        OK(rn_go(s, opens_inside, &woken, NULL, 0));
    OK(rn_go(beside, sleeps_for_ever, NULL, NULL, 0));
    OK(rn_yield());
    OK(rn_yield());
    OK(rn_scope_cancel(s));
    OK(rn_scope_close(s));
    EQ(woken, 10);
    OK(rn_scope_close(beside)); /* scopes of one task are independent of each other */
}

static int forgets_a_scope(void *arg)
{
    struct rn_scope s;

    OK(rn_scope_open(0, &s));
    OK(rn_go(s, sleeps_for_ever, arg, NULL, 0));
    return 0;
}

TASK_TEST(what_a_task_leaves_open_is_closed_when_it_ends)
{
    struct rn_scope s;
    struct rn_stats stats;
    _Atomic int woken = 0;

    OK(rn_scope_open(0, &s));
    OK(rn_go(s, forgets_a_scope, &woken, NULL, 0));
    OK(rn_scope_wait(s));
    EQ(woken, 1);
    OK(rn_scope_close(s));
    rn_stats(rn_runtime_self(), &stats);
    EQ(stats.scopes, 1u);
}

static int closes_a_strangers_scope(void *arg)
{
    struct rn_scope *s = arg;

    ERR(rn_scope_close(*s), EPERM);
    ERR(rn_scope_wait(*s), EPERM);
    ERR(rn_scope_close(rn_scope_self()), EPERM);
    return 0;
}

TASK_TEST(only_its_opener_may_wait_for_a_scope)
{
    struct rn_scope s;

    OK(rn_scope_open(0, &s));
    OK(rn_go(s, closes_a_strangers_scope, &s, NULL, 0));
    OK(rn_scope_close(s));
}

struct shielded {
    rn_time deadline, span;
    int inside, after;
};

static int sleeps_shielded(void *arg)
{
    struct shielded *sh = arg;

    OK(rn_shield_begin(rn_after(sh->deadline)));
    sh->inside = rn_sleep(rn_after(sh->span));
    rn_shield_end();
    sh->after = rn_sleep(RN_FOREVER);
    return 0;
}

SIM_TEST(a_shield_holds_a_cancel_off_until_it_ends, 20)
{
    struct shielded long_enough = {2 * RN_S, RN_S, 1, 1}, too_short = {RN_S, 2 * RN_S, 1, 1};
    struct rn_scope s;

    OK(rn_scope_open(0, &s));
    OK(rn_go(s, sleeps_shielded, &long_enough, NULL, 0));
    OK(rn_go(s, sleeps_shielded, &too_short, NULL, 0));
    OK(rn_sleep(rn_after(RN_MS)));
    OK(rn_scope_close(s));
    EQ(long_enough.inside, 0);
    ERR(long_enough.after, ECANCELED);
    ERR(too_short.inside, ECANCELED); /* at the shield's own deadline */
    GE(rn_now(), RN_S);
    LT(rn_now(), 2 * RN_S);
}

SIM_TEST(a_shield_that_ends_quietly_leaves_the_wait_alone, 20)
{
    OK(rn_shield_begin(rn_after(RN_S)));
    OK(rn_sleep(3 * RN_S));
    EQ(rn_now(), 3 * RN_S);
    rn_shield_end();
    ERR(rn_shield_begin(RN_FOREVER), EINVAL);
}

static int sleeps_in_two_shields(void *arg)
{
    (void)arg;
    OK(rn_shield_begin(rn_after(RN_S)));
    OK(rn_shield_begin(rn_after(2 * RN_S)));
    ERR(rn_sleep(rn_after(3 * RN_S)), ECANCELED);
    EQ(rn_now(), 2 * RN_S);
    rn_shield_end();
    rn_shield_end();
    return 0;
}

SIM_TEST(of_nested_shields_the_longest_counts, 20)
{
    struct rn_scope s;

    OK(rn_scope_open(0, &s));
    OK(rn_go(s, sleeps_in_two_shields, NULL, NULL, 0));
    OK(rn_yield());
    OK(rn_scope_cancel(s));
    OK(rn_scope_wait(s));
    OK(rn_scope_close(s));
}

static int fails_inside(void *arg)
{
    struct rn_scope inner;
    (void)arg;

    OK(rn_scope_open(0, &inner));
    OK(rn_go(inner, returns, (void *)(intptr_t)-EIO, NULL, 0));
    ERR(rn_scope_wait(inner), EIO);
    return rn_scope_close(inner);
}

TASK_TEST(an_error_climbs_from_scope_to_scope)
{
    struct rn_scope s;

    OK(rn_scope_open(RN_SCOPE_FAIL_FAST, &s));
    OK(rn_go(s, fails_inside, NULL, NULL, 0));
    ERR(rn_scope_wait(s), EIO);
    ERR(rn_scope_close(s), EIO);
}

TASK_TEST(one_task_can_be_cancelled_alone)
{
    struct rn_scope s;
    struct rn_task one = {0};
    _Atomic int woken = 0, other = 0;

    OK(rn_scope_open(0, &s));
    OK(rn_go_with(&(struct rn_task_options){.ret_task = &one}, s, sleeps_for_ever, &woken, NULL,
                  0));
    OK(rn_go(s, sleeps_for_ever, &other, NULL, 0));
    OK(rn_yield());
    OK(rn_task_cancel(one));
    TASK_UNTIL(woken == 1);
    EQ(other, 0);
    ERR(rn_task_cancel(one), EBADF);
    ERR(rn_task_cancel((struct rn_task){0}), EBADF);
    OK(rn_scope_close(s));
}

static int opens_and_closes_many(void *arg)
{
    (void)arg;
    for (int i = 0; i < 50; i++) {
        struct rn_scope s;

        OK(rn_scope_open(i % 2 ? RN_SCOPE_FAIL_FAST : 0, &s));
        for (int k = 0; k < 3; k++)
            if (rn_go(s, i % 3 ? returns : sleeps_for_ever, NULL, NULL, 0) < 0)
                ERR(rn_cancelled(), ECANCELED);
        (void)rn_yield();
        (void)rn_scope_close(s);
    }
    return 0;
}

SIM_TEST(scopes_end_in_every_order, 200)
{
    struct rn_scope s;
    struct rn_stats stats;

    OK(rn_scope_open(0, &s));
    for (int i = 0; i < 5; i++)
        OK(rn_go(s, opens_and_closes_many, NULL, NULL, 0));
    if (seed % 2)
        OK(rn_scope_cancel(s));
    OK(rn_scope_close(s));
    rn_stats(rn_runtime_self(), &stats);
    EQ(stats.scopes, 1u);
}
