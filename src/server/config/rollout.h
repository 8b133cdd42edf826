/* The rollout: a task that keeps every agent's desired configuration up to date.
 *
 *     changes -> rollout: ft_catalog_resolve() -> ft_render() -> ft_registry_desire()
 *
 * Level-triggered: a change says only whom to look at; what is desired is computed from the state
 * as it is then. A slow sweep over all agents heals whatever might have been missed.
 */
#pragma once

#include <runnel/chan.h>
#include <runnel/task.h>

#include "agents/registry.h"
#include "config/catalog.h"
#include "config/render.h"

struct ft_rollout_options {
    struct ft_catalog  *catalog;  /* borrowed, here and below */
    struct ft_registry *registry;
    struct ft_renderer *renderer;
    rn_time             sweep;    /* 0: FT_ROLLOUT_SWEEP */
};

#define FT_ROLLOUT_SWEEP (30 * RN_S)

/* Start the task in `scope`; it ends when the last sender of `changes` has closed, or with the
 * scope. `changes` (values: struct ft_uuid, see changes.h) moves to it, and it looks at every agent
 * once at the start. `options` is copied. */
int ft_rollout_start(struct rn_scope scope, const struct ft_rollout_options *options,
                     struct rn_rx changes);
