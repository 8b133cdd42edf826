/* Channels: what a send and a receive do.
 *
 * Invariants, under the channel's lock (those of Go's hchan):
 *      a task that waits to receive  =>  the ring is empty (or there is none)
 *      a task that waits to send     =>  the ring is full (or there is none)
 *      so both at once only when one task selects on both ends
 *
 * A sender that meets a waiting receiver writes into its memory directly; a receiver that takes the
 * oldest value from a full ring lets the first waiting sender fill the place, so values keep the
 * order in which their sends began. A waiter is claimed first (peers, close, timer and cancel
 * compete for it, see internal.h); only who won may touch its memory, and who lost takes the record
 * out of the queue and looks at the next. The claimed are woken after the unlock, and so are
 * destructors run.
 *
 * End-points inside a value change hands with it: sender -> channel -> receiver, or sender ->
 * receiver at once. If a send fails they were never moved.
 */
#include "channel.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ---- Queues ---------------------------------------------------------------------------------- */

void rn__waiter_enqueue_locked(struct rn__waiter *w)
{
    struct rn__queue *q = &w->chan->q[w->dir];

    w->next = NULL;
    w->prev = q->last;
    if (q->last)
        q->last->next = w;
    else
        q->first = w;
    q->last = w;
    w->rec->users++;
    atomic_store_explicit(&w->queued, true, memory_order_relaxed);
}

static void waiter_unlink_locked(struct rn__waiter *w)
{
    struct rn__queue *q = &w->chan->q[w->dir];

    if (w->prev)
        w->prev->next = w->next;
    else
        q->first = w->next;
    if (w->next)
        w->next->prev = w->prev;
    else
        q->last = w->prev;
    w->rec->users--;
    /* pairs with the acquire in rn__waiter_withdraw(): from here on its owner may leave */
    atomic_store_explicit(&w->queued, false, memory_order_release);
}

void rn__waiter_withdraw(struct rn__waiter *w)
{
    if (!atomic_load_explicit(&w->queued, memory_order_acquire))
        return;

    rn_lock_acquire(&w->chan->lock);
    if (atomic_load_explicit(&w->queued, memory_order_relaxed))
        waiter_unlink_locked(w);
    rn_lock_release(&w->chan->lock);
}

/* Take it out and compete for it: a claim that loses leaves a task that is busy waking up, and no
 * record. */
static bool waiter_claim_locked(struct rn__waiter *w)
{
    bool won = rn__claim(w->key, w->index);

    waiter_unlink_locked(w);
    return won;
}

/* The claimed waiter stays parked until rn__after_run(). */
static void waiter_done(struct rn__waiter *w, int result, struct rn__after *after)
{
    w->result = result;
    w->next = after->wake;
    after->wake = w;
}

void rn__queue_fail_locked(struct rn__queue *q, const struct rn__end_rec *rec, int result,
                           struct rn__after *after)
{
    for (struct rn__waiter *w = q->first, *next; w; w = next) {
        next = w->next;
        if ((!rec || w->rec == rec) && waiter_claim_locked(w))
            waiter_done(w, result, after);
    }
}

/* ---- Values ---------------------------------------------------------------------------------- */

static void value_copy(void *to, const void *from, size_t size)
{
    if (to && size > 0)
        memcpy(to, from, size);
}

static struct rn_end value_end(const struct rn_elem *elem, const void *value, unsigned i)
{
    struct rn_end end;
    memcpy(&end, (const char *)value + elem->ends[i], sizeof(end));
    return end;
}

/* Does losing a value take more than forgetting its bytes? */
static bool elem_has_care(const struct rn_elem *elem)
{
    return elem->destroy || elem->n_ends > 0;
}

/* May `self` send the end-points inside this value? The receiver of the very channel can't travel
 * through it. */
static int value_judge(const struct rn__chans *cs, const struct rn__chan *c, const void *value,
                       uint64_t self)
{
    for (unsigned i = 0; i < c->elem.n_ends; i++) {
        struct rn_end end = value_end(&c->elem, value, i);
        if (end.slot == 0 && end.gen == 0)
            continue;
        const struct rn__end_rec *rec = rn__rec_find(cs, end.slot);
        if (!rec || end.gen == 0 ||
            atomic_load_explicit(&rec->gen, memory_order_acquire) != end.gen)
            return -EBADF;
        if (atomic_load_explicit(&rec->owner, memory_order_acquire) != self)
            return -EPERM;
        if (atomic_load_explicit(&rec->chan, memory_order_relaxed) == c &&
            atomic_load_explicit(&rec->dir, memory_order_relaxed) == RN__RX)
            return -EINVAL;
        for (unsigned j = 0; j < i; j++) {
            struct rn_end other = value_end(&c->elem, value, j);
            if (other.slot == end.slot && other.gen == end.gen)
                return -EINVAL;
        }
    }
    return 0;
}

