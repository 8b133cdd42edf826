#include <errno.h>
#include <pthread.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <harness/task_test.h>

#include "core.h"

static int returns(void *arg)
{
    return (int)(intptr_t)arg;
}

TEST(a_runtime_returns_what_its_main_task_returned)
{
    EQ(rn_run(NULL, returns, (void *)(intptr_t)42), 42);
    ERR(rn_run(NULL, returns, (void *)(intptr_t)-EIO), EIO);
}

TEST(more_than_one_worker_is_refused)
{
    ERR(rn_run(&(struct rn_options){.workers = 2}, returns, NULL), EINVAL);
    ERR(rn_run(NULL, NULL, NULL), EINVAL);
}

static int runs_inside(void *arg)
{
    (void)arg;
    return rn_run(NULL, returns, NULL);
}

TEST(a_runtime_cannot_run_inside_another)
{
    ERR(rn_run(NULL, runs_inside, NULL), EPERM);
}

static int works(void *arg)
{
    struct rn_scope s;

    (void)arg;
    OK(rn_scope_open(0, &s));
    for (int i = 0; i < 100; i++)
        OK(rn_go(s, returns, NULL, NULL, 0));
    OK(rn_sleep(rn_after(RN_MS)));
    OK(rn_scope_close(s));
    return (int)rn_runtime_self()->number;
}

static void *runs_a_runtime(void *arg)
{
    *(int *)arg = rn_run(&(struct rn_options){.name = "one of many"}, works, NULL);
    return NULL;
}

TEST(several_runtimes_live_in_one_process)
{
    enum { N = 8 };
    pthread_t threads[N];
    int number[N];

    test_heap_allow(64 << 10); /* glibc keeps something of each thread that ended */
    for (int i = 0; i < N; i++)
        EQ(pthread_create(&threads[i], NULL, runs_a_runtime, &number[i]), 0);
    for (int i = 0; i < N; i++) {
        EQ(pthread_join(threads[i], NULL), 0);
        GE(number[i], 0);
    }
}

/* ---- fairness -------------------------------------------------------------------------------- */

static _Atomic bool other_ran;

static int runs_once(void *arg)
{
    (void)arg;
    other_ran = true;
    return 0;
}

TASK_TEST(an_operation_that_always_succeeds_yields_after_its_budget)
{
    struct rn_scope s;
    struct rn_tx tx;
    struct rn_rx rx;
    int n = 0, v = 0;

    OK(rn_chan_open(sizeof(int), 1, &tx, &rx));
    OK(rn_scope_open(0, &s));
    OK(rn_go(s, runs_once, NULL, NULL, 0));
    while (!other_ran) {
        OK(rn_tx_send(tx, &v, RN_FOREVER));
        OK(rn_rx_recv(rx, &v, RN_FOREVER));
        LE(++n, RN__BUDGET);
    }
    OK(rn_scope_close(s));
}

struct friend
{
    struct rn_tx tx;
    struct rn_rx rx;
};
static _Atomic bool friends_stop;

static int plays(void *arg)
{
    struct friend *f = arg;
    int v = 0;

    while (!friends_stop && rn_tx_send(f->tx, &v, RN_FOREVER) == 0 &&
           rn_rx_recv(f->rx, &v, RN_FOREVER) == 0)
        ;
    return 0;
}

static int counts_turns(void *arg)
{
    for (int i = 0; i < 100; i++)
        OK(rn_yield());
    (void)arg;
    friends_stop = true;
    return 0;
}

TASK_TEST(two_friends_do_not_starve_a_third)
{
    struct friend a, b;
    struct rn_scope s;

    OK(rn_chan_open(sizeof(int), 1, &a.tx, &b.rx));
    OK(rn_chan_open(sizeof(int), 1, &b.tx, &a.rx));
    OK(rn_scope_open(0, &s));
    OK(rn_go(s, plays, &a, ((struct rn_end[]){rn_end_tx(a.tx), rn_end_rx(a.rx)}), 2));
    OK(rn_go(s, plays, &b, ((struct rn_end[]){rn_end_tx(b.tx), rn_end_rx(b.rx)}), 2));
    OK(rn_go(s, counts_turns, NULL, NULL, 0));
    OK(rn_scope_wait(s));
    OK(rn_scope_close(s));
}

static _Atomic int ran;

