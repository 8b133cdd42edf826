/* Scopes, cancellation and counts, as Go's context_test.go and proc_test.go know them. */
#include "conformance/conformance_testing.h"

static int sleeps(void *arg)
{
    int *result = arg;

    *result = rn_sleep(RN_FOREVER);
    return 0;
}

static int ends(void *arg)
{
    (void)arg;
    return 0;
}

static struct rn_stats stats_now(void)
{
    struct rn_stats stats;

    rn_stats(rn_runtime_self(), &stats);
    return stats;
}

/* ---- Trees of scopes ------------------------------------------------------------------------- */

static int opens_a_child(void *arg)
{
    int inner = 1;
    SCOPE(s);

    OK(GO0(s, sleeps, &inner));
    const int r = rn_scope_wait(s);
    TRUE(r == 0 || r == -ECANCELED); /* whether the end of the task or the cancel came first */
    OK(rn_scope_close(s));
    s = (struct rn_scope){0};
    *(int *)arg = inner;
    return 0;
}

SIM_TEST(a_child_that_finishes_first_leaves_its_parent_alone, SEEDS)
{
    int result = 1;
    SCOPE(parent);

    OK(GO0(parent, ends, NULL));
    {
        SCOPE(child); /* of the same task: beside the other */
        OK(GO0(child, ends, NULL));
        OK(rn_scope_cancel(child));
        OK(rn_scope_wait(child));
    }
    OK(rn_scope_wait(parent));
    OK(GO0(parent, sleeps, &result)); /* still takes tasks */
    OK(rn_yield());
    OK(rn_scope_cancel(parent));
    OK(rn_scope_wait(parent));
    ERR(result, ECANCELED);
}

static int opens_when_cancelled(void *arg)
{
    struct rn_scope s;

    (void)arg;
    ERR(rn_sleep(RN_FOREVER), ECANCELED);
    OK(rn_scope_open(0, &s));
    ERR(rn_go(s, ends, NULL, NULL, 0), ECANCELED);
    OK(rn_scope_close(s));
    return 0;
}

SIM_TEST(a_scope_inside_a_cancelled_one_is_cancelled_from_the_start, SEEDS)
{
    SCOPE(s);

    OK(GO0(s, opens_when_cancelled, NULL));
    OK(rn_yield());
    OK(rn_scope_cancel(s));
    OK(rn_scope_wait(s));
}

SIM_TEST(a_scope_cancelled_before_its_deadline_forgets_the_deadline, SEEDS)
{
    int result = 1;
    const struct rn_stats before = stats_now();
    struct rn_scope s;

    OK(rn_scope_open(0, &s));
    OK(rn_scope_deadline(s, rn_after(RN_S)));
    OK(GO0(s, opens_a_child, &result));
    OK(rn_sleep(rn_after(RN_MS)));
    OK(rn_scope_cancel(s));
    OK(rn_scope_close(s));
    ERR(result, ECANCELED);
    LT(rn_now(), RN_S);
    EQ(stats_now().timers, before.timers);
    OK(rn_sleep(rn_after(2 * RN_S))); /* nothing comes late */
}

struct tree {
    uint64_t random;
    int depth;
    bool timed;
};

static _Atomic int leaves;

/* Opens a scope with up to three trees in it, maybe with a deadline of its own, and waits. */
static int grows(void *arg)
{
    struct tree *t = arg, below[3];
    SCOPE(s);

    if (t->depth == 0) {
        leaves++;
        const int r = rn_sleep(RN_FOREVER);
        leaves--;
        return r == -ECANCELED ? 0 : -EIO;
    }
    if (t->timed)
        OK(rn_scope_deadline(s, rn_after((rn_time)(1 + dice(&t->random, 1000)) * RN_S)));
    for (uint32_t i = dice(&t->random, 3) + 1; i-- > 0;) {
        below[i] = (struct tree){t->random + i, t->depth - 1, t->timed};
        OK(GO0(s, grows, &below[i]));
    }
    const int r = rn_scope_wait(s);
    return r == 0 || r == -ECANCELED ? 0 : r;
}

static void layers(uint64_t random, bool timed)
{
    struct tree t[3];
    const struct rn_stats before = stats_now();
    struct rn_scope s;

    OK(rn_scope_open(0, &s));
    for (uint64_t i = 0; i < 3; i++) {
        t[i] = (struct tree){random * 3 + i, 4, timed};
        OK(GO0(s, grows, &t[i]));
    }
    TASK_UNTIL(leaves > 0);
    if (timed)
        OK(rn_scope_deadline(s, rn_after((rn_time)dice(&random, 1000) * RN_S)));
    else
        OK(rn_scope_cancel(s));
    const int r = rn_scope_wait(s);
    TRUE(r == 0 || r == -ECANCELED);
    OK(rn_scope_close(s));
    EQ(leaves, 0);
    /* what was cancelled has left no record behind */
    EQ(stats_now().scopes, before.scopes);
    EQ(stats_now().timers, before.timers);
}

