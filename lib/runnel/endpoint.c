/* End-points: the slab they lie in, their owners, and how they move.
 *
 * A record is free (gen 0) or open. Opening gives it the next generation, so an old handle never
 * fits again; a slot whose last generation is used up stays free for ever and is not handed out.
 * Each open record is in the list of its owner, by which the end of a task or scope finds what is
 * left to close. The lists hang in a table of buckets by owner: task ids are dense, so a bucket
 * nearly always has one owner, and no task record needs to know about channels. An end-point inside
 * a buffered value is in transit: its owner is the channel, and it is in no list.
 *
 * An owner is one word, and only the owner itself gives its end-points away; so a task may look at
 * its own without a lock. A scope's end-points don't move (several tasks may be using them): they
 * are closed with it.
 */
#include "channel.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct rn__chans *rn__chans_self(void)
{
    struct rn_runtime *rt = rn__rt();
    return rt ? rn__chans_of(rt) : NULL;
}

/* ---- Owners ---------------------------------------------------------------------------------- */

static struct rn__bucket *bucket_of(const struct rn__chans *cs, uint64_t owner)
{
    uint32_t kind = (uint32_t)rn__owner_kind(owner);
    return &cs->buckets[((rn__owner_id(owner) & RN__END_MASK) ^ kind << 15) % RN__BUCKETS];
}

static bool owner_has_list(uint64_t owner)
{
    return owner != 0 && rn__owner_kind(owner) != RN__OWNER_TRANSIT;
}

static void rec_list(struct rn__chans *cs, struct rn__end_rec *rec, uint64_t owner)
{
    atomic_store_explicit(&rec->owner, owner, memory_order_release);
    if (!owner_has_list(owner))
        return;

    struct rn__bucket *b = bucket_of(cs, owner);
    rn_lock_acquire(&b->lock);
    rec->prev = 0;
    rec->next = b->first;
    b->first = rn__rec_index(cs, rec) + 1;
    if (rec->next != 0)
        rn__rec_at(cs, rec->next - 1)->prev = b->first;
    rn_lock_release(&b->lock);
}

static void rec_unlist(struct rn__chans *cs, struct rn__end_rec *rec)
{
    uint64_t owner = atomic_load_explicit(&rec->owner, memory_order_relaxed);
    if (!owner_has_list(owner))
        return;

    struct rn__bucket *b = bucket_of(cs, owner);
    rn_lock_acquire(&b->lock);
    if (rec->prev != 0)
        rn__rec_at(cs, rec->prev - 1)->next = rec->next;
    else
        b->first = rec->next;
    if (rec->next != 0)
        rn__rec_at(cs, rec->next - 1)->prev = rec->prev;
    rn_lock_release(&b->lock);
}

static struct rn_end rec_open(struct rn__chans *cs, struct rn__end_rec *rec, struct rn__chan *c,
                              enum rn__dir dir, uint64_t owner)
{
    uint32_t index = rn__rec_index(cs, rec);

    rec->users = 0;
    atomic_store_explicit(&rec->used, 0, memory_order_relaxed);
    atomic_store_explicit(&rec->dir, (uint8_t)dir, memory_order_relaxed);
    atomic_store_explicit(&rec->chan, c, memory_order_release);
    rec_list(cs, rec, owner);
    atomic_store_explicit(&rec->gen, ++rec->last_gen, memory_order_release);
    c->n_ends[dir]++;
    atomic_fetch_add(&c->version, 1);
    atomic_fetch_add_explicit(&cs->n_recs, 1, memory_order_relaxed);
    return (struct rn_end){cs->number << RN__END_BITS | index, rec->last_gen};
}

void rn__rec_give(struct rn__chans *cs, struct rn__end_rec *rec, uint64_t to)
{
    rec_unlist(cs, rec);
    rec_list(cs, rec, to);
    atomic_fetch_add(&atomic_load_explicit(&rec->chan, memory_order_relaxed)->version, 1);
}

struct rn__end_rec *rn__rec_find(const struct rn__chans *cs, uint32_t slot)
{
    uint32_t index = slot & RN__END_MASK;
    if (slot >> RN__END_BITS != cs->number ||
        index >= atomic_load_explicit(&cs->recs.end, memory_order_acquire))
        return NULL;

    return rn__rec_at(cs, index);
}

int rn__rec_judge_locked(const struct rn__end_rec *rec, const struct rn__chan *c, uint32_t gen,
                         enum rn__dir dir, uint64_t self)
{
    if (gen == 0 || atomic_load_explicit(&rec->gen, memory_order_relaxed) != gen ||
        atomic_load_explicit(&rec->chan, memory_order_relaxed) != c ||
        atomic_load_explicit(&rec->dir, memory_order_relaxed) != dir)
        return -EBADF;

