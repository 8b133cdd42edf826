/* Select as Go's select*.go and chan_test.go know it. */
#include <stdlib.h>

#include "conformance/conformance_testing.h"

/* ---- What blocks, and what doesn't ----------------------------------------------------------- */

struct asks {
    struct rn_case cases[2];
    size_t n;
};

/* Waits without end: as good as, in virtual time. With a default it doesn't. */
static void blocks(struct asks a)
{
    const rn_time when = rn_after(1000000 * RN_S);

    ERR(rn_select(a.cases, a.n, 0), ETIMEDOUT);
    ERR(rn_select(a.cases, a.n, when), ETIMEDOUT);
    EQ(rn_now(), when);
}

static void goes_on(struct asks a, int result)
{
    for (int twice = 0; twice < 2; twice++) {
        struct rn_case c[2] = {a.cases[0], a.cases[1]};
        if (twice && result == 0) /* else the first turn has used up what was ready */
            return;
        EQ(rn_select(c, a.n, twice ? 0 : RN_FOREVER), 0);
        EQ(c[0].result, result);
    }
}

SIM_TEST(a_select_blocks_or_goes_on_as_the_matrix_says, 1)
{
    static int v = 9;
    struct chan quiet = chan_open(sizeof(int), 0), full = chan_open(sizeof(int), 1),
                empty = chan_open(sizeof(int), 1), ended = chan_open(sizeof(int), 1),
                refused = chan_open(sizeof(int), 1);
    OK(rn_tx_send(full.tx, &v, RN_FOREVER));
    OK(rn_tx_close(ended.tx));
    OK(rn_rx_close(refused.rx));

    blocks((struct asks){.n = 0});
    blocks((struct asks){{RN_CASE_SEND((struct rn_tx){0}, &v)}, .n = 1});
    blocks((struct asks){{RN_CASE_RECV((struct rn_rx){0}, &v)}, .n = 1});
    blocks(
        (struct asks){{RN_CASE_SEND((struct rn_tx){0}, &v), RN_CASE_RECV(quiet.rx, &v)}, .n = 2});
    blocks((struct asks){{RN_CASE_SEND(quiet.tx, &v)}, .n = 1});
    blocks((struct asks){{RN_CASE_RECV(quiet.rx, &v)}, .n = 1});
    blocks((struct asks){{RN_CASE_SEND(quiet.tx, &v), RN_CASE_RECV(quiet.rx, &v)}, .n = 2});
    blocks((struct asks){{RN_CASE_SEND(full.tx, &v)}, .n = 1});
    blocks((struct asks){{RN_CASE_RECV(empty.rx, &v)}, .n = 1});

    goes_on((struct asks){{RN_CASE_RECV(full.rx, &v), RN_CASE_SEND(quiet.tx, &v)}, .n = 2}, 0);
    EQ(v, 9);
    goes_on((struct asks){{RN_CASE_SEND(empty.tx, &v), RN_CASE_RECV(quiet.rx, &v)}, .n = 2}, 0);
    goes_on((struct asks){{RN_CASE_RECV(ended.rx, &v)}, .n = 1}, -EPIPE);
    goes_on((struct asks){{RN_CASE_SEND(refused.tx, &v)}, .n = 1}, -EPIPE);
    goes_on((struct asks){{RN_CASE_SEND(ended.tx, &v)}, .n = 1}, -EBADF);
}

/* ---- Any mix of cases against a model -------------------------------------------------------- */

enum { CHANS = 4, CASES = 6 };

struct model {
    struct chan c[CHANS];
    int cap[CHANS], len[CHANS];
    bool tx_open[CHANS], rx_open[CHANS];
};

static bool ready(const struct model *m, enum rn_case_op op, int k)
{
    if (op == RN_OP_SEND)
        return !m->tx_open[k] || !m->rx_open[k] || m->len[k] < m->cap[k];
    return !m->rx_open[k] || m->len[k] > 0 || !m->tx_open[k];
}

static int expected(const struct model *m, enum rn_case_op op, int k)
{
    if (op == RN_OP_SEND)
        return !m->tx_open[k] ? -EBADF : !m->rx_open[k] ? -EPIPE : 0;
    return !m->rx_open[k] ? -EBADF : m->len[k] > 0 ? 0 : -EPIPE;
}

static void mix(struct model *m, uint64_t *random)
{
    struct rn_case c[CASES];
    int chan[CASES], v[CASES];
    const size_t n = dice(random, CASES + 1);
    bool any = false;

    for (size_t i = 0; i < n; i++) {
        const int k = chan[i] = (int)dice(random, CHANS);
        v[i] = 1;
        c[i] = dice(random, 2) ? (struct rn_case)RN_CASE_SEND(m->c[k].tx, &v[i])
                               : (struct rn_case)RN_CASE_RECV(m->c[k].rx, &v[i]);
        if (dice(random, 5) == 0) {
            c[i].end = (struct rn_end){0};
            chan[i] = -1;
        }
        any |= chan[i] >= 0 && ready(m, c[i].op, k);
    }
    const int got = rn_select(c, n, 0);
    if (!any) {
        ERR(got, ETIMEDOUT);
    } else {
        const int k = chan[OK(got)];
        TRUE(k >= 0 && ready(m, c[got].op, k));
        EQ(c[got].result, expected(m, c[got].op, k));
        if (c[got].result == 0)
            m->len[k] += c[got].op == RN_OP_SEND ? 1 : -1;
    }
    for (int k = 0; k < CHANS; k++) {
        if (m->rx_open[k])
            EQ(rn_chan_len(rn_end_rx(m->c[k].rx)), m->len[k]);
    }
}

