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
    struct rn__sync_woken woken = {0};
    struct rn__sync *s;

    if (rn__sync_lock(RN__SYNC_REF(once), RN__SYNC_ONCE, &s) < 0)
        return;
    s->value = DONE;
    s->result = result;
    atomic_store(&s->holder, 0);
    rn__sync_changed(s);
    rn__sync_serve_all_locked(s, result, &woken);
    rn__sync_unlock(s, &woken);
}

int rn_once_do_at(const struct rn_site *site, struct rn_once once, int (*fn)(void *arg), void *arg,
                  rn_time deadline)
{
    struct rn__sync_woken woken = {0};
    bool mine = false;
    struct rn__sync *s;
    int r = rn__sync_begin(deadline);

    if (r == 0)
        r = rn__sync_lock(RN__SYNC_REF(once), RN__SYNC_ONCE, &s);
    if (r < 0)
        return r;
    if (s->value == DONE) {
        r = s->result;
    } else if (s->value == FRESH) {
        mine = true;
        s->value = RUNNING;
        atomic_store(&s->holder, rn__owner_self());
    } else if (atomic_load(&s->holder) == rn__owner_self()) {
        r = -EDEADLK;
    } else {
        return rn__sync_wait_unlock(site, RN_WAIT_ONCE, s, RN__SYNC_REF(once), 0, deadline);
    }
    rn__sync_unlock(s, &woken);
    if (mine) {
        r = fn(arg);
        finish(once, r);
    }
    return r;
}