    uint64_t owner = atomic_load_explicit(&rec->owner, memory_order_relaxed);
    if (self == RN__ANYONE || (owner == self && self != 0))
        return 0;
    return rn__owner_kind(owner) == RN__OWNER_SCOPE && rn__owner_serves_self(owner) ? 0 : -EPERM;
}

int rn__end_lock(struct rn__chans *cs, struct rn_end end, enum rn__dir dir, uint64_t self,
                 struct rn__end_rec **ret_rec)
{
    if (!cs)
        return -EPERM;
    struct rn__end_rec *rec = rn__rec_find(cs, end.slot);
    struct rn__chan *c = rec ? atomic_load_explicit(&rec->chan, memory_order_acquire) : NULL;
    if (!c)
        return -EBADF;

    rn_lock_acquire(&c->lock);
    int r = rn__rec_judge_locked(rec, c, end.gen, dir, self);
    if (r < 0) {
        rn_lock_release(&c->lock);
        return r;
    }
    *ret_rec = rec;
    return 0;
}

/* ---- Life ------------------------------------------------------------------------------------ */

static bool elem_valid(const struct rn_elem *elem, size_t cap)
{
    if (elem->size >= RN__ELEM_BYTES || elem->n_ends > RN_ELEM_ENDS_MAX || cap > INT32_MAX)
        return false;
    for (unsigned i = 0; i < elem->n_ends; i++) {
        if (elem->ends[i] + sizeof(struct rn_end) > elem->size)
            return false;
    }
    return elem->size == 0 || cap <= RN__RING_BYTES / elem->size;
}

struct rn__ring *rn__ring_new(const struct rn_elem *elem, uint32_t cap)
{
    struct rn__ring *ring = malloc(sizeof(*ring) + elem->size * cap);
    if (ring) {
        *ring = (struct rn__ring){.elem = *elem, .cap = cap};
    }
    return ring;
}

/* A channel that nobody knows yet: no lock is needed. */
static void chan_init(struct rn__chan *c, const struct rn_elem *elem, size_t cap,
                      struct rn__ring *ring, const struct rn_site *site)
{
    c->cap = (uint32_t)cap;
    c->elem = *elem;
    c->ring = ring;
    c->q[RN__TX] = c->q[RN__RX] = (struct rn__queue){0};
    atomic_store_explicit(&c->site, site, memory_order_relaxed);
}

int rn_chan_open_at(const struct rn_site *site, const struct rn_elem *elem, size_t cap,
                    struct rn_tx *ret_tx, struct rn_rx *ret_rx)
{
    struct rn__chans *cs = rn__chans_self();
    uint64_t self = rn__owner_self();
    struct rn__end_rec *tx = NULL, *rx = NULL;
    struct rn__ring *ring = NULL;

    if (!cs || self == 0)
        return -EPERM;
    if (!elem_valid(elem, cap))
        return -EINVAL;

    struct rn__chan *c = rn__chan_new(cs);
    if (!c || (cap > 0 && !(ring = rn__ring_new(elem, (uint32_t)cap))) ||
        rn__rec_new(cs, &tx) < 0 || rn__rec_new(cs, &rx) < 0) {
        free(ring);
        if (tx)
            rn__rec_free(cs, tx);
        if (c)
            rn__chan_free(cs, c);
        return -ENOMEM;
    }

    /* The lock, because a stale handle may look at the old channel in this place. */
    rn_lock_acquire(&c->lock);
    chan_init(c, elem, cap, ring, site);
    struct rn_end t = rec_open(cs, tx, c, RN__TX, self), r = rec_open(cs, rx, c, RN__RX, self);
    rn_lock_release(&c->lock);

    *ret_tx = (struct rn_tx){t.slot, t.gen};
    *ret_rx = (struct rn_rx){r.slot, r.gen};
    return 0;
}

/* Anyone who knows a handle may have an end-point of their own: that is how strangers get one. */
static int end_dup(struct rn_end end, enum rn__dir dir, struct rn_end *ret_end)
{
    struct rn__chans *cs = rn__chans_self();
    struct rn__end_rec *old, *rec;
    uint64_t self = rn__owner_self();

    if (!cs || self == 0)
        return -EPERM;
    int r = rn__rec_new(cs, &rec);
    if (r < 0)
        return r;

    r = rn__end_lock(cs, end, dir, RN__ANYONE, &old);
    if (r < 0) {
        rn__rec_free(cs, rec);
        return r;
    }
    struct rn__chan *c = atomic_load_explicit(&old->chan, memory_order_relaxed);
    *ret_end = rec_open(cs, rec, c, dir, self);
    rn_lock_release(&c->lock);
    return 0;
}

