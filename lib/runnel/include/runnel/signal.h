/* Signals as something to wait for.
 *
 * rn_signals_block() must be called before the first thread is started (first thing in main): it blocks the set for the whole
 * process. Then a task waits for them one at a time.
 *
 * Unless said otherwise:
 * Suspends: no.
 * Owner:    of the descriptor, the task that opened it.
 * From:     a task.
 */
#pragma once

#include <signal.h>
#include <sys/select.h> /* sigset_t, where signal.h hides it */

#include <runnel/base.h>
#include <runnel/fd.h>

/* Block the set for this thread and those that it starts.
 * Returns: 0, -EINVAL.
 * From:    the main thread, before there is another. */
RN_API int rn_signals_block(const sigset_t *set);

/* A descriptor of the set.
 * Returns: 0, -EMFILE, -ENFILE, -ENOMEM, -EPERM (no task). */
RN_API int rn_signals_open(const sigset_t *set, struct rn_fd *ret_fd);

/* Wait for one.
 * Suspends: until one has come or `deadline` passes.
 * Returns:  the signal's number, -ETIMEDOUT, -ECANCELED, -EBADF, -EIO. */
RN_API int rn_signals_wait(struct rn_fd fd, rn_time deadline);
