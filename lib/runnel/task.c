/* Tasks: birth, end, and what a task can ask about itself.
 *
 * A spawn takes a stack and an id, and moves the end-points; only if all of it went well does the
 * task join its scope and a queue. On the way out, still on its own stack and as itself, a task
 * closes what it left open: scopes (which waits for their tasks), descriptors, end-points. The rest
 * of its end happens on the scheduler's stack.
 */
#include <errno.h>
#include <string.h>

#include "core.h"

struct rn__task *rn__task_self(void)
{
    struct rn__worker *w = rn__worker_self();

    return w ? w->current : NULL;
}

struct rn__task *rn__task_at(const struct rn_runtime *rt, uint32_t id)
{
    return id < atomic_load_explicit(&rt->ids_end, memory_order_acquire) ? rt->tasks[id] : NULL;
}

uint64_t rn__task_owner(const struct rn__task *t)
{
    return rn__owner(RN__OWNER_TASK, t->id, t->gen);
}

/* ---- shields and cancellation ---------------------------------------------------------------- */

rn_time rn__task_shielded_until(const struct rn__task *t)
{
    rn_time now, until = 0;

    if (t->n_shields == 0)
        return 0;
    now = t->home->rt->sim ? t->home->rt->sim_now : rn__clock();
    for (unsigned i = 0; i < t->n_shields; i++)
        if (t->shields[i] > until)
            until = t->shields[i];
    return until > now ? until : 0;
}

bool rn__task_cancelled(const struct rn__task *t)
{
    return (atomic_load(&t->scope->cancelled) || atomic_load(&t->cancelled)) &&
           rn__task_shielded_until(t) == 0;
}

void rn__task_cancel_wait(struct rn_runtime *rt, struct rn__task *t)
{
    uint64_t v = atomic_load(&rt->words[rn__word_index(t->id)]);
    struct rn__key key = {t->id, rn__word_epoch(v)};

    if (rn__word_winner(v) != RN__WIN_OPEN || rn__word_state(v) != RN_TASK_PARKED)
        return; /* it looks at the flag itself when its park is committed */
    if (t->uncancellable || rn__task_shielded_until(t) > 0)
        return;
    if (rn__claim(key, RN__WIN_CANCEL))
        rn__ready(t->id);
}

bool rn__cancelled(void)
{
    struct rn__task *t = rn__task_self();

    return t && rn__task_cancelled(t);
}

int rn_cancelled(void)
{
    return rn__cancelled() ? -ECANCELED : 0;
}

int rn_shield_begin(rn_time deadline)
{
    struct rn__task *t = rn__task_self();

    if (!t)
        return -EPERM;
    if (deadline == RN_FOREVER || t->n_shields == RN__SHIELDS_MAX)
        return -EINVAL;
    t->shields[t->n_shields++] = deadline;
    return 0;
}

void rn_shield_end(void)
{
    struct rn__task *t = rn__task_self();

    rn_assert(t && t->n_shields > 0);
    t->n_shields--;
}

/* ---- birth and end --------------------------------------------------------------------------- */

static int id_take(struct rn_runtime *rt, uint32_t *ret_id)
{
    uint32_t end = atomic_load_explicit(&rt->ids_end, memory_order_relaxed);

    if (rt->n_ids_free > 0) {
        *ret_id = rt->ids_free[--rt->n_ids_free];
        return 0;
    }
    if (end == RN__TASKS_MAX)
        return -ENOMEM;
    *ret_id = end;
    atomic_store_explicit(&rt->ids_end, end + 1, memory_order_release);
    return 0;
}

/* What a destructor opens, takes or sets on the way is taken down too. */
static void task_take_down(struct rn__task *t)
{
    do {
        rn__scopes_close_opened(t);
        rn__locals_end(t);
        if (t->n_mutexes)
            rn__mutexes_abandon(t);
        if (t->fds)
            rn__fds_close_list(t->home->rt, &t->fds);
        rn__ends_close_owner(rn__task_owner(t));
    } while (!list_empty(&t->opened) || t->locals || t->n_mutexes || t->fds);
}

static void task_main(void *arg)
{
    struct rn__task *t = arg;

    rn__san_arrive(&t->san, &t->home->san);
    rn__san_acquire(t);
    rn__san_acquire(&t->home->loop.coarse); /* what callbacks did since the spawn */
    t->result = t->fn(t->arg);

    task_take_down(t);
    rn__san_release(t->scope);
    rn__san_release(t->home->rt);
    rn__san_release(t->stack.bottom); /* the next task on this stack comes after us */
    rn__leave(rn__worker_self(), RN__ACT_END);
    rn_unreachable("a task that has ended runs");
}

/* The struct at the top of the stack, in state FREE: nobody else sees it yet. */
static struct rn__task *task_make(struct rn_runtime *rt, const struct rn__stack *stack, uint32_t id)
{
    struct rn__task *t = rn__task_below(stack->top);
    _Atomic uint64_t *word = &rt->words[rn__word_index(id)];
    uint64_t epoch = (rn__word_epoch(atomic_load(word)) + 1) & RN__EPOCH_MASK;

    rn__san_acquire(stack->bottom);
    *t = (struct rn__task){
        .magic = RN__TASK_MAGIC, .id = id, .gen = (uint32_t)epoch & 0xfffffff, .stack = *stack};
    list_init(&t->opened);
    rn__san_stack_begin(&t->san, stack->bottom, (size_t)((char *)t - stack->bottom));
    t->sp = rn__switch_prepare(t, task_main);
    rt->tasks[id] = t;
    atomic_store(word, rn__word(RN_TASK_FREE, RN__WIN_NONE, epoch));
    return t;
}

