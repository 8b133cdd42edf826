/* The scheduler's own records: runtime, worker, loop, task, scope, descriptor. Channels see
 * internal.h only.
 *
 * Memory of tasks, state words, scopes and descriptors lies in reservations that last as long as
 * the runtime, so an index is always safe to follow and a generation or an epoch decides whether it
 * still means the same.
 *
 * One worker runs today; nothing here knows that. What another worker would share has its lock or
 * atomic, and `shared` says whether they have to be used.
 */
#pragma once

#include <pthread.h>
#include <stdatomic.h>
#include <sys/epoll.h>

#include <runnel/memtrace.h>
#include <runnel/runnel.h>

#include <base/assert.h>
#include <base/cleanup.h>
#include <base/list.h>

#include "internal.h"
#include "san.h"

enum {
    RN__RUNTIMES_MAX = 16,
    RN__TASKS_MAX = 1 << 21,
    RN__SCOPES_MAX = 1 << 20,
    RN__FDS_MAX = 1 << 20,
    RN__RING_SIZE = 256,
    RN__BUDGET = 128,     /* operations of one task turn */
    RN__TURN_TASKS = 61,  /* task turns between two looks at timers, inbox and epoll */
    RN__LIFO_MAX = 3,     /* runs of the LIFO slot in a row */
    RN__EVENTS_MAX = 128, /* of one epoll_wait */
    RN__SHIELDS_MAX = 8,
    RN__STACK_CLASSES = 4,
    RN__WHEEL_LEVELS = 11, /* of 64 slots each: 66 bits */
    RN__SLOT_BITS = 28,
};
#define RN__SLOT_MASK ((UINT32_C(1) << RN__SLOT_BITS) - 1)
#define RN__EPOCH_MASK ((UINT64_C(1) << 48) - 1)

struct rn__task;

/* RN_TASK_FREE to RN_TASK_PARKED, and this: made ready before its park was committed. */
enum { RN__TASK_READIED = RN_TASK_PARKED + 1 };

static inline uint64_t rn__word(unsigned state, unsigned winner, uint64_t epoch)
{
    return (uint64_t)state << 60 | (uint64_t)winner << 48 | (epoch & RN__EPOCH_MASK);
}
static inline unsigned rn__word_state(uint64_t w)
{
    return (unsigned)(w >> 60);
}
static inline unsigned rn__word_winner(uint64_t w)
{
    return (unsigned)(w >> 48) & 0xfff;
}
static inline uint64_t rn__word_epoch(uint64_t w)
{
    return w & RN__EPOCH_MASK;
}

/* Where the word of a task lies: neighbours by id are eight words, a cache line, apart. */
static inline uint32_t rn__word_index(uint32_t id)
{
    return (id & ~UINT32_C(63)) | (id & 7) << 3 | (id >> 3 & 7);
}
/* On the scheduler's stack, after the task has left it: PARKED, or runnable at once. */
void rn__park_commit(struct rn__task *t);

/* ---- time.c ---------------------------------------------------------------------------------- */

struct rn__wheel {
    uint64_t now;                        /* the tick up to which everything has fired */
    unsigned shift;                      /* a tick is 2^shift ns: 65 us, in `sim` 1 ns */
    _Atomic uint64_t armed;              /* written by the owner only */
    uint64_t occupied[RN__WHEEL_LEVELS]; /* bit set: the slot may have timers */
    struct rn_timer *slots[RN__WHEEL_LEVELS][64];
    struct rn_timer *due; /* armed for a tick that has passed */
};

void rn__wheel_init(struct rn__wheel *w, bool exact, rn_time now);
void rn__wheel_arm(struct rn__wheel *w, struct rn_timer *timer, rn_time when,
                   void (*fn)(struct rn_timer *timer));
void rn__wheel_disarm(struct rn__wheel *w, struct rn_timer *timer);
/* The time at which the wheel has to be looked at again; RN_FOREVER when nothing is armed. */
rn_time rn__wheel_next(struct rn__wheel *w);
/* Run what is due at `now`. */
void rn__wheel_advance(struct rn__wheel *w, rn_time now);

