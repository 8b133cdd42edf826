/* The short lock: 0 free, 1 held, 2 held and somebody sleeps.
 *
 * The public lock is always atomic (an uncontended pair costs about 10 ns), because a blocking job
 * or a plain thread may take it without the runtime hearing of it. The scheduler's own locks are
 * plain as long as `shared` is false.
 */
#include "core.h"

enum { FREE, HELD, CONTENDED, SPINS = 100 };

static void pause_cpu(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static void acquire_slow(struct rn_lock *lock)
{
    for (unsigned i = 0; i < SPINS; i++) {
        uint32_t free_word = FREE;

        if (atomic_load_explicit(&lock->word, memory_order_relaxed) == FREE &&
            atomic_compare_exchange_strong_explicit(&lock->word, &free_word, HELD,
                                                    memory_order_acquire, memory_order_relaxed))
            return;
        pause_cpu();
    }
    while (atomic_exchange_explicit(&lock->word, CONTENDED, memory_order_acquire) != FREE)
        (void)rn__sys_futex_wait(&lock->word, CONTENDED);
}

static void acquire_shared(struct rn_lock *lock)
{
    uint32_t free_word = FREE;

    if (!atomic_compare_exchange_strong_explicit(&lock->word, &free_word, HELD,
                                                 memory_order_acquire, memory_order_relaxed))
        acquire_slow(lock);
}

static void release_shared(struct rn_lock *lock)
{
    if (atomic_exchange_explicit(&lock->word, FREE, memory_order_release) == CONTENDED)
        (void)rn__sys_futex_wake(&lock->word, 1);
}

void rn_lock_acquire(struct rn_lock *lock)
{
    acquire_shared(lock);
    rn__san_acquire(lock);
}

void rn_lock_release(struct rn_lock *lock)
{
    rn__san_release(lock);
    release_shared(lock);
}

void rn_lock_assert_held(const struct rn_lock *lock)
{
    rn_assert(atomic_load_explicit(&lock->word, memory_order_relaxed) != FREE);
}

void rn__lock(struct rn_runtime *rt, struct rn_lock *lock)
{
    if (atomic_load_explicit(&rt->shared, memory_order_relaxed)) {
        acquire_shared(lock);
        return;
    }
    rn_assert(atomic_load_explicit(&lock->word, memory_order_relaxed) ==
              FREE); /* else it would wait for itself */
    atomic_store_explicit(&lock->word, HELD, memory_order_relaxed);
}

void rn__unlock(struct rn_runtime *rt, struct rn_lock *lock)
{
    if (atomic_load_explicit(&rt->shared, memory_order_relaxed))
        release_shared(lock);
    else
        atomic_store_explicit(&lock->word, FREE, memory_order_relaxed);
}