static void task_unmake(struct rn_runtime *rt, struct rn__task *t)
{
    struct rn__stack stack = t->stack;

    rn__san_stack_end(&t->san);
    t->magic = 0;
    rt->tasks[t->id] = NULL;
    rt->ids_free[rt->n_ids_free++] = t->id;
    rt->n_tasks--;
    rn__san_release(stack.bottom);
    rn__stack_give(&rt->stacks, &stack);
}

static int task_new(struct rn_runtime *rt, enum rn_stack_class class, struct rn__task **ret_task)
{
    struct rn__stack stack;
    uint32_t id = 0;
    int r;

    if (rt->n_tasks >= RN__SAN_TASKS_MAX)
        return -ENOMEM;
    r = rn__stack_take(&rt->stacks, class, &stack);
    if (r < 0)
        return r;
    r = id_take(rt, &id);
    if (r < 0) {
        rn__stack_give(&rt->stacks, &stack);
        return r;
    }
    rt->n_tasks++;
    *ret_task = task_make(rt, &stack, id);
    return 0;
}

static void task_drop(struct rn_runtime *rt, struct rn__task *t)
{
    rn__lock(rt, &rt->tree);
    task_unmake(rt, t);
    rn__unlock(rt, &rt->tree);
}

int rn__task_spawn(struct rn_runtime *rt, const struct rn_site *site, const char *name,
                   const struct rn_task_options *options, struct rn__scope *scope, uint32_t gen,
                   int (*fn)(void *arg), void *arg, const struct rn_end ends[], size_t n)
{
    static const struct rn_task_options defaults = {0};
    const struct rn_task_options *o = options ? options : &defaults;
    struct rn__worker *w = rn__worker_self();
    uint64_t self = rn__owner_self();
    _Atomic uint64_t *word;
    struct rn__task *t = NULL;
    int r;

    if ((unsigned)o->stack >= RN__STACK_CLASSES)
        return -EINVAL;
    if (atomic_load(&scope->cancelled))
        return -ECANCELED;

    rn__lock(rt, &rt->tree);
    r = task_new(rt, o->stack, &t);
    rn__unlock(rt, &rt->tree);
    if (r < 0)
        return r;
    t->name = o->name ? o->name : name;
    t->pinned = o->pinned;
    t->born = site;
    t->scope = scope;
    t->fn = fn;
    t->arg = arg;
    t->home = w;

    r = n ? rn__ends_move(ends, n, self, rn__task_owner(t)) : 0;
    if (r == 0) {
        r = rn__scope_join(scope, gen, t);
        if (r < 0 && n)
            (void)rn__ends_move(ends, n, rn__task_owner(t), self);
    }
    if (r < 0) {
        task_drop(rt, t);
        return r;
    }
    word = &rt->words[rn__word_index(t->id)];
    if (o->ret_task)
        *o->ret_task = (struct rn_task){t->id, t->gen};
    rn__count(&w->counts.started);
    rn__san_release(t);
    atomic_store(word, rn__word(RN_TASK_RUNNABLE, RN__WIN_NONE, rn__word_epoch(atomic_load(word))));
    rn__run_queue(t, false);
    return 0;
}

int rn_go_at(const struct rn_site *site, const char *name, const struct rn_task_options *options,
             struct rn_scope scope, int (*fn)(void *arg), void *arg, const struct rn_end ends[],
             size_t n)
{
    struct rn_runtime *rt = rn__rt();
    struct rn__scope *s;

    if (!rt)
        return -EPERM;
    s = rn__scope_get(scope);
    if (!s)
        return -EBADF;
    return rn__task_spawn(rt, site, name, options, s, scope.gen, fn, arg, ends, n);
}

void rn__task_finish(struct rn__task *t)
{
    struct rn_runtime *rt = t->home->rt;
    struct rn__scope *scope = t->scope;
    _Atomic uint64_t *word = &rt->words[rn__word_index(t->id)];
    int result = t->result;

    atomic_store(word, rn__word(RN_TASK_FREE, RN__WIN_NONE, rn__word_epoch(atomic_load(word)) + 1));
    rn__scope_part(scope, t, result);
    task_drop(rt, t);
}

/* ---- turns ----------------------------------------------------------------------------------- */

static void yield(struct rn__worker *w)
{
    rn__leave(w, RN__ACT_YIELD);
}

int rn_yield(void)
{
    struct rn__worker *w = rn__worker_self();

    if (!w || !w->current)
        return -EPERM;
    yield(w);
    return rn_cancelled();
}

void rn__budget(void)
{
    struct rn__worker *w = rn__worker_self();

    if (w && w->current && --w->budget <= 0)
        yield(w);
}

int rn_sleep_at(const struct rn_site *site, rn_time deadline)
{
    struct rn__wait what = {.kind = RN_WAIT_SLEEP, .site = site};

    if (!rn__task_self())
        return -EPERM;
    if (deadline <= 0) {
        rn__budget();
        return rn_cancelled();
    }
    (void)rn__wait_begin();
    return rn__park(&what, deadline, false) == RN__WIN_CANCEL ? -ECANCELED : 0;
}

uint32_t rn_task_id(void)
{
    struct rn__task *t = rn__task_self();

    return t ? t->id : 0;
}