int rn_tx_dup(struct rn_tx tx, struct rn_tx *ret_tx)
{
    struct rn_end end;
    int r = end_dup(rn_end_tx(tx), RN__TX, &end);
    if (r == 0)
        *ret_tx = (struct rn_tx){end.slot, end.gen};
    return r;
}

int rn_rx_dup(struct rn_rx rx, struct rn_rx *ret_rx)
{
    struct rn_end end;
    int r = end_dup(rn_end_rx(rx), RN__RX, &end);
    if (r == 0)
        *ret_rx = (struct rn_rx){end.slot, end.gen};
    return r;
}

/* Close with the channel's lock held, and release it. The last end of a direction ends the waiters
 * of the other, and with the last receiver the buffered values belong to us. */
static void rec_close_unlock(struct rn__chans *cs, struct rn__end_rec *rec, struct rn__chan *c,
                             struct rn__after *after)
{
    enum rn__dir dir = (enum rn__dir)atomic_load_explicit(&rec->dir, memory_order_relaxed);

    atomic_store_explicit(&rec->gen, 0, memory_order_release);
    rec_unlist(cs, rec);
    atomic_store_explicit(&rec->owner, 0, memory_order_release);
    atomic_fetch_add(&c->version, 1);
    atomic_fetch_sub_explicit(&cs->n_recs, 1, memory_order_relaxed);
    if (rec->users > 0)
        rn__queue_fail_locked(&c->q[dir], rec, -EBADF, after);

    c->n_ends[dir]--;
    if (c->n_ends[dir] == 0)
        rn__queue_fail_locked(&c->q[rn__peer(dir)], NULL, -EPIPE, after);
    bool gone = c->n_ends[RN__TX] + c->n_ends[RN__RX] == 0;
    if (c->ring && c->n_ends[RN__RX] == 0) {
        c->ring->next = after->dead;
        after->dead = c->ring;
        c->ring = NULL;
    }
    rn_lock_release(&c->lock);

    rn__rec_free(cs, rec);
    if (gone)
        rn__chan_free(cs, c);
}

static int end_close(struct rn_end end, enum rn__dir dir, uint64_t self)
{
    struct rn__chans *cs = rn__chans_self();
    struct rn__after after = {0};
    struct rn__end_rec *rec;
    int r = rn__end_lock(cs, end, dir, self, &rec);
    if (r < 0)
        return r;

    rec_close_unlock(cs, rec, atomic_load_explicit(&rec->chan, memory_order_relaxed), &after);
    rn__after_run(cs, &after);
    return 0;
}

int rn_tx_close(struct rn_tx tx)
{
    return end_close(rn_end_tx(tx), RN__TX, rn__owner_self());
}

int rn_rx_close(struct rn_rx rx)
{
    return end_close(rn_end_rx(rx), RN__RX, rn__owner_self());
}

void rn_tx_closep(struct rn_tx *tx)
{
    if (tx->gen != 0)
        rn_tx_close(*tx);
    *tx = (struct rn_tx){0};
}

void rn_rx_closep(struct rn_rx *rx)
{
    if (rx->gen != 0)
        rn_rx_close(*rx);
    *rx = (struct rn_rx){0};
}

void rn__end_die(struct rn__chans *cs, struct rn_end end, struct rn__after *after)
{
    struct rn__end_rec *rec = rn__rec_find(cs, end.slot);
    if (!rec || end.gen == 0 ||
        rn__owner_kind(atomic_load_explicit(&rec->owner, memory_order_acquire)) !=
            RN__OWNER_TRANSIT)
        return;

    enum rn__dir dir = (enum rn__dir)atomic_load_explicit(&rec->dir, memory_order_relaxed);
    if (rn__end_lock(cs, end, dir, RN__ANYONE, &rec) == 0)
        rec_close_unlock(cs, rec, atomic_load_explicit(&rec->chan, memory_order_relaxed), after);
}

/* The first in an owner's list; the list may hold those of others with the same bucket. */
static bool owner_first(struct rn__chans *cs, uint64_t owner, struct rn_end *ret_end,
                        enum rn__dir *ret_dir)
{
    struct rn__bucket *b = bucket_of(cs, owner);
    bool found = false;

