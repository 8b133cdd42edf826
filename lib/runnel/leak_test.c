/* What the leak check must call dead, and what it must not. Go's cases, and those that only
 * explicit ownership can tell. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "chan_testing.h"
#include "channel.h"

/* A runtime whose policy doesn't interfere: the tests ask by themselves. */
static int quiet_main(void *arg)
{
    void (*const *body)(void) = arg;
    (*body)();
    return 0;
}

#define LEAK_TEST(name)                                                                            \
    static void leak_body_##name(void);                                                            \
    TEST(name)                                                                                     \
    {                                                                                              \
        void (*body)(void) = leak_body_##name;                                                     \
        OK(rn_run(&(const struct rn_options){.workers = 1, .leaks = RN_LEAKS_IGNORE}, quiet_main,  \
                  &body));                                                                         \
    }                                                                                              \
    static void leak_body_##name(void)

static int dead(void)
{
    return rn_leak_check(rn_runtime_self(), NULL);
}

/* The report in a buffer that the caller frees. */
static char *report(int want)
{
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    EQ(rn_leak_check(rn_runtime_self(), out), want);
    fclose(out);
    return text;
}

struct work {
    struct rn_tx tx, tx2;
    struct rn_rx rx, rx2;
    rn_time      deadline;
};

static int sends(void *arg)
{
    const struct work *w = arg;
    int v = 1, r;
    while ((r = rn_tx_send(w->tx, &v, w->deadline ? w->deadline : RN_FOREVER)) == 0)
        ;
    return r;
}

static int receives(void *arg)
{
    const struct work *w = arg;
    int v, r;
    while ((r = rn_rx_recv(w->rx, &v, w->deadline ? w->deadline : RN_FOREVER)) == 0)
        ;
    return r;
}

static int selects(void *arg)
{
    const struct work *w = arg;
    int v;
    struct rn_case c[] = {RN_CASE_RECV(w->rx, &v), RN_CASE_SEND(w->tx, &v)};
    return rn_select(c, 2, RN_FOREVER);
}

static int selects_nothing(void *arg)
{
    (void)arg;
    return rn_select(NULL, 0, RN_FOREVER);
}

/* ---- Dead ------------------------------------------------------------------------------------ */

LEAK_TEST(two_tasks_that_wait_for_each_other_are_dead)
{
    struct work a = {0}, b = {0};
    SCOPE(s);
    OK(rn_chan_open(sizeof(int), 0, &b.tx, &a.rx));
    OK(rn_chan_open(sizeof(int), 0, &a.tx, &b.rx));
    OK(GO(s, receives, &a, rn_end_rx(a.rx), rn_end_tx(a.tx)));
    OK(GO(s, receives, &b, rn_end_rx(b.rx), rn_end_tx(b.tx)));
    EQ(dead(), 0);
    TASK_UNTIL(tasks_parked() == 2);
    CLEANUP(freep) char *text = report(2);
    TRUE(strstr(text, "chan receive at leak_test.c"));
    TRUE(strstr(text, "again") || strstr(text, "itself"));
}

LEAK_TEST(a_sender_whose_receivers_holder_is_dead_is_found_with_its_chain)
{
    struct work sender = {0}, holder = {0};
    struct rn_rx kept;
    struct rn_tx self;
    SCOPE(s);
    OK(rn_chan_open(sizeof(int), 0, &sender.tx, &kept));
    OK(rn_chan_open(sizeof(int), 0, &self, &holder.rx));
    OK(GO(s, sends, &sender, rn_end_tx(sender.tx)));
    OK(GO(s, receives, &holder, rn_end_rx(holder.rx), rn_end_tx(self),
          rn_end_rx(kept))); /* only it could send to itself */
    TASK_UNTIL(tasks_parked() == 2);
    CLEANUP(freep) char *text = report(2);
    TRUE(strstr(text, "1 task can never wake: chan send at leak_test.c"));
    TRUE(strstr(text, "receiver of the channel opened at leak_test.c"));
    TRUE(strstr(text, "\"receives\""));
    TRUE(strstr(text, "itself"));

    struct rn_stats stats;
    rn_stats(rn_runtime_self(), &stats);
    EQ(stats.tasks_leaked, 2);
}

