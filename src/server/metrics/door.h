/* A lane's way in: the sending end of its channel, once for each loop's callbacks and once for
 * tasks.
 *
 * An end-point serves its owner only. So each loop owns one, and the scope of the task that made
 * the door owns another, which serves all tasks in it and inside it.
 */
#pragma once

#include <runnel/chan.h>
#include <runnel/loop.h>

struct ft_door;

/* Takes `tx` (of the calling task), also on failure. 0, -ENOMEM, ... */
int ft_door_new(struct rn_tx tx, struct ft_door **ret);
/* The end that the caller, a task or a callback, may use. */
struct rn_tx ft_door_tx(const struct ft_door *d);
/* Close all of them: those of the loops are closed by their loops. Suspends. From a task of the
 * scope. Returns NULL. */
struct ft_door *ft_door_free(struct ft_door *d);
