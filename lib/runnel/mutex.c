/* A mutex that is handed over: unlocking gives it to the task that has waited longest, so a task
 * that locks again at once finds it taken and stands behind the others. With that every waiter has
 * it after one turn of each before it; a change of hands costs one switch.
 *
 * A task that ends as the holder leaves the mutex abandoned: what it guards is in an unknown state,
 * and whoever waits or comes gets -EOWNERDEAD until it is closed.
 */
#include <runnel/mutex.h>

#include <errno.h>

#include "sync.h"

enum { SOUND, ABANDONED };

int rn_mutex_open_at(const struct rn_site *site, struct rn_scope scope, struct rn_mutex *ret_mutex)
{
    struct rn__sync_ref ref;
    int r = rn__sync_open(site, scope, RN__SYNC_MUTEX, SOUND, &ref);

    if (r == 0)
        *ret_mutex = (struct rn_mutex){ref.slot, ref.gen};
    return r;
}

int rn_mutex_close(struct rn_mutex mutex)
{
    return rn__sync_close(RN__SYNC_REF(mutex), RN__SYNC_MUTEX);
}

int rn_mutex_lock_at(const struct rn_site *site, struct rn_mutex mutex, rn_time deadline)
{
    struct rn__sync_woken woken = {0};
    uint64_t holder;
    struct rn__sync *s;
    int r = rn__sync_begin(deadline);

    if (r == 0)
        r = rn__sync_lock(RN__SYNC_REF(mutex), RN__SYNC_MUTEX, &s);
    if (r < 0)
        return r;
    holder = atomic_load_explicit(&s->holder, memory_order_relaxed);
    if (s->value == ABANDONED) {
        r = -EOWNERDEAD;
    } else if (holder == rn__owner_self()) {
        r = -EDEADLK;
    } else if (holder) {
        r = rn__sync_wait_unlock(site, RN_WAIT_MUTEX, s, RN__SYNC_REF(mutex), 0, deadline);
        if (r == 0)
            rn__task_self()->n_mutexes++;
        return r;
    } else {
        atomic_store_explicit(&s->holder, rn__owner_self(), memory_order_relaxed);
        rn__sync_changed(s);
        rn__task_self()->n_mutexes++;
    }
    rn__sync_unlock(s, &woken);
    return r;
}

int rn_mutex_unlock(struct rn_mutex mutex)
{
    struct rn__sync_woken woken = {0};
    struct rn__sync_waiter *w;
    uint64_t next = 0;
    struct rn__sync *s;
    int r = rn__sync_lock(RN__SYNC_REF(mutex), RN__SYNC_MUTEX, &s);

    if (r < 0)
        return r;
    if (atomic_load_explicit(&s->holder, memory_order_relaxed) != rn__owner_self()) {
        r = -EPERM;
    } else {
        while (!next && (w = s->first)) {
            next = w->owner;
            if (!rn__sync_serve_locked(s, w, 0, &woken))
                next = 0;
        }
        atomic_store_explicit(&s->holder, next, memory_order_relaxed);
        rn__sync_changed(s);
        rn__task_self()->n_mutexes--;
    }
    rn__sync_unlock(s, &woken);
    return r;
}

void rn__mutexes_abandon(struct rn__task *t)
{
    struct rn_runtime *rt = rn__rt();
    uint64_t self = rn__task_owner(t);
    struct rn__sync *s;

    for (uint32_t i = 1; t->n_mutexes > 0 && (s = rn__sync_at(rt, i)); i++) {
        struct rn__sync_woken woken = {0};

        if (atomic_load(&s->holder) != self)
            continue;
        rn__lock(rt, &s->lock);
        if (atomic_load(&s->holder) == self && atomic_load(&s->kind) == RN__SYNC_MUTEX) {
            s->value = ABANDONED;
            atomic_store(&s->holder, 0);
            rn__sync_changed(s);
            rn__sync_serve_all_locked(s, -EOWNERDEAD, &woken);
            t->n_mutexes--;
        }
        rn__sync_unlock(s, &woken);
    }
}