LEAK_TEST(a_select_is_dead_when_no_case_can_be_served)
{
    struct work w = {0}, q = {0};
    SCOPE(s);
    OK(rn_chan_open(sizeof(int), 0, &w.tx, &q.rx));
    OK(rn_chan_open(sizeof(int), 0, &q.tx, &w.rx));
    OK(GO(s, selects, &w, rn_end_rx(w.rx), rn_end_tx(w.tx), rn_end_tx(q.tx), rn_end_rx(q.rx)));
    TASK_UNTIL(tasks_parked() == 1);
    EQ(dead(), 1);
}

LEAK_TEST(one_case_that_can_be_served_keeps_a_select_alive)
{
    for (int which = 0; which < 2; which++) {
        struct work w = {0};
        struct rn_tx tx;
        struct rn_rx rx;
        SCOPE(s);
        OK(rn_chan_open(sizeof(int), 0, &w.tx, &rx));
        OK(rn_chan_open(sizeof(int), 0, &tx, &w.rx));
        if (which == 0)
            OK(GO(s, selects, &w, rn_end_rx(w.rx), rn_end_tx(w.tx),
                  rn_end_tx(tx))); /* we could receive */
        else
            OK(GO(s, selects, &w, rn_end_rx(w.rx), rn_end_tx(w.tx),
                  rn_end_rx(rx))); /* we could send */
        TASK_UNTIL(tasks_parked() == 1);
        EQ(dead(), 0);
    }
}

LEAK_TEST(a_select_without_cases_is_dead)
{
    SCOPE(s);
    OK(GO0(s, selects_nothing, NULL));
    TASK_UNTIL(tasks_parked() == 1);
    CLEANUP(freep) char *text = report(1);
    TRUE(strstr(text, "select at leak_test.c"));
}

static int opens_and_waits(void *arg)
{
    struct work *w = arg;
    SCOPE(s);
    OK(GO(s, receives, w, rn_end_rx(w->rx), rn_end_tx(w->tx)));
    return rn_scope_wait(s);
}

LEAK_TEST(who_waits_for_a_scope_of_the_dead_is_dead)
{
    struct work w = {0};
    SCOPE(s);
    OK(rn_chan_open(sizeof(int), 0, &w.tx, &w.rx));
    OK(GO(s, opens_and_waits, &w, rn_end_tx(w.tx), rn_end_rx(w.rx)));
    TASK_UNTIL(tasks_parked() == 2);
    CLEANUP(freep) char *text = report(2);
    TRUE(strstr(text, "scope wait"));
    TRUE(strstr(text, "its scope's task"));
}

LEAK_TEST(many_of_one_kind_are_one_line)
{
    struct work w = {0}, holder = {0};
    struct rn_tx self;
    struct rn_tx tx[20];
    struct work senders[20];
    SCOPE(s);
    OK(rn_chan_open(sizeof(int), 0, &w.tx, &w.rx));
    OK(rn_chan_open(sizeof(int), 0, &self, &holder.rx));
    for (int i = 0; i < 20; i++) {
        OK(rn_tx_dup(w.tx, &tx[i]));
        senders[i] = (struct work){.tx = tx[i]};
        OK(GO(s, sends, &senders[i], rn_end_tx(tx[i])));
    }
    OK(GO(s, receives, &holder, rn_end_rx(holder.rx), rn_end_tx(self), rn_end_rx(w.rx)));
    TASK_UNTIL(tasks_parked() == 21);
    CLEANUP(freep) char *text = report(21);
    TRUE(strstr(text, "20 tasks can never wake"));
    int lines = 0;
    for (const char *c = text; *c; c++)
        lines += *c == '\n';
    EQ(lines, 2);
}

