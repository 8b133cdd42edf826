/* A one-shot: an event that happens once and stays, for any number of tasks to wait for. (With a value, or in a select, take a
 * channel whose only sender is closed.)
 *
 * It is opened in a scope and goes with it.
 *
 * Unless said otherwise:
 * From:  the tasks of its scope and of scopes inside it, and the task that opened the scope; others get -EPERM.
 * Owner: its scope.
 */
#pragma once

#include <runnel/base.h>
#include <runnel/task.h>

struct rn_oneshot {
    uint32_t slot, gen; /* all zero: none */
};

/* Open one in `scope`, not set.
 * Suspends: no.
 * Returns:  0, -EPERM, -EBADF (no such scope), -ENOMEM. */
#define rn_oneshot_open(scope, ret) rn_oneshot_open_at(RN_SITE(), scope, ret)
RN_API int rn_oneshot_open_at(const struct rn_site *site, struct rn_scope scope, struct rn_oneshot *ret_oneshot);

/* Close before its scope ends. Who waits gets -EBADF.
 * Suspends: no.
 * Returns:  0, -EPERM, -EBADF. */
RN_API int rn_oneshot_close(struct rn_oneshot oneshot);

/* It has happened: all that wait are woken, and who comes later doesn't wait.
 * Suspends: no.
 * Returns:  0, -EALREADY, -EBADF, -EPERM. */
RN_API int rn_oneshot_set(struct rn_oneshot oneshot);

/* Wait for it; a deadline of 0 only looks, and is no cancellation point and lets nobody else run.
 * Suspends: until it is set or `deadline` passes.
 * Returns:  0, -ETIMEDOUT, -ECANCELED, -EBADF (closed, also meanwhile), -EPERM. */
#define rn_oneshot_wait(oneshot, deadline) rn_oneshot_wait_at(RN_SITE(), oneshot, deadline)
RN_API int rn_oneshot_wait_at(const struct rn_site *site, struct rn_oneshot oneshot, rn_time deadline);
