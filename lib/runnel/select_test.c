/* Select as Go's tests know it: empty cases, defaults, chances, duplicates, both directions,
 * losers. */
#include <stdlib.h>
#include <string.h>

#include "chan_testing.h"
#include "channel.h"

struct pair {
    struct rn_tx tx;
    struct rn_rx rx;
};

static struct pair pair_open(size_t cap)
{
    struct pair p;
    OK(rn_chan_open(sizeof(int), cap, &p.tx, &p.rx));
    return p;
}

static const struct rn__chan *chan_of(struct rn_tx tx)
{
    return atomic_load(&rn__rec_find(rn__chans_self(), tx.slot)->chan);
}

TASK_TEST(empty_cases_are_ignored)
{
    struct pair p = pair_open(1);
    int v = 3, got = 0;
    struct rn_case c[] = {RN_CASE_RECV((struct rn_rx){0}, &got), RN_CASE_SEND(p.tx, &v),
                          RN_CASE_SEND((struct rn_tx){0}, &v)};
    for (int i = 0; i < 20; i++) {
        EQ(rn_select(c, 3, RN_FOREVER), 1);
        EQ(c[1].result, 0);
        OK(rn_rx_try_recv(p.rx, &got));
    }
}

TASK_TEST(a_deadline_of_zero_is_a_default)
{
    struct pair p = pair_open(0), q = pair_open(1);
    int v = 3, got;
    struct rn_case c[] = {RN_CASE_RECV(p.rx, &got), RN_CASE_RECV(q.rx, &got),
                          RN_CASE_SEND(p.tx, &v)};
    ERR(rn_select(c, 3, 0), ETIMEDOUT);
    ERR(rn_select(c, 3, rn_now() - 1), ETIMEDOUT);
    ERR(rn_select(c, 3, rn_after(RN_MS)), ETIMEDOUT);
    ERR(rn_select(NULL, 0, rn_after(RN_MS)), ETIMEDOUT);
    OK(rn_tx_try_send(q.tx, &v));
    EQ(rn_select(c, 3, 0), 1);
    EQ(got, 3);
}

TASK_TEST(only_the_chosen_case_happens)
{
    struct pair p = pair_open(1), q = pair_open(1);
    int v = 1, got_p = 0, got_q = 0;
    OK(rn_tx_try_send(p.tx, &v));
    OK(rn_tx_try_send(q.tx, &v));
    struct rn_case c[] = {RN_CASE_RECV(p.rx, &got_p), RN_CASE_RECV(q.rx, &got_q)};
    EQ(rn_select(c, 2, RN_FOREVER) >= 0, true);
    EQ(got_p + got_q, 1);
    EQ(rn_chan_len(rn_end_rx(p.rx)) + rn_chan_len(rn_end_rx(q.rx)), 1);
}

TASK_TEST(a_case_that_is_closed_stale_or_not_ours_is_ready)
{
    struct pair p = pair_open(0), q = pair_open(0), stale = pair_open(0);
    int v = 1;
    OK(rn_tx_close(p.tx));
    OK(rn_rx_close(q.rx));
    OK(rn_rx_close(stale.rx));
    struct rn_case recv[] = {RN_CASE_RECV(p.rx, &v)}, send[] = {RN_CASE_SEND(q.tx, &v)},
                   old[] = {RN_CASE_RECV(stale.rx, &v)};
    struct rn_case wild[] = {RN_CASE_RECV(((struct rn_rx){77777777, 1}), &v)};
    EQ(rn_select(recv, 1, RN_FOREVER), 0);
    EQ(recv[0].result, -EPIPE);
    EQ(rn_select(send, 1, RN_FOREVER), 0);
    EQ(send[0].result, -EPIPE);
    EQ(rn_select(old, 1, RN_FOREVER), 0);
    EQ(old[0].result, -EBADF);
    EQ(rn_select(wild, 1, RN_FOREVER), 0);
    EQ(wild[0].result, -EBADF);
}

TASK_TEST(a_select_may_have_4080_cases_and_no_more)
{
    enum { MAX = RN__WIN_CASE_MAX + 1 };
    struct pair p = pair_open(1);
    int v = 6, got = 0;
    CLEANUP(freep) struct rn_case *c = calloc(MAX + 1, sizeof(*c));
    for (int i = 0; i < MAX - 1; i++)
        c[i] = (struct rn_case)RN_CASE_SEND(p.tx, &v);
    c[MAX - 1] = (struct rn_case)RN_CASE_RECV(p.rx, &got);
    ERR(rn_select(c, MAX + 1, 0), EINVAL);
    EQ(rn_select(c, MAX, 0) < MAX - 1, true);
    EQ(rn_select(c, MAX, 0), MAX - 1);
    EQ(got, 6);
}

