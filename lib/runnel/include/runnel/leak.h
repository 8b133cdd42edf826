/* Nothing leaks silently: what lives, who holds it, what can never wake.
 *
 * Dead is a proof: the least fix-point over ownership. Live are running and runnable tasks and those that wait for something from outside
 * (a descriptor, a timer, a deadline, a blocking job); and whoever waits on an object that a live or unknown holder can serve. The rest
 * can never wake. A candidate is confirmed by a second pass with unchanged epochs, so there is no false alarm, but for two things that nobody can see: a
 * stranger that remembers the bare number of a dead task's end-point may still rn_tx_dup() it, and one that remembers that of an empty scope may still
 * rn_go() a task into it which serves what the scope owns. A cancel doesn't count as help.
 *
 * Suspect is a hint: tasks that wait without a deadline on end-points whose peers' holders have not used theirs since the wait
 * began, or on a mutex, semaphore, wait group, once or one-shot which nobody has let go of since then or for rn_options.leak_age, if at
 * least 100 wait so at one place (wait site and spawn site), or one has for longer than rn_options.leak_age. A wait that is idle by
 * design says so at its site (RN_WAIT_IDLE) and is never meant.
 *
 * Unless said otherwise:
 * Suspends: no.
 * Owner:    of the runtime, its rn_run(): the caller sees to it that it lives; texts last as long as the process.
 * From:     anywhere. */
#pragma once

#include <stdio.h>

#include <runnel/base.h>
#include <runnel/runtime.h>

enum rn_task_state { RN_TASK_FREE, RN_TASK_RUNNING, RN_TASK_RUNNABLE, RN_TASK_PARKED };
enum rn_wait_kind {
    RN_WAIT_NONE, RN_WAIT_CHAN_SEND, RN_WAIT_CHAN_RECV, RN_WAIT_SELECT, RN_WAIT_SLEEP, RN_WAIT_FD_READ, RN_WAIT_FD_WRITE,
    RN_WAIT_SCOPE, RN_WAIT_MUTEX, RN_WAIT_SEM, RN_WAIT_GROUP, RN_WAIT_ONCE, RN_WAIT_ONESHOT, RN_WAIT_BLOCKING
};

struct rn_task_info {
    uint32_t              id;
    const char           *name;
    enum rn_task_state    state;
    enum rn_wait_kind     wait;
    const struct rn_site *born;      /* where it was started */
    const struct rn_site *wait_site; /* where it waits, or NULL */
    rn_time               wait_ns;   /* for how long, coarse */
    bool                  dead;      /* the verdicts of the last leak check */
    bool                  suspect;
    uint32_t              chan; /* number of the channel that it waits on, from 1; 0: none, or a select on several */
    int                   fd;   /* number of the descriptor that it waits for, or -1 */
};

/* Call fn for each task of `rt`, without stopping anything: each record is consistent in itself. Stops when fn
 * returns false. */
RN_API void        rn_tasks_each(const struct rn_runtime *rt, bool (*fn)(void *arg, const struct rn_task_info *info), void *arg);

/* Returns: Go's word for it: "chan send", "select", "IO wait", ... */
RN_API const char *rn_wait_name(enum rn_wait_kind wait);

/* Count the dead of `rt` (the suspects are in rn_stats()) and write one line for each group of either to `out` (may be NULL).
 * Only other checks are waited for.
 * Returns: their number, -ENOMEM, -EBUSY (another check takes too long). */
RN_API int rn_leak_check(struct rn_runtime *rt, FILE *out);
/* The same by the runtime's policy, for whoever looks every few seconds: a group is told once, on stderr, in the life of the
 * runtime (warn), the first dead one aborts (abort), nothing is said (ignore).
 * Returns: as rn_leak_check(). */
RN_API int rn_leak_watch(struct rn_runtime *rt);
