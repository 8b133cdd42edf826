/* A counting semaphore. Served strictly in order: who wants many units isn't overtaken by those who
 * want few, and while somebody waits nobody takes what is free past the queue. */
#include <runnel/semaphore.h>

#include <errno.h>

#include "sync.h"

int rn_sem_open_at(const struct rn_site *site, struct rn_scope scope, uint32_t units,
                   struct rn_sem *ret_sem)
{
    struct rn__sync_ref ref;
    int r = rn__sync_open(site, scope, RN__SYNC_SEM, units, &ref);

    if (r == 0)
        *ret_sem = (struct rn_sem){ref.slot, ref.gen};
    return r;
}

int rn_sem_close(struct rn_sem sem)
{
    return rn__sync_close(RN__SYNC_REF(sem), RN__SYNC_SEM);
}

static void serve_locked(struct rn__sync_call *call)
{
    struct rn__sync *s = call->sync;
    struct rn__sync_waiter *w;

    while ((w = rn__sync_first_locked(s)) && w->want <= s->value) {
        uint64_t want = w->want;

        if (rn__sync_serve_locked(call, w, 0))
            s->value -= want;
    }
}

/* The one that gave up may have stood before others who want less. */
static void serve_others(struct rn_sem sem)
{
    struct rn__sync_call call;

    if (rn__sync_lock(&call, RN__SYNC_REF(sem), RN__SYNC_SEM) < 0)
        return;
    serve_locked(&call);
    rn__sync_unlock(&call);
}

int rn_sem_take_at(const struct rn_site *site, struct rn_sem sem, uint32_t units, rn_time deadline)
{
    const struct rn__sync_ref ref = RN__SYNC_REF(sem);
    struct rn__sync_call call;
    int r = units ? rn__sync_lock_waiting(&call, ref, RN__SYNC_SEM, deadline) : -EINVAL;

    if (r < 0)
        return r;
    if (call.sync->value < units || rn__sync_first_locked(call.sync)) {
        r = rn__sync_wait_unlock(&call, site, RN_WAIT_SEM, ref, units, deadline);
        if (r == -ETIMEDOUT || r == -ECANCELED)
            serve_others(sem);
        return r;
    }
    call.sync->value -= units;
    rn__sync_changed(call.sync);
    rn__sync_unlock(&call);
    return 0;
}

int rn_sem_give(struct rn_sem sem, uint32_t units)
{
    struct rn__sync_call call;
    int r = rn__sync_lock(&call, RN__SYNC_REF(sem), RN__SYNC_SEM);

    if (r < 0)
        return r;
    if (call.sync->value + units > UINT32_MAX) {
        r = -EOVERFLOW;
    } else {
        call.sync->value += units;
        rn__sync_changed(call.sync);
        serve_locked(&call);
    }
    rn__sync_unlock(&call);
    return r;
}
