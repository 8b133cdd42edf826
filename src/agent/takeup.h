/* Processes taking up new files: signalled or restarted, then watched for their window. See
 * takeup.c. */
#pragma once

#include "plan.h"
#include "process.h"

/* Tell every process that the plan touches, and watch it until it has run for its window. `fresh`:
 * they were all started with these files already, so only watch.
 *
 * Suspends: until all have passed or one has failed.
 * Returns:  0; -ECHILD, and which process and why in `why`; -ECANCELED. From: the task that
 * applies.
 */
int ft_take_up(struct ft_supervisor *s, const struct ft_plan *plan, bool fresh, char *why,
               size_t why_size);
