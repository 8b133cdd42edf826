/* The agent is a monitor: one lock, held by the task that runs, let go wherever a task waits.
 *
 * All tasks run on one worker, so it is never contended: it costs a store. But it says where one
 * task may have changed what another looked at, and ThreadSanitizer, which is taught to distrust
 * tasks that merely share a worker, checks it.
 *
 * Every task of the agent enters first and leaves last; every call that suspends goes through
 * FT_OUTSIDE. Jobs on the pool are outside, and touch only what their caller leaves alone
 * meanwhile.
 */
#pragma once

#include <runnel/lock.h>

struct ft_monitor {
    struct rn_lock lock;
};

static inline void ft_enter(struct ft_monitor *m)
{
    rn_lock_acquire(&m->lock);
}

static inline void ft_leave(struct ft_monitor *m)
{
    rn_lock_release(&m->lock);
}

/* The value of a call that suspends, made outside. */
#define FT_OUTSIDE(m, call)                                                                        \
    __extension__({                                                                                \
        struct ft_monitor *outside_of_ = (m);                                                      \
        ft_leave(outside_of_);                                                                     \
        __typeof__(call) outside_value_ = (call);                                                  \
        ft_enter(outside_of_);                                                                     \
        outside_value_;                                                                            \
    })
/* The value of an expression, looked at inside, for who isn't. */
#define FT_INSIDE(m, expr)                                                                         \
    __extension__({                                                                                \
        struct ft_monitor *inside_of_ = (m);                                                       \
        ft_enter(inside_of_);                                                                      \
        __typeof__(expr) inside_value_ = (expr);                                                   \
        ft_leave(inside_of_);                                                                      \
        inside_value_;                                                                             \
    })
