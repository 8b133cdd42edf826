/* The benchmark of the runtime: a work is a function that does something `n` times, and checks that
 * it was done.
 *
 * bench/peers/goroutines does the same works in Go; bench/runnel.py runs both and compares. What a
 * work adds up must come out the same in both programs. */
#pragma once

#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <runnel/runnel.h>

/* A benchmark that did not do its work has no result. */
#define CHECK(expr)                                                                                \
    do {                                                                                           \
        if (!(expr)) {                                                                             \
            fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #expr);                     \
            _exit(1);                                                                              \
        }                                                                                          \
    } while (0)

struct run {
    uint64_t n;
    uint64_t sum;   /* of what was received, counted or computed */
    double measure; /* of works that don't measure their time as a whole; else < 0 */
};

/* Works are called in the first task of a runtime. */
void work_yield(struct run *run);
void work_ping_pong(struct run *run);
void work_buffered(struct run *run);
void work_pipe(struct run *run);
void work_four_by_four(struct run *run);
void work_select(struct run *run);
void work_default_one(struct run *run);
void work_default_two(struct run *run);
void work_try(struct run *run);
void work_spawn(struct run *run);
void work_spawn_batch(struct run *run);
void work_sieve(struct run *run);
void work_fib(struct run *run);
void work_skynet(struct run *run);
void work_timer(struct run *run);
void work_parked(struct run *run);
void work_wake(struct run *run);
void work_wake_bare(struct run *run);

static inline int64_t clock_of(clockid_t clock)
{
    struct timespec t;

    clock_gettime(clock, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static inline int64_t clock_ns(void)
{
    return clock_of(CLOCK_MONOTONIC);
}
