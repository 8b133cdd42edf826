/* What Go's own tests of channels ask, and what our closing rules add. */
#include <stdlib.h>
#include <string.h>

#include "chan_testing.h"
#include "channel.h"

/* ---- Order ----------------------------------------------------------------------------------- */

TASK_TEST(values_leave_a_buffer_in_the_order_they_came)
{
    struct rn_tx tx;
    struct rn_rx rx;
    OK(rn_chan_open(sizeof(int), 10, &tx, &rx));

    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 10; i++)
            OK(rn_tx_send(tx, &i, RN_FOREVER));
        for (int i = 0, got; i < 10; i++) {
            OK(rn_rx_recv(rx, &got, RN_FOREVER));
            EQ(got, i);
        }
    }
}

struct daisy {
    struct rn_rx rx;
    struct rn_tx tx;
    int          number;
};

static _Atomic int served_n;

static int daisy_receiver(void *arg)
{
    const struct daisy *d = arg;
    int got;
    OK(rn_rx_recv(d->rx, &got, RN_FOREVER));
    EQ(got, d->number);
    served_n++;
    return 0;
}

TASK_TEST(waiting_receivers_are_served_in_order)
{
    struct rn_tx tx;
    struct rn_rx rx;
    struct daisy d[8];
    SCOPE(s);
    OK(rn_chan_open(sizeof(int), 0, &tx, &rx));

    for (int i = 0; i < 8; i++) {
        d[i] = (struct daisy){.number = i};
        OK(rn_rx_dup(rx, &d[i].rx));
        OK(GO(s, daisy_receiver, &d[i], rn_end_rx(d[i].rx)));
        TASK_UNTIL(tasks_parked() == (uint64_t)i + 1);
    }
    for (int i = 0; i < 8; i++)
        OK(rn_tx_send(tx, &i, RN_FOREVER));
    OK(rn_scope_wait(s));
    EQ(served_n, 8);
}

static int daisy_sender(void *arg)
{
    const struct daisy *d = arg;
    return rn_tx_send(d->tx, &d->number, RN_FOREVER);
}

TASK_TEST(waiting_senders_keep_their_order_behind_a_full_buffer)
{
    struct rn_tx tx;
    struct rn_rx rx;
    struct daisy d[6];
    SCOPE(s);
    OK(rn_chan_open(sizeof(int), 2, &tx, &rx));

    for (int i = 0; i < 6; i++) {
        d[i] = (struct daisy){.number = i};
        OK(rn_tx_dup(tx, &d[i].tx));
        OK(GO(s, daisy_sender, &d[i], rn_end_tx(d[i].tx)));
        TASK_UNTIL(rn_chan_len(rn_end_rx(rx)) + (int64_t)tasks_parked() == i + 1);
    }
    for (int i = 0, got; i < 6; i++) {
        OK(rn_rx_recv(rx, &got, RN_FOREVER));
        EQ(got, i);
    }
    OK(rn_scope_wait(s));
}

TASK_TEST(a_receive_from_a_full_buffer_lets_the_first_waiting_sender_go)
{
    struct daisy d = {.number = 2};
    struct rn_tx tx;
    struct rn_rx rx;
    SCOPE(s);
    OK(rn_chan_open(sizeof(int), 2, &tx, &rx));
    for (int i = 0; i < 2; i++)
        OK(rn_tx_send(tx, &i, RN_FOREVER));
    OK(rn_tx_dup(tx, &d.tx));
    OK(GO(s, daisy_sender, &d, rn_end_tx(d.tx)));
    TASK_UNTIL(tasks_parked() == 1);
    for (int i = 0, got; i < 3; i++) {
        OK(rn_rx_recv(rx, &got, RN_FOREVER));
        EQ(got, i);
        OK(rn_scope_wait(s));
        EQ(rn_chan_len(rn_end_rx(rx)), 2 - i);
    }
}

/* ---- Meeting --------------------------------------------------------------------------------- */

static _Atomic bool meeting_sent;

static int meeting_sender(void *arg)
{
    struct rn_tx tx = *(struct rn_tx *)arg;
    int v = 42;
    OK(rn_tx_send(tx, &v, RN_FOREVER));
    meeting_sent = true;
    return 0;
}

