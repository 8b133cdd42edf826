/* What the files of runnel share, and nobody else sees: the state word and the park protocol.
 *
 * The state word of a task is state:4 | winner:12 | epoch:48 in one 64-bit atomic, in a dense array
 * by task id that is never unmapped. Life of a wait:
 *
 * - rn__wait_begin(): the task opens a new epoch, {RUNNING, OPEN, e}; waiter records with {id, e}
 *   may now be published.
 * - rn__park(): switches to the scheduler, which commits there, RUNNING -> PARKED, then looks at
 *   the cancel flag again (park publishes PARKED seq_cst, then reads the flag; cancel sets the flag
 *   seq_cst, then walks the words).
 * - rn__claim(): peer, close, timer and cancel compete by one CAS OPEN -> winner. Who wins owns the
 *   wake-up and may touch the task's memory; the others must not.
 * - rn__ready(): the winner, once it has copied what it had to: PARKED -> RUNNABLE and onto a run
 *   queue; or, before the commit, RUNNING -> READIED, and the commit resumes the task at once.
 *
 * So no lock is held over a switch and nobody is woken before it has saved its registers.
 */
#pragma once

#include <stdatomic.h>

#include <runnel/runnel.h>

enum rn__winner {
    RN__WIN_CASE_MAX = 4079, /* 0..4079: the select case */
    RN__WIN_TIMER = 4080,
    RN__WIN_CANCEL = 4081,
    RN__WIN_CLOSE = 4082, /* the object itself is gone: -EBADF */
    RN__WIN_OPEN = 4094,
    RN__WIN_NONE = 4095, /* not waiting */
};

/* A key to one wait of one task: what a waker holds. */
struct rn__key {
    uint32_t id;
    uint64_t epoch;
};

/* What the task waits on, published in its record for dumps and the leak check. `n` ends for
 * channel waits. */
struct rn__wait {
    enum rn_wait_kind kind;
    const struct rn_site *site;
    uint32_t slot, gen;          /* the object: end-point, fd, scope */
    const struct rn_case *cases; /* of a select: on the waiting task's stack */
    uint32_t n_cases;
};

/* Begin a wait of the calling task; the key is good until the task runs again. */
struct rn__key rn__wait_begin(void);
/* The wait is off (nothing was published, or the task has claimed its own wait). */
void rn__wait_abandon(void);
/* Park until somebody claims. `deadline` RN_FOREVER arms no timer. `uncancellable` ignores scopes.
 * Returns the winner. */
unsigned rn__park(const struct rn__wait *what, rn_time deadline, bool uncancellable);
/* True: the caller has won this wait and must call rn__ready(). From any thread. */
bool rn__claim(struct rn__key key, unsigned winner);
/* Is the wait still undecided? (a hint, for skipping dead waiters) */
bool rn__open(struct rn__key key);
void rn__ready(uint32_t id);

/* 128 operations per turn, then a forced yield: called by each operation that succeeds at once. */
void rn__budget(void);
/* Is the calling task cancelled (and not shielded)? */
bool rn__cancelled(void);

/* Owners of end-points, fds, scopes: {kind:4 | generation:28 | id:32}. */
enum rn__owner_kind {
    RN__OWNER_NONE,
    RN__OWNER_TASK,
    RN__OWNER_SCOPE,
    RN__OWNER_CONN,
    RN__OWNER_LOOP,
    RN__OWNER_TRANSIT
};
static inline uint64_t rn__owner(enum rn__owner_kind kind, uint32_t id, uint32_t gen)
{
    return (uint64_t)kind << 60 | (uint64_t)(gen & 0xfffffff) << 32 | id;
}
/* Of the calling task, or of the loop inside a callback; 0 on a plain thread. */
uint64_t rn__owner_self(void);
/* Does `owner` (a scope) serve the calling task: is it the scope it was born in, or one around it?
 */
bool rn__owner_serves_self(uint64_t owner);

/* chan.c, for task and scope ends: close every end-point that `owner` holds; move for rn_go (all or
 * none). */
void rn__ends_close_owner(uint64_t owner);
int rn__ends_move(const struct rn_end ends[], size_t n, uint64_t from, uint64_t to);

/* The runtime of the calling thread (through a getter that is never inlined), and its `shared`
 * flag. */
struct rn_runtime *rn__rt(void);
bool rn__shared(void);
/* A number below n from the runtime's generator (the seed's in `sim`). */
uint32_t rn__random(uint32_t n);

