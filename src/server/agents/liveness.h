/* Liveness: who has gone silent.
 *
 * A heartbeat is missed max(interval/2, 2 s) after it was due. One missed is stale, three are
 * offline, and then the server closes the connection. A lost connection without goodbye is stale at
 * once. An APPLYING without news for apply_timeout reads FAILED.
 */
#pragma once

#include <stdatomic.h>

#include <runnel/task.h>

#include "agents/registry.h"

struct ft_liveness_options {
    struct ft_registry *registry; /* borrowed */
    const _Atomic rn_time *apply_timeout; /* borrowed; a reload changes it */
};

/* Start the task that looks at all agents twice a second; it ends with the scope. `options` is
 * copied. 0, -ENOMEM. */
int ft_liveness_start(struct rn_scope scope, const struct ft_liveness_options *options);

/* How many heartbeats in a row are missing after `silent` ns. Pure. */
unsigned ft_heartbeats_missed(rn_time silent, rn_time interval);