/* ---- stack.c --------------------------------------------------------------------------------- */

struct rn__stack {
    char *bottom; /* of what may be used: above the guard */
    char *top;
    uint32_t index;
    uint8_t class;
};

struct rn__slab {
    char *base;
    size_t stack_size;         /* with its guard page */
    uint32_t count_max, count; /* stacks that exist, and that were ever used */
    uint32_t *hot, *cold;      /* free stacks, last in first out: with their pages, without */
    uint32_t n_hot, n_cold;
    struct rn_memtrace trace;
};

struct rn__stacks {
    struct rn__slab slabs[RN__STACK_CLASSES];
    bool madvise_guards;
    uint32_t mprotect_guards, mprotect_guards_max;
    _Atomic uint64_t bytes; /* of stacks that have a task */
};

int rn__stacks_open(struct rn__stacks *s);
void rn__stacks_close(struct rn__stacks *s);
/* 0, -ENOMEM. The guard below is proved to be in place. */
int rn__stack_take(struct rn__stacks *s, enum rn_stack_class class, struct rn__stack *ret_stack);
void rn__stack_give(struct rn__stacks *s, const struct rn__stack *stack);
/* Does `addr` lie in a guard page? Then the usable top of its stack. Async-signal-safe. */
bool rn__stacks_guard_hit(const struct rn__stacks *s, const void *addr, char **ret_top,
                          size_t *ret_size, uint32_t *ret_index);
size_t rn__page_size(void);

/* overflow.c: the process-wide owner of SIGSEGV and SIGBUS while a runtime lives. */
int rn__overflow_begin(void);
void rn__overflow_end(void);
int rn__overflow_thread_begin(void **ret_altstack);
void rn__overflow_thread_end(void *altstack);

/* ---- task.c ---------------------------------------------------------------------------------- */

struct rn__scope;
struct rn__worker;

/* Lies at the top of the task's own stack, moved down by its colour. */
struct rn__task {
    RN_MAGIC; /* RN__TASK_MAGIC */

    /* set once when it is born */
    uint32_t id;
    uint32_t gen; /* of the id: epoch at birth, 28 bits */
    bool pinned;
    _Atomic bool cancelled; /* alone: rn_task_cancel(); any thread, set once */
    struct rn__stack stack;
    const char *name;
    const struct rn_site *born;
    struct rn__scope *scope;
    int (*fn)(void *arg);
    void *arg;

    /* its worker: running, or holding it in a queue */
    void *sp;
    struct rn__task *next;
    struct rn__worker *home;
    struct rn__san_stack san;
    struct rn_post wake; /* its place in an inbox */
    int result;

    /* the task itself */
    struct list opened; /* scopes to close when it ends */
    struct rn__local *locals;
    uint32_t fds;       /* first record that it owns, + 1 */
    uint32_t n_mutexes; /* that it holds */
    unsigned n_shields;
    rn_time shields[RN__SHIELDS_MAX];

    /* a wait: written before the park is committed, by the winner's side only after the claim */
    struct rn__wait wait;
    rn_time deadline;
    rn_time since;
    bool uncancellable;
    struct rn_timer timer;

    /* scope->rt->tree */
    struct list in_scope;
};
#define RN__TASK_MAGIC 0x7a5c0de1u

/* The stack begins below it, aligned. */
static inline struct rn__task *rn__task_below(char *top)
{
    return (void *)(top - ((sizeof(struct rn__task) + 15) & ~(size_t)15));
}

/* When the last of its shields ends; 0: none covers it now. */
rn_time rn__task_shielded_until(const struct rn__task *t);
bool rn__task_cancelled(const struct rn__task *t);
/* Wake a task whose flag, or whose scope's, was just set: unless it is shielded, or will look at
 * the flag itself. */
void rn__task_cancel_wait(struct rn_runtime *rt, struct rn__task *t);
void rn__task_finish(struct rn__task *t);
void rn__task_timer_fired(struct rn_timer *timer);
struct rn__task *rn__task_self(void);
struct rn__task *rn__task_at(const struct rn_runtime *rt, uint32_t id);
int rn__task_spawn(struct rn_runtime *rt, const struct rn_site *site, const char *name,
                   const struct rn_task_options *options, struct rn__scope *scope, uint32_t gen,
                   int (*fn)(void *arg), void *arg, const struct rn_end ends[], size_t n);
