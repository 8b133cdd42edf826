/* Signals as something to wait for.
 *
 * rn_signals_block() must be called before the first thread is started (first thing in main): it blocks the set for the whole
 * process. Then they are read one at a time: by the one task that asks for them (rn_signals_open(), rn_signals_wait()), or from a
 * channel, so that a select can wait for them and for other things (rn_signal_open()).
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
#include <runnel/chan.h>
#include <runnel/fd.h>
#include <runnel/task.h>

/* Block the set for this thread and those that it starts.
 * Returns: 0, -EINVAL.
 * From:    the main thread, before there is another. */
RN_API int rn_signals_block(const sigset_t *set);

/* A descriptor of the set.
 * Returns: 0, -EMFILE, -ENFILE, -ENOMEM, -EPERM (no task). */
RN_API int rn_signals_open(const sigset_t *set, struct rn_fd *ret_fd);

/* Wait for one.
 * Suspends: until one has come or `deadline` passes.
 * Returns:  the signal's number, -ETIMEDOUT, -ECANCELED, -EBADF, -EBUSY (another task waits), -EPERM (no task), -EIO. */
RN_API int rn_signals_wait(struct rn_fd fd, rn_time deadline);

struct rn_signal {
    int number; /* SIGHUP */
    int code;   /* SI_USER, CLD_EXITED: as in siginfo_t */
    int pid;    /* of who sent it, or of the child */
};

/* Start a task in `scope` that reads the signals of the set and sends each to a channel of struct rn_signal. The process has one such
 * reader for each signal. Nothing is thrown away while the receiver is busy: signals stay pending, and the kernel counts a
 * repeated one once. It ends with its scope; or at the next signal after the receiver has closed.
 * Returns: 0, -EBUSY (another such reader in the process has one of them, or the dump at SIGQUIT), -EINVAL (the set is empty, or one isn't blocked), -ENOMEM,
 *          -EMFILE, -ENFILE, and what rn_go() returns.
 * Owner:   of the receiver, the caller. */
#define rn_signal_open(scope, set, ret_rx) rn_signal_open_at(RN_SITE(), scope, set, ret_rx)
RN_API int rn_signal_open_at(const struct rn_site *site, struct rn_scope scope, const sigset_t *set, struct rn_rx *ret_rx);
