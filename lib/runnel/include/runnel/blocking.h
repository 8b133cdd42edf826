/* Code that blocks runs on a pool of threads, bounded per class, while the task waits.
 *
 * A class belongs to one user (the store, one exporter, dns): what one user's calls wait for never holds up another's.
 * With max_threads 1 the jobs of a class never overlap and run in the order in which they were given.
 */
#pragma once

#include <runnel/base.h>

struct rn_class;

/* 0, -EINVAL, -ENOMEM. From a task. The class belongs to the runtime; close waits for its jobs (Suspends). */
RN_API int  rn_class_open(const char *name, unsigned max_threads, struct rn_class **ret_class);
RN_API void rn_class_close(struct rn_class *c);
RN_API void rn_class_closep(struct rn_class **c);

/* Run fn(arg) on a thread of the class and wait for its end.
 *
 * Suspends: until fn returned. A cancelled caller whose job is still queued takes it back (-ECANCELED, fn never ran); a job
 * that has started is waited for, since `arg` may lie on the caller's stack.
 * Returns:  what fn returned, -ECANCELED, -ENOMEM.
 * Deep C libraries may be called: pool threads have stacks of 1 MiB.
 */
#define rn_blocking(c, fn, arg) rn_blocking_at(RN_SITE(), c, fn, arg)
RN_API int rn_blocking_at(const struct rn_site *site, struct rn_class *c, int (*fn)(void *arg), void *arg);

/* The same with a deadline: `arg` is heap-owned by the call, which frees it with free_fn in every case, unless it returned
 * what fn returned (then `arg` is the caller's again). -ETIMEDOUT or -ECANCELED leave the job to end by itself. */
#define rn_blocking_owned(c, fn, arg, free_fn, deadline) rn_blocking_owned_at(RN_SITE(), c, fn, arg, free_fn, deadline)
RN_API int rn_blocking_owned_at(const struct rn_site *site, struct rn_class *c, int (*fn)(void *arg), void *arg,
                                void (*free_fn)(void *arg), rn_time deadline);
