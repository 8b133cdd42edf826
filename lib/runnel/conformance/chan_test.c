/* Channels as Go's test/chan and chan_test.go know them, each scenario told anew, in the order of
 * fifty seeds. */
#include <string.h>

#include "conformance/conformance_testing.h"

enum { CAPS = 4 };

struct peer {
    struct chan c;
    int value, result;
};

static int sends_one(void *arg)
{
    struct peer *p = arg;

    p->result = rn_tx_send(p->c.tx, &p->value, RN_FOREVER);
    return 0;
}

static int receives_one(void *arg)
{
    struct peer *p = arg;

    p->result = rn_rx_recv(p->c.rx, &p->value, RN_FOREVER);
    return 0;
}

/* ---- The rules, for every capacity ----------------------------------------------------------- */

static void empty_channel_keeps_receivers(size_t cap)
{
    struct chan c = chan_open(sizeof(int), cap);
    struct peer p = {.c = c};
    int v = -1;
    SCOPE(s);

    ERR(rn_rx_try_recv(c.rx, &v), EAGAIN);
    ERR(rn_rx_recv(c.rx, &v, 0), ETIMEDOUT);
    OK(GO(s, receives_one, &p, rn_end_rx(c.rx)));
    TASK_UNTIL(tasks_parked() == 1);
    v = 17;
    OK(rn_tx_send(c.tx, &v, RN_FOREVER));
    OK(rn_scope_wait(s));
    OK(p.result);
    EQ(p.value, 17);
    rn_tx_closep(&c.tx);
}

static void full_channel_keeps_senders(size_t cap)
{
    struct chan c = chan_open(sizeof(int), cap);
    struct peer p = {.c = c, .value = (int)cap};
    int v;
    SCOPE(s);

    EQ(rn_chan_cap(rn_end_tx(c.tx)), cap);
    for (v = 0; v < (int)cap; v++) {
        EQ(rn_chan_len(rn_end_rx(c.rx)), v);
        OK(rn_tx_send(c.tx, &v, RN_FOREVER));
    }
    ERR(rn_tx_try_send(c.tx, &v), EAGAIN);
    ERR(rn_tx_send(c.tx, &v, 0), ETIMEDOUT);
    OK(GO(s, sends_one, &p, rn_end_tx(c.tx)));
    TASK_UNTIL(tasks_parked() == 1);
    EQ(rn_chan_len(rn_end_rx(c.rx)), cap);
    for (int want = 0; want <= (int)cap; want++) {
        OK(rn_rx_recv(c.rx, &v, RN_FOREVER));
        EQ(v, want);
    }
    OK(rn_scope_wait(s)); /* its end-point, the last sender, goes with it */
    OK(p.result);
    ERR(rn_rx_recv(c.rx, &v, RN_FOREVER), EPIPE);
    rn_rx_closep(&c.rx);
}

SIM_TEST(every_capacity_keeps_the_rules_of_a_channel, SEEDS)
{
    for (size_t cap = 0; cap < 10; cap++) {
        empty_channel_keeps_receivers(cap);
        full_channel_keeps_senders(cap);
        EQ(ends_open(), 0);
    }
}

/* A try finds nothing before its peer is there, and succeeds once it waits; whatever is sent. */
static void try_both_ways(size_t size, size_t cap)
{
    struct peer in = {0}, out = {.value = 0x01020304};
    char big[64] = {0};
    SCOPE(s);

    in.c = chan_open(size, cap);
    ERR(rn_rx_try_recv(in.c.rx, big), EAGAIN);
    if (cap == 0)
        ERR(rn_tx_try_send(in.c.tx, big), EAGAIN);
    OK(GO(s, receives_one, &in, rn_end_rx(in.c.rx)));
    TASK_UNTIL(tasks_parked() == 1);
    memset(big, 7, sizeof(big));
    OK(rn_tx_try_send(in.c.tx, big));
    OK(rn_scope_wait(s));
    OK(in.result);
    MEMEQ(&in.value, big, size);

    out.c = chan_open(size, cap);
    while (rn_tx_try_send(out.c.tx, &out.value) == 0)
        ;
    OK(GO(s, sends_one, &out, rn_end_tx(out.c.tx)));
    TASK_UNTIL(tasks_parked() == 1);
    for (size_t i = 0; i <= cap; i++) {
        memset(big, 0, sizeof(big));
        OK(rn_rx_try_recv(out.c.rx, big));
        MEMEQ(big, &out.value, size);
    }
    OK(rn_scope_wait(s));
    rn_tx_closep(&in.c.tx);
    rn_rx_closep(&out.c.rx);
}

SIM_TEST(tries_know_whether_a_peer_is_there, SEEDS)
{
    for (size_t cap = 0; cap < 2; cap++) {
        for (size_t size = 0; size <= sizeof(int); size++)
            try_both_ways(size, cap);
    }
    EQ(ends_open(), 0);
}