    rn_lock_acquire(&b->lock);
    for (uint32_t i = b->first; i != 0 && !found; i = rn__rec_at(cs, i - 1)->next) {
        const struct rn__end_rec *rec = rn__rec_at(cs, i - 1);
        if (atomic_load_explicit(&rec->owner, memory_order_relaxed) != owner)
            continue;
        *ret_end = (struct rn_end){cs->number << RN__END_BITS | (i - 1), rec->last_gen};
        *ret_dir = (enum rn__dir)atomic_load_explicit(&rec->dir, memory_order_relaxed);
        found = true;
    }
    rn_lock_release(&b->lock);
    return found;
}

void rn__ends_close_owner(uint64_t owner)
{
    struct rn__chans *cs = rn__chans_self();
    struct rn_end end;
    enum rn__dir dir;

    /* -EBADF: another task of the scope was quicker, and has taken it off the list. */
    while (owner_first(cs, owner, &end, &dir))
        end_close(end, dir, RN__ANYONE);
}

/* ---- Moves ----------------------------------------------------------------------------------- */

/* The open record of a handle that `owner` holds. No lock: nobody but the owner, who is calling,
 * moves or closes it. */
static int rec_of_owner(const struct rn__chans *cs, struct rn_end end, uint64_t owner,
                        struct rn__end_rec **ret_rec)
{
    struct rn__end_rec *rec = rn__rec_find(cs, end.slot);
    if (!rec || end.gen == 0 || atomic_load_explicit(&rec->gen, memory_order_acquire) != end.gen)
        return -EBADF;
    if (owner == 0 || atomic_load_explicit(&rec->owner, memory_order_acquire) != owner)
        return -EPERM;

    *ret_rec = rec;
    return 0;
}

int rn__ends_move(const struct rn_end ends[], size_t n, uint64_t from, uint64_t to)
{
    struct rn__chans *cs = rn__chans_self();
    struct rn__end_rec *rec;
    size_t moved = 0;
    int r = cs ? 0 : -EPERM;

    for (; r == 0 && moved < n; moved += r == 0) {
        r = rec_of_owner(cs, ends[moved], from, &rec);
        if (r == 0)
            rn__rec_give(cs, rec, to);
    }
    if (r == 0)
        return 0;

    /* All or none. An end listed twice failed at its second place, as the new owner's: it goes back
     * as well. */
    while (moved-- > 0) {
        if (rec_of_owner(cs, ends[moved], to, &rec) == 0)
            rn__rec_give(cs, rec, from);
    }
    return r;
}

int rn_end_to_scope(const struct rn_end ends[], size_t n, struct rn_scope scope)
{
    uint64_t owner, self = rn__owner_self();
    int r = rn__scope_owner(scope, &owner);
    if (r < 0)
        return r;
    r = rn__ends_move(ends, n, self, owner);
    if (r < 0)
        return r;

    /* The scope may have been closed just now, and has not seen them. */
    if (rn__scope_owner(scope, &owner) == 0)
        return 0;
    rn__ends_move(ends, n, owner, self);
    return -EBADF;
}

int rn_end_to_loop(const struct rn_end ends[], size_t n, struct rn_loop *loop)
{
    return rn__ends_move(ends, n, rn__owner_self(), rn__loop_owner(loop));
}

/* ---- Numbers --------------------------------------------------------------------------------- */

/* Nobody's: the owner has ended without the record having been closed or given away meanwhile. */
static bool rec_unowned(const struct rn_runtime *rt, const struct rn__chans *cs,
                        const struct rn__end_rec *rec)
{
    uint32_t gen = atomic_load(&rec->gen);
    uint64_t owner = atomic_load(&rec->owner);
    if (gen == 0)
        return false;

    bool alive = rn__owner_kind(owner) == RN__OWNER_TRANSIT
                     ? rn__owner_id(owner) < atomic_load(&cs->chans.end)
                     : owner != 0 && rn__owner_alive(rt, owner);
    return !alive && atomic_load(&rec->owner) == owner && atomic_load(&rec->gen) == gen;
}

void rn__chans_stats(const struct rn_runtime *rt, struct rn_stats *stats)
{
    const struct rn__chans *cs = rn__chans_of(rt);
    uint32_t end = atomic_load(&cs->recs.end);

    stats->endpoints = atomic_load(&cs->n_recs);
    stats->channels = atomic_load(&cs->n_chans);
    stats->tasks_leaked = rn__leaks_count(cs->leaks, RN__LEAK_DEAD);
    stats->tasks_suspect = rn__leaks_count(cs->leaks, RN__LEAK_SUSPECT);
    stats->endpoints_unowned = 0;
    for (uint32_t i = 0; i < end; i++)
        stats->endpoints_unowned += rec_unowned(rt, cs, rn__rec_at(cs, i));
}
