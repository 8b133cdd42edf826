/* The wall's clock, for what people and files are told; what waits counts on the clock of deadlines. */
#pragma once

#include <stdint.h>
#include <time.h>

/* Milliseconds since the epoch. From any thread. */
static inline int64_t wall_ms(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}
