/* Numbers of rnet, for the whole process, from any thread and without a lock. */
#pragma once

#include <runnel/base.h>

enum rnet_counter {
#define X(name, text) RNET_COUNTER_##name,
#include <rnet/counters.tbl>
#undef X
    RNET_COUNTER_MAX
};

RN_API uint64_t    rnet_counter(enum rnet_counter counter);
RN_API const char *rnet_counter_name(enum rnet_counter counter);
/* For protocol writers. */
RN_API void rnet_count(enum rnet_counter counter);