SIM_TEST(a_sender_in_the_place_of_a_receiver_is_refused, 1)
{
    struct chan c = chan_open(sizeof(int), 1);
    const struct rn_rx as_rx = {c.tx.slot, c.tx.gen};
    const struct rn_tx as_tx = {c.rx.slot, c.rx.gen};
    int v = 1;

    ERR(rn_rx_recv(as_rx, &v, RN_FOREVER), EBADF);
    ERR(rn_tx_send(as_tx, &v, RN_FOREVER), EBADF);
    ERR(rn_rx_close(as_rx), EBADF);
    ERR(rn_tx_close(as_tx), EBADF);
}

/* ---- Close ----------------------------------------------------------------------------------- */

/* Both doors to one operation: the plain call, and a select with one case. */
static int send_by(bool by_select, struct rn_tx tx, int v)
{
    struct rn_case c[] = {RN_CASE_SEND(tx, &v)};
    int k = by_select ? rn_select(c, 1, RN_FOREVER) : 0;

    if (!by_select)
        return rn_tx_send(tx, &v, RN_FOREVER);
    return k < 0 ? k : c[k].result;
}

static int recv_by(bool by_select, struct rn_rx rx, int *ret_v)
{
    struct rn_case c[] = {RN_CASE_RECV(rx, ret_v)};
    int k = by_select ? rn_select(c, 1, RN_FOREVER) : 0;

    if (!by_select)
        return rn_rx_recv(rx, ret_v, RN_FOREVER);
    return k < 0 ? k : c[k].result;
}

static void close_of_the_sender(size_t cap, bool by_select)
{
    struct chan c = chan_open(sizeof(int), cap);
    int v = -1;

    for (int i = 0; i < (int)cap; i++)
        OK(send_by(by_select, c.tx, i));
    OK(rn_tx_close(c.tx));
    ERR(rn_tx_close(c.tx), EBADF); /* Go: close of closed channel */
    ERR(send_by(by_select, c.tx, 1), EBADF);
    ERR(rn_tx_try_send(c.tx, &v), EBADF);
    for (int i = 0; i < (int)cap; i++) {
        OK(recv_by(by_select, c.rx, &v));
        EQ(v, i);
    }
    for (int i = 0; i < 3; i++) { /* the end stays the end */
        ERR(recv_by(by_select, c.rx, &v), EPIPE);
        ERR(rn_rx_try_recv(c.rx, &v), EPIPE);
    }
    rn_rx_closep(&c.rx);
}

static void close_of_the_receiver(size_t cap, bool by_select)
{
    struct chan c = chan_open(sizeof(int), cap);
    int v = 3;

    OK(rn_rx_close(c.rx));
    ERR(rn_rx_close(c.rx), EBADF);
    ERR(recv_by(by_select, c.rx, &v), EBADF);
    ERR(send_by(by_select, c.tx, 1), EPIPE);
    ERR(rn_tx_try_send(c.tx, &v), EPIPE);
    rn_tx_closep(&c.tx);
}

SIM_TEST(a_closed_channel_answers_every_call_the_same_by_select, 1)
{
    for (size_t cap = 0; cap < CAPS; cap++) {
        for (int by_select = 0; by_select < 2; by_select++) {
            close_of_the_sender(cap, by_select);
            close_of_the_receiver(cap, by_select);
        }
    }
    ERR(rn_tx_close((struct rn_tx){0}), EBADF); /* Go: close of nil channel */
    ERR(rn_rx_close((struct rn_rx){0}), EBADF);
    EQ(ends_open(), 0);
}

SIM_TEST(a_close_wakes_all_that_wait_on_the_other_side, SEEDS)
{
    enum { N = 10 };
    struct peer senders[N], receivers[N];
    struct chan c = chan_open(sizeof(int), 0), d = chan_open(sizeof(int), 0);
    SCOPE(s);

    for (int i = 0; i < N; i++) {
        senders[i] = (struct peer){.result = 1};
        receivers[i] = (struct peer){.result = 1};
        OK(rn_tx_dup(c.tx, &senders[i].c.tx));
        OK(rn_rx_dup(d.rx, &receivers[i].c.rx));
        OK(GO(s, sends_one, &senders[i], rn_end_tx(senders[i].c.tx)));
        OK(GO(s, receives_one, &receivers[i], rn_end_rx(receivers[i].c.rx)));
    }
    TASK_UNTIL(tasks_parked() == 2 * N);
    OK(rn_rx_close(c.rx));
    OK(rn_tx_close(d.tx));
    OK(rn_scope_wait(s));
    for (int i = 0; i < N; i++) {
        ERR(senders[i].result, EPIPE);
        ERR(receivers[i].result, EPIPE);
    }
}

/* ---- Chains ---------------------------------------------------------------------------------- */

struct link {
    struct rn_rx from;
    struct rn_tx to;
    int number;
};

static int passes_on(void *arg)
{
    const struct link *l = arg;
    int v;

    OK(rn_rx_recv(l->from, &v, RN_FOREVER));
    EQ(v, l->number);
    v++;
    return rn_tx_send(l->to, &v, RN_FOREVER);
}