TASK_TEST(an_unbuffered_send_waits_for_its_receiver)
{
    struct rn_tx tx;
    struct rn_rx rx;
    int got = 0;
    SCOPE(s);
    OK(rn_chan_open(sizeof(int), 0, &tx, &rx));
    OK(GO(s, meeting_sender, &tx, rn_end_tx(tx)));

    TASK_UNTIL(tasks_parked() == 1);
    FALSE(meeting_sent);
    EQ(rn_chan_len(rn_end_rx(rx)), 0);
    OK(rn_rx_recv(rx, &got, RN_FOREVER));
    EQ(got, 42);
    OK(rn_scope_wait(s));
    TRUE(meeting_sent);
    ERR(rn_rx_recv(rx, &got, RN_FOREVER), EPIPE);
}

TASK_TEST(try_operations_never_wait)
{
    for (size_t cap = 0; cap < 3; cap++) {
        struct rn_tx tx;
        struct rn_rx rx;
        uint64_t v = 7, got = 0;
        OK(rn_chan_open(sizeof(v), cap, &tx, &rx));
        ERR(rn_rx_try_recv(rx, &got), EAGAIN);
        for (size_t i = 0; i < cap; i++)
            OK(rn_tx_try_send(tx, &v));
        ERR(rn_tx_try_send(tx, &v), EAGAIN);
        ERR(rn_tx_send(tx, &v, 0), ETIMEDOUT);
        for (size_t i = 0; i < cap; i++)
            OK(rn_rx_try_recv(rx, &got));
        ERR(rn_rx_try_recv(rx, &got), EAGAIN);
        ERR(rn_rx_recv(rx, &got, 0), ETIMEDOUT);
    }
}

static int peer_receiver(void *arg)
{
    const struct daisy *d = arg;
    int got;
    OK(rn_rx_recv(d->rx, &got, RN_FOREVER));
    return got == d->number ? 0 : -EINVAL;
}

TASK_TEST(a_try_succeeds_when_a_peer_waits)
{
    struct rn_tx tx;
    struct daisy d = {.number = 5}, back = {.number = 6};
    struct rn_rx rx;
    int got;
    SCOPE(s);

    OK(rn_chan_open(sizeof(int), 0, &tx, &d.rx));
    OK(GO(s, peer_receiver, &d, rn_end_rx(d.rx)));
    TASK_UNTIL(tasks_parked() == 1);
    OK(rn_tx_try_send(tx, &d.number));
    OK(rn_scope_wait(s));

    OK(rn_chan_open(sizeof(int), 0, &back.tx, &rx));
    OK(GO(s, daisy_sender, &back, rn_end_tx(back.tx)));
    TASK_UNTIL(tasks_parked() == 1);
    OK(rn_rx_try_recv(rx, &got));
    EQ(got, 6);
    OK(rn_scope_wait(s));
}

TASK_TEST(elements_of_size_zero_and_of_64k_are_fine)
{
    struct rn_tx tx;
    struct rn_rx rx;
    OK(rn_chan_open(0, 2, &tx, &rx));
    OK(rn_tx_try_send(tx, NULL));
    OK(rn_tx_try_send(tx, NULL));
    ERR(rn_tx_try_send(tx, NULL), EAGAIN);
    OK(rn_rx_try_recv(rx, NULL));
    EQ(rn_chan_len(rn_end_tx(tx)), 1);

    CLEANUP(freep) char *big = malloc(65535);
    CLEANUP(freep) char *copy = malloc(65535);
    memset(big, 'x', 65535);
    OK(rn_chan_open(65535, 1, &tx, &rx));
    OK(rn_tx_try_send(tx, big));
    OK(rn_rx_try_recv(rx, copy));
    MEMEQ(big, copy, 65535);
}

