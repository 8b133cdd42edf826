/* A wait group: wait until so many things are done. (For tasks themselves the scope does that: rn_scope_wait().)
 *
 * It may be used again: a count that rises from zero begins a new round. It is opened in a scope and goes with it.
 *
 * Unless said otherwise:
 * From:  the tasks of its scope and of scopes inside it, and the task that opened the scope; others get -EPERM.
 * Owner: its scope.
 */
#pragma once

#include <runnel/base.h>
#include <runnel/task.h>

struct rn_group {
    uint32_t slot, gen; /* all zero: none */
};

/* Open one in `scope` with `n` things to be done; 0 is fine.
 * Suspends: no.
 * Returns:  0, -EPERM, -EBADF (no such scope), -ENOMEM. */
#define rn_group_open(scope, n, ret) rn_group_open_at(RN_SITE(), scope, n, ret)
RN_API int rn_group_open_at(const struct rn_site *site, struct rn_scope scope, uint32_t n, struct rn_group *ret_group);

/* Close before its scope ends. Who waits gets -EBADF.
 * Suspends: no.
 * Returns:  0, -EPERM, -EBADF. */
RN_API int rn_group_close(struct rn_group group);

/* `n` more things to be done.
 * Suspends: no.
 * Returns:  0, -EOVERFLOW (more than 2^32 - 1), -EBADF, -EPERM. */
RN_API int rn_group_add(struct rn_group group, uint32_t n);

/* One is done; the last one wakes all that wait.
 * Suspends: no.
 * Returns:  0, -EINVAL (nothing was to be done), -EBADF, -EPERM. */
RN_API int rn_group_done(struct rn_group group);

/* Wait for zero; a deadline of 0 only looks, and is no cancellation point and lets nobody else run.
 * Suspends: until the count is zero or `deadline` passes.
 * Returns:  0, -ETIMEDOUT, -ECANCELED, -EBADF (closed, also meanwhile), -EPERM. */
#define rn_group_wait(group, deadline) rn_group_wait_at(RN_SITE(), group, deadline)
RN_API int rn_group_wait_at(const struct rn_site *site, struct rn_group group, rn_time deadline);
