/* A runtime from begin to end: number, reservations, worker, root scope; and who is who.
 *
 * rn_run() makes everything, in the order of the fields, runs worker 0 on the calling thread until
 * the root scope is empty, and takes everything down in the reverse order. A runtime that is only
 * half made can be ended: every step accepts zeroes.
 *
 * One worker runs. Records, inboxes and locks are laid out for several, but stealing and the held
 * worker's rescue are not built, and workers that cannot help each other would be worse than one:
 * so more than one is refused.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "core.h"

static _Atomic(struct rn_runtime *) runtimes[RN__RUNTIMES_MAX];

static _Thread_local struct rn__tls tls;

/* Never inlined: a compiler may keep the address of a thread-local over a switch, and a task may
 * come back on another thread. */
__attribute__((noinline)) struct rn__tls *rn__tls(void)
{
    struct rn__tls *p = &tls;

    __asm__ volatile("" : "+r"(p) : : "memory");
    return p;
}

struct rn__worker *rn__worker_self(void)
{
    return rn__tls()->worker;
}

struct rn_runtime *rn__rt(void)
{
    struct rn__worker *w = rn__tls()->worker;

    return w ? w->rt : NULL;
}

struct rn_runtime *rn_runtime_self(void)
{
    return rn__rt();
}

const char *rn_runtime_name(const struct rn_runtime *rt)
{
    return rt->name;
}

struct rn_runtime *rn__runtime_at(unsigned number)
{
    return atomic_load(&runtimes[number]);
}

bool rn__shared(void)
{
    struct rn_runtime *rt = rn__rt();

    return !rt || atomic_load_explicit(&rt->shared, memory_order_relaxed);
}

struct rn__chans *rn__chans_of(const struct rn_runtime *rt)
{
    return rt->chans;
}

enum rn_leak_policy rn__leak_policy(const struct rn_runtime *rt)
{
    return rt->leaks;
}

rn_time rn__leak_age(const struct rn_runtime *rt)
{
    return rt->leak_age;
}

uint64_t rn__trace(const struct rn_runtime *rt)
{
    return rt->trace;
}

/* splitmix64: any seed is a good one. */
uint32_t rn__random(uint32_t n)
{
    struct rn_runtime *rt = rn__rt();
    uint64_t z = rt->random += UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    z ^= z >> 31;
    return (uint32_t)((z >> 32) * n >> 32);
}

/* ---- owners ---------------------------------------------------------------------------------- */

uint64_t rn__owner_self(void)
{
    struct rn__worker *w = rn__worker_self();

    if (!w)
        return 0;
    return w->current ? rn__task_owner(w->current) : rn__loop_owner(&w->loop);
}

bool rn__owner_serves_self(uint64_t owner)
{
    struct rn__task *t = rn__task_self();

    if (!t || owner >> 60 != RN__OWNER_SCOPE)
        return false;
    for (const struct rn__scope *s = t->scope; s; s = s->parent)
        if (rn__scope_word(s) == owner)
            return true;
    return false;
}

bool rn__owner_alive(const struct rn_runtime *rt, uint64_t owner)
{
    uint32_t id = (uint32_t)owner;
    uint32_t gen = (uint32_t)(owner >> 32) & 0xfffffff;

    switch (owner >> 60) {
    case RN__OWNER_TASK: {
        struct rn__task_view view;

        return rn__task_view(rt, id, &view) && view.owner == owner;
    }
    case RN__OWNER_SCOPE:
        return id < atomic_load(&rt->scopes_end) && (gen & 1) &&
               (atomic_load(&rt->scopes[id].gen) & 0xfffffff) == gen;
    case RN__OWNER_LOOP:
    case RN__OWNER_CONN:
        return true;
    default:
        return false;
    }
}

int rn__scope_owner(struct rn_scope h, uint64_t *ret_owner)
{
    struct rn__scope *s = rn__scope_get(h);

    if (!s)
        return -EBADF;
    *ret_owner = rn__scope_word(s);
    return 0;
}

/* ---- begin and end --------------------------------------------------------------------------- */

static int number_take(struct rn_runtime *rt)
{
    for (unsigned i = 0; i < RN__RUNTIMES_MAX; i++) {
        struct rn_runtime *none = NULL;

        if (atomic_compare_exchange_strong(&runtimes[i], &none, rt)) {
            rt->number = i;
            return 0;
        }
    }
    return -EAGAIN;
}

static uint64_t random_seed(void)
{
    uint64_t seed;

    if (getrandom(&seed, sizeof(seed), GRND_NONBLOCK) != sizeof(seed))
        seed = (uint64_t)rn__clock();
    return seed;
}