SIM_TEST(a_select_does_one_ready_case_of_any_mix_and_nothing_else, SEEDS)
{
    struct model m = {0};

    for (int k = 0; k < CHANS; k++) {
        m.cap[k] = (int)dice(&seed, 4);
        m.c[k] = chan_open(sizeof(int), (size_t)m.cap[k]);
        m.tx_open[k] = m.rx_open[k] = true;
    }
    for (int i = 0; i < 300; i++) {
        const int k = (int)dice(&seed, CHANS);
        mix(&m, &seed);
        if (i == 150 && m.tx_open[k]) {
            OK(rn_tx_close(m.c[k].tx));
            m.tx_open[k] = false;
        }
        if (i == 200 && m.rx_open[k]) {
            OK(rn_rx_close(m.c[k].rx));
            m.rx_open[k] = false;
        }
    }
}

/* ---- Losers ---------------------------------------------------------------------------------- */

struct loser {
    struct rn_rx own, shared;
    int result;
};

static int waits_on_both(void *arg)
{
    struct loser *l = arg;
    int v;
    struct rn_case c[] = {RN_CASE_RECV(l->shared, &v), RN_CASE_RECV(l->own, &v)};

    l->result = rn_select(c, 2, RN_FOREVER);
    return 0;
}

SIM_TEST(ten_thousand_selects_leave_a_shared_queue_in_any_order, 1)
{
    const uint32_t n = test_sanitized() ? 1000 : 10000;
    CLEANUP(freep) struct loser *l = calloc(n, sizeof(*l));
    CLEANUP(freep) struct rn_tx *tx = calloc(n, sizeof(*tx));
    struct chan shared = chan_open(sizeof(int), 0);
    int v = 1;
    SCOPE(s);

    for (uint32_t i = 0; i < n; i++) {
        const struct chan own = chan_open(sizeof(int), 0);
        tx[i] = own.tx;
        l[i] = (struct loser){.own = own.rx, .result = -1};
        OK(rn_rx_dup(shared.rx, &l[i].shared));
        OK(GO_SMALL(s, waits_on_both, &l[i], rn_end_rx(l[i].own), rn_end_rx(l[i].shared)));
    }
    TASK_UNTIL(tasks_parked() == n);
    for (uint32_t i = 0; i < n - 1; i++) { /* 7919 is prime: a stride that visits all */
        const uint32_t k = (uint32_t)((uint64_t)i * 7919 % n);
        OK(rn_tx_try_send(tx[k], &v));
    }
    OK(rn_tx_try_send(shared.tx, &v)); /* finds the only one that is left, whoever left before */
    OK(rn_scope_wait(s));
    uint32_t by_shared = 0;
    for (uint32_t i = 0; i < n; i++) {
        GE(l[i].result, 0);
        by_shared += l[i].result == 0;
    }
    EQ(by_shared, 1);
}

/* A consumer that waits with a way out which nobody ever takes: its records must not pile up. */
struct with_way_out {
    struct rn_rx values, stop;
    int rounds;
};

static int consumes(void *arg)
{
    const struct with_way_out *w = arg;
    int v;

    for (int i = 0; i < w->rounds; i++) {
        struct rn_case c[] = {RN_CASE_RECV(w->values, &v), RN_CASE_RECV(w->stop, NULL)};
        EQ(rn_select(c, 2, RN_FOREVER), 0);
        EQ(v, i);
    }
    return 0;
}

SIM_TEST(a_way_out_that_nobody_takes_costs_nothing, 5)
{
    struct chan values = chan_open(sizeof(int), 0), stop = chan_open(0, 0);
    struct with_way_out w = {.values = values.rx, .stop = stop.rx, .rounds = 3000};
    struct rn_stats before, after;
    SCOPE(s);

    OK(GO(s, consumes, &w, rn_end_rx(w.values), rn_end_rx(w.stop)));
    rn_stats(rn_runtime_self(), &before);
    for (int i = 0; i < w.rounds; i++)
        OK(rn_tx_send(values.tx, &i, RN_FOREVER));
    OK(rn_scope_wait(s));
    rn_stats(rn_runtime_self(), &after);
    EQ(after.stack_bytes <= before.stack_bytes, true);
    EQ(after.timers, before.timers);
    ERR(rn_tx_try_send(stop.tx, NULL), EPIPE);
}
