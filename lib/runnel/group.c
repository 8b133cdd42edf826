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
    struct rn__sync_woken woken = {0};
    struct rn__sync *s;
    int r = rn__sync_lock(RN__SYNC_REF(group), RN__SYNC_GROUP, &s);

    if (r < 0)
        return r;
    if (s->value + n > UINT32_MAX)
        r = -EOVERFLOW;
    else
        s->value += n;
    rn__sync_unlock(s, &woken);
    return r;
}

int rn_group_done(struct rn_group group)
{
    struct rn__sync_woken woken = {0};
    struct rn__sync *s;
    int r = rn__sync_lock(RN__SYNC_REF(group), RN__SYNC_GROUP, &s);

    if (r < 0)
        return r;
    if (s->value == 0) {
        r = -EINVAL;
    } else {
        rn__sync_changed(s);
        if (--s->value == 0)
            rn__sync_serve_all_locked(s, 0, &woken);
    }
    rn__sync_unlock(s, &woken);
    return r;
}

int rn_group_wait_at(const struct rn_site *site, struct rn_group group, rn_time deadline)
{
    struct rn__sync_woken woken = {0};
    struct rn__sync *s;
    int r = rn__sync_begin(deadline);

    if (r == 0)
        r = rn__sync_lock(RN__SYNC_REF(group), RN__SYNC_GROUP, &s);
    if (r < 0)
        return r;
    if (s->value > 0)
        return rn__sync_wait_unlock(site, RN_WAIT_GROUP, s, RN__SYNC_REF(group), 0, deadline);
    rn__sync_unlock(s, &woken);
    return 0;
}