uint64_t rn__task_owner(const struct rn__task *t);

/* ---- scope.c --------------------------------------------------------------------------------- */

struct rn__scope {
    /* any thread */
    _Atomic uint32_t gen; /* odd while open */
    _Atomic bool cancelled;

    /* set once when it is opened */
    uint32_t slot; /* with the runtime's number */
    unsigned flags;
    struct rn_runtime *rt;
    struct rn__scope *parent;
    uint64_t opener;
    const struct rn_site *site;

    /* rt->tree */
    struct list children, in_parent, tasks, in_opener;
    uint32_t n_tasks;
    int error;      /* first negative result */
    int error_real; /* first that isn't -ECANCELED */
    struct rn__key waiter;
    bool has_waiter;
    bool timed;
    struct rn_timer timer;
    uint32_t next_free;

    /* rt->syncs' lock */
    uint32_t syncs; /* first record that was opened in it, + 1 */
};

int rn__scope_make(struct rn_runtime *rt, struct rn__scope *parent, uint64_t opener, unsigned flags,
                   const struct rn_site *site, struct rn__scope **ret_scope);
void rn__scope_free(struct rn__scope *s);
struct rn__scope *rn__scope_get(struct rn_scope s);
uint64_t rn__scope_word(const struct rn__scope *s);
void rn__scope_cancel(struct rn__scope *s);
/* 0, -EBADF (closed since `gen` was read), -ECANCELED. */
int rn__scope_join(struct rn__scope *s, uint32_t gen, struct rn__task *t);
void rn__scope_part(struct rn__scope *s, struct rn__task *t, int result);
void rn__scopes_close_opened(struct rn__task *t);

/* ---- sync.c, mutex.c ------------------------------------------------------------------------- */

struct rn__syncs;
int rn__syncs_open(struct rn__syncs **ret_syncs);
void rn__syncs_close(struct rn__syncs *all);
void rn__syncs_close_scope(struct rn__scope *scope);
/* What a task that ends still holds. */
void rn__mutexes_abandon(struct rn__task *t);

/* ---- local.c, signal.c ----------------------------------------------------------------------- */

void rn__locals_end(struct rn__task *t);
/* The process has one reader for each signal. 0, -EBUSY. */
int rn__signals_claim(uint64_t signals);
void rn__signals_yield(uint64_t signals);

/* ---- fd.c ------------------------------------------------------------------------------------ */

/* {gen:32 | closing:1 | reader:1 | writer:1 | unused:9 | refs:20}; see fd.c. */
struct rn__fd {
    _Atomic uint64_t word;
    int number;
    uint8_t kind;
    uint8_t flags;
    _Atomic uint8_t ready; /* RN_FD_READ, RN_FD_WRITE: an edge came that nobody has used up */
    uint8_t home;          /* index of the loop */
    uint64_t owner;
    const struct rn_site *site;
    rn_time since;
    union {
        struct {
            uint64_t epoch[2]; /* reader, writer */
            uint32_t id[2];    /* 0: nobody waits */
        } task;
        struct {
            rn_event_fn *fn;
            void *arg;
            uint32_t pending, next; /* ready list of the loop */
        } watch;
    };
    uint32_t next, prev; /* of the owner's list, + 1; `next` links free records */
};
_Static_assert(sizeof(struct rn__fd) <= 72, "a descriptor's record stays small");

enum rn__fd_flags {
    RN__FD_WATCH = 1,  /* events go to a callback */
    RN__FD_HUP = 2,    /* read to the end: the peer has closed */
    RN__FD_LAZY = 4,   /* AF_UNIX: OUT is registered only while somebody waits for it */
    RN__FD_OUT = 8,    /* ... and is now */
    RN__FD_QUEUED = 16 /* a watch in its loop's ready list */
};

void rn__fd_event(struct rn_loop *loop, uint64_t data, uint32_t events);
void rn__fds_close_list(struct rn_runtime *rt, uint32_t *head);
void rn__loop_ready_run(struct rn_loop *loop);