LEAK_TEST(what_waits_inside_a_dead_buffer_helps_nobody)
{
    static const struct rn_elem elem = {.size = sizeof(struct rn_tx), .n_ends = 1, .ends = {0}};
    struct work waiter = {0}, holder = {0};
    struct rn_tx carrier, self;
    struct rn_rx carried;
    struct rn_tx inside;
    SCOPE(s);
    OK(rn_chan_open_elem(&elem, 1, &carrier, &carried));
    OK(rn_chan_open(sizeof(int), 0, &inside, &waiter.rx));
    OK(rn_chan_open(sizeof(int), 0, &self, &holder.rx));
    OK(rn_tx_send(carrier, &inside, RN_FOREVER));
    OK(GO(s, receives, &waiter, rn_end_rx(waiter.rx)));
    TASK_UNTIL(tasks_parked() == 1);
    EQ(dead(), 0); /* we could receive what can send */

    OK(GO(s, receives, &holder, rn_end_rx(holder.rx), rn_end_tx(self), rn_end_rx(carried)));
    TASK_UNTIL(tasks_parked() == 2);
    CLEANUP(freep) char *text = report(2);
    TRUE(strstr(text, "a buffered value"));
}

/* ---- Live ------------------------------------------------------------------------------------ */

LEAK_TEST(an_end_that_a_live_task_holds_keeps_its_waiters_alive)
{
    struct work w = {0};
    struct rn_rx kept;
    SCOPE(s);
    OK(rn_chan_open(sizeof(int), 0, &w.tx, &kept));
    OK(GO(s, sends, &w, rn_end_tx(w.tx)));
    TASK_UNTIL(tasks_parked() == 1);
    EQ(dead(), 0);
    OK(rn_rx_close(kept)); /* the leak of Go's release notes: here the sender ends */
    ERR(rn_scope_wait(s), EPIPE);
    EQ(dead(), 0);
    EQ(ends_open(), 0);
}

LEAK_TEST(life_reaches_to_the_end_of_a_long_chain)
{
    enum { N = 200 };
    struct work w[N];
    struct rn_tx first;
    SCOPE(s);
    OK(rn_chan_open(sizeof(int), 0, &first, &w[0].rx));
    for (int i = 0; i < N; i++) {
        w[i].deadline = 0;
        struct rn_rx next;
        OK(rn_chan_open(sizeof(int), 0, &w[i].tx, &next));
        OK(GO(s, receives, &w[i], rn_end_rx(w[i].rx), rn_end_tx(w[i].tx)));
        if (i + 1 < N)
            w[i + 1].rx = next;
    }
    TASK_UNTIL(tasks_parked() == N);
    EQ(dead(), 0);
    OK(rn_tx_close(first));
    ERR(rn_scope_wait(s), EPIPE);
}

LEAK_TEST(a_deadline_is_life)
{
    struct work w = {.deadline = rn_after(1000 * RN_S)}, q = {0};
    SCOPE(s);
    OK(rn_chan_open(sizeof(int), 0, &q.tx, &w.rx));
    OK(GO(s, receives, &w, rn_end_rx(w.rx), rn_end_tx(q.tx)));
    TASK_UNTIL(tasks_parked() == 1);
    EQ(dead(), 0);

    SCOPE(timed);
    w.deadline = 0;
    OK(rn_scope_deadline(timed, rn_after(1000 * RN_S)));
    OK(rn_chan_open(sizeof(int), 0, &q.tx, &q.rx));
    OK(GO(timed, receives, &q, rn_end_rx(q.rx), rn_end_tx(q.tx)));
    TASK_UNTIL(tasks_parked() == 2);
    EQ(dead(), 0);
    OK(rn_scope_deadline(timed, RN_FOREVER));
    EQ(dead(), 1);
}

LEAK_TEST(the_end_of_a_loop_is_held_for_ever)
{
    struct work w = {0};
    struct rn_tx tx;
    SCOPE(s);
    OK(rn_chan_open(sizeof(int), 0, &tx, &w.rx));
    OK(rn_end_to_loop((struct rn_end[]){rn_end_tx(tx)}, 1, rn_loop_self()));
    OK(GO(s, receives, &w, rn_end_rx(w.rx)));
    TASK_UNTIL(tasks_parked() == 1);
    EQ(dead(), 0);
}

