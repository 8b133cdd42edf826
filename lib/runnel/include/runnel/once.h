/* Something that has to be done once, by whoever needs it first.
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

struct rn_once {
    uint32_t slot, gen; /* all zero: none */
};

/* Open one in `scope`; nothing has been done yet.
 * Suspends: no.
 * Returns:  0, -EPERM, -EBADF (no such scope), -ENOMEM. */
#define rn_once_open(scope, ret) rn_once_open_at(RN_SITE(), scope, ret)
RN_API int rn_once_open_at(const struct rn_site *site, struct rn_scope scope, struct rn_once *ret_once);

/* Close before its scope ends. Who waits gets -EBADF; a function that runs goes on.
 * Suspends: no.
 * Returns:  0, -EPERM, -EBADF. */
RN_API int rn_once_close(struct rn_once once);

/* Run fn(arg) unless somebody has; wait for who does. What it returned, a failure too, is kept for everybody. fn runs in the
 * calling task, may suspend, and is neither cancelled nor timed by this call.
 * Suspends: until fn has returned, or, for who waits, `deadline` passes.
 * Returns:  what fn returned, -ETIMEDOUT, -ECANCELED, -EDEADLK (from inside of fn), -EBADF (closed, also meanwhile), -EPERM. */
#define rn_once_do(once, fn, arg, deadline) rn_once_do_at(RN_SITE(), once, fn, arg, deadline)
RN_API int rn_once_do_at(const struct rn_site *site, struct rn_once once, int (*fn)(void *arg), void *arg, rn_time deadline);
