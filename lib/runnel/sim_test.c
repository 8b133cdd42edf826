/* Random programs over channels, in every order that a seed can think of.
 *
 * Some senders and receivers share a few channels and do what comes to their mind: plain
 * operations, tries, pushes, selects, deadlines, yields, dups, and leaving early. The oracle knows
 * what each value must have become: received once, given back once, or destroyed once; and that
 * what one sender sent on one channel reaches each receiver in order.
 */
#include <stdlib.h>
#include <string.h>

#include "chan_testing.h"

enum { CHANS = 3, SENDERS_MAX = 6, RECEIVERS_MAX = 6, VALUES_MAX = 4096 };

struct value {
    uint32_t number; /* index in `fate`, + 1: 0 would be memory that nobody wrote */
    uint16_t sender, chan;
};

enum fate { UNUSED, KEPT, SENT, RECEIVED, EVICTED, DESTROYED };

/* The books are kept by all actors; atomic, so that a race detector looks at the channels only. */
struct program {
    _Atomic uint64_t random;
    _Atomic uint8_t  fate[VALUES_MAX];
    _Atomic uint32_t n_values;
    bool             pushes;
    struct rn_tx     tx[CHANS];
    struct rn_rx     rx[CHANS];
};

/* What the destructor reaches; one simulation runs at a time. */
static struct program *program;

struct actor {
    struct program *p;
    uint16_t        number;
    struct rn_tx    tx[CHANS];
    struct rn_rx    rx[CHANS];
    uint32_t        last[SENDERS_MAX][CHANS]; /* highest number so far */
};

static uint32_t dice(struct program *p, uint32_t n)
{
    uint64_t x = p->random;
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    p->random = x;
    return (uint32_t)(x >> 33) % n;
}

static void fate_set(struct value v, enum fate from, enum fate to)
{
    TRUE(v.number > 0 && v.number <= program->n_values);
    EQ(program->fate[v.number - 1], from);
    program->fate[v.number - 1] = (uint8_t)to;
}

static void value_destroy(void *value)
{
    struct value v;
    memcpy(&v, value, sizeof(v));
    fate_set(v, SENT, DESTROYED);
}
static const struct rn_elem value_elem = {.size = sizeof(struct value), .destroy = value_destroy};

static rn_time some_deadline(struct program *p)
{
    switch (dice(p, 4)) {
    case 0:
        return 0;
    case 1:
        return rn_after(dice(p, 1000));
    default:
        return RN_FOREVER;
    }
}

/* ---- Senders --------------------------------------------------------------------------------- */

static struct value value_new(struct actor *a, uint16_t chan)
{
    struct program *p = a->p;
    uint32_t number = ++p->n_values;
    p->fate[number - 1] = SENT; /* before the call: whoever receives it may run first */
    return (struct value){number, a->number, chan};
}

static int send_one(struct actor *a, uint16_t k)
{
    struct value v = value_new(a, k), evicted;
    int r;

    switch (dice(a->p, a->p->pushes ? 3 : 2)) {
    case 0:
        r = rn_tx_try_send(a->tx[k], &v);
        break;
    case 1:
        r = rn_tx_send(a->tx[k], &v, some_deadline(a->p));
        break;
    default:
        r = rn_tx_push(a->tx[k], &v, &evicted);
        if (r == 1)
            fate_set(evicted, SENT, EVICTED);
    }
    if (r < 0)
        fate_set(v, SENT, KEPT);
    return r;
}

static int send_select(struct actor *a)
{
    struct value v[CHANS];
    struct rn_case c[CHANS];
    int k, r;

    for (uint16_t i = 0; i < CHANS; i++) {
        v[i] = value_new(a, i);
        c[i] = (struct rn_case)RN_CASE_SEND(a->tx[i], &v[i]);
    }
    k = rn_select(c, CHANS, some_deadline(a->p));
    r = k < 0 ? k : c[k].result;
    for (int i = 0; i < CHANS; i++) {
        if (i != k || r < 0)
            fate_set(v[i], SENT, KEPT);
    }
    return r;
}

static bool over(int r)
{
    return r == -EPIPE || r == -ECANCELED;
}

static int sender(void *arg)
{
    struct actor *a = arg;
    for (uint32_t n = dice(a->p, 40); n > 0; n--) {
        int r = dice(a->p, 3) == 0 ? send_select(a) : send_one(a, (uint16_t)dice(a->p, CHANS));
        if (over(r))
            return 0;
        TRUE(r >= 0 || r == -EAGAIN || r == -ETIMEDOUT);
        if (dice(a->p, 4) == 0)
            rn_yield();
    }
    return 0;
}

/* ---- Receivers ------------------------------------------------------------------------------- */

static void received(struct actor *a, struct value v, int chan)
{
    fate_set(v, SENT, RECEIVED);
    EQ(v.chan, chan);
    LT(a->last[v.sender][chan], v.number);
    a->last[v.sender][chan] = v.number;
}