SIM_TEST(a_daisy_chain_hands_on_in_order, SEEDS)
{
    enum { N = 100 };
    struct link l[N];
    struct chan first = chan_open(sizeof(int), 0);
    struct rn_rx last = first.rx;
    int v = 0;
    SCOPE(s);

    for (int i = 0; i < N; i++) {
        struct chan next = chan_open(sizeof(int), 0);
        l[i] = (struct link){.from = last, .to = next.tx, .number = i};
        OK(GO_SMALL(s, passes_on, &l[i], rn_end_rx(l[i].from), rn_end_tx(l[i].to)));
        last = next.rx;
    }
    OK(rn_tx_send(first.tx, &v, RN_FOREVER));
    OK(rn_rx_recv(last, &v, RN_FOREVER));
    EQ(v, N);
    OK(rn_scope_wait(s));
}

struct sieve {
    struct rn_rx from;
    struct rn_tx to;
    int prime;
};

static int counts_from_two(void *arg)
{
    const struct sieve *f = arg;

    for (int i = 2;; i++) {
        if (rn_tx_send(f->to, &i, RN_FOREVER) < 0)
            return 0;
    }
}

static int drops_multiples(void *arg)
{
    const struct sieve *f = arg;
    int v;

    while (rn_rx_recv(f->from, &v, RN_FOREVER) == 0) {
        if (v % f->prime != 0 && rn_tx_send(f->to, &v, RN_FOREVER) < 0)
            break;
    }
    return 0;
}

SIM_TEST(a_prime_sieve_over_buffers_finds_the_same_primes, 10)
{
    enum { N = 60 };
    struct sieve f[N + 1];
    struct chan c = chan_open(sizeof(int), seed % 5);
    int prime = 2;
    SCOPE(s);

    f[0] = (struct sieve){.to = c.tx};
    OK(GO_SMALL(s, counts_from_two, &f[0], rn_end_tx(c.tx)));
    for (int i = 1; i <= N; i++) {
        struct chan next = chan_open(sizeof(int), seed % 5);
        OK(rn_rx_recv(c.rx, &prime, RN_FOREVER));
        for (int d = 2; d * d <= prime; d++)
            NE(prime % d, 0);
        f[i] = (struct sieve){.from = c.rx, .to = next.tx, .prime = prime};
        OK(GO_SMALL(s, drops_multiples, &f[i], rn_end_rx(f[i].from), rn_end_tx(f[i].to)));
        c.rx = next.rx;
    }
    EQ(prime, 281);        /* the sixtieth */
    OK(rn_rx_close(c.rx)); /* one close ends them all */
    OK(rn_scope_wait(s));
    EQ(ends_open(), 0);
}

/* ---- Senders of all kinds -------------------------------------------------------------------- */

static int sends_as_it_likes(void *arg)
{
    struct peer *p = arg;
    struct rn_case c[] = {RN_CASE_SEND(p->c.tx, &p->value)};

    switch (p->value % 3) {
    case 0:
        return rn_tx_send(p->c.tx, &p->value, RN_FOREVER);
    case 1:
        return rn_select(c, 1, RN_FOREVER) == 0 ? c[0].result : -EIO;
    default:
        while (rn_select(c, 1, 0) == -ETIMEDOUT)
            OK(rn_yield());
        return c[0].result;
    }
}

static int receives_as_it_likes(struct rn_rx rx, uint64_t *random)
{
    int v = -1;
    struct rn_case c[] = {RN_CASE_RECV(rx, &v)};

    switch (dice(random, 3)) {
    case 0:
        OK(rn_rx_recv(rx, &v, RN_FOREVER));
        break;
    case 1:
        EQ(rn_select(c, 1, RN_FOREVER), 0);
        break;
    default: /* two that only try would never meet */
        if (rn_rx_try_recv(rx, &v) == -EAGAIN)
            OK(rn_rx_recv(rx, &v, RN_FOREVER));
    }
    return v;
}

SIM_TEST(every_kind_of_sender_meets_every_kind_of_receiver, SEEDS)
{
    enum { N = 100 };
    static struct peer p[N];
    struct chan c = chan_open(sizeof(int), seed % 3);
    bool seen[N] = {0};
    SCOPE(s);

    for (int i = 0; i < N; i++) {
        p[i] = (struct peer){.value = i};
        OK(rn_tx_dup(c.tx, &p[i].c.tx));
        OK(GO_SMALL(s, sends_as_it_likes, &p[i], rn_end_tx(p[i].c.tx)));
    }
    for (int i = 0; i < N; i++) {
        int v = receives_as_it_likes(c.rx, &seed);
        TRUE(v >= 0 && v < N && !seen[v]);
        seen[v] = true;
    }
    OK(rn_scope_wait(s));
    ERR(rn_rx_try_recv(c.rx, NULL), EAGAIN);
}