/* Opens a scope with a task that lives (or none), gives it an end, and then waits for itself: dead,
 * but its scope isn't. */
static int opens_and_dies(void *arg)
{
    struct work *w = arg;
    struct work busy = {.deadline = w->deadline};
    struct rn_tx own, hold;
    SCOPE(s);
    OK(rn_end_to_scope((struct rn_end[]){rn_end_tx(w->tx)}, 1, s));
    if (w->deadline) {
        OK(rn_chan_open(sizeof(int), 0, &own, &busy.rx));
        OK(GO(s, receives, &busy, rn_end_rx(busy.rx), rn_end_tx(own)));
    }
    OK(rn_chan_open(sizeof(int), 0, &hold, &busy.rx2));
    return rn_rx_recv(busy.rx2, &(int){0}, RN_FOREVER);
}

LEAK_TEST(a_scope_holds_its_ends_while_a_task_in_it_lives)
{
    for (int lives = 0; lives < 2; lives++) {
        struct work w = {0}, o = {.deadline = lives ? rn_after(1000 * RN_S) : 0};
        SCOPE(s);
        OK(rn_chan_open(sizeof(int), 0, &o.tx, &w.rx));
        OK(GO(s, receives, &w, rn_end_rx(w.rx)));
        OK(GO(s, opens_and_dies, &o, rn_end_tx(o.tx)));
        TASK_UNTIL(tasks_parked() == (lives ? 3 : 2));
        EQ(dead(), lives ? 1 : 2);
    }
}

LEAK_TEST(a_scope_holds_its_ends_while_its_opener_lives)
{
    struct work w = {0};
    struct rn_tx tx;
    SCOPE(empty);
    SCOPE(s);
    OK(rn_chan_open(sizeof(int), 0, &tx, &w.rx));
    OK(rn_end_to_scope((struct rn_end[]){rn_end_tx(tx)}, 1, empty));
    OK(GO(s, receives, &w, rn_end_rx(w.rx)));
    TASK_UNTIL(tasks_parked() == 1);
    EQ(dead(), 0);
}

LEAK_TEST(a_live_task_may_close_the_end_it_shares_with_a_waiter)
{
    struct work w = {0}, d = {0}, busy = {.deadline = rn_after(1000 * RN_S)};
    struct rn_tx tx, self, own;
    SCOPE(shared);
    SCOPE(s);
    OK(rn_chan_open(sizeof(int), 0, &tx, &w.rx));
    OK(rn_end_to_scope((struct rn_end[]){rn_end_rx(w.rx)}, 1, shared));
    OK(GO0(shared, receives, &w));
    OK(rn_chan_open(sizeof(int), 0, &self, &d.rx));
    OK(GO(s, receives, &d, rn_end_rx(d.rx), rn_end_tx(self), rn_end_tx(tx)));
    TASK_UNTIL(tasks_parked() == 2);
    EQ(dead(), 2);
    OK(rn_chan_open(sizeof(int), 0, &own, &busy.rx));
    OK(GO(shared, receives, &busy, rn_end_rx(busy.rx), rn_end_tx(own)));
    TASK_UNTIL(tasks_parked() == 3);
    EQ(dead(), 1);
}

static const struct rn_site idle_site = {"leak_test.c", "idle_by_design", 1, true};

static int idles(void *arg)
{
    const struct work *w = arg;
    int v;
    return rn_rx_recv_at(&idle_site, w->rx, &v, RN_FOREVER);
}

LEAK_TEST(a_wait_that_is_idle_by_design_is_no_leak)
{
    struct work w = {0};
    struct rn_tx tx;
    SCOPE(s);
    OK(rn_chan_open(sizeof(int), 0, &tx, &w.rx));
    OK(GO(s, idles, &w, rn_end_rx(w.rx), rn_end_tx(tx)));
    TASK_UNTIL(tasks_parked() == 1);
    EQ(dead(), 0);
}

/* ---- While everything moves ------------------------------------------------------------------ */