/* ---- Chances --------------------------------------------------------------------------------- */

TASK_TEST(each_ready_case_gets_its_share)
{
    enum { N = 5, ROUNDS = 10000 };
    struct pair p[N];
    struct rn_case c[N];
    int hits[N] = {0}, v = 1;
    for (int i = 0; i < N; i++) {
        p[i] = pair_open(1);
        OK(rn_tx_try_send(p[i].tx, &v));
        c[i] = (struct rn_case)RN_CASE_RECV(p[i].rx, &v);
    }
    for (int i = 0; i < ROUNDS; i++) {
        int k = OK(rn_select(c, N, RN_FOREVER));
        hits[k]++;
        OK(rn_tx_try_send(p[k].tx, &v));
    }
    for (int i = 0; i < N; i++)
        GT(hits[i], ROUNDS / 10);
}

TASK_TEST(a_random_send_sends_both_values)
{
    struct pair p = pair_open(100);
    int ones = 0, got;
    for (int i = 0; i < 100; i++) {
        struct rn_case c[] = {RN_CASE_SEND(p.tx, &(int){0}), RN_CASE_SEND(p.tx, &(int){1})};
        EQ(rn_select(c, 2, RN_FOREVER) >= 0, true);
    }
    for (int i = 0; i < 100; i++) {
        OK(rn_rx_try_recv(p.rx, &got));
        ones += got;
    }
    GT(ones, 10);
    LT(ones, 90);
}

/* ---- One channel, many times ----------------------------------------------------------------- */

static int self_select_pair(void *arg)
{
    struct pair *p = arg;
    const int id = (int)rn_task_id();
    for (int sent = 0, received = 0; sent + received < 1000;) {
        int got = 0;
        struct rn_case c[] = {RN_CASE_SEND(p->tx, &id), RN_CASE_RECV(p->rx, &got)};
        int k = rn_select(c, 2, RN_FOREVER);
        if (k < 0)
            return k;
        EQ(c[k].result, 0);
        if (k == 1)
            NE(got, id);
        sent += k == 0;
        received += k == 1;
    }
    return 0;
}

TASK_TEST(a_task_never_receives_its_own_value_without_a_buffer)
{
    struct pair p = pair_open(0), mine[2];
    SCOPE(s);
    for (int i = 0; i < 2; i++) {
        OK(rn_tx_dup(p.tx, &mine[i].tx));
        OK(rn_rx_dup(p.rx, &mine[i].rx));
        OK(GO(s, self_select_pair, &mine[i], rn_end_tx(mine[i].tx), rn_end_rx(mine[i].rx)));
    }
    OK(rn_scope_wait(s)); /* each exchange counts once on both sides, so both end together */
    TRUE(!chan_of(p.tx)->q[RN__TX].first && !chan_of(p.tx)->q[RN__RX].first);
}

static int select_duplicates(void *arg)
{
    const struct pair *p = arg;
    int got = 0;
    struct rn_case c[] = {RN_CASE_RECV(p->rx, &got), RN_CASE_RECV(p->rx, &got),
                          RN_CASE_RECV(p->rx, &got)};
    for (int i = 0; i < 100; i++) {
        int k = OK(rn_select(c, 3, RN_FOREVER));
        EQ(c[k].result, 0);
        EQ(got, i);
    }
    return 0;
}

TASK_TEST(the_same_channel_may_occur_several_times)
{
    struct pair p = pair_open(0);
    SCOPE(s);
    OK(GO(s, select_duplicates, &p, rn_end_rx(p.rx)));
    for (int i = 0; i < 100; i++)
        OK(rn_tx_send(p.tx, &i, RN_FOREVER));
    OK(rn_scope_wait(s));
    TRUE(!chan_of(p.tx)->q[RN__RX].first);
}

/* ---- Losers ---------------------------------------------------------------------------------- */

struct many {
    struct rn_rx never, mine;
};

static int select_never_or_mine(void *arg)
{
    const struct many *m = arg;
    int got;
    struct rn_case c[] = {RN_CASE_RECV(m->never, &got), RN_CASE_RECV(m->mine, &got)};
    EQ(rn_select(c, 2, RN_FOREVER), 1);
    EQ(c[1].result, 0);
    return 0;
}

/* Each of many selects waits on one common channel: taking its record out of that queue must not
 * disturb the rest. */
