/* Channels among real threads: the locks, the claims and the order of their touches, under a race
 * detector; see threads_testing.h. */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <harness/test.h>

#include "channel.h"
#include "threads_testing.h"

/* ---- What channels want of a runtime --------------------------------------------------------- */

static struct rn__chans *chans;
struct rn_runtime *rn__rt(void)
{
    return (struct rn_runtime *)threads; /* anything but NULL */
}
struct rn__chans *rn__chans_of(const struct rn_runtime *rt)
{
    (void)rt;
    return chans;
}
bool rn__owner_serves_self(uint64_t owner)
{
    return rn__owner_kind(owner) == RN__OWNER_SCOPE;
}
bool rn__owner_alive(const struct rn_runtime *rt, uint64_t owner)
{
    (void)rt;
    return owner != 0;
}
int rn__scope_owner(struct rn_scope s, uint64_t *ret_owner)
{
    *ret_owner = rn__owner(RN__OWNER_SCOPE, s.slot, s.gen);
    return 0;
}
uint64_t rn__loop_owner(const struct rn_loop *loop)
{
    (void)loop;
    return 0;
}
rn_time rn_loop_now(void)
{
    return 0;
}
struct rn__leaks *rn__leaks_open(void)
{
    return malloc(1);
}
void rn__leaks_close(struct rn__leaks *leaks)
{
    free(leaks);
}
uint64_t rn__leaks_count(const struct rn__leaks *leaks, enum rn__leak_verdict verdict)
{
    (void)leaks, (void)verdict;
    return 0;
}

/* ---- The program ----------------------------------------------------------------------------- */

enum { CHANS = 3, ACTORS = 6, VALUES = 20000, FREE = 0, KEPT, SENT, RECEIVED, EVICTED, DESTROYED };

struct value {
    uint32_t number, actor;
    struct rn_tx reply; /* travels along, mostly {0} */
};

static _Atomic uint8_t fate[ACTORS * VALUES + 1];
static _Atomic uint32_t
    leftovers; /* end-points that came with a value and were closed by its receiver */

struct actor {
    pthread_t thread;
    uint32_t id;
    bool sends, select_only;
    struct rn_tx tx[CHANS];
    struct rn_rx rx[CHANS];
    uint32_t last[ACTORS + 1][CHANS];
};

static void fate_set(uint32_t number, uint8_t from, uint8_t to)
{
    if (!atomic_compare_exchange_strong(&fate[number], &from, to))
        FAIL("value %u was to become %u, but is %u", number, to, from);
}

static void value_destroy(void *value)
{
    struct value v;
    memcpy(&v, value, sizeof(v));
    fate_set(v.number, SENT, DESTROYED);
}
static const struct rn_elem value_elem = {.size = sizeof(struct value),
                                          .destroy = value_destroy,
                                          .n_ends = 1,
                                          .ends = {offsetof(struct value, reply)}};

static rn_time some_deadline(void)
{
    uint32_t d = rn__random(8);
    return d == 0 ? 0 : d == 1 ? rn_now() + rn__random(50000) : rn_now() + 20 * RN_S;
}

static int send_some(struct actor *a, const struct value *v)
{
    struct value evicted;
    struct rn_case c[CHANS];
    int k = (int)rn__random(CHANS), r;

    switch (rn__random(5)) {
    case 0:
        return rn_tx_try_send(a->tx[k], v);
    case 1:
        r = rn_tx_push(a->tx[k], v, &evicted);
        if (r == 1) {
            fate_set(evicted.number, SENT, EVICTED);
            rn_tx_closep(&evicted.reply);
        }
        return r;
    case 2:
        return rn_tx_send(a->tx[k], v, some_deadline());
    default:
        for (int i = 0; i < CHANS; i++)
            c[i] = (struct rn_case)RN_CASE_SEND(a->tx[i], v);
        k = rn_select(c, CHANS, some_deadline());
        return k < 0 ? k : c[k].result;
    }
}

static void actor_send(struct actor *a)
{
    for (uint32_t i = 0; i < (uint32_t)test_tasks(VALUES / (test_sanitized() ? 10 : 1)); i++) {
        struct value v = {.number = (a->id - 2) * VALUES + i % VALUES + 1, .actor = a->id - 1};
        struct rn_rx answers = {0};
        if (i % 16 == 0)
            OK(rn_chan_open(0, 0, &v.reply, &answers));
        fate[v.number] = SENT;
        int r = send_some(a, &v);
        if (r < 0) {
            fate_set(v.number, SENT, KEPT);
            rn_tx_closep(&v.reply);
            if (r == -EPIPE)
                FAIL("the receivers have gone");
            TRUE(r == -EAGAIN || r == -ETIMEDOUT || r == -EINVAL);
        }
        rn_rx_closep(&answers);
    }
}

