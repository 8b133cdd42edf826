/* Acknowledgements: up to which number an agent may forget its samples.
 *
 * Per agent and boot: what is outstanding (offered, and not decided by every required lane), in the
 * order of its numbers, and the highest number that was decided. Batches are decided in any order;
 * the ack is what lies below the first that is outstanding:
 *
 *     decided ####|    |####|    |####        ack: the end of the first block
 *                  out       out
 *
 * An agent sends what it keeps in ascending order, so a number that never came is one that it has
 * thrown away itself: gaps do not hold an ack. A resent batch is decided once more (as a
 * duplicate), and the ack is told once more.
 *
 * Only the newest boot of an agent is kept; what is decided for an older one is told to nobody.
 * Bounded by FT_TABLE_AGENTS_MAX agents.
 */
#pragma once

#include <model/sample.h>

#include "metrics/intake.h"

struct ft_acks;

/* `fn` is called with a lock held that keeps the order of one agent's acks: it must not call back.
 */
int ft_acks_new(ft_ack_fn *fn, void *arg, struct ft_acks **ret);
struct ft_acks *ft_acks_free(struct ft_acks *a); /* returns NULL */

/* Before the batch is offered to any lane. 0, -ENOMEM (then it must not be offered). */
int ft_acks_offered(struct ft_acks *a, const struct ft_batch *batch);
/* Every required lane has decided about it. */
void ft_acks_decided(struct ft_acks *a, const struct ft_batch *batch);