TASK_TEST(losers_leave_the_queue_from_its_middle)
{
    const size_t n = test_tasks(test_sanitized() ? 2000 : 5000);
    struct pair never = pair_open(0);
    CLEANUP(freep) struct many *m = calloc(n, sizeof(*m));
    CLEANUP(freep) struct rn_tx *tx = calloc(n, sizeof(*tx));
    SCOPE(s);
    for (size_t i = 0; i < n; i++) {
        OK(rn_rx_dup(never.rx, &m[i].never));
        OK(rn_chan_open(sizeof(int), 0, &tx[i], &m[i].mine));
        OK(GO_SMALL(s, select_never_or_mine, &m[i], rn_end_rx(m[i].never), rn_end_rx(m[i].mine)));
    }
    TASK_UNTIL(tasks_parked() == n);
    for (size_t k = 0, i = 0; k < n; k++, i = (i + 7919) % n) {
        while (tx[i].gen == 0)
            i = (i + 1) % n;
        OK(rn_tx_try_send(tx[i], &(int){1}));
        rn_tx_closep(&tx[i]);
    }
    OK(rn_scope_wait(s));
    TRUE(!chan_of(never.tx)->q[RN__RX].first);
    EQ(rn__rec_find(rn__chans_self(), never.rx.slot)->users, 0);
}

static int ping(void *arg)
{
    struct pair *p = arg;
    for (int v;;) {
        if (rn_rx_recv(p->rx, &v, RN_FOREVER) < 0)
            return 0;
        OK(rn_tx_send(p->tx, &v, RN_FOREVER));
    }
}

TASK_TEST(a_hundred_thousand_selects_leave_no_record)
{
    struct pair there = pair_open(0), back = pair_open(0), never = pair_open(0);
    struct pair p = {.tx = back.tx, .rx = there.rx};
    const int n = (int)test_tasks(100000);
    SCOPE(s);
    OK(GO(s, ping, &p, rn_end_tx(p.tx), rn_end_rx(p.rx)));
    for (int i = 0, got; i < n; i++) {
        struct rn_case c[] = {RN_CASE_RECV(never.rx, &got), RN_CASE_SEND(there.tx, &i),
                              RN_CASE_RECV(never.rx, &got)};
        EQ(rn_select(c, 3, RN_FOREVER), 1);
        c[1] = (struct rn_case)RN_CASE_RECV(back.rx, &got);
        EQ(rn_select(c, 3, RN_FOREVER), 1);
        EQ(got, i);
    }
    TRUE(!chan_of(never.tx)->q[RN__RX].first);
    rn_tx_closep(&there.tx);
    OK(rn_scope_wait(s));
}

static int select_until_the_end(void *arg)
{
    const struct many *m = arg;
    int got;
    struct rn_case c[] = {RN_CASE_RECV(m->never, &got), RN_CASE_RECV(m->mine, &got)};
    int k = rn_select(c, 2, RN_FOREVER);
    return k < 0 ? k : c[k].result * 1000 - k;
}

TASK_TEST(a_select_wakes_when_a_channel_ends_or_it_is_cancelled)
{
    for (int i = 0; i < 3; i++) {
        struct pair p = pair_open(0), q = pair_open(0);
        struct many m = {.never = p.rx, .mine = q.rx};
        SCOPE(s);
        OK(GO(s, select_until_the_end, &m, rn_end_rx(m.never), rn_end_rx(m.mine)));
        TASK_UNTIL(tasks_parked() == 1);
        if (i < 2)
            OK(rn_tx_close(i == 0 ? p.tx : q.tx));
        else
            OK(rn_scope_cancel(s));
        EQ(rn_scope_wait(s), i < 2 ? -EPIPE * 1000 - i : -ECANCELED);
    }
}

/* ---- A default is taken only when nothing is ready ------------------------------------------- */

struct default_race {
    struct rn_tx a_tx;
    struct rn_rx a_rx, b_rx;
    bool         closes;
};

static int default_race_sender(void *arg)
{
    struct default_race *d = arg;
    if (d->closes)
        return rn_tx_close(d->a_tx);
    return rn_tx_send(d->a_tx, &(int){1}, RN_FOREVER);
}

/* b becomes unready only after a has become ready. */
static void default_race(bool closes)
{
    struct default_race d = {.closes = closes};
    struct rn_tx b_tx;
    int got;
    SCOPE(s);
    OK(rn_chan_open(sizeof(int), 1, &d.a_tx, &d.a_rx));
    OK(rn_chan_open(sizeof(int), 1, &b_tx, &d.b_rx));
    OK(rn_tx_send(b_tx, &(int){2}, RN_FOREVER));
    OK(GO(s, default_race_sender, &d, rn_end_tx(d.a_tx)));
    rn_yield();
    struct rn_case c[] = {RN_CASE_RECV(d.a_rx, &got), RN_CASE_RECV(d.b_rx, &got)};
    EQ(rn_select(c, 2, 0) >= 0, true);
    OK(rn_scope_wait(s));
}

SIM_TEST(a_default_is_a_snapshot_of_all_channels, 200)
{
    default_race(false);
    default_race(true);
}

/* ---- Stress ---------------------------------------------------------------------------------- */

