/* A wait group: a count of things that are still to end, and those who wait for zero. */
#include <runnel/group.h>

#include <errno.h>

#include "sync.h"

int rn_group_open_at(const struct rn_site *site, struct rn_scope scope, uint32_t n,
                     struct rn_group *ret_group)
{
    struct rn__sync_ref ref;
    int r = rn__sync_open(site, scope, RN__SYNC_GROUP, n, &ref);

    if (r == 0)
        *ret_group = (struct rn_group){ref.slot, ref.gen};
    return r;
}

int rn_group_close(struct rn_group group)
{
    return rn__sync_close(RN__SYNC_REF(group), RN__SYNC_GROUP);
}

int rn_group_add(struct rn_group group, uint32_t n)
{
    struct rn__sync_call call;
    int r = rn__sync_lock(&call, RN__SYNC_REF(group), RN__SYNC_GROUP);

    if (r < 0)
        return r;
    if (call.sync->value + n > UINT32_MAX)
        r = -EOVERFLOW;
    else
        call.sync->value += n;
    rn__sync_unlock(&call);
    return r;
}

int rn_group_done(struct rn_group group)
{
    struct rn__sync_call call;
    int r = rn__sync_lock(&call, RN__SYNC_REF(group), RN__SYNC_GROUP);

    if (r < 0)
        return r;
    if (call.sync->value == 0) {
        r = -EINVAL;
    } else {
        rn__sync_changed(call.sync);
        if (--call.sync->value == 0)
            rn__sync_serve_all_locked(&call, 0);
    }
    rn__sync_unlock(&call);
    return r;
}

int rn_group_wait_at(const struct rn_site *site, struct rn_group group, rn_time deadline)
{
    struct rn__sync_call call;
    int r = rn__sync_lock_waiting(&call, RN__SYNC_REF(group), RN__SYNC_GROUP, deadline);

    if (r < 0)
        return r;
    if (call.sync->value > 0)
        return rn__sync_wait_unlock(&call, site, RN_WAIT_GROUP, RN__SYNC_REF(group), 0, deadline);
    rn__sync_unlock(&call);
    return 0;
}
