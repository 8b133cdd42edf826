/* Records of mutexes, semaphores, wait groups, onces and one-shots: the array, the judgement, the
 * queue. What a kind does with its value is in its own file; see sync.h. */
#include "sync.h"

#include <errno.h>
#include <stdlib.h>

#define SYNCS_MAX (UINT32_C(1) << 20)

struct rn__syncs {
    struct rn_lock lock; /* of the free list and of the lists of scopes */
    uint32_t free;       /* + 1 */
    _Atomic uint32_t end;
    struct rn__sync *items;
};

int rn__syncs_open(struct rn__syncs **ret_syncs)
{
    struct rn__syncs *all = calloc(1, sizeof(*all));

    if (all)
        all->items = rn__reserve(SYNCS_MAX * sizeof(*all->items));
    if (!all || !all->items) {
        free(all);
        return -ENOMEM;
    }
    atomic_store(&all->end, 1); /* slot 0 of runtime 0 would be the empty handle */
    *ret_syncs = all;
    return 0;
}

void rn__syncs_close(struct rn__syncs *all)
{
    if (all)
        rn__unreserve(all->items, SYNCS_MAX * sizeof(*all->items));
    free(all);
}

struct rn__sync *rn__sync_at(const struct rn_runtime *rt, uint32_t index)
{
    return index > 0 && index < atomic_load_explicit(&rt->syncs->end, memory_order_acquire)
               ? &rt->syncs->items[index]
               : NULL;
}

/* ---- who may --------------------------------------------------------------------------------- */

/* Tasks of the scope, of scopes inside it, and the task that opened it. */
static bool scope_serves(const struct rn__scope *scope, uint64_t word, const struct rn__task *t)
{
    return scope == t->scope || scope->opener == rn__task_owner(t) || rn__owner_serves_self(word);
}

static int judge_locked(const struct rn__sync_call *call, struct rn__sync_ref ref,
                        enum rn__sync_kind kind)
{
    const struct rn__sync *s = call->sync;
    uint64_t scope = atomic_load_explicit(&s->scope, memory_order_relaxed);

    if (!(ref.gen & 1) || atomic_load_explicit(&s->gen, memory_order_relaxed) != ref.gen ||
        atomic_load_explicit(&s->kind, memory_order_relaxed) != kind)
        return -EBADF;
    return scope_serves(&call->rt->scopes[(uint32_t)scope & RN__SLOT_MASK], scope, call->task)
               ? 0
               : -EPERM;
}

static int lock_as(struct rn__sync_call *call, struct rn__task *t, struct rn__sync_ref ref,
                   enum rn__sync_kind kind)
{
    struct rn_runtime *rt = rn__rt();
    struct rn__sync *s = rn__sync_at(rt, ref.slot & RN__SLOT_MASK);
    int r;

    if (!s || ref.slot >> RN__SLOT_BITS != rt->number)
        return -EBADF;
    *call = (struct rn__sync_call){.rt = rt, .task = t, .sync = s};
    rn__lock(rt, &s->lock);
    r = judge_locked(call, ref, kind);
    if (r < 0)
        rn__unlock(rt, &s->lock);
    else
        rn__san_acquire(s);
    return r;
}

int rn__sync_lock(struct rn__sync_call *call, struct rn__sync_ref ref, enum rn__sync_kind kind)
{
    struct rn__task *t = rn__task_self();

    return t ? lock_as(call, t, ref, kind) : -EPERM;
}

int rn__sync_lock_waiting(struct rn__sync_call *call, struct rn__sync_ref ref,
                          enum rn__sync_kind kind, rn_time deadline)
{
    struct rn__task *t = rn__task_self();

    if (!t)
        return -EPERM;
    if (deadline > 0) {
        rn__budget();
        if (rn__task_cancelled(t))
            return -ECANCELED;
    }
    return lock_as(call, t, ref, kind);
}

void rn__sync_unlock(struct rn__sync_call *call)
{
    rn__san_release(call->sync);
    rn__unlock(call->rt, &call->sync->lock);
    for (struct rn__sync_waiter *w = call->woken, *next; w; w = next) {
        next = w->next; /* once it is ready its stack may go */
        rn__ready(w->key.id);
    }
}