SIM_TEST(random_trees_of_scopes_end_by_one_cancel, SEEDS)
{
    layers(seed, false);
}

SIM_TEST(random_trees_of_scopes_with_deadlines_end_by_one_deadline, SEEDS)
{
    layers(seed, true);
}

static int expires(void *arg)
{
    (void)arg;
    ERR(rn_sleep(RN_FOREVER), ECANCELED);
    return 0;
}

SIM_TEST(layers_of_deadlines_end_by_the_nearest, SEEDS)
{
    struct rn_scope s[5];
    rn_time nearest = RN_FOREVER;

    for (int i = 0; i < 5; i++) { /* beside each other, each with its own */
        const rn_time span = (rn_time)(10 + dice(&seed, 1000)) * RN_MS;
        OK(rn_scope_open(0, &s[i]));
        OK(GO0(s[i], expires, NULL));
        OK(rn_scope_deadline(s[i], rn_after(2 * span)));
        OK(rn_scope_deadline(s[i], rn_after(span)));
        nearest = span < nearest ? span : nearest;
    }
    TASK_UNTIL(tasks_parked() == 5);
    TASK_UNTIL(tasks_parked() < 5);
    TRUE(rn_now() >= nearest && rn_now() <= nearest + 10 * RN_MS);
    TASK_UNTIL(tasks_parked() == 0);
    for (int i = 0; i < 5; i++)
        OK(rn_scope_close(s[i]));
}

SIM_TEST(a_cancelled_scope_leaves_no_record_in_its_parent, 1)
{
    const struct rn_stats before = stats_now();

    for (int i = 0; i < 1000; i++) {
        struct rn_scope s;
        OK(rn_scope_open(0, &s));
        OK(rn_scope_deadline(s, rn_after(1000 * RN_S)));
        OK(rn_scope_cancel(s));
        OK(rn_scope_close(s));
    }
    EQ(stats_now().scopes, before.scopes);
    EQ(stats_now().timers, before.timers);
    EQ(stats_now().endpoints, before.endpoints);
}

static int cancels(void *arg)
{
    return rn_scope_cancel(*(struct rn_scope *)arg) == 0 ? 0 : -EIO;
}

SIM_TEST(cancels_at_the_same_time_are_one, SEEDS)
{
    enum { N = 20 };
    int result[N];
    struct rn_scope victim;
    SCOPE(s);

    OK(rn_scope_open(0, &victim));
    for (int i = 0; i < N; i++)
        OK(GO0(victim, sleeps, &result[i]));
    for (int i = 0; i < N; i++)
        OK(GO0(s, cancels, &victim));
    OK(rn_scope_wait(s));
    OK(rn_scope_close(victim));
    for (int i = 0; i < N; i++)
        ERR(result[i], ECANCELED);
}

/* Parent and child cancel each other's scopes from inside: no order of locks to get wrong. */
struct mutual {
    struct rn_scope own, other;
};

static int cancels_the_other(void *arg)
{
    const struct mutual *m = arg;

    const int r = rn_scope_cancel(m->other);
    TRUE(r == 0 || r == -EBADF); /* it may be over already */
    OK(rn_scope_cancel(m->own));
    ERR(rn_cancelled(), ECANCELED);
    return 0;
}

SIM_TEST(scopes_that_cancel_each_other_both_end, SEEDS)
{
    struct mutual a, b;

    OK(rn_scope_open(0, &a.own));
    OK(rn_scope_open(0, &b.own));
    a.other = b.own;
    b.other = a.own;
    OK(GO0(a.own, cancels_the_other, &a));
    /* one may have ended the other before it took its task */
    const int r = GO0(b.own, cancels_the_other, &b);
    TRUE(r == 0 || r == -ECANCELED);
    OK(rn_scope_close(a.own));
    OK(rn_scope_close(b.own));
}

SIM_TEST(a_scope_needs_no_task_of_its_own, 1)
{
    const struct rn_stats before = stats_now();
    struct rn_scope s[10];

    for (int i = 0; i < 10; i++) {
        OK(rn_scope_open(0, &s[i]));
        OK(rn_scope_deadline(s[i], rn_after(RN_S)));
    }
    OK(rn_sleep(rn_after(2 * RN_S)));
    for (int i = 0; i < 10; i++)
        OK(rn_scope_close(s[i]));
    EQ(stats_now().tasks_started, before.tasks_started);
}

