/* Mutexes and their kind among real threads: the queue, the hand-over and who leaves it when; see
 * threads_testing.h. */
#include <errno.h>
#include <string.h>

#include <harness/test.h>

#include <runnel/group.h>
#include <runnel/mutex.h>
#include <runnel/once.h>
#include <runnel/oneshot.h>
#include <runnel/semaphore.h>

#include "sync.h"
#include "threads_testing.h"

/* ---- What they want of a runtime ------------------------------------------------------------- */

static struct rn_runtime runtime = {.number = 1};
static struct rn__scope scope = {.rt = &runtime, .gen = 1};
static struct rn__task tasks[THREADS_MAX];
static const struct rn_scope handle = {.slot = UINT32_C(1) << RN__SLOT_BITS, .gen = 1};

struct rn_runtime *rn__rt(void)
{
    return &runtime;
}
struct rn__task *rn__task_self(void)
{
    return &tasks[self_id];
}
uint64_t rn__task_owner(const struct rn__task *t)
{
    return rn__owner(RN__OWNER_TASK, (uint32_t)(t - tasks), 1);
}
struct rn__scope *rn__scope_get(struct rn_scope s)
{
    return s.gen == handle.gen ? &scope : NULL;
}
uint64_t rn__scope_word(const struct rn__scope *s)
{
    (void)s;
    return rn__owner(RN__OWNER_SCOPE, 0, 1);
}
bool rn__owner_serves_self(uint64_t owner)
{
    return owner == rn__scope_word(&scope);
}
bool rn__task_cancelled(const struct rn__task *t)
{
    (void)t;
    return false;
}
rn_time rn_loop_now(void)
{
    return 0;
}
void rn__lock(struct rn_runtime *rt, struct rn_lock *lock)
{
    (void)rt;
    rn_lock_acquire(lock);
}
void rn__unlock(struct rn_runtime *rt, struct rn_lock *lock)
{
    (void)rt;
    rn_lock_release(lock);
}

/* ---- The program ----------------------------------------------------------------------------- */

enum { ACTORS = 6, ROUNDS = 20000, UNITS = 3 };

static struct rn_mutex mutex;
static struct rn_sem sem;
static struct rn_group group;
static struct rn_once once;
static struct rn_oneshot shot;

static uint64_t guarded; /* plain: a race detector sees who gets past the mutex */
static _Atomic uint64_t locked, made, in_use, most;

struct actor {
    pthread_t thread;
    uint32_t id;
};

/* Wait for ever, briefly, or not at all. */
static rn_time some_deadline(void)
{
    uint32_t n = rn__random(8);

    return n == 0 ? 0 : n == 1 ? rn_now() + (rn_time)rn__random(30) * RN_US : RN_FOREVER;
}

static void use_mutex(void)
{
    int r = rn_mutex_lock(mutex, some_deadline());

    if (r == -ETIMEDOUT)
        return;
    OK(r);
    guarded++;
    atomic_fetch_add(&locked, 1);
    if (rn__random(64) == 0)
        sched_yield();
    OK(rn_mutex_unlock(mutex));
}

static void use_sem(void)
{
    uint32_t want = 1 + rn__random(UNITS);
    int r = rn_sem_take(sem, want, some_deadline());
    uint64_t n, seen = atomic_load(&most);

    if (r == -ETIMEDOUT)
        return;
    OK(r);
    n = atomic_fetch_add(&in_use, want) + want;
    while (n > seen && !atomic_compare_exchange_weak(&most, &seen, n))
        ;
    if (rn__random(64) == 0)
        sched_yield();
    atomic_fetch_sub(&in_use, want);
    OK(rn_sem_give(sem, want));
}

static int makes(void *arg)
{
    (void)arg;
    atomic_fetch_add(&made, 1);
    sched_yield();
    return 7;
}

static void *acts(void *arg)
{
    const struct actor *a = arg;

    self_id = a->id;
    self_random = a->id * 7919;
    OK(rn_oneshot_wait(shot, RN_FOREVER));
    EQ(rn_once_do(once, makes, NULL, RN_FOREVER), 7);
    for (int i = 0; i < ROUNDS; i++) {
        use_mutex();
        use_sem();
    }
    OK(rn_group_done(group));
    return NULL;
}

TEST(threads_never_share_a_mutex_or_more_units_than_there_are)
{
    struct actor actors[ACTORS];

    for (unsigned i = 0; i < THREADS_MAX; i++)
        sem_init(&threads[i].wake, 0, 0);
    self_id = ACTORS + 1;
    OK(rn__syncs_open(&runtime.syncs));
    runtime.scopes = &scope;
    OK(rn_mutex_open(handle, &mutex));
    OK(rn_sem_open(handle, UNITS, &sem));
    OK(rn_group_open(handle, ACTORS, &group));
    OK(rn_once_open(handle, &once));
    OK(rn_oneshot_open(handle, &shot));
    for (uint32_t i = 0; i < ACTORS; i++) {
        actors[i].id = i + 1;
        EQ(pthread_create(&actors[i].thread, NULL, acts, &actors[i]), 0);
    }
    OK(rn_oneshot_set(shot));
    OK(rn_group_wait(group, RN_FOREVER));
    for (uint32_t i = 0; i < ACTORS; i++)
        EQ(pthread_join(actors[i].thread, NULL), 0);
    EQ(made, 1);
    EQ(guarded, locked);
    GT(locked, ROUNDS);
    LE(most, UNITS);
    OK(rn_sem_take(sem, UNITS, 0)); /* all came back */
    OK(rn_mutex_lock(mutex, 0));
    rn__syncs_close_scope(&scope);
    ERR(rn_mutex_unlock(mutex), EBADF);
    rn__syncs_close(runtime.syncs);
}
