/* A short lock for plain data that several workers touch: a few dozen instructions, never held over anything that suspends, blocks
 * or calls back. (Between tasks that may wait, use a
 * channel.) Uncontended it costs one atomic exchange each way. Zero-initialised
 * is free.
 *
 * Unless said otherwise:
 * Suspends: no; the thread spins, then sleeps, until it is free.
 * Owner:    the caller's memory, with nothing to close.
 * From:     anywhere: task, callback, blocking job, plain thread. */
#pragma once

#ifndef __cplusplus
#include <stdatomic.h>
#endif

#include <runnel/base.h>

struct rn_lock {
#ifdef __cplusplus
    uint32_t word; /* only the library touches it */
#else
    _Atomic uint32_t word;
#endif
};

RN_API void rn_lock_acquire(struct rn_lock *lock);
RN_API void rn_lock_release(struct rn_lock *lock);
/* Aborts in debug builds when the calling thread does not hold it. */
RN_API void rn_lock_assert_held(const struct rn_lock *lock);
