/* Code that blocks runs on a pool of threads, bounded per class, while the task waits.
 *
 * A class belongs to one user (the store, one exporter, dns): what one user's calls wait for never holds up another's.
 * With max_threads 1 the jobs of a class never overlap and run in the order in which they were given.
 *
 * Unless said otherwise:
 * Owner: of a class, whoever opened it; one that is never closed goes with the runtime.
 * From:  a task of the runtime in which the class was opened.
 */
#pragma once

#include <runnel/base.h>

struct rn_class;

/* Open a class.
 * Suspends: no.
 * Returns:  0, -EINVAL (0 or more than 256 threads, or no runtime), -ENOMEM.
 * From:     a task or a callback. */
RN_API int rn_class_open(const char *name, unsigned max_threads, struct rn_class **ret_class);

/* Close one; a call with it that comes meanwhile is -EINVAL, one that comes later is a use after free.
 * Suspends: until its jobs have ended, abandoned ones too; not a cancellation point. */
RN_API void rn_class_close(struct rn_class *c);
RN_API void rn_class_closep(struct rn_class **c);

/* Run fn(arg) on a thread of the class and wait for its end.
 *
 * Suspends: until fn returned. A cancelled caller whose job is still queued takes it back (-ECANCELED, fn never ran); a job
 * that has started is waited for, since `arg` may lie on the caller's stack.
 * Returns:  what fn returned, -ECANCELED, -ENOMEM, -EPERM (no task), -EINVAL (the class is being closed).
 * Owner:    `arg` stays the caller's.
 * fn runs on a plain thread: it may take a rn_lock and post to a loop, but use no task, channel or descriptor of the runtime.
 * Deep C libraries may be called: pool threads have stacks of 1 MiB.
 */
#define rn_blocking(c, fn, arg) rn_blocking_at(RN_SITE(), c, fn, arg)
RN_API int rn_blocking_at(const struct rn_site *site, struct rn_class *c, int (*fn)(void *arg), void *arg);

/* The same with a deadline, for an `arg` on the heap. The call takes `arg` over:
 *
 *   fn ran to its end while we waited  ->  what fn returned; `arg` is the caller's again, with what fn left in it
 *   anything else                      ->  an error of the call itself; free_fn(arg) was called, or will be once the job has
 *                                          ended, on a thread of the pool: the caller must not look at `arg` any more
 *
 * The two must be told apart by the result alone, so fn must not return an error of the call itself: let it return >= 0 and
 * put its own outcome into `arg`.
 * Suspends: until fn returned, the deadline passed or the caller is cancelled; a job that has begun ends by itself then.
 * Returns:  what fn returned, -ETIMEDOUT, -ECANCELED, -ENOMEM, -EPERM (no task), -EINVAL (the class is being closed). */
#define rn_blocking_owned(c, fn, arg, free_fn, deadline) rn_blocking_owned_at(RN_SITE(), c, fn, arg, free_fn, deadline)
RN_API int rn_blocking_owned_at(const struct rn_site *site, struct rn_class *c, int (*fn)(void *arg), void *arg,
                                void (*free_fn)(void *arg), rn_time deadline);