bool rn__sync_view(const struct rn_runtime *rt, uint32_t slot, uint32_t gen,
                   struct rn__sync_view *ret_view)
{
    const struct rn__sync *s = rn__sync_at(rt, slot & RN__SLOT_MASK);

    if (!s || atomic_load(&s->gen) != gen)
        return false;
    ret_view->holder = atomic_load(&s->holder);
    ret_view->scope = atomic_load(&s->scope);
    ret_view->site = atomic_load(&s->site);
    ret_view->version = atomic_load(&s->version);
    ret_view->changed = atomic_load(&s->changed);
    return atomic_load(&s->gen) == gen;
}

/* ---- open and close -------------------------------------------------------------------------- */

static void scope_link_locked(struct rn_runtime *rt, struct rn__scope *scope, uint32_t index)
{
    struct rn__sync *s = &rt->syncs->items[index];

    s->prev = 0;
    s->next = scope->syncs;
    if (s->next)
        rt->syncs->items[s->next - 1].prev = index + 1;
    scope->syncs = index + 1;
}

static void scope_unlink_locked(struct rn_runtime *rt, struct rn__scope *scope, uint32_t index)
{
    struct rn__sync *items = rt->syncs->items;

    if (items[index].next)
        items[items[index].next - 1].prev = items[index].prev;
    if (items[index].prev)
        items[items[index].prev - 1].next = items[index].next;
    else
        scope->syncs = items[index].next;
}

/* Index of a free record, now in the scope's list; 0: there is none. */
static uint32_t record_take(struct rn_runtime *rt, struct rn__scope *scope)
{
    struct rn__syncs *all = rt->syncs;
    uint32_t index = 0;

    rn__lock(rt, &all->lock);
    if (all->free) {
        index = all->free - 1;
        all->free = all->items[index].next;
    } else if (atomic_load(&all->end) < SYNCS_MAX) {
        index = atomic_fetch_add(&all->end, 1);
    }
    if (index)
        scope_link_locked(rt, scope, index);
    rn__unlock(rt, &all->lock);
    return index;
}

/* A slot whose generations are used up is retired. */
static void record_give(struct rn_runtime *rt, struct rn__scope *scope, uint32_t index)
{
    struct rn__syncs *all = rt->syncs;

    rn__lock(rt, &all->lock);
    scope_unlink_locked(rt, scope, index);
    if (atomic_load(&all->items[index].gen) < UINT32_MAX - 2) {
        all->items[index].next = all->free;
        all->free = index + 1;
    }
    rn__unlock(rt, &all->lock);
}

int rn__sync_open(const struct rn_site *site, struct rn_scope handle, enum rn__sync_kind kind,
                  uint64_t value, struct rn__sync_ref *ret_ref)
{
    struct rn__task *t = rn__task_self();
    struct rn_runtime *rt = rn__rt();
    struct rn__scope *scope = rn__scope_get(handle);
    struct rn__sync *s;
    uint32_t index;

    if (!t)
        return -EPERM;
    if (!scope)
        return -EBADF;
    if (!scope_serves(scope, rn__scope_word(scope), t))
        return -EPERM;
    index = record_take(rt, scope);
    if (!index)
        return -ENOMEM;
    s = &rt->syncs->items[index];
    rn__lock(rt, &s->lock);
    s->value = value;
    s->result = 0;
    s->first = s->last = NULL;
    atomic_store(&s->site, site);
    atomic_store(&s->kind, (uint8_t)kind);
    atomic_store(&s->scope, rn__scope_word(scope));
    atomic_store(&s->holder, 0);
    atomic_store(&s->changed, 0);
    atomic_store(&s->gen, atomic_load(&s->gen) + 1);
    *ret_ref = (struct rn__sync_ref){rt->number << RN__SLOT_BITS | index, atomic_load(&s->gen)};
    rn__san_release(s);
    rn__unlock(rt, &s->lock);
    return 0;
}

static void close_locked(struct rn__sync_call *call)
{
    struct rn__sync *s = call->sync;
    struct rn__task *t = rn__task_self();

    if (t && atomic_load(&s->kind) == RN__SYNC_MUTEX && rn__sync_holder(s) == rn__task_owner(t))
        t->n_mutexes--;
    atomic_store(&s->gen, atomic_load(&s->gen) + 1);
    rn__sync_holder_set(s, 0);
    rn__sync_serve_all_locked(call, -EBADF);
}

