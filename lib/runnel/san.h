/* What the sanitizers must be told.
 *
 * ASan learns of every switch of stacks. TSan sees each task as a fiber and is switched with the
 * no-sync flag, so that two tasks of one worker race like two threads would. The price: the
 * scheduler's own data would race too. Its files are therefore compiled without TSan's
 * instrumentation (RN__TSAN is set for them by the build), and the edges that a program may rely on
 * are announced here by hand: spawn, wake-up, end of a task, inbox, blocking job, lock, callback.
 */
#pragma once

#include <stddef.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define RN__ASAN 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) && !defined(RN__ASAN)
#define RN__ASAN 1
#endif

#ifdef RN__ASAN
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#include <sanitizer/lsan_interface.h>
#endif

#ifdef RN__TSAN
#include <sanitizer/tsan_interface.h>
#endif

static inline void rn__san_acquire(void *addr)
{
#ifdef RN__TSAN
    __tsan_acquire(addr);
#else
    (void)addr;
#endif
}

static inline void rn__san_release(void *addr)
{
#ifdef RN__TSAN
    __tsan_release(addr);
#else
    (void)addr;
#endif
}

/* The stack behind an executing context: a task's, or the thread's own under a worker. */
struct rn__san_stack {
    const void *bottom;
    size_t size;
    void *fake;  /* ASan's */
    void *fiber; /* TSan's */
};

/* Immediately before a switch from `from` to `to`; `last`: `from` never runs again. */
static inline __attribute__((always_inline)) void rn__san_leave(struct rn__san_stack *from,
                                                                struct rn__san_stack *to, int last)
{
    (void)from, (void)to, (void)last;
#ifdef RN__ASAN
    __sanitizer_start_switch_fiber(last ? NULL : &from->fake, to->bottom, to->size);
#endif
#ifdef RN__TSAN
    __tsan_switch_to_fiber(to->fiber, __tsan_switch_to_fiber_no_sync);
#endif
}

/* Immediately after arriving on `self`; `from`, when not NULL, learns the bounds of the stack that
 * was left. */
static inline __attribute__((always_inline)) void rn__san_arrive(struct rn__san_stack *self,
                                                                 struct rn__san_stack *from)
{
    (void)self, (void)from;
#ifdef RN__ASAN
    const void *bottom = NULL;
    size_t size = 0;

    __sanitizer_finish_switch_fiber(self->fake, &bottom, &size);
    if (from) {
        from->bottom = bottom;
        from->size = size;
    }
#endif
}

static inline void rn__san_stack_begin(struct rn__san_stack *s, const void *bottom, size_t size)
{
    s->bottom = bottom;
    s->size = size;
    s->fake = NULL;
    s->fiber = NULL;
#ifdef RN__ASAN
    __asan_unpoison_memory_region(bottom, size);
#endif
#ifdef RN__TSAN
    s->fiber = __tsan_create_fiber(0);
#endif
}

static inline void rn__san_stack_end(struct rn__san_stack *s)
{
#ifdef RN__TSAN
    __tsan_destroy_fiber(s->fiber);
#endif
    s->fiber = NULL;
}

static inline void rn__san_stack_thread(struct rn__san_stack *s)
{
    s->fake = NULL;
    s->fiber = NULL;
#ifdef RN__TSAN
    s->fiber = __tsan_get_current_fiber();
#endif
}

/* More live fibers than this and TSan's own tables are full. */
#ifdef RN__TSAN
enum { RN__SAN_TASKS_MAX = 7000 };
#else
enum { RN__SAN_TASKS_MAX = 1 << 30 };
#endif
