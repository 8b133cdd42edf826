/* Counters of the process: what happens rarely enough for one shared atomic each. */
#include "internal.h"

#include <rnet/stats.h>

static _Atomic uint64_t counters[RNET_COUNTER_MAX];
static _Atomic uint64_t reasons[RNET_REASON_MAX];

uint64_t rnet_counter(enum rnet_counter counter)
{
    return (unsigned)counter < RNET_COUNTER_MAX
               ? atomic_load_explicit(&counters[counter], memory_order_relaxed)
               : 0;
}

void rnet_count(enum rnet_counter counter)
{
    atomic_fetch_add_explicit(&counters[counter], 1, memory_order_relaxed);
}

const char *rnet_counter_name(enum rnet_counter counter)
{
    static const char *const names[] = {
#define X(name, text) text,
#include <rnet/counters.tbl>
#undef X
    };
    return (unsigned)counter < RNET_COUNTER_MAX ? names[counter] : "unknown";
}

uint64_t rnet_reason_count(enum rnet_reason reason)
{
    return (unsigned)reason < RNET_REASON_MAX
               ? atomic_load_explicit(&reasons[reason], memory_order_relaxed)
               : 0;
}

void rnet__reason_count(enum rnet_reason reason)
{
    rnet_count(RNET_COUNTER_CONNS_CLOSED);
    atomic_fetch_add_explicit(&reasons[reason], 1, memory_order_relaxed);
}

const char *rnet_reason_name(enum rnet_reason reason)
{
    static const char *const names[] = {
#define X(name, text) text,
#include <rnet/close_reasons.tbl>
#undef X
    };
    return (unsigned)reason < RNET_REASON_MAX ? names[reason] : "unknown";
}