int rn__sync_close(struct rn__sync_ref ref, enum rn__sync_kind kind)
{
    struct rn__sync_call call;
    struct rn__scope *scope;
    int r = rn__sync_lock(&call, ref, kind);

    if (r < 0)
        return r;
    scope = &call.rt->scopes[(uint32_t)atomic_load(&call.sync->scope) & RN__SLOT_MASK];
    close_locked(&call);
    rn__sync_unlock(&call);
    record_give(call.rt, scope, ref.slot & RN__SLOT_MASK);
    return 0;
}

/* The scope is empty: nobody waits any more, and nobody is left who might come. */
void rn__syncs_close_scope(struct rn__scope *scope)
{
    struct rn_runtime *rt = scope->rt;

    while (scope->syncs) {
        uint32_t index = scope->syncs - 1;
        struct rn__sync_call call = {.rt = rt, .sync = &rt->syncs->items[index]};

        rn__lock(rt, &call.sync->lock);
        close_locked(&call);
        rn__sync_unlock(&call);
        record_give(rt, scope, index);
    }
}

/* ---- the queue ------------------------------------------------------------------------------- */

static void unlink_locked(struct rn__sync *s, struct rn__sync_waiter *w)
{
    if (w->prev)
        w->prev->next = w->next;
    else
        s->first = w->next;
    if (w->next)
        w->next->prev = w->prev;
    else
        s->last = w->prev;
    /* from here on its owner may leave, if it has been claimed elsewhere */
    atomic_store_explicit(&w->queued, false, memory_order_release);
}

static void enqueue_locked(struct rn__sync *s, struct rn__sync_waiter *w)
{
    w->next = NULL;
    w->prev = s->last;
    if (s->last)
        s->last->next = w;
    else
        s->first = w;
    s->last = w;
    atomic_store_explicit(&w->queued, true, memory_order_relaxed);
}

static void withdraw(const struct rn__sync_call *call, struct rn__sync_waiter *w)
{
    if (!atomic_load_explicit(&w->queued, memory_order_acquire))
        return;
    rn__lock(call->rt, &call->sync->lock);
    if (atomic_load_explicit(&w->queued, memory_order_relaxed))
        unlink_locked(call->sync, w);
    rn__unlock(call->rt, &call->sync->lock);
}

struct rn__sync_waiter *rn__sync_first_locked(struct rn__sync *s)
{
    while (s->first && !rn__open(s->first->key))
        unlink_locked(s, s->first);
    return s->first;
}

bool rn__sync_serve_locked(struct rn__sync_call *call, struct rn__sync_waiter *w, int result)
{
    bool won = rn__claim(w->key, 0);

    unlink_locked(call->sync, w);
    if (!won)
        return false;
    w->result = result;
    w->next = NULL;
    if (call->woken)
        call->woken_last->next = w;
    else
        call->woken = w;
    call->woken_last = w;
    return true;
}

void rn__sync_serve_all_locked(struct rn__sync_call *call, int result)
{
    while (call->sync->first)
        (void)rn__sync_serve_locked(call, call->sync->first, result);
}

int rn__sync_wait_unlock(struct rn__sync_call *call, const struct rn_site *site,
                         enum rn_wait_kind kind, struct rn__sync_ref ref, uint64_t want,
                         rn_time deadline)
{
    const struct rn__wait what = {.kind = kind, .site = site, .slot = ref.slot, .gen = ref.gen};
    struct rn__sync_waiter w = {.owner = rn__task_owner(call->task), .want = want};
    unsigned winner;

    if (deadline <= 0 || (deadline != RN_FOREVER && deadline <= rn_now())) {
        rn__unlock(call->rt, &call->sync->lock);
        return -ETIMEDOUT;
    }
    w.key = rn__wait_begin();
    enqueue_locked(call->sync, &w);
    rn__unlock(call->rt, &call->sync->lock);

    winner = rn__park(&what, deadline, false);
    rn__san_acquire(call->sync);
    if (winner <= RN__WIN_CASE_MAX)
        return w.result;
    withdraw(call, &w);
    return winner == RN__WIN_TIMER ? -ETIMEDOUT : -ECANCELED;
}
