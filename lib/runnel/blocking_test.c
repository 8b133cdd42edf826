#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include <harness/task_test.h>

#include <runnel/runnel.h>

#include <base/cleanup.h>

static int adds_one(void *arg)
{
    return *(int *)arg + 1;
}

TASK_TEST(a_blocking_call_returns_what_its_function_returned)
{
    CLEANUP(rn_class_closep) struct rn_class *c = NULL;
    int x = 41;

    ERR(rn_class_open("none", 0, &c), EINVAL);
    OK(rn_class_open("test", 2, &c));
    for (int i = 0; i < 100; i++)
        EQ(rn_blocking(c, adds_one, &x), 42);
}

static _Atomic int running, running_max, order_n;
static int order[64];
static _Atomic bool gate;

static int counts_itself(void *arg)
{
    int n = ++running, max = running_max;

    while (n > max && !atomic_compare_exchange_weak(&running_max, &max, n))
        ;
    order[order_n++] = (int)(intptr_t)arg;
    usleep(200);
    running--;
    return 0;
}

struct call {
    struct rn_class *c;
    int (*fn)(void *arg);
    void *arg;
    _Atomic int result;
};

static int calls(void *arg)
{
    struct call *call = arg;

    call->result = rn_blocking(call->c, call->fn, call->arg);
    return 0;
}

static void run_many(struct rn_class *c, int n)
{
    struct call call[64];
    struct rn_scope s;

    OK(rn_scope_open(0, &s));
    for (int i = 0; i < n; i++) {
        call[i] = (struct call){.c = c, .fn = counts_itself, .arg = (void *)(intptr_t)i};
        OK(rn_go(s, calls, &call[i], NULL, 0));
    }
    OK(rn_scope_wait(s));
    OK(rn_scope_close(s));
}

TASK_TEST(a_class_of_one_runs_its_jobs_in_order_and_never_two)
{
    CLEANUP(rn_class_closep) struct rn_class *c = NULL;

    OK(rn_class_open("one", 1, &c));
    run_many(c, 64);
    EQ(running_max, 1);
    for (int i = 0; i < 64; i++)
        EQ(order[i], i);
}

TASK_TEST(a_class_never_runs_more_than_its_bound)
{
    CLEANUP(rn_class_closep) struct rn_class *c = NULL;

    OK(rn_class_open("three", 3, &c));
    run_many(c, 64);
    LE(running_max, 3);
}

static int waits_for_the_gate(void *arg)
{
    if (arg)
        ++*(_Atomic int *)arg;
    while (!gate)
        usleep(100);
    return 7;
}

TASK_TEST(one_class_never_holds_up_another)
{
    CLEANUP(rn_class_closep) struct rn_class *slow = NULL, *quick = NULL;
    _Atomic int begun = 0;
    int x = 1;
    struct rn_scope s;
    struct call call;

    OK(rn_class_open("slow", 1, &slow));
    OK(rn_class_open("quick", 1, &quick));
    call = (struct call){.c = slow, .fn = waits_for_the_gate, .arg = &begun};
    OK(rn_scope_open(0, &s));
    OK(rn_go(s, calls, &call, NULL, 0));
    TASK_UNTIL(begun == 1);
    EQ(rn_blocking(quick, adds_one, &x), 2);
    gate = true;
    OK(rn_scope_wait(s));
    OK(rn_scope_close(s));
    EQ(call.result, 7);
}

TASK_TEST(a_queued_job_is_taken_back_and_a_started_one_is_waited_for)
{
    CLEANUP(rn_class_closep) struct rn_class *c = NULL;
    _Atomic int begun = 0;
    struct call first, second;
    struct rn_scope s;
    struct rn_stats stats;

    OK(rn_class_open("one", 1, &c));
    first = (struct call){.c = c, .fn = waits_for_the_gate, .arg = &begun};
    second = (struct call){.c = c, .fn = waits_for_the_gate, .arg = &begun};
    OK(rn_scope_open(0, &s));
    OK(rn_go(s, calls, &first, NULL, 0));
    TASK_UNTIL(begun == 1);
    OK(rn_go(s, calls, &second, NULL, 0));
    TASK_UNTIL((rn_stats(rn_runtime_self(), &stats), stats.blocking_queued == 1));
    OK(rn_scope_cancel(s));
    TASK_UNTIL(second.result == -ECANCELED);
    EQ(first.result, 0);
    gate = true;
    OK(rn_scope_close(s));
    EQ(first.result, 7);
    EQ(begun, 1);
}

static _Atomic int freed;

static void frees(void *arg)
{
    free(arg);
    freed++;
}

static _Atomic int owned_begun;

static int gated_owned(void *arg)
{
    (void)arg;
    owned_begun++;
    while (!gate)
        usleep(100);
    return 9;
}

static int gives_up(void *arg)
{
    return rn_blocking_owned((struct rn_class *)arg, gated_owned, malloc(8), frees, RN_FOREVER);
}

