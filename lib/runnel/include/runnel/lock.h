/* A short lock for plain data that several workers touch: a few dozen instructions, never held over anything that suspends, blocks
 * or calls back. Tasks and callbacks may take it. (Between tasks that may wait, use a channel.) With one worker and no second
 * thread it costs a plain store. */
#pragma once

#include <stdatomic.h>

#include <runnel/base.h>

struct rn_lock {
    _Atomic uint32_t word;
};

RN_API void rn_lock_acquire(struct rn_lock *lock);
RN_API void rn_lock_release(struct rn_lock *lock);
/* Aborts in debug builds when the calling thread does not hold it. */
RN_API void rn_lock_assert_held(const struct rn_lock *lock);