static int receive_select(struct actor *a, int *ret_chan, struct value *ret_value)
{
    struct value v[CHANS];
    struct rn_case c[CHANS];
    for (int i = 0; i < CHANS; i++)
        c[i] = (struct rn_case)RN_CASE_RECV(a->rx[i], &v[i]);
    int k = rn_select(c, CHANS, some_deadline(a->p));
    if (k < 0)
        return k;
    *ret_chan = k;
    *ret_value = v[k];
    return c[k].result;
}

static int receive_one(struct actor *a, int *ret_chan, struct value *ret_value)
{
    if (dice(a->p, 2) == 0)
        return receive_select(a, ret_chan, ret_value);
    for (*ret_chan = (int)dice(a->p, CHANS); a->rx[*ret_chan].gen == 0;)
        *ret_chan = (*ret_chan + 1) % CHANS;
    if (dice(a->p, 3) == 0)
        return rn_rx_try_recv(a->rx[*ret_chan], ret_value);
    /* Never without end: the one sender may be waiting on another channel. */
    return rn_rx_recv(a->rx[*ret_chan], ret_value, rn_after(dice(a->p, 1000)));
}

static int receiver(void *arg)
{
    struct actor *a = arg;
    const bool leaves = dice(a->p, 4) == 0;
    for (int open = CHANS, chan = 0; open > 0 && !(leaves && dice(a->p, 20) == 0);) {
        struct value v;
        int r = receive_one(a, &chan, &v);
        if (r == 0)
            received(a, v, chan);
        else if (r == -EPIPE) {
            rn_rx_closep(&a->rx[chan]);
            open--;
        } else if (r == -ECANCELED)
            return 0;
        else
            TRUE(r == -EAGAIN || r == -ETIMEDOUT);
        if (dice(a->p, 4) == 0 || r == -EAGAIN)
            rn_yield();
    }
    return 0;
}

/* ---- The program ----------------------------------------------------------------------------- */

static void actor_start(struct rn_scope s, struct actor *a, bool sends)
{
    struct rn_end ends[CHANS];
    for (int i = 0; i < CHANS; i++) {
        if (sends)
            OK(rn_tx_dup(a->p->tx[i], &a->tx[i]));
        else
            OK(rn_rx_dup(a->p->rx[i], &a->rx[i]));
        ends[i] = sends ? rn_end_tx(a->tx[i]) : rn_end_rx(a->rx[i]);
    }
    OK(rn_go(s, sends ? sender : receiver, a, ends, CHANS));
}

static void program_run(struct program *p, bool cancels)
{
    struct actor senders[SENDERS_MAX] = {0}, receivers[RECEIVERS_MAX] = {0};
    const uint32_t n_senders = 1 + dice(p, SENDERS_MAX), n_receivers = 1 + dice(p, RECEIVERS_MAX);
    SCOPE(s);

    for (int i = 0; i < CHANS; i++)
        OK(rn_chan_open_elem(&value_elem, p->pushes ? 1 + dice(p, 3) : dice(p, 4), &p->tx[i],
                             &p->rx[i]));
    for (uint32_t i = 0; i < n_senders; i++) {
        senders[i] = (struct actor){.p = p, .number = (uint16_t)i};
        actor_start(s, &senders[i], true);
    }
    for (uint32_t i = 0; i < n_receivers; i++) {
        receivers[i] = (struct actor){.p = p};
        actor_start(s, &receivers[i], false);
    }
    for (int i = 0; i < CHANS; i++) {
        rn_tx_closep(&p->tx[i]);
        rn_rx_closep(&p->rx[i]);
    }
    if (cancels) {
        OK(rn_sleep(rn_after(dice(p, 500))));
        OK(rn_scope_cancel(s));
    }
    OK(rn_scope_wait(s));
}

static void program_judge(const struct program *p)
{
    for (uint32_t i = 0; i < p->n_values; i++) {
        if (p->fate[i] == SENT)
            FAIL("value %u is lost", i + 1);
    }
    EQ(ends_open(), 0);

    struct rn_stats stats;
    rn_stats(rn_runtime_self(), &stats);
    EQ(stats.channels, 0);
    EQ(stats.tasks_parked, 0);
}

static void seed_run(uint64_t seed, bool pushes, bool cancels)
{
    struct program *p = calloc(1, sizeof(*p));
    p->random = seed * 0x9e3779b97f4a7c15u + 1;
    p->pushes = pushes;
    program = p;
    program_run(p, cancels);
    program_judge(p);
    free(p);
}

SIM_TEST(no_value_is_lost_doubled_or_overtaken, 500)
{
    seed_run(seed, false, false);
}

SIM_TEST(a_push_gives_back_what_it_evicts, 300)
{
    seed_run(seed, true, false);
}

SIM_TEST(a_cancel_in_the_middle_loses_nothing, 500)
{
    seed_run(seed, seed % 2, true);
}