struct ball {
    struct rn_tx back; /* the way to answer: it goes to and fro with the ball */
};
static const struct rn_elem ball_elem = {
    .size = sizeof(struct ball), .n_ends = 1, .ends = {offsetof(struct ball, back)}};

struct watch {
    struct rn_runtime *rt;
    _Atomic bool       done;
    int                alarms;
};

/* Gets a ball with a sender in it, opens a channel, and sends the ball back with the sender of
 * that. */
static int plays(void *arg)
{
    struct work *w = arg;
    struct rn_rx rx = w->rx;
    struct ball ball;
    while (rn_rx_recv(rx, &ball, RN_FOREVER) == 0) { /* until the scope is cancelled */
        struct rn_tx to = ball.back;
        OK(rn_rx_close(rx));
        OK(rn_chan_open_elem(&ball_elem, 0, &ball.back, &rx));
        if (rn_tx_send(to, &ball, RN_FOREVER) < 0)
            break;
        OK(rn_tx_close(to));
    }
    return 0;
}

static void *watches(void *arg)
{
    struct watch *w = arg;
    const size_t n = test_tasks(test_sanitized() ? 1000 : 20000);
    for (size_t i = 0; i < n; i++)
        w->alarms += rn_leak_check(w->rt, NULL) != 0;
    w->done = true;
    return NULL;
}

LEAK_TEST(a_check_from_another_thread_raises_no_false_alarm)
{
    struct watch watch = {.rt = rn_runtime_self()};
    struct work a = {0}, b = {0};
    struct rn_tx to_a;
    struct ball first;
    pthread_t thread;
    SCOPE(s);
    OK(rn_chan_open_elem(&ball_elem, 0, &to_a, &a.rx));
    OK(rn_chan_open_elem(&ball_elem, 0, &first.back, &b.rx));
    OK(GO(s, plays, &a, rn_end_rx(a.rx)));
    OK(GO(s, plays, &b, rn_end_rx(b.rx)));
    OK(rn_tx_send(to_a, &first, RN_FOREVER));
    OK(rn_tx_close(to_a));

    EQ(pthread_create(&thread, NULL, watches, &watch), 0);
    TASK_UNTIL(watch.done);
    EQ(pthread_join(thread, NULL), 0);
    EQ(watch.alarms, 0);
}

/* ---- The census and the policy --------------------------------------------------------------- */

struct census {
    int dead, receivers, tasks;
};

static bool census_one(void *arg, const struct rn_task_info *info)
{
    struct census *c = arg;
    c->tasks++;
    c->dead += info->dead;
    if (info->wait == RN_WAIT_CHAN_RECV) {
        STREQ(rn_wait_name(info->wait), "chan receive");
        STREQ(info->name, "receives");
        TRUE(info->wait_site && strstr(info->wait_site->file, "leak_test.c"));
        EQ(info->state, RN_TASK_PARKED);
        c->receivers++;
    }
    return true;
}

LEAK_TEST(the_census_tells_who_waits_and_who_is_dead)
{
    struct work w = {0};
    struct rn_tx tx;
    struct census c = {0};
    SCOPE(s);
    OK(rn_chan_open(sizeof(int), 0, &tx, &w.rx));
    OK(GO(s, receives, &w, rn_end_rx(w.rx), rn_end_tx(tx)));
    TASK_UNTIL(tasks_parked() == 1);
    EQ(dead(), 1);
    rn_tasks_each(rn_runtime_self(), census_one, &c);
    EQ(c.tasks, 2);
    EQ(c.receivers, 1);
    EQ(c.dead, 1);
}

static int deadlocks(void *arg)
{
    struct work w = {0};
    struct rn_tx tx;
    int v;
    (void)arg;
    OK(rn_chan_open(sizeof(int), 0, &tx, &w.rx));
    return rn_rx_recv(w.rx, &v, RN_FOREVER);
}

ABORT_TEST(a_deadlock_in_a_simulation_aborts_at_once, SIGABRT,
           "1 task can never wake: chan receive at leak_test.c")
{
    rn_run(
        &(const struct rn_options){.workers = 1, .leaks = RN_LEAKS_ABORT, .sim = true, .seed = 1},
        deadlocks, NULL);
}

