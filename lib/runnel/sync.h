/* What mutex.c, semaphore.c, group.c, once.c and oneshot.c share: records with a lock, a value and
 * a queue of tasks.
 *
 *      handle {slot, gen} -> rn__sync (an array that lasts as long as the runtime)
 *
 * A record is opened in a scope and goes with it, so a task of the scope never meets one that was
 * taken away; whoever else comes with a handle gets -EPERM, with an old one -EBADF. The queue is
 * first in, first out. Who serves a waiter claims it (see internal.h) under the record's lock and
 * hands over what it waited for in the same moment: nobody who comes later can be faster.
 *
 * Generations are odd while a record is open and even while it is free.
 */
#pragma once

#include <runnel/loop.h>

#include "core.h"

enum rn__sync_kind {
    RN__SYNC_MUTEX,
    RN__SYNC_SEM,
    RN__SYNC_GROUP,
    RN__SYNC_ONCE,
    RN__SYNC_ONESHOT,
};

/* A handle of any kind: all of them have this shape. */
struct rn__sync_ref {
    uint32_t slot, gen;
};
#define RN__SYNC_REF(handle) ((struct rn__sync_ref){(handle).slot, (handle).gen})

/* One wait of one task; lies on its stack. */
struct rn__sync_waiter {
    struct rn__sync_waiter *next, *prev; /* the record's lock; then the list of the claimed */
    struct rn__key key;
    uint64_t owner; /* of the waiting task */
    uint64_t want;  /* units of a semaphore */
    int result;     /* written by who claimed, before rn__ready() */
    _Atomic bool queued;
};

struct rn__sync {
    struct rn_lock lock;

    /* the lock; atomic for those who look from outside */
    _Atomic uint32_t gen;
    _Atomic uint8_t kind;
    _Atomic uint64_t scope;   /* owner word */
    _Atomic uint64_t holder;  /* who has locked it, who runs it; 0: nobody */
    _Atomic uint64_t version; /* grows with every change that may help a waiter */
    _Atomic rn_time changed;  /* when it did last */
    const struct rn_site *_Atomic site;

    /* the lock */
    uint64_t value;
    int result;
    struct rn__sync_waiter *first, *last;

    /* the lock of the array: neighbours in the scope's list, + 1; `next` links free ones, too */
    uint32_t next, prev;
};

/* One call on a record, from its lock to its unlock: who calls, which record, and the claimed, to
 * be woken when the lock is released. */
struct rn__sync_call {
    struct rn_runtime *rt;
    struct rn__task *task;
    struct rn__sync *sync;
    struct rn__sync_waiter *woken, *woken_last;
};

/* Record `index`, from 1; NULL past the last. */
struct rn__sync *rn__sync_at(const struct rn_runtime *rt, uint32_t index);
/* 0, -EPERM (not a task of the scope), -EBADF (no such scope), -ENOMEM. */
int rn__sync_open(const struct rn_site *site, struct rn_scope scope, enum rn__sync_kind kind,
                  uint64_t value, struct rn__sync_ref *ret_ref);
/* Wakes its waiters with -EBADF. 0, -EPERM, -EBADF. */
int rn__sync_close(struct rn__sync_ref ref, enum rn__sync_kind kind);
/* 0 with the record locked, else -EPERM or -EBADF. */
int rn__sync_lock(struct rn__sync_call *call, struct rn__sync_ref ref, enum rn__sync_kind kind);
/* The same for a call that may wait until `deadline`. Before it looks, others may run when the
 * budget is used up. Also -ECANCELED, unless the deadline is 0. */
int rn__sync_lock_waiting(struct rn__sync_call *call, struct rn__sync_ref ref,
                          enum rn__sync_kind kind, rn_time deadline);
/* Unlock and wake the claimed. */
void rn__sync_unlock(struct rn__sync_call *call);
/* Unlock and wait to be served: its result, -ETIMEDOUT, -ECANCELED, -EBADF. */
int rn__sync_wait_unlock(struct rn__sync_call *call, const struct rn_site *site,
                         enum rn_wait_kind kind, struct rn__sync_ref ref, uint64_t want,
                         rn_time deadline);
/* The first in the queue that still waits; the others are thrown out. */
struct rn__sync_waiter *rn__sync_first_locked(struct rn__sync *s);
/* Take one out and compete for it; false: it is busy waking up. */
bool rn__sync_serve_locked(struct rn__sync_call *call, struct rn__sync_waiter *w, int result);
void rn__sync_serve_all_locked(struct rn__sync_call *call, int result);
/* With the record's lock: nobody else writes it. When is for the leak check, which wants to know
 * whether anybody still helps. */
static inline void rn__sync_changed(struct rn__sync *s)
{
    atomic_store_explicit(&s->version, atomic_load_explicit(&s->version, memory_order_relaxed) + 1,
                          memory_order_relaxed);
    atomic_store_explicit(&s->changed, rn_loop_now(), memory_order_relaxed);
}
static inline uint64_t rn__sync_holder(const struct rn__sync *s)
{
    return atomic_load_explicit(&s->holder, memory_order_relaxed);
}
static inline void rn__sync_holder_set(struct rn__sync *s, uint64_t holder)
{
    atomic_store_explicit(&s->holder, holder, memory_order_relaxed);
    rn__sync_changed(s);
}