/* ---- sched.c, loop.c ------------------------------------------------------------------------- */

struct rn_loop {
    struct rn__worker *worker;
    uint32_t index;
    int epoll, wakefd;

    /* any thread */
    _Atomic(struct rn_post *) inbox;
    _Atomic bool asleep;
    _Atomic rn_time coarse;

    /* the loop's thread only */
    struct rn__wheel wheel;
    struct rn_defer *defers, **defers_tail;
    uint32_t ready, ready_last; /* watches with events, + 1 */
    uint32_t fds;               /* first record that the loop owns, + 1 */
    uint32_t registered;        /* descriptors in epoll, without the eventfd */
    bool pauses_due;
    bool in_callback;
    void *local; /* of the library above, and what takes it when the loop ends */
    void (*local_fini)(void *local);
    int n_events;
    struct epoll_event events[RN__EVENTS_MAX];
};

int rn__loop_open(struct rn_loop *loop, struct rn__worker *w);
void rn__loop_close(struct rn_loop *loop);
/* Due timers, inbox, events, callbacks. */
void rn__loop_inputs(struct rn_loop *loop);
void rn__loop_defers_run(struct rn_loop *loop);
/* Wait for events: not at all, or until the next timer. */
void rn__loop_poll(struct rn_loop *loop, bool may_sleep);
bool rn__loop_busy(const struct rn_loop *loop);
void rn__loop_push(struct rn_loop *loop, struct rn_post *post);
void rn__loop_drain(struct rn_loop *loop);

enum rn__act { RN__ACT_PARK, RN__ACT_YIELD, RN__ACT_END };

/* Numbers of a worker, written by it alone, read by anyone. */
struct rn__counts {
    _Atomic uint64_t started, parks[RN_WAIT_BLOCKING + 1], stalls, stale_events, turns;
};
static inline void rn__count(_Atomic uint64_t *n)
{
    atomic_store_explicit(n, atomic_load_explicit(n, memory_order_relaxed) + 1,
                          memory_order_relaxed);
}

struct rn__worker {
    struct rn_runtime *rt;
    uint32_t index;
    _Atomic int tid; /* of its thread, while it runs; for those who look from outside */

    /* its thread only */
    struct rn__task *current; /* NULL on the scheduler's own stack */
    int budget;
    enum rn__act act; /* what the task that just left wants */
    void *sp;
    struct rn__san_stack san;
    uint32_t head, tail; /* of the ring */
    struct rn__task *ring[RN__RING_SIZE];
    struct rn__task *lifo;
    unsigned lifo_runs;
    bool parked_since_check;
    rn_time idle_since; /* 0: a task has run since the worker slept last */

    struct rn_loop loop;
    struct rn__counts counts;

    /* the monitor: the stalls that it has counted, and the last turn of them */
    _Atomic uint64_t held, held_turn;
};

void rn__worker_run(struct rn__worker *w);
/* Put a task on a queue of this worker, or of its home when called elsewhere. `soon`: the LIFO
 * slot. */
void rn__run_queue(struct rn__task *t, bool soon);
bool rn__worker_has_work(const struct rn__worker *w);
/* From a task: to the scheduler, with `act`. */
void rn__leave(struct rn__worker *w, enum rn__act act);

/* switch_*.S: save the callee-saved registers on this stack, its pointer in *from_sp, and go on at
 * to_sp; returns `value` there. Floating-point control words are not saved: a task that changes
 * rounding restores it before it parks. */
void *rn__switch(void **from_sp, void *to_sp, void *value);
/* Lay out a stack so that the first switch to it calls fn(value); fn never returns. */
void *rn__switch_prepare(void *top, void (*fn)(void *value));

/* ---- blocking.c ------------------------------------------------------------------------------ */

struct rn__pool;
int rn__pool_open(struct rn_runtime *rt, struct rn__pool **ret_pool);
void rn__pool_close(struct rn__pool *pool); /* joins every thread */
void rn__pool_free(struct rn__pool *pool);
void rn__pool_stats(const struct rn__pool *pool, struct rn_stats *stats);
bool rn__pool_busy(const struct rn__pool *pool);