ABORT_TEST(a_deadlock_aborts_after_a_second_of_silence, SIGABRT,
           "1 task can never wake: chan receive at leak_test.c")
{
    rn_run(&(const struct rn_options){.workers = 1, .leaks = RN_LEAKS_ABORT}, deadlocks, NULL);
}

/* ---- Suspect --------------------------------------------------------------------------------- */

static uint64_t suspects(void)
{
    struct rn_stats stats;
    EQ(dead(), 0);
    rn_stats(rn_runtime_self(), &stats);
    return stats.tasks_suspect;
}

/* One more for the channel that `rx` receives from. */
static void sender_start(struct rn_scope s, struct rn_tx tx, struct work *w)
{
    OK(rn_tx_dup(tx, &w->tx));
    OK(GO_SMALL(s, sends, w, rn_end_tx(w->tx)));
}

#define SETTLED (300 * RN_MS) /* a wait is young no more */

LEAK_TEST(a_hundred_who_wait_for_a_holder_that_does_nothing_are_suspect)
{
    static struct work w[100];
    struct rn_tx tx;
    struct rn_rx rx;
    SCOPE(s);

    OK(rn_chan_open(sizeof(int), 0, &tx, &rx));
    for (size_t i = 0; i < 99; i++)
        sender_start(s, tx, &w[i]);
    OK(rn_sleep(rn_after(SETTLED)));
    EQ(suspects(), 0);
    sender_start(s, tx, &w[99]);
    TASK_UNTIL(suspects() == 100);

    CLEANUP(freep) char *text = report(0);
    TRUE(strstr(text, "runnel: 100 tasks are suspect, waiting for up to "));
    TRUE(strstr(text, "chan send at leak_test.c"));
    TRUE(strstr(text, "<- receiver of channel "));
    TRUE(strstr(text, "held by task 1 \"main\" (never used)"));

    int value;
    OK(rn_rx_recv(rx, &value, 0)); /* the holder moves: so far nobody has waited in vain */
    EQ(suspects(), 0);
    rn_rx_closep(&rx);
    rn_tx_closep(&tx);
}

LEAK_TEST(the_growth_of_a_group_is_told)
{
    static struct work w[150];
    struct rn_tx tx;
    struct rn_rx rx;
    SCOPE(s);

    OK(rn_chan_open(sizeof(int), 0, &tx, &rx));
    for (size_t i = 0; i < 100; i++)
        sender_start(s, tx, &w[i]);
    TASK_UNTIL(suspects() == 100);
    for (size_t i = 100; i < 150; i++)
        sender_start(s, tx, &w[i]);
    OK(rn_sleep(rn_after(SETTLED)));
    CLEANUP(freep) char *text = report(0);
    TRUE(strstr(text, "runnel: 150 tasks are suspect"));
    TRUE(strstr(text, "; 50 more than "));
    rn_rx_closep(&rx);
    rn_tx_closep(&tx);
}

static int receives_idly(void *arg)
{
    const struct work *w = arg;
    int v, r;
    while ((r = rn_rx_recv_at(RN_WAIT_IDLE(), w->rx, &v, RN_FOREVER)) == 0)
        ;
    return r;
}

static int old_waits(void *arg)
{
    struct work plain = {0}, idle = {0}, late = {.deadline = rn_after(20 * RN_S)};
    struct rn_tx tx[3];
    struct rn_scope s;

    (void)arg;
    OK(rn_scope_open(RN_SCOPE_WAIT_ALL, &s));
    OK(rn_chan_open(sizeof(int), 0, &tx[0], &plain.rx));
    OK(rn_chan_open(sizeof(int), 0, &tx[1], &idle.rx));
    OK(rn_chan_open(sizeof(int), 0, &tx[2], &late.rx));
    OK(GO(s, receives, &plain, rn_end_rx(plain.rx)));
    OK(GO(s, receives_idly, &idle, rn_end_rx(idle.rx)));
    OK(GO(s, receives, &late, rn_end_rx(late.rx)));
    OK(rn_sleep(rn_after(100 * RN_MS)));
    EQ(suspects(), 0);
    TASK_UNTIL(suspects() == 1);
    OK(rn_sleep(rn_after(SETTLED)));
    EQ(suspects(), 1); /* not the two that say why they wait */
    CLEANUP(freep) char *text = report(0);
    TRUE(strstr(text, "1 task is suspect") && strstr(text, "\"receives\""));
    return rn_scope_close(s);
}