TASK_TEST(sizes_out_of_range_are_refused)
{
    struct rn_tx tx;
    struct rn_rx rx;
    ERR(rn_chan_open(65536, 0, &tx, &rx), EINVAL);
    ERR(rn_chan_open(8, SIZE_MAX, &tx, &rx), EINVAL);
    ERR(rn_chan_open(8, UINT32_MAX, &tx, &rx), EINVAL);
    ERR(rn_chan_open(60000, 1 << 20, &tx, &rx), EINVAL);
    OK(rn_chan_open(0, INT32_MAX, &tx, &rx));
    EQ(rn_chan_cap(rn_end_tx(tx)), INT32_MAX);
    const struct rn_elem outside = {.size = 8, .n_ends = 1, .ends = {4}};
    ERR(rn_chan_open_elem(&outside, 0, &tx, &rx), EINVAL);
}

/* ---- Close ----------------------------------------------------------------------------------- */

TASK_TEST(after_the_last_sender_closes_receivers_get_what_is_left_then_the_end)
{
    for (int cap = 0; cap < 4; cap++) {
        struct rn_tx tx;
        struct rn_rx rx;
        int got;
        OK(rn_chan_open(sizeof(int), (size_t)cap, &tx, &rx));
        for (int i = 0; i < cap; i++)
            OK(rn_tx_try_send(tx, &i));
        OK(rn_tx_close(tx));
        ERR(rn_tx_try_send(tx, &cap), EBADF);
        ERR(rn_tx_close(tx), EBADF);
        for (int i = 0; i < cap; i++) {
            OK(rn_rx_recv(rx, &got, RN_FOREVER));
            EQ(got, i);
        }
        ERR(rn_rx_recv(rx, &got, RN_FOREVER), EPIPE);
        ERR(rn_rx_try_recv(rx, &got), EPIPE);
        OK(rn_rx_close(rx));
        ERR(rn_rx_recv(rx, &got, RN_FOREVER), EBADF);
    }
    EQ(ends_open(), 0);
}

struct waiting {
    struct rn_tx tx;
    struct rn_rx rx;
    int          result;
};

static int wait_to_receive(void *arg)
{
    struct waiting *w = arg;
    int got;
    w->result = rn_rx_recv(w->rx, &got, RN_FOREVER);
    return 0;
}

static int wait_to_send(void *arg)
{
    struct waiting *w = arg;
    w->result = rn_tx_send(w->tx, &w->result, RN_FOREVER);
    return 0;
}

TASK_TEST(closing_the_last_sender_wakes_every_waiting_receiver)
{
    struct waiting w[5];
    struct rn_tx tx, other;
    struct rn_rx rx;
    SCOPE(s);
    OK(rn_chan_open(sizeof(int), 3, &tx, &rx));
    OK(rn_tx_dup(tx, &other));
    for (int i = 0; i < 5; i++) {
        OK(rn_rx_dup(rx, &w[i].rx));
        OK(GO(s, wait_to_receive, &w[i], rn_end_rx(w[i].rx)));
    }
    TASK_UNTIL(tasks_parked() == 5);
    OK(rn_tx_close(tx));
    rn_yield();
    EQ(tasks_parked(), 5);
    OK(rn_tx_close(other));
    OK(rn_scope_wait(s));
    for (int i = 0; i < 5; i++)
        EQ(w[i].result, -EPIPE);
}

TASK_TEST(closing_the_last_receiver_wakes_every_waiting_sender)
{
    struct waiting w[5];
    struct rn_tx tx;
    struct rn_rx rx;
    SCOPE(s);
    OK(rn_chan_open(sizeof(int), 2, &tx, &rx));
    for (int i = 0; i < 5; i++) {
        OK(rn_tx_dup(tx, &w[i].tx));
        OK(GO(s, wait_to_send, &w[i], rn_end_tx(w[i].tx)));
    }
    TASK_UNTIL(tasks_parked() == 3);
    OK(rn_rx_close(rx));
    OK(rn_scope_wait(s));
    for (int i = 0; i < 5; i++)
        EQ(w[i].result, i < 2 ? 0 : -EPIPE);
    ERR(rn_tx_send(tx, &w[0].result, RN_FOREVER), EPIPE);
    ERR(rn_tx_push(tx, &w[0].result, NULL), EPIPE);
    EQ(rn_chan_len(rn_end_tx(tx)), 0);
}

/* ---- Deadlines and cancellation -------------------------------------------------------------- */