static void actor_receive(struct actor *a)
{
    for (int open = CHANS; open > 0;) {
        struct value v[CHANS];
        struct rn_case c[CHANS];
        for (int i = 0; i < CHANS; i++)
            c[i] = (struct rn_case)RN_CASE_RECV(a->rx[i], &v[i]);
        int k = rn_select(c, CHANS, some_deadline());
        if (k < 0) {
            EQ(k, -ETIMEDOUT);
            continue;
        }
        if (c[k].result == -EPIPE) {
            rn_rx_closep(&a->rx[k]);
            open--;
            continue;
        }
        EQ(c[k].result, 0);
        fate_set(v[k].number, SENT, RECEIVED);
        LT(a->last[v[k].actor][k], v[k].number);
        a->last[v[k].actor][k] = v[k].number;
        if (v[k].reply.gen != 0) {
            OK(rn_tx_close(v[k].reply));
            leftovers++;
        }
    }
}

static void *actor_main(void *arg)
{
    struct actor *a = arg;
    self_id = a->id;
    self_random = a->id * 0x9e3779b97f4a7c15u;
    if (a->sends)
        actor_send(a);
    else
        actor_receive(a);
    rn__ends_close_owner(rn__owner_self());
    return NULL;
}

static void actor_start(struct actor *a, const struct rn_tx tx[], const struct rn_rx rx[])
{
    struct rn_end ends[CHANS];
    for (int i = 0; i < CHANS; i++) {
        if (a->sends)
            OK(rn_tx_dup(tx[i], &a->tx[i]));
        else
            OK(rn_rx_dup(rx[i], &a->rx[i]));
        ends[i] = a->sends ? rn_end_tx(a->tx[i]) : rn_end_rx(a->rx[i]);
    }
    OK(rn__ends_move(ends, CHANS, rn__owner_self(), rn__owner(RN__OWNER_TASK, a->id, 1)));
    EQ(pthread_create(&a->thread, NULL, actor_main, a), 0);
}

static void threads_begin(void)
{
    test_heap_allow(1 << 20);
    for (int i = 0; i < THREADS_MAX; i++)
        sem_init(&threads[i].wake, 0, 0);
    OK(rn__chans_open(3, &chans));
    self_id = 1;
}

TEST(threads_lose_nothing_and_double_nothing)
{
    static const size_t caps[CHANS] = {0, 1, 4};
    struct rn_tx tx[CHANS];
    struct rn_rx rx[CHANS];
    struct actor a[ACTORS] = {0};

    threads_begin();
    for (int i = 0; i < CHANS; i++)
        OK(rn_chan_open_elem(&value_elem, caps[i], &tx[i], &rx[i]));
    for (uint32_t i = 0; i < ACTORS; i++) {
        a[i].id = i + 2;
        a[i].sends = i < ACTORS / 2;
        actor_start(&a[i], tx, rx);
    }
    for (int i = 0; i < CHANS; i++) {
        rn_tx_closep(&tx[i]);
        rn_rx_closep(&rx[i]);
    }
    for (int i = 0; i < ACTORS; i++)
        EQ(pthread_join(a[i].thread, NULL), 0);
    for (uint32_t i = 0; i <= ACTORS * VALUES; i++)
        NE(fate[i], SENT);
    GT(leftovers, 0);
    EQ(chans->n_recs, 0);
    EQ(chans->n_chans, 0);
    rn__chans_close(chans);
}

/* ---- Closing while others use ---------------------------------------------------------------- */

struct shared_end {
    struct rn_tx tx;
    struct rn_rx rx;
    uint32_t id;
    _Atomic int taken;
};

static void *shared_user(void *arg)
{
    struct shared_end *s = arg;
    static _Atomic uint32_t ids = 2;
    self_id = atomic_fetch_add(&ids, 1) % (THREADS_MAX - 2) + 2;
    self_random = self_id;
    for (int v, r = 0; r != -EBADF;) {
        struct rn_case c[] = {RN_CASE_RECV(s->rx, &v), RN_CASE_RECV(s->rx, &v)};
        r = rn__random(2) ? rn_rx_recv(s->rx, &v, RN_FOREVER) : rn_select(c, 2, RN_FOREVER);
        if (r >= 0 && (c[0].result == -EBADF || c[1].result == -EBADF))
            break;
        TRUE(r >= 0 || r == -EBADF);
        s->taken += r >= 0;
    }
    return NULL;
}

TEST(a_close_among_threads_lets_go_of_every_user)
{
    threads_begin();
    for (size_t round = 0; round < test_tasks(300); round++) {
        struct shared_end s = {.id = 1};
        struct rn_rx other;
        pthread_t t[3];
        OK(rn_chan_open(sizeof(int), round % 3, &s.tx, &s.rx));
        OK(rn_rx_dup(s.rx, &other));
        OK(rn_end_to_scope((struct rn_end[]){rn_end_rx(s.rx)}, 1, (struct rn_scope){7, 1}));
        for (int i = 0; i < 3; i++)
            EQ(pthread_create(&t[i], NULL, shared_user, &s), 0);
        int sent = 0, left = 0, v;
        for (int i = 0; i < 20; i++)
            sent += rn_tx_send(s.tx, &i, round % 2 ? 0 : rn_now() + RN_MS) == 0;
        OK(rn_rx_close(s.rx));
        for (int i = 0; i < 3; i++)
            EQ(pthread_join(t[i], NULL), 0);
        while (rn_rx_try_recv(other, &v) == 0)
            left++;
        EQ(s.taken + left, sent);
        OK(rn_rx_close(other));
        OK(rn_tx_close(s.tx));
    }
    EQ(chans->n_recs, 0);
    rn__chans_close(chans);
}