static int arrays_open(struct rn_runtime *rt)
{
    rt->words = rn__reserve(RN__TASKS_MAX * sizeof(*rt->words));
    rt->tasks = rn__reserve(RN__TASKS_MAX * sizeof(*rt->tasks));
    rt->ids_free = rn__reserve(RN__TASKS_MAX * sizeof(*rt->ids_free));
    rt->scopes = rn__reserve(RN__SCOPES_MAX * sizeof(*rt->scopes));
    rt->fds = rn__reserve(RN__FDS_MAX * sizeof(*rt->fds));
    if (rt->sim)
        rt->pool_sim = rn__reserve(RN__TASKS_MAX * sizeof(*rt->pool_sim));
    return rt->words && rt->tasks && rt->ids_free && rt->scopes && rt->fds &&
                   (!rt->sim || rt->pool_sim)
               ? 0
               : -ENOMEM;
}

static void arrays_close(struct rn_runtime *rt)
{
    rn__unreserve(rt->words, RN__TASKS_MAX * sizeof(*rt->words));
    rn__unreserve(rt->tasks, RN__TASKS_MAX * sizeof(*rt->tasks));
    rn__unreserve(rt->ids_free, RN__TASKS_MAX * sizeof(*rt->ids_free));
    rn__unreserve(rt->scopes, RN__SCOPES_MAX * sizeof(*rt->scopes));
    rn__unreserve(rt->fds, RN__FDS_MAX * sizeof(*rt->fds));
    rn__unreserve(rt->pool_sim, RN__TASKS_MAX * sizeof(*rt->pool_sim));
}

static int runtime_fill(struct rn_runtime *rt, const struct rn_options *o)
{
    int r;

    rt->name = o->name ? o->name : "main";
    rt->leaks = o->leaks;
    rt->leak_age = o->leak_age ? o->leak_age : 10 * 60 * RN_S;
    rt->sim = o->sim;
    rt->random = o->sim ? o->seed : random_seed();
    rt->trace = UINT64_C(0xcbf29ce484222325);
    rt->n_workers = 1;
    rt->queue_tail = &rt->queue;
    atomic_store(&rt->ids_end, 1); /* id 0 is no task */
    r = arrays_open(rt);
    if (r < 0)
        return r;
    r = rn__stacks_open(&rt->stacks);
    if (r < 0)
        return r;
    rt->workers = calloc(rt->n_workers, sizeof(*rt->workers));
    if (!rt->workers)
        return -ENOMEM;
    rt->workers[0].rt = rt;
    rn__san_stack_thread(&rt->workers[0].san);
    r = rn__loop_open(&rt->workers[0].loop, &rt->workers[0]);
    if (r < 0)
        return r;
    r = rn__pool_open(rt, &rt->pool);
    if (r == 0)
        r = rn__syncs_open(&rt->syncs);
    if (r < 0)
        return r;
    return rn__chans_open(rt->number, &rt->chans);
}

static void runtime_empty(struct rn_runtime *rt)
{
    if (rt->chans)
        rn__chans_close(rt->chans);
    if (rt->workers)
        rn__loop_close(&rt->workers[0].loop);
    if (rt->pool)
        rn__pool_free(rt->pool);
    rn__syncs_close(rt->syncs);
    free(rt->workers);
    rn__stacks_close(&rt->stacks);
    arrays_close(rt);
    atomic_store(&runtimes[rt->number], NULL);
    free(rt);
}

struct main_call {
    int (*fn)(void *arg);
    void *arg;
    int result;
};

static int main_task(void *arg)
{
    struct main_call *call = arg;

    call->result = call->fn(call->arg);
    return call->result;
}

/* The program has ended: what its loop still holds goes, then the threads. */
static void runtime_wind_down(struct rn_runtime *rt)
{
    struct rn_loop *loop = &rt->workers[0].loop;

    rn__san_acquire(rt);
    atomic_store(&rt->ending, true);
    rn__pool_close(rt->pool);
    rn__loop_drain(loop);
    rn__fds_close_list(rt, &loop->fds);
    if (loop->ready)
        rn__loop_ready_run(loop);
    rn__ends_close_owner(rn__loop_owner(loop));
    if (rt->root) {
        rn__ends_close_owner(rn__scope_word(rt->root));
        rn__scope_free(rt->root);
    }
}