TASK_TEST(a_wait_that_times_out_leaves_nothing_behind)
{
    struct rn_tx tx;
    struct rn_rx rx;
    int v = 1, got = 0;
    OK(rn_chan_open(sizeof(int), 0, &tx, &rx));

    for (int i = 0; i < 3; i++) {
        ERR(rn_rx_recv(rx, &got, rn_after(RN_MS)), ETIMEDOUT);
        ERR(rn_tx_send(tx, &v, rn_after(RN_MS)), ETIMEDOUT);
        ERR(rn_rx_recv(rx, &got, rn_now() - 1), ETIMEDOUT);
    }
    const struct rn__chan *c = atomic_load(&rn__rec_find(rn__chans_self(), tx.slot)->chan);
    TRUE(!c->q[RN__TX].first && !c->q[RN__RX].first);
    ERR(rn_tx_try_send(tx, &v), EAGAIN);
}

TASK_TEST(a_cancelled_task_gets_ecanceled_from_every_call_that_could_park)
{
    struct waiting w;
    struct rn_tx tx;
    SCOPE(s);
    OK(rn_chan_open(sizeof(int), 1, &tx, &w.rx));
    OK(GO(s, wait_to_receive, &w, rn_end_rx(w.rx)));
    TASK_UNTIL(tasks_parked() == 1);
    OK(rn_scope_cancel(s));
    rn_scope_wait(s);
    EQ(w.result, -ECANCELED);
    ERR(rn_tx_try_send(tx, &w.result), EPIPE);
}

struct consumer {
    struct rn_rx in;
    struct rn_tx out;
};

static int cancelled_user(void *arg)
{
    const struct consumer *c = arg;
    int v = 1;
    while (rn_cancelled() == 0)
        rn_yield();
    ERR(rn_tx_send(c->out, &v, RN_FOREVER), ECANCELED);
    struct rn_case cases[] = {RN_CASE_SEND(c->out, &v)};
    ERR(rn_select(cases, 1, RN_FOREVER), ECANCELED);
    OK(rn_tx_send(c->out, &v, 0)); /* these can't park */
    OK(rn_tx_try_send(c->out, &v));
    ERR(rn_rx_recv(c->in, &v, RN_FOREVER), ECANCELED);
    OK(rn_rx_recv(c->in, &v, 0));
    return 0;
}

TASK_TEST(cancelled_means_even_what_would_succeed_at_once)
{
    struct consumer c;
    SCOPE(s);
    OK(rn_chan_open(sizeof(int), 2, &c.out, &c.in));
    OK(GO(s, cancelled_user, &c, rn_end_tx(c.out), rn_end_rx(c.in)));
    OK(rn_scope_cancel(s));
    OK(rn_scope_wait(s));
}

struct cancel_race {
    struct rn_rx rx;
    int          result, got;
};

static int cancel_race_receiver(void *arg)
{
    struct cancel_race *c = arg;
    c->result = rn_rx_recv(c->rx, &c->got, RN_FOREVER);
    return 0;
}

/* A send that said 0 has been received; a cancel that came first leaves the value with its sender.
 */
SIM_TEST(a_cancel_never_takes_a_value_away, 200)
{
    struct cancel_race c = {0};
    struct rn_tx tx;
    SCOPE(s);
    OK(rn_chan_open(sizeof(int), 0, &tx, &c.rx));
    OK(GO(s, cancel_race_receiver, &c, rn_end_rx(c.rx)));

    int v = 9, sent = -EAGAIN;
    for (uint64_t i = 0; i < seed % 4; i++)
        rn_yield();
    if (seed & 4)
        OK(rn_scope_cancel(s));
    sent = rn_tx_try_send(tx, &v);
    OK(rn_scope_cancel(s));
    rn_scope_wait(s);
    EQ(c.result == 0, sent == 0);
    EQ(c.got, sent == 0 ? 9 : 0);
    TRUE(c.result == 0 || c.result == -ECANCELED);
}

/* ---- Push ------------------------------------------------------------------------------------ */

