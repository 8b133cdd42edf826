/* A mutex between tasks: for data that has to be changed in one piece over calls that suspend. (For a few dozen instructions
 * take a struct rn_lock, for handing things over a channel.)
 *
 *     OK(rn_mutex_open(rn_scope_self(), &m));
 *     OK(rn_mutex_lock(m, RN_FOREVER));
 *     ...
 *     OK(rn_mutex_unlock(m));
 *
 * Fair: unlocking hands it to the task that has waited longest, so one that locks again at once stands behind the others.
 * Not recursive. It is opened in a scope and goes with it.
 *
 * Unless said otherwise:
 * From:  the tasks of its scope and of scopes inside it, and the task that opened the scope; others get -EPERM.
 * Owner: its scope.
 */
#pragma once

#include <runnel/base.h>
#include <runnel/task.h>

struct rn_mutex {
    uint32_t slot, gen; /* all zero: none */
};

/* Open an unlocked mutex in `scope`.
 * Suspends: no.
 * Returns:  0, -EPERM, -EBADF (no such scope), -ENOMEM. */
#define rn_mutex_open(scope, ret) rn_mutex_open_at(RN_SITE(), scope, ret)
RN_API int rn_mutex_open_at(const struct rn_site *site, struct rn_scope scope, struct rn_mutex *ret_mutex);

/* Close before its scope ends. Who waits for it, and who holds it at the unlock, gets -EBADF.
 * Suspends: no.
 * Returns:  0, -EPERM, -EBADF. */
RN_API int rn_mutex_close(struct rn_mutex mutex);

/* Lock; a deadline of 0 only tries, and is no cancellation point and lets nobody else run.
 * Suspends: until the holder and those who came before have unlocked it, or `deadline` passes.
 * Returns:  0, -ETIMEDOUT, -ECANCELED, -EDEADLK (the caller holds it), -EOWNERDEAD (a task ended as its holder; it stays so until it is
 *           closed), -EBADF (closed, also meanwhile), -EPERM. */
#define rn_mutex_lock(mutex, deadline) rn_mutex_lock_at(RN_SITE(), mutex, deadline)
RN_API int rn_mutex_lock_at(const struct rn_site *site, struct rn_mutex mutex, rn_time deadline);

/* Unlock, by the task that locked it.
 * Suspends: no.
 * Returns:  0, -EPERM (the caller doesn't hold it), -EBADF. */
RN_API int rn_mutex_unlock(struct rn_mutex mutex);