struct stress {
    struct pair p[4];
    int         kind; /* 0..3: plain on that channel; 4: select */
    bool        sends;
    int         count;
};

static int stress_plain(const struct stress *t)
{
    int v = 1;
    for (int i = 0; i < t->count; i++) {
        if (t->sends)
            OK(rn_tx_send(t->p[t->kind].tx, &v, RN_FOREVER));
        else
            OK(rn_rx_recv(t->p[t->kind].rx, &v, RN_FOREVER));
    }
    return 0;
}

static int stress_task(void *arg)
{
    struct stress *t = arg;
    if (t->kind < 4)
        return stress_plain(t);
    int left[4] = {t->count, t->count, t->count, t->count}, v = 1;
    for (int n = 0; n < 4 * t->count; n++) {
        struct rn_case c[4];
        for (int i = 0; i < 4; i++)
            c[i] =
                (struct rn_case){t->sends ? RN_OP_SEND : RN_OP_RECV,
                                 t->sends ? rn_end_tx(t->p[i].tx) : rn_end_rx(t->p[i].rx), &v, 0};
        int k = OK(rn_select(c, 4, RN_FOREVER));
        EQ(c[k].result, 0);
        if (--left[k] == 0)
            t->p[k] = (struct pair){0};
    }
    return 0;
}

TASK_TEST(plain_and_select_operations_mix_on_four_channels)
{
    struct stress t[10];
    struct pair p[4];
    SCOPE(s);
    for (int i = 0; i < 4; i++)
        p[i] = pair_open(i < 2 ? 0 : (size_t)i);
    for (int i = 0; i < 10; i++) {
        t[i] = (struct stress){.kind = i % 5, .sends = i < 5, .count = (int)test_tasks(10000)};
        struct rn_end ends[4];
        size_t n = 0;
        for (int k = 0; k < 4; k++) {
            if (t[i].kind != 4 && t[i].kind != k)
                continue;
            if (t[i].sends) {
                OK(rn_tx_dup(p[k].tx, &t[i].p[k].tx));
                ends[n++] = rn_end_tx(t[i].p[k].tx);
            } else {
                OK(rn_rx_dup(p[k].rx, &t[i].p[k].rx));
                ends[n++] = rn_end_rx(t[i].p[k].rx);
            }
        }
        OK(rn_go(s, stress_task, &t[i], ends, n));
    }
    OK(rn_scope_wait(s));
    for (int k = 0; k < 4; k++)
        EQ(rn_chan_len(rn_end_tx(p[k].tx)), 0);
}

/* ---- Double select --------------------------------------------------------------------------- */

enum { DOUBLE_N = 2000 };
static bool double_seen[DOUBLE_N];

struct doubles {
    struct rn_tx tx[4];
    struct rn_rx rx[4];
    struct rn_tx out_tx;
};

static int double_sender(void *arg)
{
    struct doubles *d = arg;
    for (int i = 0; i < DOUBLE_N; i++) {
        struct rn_case c[4];
        for (int k = 0; k < 4; k++)
            c[k] = (struct rn_case)RN_CASE_SEND(d->tx[k], &i);
        OK(rn_select(c, 4, RN_FOREVER));
    }
    return 0;
}

static int double_forward(void *arg)
{
    const struct rn_end *e = arg;
    const struct rn_rx rx = {e[0].slot, e[0].gen};
    const struct rn_tx tx = {e[1].slot, e[1].gen};
    for (int v; rn_rx_recv(rx, &v, RN_FOREVER) == 0;)
        OK(rn_tx_send(tx, &v, RN_FOREVER));
    return 0;
}

TASK_TEST(a_select_never_fires_two_cases)
{
    struct doubles d;
    struct rn_rx out;
    struct rn_end e[4][2];
    SCOPE(s);
    OK(rn_chan_open(sizeof(int), 0, &d.out_tx, &out));
    for (int k = 0; k < 4; k++) {
        struct rn_tx tx;
        OK(rn_chan_open(sizeof(int), 0, &d.tx[k], &d.rx[k]));
        OK(rn_tx_dup(d.out_tx, &tx));
        e[k][0] = rn_end_rx(d.rx[k]);
        e[k][1] = rn_end_tx(tx);
        OK(rn_go(s, double_forward, e[k], e[k], 2));
    }
    rn_tx_closep(&d.out_tx);
    OK(GO(s, double_sender, &d, rn_end_tx(d.tx[0]), rn_end_tx(d.tx[1]), rn_end_tx(d.tx[2]),
          rn_end_tx(d.tx[3])));
    int n = 0;
    for (int v; rn_rx_recv(out, &v, RN_FOREVER) == 0; n++) {
        FALSE(double_seen[v]);
        double_seen[v] = true;
    }
    EQ(n, DOUBLE_N);
    OK(rn_scope_wait(s));
}