TASK_TEST(a_push_into_a_full_ring_gives_back_the_oldest)
{
    struct rn_tx tx;
    struct rn_rx rx;
    int evicted = -1, got;
    OK(rn_chan_open(sizeof(int), 3, &tx, &rx));
    for (int i = 0; i < 10; i++) {
        EQ(rn_tx_push(tx, &i, &evicted), i < 3 ? 0 : 1);
        EQ(evicted, i < 3 ? -1 : i - 3);
    }
    for (int i = 7; i < 10; i++) {
        OK(rn_rx_try_recv(rx, &got));
        EQ(got, i);
    }
    OK(rn_chan_open(sizeof(int), 0, &tx, &rx));
    ERR(rn_tx_push(tx, &evicted, &got), EINVAL);
}

TASK_TEST(a_sender_takes_the_oldest_back_and_the_next_sender_fills_its_place)
{
    struct waiting w;
    struct rn_tx tx;
    struct rn_rx rx;
    int got;
    SCOPE(s);
    OK(rn_chan_open(sizeof(int), 1, &tx, &rx));
    ERR(rn_tx_evict(tx, &got), EAGAIN);
    OK(rn_tx_send(tx, &(int){1}, RN_FOREVER));
    OK(rn_tx_dup(tx, &w.tx));
    w.result = 2;
    OK(GO(s, wait_to_send, &w, rn_end_tx(w.tx)));
    TASK_UNTIL(tasks_parked() == 1);
    OK(rn_tx_evict(tx, &got));
    EQ(got, 1);
    OK(rn_scope_wait(s));
    OK(rn_rx_recv(rx, &got, RN_FOREVER));
    EQ(got, 2);
    OK(rn_rx_close(rx));
    ERR(rn_tx_evict(tx, &got), EPIPE);
}

TASK_TEST(a_push_meets_a_waiting_receiver)
{
    struct daisy d = {.number = 3};
    struct rn_tx tx;
    SCOPE(s);
    OK(rn_chan_open(sizeof(int), 1, &tx, &d.rx));
    OK(GO(s, peer_receiver, &d, rn_end_rx(d.rx)));
    TASK_UNTIL(tasks_parked() == 1);
    EQ(rn_tx_push(tx, &d.number, NULL), 0);
    EQ(rn_chan_len(rn_end_tx(tx)), 0);
    OK(rn_scope_wait(s));
}

/* ---- Programs -------------------------------------------------------------------------------- */

struct sieve {
    struct rn_rx in;
    struct rn_tx out;
    int          prime; /* 0: the generator */
};

static int sieve_stage(void *arg)
{
    const struct sieve *s = arg;
    for (int i = 2, v;; i++) {
        int r = s->prime ? rn_rx_recv(s->in, &v, RN_FOREVER) : 0;
        if (!s->prime)
            v = i;
        else if (v % s->prime == 0 && r == 0)
            continue;
        if (r == 0)
            r = rn_tx_send(s->out, &v, RN_FOREVER);
        if (r < 0)
            return r == -EPIPE ? 0 : r;
    }
}

static void sieve_run(size_t cap)
{
    static const int primes[] = {2,  3,  5,  7,  11, 13, 17, 19, 23, 29,
                                 31, 37, 41, 43, 47, 53, 59, 61, 67, 71};
    enum { N = sizeof(primes) / sizeof(primes[0]) };
    struct sieve stages[N + 1];
    struct rn_rx in;
    SCOPE(s);

    stages[0] = (struct sieve){0};
    OK(rn_chan_open(sizeof(int), cap, &stages[0].out, &in));
    OK(GO(s, sieve_stage, &stages[0], rn_end_tx(stages[0].out)));
    for (int i = 0; i < N; i++) {
        int prime;
        OK(rn_rx_recv(in, &prime, RN_FOREVER));
        EQ(prime, primes[i]);
        stages[i + 1] = (struct sieve){.in = in, .prime = prime};
        OK(rn_chan_open(sizeof(int), cap, &stages[i + 1].out, &in));
        OK(GO(s, sieve_stage, &stages[i + 1], rn_end_rx(stages[i + 1].in),
              rn_end_tx(stages[i + 1].out)));
    }
    /* The end of one receiver ends the whole pipeline: nobody is cancelled. */
    OK(rn_rx_close(in));
    OK(rn_scope_wait(s));
    EQ(ends_open(), 0);
}