TASK_TEST(an_owned_job_may_outlive_its_waiter)
{
    CLEANUP(rn_class_closep) struct rn_class *c = NULL;
    struct rn_scope s;
    void *arg;

    OK(rn_class_open("one", 1, &c));
    OK(rn_scope_open(0, &s));
    OK(rn_go(s, gives_up, c, NULL, 0));
    TASK_UNTIL(owned_begun == 1);
    OK(rn_scope_cancel(s));
    ERR(rn_scope_wait(s), ECANCELED); /* it runs on, abandoned */
    OK(rn_scope_close(s));
    ERR(rn_blocking_owned(c, gated_owned, malloc(8), frees, rn_after(RN_MS)),
        ETIMEDOUT); /* queued: taken back */
    EQ(freed, 1);
    gate = true;
    TASK_UNTIL(freed == 2);
    EQ(owned_begun, 1);
    arg = malloc(8);
    EQ(rn_blocking_owned(c, gated_owned, arg, frees, RN_FOREVER), 9);
    EQ(freed, 2);
    free(arg); /* ours again */
}

static int looks_at_its_mask(void *arg)
{
    sigset_t set;

    (void)arg;
    pthread_sigmask(SIG_SETMASK, NULL, &set);
    return sigismember(&set, SIGTERM) && sigismember(&set, SIGUSR1);
}

TASK_TEST(pool_threads_block_every_signal)
{
    CLEANUP(rn_class_closep) struct rn_class *c = NULL;

    OK(rn_class_open("one", 1, &c));
    EQ(rn_blocking(c, looks_at_its_mask, NULL), 1);
}

static int uses_a_megabyte(void *arg)
{
    volatile char deep[700 << 10];

    (void)arg;
    for (size_t i = 0; i < sizeof(deep); i += 4096)
        deep[i] = 1;
    return deep[0];
}

TASK_TEST(pool_threads_have_deep_stacks)
{
    CLEANUP(rn_class_closep) struct rn_class *c = NULL;

    OK(rn_class_open("one", 1, &c));
    EQ(rn_blocking(c, uses_a_megabyte, NULL), 1);
}

SIM_TEST(a_simulation_runs_blocking_code_between_turns, 50)
{
    CLEANUP(rn_class_closep) struct rn_class *c = NULL;
    void *arg = malloc(8);

    running = running_max = order_n = 0;
    gate = true;
    OK(rn_class_open("one", 1, &c));
    run_many(c, 20);
    EQ(order_n, 20);
    EQ(rn_blocking_owned(c, gated_owned, arg, frees, RN_FOREVER), 9);
    free(arg);
}

static int counts_up(void *arg)
{
    return ++*(int *)arg;
}

SIM_TEST(a_simulated_class_waits_for_its_jobs_too, 50)
{
    struct rn_class *c = NULL;
    struct rn_stats stats;
    struct rn_scope s;
    struct call call;
    int runs = 0;

    OK(rn_class_open("one", 1, &c));
    call = (struct call){.c = c, .fn = counts_up, .arg = &runs};
    OK(rn_scope_open(0, &s));
    OK(rn_go(s, calls, &call, NULL, 0));
    do {
        OK(rn_yield());
        rn_stats(rn_runtime_self(), &stats);
    } while (stats.parks_blocking == 0);
    OK(rn_scope_cancel(s)); /* begun or not, the job is waited for */
    rn_class_close(c);
    EQ(runs, 1);
    OK(rn_scope_wait(s));
    OK(rn_scope_close(s));
    EQ(call.result, 1);
}

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif

#ifndef SANITIZED /* they want address space of their own */
static int closes_it(void *arg)
{
    rn_class_close(arg);
    return 0;
}

/* No thread can be made for the second class, so its job stays queued until it is taken back. */
TASK_TEST(a_class_whose_last_job_was_taken_back_can_be_closed)
{
    CLEANUP(rn_class_closep) struct rn_class *busy = NULL;
    struct rn_class *c = NULL;
    _Atomic int begun = 0;
    struct call first, second;
    struct rn_scope s, closing;
    struct rlimit old, none;
    struct rn_stats stats;

    OK(rn_class_open("busy", 1, &busy));
    OK(rn_class_open("one", 1, &c));
    first = (struct call){.c = busy, .fn = waits_for_the_gate, .arg = &begun};
    second = (struct call){.c = c, .fn = waits_for_the_gate, .arg = &begun};
    OK(rn_scope_open(0, &s));
    OK(rn_scope_open(0, &closing));
    OK(rn_go(closing, calls, &first, NULL, 0));
    TASK_UNTIL(begun == 1);
    EQ(getrlimit(RLIMIT_AS, &old), 0);
    none = (struct rlimit){1 << 20, old.rlim_max};
    EQ(setrlimit(RLIMIT_AS, &none), 0);
    OK(rn_go(s, calls, &second, NULL, 0));
    TASK_UNTIL((rn_stats(rn_runtime_self(), &stats), stats.blocking_queued == 1));
    EQ(setrlimit(RLIMIT_AS, &old), 0);
    OK(rn_go(closing, closes_it, c, NULL, 0));
    OK(rn_yield());
    OK(rn_scope_close(s));
    EQ(second.result, -ECANCELED);
    TASK_UNTIL((rn_stats(rn_runtime_self(), &stats), stats.parks_blocking >= 3));
    gate = true;
    OK(rn_scope_wait(closing));
    OK(rn_scope_close(closing));
}
#endif
