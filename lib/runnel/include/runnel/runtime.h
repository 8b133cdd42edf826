/* A runtime: workers, their loops, and everything that lives in them.
 *
 *     static int app(void *arg) { ...; return 0; }
 *     int main(void) { return rn_run(NULL, app, NULL) < 0; }
 *
 * Several runtimes can live in one process, each started by rn_run() on a thread of its own.
 *
 * Unless said otherwise:
 * Suspends: no.
 * Owner:    of a runtime, its rn_run(): it lives until that returns.
 * From:     anywhere.
 */
#pragma once

#include <runnel/base.h>

struct rn_runtime;

enum rn_leak_policy { RN_LEAKS_WARN, RN_LEAKS_IGNORE, RN_LEAKS_ABORT };

struct rn_options {
    const char         *name;     /* for dumps and logs; NULL: "main" */
    unsigned            workers;  /* 0: 1 (see docs/decisions) */
    enum rn_leak_policy leaks;    /* what to do about tasks that can never wake */
    rn_time             leak_age; /* a wait that nobody serves is suspect after this time; 0: 10 min */
    bool                sim;      /* deterministic: every choice from `seed`, a virtual clock from 0 */
    uint64_t            seed;
};

/* Run `main_fn` as the first task, in the root scope, on the calling thread, which becomes worker 0.
 *
 * Suspends: not a task call; returns when main_fn and every task in the root scope have ended.
 * Returns:  what main_fn returned; -ENOMEM, -EINVAL, -EMFILE... when the runtime could not start.
 * From:     a plain thread that is not a worker.
 */
RN_API int rn_run(const struct rn_options *options, int (*main_fn)(void *arg), void *arg);

/* Returns: the runtime of the calling task or callback; NULL on a plain thread. */
RN_API struct rn_runtime *rn_runtime_self(void);

/* Returns: as in its options. */
RN_API const char *rn_runtime_name(const struct rn_runtime *rt);

/* Numbers of a runtime. */
struct rn_stats {
    uint64_t tasks_running, tasks_runnable, tasks_parked;
    uint64_t tasks_started, tasks_leaked, tasks_suspect;
    uint64_t endpoints, endpoints_unowned, channels, scopes, fds, timers;
    uint64_t parks_chan, parks_select, parks_sleep, parks_fd, parks_scope, parks_sync, parks_blocking;
    uint64_t worker_stalls, stale_events, listeners_paused;
    uint64_t blocking_threads, blocking_queued;
    uint64_t stack_bytes; /* of stacks mapped to tasks, touched or not */
};
/* Read them without a lock: each is a snapshot of its own. */
RN_API void rn_stats(const struct rn_runtime *rt, struct rn_stats *ret_stats);