static void value_move(struct rn__chans *cs, const struct rn_elem *elem, const void *value,
                       uint64_t from, uint64_t to)
{
    for (unsigned i = 0; i < elem->n_ends; i++) {
        struct rn_end end = value_end(elem, value, i);
        struct rn__end_rec *rec = rn__rec_find(cs, end.slot);
        if (rec && end.gen != 0 &&
            atomic_load_explicit(&rec->gen, memory_order_acquire) == end.gen &&
            atomic_load_explicit(&rec->owner, memory_order_acquire) == from)
            rn__rec_give(cs, rec, to);
    }
}

/* A value that has left the channel without a receiver, kept until it can be destroyed. Its
 * end-points are in transit. */
static void value_bury(struct rn__ring *grave, const void *value, struct rn__after *after)
{
    value_copy(grave->data, value, grave->elem.size);
    grave->count = 1;
    grave->next = after->dead;
    after->dead = grave;
}

/* Destroying a value may close the last receiver of another channel, whose ring then joins the
 * list: no recursion. */
static void rings_destroy(struct rn__chans *cs, struct rn__after *after)
{
    struct rn__ring *ring;

    while ((ring = after->dead)) {
        after->dead = ring->next;
        for (; ring->count > 0; ring->count--) {
            void *value = ring->data + ring->elem.size * ring->head;
            for (unsigned i = 0; i < ring->elem.n_ends; i++)
                rn__end_die(cs, value_end(&ring->elem, value, i), after);
            if (ring->elem.destroy)
                ring->elem.destroy(value);
            ring->head = ring->head + 1 == ring->cap ? 0 : ring->head + 1;
        }
        free(ring);
    }
}

static void waiters_wake(struct rn__after *after)
{
    struct rn__waiter *w, *first = NULL;

    /* In the order of the claims: the list was built from its end. */
    while ((w = after->wake)) {
        after->wake = w->next;
        w->next = first;
        first = w;
    }
    while ((w = first)) {
        uint32_t id = w->key.id;
        first = w->next;
        rn__ready(id); /* its memory isn't ours any more */
    }
}

void rn__after_run(struct rn__chans *cs, struct rn__after *after)
{
    while (after->wake || after->dead) {
        waiters_wake(after);
        rings_destroy(cs, after);
    }
}

/* ---- The operations, with the lock held ------------------------------------------------------ */

static void *ring_slot(struct rn__ring *ring, uint32_t i)
{
    uint32_t at = ring->head + i; /* cap < 2^31: no overflow */
    return ring->data + ring->elem.size * (at >= ring->cap ? at - ring->cap : at);
}

static void ring_append(struct rn__chans *cs, struct rn__chan *c, const void *value, uint64_t from)
{
    value_copy(ring_slot(c->ring, c->ring->count++), value, c->elem.size);
    value_move(cs, &c->elem, value, from, rn__in_transit(cs, c));
}

/* The oldest value, out of the ring into `to`; NULL drops it. */
static int ring_take(struct rn__chans *cs, struct rn__chan *c, void *to, uint64_t self,
                     struct rn__after *after)
{
    struct rn__ring *ring = c->ring;
    void *value = ring_slot(ring, 0);

    if (!to && elem_has_care(&c->elem)) {
        struct rn__ring *grave = rn__ring_new(&c->elem, 1);
        if (!grave)
            return -ENOMEM;
        value_bury(grave, value, after);
    } else {
        value_copy(to, value, c->elem.size);
        value_move(cs, &c->elem, value, rn__in_transit(cs, c), self);
    }
    ring->head = ring->head + 1 == ring->cap ? 0 : ring->head + 1;
    ring->count--;
    return 0;
}

/* From one task's memory to another's. A receiver without a place for the value drops it. */
static void value_hand_over(struct rn__chans *cs, struct rn__chan *c, const void *from,
                            uint64_t giver, void *to, uint64_t taker, struct rn__ring *grave,
                            struct rn__after *after)
{
    value_copy(to, from, c->elem.size);
    value_move(cs, &c->elem, from, giver, grave ? rn__in_transit(cs, c) : taker);
    if (grave)
        value_bury(grave, from, after);
}

/* Claim the first of the queue that can still be won, and pass the value between its memory and
 * `value`. 1 if so, 0 if nobody waits, -ENOMEM. */
