/* The worker: picks the next task and runs it, between two rounds of its loop.
 *
 * One turn: due timers, inbox, events, callbacks (rn__loop_inputs), up to RN__TURN_TASKS task
 * turns, deferred work, epoll.
 *
 * Runnable tasks wait in the LIFO slot (whoever was woken by the running task; at most RN__LIFO_MAX
 * runs in a row, or two friends would starve the rest), in the ring (first in, first out), or in
 * the runtime's queue, which takes half of a ring that is full and is looked at every
 * RN__TURN_TASKS tasks. In `sim` all of them lie in one bag, and the seed draws.
 *
 * A task that leaves says what it wants (enum rn__act); the scheduler does it on its own stack,
 * when the registers are saved.
 */
#include "core.h"

/* ---- queues ---------------------------------------------------------------------------------- */

static void queue_push(struct rn_runtime *rt, struct rn__task *t)
{
    t->next = NULL;
    *rt->queue_tail = t;
    rt->queue_tail = &t->next;
}

static struct rn__task *queue_pop(struct rn_runtime *rt)
{
    struct rn__task *t;

    if (!rt->queue)
        return NULL;
    rn__lock(rt, &rt->queue_lock);
    t = rt->queue;
    if (t) {
        rt->queue = t->next;
        if (!rt->queue)
            rt->queue_tail = &rt->queue;
    }
    rn__unlock(rt, &rt->queue_lock);
    return t;
}

static void ring_push(struct rn__worker *w, struct rn__task *t)
{
    if (w->tail - w->head == RN__RING_SIZE) {
        rn__lock(w->rt, &w->rt->queue_lock);
        for (unsigned i = 0; i < RN__RING_SIZE / 2; i++)
            queue_push(w->rt, w->ring[w->head++ % RN__RING_SIZE]);
        rn__unlock(w->rt, &w->rt->queue_lock);
    }
    w->ring[w->tail++ % RN__RING_SIZE] = t;
}

static struct rn__task *ring_pop(struct rn__worker *w)
{
    return w->head == w->tail ? NULL : w->ring[w->head++ % RN__RING_SIZE];
}

static void woken_from_inbox(struct rn_post *post)
{
    rn__run_queue(LIST_ENTRY(post, struct rn__task, wake), false);
}

void rn__run_queue(struct rn__task *t, bool soon)
{
    struct rn__worker *w = rn__worker_self();
    struct rn__task *displaced = t;

    if (w != t->home) {
        t->wake.fn = woken_from_inbox;
        rn__loop_push(&t->home->loop, &t->wake);
        return;
    }
    if (w->rt->sim) {
        w->rt->pool_sim[w->rt->n_pool_sim++] = t;
        return;
    }
    if (soon && w->current) {
        displaced = w->lifo;
        w->lifo = t;
    }
    if (displaced)
        ring_push(w, displaced);
}

bool rn__worker_has_work(const struct rn__worker *w)
{
    return w->head != w->tail || w->lifo || w->rt->queue || w->rt->n_pool_sim;
}

static struct rn__task *draw(struct rn_runtime *rt)
{
    struct rn__task *t;
    uint32_t i;

    if (rt->n_pool_sim == 0)
        return NULL;
    i = rn__random(rt->n_pool_sim);
    t = rt->pool_sim[i];
    rt->pool_sim[i] = rt->pool_sim[--rt->n_pool_sim];
    rt->trace = (rt->trace ^ t->id) * UINT64_C(0x100000001b3);
    return t;
}

static struct rn__task *next_task(struct rn__worker *w, unsigned n)
{
    struct rn__task *t;

    if (w->rt->sim)
        return draw(w->rt);
    if (n == RN__TURN_TASKS - 1 && (t = queue_pop(w->rt)))
        return t;
    if (w->lifo && w->lifo_runs < RN__LIFO_MAX) {
        w->lifo_runs++;
        return TAKE(w->lifo);
    }
    w->lifo_runs = 0;
    if ((t = ring_pop(w)))
        return t;
    if (w->lifo)
        return TAKE(w->lifo);
    return queue_pop(w->rt);
}

/* ---- running one ----------------------------------------------------------------------------- */

static void set_state(struct rn__task *t, unsigned state)
{
    _Atomic uint64_t *word = &t->home->rt->words[rn__word_index(t->id)];
    uint64_t v = atomic_load_explicit(word, memory_order_relaxed);

    /* Nobody else writes the word of a task that is neither parked nor waiting. */
    atomic_store_explicit(word, rn__word(state, rn__word_winner(v), rn__word_epoch(v)),
                          memory_order_release);
}

static void run(struct rn__worker *w, struct rn__task *t)
{
    set_state(t, RN_TASK_RUNNING);
    w->current = t;
    w->idle_since = 0;
    w->budget = RN__BUDGET;
    rn__san_leave(&w->san, &t->san, 0);
    rn__switch(&w->sp, t->sp, t);
    rn__san_arrive(&w->san, NULL);
    w->current = NULL;
    switch (w->act) {
    case RN__ACT_PARK:
        rn__park_commit(t);
        break;
    case RN__ACT_YIELD:
        set_state(t, RN_TASK_RUNNABLE);
        rn__run_queue(t, false);
        break;
    case RN__ACT_END:
        rn__task_finish(t);
        break;
    }
}

void rn__leave(struct rn__worker *w, enum rn__act act)
{
    struct rn__task *t = w->current;

    w->act = act;
    rn__san_release(&w->loop);
    rn__san_leave(&t->san, &w->san, act == RN__ACT_END);
    rn__switch(&t->sp, w->sp, NULL);
    rn__san_arrive(&t->san, &t->home->san);
    rn__san_acquire(&t->home->loop.coarse);
}

/* A turn that took longer than this held up everybody else of the worker. */
#define STALL (10 * RN_MS)

static void run_tasks(struct rn__worker *w)
{
    rn_time begin = rn__clock_coarse();
    struct rn__task *t;

    for (unsigned n = 0; n < RN__TURN_TASKS && (t = next_task(w, n)); n++)
        run(w, t);
    /* The monitor, if it saw it, has counted it already. */
    if (rn__clock_coarse() - begin > STALL &&
        atomic_load(&w->held_turn) != atomic_load_explicit(&w->counts.turns, memory_order_relaxed))
        rn__count(&w->counts.stalls);
}

void rn__worker_run(struct rn__worker *w)
{
    struct rn__scope *root = w->rt->root;

    while (root->n_tasks > 0) {
        rn__count(&w->counts.turns);
        rn__loop_inputs(&w->loop);
        run_tasks(w);
        rn__loop_defers_run(&w->loop);
        if (root->n_tasks > 0)
            rn__loop_poll(&w->loop, !rn__worker_has_work(w) && !rn__loop_busy(&w->loop));
    }
}
