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
    const struct rn__sync_ref ref = RN__SYNC_REF(mutex);
    struct rn__sync_call call;
    uint64_t self, holder;
    int r = rn__sync_lock_waiting(&call, ref, RN__SYNC_MUTEX, deadline);

    if (r < 0)
        return r;
    self = rn__task_owner(call.task);
    holder = rn__sync_holder(call.sync);
    if (call.sync->value == ABANDONED) {
        r = -EOWNERDEAD;
    } else if (holder == self) {
        r = -EDEADLK;
    } else if (holder) {
        r = rn__sync_wait_unlock(&call, site, RN_WAIT_MUTEX, ref, 0, deadline);
        if (r == 0)
            call.task->n_mutexes++;
        return r;
    } else {
        rn__sync_holder_set(call.sync, self);
        call.task->n_mutexes++;
    }
    rn__sync_unlock(&call);
    return r;
}

/* To the first that still waits, else to nobody. */
static void hand_over_locked(struct rn__sync_call *call)
{
    struct rn__sync_waiter *w;
    uint64_t next = 0;

    while (!next && (w = call->sync->first)) {
        next = w->owner;
        if (!rn__sync_serve_locked(call, w, 0))
            next = 0;
    }
    rn__sync_holder_set(call->sync, next);
}

int rn_mutex_unlock(struct rn_mutex mutex)
{
    struct rn__sync_call call;
    int r = rn__sync_lock(&call, RN__SYNC_REF(mutex), RN__SYNC_MUTEX);

    if (r < 0)
        return r;
    if (rn__sync_holder(call.sync) != rn__task_owner(call.task)) {
        r = -EPERM;
    } else {
        call.task->n_mutexes--;
        hand_over_locked(&call);
    }
    rn__sync_unlock(&call);
    return r;
}

void rn__mutexes_abandon(struct rn__task *t)
{
    struct rn__sync_call call = {.rt = rn__rt(), .task = t};
    uint64_t self = rn__task_owner(t);

    for (uint32_t i = 1; t->n_mutexes > 0 && (call.sync = rn__sync_at(call.rt, i)); i++) {
        if (rn__sync_holder(call.sync) != self)
            continue;
        call.woken = NULL;
        rn__lock(call.rt, &call.sync->lock);
        if (rn__sync_holder(call.sync) == self && atomic_load(&call.sync->kind) == RN__SYNC_MUTEX) {
            call.sync->value = ABANDONED;
            rn__sync_holder_set(call.sync, 0);
            rn__sync_serve_all_locked(&call, -EOWNERDEAD);
            t->n_mutexes--;
        }
        rn__sync_unlock(&call);
    }
    t->n_mutexes = 0; /* others may have closed some of them */
}