static int runtime_work(struct rn_runtime *rt, struct main_call *call)
{
    static const struct rn_site site = {__FILE__, "rn_run", 0, false};
    const struct rn_task_options options = {.name = "main", .stack = RN_STACK_1M};
    int r;

    r = rn__scope_make(rt, NULL, 0, 0, &site, &rt->root);
    if (r < 0)
        return r;
    r = rn__task_spawn(rt, &site, "main", &options, rt->root, atomic_load(&rt->root->gen),
                       main_task, call, NULL, 0);
    if (r < 0)
        return r;
    rn__worker_run(&rt->workers[0]);
    return rt->deadlocked ? -EDEADLK : call->result;
}

static int runtime_run(struct rn_runtime *rt, struct main_call *call)
{
    struct rn__monitor *monitor;
    void *altstack = NULL;
    int r = rn__overflow_thread_begin(&altstack);

    if (r < 0)
        return r;
    rn__overflow_begin();
    rn__tls()->worker = &rt->workers[0];
    atomic_store(&rt->workers[0].tid, gettid());
    monitor = rt->sim ? NULL : rn__monitor_open(&rt->workers[0]);
    r = runtime_work(rt, call);
    runtime_wind_down(rt);
    rn__monitor_close(monitor);
    atomic_store(&rt->workers[0].tid, 0);
    rn__tls()->worker = NULL;
    rn__overflow_end();
    rn__overflow_thread_end(altstack);
    return r;
}

int rn_run(const struct rn_options *options, int (*main_fn)(void *arg), void *arg)
{
    static const struct rn_options defaults = {0};
    const struct rn_options *o = options ? options : &defaults;
    struct main_call call = {main_fn, arg, 0};
    struct rn_runtime *rt;
    int r;

    if (!main_fn || o->workers > 1)
        return -EINVAL;
    if (rn__tls()->worker)
        return -EPERM;
    rn__faults_from_env();
    rn__memtrace_from_env();
    rt = calloc(1, sizeof(*rt));
    if (!rt)
        return -ENOMEM;
    r = number_take(rt);
    if (r < 0) {
        free(rt);
        return r;
    }
    r = runtime_fill(rt, o);
    if (r == 0)
        r = runtime_run(rt, &call);
    runtime_empty(rt);
    return r;
}

/* ---- numbers --------------------------------------------------------------------------------- */

static void stats_tasks(const struct rn_runtime *rt, struct rn_stats *s)
{
    uint32_t end = atomic_load_explicit(&rt->ids_end, memory_order_acquire);

    for (uint32_t id = 1; id < end; id++) {
        switch (rn__word_state(
            atomic_load_explicit(&rt->words[rn__word_index(id)], memory_order_relaxed))) {
        case RN_TASK_RUNNING:
        case RN__TASK_READIED:
            s->tasks_running++;
            break;
        case RN_TASK_RUNNABLE:
            s->tasks_runnable++;
            break;
        case RN_TASK_PARKED:
            s->tasks_parked++;
            break;
        default:
            break;
        }
    }
}

void rn_stats(const struct rn_runtime *rt, struct rn_stats *ret_stats)
{
    struct rn_stats *s = ret_stats;
    const struct rn__counts *c = &rt->workers[0].counts;

    *s = (struct rn_stats){0};
    stats_tasks(rt, s);
    s->tasks_started = c->started;
    s->worker_stalls = c->stalls + atomic_load(&rt->workers[0].held);
    s->stale_events = c->stale_events;
    s->parks_chan = c->parks[RN_WAIT_CHAN_SEND] + c->parks[RN_WAIT_CHAN_RECV];
    s->parks_select = c->parks[RN_WAIT_SELECT];
    s->parks_sleep = c->parks[RN_WAIT_SLEEP];
    s->parks_fd = c->parks[RN_WAIT_FD_READ] + c->parks[RN_WAIT_FD_WRITE];
    s->parks_scope = c->parks[RN_WAIT_SCOPE];
    for (unsigned kind = RN_WAIT_MUTEX; kind <= RN_WAIT_ONESHOT; kind++)
        s->parks_sync += c->parks[kind];
    s->parks_blocking = c->parks[RN_WAIT_BLOCKING];
    s->scopes = atomic_load(&rt->scopes_open);
    s->fds = atomic_load(&rt->fds_open);
    s->timers = atomic_load(&rt->workers[0].loop.wheel.armed);
    s->listeners_paused = atomic_load(&rt->n_pauses);
    s->stack_bytes = atomic_load(&rt->stacks.bytes);
    rn__pool_stats(rt->pool, s);
    rn__chans_stats(rt, s);
}
