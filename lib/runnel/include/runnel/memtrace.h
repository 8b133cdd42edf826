/* Pools of memory that say how they change: what gctrace is for those who have a collector.
 *
 *     RN_DEBUG=memtrace=1 fettled
 *     memtrace @1.204s main: stacks 64K: +61 -0, 61 mapped, 60 in use, 1 warm, 3840 KiB in use
 *
 * One line on stderr per pool and turn in which it grew or was trimmed, so a burst is one line. Costs a
 * load per change while it is off.
 *
 * With RN_DEBUG=trim=1 the pools keep nothing warm: a stack loses its pages and a buffer is freed
 * whenever it is given back. Whoever still used one of them would not get away with it.
 *
 * Unless said otherwise:
 * Suspends: no.
 * Owner:    the pool, whose memory the record lies in.
 * From:     the thread of the pool's loop; elsewhere nothing is traced.
 */
#pragma once

#include <runnel/loop.h>

/* Embedded in the pool, of one loop. `describe` writes what it holds now; both set once. */
struct rn_memtrace {
    struct rn_defer defer;
    const char     *name;
    void          (*describe)(struct rn_memtrace *trace, char *buf, size_t n);
    uint64_t        grown, trimmed; /* items since the last line */
};

/* Items came from the system, or went back to it. */
RN_API void rn_memtrace_grown(struct rn_memtrace *trace, uint64_t n);
RN_API void rn_memtrace_trimmed(struct rn_memtrace *trace, uint64_t n);

/* RN_DEBUG=trim=1: does a pool have to give back at once what it could keep?
 * Returns: so or not.
 * From:    anywhere. */
RN_API bool rn_memtrace_trims(void);