/* A thread with every signal blocked. 0, -EAGAIN... */
int rn__thread_create(pthread_t *ret_id, size_t stack, void *(*main_fn)(void *arg), void *arg);

/* ---- monitor.c ------------------------------------------------------------------------------- */

struct rn__monitor;
struct rn__monitor *rn__monitor_open(struct rn__worker *w); /* NULL: no memory, no thread */
void rn__monitor_close(struct rn__monitor *m);

/* ---- runtime.c ------------------------------------------------------------------------------- */

struct rn_runtime {
    /* set once in rn_run() */
    unsigned number; /* top 4 bits of each slot */
    unsigned n_workers;
    const char *name;
    enum rn_leak_policy leaks;
    rn_time leak_age;
    bool sim;
    struct rn__worker *workers; /* array */
    struct rn__chans *chans;
    struct rn__pool *pool;
    struct rn__syncs *syncs;
    struct rn__scope *root;

    /* any thread */
    _Atomic bool shared; /* locks and words must be atomic: more than one thread works here */
    _Atomic bool ending;

    /* dense arrays, reserved for the runtime's life */
    _Atomic uint64_t *words;
    struct rn__task **tasks;
    struct rn__scope *scopes;
    struct rn__fd *fds;

    /* tree: tasks, scopes, stacks */
    struct rn_lock tree;
    struct rn__stacks stacks;
    uint32_t *ids_free;
    uint32_t n_ids_free, n_tasks;
    _Atomic uint32_t ids_end, scopes_end, scopes_open;
    uint32_t scopes_free; /* + 1 */

    /* queue_lock */
    struct rn_lock queue_lock;
    struct rn__task *queue, **queue_tail; /* what a full ring gives away */

    /* fd_lock */
    struct rn_lock fd_lock;
    uint32_t fds_free; /* + 1 */
    _Atomic uint32_t fds_end, fds_open;
    struct rn_pause *pauses;
    _Atomic uint32_t n_pauses;

    /* sim, and random choices: worker 0 */
    uint64_t random;
    uint64_t trace; /* a hash of who ran when */
    rn_time sim_now;
    struct rn__task **pool_sim;
    uint32_t n_pool_sim;
    bool deadlocked;
};

struct rn__thread_counts;
/* The one thread-local of the library; reached through rn__tls() only. */
struct rn__tls {
    struct rn__worker *worker;
    struct rn__thread_counts *counts;
};
struct rn__tls *rn__tls(void);
struct rn__worker *rn__worker_self(void);
/* Runtimes by number, for the fault handler. */
struct rn_runtime *rn__runtime_at(unsigned number);

void *rn__reserve(size_t size); /* zeroed on demand; NULL */
void rn__unreserve(void *p, size_t size);
uint64_t rn__trace(const struct rn_runtime *rt);

/* The scheduler's own locks: plain as long as one thread works here. */
void rn__lock(struct rn_runtime *rt, struct rn_lock *lock);
void rn__unlock(struct rn_runtime *rt, struct rn_lock *lock);

/* sys.c: calls that only runnel makes. */
int rn__sys_epoll_create1(int flags);
int rn__sys_epoll_ctl(int epoll, int op, int fd, struct epoll_event *event);
int rn__sys_epoll_wait(int epoll, struct epoll_event *events, int n,
                       rn_time timeout); /* < 0: for ever */
int rn__sys_eventfd(unsigned value, int flags);
int rn__sys_signalfd(int fd, const sigset_t *set, int flags);
int rn__sys_madvise(void *p, size_t n, int advice);
int rn__sys_mprotect(void *p, size_t n, int prot);
int rn__sys_futex_wait(_Atomic uint32_t *word, uint32_t value);
int rn__sys_futex_wake(_Atomic uint32_t *word, int n);
rn_time rn__clock(void);        /* CLOCK_MONOTONIC */
rn_time rn__clock_coarse(void); /* about 4 ms old, a few ns to read */
void rn__faults_from_env(void);
void rn__memtrace_from_env(void);