/* ---- For chan.c, endpoint.c, select.c, leak.c and census.c: provided by the scheduler -------- */

/* What the scheduler keeps for the channels of a runtime: made before the first task, freed after
 * the last worker stopped. */
struct rn__chans;
struct rn__chans *rn__chans_of(const struct rn_runtime *rt);
/* Address space, zeroed on demand; NULL when there is none. */
void *rn__reserve(size_t size);
void rn__unreserve(void *p, size_t size);
enum rn_leak_policy rn__leak_policy(const struct rn_runtime *rt);
rn_time rn__leak_age(const struct rn_runtime *rt);
/* Does it lie in code that is known so far? For words that may be anything: they cost a look at a
 * short list, while rn_symbol_at() reads /proc/self/maps again for an address it doesn't know. */
bool rn__code_at(uintptr_t pc);
/* The number of the descriptor in that slot now, or -1. */
int rn__fd_number_at(const struct rn_runtime *rt, uint32_t slot);
/* Is that task, scope (connection, loop: true) still the one the owner word was made for? From any
 * thread. */
bool rn__owner_alive(const struct rn_runtime *rt, uint64_t owner);
/* The owner word of an open scope, for rn_end_to_scope. -EBADF. */
int rn__scope_owner(struct rn_scope s, uint64_t *ret_owner);
/* The owner word of a loop of this runtime. */
uint64_t rn__loop_owner(const struct rn_loop *loop);

/* Records of tasks and scopes for other threads: read from the dense arrays, consistent in itself
 * (a seqlock or the epoch). */
struct rn__task_view {
    uint32_t id;
    enum rn_task_state state;
    uint64_t epoch; /* of the state word; a wait that ended and began again has another */
    uint64_t owner; /* what rn__owner_self() is inside it */
    uint32_t scope; /* slot of the scope it was born in */
    bool woken;     /* parked, but a winner is already there; or cancelled: live */
    const char *name;
    const struct rn_site *born;
    struct rn__wait wait; /* while it is parked */
    rn_time deadline;     /* of the wait, or RN_FOREVER */
    rn_time since;        /* coarse: when the wait began */
};
struct rn__scope_view {
    uint64_t owner;  /* the scope's own word */
    uint64_t opener; /* word of the task that opened it; 0 for the root scope */
    uint32_t parent; /* slot of the scope around it; its own for the root scope */
    bool timed;      /* a deadline will cancel it */
};
/* `task 7 "lane"`, `loop 0`, ... */
void rn__owner_text(const struct rn_runtime *rt, uint64_t owner, char *buf, size_t n);
/* The public record of a view, with the verdict of the last leak check. */
void rn__task_info(const struct rn_runtime *rt, const struct rn__task_view *v,
                   struct rn_task_info *ret_info);
/* A mutex, semaphore, ... as a waiter's handle finds it. Whoever holds it alone can serve; where
 * `holder` is 0, any task of the scope. */
struct rn__sync_view {
    uint64_t holder, scope; /* owner words */
    uint64_t version;       /* grows with every change that may help a waiter */
    rn_time changed;        /* when it did last; 0: never */
    const struct rn_site *site;
};
bool rn__sync_view(const struct rn_runtime *rt, uint32_t slot, uint32_t gen,
                   struct rn__sync_view *ret_view);
/* One past the highest id or slot in use so far. Slots count from 0 here, without the runtime's
 * number. */
uint32_t rn__tasks_end(const struct rn_runtime *rt);
uint32_t rn__scopes_end(const struct rn_runtime *rt);
bool rn__task_view(const struct rn_runtime *rt, uint32_t id, struct rn__task_view *ret_view);
bool rn__scope_view(const struct rn_runtime *rt, uint32_t slot, struct rn__scope_view *ret_view);

/* ---- Provided by endpoint.c and leak.c for the scheduler ------------------------------------- */

/* `number`, 0..15 and unique among the runtimes of the process, becomes the top 4 bits of each
 * slot. 0, -ENOMEM. */
int rn__chans_open(unsigned number, struct rn__chans **ret_chans);
void rn__chans_close(struct rn__chans *chans);
/* Fill in endpoints, endpoints_unowned, channels, tasks_leaked. */
void rn__chans_stats(const struct rn_runtime *rt, struct rn_stats *stats);
/* The check by policy: called at each idle of `sim`, and when all workers have run no task for 1 s
 * since something parked. Prints each group once (warn), aborts (abort), or does nothing (ignore).
 */
void rn__leak_idle(struct rn_runtime *rt);