TEST(one_that_waits_longer_than_leak_age_is_suspect_unless_it_says_why)
{
    OK(rn_run(&(const struct rn_options){.leaks = RN_LEAKS_IGNORE, .leak_age = 500 * RN_MS},
              old_waits, NULL));
}

/* ---- Mutexes and their kind ------------------------------------------------------------------ */

struct locks {
    struct rn_mutex first, second;
    struct rn_group held; /* both hold their first one */
};

static int locks_both(void *arg)
{
    const struct locks *l = arg;

    OK(rn_mutex_lock(l->first, RN_FOREVER));
    OK(rn_group_done(l->held));
    OK(rn_group_wait(l->held, RN_FOREVER));
    return rn_mutex_lock(l->second, RN_FOREVER);
}

LEAK_TEST(two_tasks_that_lock_in_opposite_orders_are_dead)
{
    struct locks a, b;
    SCOPE(s);
    OK(rn_mutex_open(rn_scope_self(), &a.first));
    OK(rn_mutex_open(rn_scope_self(), &a.second));
    OK(rn_group_open(rn_scope_self(), 2, &a.held));
    b = (struct locks){a.second, a.first, a.held};
    OK(rn_go(s, locks_both, &a, NULL, 0));
    OK(rn_go(s, locks_both, &b, NULL, 0));
    EQ(dead(), 0);
    TASK_UNTIL(tasks_parked() == 2);
    CLEANUP(freep) char *text = report(2);
    TRUE(strstr(text, "sync.Mutex.Lock at leak_test.c"));
    TRUE(strstr(text, "again"));
    OK(rn_mutex_close(a.first)); /* as misuse ends it, so would a cancel */
}

static int holds_and_sleeps(void *arg)
{
    const struct locks *l = arg;

    OK(rn_mutex_lock(l->first, RN_FOREVER));
    return rn_sleep(RN_FOREVER);
}

static int locks_first(void *arg)
{
    const struct locks *l = arg;

    return rn_mutex_lock(l->first, RN_FOREVER);
}

LEAK_TEST(a_task_that_waits_for_a_mutex_is_live_while_its_holder_is)
{
    struct locks l;
    SCOPE(s);
    OK(rn_mutex_open(s, &l.first));
    OK(rn_go(s, holds_and_sleeps, &l, NULL, 0));
    OK(rn_yield());
    OK(rn_go(s, locks_first, &l, NULL, 0));
    TASK_UNTIL(tasks_parked() == 2);
    EQ(dead(), 0);
}

static int waits_alone(void *arg)
{
    struct rn_group group;
    struct rn_scope s;

    (void)arg;
    OK(rn_scope_open(0, &s));
    OK(rn_group_open(s, 1, &group));
    return rn_group_wait(group, RN_FOREVER);
}

static int waits_shared(void *arg)
{
    const struct rn_oneshot *shot = arg;

    return rn_oneshot_wait(*shot, RN_FOREVER);
}

LEAK_TEST(a_wait_that_nobody_live_can_end_is_dead_and_one_that_somebody_can_is_not)
{
    struct rn_oneshot shot;
    SCOPE(s);
    OK(rn_oneshot_open(rn_scope_self(), &shot));
    OK(rn_go(s, waits_shared, &shot, NULL, 0)); /* this very task may set it */
    OK(rn_go(s, waits_alone, NULL, NULL, 0));
    TASK_UNTIL(tasks_parked() == 2);
    CLEANUP(freep) char *text = report(1);
    TRUE(strstr(text, "sync.WaitGroup.Wait at leak_test.c"));
    OK(rn_oneshot_set(shot));
}
