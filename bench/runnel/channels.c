/* Switches, channels and select. */
#include <errno.h>
#include <unistd.h>

#include <base/cleanup.h>

#include "bench.h"

enum { BUFFER = 128, MANY = 4 };

static struct rn_scope scope_open(void)
{
    struct rn_scope scope = {0};

    CHECK(rn_scope_open(RN_SCOPE_WAIT_ALL, &scope) == 0);
    return scope;
}

struct yielder {
    uint64_t n, done;
};

static int yielder(void *arg)
{
    struct yielder *y = arg;

    for (; y->done < y->n; y->done++)
        CHECK(rn_yield() == 0);
    return 0;
}

/* Two tasks, so that each yield is a switch to another one. */
void work_yield(struct run *run)
{
    CLEANUP(rn_scope_closep) struct rn_scope scope = scope_open();
    struct yielder y[2] = {{.n = run->n / 2}, {.n = run->n - run->n / 2}};

    for (int i = 0; i < 2; i++)
        CHECK(rn_go(scope, yielder, &y[i], NULL, 0) == 0);
    CHECK(rn_scope_wait(scope) == 0);
    run->sum = y[0].done + y[1].done;
    CHECK(run->sum == run->n);
}

struct chan {
    struct rn_tx tx;
    struct rn_rx rx;
};

static struct chan chan_open(size_t cap)
{
    struct chan c = {0};

    CHECK(rn_chan_open(sizeof(uint64_t), cap, &c.tx, &c.rx) == 0);
    return c;
}

static void chan_closep(struct chan *c)
{
    rn_tx_closep(&c->tx);
    rn_rx_closep(&c->rx);
}

static int echo(void *arg)
{
    struct chan *c = arg;
    uint64_t v;
    int r;

    while ((r = rn_rx_recv(c->rx, &v, RN_FOREVER)) == 0)
        CHECK(rn_tx_send(c->tx, &v, RN_FOREVER) == 0);
    return r == -EPIPE ? 0 : r;
}

void work_ping_pong(struct run *run)
{
    CLEANUP(rn_scope_closep) struct rn_scope scope = scope_open();
    struct chan there = chan_open(0), back = chan_open(0);
    struct chan theirs = {.tx = back.tx, .rx = there.rx};
    const struct rn_end ends[] = {rn_end_tx(back.tx), rn_end_rx(there.rx)};
    uint64_t v;

    CHECK(rn_go(scope, echo, &theirs, ends, 2) == 0);
    for (uint64_t i = 0; i < run->n; i++) {
        CHECK(rn_tx_send(there.tx, &i, RN_FOREVER) == 0);
        CHECK(rn_rx_recv(back.rx, &v, RN_FOREVER) == 0);
        run->sum += v;
    }
    rn_tx_closep(&there.tx);
    rn_rx_closep(&back.rx);
    CHECK(rn_scope_wait(scope) == 0);
    CHECK(run->sum == run->n * (run->n - 1) / 2);
}

void work_buffered(struct run *run)
{
    CLEANUP(chan_closep) struct chan c = chan_open(BUFFER);
    uint64_t v;

    for (uint64_t i = 0; i < run->n; i++) {
        CHECK(rn_tx_send(c.tx, &i, RN_FOREVER) == 0);
        CHECK(rn_rx_recv(c.rx, &v, RN_FOREVER) == 0);
        run->sum += v;
    }
    CHECK(run->sum == run->n * (run->n - 1) / 2);
}

struct party {
    struct rn_tx tx;
    struct rn_rx rx;
    uint64_t first, end, sum;
};

static int producer(void *arg)
{
    struct party *p = arg;

    for (uint64_t i = p->first; i < p->end; i++)
        CHECK(rn_tx_send(p->tx, &i, RN_FOREVER) == 0);
    return 0;
}

static int consumer(void *arg)
{
    struct party *p = arg;
    uint64_t v;
    int r;

    while ((r = rn_rx_recv(p->rx, &v, RN_FOREVER)) == 0)
        p->sum += v;
    return r == -EPIPE ? 0 : r;
}

/* So many senders and receivers on one channel, each with an end-point of its own. */
static void through(struct run *run, uint64_t many)
{
    CLEANUP(rn_scope_closep) struct rn_scope scope = scope_open();
    struct chan c = chan_open(BUFFER);
    struct party senders[MANY] = {0}, receivers[MANY] = {0};

    for (uint64_t i = 0; i < many; i++) {
        senders[i].first = run->n * i / many;
        senders[i].end = run->n * (i + 1) / many;
        CHECK(rn_tx_dup(c.tx, &senders[i].tx) == 0 && rn_rx_dup(c.rx, &receivers[i].rx) == 0);
        CHECK(rn_go(scope, producer, &senders[i], (struct rn_end[]){rn_end_tx(senders[i].tx)}, 1) ==
              0);
        CHECK(rn_go(scope, consumer, &receivers[i], (struct rn_end[]){rn_end_rx(receivers[i].rx)},
                    1) == 0);
    }
    chan_closep(&c);
    CHECK(rn_scope_wait(scope) == 0);
    for (uint64_t i = 0; i < many; i++)
        run->sum += receivers[i].sum;
    CHECK(run->sum == run->n * (run->n - 1) / 2);
}

void work_pipe(struct run *run)
{
    through(run, 1);
}

void work_four_by_four(struct run *run)
{
    through(run, MANY);
}

/* One value is sent, to either channel in turn, and received by a select on both. */
void work_select(struct run *run)
{
    CLEANUP(chan_closep) struct chan a = chan_open(1);
    CLEANUP(chan_closep) struct chan b = chan_open(1);
    const struct rn_tx txs[] = {a.tx, b.tx};
    uint64_t v[2];

    for (uint64_t i = 0; i < run->n; i++) {
        struct rn_case cases[] = {RN_CASE_RECV(a.rx, &v[0]), RN_CASE_RECV(b.rx, &v[1])};
        const int ready = (int)(i & 1);

        CHECK(rn_tx_send(txs[ready], &i, RN_FOREVER) == 0);
        CHECK(rn_select(cases, 2, RN_FOREVER) == ready && cases[ready].result == 0);
        run->sum += v[ready];
    }
    CHECK(run->sum == run->n * (run->n - 1) / 2);
}

void work_default_one(struct run *run)
{
    CLEANUP(chan_closep) struct chan a = chan_open(1);
    uint64_t v;

    for (uint64_t i = 0; i < run->n; i++) {
        struct rn_case cases[] = {RN_CASE_RECV(a.rx, &v)};

        run->sum += rn_select(cases, 1, 0) == -ETIMEDOUT;
    }
    CHECK(run->sum == run->n);
}

void work_default_two(struct run *run)
{
    CLEANUP(chan_closep) struct chan a = chan_open(1);
    CLEANUP(chan_closep) struct chan b = chan_open(1);
    uint64_t v;

    for (uint64_t i = 0; i < run->n; i++) {
        struct rn_case cases[] = {RN_CASE_RECV(a.rx, &v), RN_CASE_RECV(b.rx, &v)};

        run->sum += rn_select(cases, 2, 0) == -ETIMEDOUT;
    }
    CHECK(run->sum == run->n);
}

/* What Go's compiler makes of a select with one case and a default, written by hand. */
void work_try(struct run *run)
{
    CLEANUP(chan_closep) struct chan a = chan_open(1);
    uint64_t v;

    for (uint64_t i = 0; i < run->n; i++)
        run->sum += rn_rx_try_recv(a.rx, &v) == -EAGAIN;
    CHECK(run->sum == run->n);
}
