/* The channel on which the rest of the server tells the rollout whose desired state has to be
 * looked at again.
 *
 * A value is an agent's uid; all zero means every agent. Pushing never waits: when the ring is
 * full, something had to go, and then "every agent" follows it, so that nothing is forgotten. (Were
 * even that value pushed out later, the one who does it sends it again.)
 *
 * The owner of the sending end is whoever pushes: a scope for the tasks of the API, a loop (by
 * rn_tx_dup) for sessions.
 */
#pragma once

#include <runnel/chan.h>

#include <model/uuid.h>

#define FT_CHANGES_MAX 4096

static inline int ft_changes_push(struct rn_tx changes, const struct ft_uuid *uid)
{
    static const struct ft_uuid every;
    struct ft_uuid evicted;
    int r = rn_tx_push(changes, uid, &evicted);

    return r == 1 ? rn_tx_push(changes, &every, &evicted) : r;
}

static inline int ft_changes_push_every(struct rn_tx changes)
{
    static const struct ft_uuid every;
    return ft_changes_push(changes, &every);
}
