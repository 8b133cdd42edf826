/* Something that is done once: the first task does it, those who come meanwhile wait, and everybody
 * gets what it returned. */
#include <runnel/once.h>

#include <errno.h>

#include "sync.h"

enum { FRESH, RUNNING, DONE };

int rn_once_open_at(const struct rn_site *site, struct rn_scope scope, struct rn_once *ret_once)
{
    struct rn__sync_ref ref;
    int r = rn__sync_open(site, scope, RN__SYNC_ONCE, FRESH, &ref);

    if (r == 0)
        *ret_once = (struct rn_once){ref.slot, ref.gen};
    return r;
}

int rn_once_close(struct rn_once once)
{
    return rn__sync_close(RN__SYNC_REF(once), RN__SYNC_ONCE);
}

/* The record may have been closed while the function ran: its result is the caller's all the same.
 */
static void finish(struct rn_once once, int result)
{
    struct rn__sync_call call;

    if (rn__sync_lock(&call, RN__SYNC_REF(once), RN__SYNC_ONCE) < 0)
        return;
    call.sync->value = DONE;
    call.sync->result = result;
    rn__sync_holder_set(call.sync, 0);
    rn__sync_serve_all_locked(&call, result);
    rn__sync_unlock(&call);
}

int rn_once_do_at(const struct rn_site *site, struct rn_once once, int (*fn)(void *arg), void *arg,
                  rn_time deadline)
{
    struct rn__sync_call call;
    bool mine = false;
    int r = rn__sync_lock_waiting(&call, RN__SYNC_REF(once), RN__SYNC_ONCE, deadline);

    if (r < 0)
        return r;
    if (call.sync->value == DONE) {
        r = call.sync->result;
    } else if (call.sync->value == FRESH) {
        mine = true;
        call.sync->value = RUNNING;
        rn__sync_holder_set(call.sync, rn__task_owner(call.task));
    } else if (rn__sync_holder(call.sync) == rn__task_owner(call.task)) {
        r = -EDEADLK;
    } else {
        return rn__sync_wait_unlock(&call, site, RN_WAIT_ONCE, RN__SYNC_REF(once), 0, deadline);
    }
    rn__sync_unlock(&call);
    if (mine) {
        r = fn(arg);
        finish(once, r);
    }
    return r;
}