static int queue_meet(struct rn__chans *cs, struct rn__chan *c, enum rn__dir waiting, void *value,
                      uint64_t self, struct rn__after *after)
{
    struct rn__waiter *w;

    while ((w = c->q[waiting].first)) {
        bool sends = waiting == RN__TX;
        void *from = sends ? w->value : value, *to = sends ? value : w->value;
        struct rn__ring *grave = NULL;

        if (!rn__open(w->key)) {
            waiter_unlink_locked(w);
            continue;
        }
        if (!to && elem_has_care(&c->elem)) {
            grave = rn__ring_new(&c->elem, 1);
            if (!grave)
                return -ENOMEM;
        }
        if (!waiter_claim_locked(w)) {
            free(grave);
            continue;
        }
        value_hand_over(cs, c, from, sends ? w->owner : self, to, sends ? self : w->owner, grave,
                        after);
        waiter_done(w, 0, after);
        return 1;
    }
    return 0;
}

/* A place came free in the ring: the first waiting sender fills it. */
static void ring_refill(struct rn__chans *cs, struct rn__chan *c, struct rn__after *after)
{
    struct rn__waiter *w;

    while ((w = c->q[RN__TX].first)) {
        if (!waiter_claim_locked(w))
            continue;
        ring_append(cs, c, w->value, w->owner);
        waiter_done(w, 0, after);
        return;
    }
}

static int send_locked(struct rn__chans *cs, struct rn__chan *c, const void *value, uint64_t self,
                       struct rn__after *after)
{
    if (c->n_ends[RN__RX] == 0)
        return -EPIPE;
    int r = value_judge(cs, c, value, self);
    if (r < 0)
        return r;

    r = queue_meet(cs, c, RN__RX, (void *)(uintptr_t)value, self, after);
    if (r != 0)
        return r < 0 ? r : 0;
    if (!c->ring || c->ring->count == c->cap)
        return -EAGAIN;
    ring_append(cs, c, value, self);
    return 0;
}

static int recv_locked(struct rn__chans *cs, struct rn__chan *c, void *value, uint64_t self,
                       struct rn__after *after)
{
    int r;

    if (c->ring && c->ring->count > 0) {
        r = ring_take(cs, c, value, self, after);
        if (r == 0)
            ring_refill(cs, c, after);
        return r;
    }
    r = queue_meet(cs, c, RN__TX, value, self, after);
    if (r != 0)
        return r < 0 ? r : 0;
    return c->n_ends[RN__TX] == 0 ? -EPIPE : -EAGAIN;
}

int rn__chan_do_locked(struct rn__chans *cs, struct rn__chan *c, enum rn__dir dir, void *value,
                       uint64_t self, struct rn__after *after)
{
    return dir == RN__TX ? send_locked(cs, c, value, self, after)
                         : recv_locked(cs, c, value, self, after);
}

bool rn__chan_ready_locked(struct rn__chan *c, enum rn__dir dir)
{
    uint32_t count = c->ring ? c->ring->count : 0;
    if (c->n_ends[rn__peer(dir)] == 0 || (dir == RN__TX ? c->ring && count < c->cap : count > 0))
        return true;

    struct rn__waiter *w;
    while ((w = c->q[rn__peer(dir)].first)) {
        if (rn__open(w->key))
            return true;
        waiter_unlink_locked(w);
    }
    return false;
}

/* ---- Doors ----------------------------------------------------------------------------------- */

/* Wait on this one channel, whose lock is held and released here. */
static int wait_unlock(const struct rn_site *site, struct rn_end end, struct rn__waiter *w,
                       rn_time deadline)
{
    bool late = deadline != RN_FOREVER && deadline <= rn_now();
    int r = rn_task_id() == 0 ? -EPERM : late ? -ETIMEDOUT : 0;
    if (r < 0) {
        rn_lock_release(&w->chan->lock);
        return r;
    }

    w->key = rn__wait_begin();
    rn__waiter_enqueue_locked(w);
    rn_lock_release(&w->chan->lock);

    const struct rn__wait what = {.kind = w->dir == RN__TX ? RN_WAIT_CHAN_SEND : RN_WAIT_CHAN_RECV,
                                  .site = site,
                                  .slot = end.slot,
                                  .gen = end.gen};
    unsigned winner = rn__park(&what, deadline, false);
    if (winner <= RN__WIN_CASE_MAX)
        return w->result;
    rn__waiter_withdraw(w);
    return winner == RN__WIN_TIMER ? -ETIMEDOUT : -ECANCELED;
}

/* A call with a deadline of 0 can't park, so it is no cancellation point. */
static int end_do(const struct rn_site *site, struct rn_end end, enum rn__dir dir, void *value,
                  rn_time deadline)
{
    struct rn__chans *cs = rn__chans_self();
    struct rn__after after = {0};
    struct rn__end_rec *rec;
    uint64_t self = rn__owner_self();

    if (deadline > 0 && rn__cancelled())
        return -ECANCELED;
    int r = rn__end_lock(cs, end, dir, self, &rec);
    if (r < 0)
        return r;

    rn__rec_touch(rec);
    struct rn__chan *c = atomic_load_explicit(&rec->chan, memory_order_relaxed);
    r = rn__chan_do_locked(cs, c, dir, value, self, &after);
    if (r == -EAGAIN && deadline > 0) {
        struct rn__waiter w = {
            .chan = c, .rec = rec, .dir = (uint8_t)dir, .value = value, .owner = self};
        return wait_unlock(site, end, &w, deadline);
    }
    rn_lock_release(&c->lock);
    rn__after_run(cs, &after);
    return r;
}

