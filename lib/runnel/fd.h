/* The word of a descriptor's record, for fd.c (life) and fd_io.c (use). */
#pragma once

#include "core.h"

#define RN__FD_CLOSING UINT32_C(0x80000000)
#define RN__FD_READER UINT32_C(0x40000000)
#define RN__FD_WRITER UINT32_C(0x20000000)
#define RN__FD_REFS UINT32_C(0x000fffff)

static inline uint64_t rn__fd_word(uint32_t gen, uint32_t low)
{
    return (uint64_t)gen << 32 | low;
}
static inline uint32_t rn__fd_gen(uint64_t word)
{
    return (uint32_t)(word >> 32);
}

struct rn__fd *rn__fd_get(struct rn_runtime *rt, struct rn_fd h);
/* Tell epoll what RN__FD_OUT says. */
int rn__fd_events_set(struct rn_runtime *rt, struct rn__fd *f, int op);
/* Who waits in a direction; id 0: nobody. */
void rn__fd_waiter_set(struct rn__fd *f, unsigned dir, struct rn__key key);
/* The last user of a closing record has left. */
void rn__fd_last_out(struct rn_runtime *rt, struct rn__fd *f);
