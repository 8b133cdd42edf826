/* A scheduler in a hundred lines, for tests that link the files they test and nothing else of
 * runnel: a task is a thread, a park waits on its semaphore, a claim is the CAS on its word. So
 * every interleaving that several workers can bring about happens, and more, under a race detector.
 * To be included by the one file of such a test.
 */
#pragma once

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <stdlib.h>
#include <time.h>

#include <runnel/lock.h>

#include "internal.h"

enum { THREADS_MAX = 32 };

static struct {
    _Atomic uint64_t word;  /* epoch << 16 | winner */
    _Atomic uint32_t woken; /* for race detectors that don't know sem_clockwait() */
    sem_t wake;
} threads[THREADS_MAX];
static _Thread_local uint32_t self_id;
static _Thread_local uint64_t self_random;

uint64_t rn__owner_self(void)
{
    return rn__owner(RN__OWNER_TASK, self_id, 1);
}
bool rn__cancelled(void)
{
    return false;
}
void rn__budget(void)
{
}
uint32_t rn_task_id(void)
{
    return self_id;
}
uint32_t rn__random(uint32_t n)
{
    self_random = self_random * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(self_random >> 33) % n;
}
rn_time rn_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * RN_S + t.tv_nsec;
}
void *rn__reserve(size_t size)
{
    return calloc(1, size);
}
void rn__unreserve(void *p, size_t size)
{
    (void)size;
    free(p);
}

void rn_lock_acquire(struct rn_lock *lock)
{
    for (uint32_t free_word = 0; !atomic_compare_exchange_weak_explicit(
             &lock->word, &free_word, 1, memory_order_acquire, memory_order_relaxed);
         free_word = 0)
        sched_yield();
}
void rn_lock_release(struct rn_lock *lock)
{
    atomic_store_explicit(&lock->word, 0, memory_order_release);
}

struct rn__key rn__wait_begin(void)
{
    uint64_t epoch = (atomic_load(&threads[self_id].word) >> 16) + 1;
    atomic_store(&threads[self_id].word, epoch << 16 | RN__WIN_OPEN);
    return (struct rn__key){self_id, epoch};
}
bool rn__open(struct rn__key key)
{
    return atomic_load(&threads[key.id].word) == (key.epoch << 16 | RN__WIN_OPEN);
}
bool rn__claim(struct rn__key key, unsigned winner)
{
    uint64_t open = key.epoch << 16 | RN__WIN_OPEN;
    return atomic_compare_exchange_strong(&threads[key.id].word, &open, key.epoch << 16 | winner);
}
void rn__ready(uint32_t id)
{
    atomic_fetch_add(&threads[id].woken, 1);
    sem_post(&threads[id].wake);
}

unsigned rn__park(const struct rn__wait *what, rn_time deadline, bool uncancellable)
{
    struct rn__key key = {self_id, atomic_load(&threads[self_id].word) >> 16};
    const struct timespec until = {deadline / RN_S, deadline % RN_S};
    int r = 0;

    (void)what, (void)uncancellable;
    if (deadline != RN_FOREVER) {
        while ((r = sem_clockwait(&threads[self_id].wake, CLOCK_MONOTONIC, &until)) < 0 &&
               errno == EINTR)
            ;
        if (r < 0 && rn__claim(key, RN__WIN_TIMER))
            return RN__WIN_TIMER;
    }
    if (deadline == RN_FOREVER || r < 0) {
        while (sem_wait(&threads[self_id].wake) < 0)
            ;
    }
    (void)atomic_load(&threads[self_id].woken);
    return (unsigned)(atomic_load(&threads[self_id].word) & 0xffff);
}
