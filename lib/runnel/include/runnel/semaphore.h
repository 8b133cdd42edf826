/* A counting semaphore: at most so many units in use at once.
 *
 * Served in order: who wants many units isn't overtaken by those who want few. Units have no owner: who gives need not be who
 * took. It is opened in a scope and goes with it.
 *
 * Unless said otherwise:
 * From:  the tasks of its scope and of scopes inside it, and the task that opened the scope; others get -EPERM.
 * Owner: its scope.
 */
#pragma once

#include <runnel/base.h>
#include <runnel/task.h>

struct rn_sem {
    uint32_t slot, gen; /* all zero: none */
};

/* Open one with so many free units in `scope`; 0 is fine.
 * Suspends: no.
 * Returns:  0, -EPERM, -EBADF (no such scope), -ENOMEM. */
#define rn_sem_open(scope, units, ret) rn_sem_open_at(RN_SITE(), scope, units, ret)
RN_API int rn_sem_open_at(const struct rn_site *site, struct rn_scope scope, uint32_t units, struct rn_sem *ret_sem);

/* Close before its scope ends. Who waits gets -EBADF.
 * Suspends: no.
 * Returns:  0, -EPERM, -EBADF. */
RN_API int rn_sem_close(struct rn_sem sem);

/* Take units, all at once; a deadline of 0 only tries, and is no cancellation point and lets nobody else run.
 * Suspends: until so many are free and those who came before have theirs, or `deadline` passes.
 * Returns:  0, -ETIMEDOUT, -ECANCELED, -EINVAL (no units), -EBADF (closed, also meanwhile), -EPERM. */
#define rn_sem_take(sem, units, deadline) rn_sem_take_at(RN_SITE(), sem, units, deadline)
RN_API int rn_sem_take_at(const struct rn_site *site, struct rn_sem sem, uint32_t units, rn_time deadline);

/* Give units, back or for the first time.
 * Suspends: no.
 * Returns:  0, -EOVERFLOW (more than 2^32 - 1 would be free), -EBADF, -EPERM. */
RN_API int rn_sem_give(struct rn_sem sem, uint32_t units);
