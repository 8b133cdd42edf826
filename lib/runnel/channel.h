/* What chan.c, endpoint.c, select.c and leak.c share.
 *
 *      handle {slot, gen} -> rn__end_rec (slab) -> rn__chan (slab) -> rn__ring (heap)
 *
 * Neither slab is ever unmapped while the runtime lives, so any operation may go from a slot to a
 * channel and take its lock, and judges the handle only then: a record whose `gen` differs, or
 * whose `chan` is another one by now, is -EBADF. An operation that doesn't park is therefore no
 * user that anyone has to wait for; those that do park are the waiter records in the two queues.
 *
 * Locks, in this order: channels by address (select), the bucket of an owner, the slabs. All are
 * short; what has to happen after the release (wake-ups, destructors) is gathered in a struct
 * rn__after.
 */
#pragma once

#include "internal.h"

#include <pthread.h>

#include <runnel/lock.h>

enum rn__dir { RN__TX, RN__RX };
static inline enum rn__dir rn__peer(enum rn__dir dir)
{
    return dir == RN__TX ? RN__RX : RN__TX;
}

#define RN__END_BITS   28
#define RN__END_MASK   ((UINT32_C(1) << RN__END_BITS) - 1)
#define RN__ENDS_MAX    (UINT32_C(1) << 22)
#define RN__CHANS_MAX   (UINT32_C(1) << 21)
#define RN__BUCKETS     (UINT32_C(1) << 18)
#define RN__NIL         UINT32_MAX
#define RN__RING_BYTES  (UINT64_C(1) << 30) /* of one channel */
#define RN__ELEM_BYTES  (UINT32_C(1) << 16)

/* Values and their ring: also what is left of a channel when nobody can receive, until its values
 * are destroyed. */
struct rn__ring {
    struct rn__ring *next; /* in rn__after.dead */
    struct rn_elem   elem;
    uint32_t         head, count, cap;
    _Alignas(16) unsigned char data[];
};

/* One wait of one task on one end-point; lies on the stack of the waiting task (or in its select's
 * heap block). */
struct rn__waiter {
    struct rn__waiter  *next, *prev; /* the channel's lock; then rn__after.wake */
    struct rn__chan    *chan;
    struct rn__end_rec *rec;
    struct rn__key      key;
    void               *value;  /* sent from or received into */
    uint64_t owner; /* of the waiting task: gives and gets the end-points inside a value */
    int                 result; /* written by who claimed, before rn__ready() */
    uint16_t            index;  /* the select case */
    uint8_t             dir;
    _Atomic bool queued; /* cleared under the lock, as the last touch of a claim that lost: then the
                            record may go */
};

struct rn__queue {
    struct rn__waiter *first, *last;
};

struct rn__chan {
    struct rn_lock lock;

    /* under the lock */
    uint32_t         n_ends[2]; /* open end-points by direction; both 0: free */
    uint32_t         cap;
    struct rn_elem   elem;
    struct rn__ring *ring;  /* NULL: cap is 0, or nobody can receive any more */
    struct rn__queue q[2];  /* tasks that wait to send, to receive */

    /* anyone */
    _Atomic uint64_t
        version; /* grows with each open, dup, move and close of one of its end-points */
    const struct rn_site *_Atomic site;

    /* the slab's lock */
    uint32_t next_free;
};

struct rn__end_rec {
    /* Written under the channel's lock; atomic for those who read without. */
    _Atomic uint32_t          gen;   /* of the open handle; 0: free */
    _Atomic(struct rn__chan *) chan; /* kept when free */
    _Atomic uint64_t          owner;
    _Atomic uint8_t           dir;
    _Atomic rn_time           used; /* coarse: when an operation of its holder went through it last */

    uint32_t users;    /* the channel's lock: waiter records */
    uint32_t last_gen; /* the slab's lock, while free */
    uint32_t next, prev; /* the owner's bucket; `next` also for the free list */
};

/* The end-points of all owners that hash to one bucket. */
struct rn__bucket {
    struct rn_lock lock;
    uint32_t       first; /* index + 1, so that fresh memory is empty */
};

/* Array of records, reserved for the runtime's life. */
struct rn__records {
    void            *base;
    size_t           bytes;
    uint32_t         max;
    _Atomic uint32_t end;  /* one past the highest index in use so far */
    uint32_t         free; /* index, RN__NIL */
};

struct rn__leaks; /* leak.c */

struct rn__chans {
    uint32_t           number;
    struct rn_lock     lock; /* of both slabs */
    struct rn__records recs, chans;
    struct rn__bucket *buckets;
    _Atomic uint64_t   n_recs, n_chans;
    struct rn__leaks  *leaks;
};

/* What an operation does after it has released its locks. */
struct rn__after {
    struct rn__waiter *wake;
    struct rn__ring   *dead;
};