/* ---- Turns and counts ------------------------------------------------------------------------ */

struct turns {
    _Atomic int *others;
    int rounds;
    bool pinned;
};

static int counts_turns(void *arg)
{
    const struct turns *t = arg;

    for (int i = 0; i < t->rounds; i++) {
        ++*t->others;
        OK(rn_yield());
    }
    return 0;
}

SIM_TEST(a_yield_lets_others_run_pinned_or_not, SEEDS)
{
    _Atomic int others = 0;
    struct turns t = {.others = &others, .rounds = 100};
    const struct rn_task_options pinned = {.pinned = true};
    SCOPE(s);

    OK(GO0(s, counts_turns, &t));
    OK(rn_go_with(&pinned, s, counts_turns, &t, NULL, 0));
    while (others < 2 * t.rounds)
        OK(rn_yield());
    OK(rn_scope_wait(s));
}

struct pong {
    struct rn_rx rx;
    struct rn_tx tx;
};

static int answers(void *arg)
{
    const struct pong *p = arg;
    int v;

    while (rn_rx_recv(p->rx, &v, RN_FOREVER) == 0 && rn_tx_send(p->tx, &v, RN_FOREVER) == 0)
        ;
    return 0;
}

static int yields_for_ever(void *arg)
{
    _Atomic uint64_t *turns = arg;

    while (rn_yield() == 0)
        ++*turns;
    return 0;
}

/* Neither starves the other. */
TASK_TEST(a_ping_pong_goes_on_beside_tasks_that_only_yield)
{
    const int rounds = (int)test_tasks(2000);
    struct chan ping = chan_open(sizeof(int), 0), pong = chan_open(sizeof(int), 0);
    struct pong p = {.rx = ping.rx, .tx = pong.tx};
    _Atomic uint64_t turns[4] = {0};
    SCOPE(s);

    OK(GO(s, answers, &p, rn_end_rx(p.rx), rn_end_tx(p.tx)));
    for (int i = 0; i < 4; i++)
        OK(GO0(s, yields_for_ever, &turns[i]));
    for (int i = 0, v; i < rounds; i++) {
        OK(rn_tx_send(ping.tx, &i, RN_FOREVER));
        OK(rn_rx_recv(pong.rx, &v, RN_FOREVER));
        EQ(v, i);
    }
    for (int i = 0; i < 4; i++)
        GT(turns[i], 0);
    OK(rn_scope_cancel(s));
    OK(rn_scope_wait(s));
}

SIM_TEST(the_number_of_tasks_is_exact, SEEDS)
{
    const struct rn_stats before = stats_now();
    int results[100];
    SCOPE(s);

    for (int i = 0; i < 100; i++)
        OK(GO0(s, sleeps, &results[i]));
    TASK_UNTIL(tasks_parked() == 100);
    EQ(stats_now().tasks_started, before.tasks_started + 100);
    EQ(stats_now().tasks_running + stats_now().tasks_runnable, 1);
    OK(rn_scope_cancel(s));
    OK(rn_scope_wait(s));
    EQ(stats_now().tasks_parked, 0);
}

/* ---- Nothing can go on ----------------------------------------------------------------------- */

static int waits_in_vain(void *arg)
{
    const struct chan *c = arg;

    return rn_rx_recv(c->rx, &(int){0}, RN_FOREVER);
}

static void deadlock_in(struct rn_scope scope)
{
    static struct chan c;

    c = chan_open(sizeof(int), 0);
    OK(GO(scope, waits_in_vain, &c, rn_end_tx(c.tx), rn_end_rx(c.rx)));
}

TASK_ABORT_TEST(who_is_left_behind_by_the_main_task_is_told, SIGABRT,
                "1 task can never wake: chan receive at")
{
    deadlock_in(rn_scope_self()); /* and main returns */
}

TASK_ABORT_TEST(a_deadlock_is_told_although_somebody_waits_for_a_descriptor, SIGABRT,
                "1 task can never wake: chan receive at")
{
    struct rn_fd fd;
    int fds[2];

    OK(rn_sys_pipe2(fds, 0));
    OK(rn_fd_adopt(fds[0], RN_FD_PIPE, &fd));
    deadlock_in(rn_scope_self());
    (void)rn_fd_wait(fd, RN_FD_READ, RN_FOREVER);
}

TASK_ABORT_TEST(a_deadlock_is_told_although_somebody_waits_for_signals, SIGABRT,
                "1 task can never wake: chan receive at")
{
    struct rn_fd fd;
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    OK(rn_signals_block(&set));
    OK(rn_signals_open(&set, &fd));
    deadlock_in(rn_scope_self());
    (void)rn_signals_wait(fd, RN_FOREVER);
}
