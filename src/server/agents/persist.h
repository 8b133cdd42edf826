/* Write-behind of what is known about agents.
 *
 * Liveness and heartbeats never write. A record that changed is marked, and a task saves the marked
 * ones in batches. After a clean stop the sequence numbers continue, so that a restart asks nobody
 * for full state; after a crash every agent is asked once.
 */
#pragma once

#include <runnel/task.h>

#include "agents/registry.h"
#include "store/store.h"

/* Load every agent, take the clean-stop mark. Before listening. Suspends. 0, or a storage error. */
int ft_persist_load(struct ft_registry *r, struct ft_store *store);

/* Start the task that saves changed records each second; it ends with the scope. While the storage
 * fails it keeps the marks and tries again. 0, -ENOMEM. */
int ft_persist_start(struct rn_scope scope, struct ft_registry *r, struct ft_store *store);

/* Save every record as it is now, then set the clean-stop mark: the last write of an orderly stop.
 * Suspends. */
int ft_persist_stop(struct ft_registry *r, struct ft_store *store);