static int counts(void *arg)
{
    (void)arg;
    ran++;
    return 0;
}

TASK_TEST(more_tasks_than_the_ring_holds_all_run)
{
    struct rn_scope s;
    struct rn_stats stats;
    int n = (int)test_tasks(20000);

    if (n > RN__SAN_TASKS_MAX / 2 || (test_sanitized() && n > 3000))
        n = 3000;
    OK(rn_scope_open(0, &s));
    for (int i = 0; i < n; i++)
        OK(rn_go_with(&(struct rn_task_options){.stack = RN_STACK_16K}, s, counts, NULL, NULL, 0));
    rn_stats(rn_runtime_self(), &stats);
    EQ(stats.tasks_runnable, (uint64_t)n);
    EQ(stats.tasks_running, 1u);
    OK(rn_scope_wait(s));
    EQ(ran, n);
    OK(rn_scope_close(s));
    rn_stats(rn_runtime_self(), &stats);
    EQ(stats.tasks_started, (uint64_t)n + 1);
    EQ(stats.stack_bytes, 1u << 20); /* main's */
}

TASK_TEST(a_hog_is_counted_as_a_stall)
{
    struct rn_stats stats;
    rn_time until = rn_after(40 * RN_MS);

    while (rn_now() < until)
        ;
    OK(rn_yield());
    OK(rn_sleep(rn_after(RN_MS)));
    rn_stats(rn_runtime_self(), &stats);
    GE(stats.worker_stalls, 1u);
}

TASK_TEST(a_hog_is_counted_while_it_still_runs)
{
    struct rn_stats stats;
    rn_time begin = rn_loop_now();

    do
        rn_stats(rn_runtime_self(), &stats);
    while (stats.worker_stalls == 0);
    while (rn_loop_now() == begin) /* the coarse clock goes on, too */
        ;
    GE(rn_loop_now(), begin);
}

/* ---- the deterministic mode ------------------------------------------------------------------ */

static int wanders(void *arg)
{
    for (int i = 0; i < 20; i++) {
        if (rn__random(2))
            OK(rn_yield());
        else
            OK(rn_sleep(rn_after(rn__random(1000))));
    }
    (void)arg;
    return 0;
}

static uint64_t trace_of_last;

static int many_wander(void *arg)
{
    struct rn_scope s;

    (void)arg;
    OK(rn_scope_open(0, &s));
    for (int i = 0; i < 10; i++)
        OK(rn_go(s, wanders, NULL, NULL, 0));
    OK(rn_scope_wait(s));
    OK(rn_scope_close(s));
    trace_of_last = rn__trace(rn_runtime_self());
    return 0;
}

static uint64_t trace(uint64_t seed)
{
    OK(rn_run(&(struct rn_options){.sim = true, .seed = seed}, many_wander, NULL));
    return trace_of_last;
}

TEST(the_same_seed_gives_the_same_run)
{
    for (uint64_t seed = 1; seed <= 20; seed++) {
        EQ(trace(seed), trace(seed));
        NE(trace(seed), trace(seed + 1));
    }
}

static int waits_for_nobody(void *arg)
{
    struct rn_tx tx;
    struct rn_rx rx;

    (void)arg;
    OK(rn_chan_open(1, 0, &tx, &rx));
    ERR(rn_rx_recv(rx, &(char){0}, RN_FOREVER), ECANCELED);
    return 0;
}

TEST(a_simulation_in_which_nothing_can_happen_ends_with_edeadlk)
{
    ERR(rn_run(&(struct rn_options){.sim = true, .seed = 1, .leaks = RN_LEAKS_IGNORE},
               waits_for_nobody, NULL),
        EDEADLK);
}

/* ---- the referees ---------------------------------------------------------------------------- */

#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define UNDER_TSAN 1
#endif
#endif

TEST(the_race_detector_sees_two_tasks_of_one_worker)
{
#ifdef UNDER_TSAN
    const char *path = getenv("RUNNEL_RACE");
    char command[600];

    if (!path)
        SKIP("RUNNEL_RACE doesn't name the racing program");
    snprintf(command, sizeof(command), "%s race 2>&1 | grep -q 'data race.*racer'", path);
    EQ(system(command), 0);
    snprintf(command, sizeof(command), "%s ordered", path);
    EQ(system(command), 0);
#else
    SKIP("only in a build with -Db_sanitize=thread");
#endif
}