TASK_TEST(a_prime_sieve_finds_primes_and_ends_by_one_close)
{
    sieve_run(0);
    sieve_run(7);
}

static int chain_link(void *arg)
{
    struct daisy *d = arg;
    int token;
    OK(rn_rx_recv(d->rx, &token, RN_FOREVER));
    token++;
    return rn_tx_send(d->tx, &token, RN_FOREVER);
}

TASK_TEST(a_token_passes_a_chain_of_10000_tasks)
{
    const size_t n = test_tasks(test_sanitized() ? 2000 : 10000);
    CLEANUP(freep) struct daisy *links = calloc(n, sizeof(*links));
    struct rn_tx tx;
    struct rn_rx rx;
    int token = 0;
    SCOPE(s);
    OK(rn_chan_open(sizeof(int), 0, &tx, &rx));
    for (size_t i = 0; i < n; i++) {
        links[i].rx = rx;
        OK(rn_chan_open(sizeof(int), 0, &links[i].tx, &rx));
        OK(GO_SMALL(s, chain_link, &links[i], rn_end_rx(links[i].rx), rn_end_tx(links[i].tx)));
    }
    OK(rn_tx_send(tx, &token, RN_FOREVER));
    OK(rn_rx_recv(rx, &token, RN_FOREVER));
    EQ(token, n);
    OK(rn_scope_wait(s));
}

static int consumer_work(void *arg)
{
    const struct consumer *c = arg;
    for (int64_t v; rn_rx_recv(c->in, &v, RN_FOREVER) == 0;) {
        if (v % 7 == 0)
            rn_yield();
        OK(rn_tx_send(c->out, &v, RN_FOREVER));
    }
    return 0;
}

static int producer_work(void *arg)
{
    struct rn_tx tx = *(struct rn_tx *)arg;
    const int64_t n = (int64_t)test_tasks(271828);
    for (int64_t i = 1; i <= n; i++)
        OK(rn_tx_send(tx, &i, RN_FOREVER));
    return 0;
}

TASK_TEST(many_consumers_take_every_value_once)
{
    enum { WORKERS = 23 };
    const int64_t n = (int64_t)test_tasks(271828);
    struct consumer c[WORKERS];
    struct rn_tx in_tx, out_tx;
    struct rn_rx in_rx, out_rx;
    SCOPE(s);
    OK(rn_chan_open(sizeof(int64_t), 7, &in_tx, &in_rx));
    OK(rn_chan_open(sizeof(int64_t), 11, &out_tx, &out_rx));
    for (int i = 0; i < WORKERS; i++) {
        OK(rn_rx_dup(in_rx, &c[i].in));
        OK(rn_tx_dup(out_tx, &c[i].out));
        OK(GO(s, consumer_work, &c[i], rn_end_rx(c[i].in), rn_end_tx(c[i].out)));
    }
    rn_rx_closep(&in_rx);
    rn_tx_closep(&out_tx);
    OK(GO(s, producer_work, &in_tx, rn_end_tx(in_tx)));

    int64_t count = 0, sum = 0;
    for (int64_t v; rn_rx_recv(out_rx, &v, RN_FOREVER) == 0; count++)
        sum += v;
    EQ(count, n);
    EQ(sum, n * (n + 1) / 2);
    OK(rn_scope_wait(s));
}

static int race_filler(void *arg)
{
    struct rn_tx tx = *(struct rn_tx *)arg;
    int v = 1;
    OK(rn_tx_send(tx, &v, RN_FOREVER));
    return rn_tx_close(tx);
}

/* A channel that is filled and then closed may look empty or full, but never closed while the value
 * is in it. */
SIM_TEST(a_try_never_sees_the_end_before_the_last_value, 200)
{
    struct rn_tx tx;
    struct rn_rx rx;
    int got, r;
    SCOPE(s);
    OK(rn_chan_open(sizeof(int), 1, &tx, &rx));
    OK(GO(s, race_filler, &tx, rn_end_tx(tx)));
    while ((r = rn_rx_try_recv(rx, &got)) == -EAGAIN)
        rn_yield();
    EQ(r, 0);
    ERR(rn_rx_recv(rx, &got, RN_FOREVER), EPIPE);
}
