/* Memory for decoded messages: an arena per message, a budget per server.
 *
 * The generated decoder allocates as it likes; here it does so inside an arena that is freed as a
 * whole and that refuses to grow past its cap (FT_DECODE_FACTOR x message_max). All arenas of a
 * server draw on one budget, so that many large messages at once cannot take the machine. Who
 * refused decides what the peer is told:
 *
 *     -E2BIG     the message's own cap: the message is at fault, BadRequest
 *     -EAGAIN    the server's budget:   try again later, Unavailable
 *     -ENOMEM    malloc:                likewise
 */
#pragma once

#include <stdatomic.h>

#include <protobuf-c/protobuf-c.h>

#include <runnel/slice.h>

#include <proto/limits.h>

/* Any thread. Zero `max` admits nothing. */
struct ft_budget {
    size_t           max;      /* set once */
    _Atomic size_t   used;     /* never over max */
    _Atomic uint64_t refusals; /* for the metric */
};

#define FT_BUDGET_INIT(maximum) {.max = (maximum)}

/* Returns: 0 or -EAGAIN; what was taken is given back in full. */
int  ft_budget_take(struct ft_budget *b, size_t n);
void ft_budget_give(struct ft_budget *b, size_t n);

struct ft_arena_chunk;

/* One owner at a time. All zero is empty and fini-able. May be moved (copied and forgotten). */
struct ft_arena {
    struct ft_arena_chunk *chunks; /* newest first */
    size_t                 used;   /* bytes of all chunks, their heads included */
    size_t                 max;
    struct ft_budget      *budget; /* borrowed; NULL: no shared cap */
    int                    err;    /* the first refusal */
};

void ft_arena_init(struct ft_arena *a, size_t max, struct ft_budget *budget);

/* Frees everything that came from it and gives the bytes back to the budget. */
void ft_arena_fini(struct ft_arena *a);

/* Aligned for any type. NULL when refused; a->err says why. n = 0 gives a valid pointer. */
void *ft_arena_alloc(struct ft_arena *a, size_t n);

/* An allocator for the generated decoder. It points at `a`, which must not move while it is used;
 * its free does nothing. */
ProtobufCAllocator ft_arena_allocator(struct ft_arena *a);