static inline struct rn__end_rec *rn__rec_at(const struct rn__chans *cs, uint32_t index)
{
    return (struct rn__end_rec *)cs->recs.base + index;
}
static inline uint32_t rn__rec_index(const struct rn__chans *cs, const struct rn__end_rec *rec)
{
    return (uint32_t)(rec - (struct rn__end_rec *)cs->recs.base);
}
static inline struct rn__chan *rn__chan_at(const struct rn__chans *cs, uint32_t index)
{
    return (struct rn__chan *)cs->chans.base + index;
}
static inline uint32_t rn__chan_index(const struct rn__chans *cs, const struct rn__chan *c)
{
    return (uint32_t)(c - (struct rn__chan *)cs->chans.base);
}
static inline uint64_t rn__in_transit(const struct rn__chans *cs, const struct rn__chan *c)
{
    return rn__owner(RN__OWNER_TRANSIT, rn__chan_index(cs, c), 0);
}
static inline enum rn__owner_kind rn__owner_kind(uint64_t owner)
{
    return (enum rn__owner_kind)(owner >> 60);
}
static inline uint32_t rn__owner_id(uint64_t owner)
{
    return (uint32_t)owner;
}

/* ---- endpoint.c ------------------------------------------------------------------------------ */

/* Those of the calling thread's runtime; NULL on a plain thread. */
struct rn__chans *rn__chans_self(void);
/* The record of a slot, NULL if the slot is another runtime's or was never used. */
struct rn__end_rec *rn__rec_find(const struct rn__chans *cs, uint32_t slot);
#define RN__ANYONE UINT64_MAX /* as `self`: for the runtime's own doings */
/* May the caller, whose owner word is `self`, use this handle? With the lock of `c`. 0, -EBADF,
 * -EPERM. */
int rn__rec_judge_locked(const struct rn__end_rec *rec, const struct rn__chan *c, uint32_t gen,
                         enum rn__dir dir, uint64_t self);
/* An operation goes through this end-point: the leak check wants to know whether its holder still
 * does anything. */
static inline void rn__rec_touch(struct rn__end_rec *rec)
{
    rn_time now = rn_loop_now();
    if (atomic_load_explicit(&rec->used, memory_order_relaxed) != now)
        atomic_store_explicit(&rec->used, now, memory_order_relaxed);
}
/* Find, lock, judge: 0 with the channel's lock held, else an error without it. */
int rn__end_lock(struct rn__chans *cs, struct rn_end end, enum rn__dir dir, uint64_t self,
                 struct rn__end_rec **ret_rec);

/* ---- slab.c ---------------------------------------------------------------------------------- */

int                 rn__rec_new(struct rn__chans *cs, struct rn__end_rec **ret_rec);
struct rn__chan    *rn__chan_new(struct rn__chans *cs);
void                rn__rec_free(struct rn__chans *cs, struct rn__end_rec *rec);
void                rn__chan_free(struct rn__chans *cs, struct rn__chan *c);
/* ---- endpoint.c, for values that carry end-points -------------------------------------------- */

/* Give to another owner. The caller is the owner, or has it in transit. */
void                rn__rec_give(struct rn__chans *cs, struct rn__end_rec *rec, uint64_t to);
/* A handle inside a value that nobody will receive: close it, if it is still in transit. */
void                rn__end_die(struct rn__chans *cs, struct rn_end end, struct rn__after *after);
/* NULL when there is no memory. */
struct rn__ring    *rn__ring_new(const struct rn_elem *elem, uint32_t cap);

/* ---- chan.c ---------------------------------------------------------------------------------- */

/* The operation itself, with the lock held. 0, -EAGAIN (would have to wait), -EPIPE, -EPERM and
 * -EBADF (an end-point inside the value), -ENOMEM. */
int rn__chan_do_locked(struct rn__chans *cs, struct rn__chan *c, enum rn__dir dir, void *value,
                       uint64_t self, struct rn__after *after);
/* Would it have to wait? Throws out waiters that have been claimed elsewhere. */
bool rn__chan_ready_locked(struct rn__chan *c, enum rn__dir dir);
void rn__after_run(struct rn__chans *cs, struct rn__after *after);

/* Claim the waiters of a queue that closes (those that use `rec` only, if it isn't NULL), with this
 * result. */
void rn__queue_fail_locked(struct rn__queue *q, const struct rn__end_rec *rec, int result,
                           struct rn__after *after);
void rn__waiter_enqueue_locked(struct rn__waiter *w);
/* After the wait: take the record back from a queue where nobody claimed it. */
void rn__waiter_withdraw(struct rn__waiter *w);

/* ---- leak.c ---------------------------------------------------------------------------------- */

struct rn__leaks *rn__leaks_open(void);
void              rn__leaks_close(struct rn__leaks *leaks);
enum rn__leak_verdict { RN__LEAK_NONE, RN__LEAK_DEAD, RN__LEAK_SUSPECT };
#define RN__LEAK_TASKS (UINT32_C(1) << 21)
uint64_t          rn__leaks_count(const struct rn__leaks *leaks, enum rn__leak_verdict verdict);
/* What the last check said of this wait of this task. From any thread, without a lock. */
enum rn__leak_verdict rn__leaks_verdict(const struct rn__leaks *leaks, uint32_t id, uint64_t epoch);