int rn_tx_send_at(const struct rn_site *site, struct rn_tx tx, const void *value, rn_time deadline)
{
    int r = end_do(site, rn_end_tx(tx), RN__TX, (void *)(uintptr_t)value, deadline);
    if (deadline > 0)
        rn__budget();
    return r == -EAGAIN ? -ETIMEDOUT : r;
}

int rn_rx_recv_at(const struct rn_site *site, struct rn_rx rx, void *ret_value, rn_time deadline)
{
    int r = end_do(site, rn_end_rx(rx), RN__RX, ret_value, deadline);
    if (deadline > 0)
        rn__budget();
    return r == -EAGAIN ? -ETIMEDOUT : r;
}

int rn_tx_try_send(struct rn_tx tx, const void *value)
{
    return end_do(NULL, rn_end_tx(tx), RN__TX, (void *)(uintptr_t)value, 0);
}

int rn_rx_try_recv(struct rn_rx rx, void *ret_value)
{
    return end_do(NULL, rn_end_rx(rx), RN__RX, ret_value, 0);
}

static int push_locked(struct rn__chans *cs, struct rn__chan *c, const void *value,
                       void *ret_evicted, uint64_t self, struct rn__after *after)
{
    if (c->cap == 0)
        return -EINVAL;
    int r = send_locked(cs, c, value, self, after);
    if (r != -EAGAIN)
        return r;

    r = ring_take(cs, c, ret_evicted, self, after);
    if (r < 0)
        return r;
    ring_append(cs, c, value, self);
    return 1;
}

int rn_tx_push(struct rn_tx tx, const void *value, void *ret_evicted)
{
    struct rn__chans *cs = rn__chans_self();
    struct rn__after after = {0};
    struct rn__end_rec *rec;
    uint64_t self = rn__owner_self();

    int r = rn__end_lock(cs, rn_end_tx(tx), RN__TX, self, &rec);
    if (r < 0)
        return r;

    rn__rec_touch(rec);
    struct rn__chan *c = atomic_load_explicit(&rec->chan, memory_order_relaxed);
    r = push_locked(cs, c, value, ret_evicted, self, &after);
    rn_lock_release(&c->lock);
    rn__after_run(cs, &after);
    return r;
}

static int evict_locked(struct rn__chans *cs, struct rn__chan *c, void *ret_evicted, uint64_t self,
                        struct rn__after *after)
{
    if (c->n_ends[RN__RX] == 0)
        return -EPIPE;
    if (!c->ring || c->ring->count == 0)
        return -EAGAIN;

    int r = ring_take(cs, c, ret_evicted, self, after);
    if (r == 0)
        ring_refill(cs, c, after);
    return r;
}

int rn_tx_evict(struct rn_tx tx, void *ret_evicted)
{
    struct rn__chans *cs = rn__chans_self();
    struct rn__after after = {0};
    struct rn__end_rec *rec;

    int r = rn__end_lock(cs, rn_end_tx(tx), RN__TX, rn__owner_self(), &rec);
    if (r < 0)
        return r;

    rn__rec_touch(rec);
    struct rn__chan *c = atomic_load_explicit(&rec->chan, memory_order_relaxed);
    r = evict_locked(cs, c, ret_evicted, rn__owner_self(), &after);
    rn_lock_release(&c->lock);
    rn__after_run(cs, &after);
    return r;
}

/* Numbers are for whoever knows a handle. */
static int64_t chan_number(struct rn_end end, bool len)
{
    struct rn__chans *cs = rn__chans_self();
    struct rn__end_rec *rec = cs ? rn__rec_find(cs, end.slot) : NULL;
    if (!rec)
        return -EBADF;
    enum rn__dir dir = (enum rn__dir)atomic_load_explicit(&rec->dir, memory_order_relaxed);
    int r = rn__end_lock(cs, end, dir, RN__ANYONE, &rec);
    if (r < 0)
        return r;

    struct rn__chan *c = atomic_load_explicit(&rec->chan, memory_order_relaxed);
    int64_t n = !len ? c->cap : c->ring ? c->ring->count : 0;
    rn_lock_release(&c->lock);
    return n;
}

int64_t rn_chan_len(struct rn_end end)
{
    return chan_number(end, true);
}

int64_t rn_chan_cap(struct rn_end end)
{
    return chan_number(end, false);
}
