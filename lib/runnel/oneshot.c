/* A one-shot: an event that happens once and stays. */
#include <runnel/oneshot.h>

#include <errno.h>

#include "sync.h"

enum { UNSET, SET };

int rn_oneshot_open_at(const struct rn_site *site, struct rn_scope scope,
                       struct rn_oneshot *ret_oneshot)
{
    struct rn__sync_ref ref;
    int r = rn__sync_open(site, scope, RN__SYNC_ONESHOT, UNSET, &ref);

    if (r == 0)
        *ret_oneshot = (struct rn_oneshot){ref.slot, ref.gen};
    return r;
}

int rn_oneshot_close(struct rn_oneshot oneshot)
{
    return rn__sync_close(RN__SYNC_REF(oneshot), RN__SYNC_ONESHOT);
}

int rn_oneshot_set(struct rn_oneshot oneshot)
{
    struct rn__sync_call call;
    int r = rn__sync_lock(&call, RN__SYNC_REF(oneshot), RN__SYNC_ONESHOT);

    if (r < 0)
        return r;
    if (call.sync->value == SET) {
        r = -EALREADY;
    } else {
        call.sync->value = SET;
        rn__sync_changed(call.sync);
        rn__sync_serve_all_locked(&call, 0);
    }
    rn__sync_unlock(&call);
    return r;
}

int rn_oneshot_wait_at(const struct rn_site *site, struct rn_oneshot oneshot, rn_time deadline)
{
    struct rn__sync_call call;
    int r = rn__sync_lock_waiting(&call, RN__SYNC_REF(oneshot), RN__SYNC_ONESHOT, deadline);

    if (r < 0)
        return r;
    if (call.sync->value == UNSET)
        return rn__sync_wait_unlock(&call, site, RN_WAIT_ONESHOT, RN__SYNC_REF(oneshot), 0,
                                    deadline);
    rn__sync_unlock(&call);
    return 0;
}
