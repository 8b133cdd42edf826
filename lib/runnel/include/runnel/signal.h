/* Signals as something to wait for.
 *
 * rn_signals_block() must be called before the first thread is started (first thing in main): it blocks the set for the whole
 * process. Then a task waits for them one at a time. */
#pragma once

#include <signal.h>

#include <runnel/base.h>
#include <runnel/fd.h>

RN_API int rn_signals_block(const sigset_t *set);
/* A descriptor of the set, owned by the calling task. */
RN_API int rn_signals_open(const sigset_t *set, struct rn_fd *ret_fd);
/* Suspends. Returns the signal's number, -ETIMEDOUT, -ECANCELED, -EBADF. */
RN_API int rn_signals_wait(struct rn_fd fd, rn_time deadline);
