/* Scopes: a tree of them, each with the tasks that were born in it.
 *
 *      open --cancel--> cancelled --close: wait for the tasks--> free (generation moves on)
 *
 * The parent of a scope is the scope in which its opener was born, so scopes of one task are
 * independent of each other; cancelling goes down the tree. The opener is no task of its scope: it
 * gets the result, not the cancellation. A deadline is a timer that cancels. `rt->tree` guards the
 * links; words are claimed under it, which is safe, since nobody waits for it with a claim. A task
 * joins under it, too, and not any more once the scope is cancelled: so after the cancel that
 * begins a close nobody is born into the scope, from whatever thread.
 *
 * Generations are odd while a scope is open and even while it is free.
 */
#include <errno.h>

#include "core.h"

static void deadline_fired(struct rn_timer *timer)
{
    rn__scope_cancel(LIST_ENTRY(timer, struct rn__scope, timer));
}

static struct rn__scope *slot_take(struct rn_runtime *rt)
{
    struct rn__scope *s;
    uint32_t end = atomic_load_explicit(&rt->scopes_end, memory_order_relaxed);

    if (rt->scopes_free) {
        s = &rt->scopes[rt->scopes_free - 1];
        rt->scopes_free = s->next_free;
        return s;
    }
    if (end == RN__SCOPES_MAX)
        return NULL;
    s = &rt->scopes[end];
    s->slot = rt->number << RN__SLOT_BITS | end;
    atomic_store_explicit(&rt->scopes_end, end + 1, memory_order_release);
    return s;
}

int rn__scope_make(struct rn_runtime *rt, struct rn__scope *parent, uint64_t opener, unsigned flags,
                   const struct rn_site *site, struct rn__scope **ret_scope)
{
    struct rn__scope *s;

    rn__lock(rt, &rt->tree);
    s = slot_take(rt);
    if (s) {
        s->flags = flags;
        s->rt = rt;
        s->parent = parent;
        s->opener = opener;
        s->site = site;
        s->n_tasks = 0;
        s->error = s->error_real = 0;
        s->has_waiter = s->timed = false;
        list_init(&s->children);
        list_init(&s->tasks);
        list_init(&s->in_opener);
        list_init(&s->in_parent);
        if (parent)
            list_add_tail(&parent->children, &s->in_parent);
        atomic_store(&s->cancelled, parent && atomic_load(&parent->cancelled));
        atomic_fetch_add(&s->gen, 1);
        atomic_fetch_add(&rt->scopes_open, 1);
    }
    rn__unlock(rt, &rt->tree);
    if (!s)
        return -ENOMEM;
    *ret_scope = s;
    return 0;
}

void rn__scope_free(struct rn__scope *s)
{
    struct rn_runtime *rt = s->rt;

    rn__syncs_close_scope(s);
    if (s->timed)
        rn__wheel_disarm(&rt->workers[0].loop.wheel, &s->timer);
    rn__lock(rt, &rt->tree);
    rn_assert(s->n_tasks == 0 && list_empty(&s->children));
    list_remove(&s->in_parent);
    list_remove(&s->in_opener);
    s->next_free = rt->scopes_free;
    if (atomic_fetch_add(&s->gen, 1) <
        UINT32_MAX - 2) /* a slot whose generations are used up is retired */
        rt->scopes_free = (s->slot & RN__SLOT_MASK) + 1;
    atomic_fetch_sub(&rt->scopes_open, 1);
    rn__unlock(rt, &rt->tree);
}

struct rn__scope *rn__scope_get(struct rn_scope h)
{
    struct rn_runtime *rt = rn__rt();
    uint32_t index = h.slot & RN__SLOT_MASK;
    struct rn__scope *s;

    if (!rt || h.slot >> RN__SLOT_BITS != rt->number ||
        index >= atomic_load_explicit(&rt->scopes_end, memory_order_acquire))
        return NULL;
    s = &rt->scopes[index];
    return (h.gen & 1) && atomic_load(&s->gen) == h.gen ? s : NULL;
}

uint64_t rn__scope_word(const struct rn__scope *s)
{
    return rn__owner(RN__OWNER_SCOPE, s->slot & RN__SLOT_MASK, atomic_load(&s->gen));
}

static struct rn_scope handle_of(const struct rn__scope *s)
{
    return (struct rn_scope){s->slot, atomic_load(&s->gen)};
}

/* ---- cancel ---------------------------------------------------------------------------------- */

/* Down the tree without recursion: a flag first, everywhere, then the words. */
static struct rn__scope *tree_next(struct rn__scope *root, struct rn__scope *s)
{
    if (!list_empty(&s->children))
        return LIST_FIRST(&s->children, struct rn__scope, in_parent);
    while (s != root) {
        if (s->in_parent.next != &s->parent->children)
            return LIST_ENTRY(s->in_parent.next, struct rn__scope, in_parent);
        s = s->parent;
    }
    return NULL;
}

static void cancel_locked(struct rn__scope *root)
{
    struct rn__task *t;

    for (struct rn__scope *s = root; s; s = tree_next(root, s))
        atomic_store(&s->cancelled, true);
    for (struct rn__scope *s = root; s; s = tree_next(root, s)) {
        LIST_EACH(t, &s->tasks, in_scope) {
            rn__task_cancel_wait(root->rt, t);
        }
    }
}

void rn__scope_cancel(struct rn__scope *s)
{
    rn__lock(s->rt, &s->rt->tree);
    cancel_locked(s);
    rn__unlock(s->rt, &s->rt->tree);
}

int rn_task_cancel(struct rn_task task)
{
    struct rn_runtime *rt = rn__rt();
    struct rn__task *t;
    int r = -EBADF;

    if (!rt || !task.id)
        return r;
    rn__lock(rt, &rt->tree);
    t = rn__task_at(rt, task.id);
    if (t && t->gen == task.gen) {
        atomic_store(&t->cancelled, true);
        rn__task_cancel_wait(rt, t);
        r = 0;
    }
    rn__unlock(rt, &rt->tree);
    return r;
}

/* ---- tasks come and go ----------------------------------------------------------------------- */

int rn__scope_join(struct rn__scope *s, uint32_t gen, struct rn__task *t)
{
    int r = 0;

    rn__lock(s->rt, &s->rt->tree);
    if (atomic_load(&s->gen) != gen)
        r = -EBADF;
    else if (atomic_load(&s->cancelled))
        r = -ECANCELED;
    if (r == 0) {
        list_add_tail(&s->tasks, &t->in_scope);
        s->n_tasks++;
    }
    rn__unlock(s->rt, &s->rt->tree);
    return r;
}

/* All of it under one lock: when the last task has parted, the scope is its opener's to free. */
void rn__scope_part(struct rn__scope *s, struct rn__task *t, int result)
{
    struct rn_runtime *rt = s->rt;
    struct rn__key waiter;
    bool wake;

    rn__lock(rt, &rt->tree);
    list_remove(&t->in_scope);
    s->n_tasks--;
    if (result < 0 && s->error == 0)
        s->error = result;
    if (result < 0 && result != -ECANCELED && s->error_real == 0)
        s->error_real = result;
    if (result < 0 && s->flags & RN_SCOPE_FAIL_FAST && !atomic_load(&s->cancelled))
        cancel_locked(s);
    wake = s->n_tasks == 0 && s->has_waiter;
    waiter = s->waiter;
    rn__unlock(rt, &rt->tree);

    if (wake && rn__claim(waiter, 0))
        rn__ready(waiter.id);
}

/* ---- the public calls ------------------------------------------------------------------------ */

int rn_scope_open_at(const struct rn_site *site, unsigned flags, struct rn_scope *ret_scope)
{
    struct rn__task *t = rn__task_self();
    struct rn__scope *s = NULL;
    int r;

    if (!t)
        return -EPERM;
    if (flags & ~(unsigned)RN_SCOPE_FAIL_FAST)
        return -EINVAL;
    r = rn__scope_make(t->home->rt, t->scope, rn__task_owner(t), flags, site, &s);
    if (r < 0)
        return r;
    list_add_head(&t->opened, &s->in_opener);
    *ret_scope = handle_of(s);
    return 0;
}

struct rn_scope rn_scope_self(void)
{
    struct rn__task *t = rn__task_self();

    return t ? handle_of(t->scope) : (struct rn_scope){0, 0};
}

int rn_scope_deadline(struct rn_scope h, rn_time deadline)
{
    struct rn__scope *s = rn__scope_get(h);
    struct rn__worker *w = rn__worker_self();

    if (!s)
        return -EBADF;
    s->timed = deadline != RN_FOREVER;
    if (s->timed)
        rn__wheel_arm(&w->loop.wheel, &s->timer, deadline, deadline_fired);
    else
        rn__wheel_disarm(&w->loop.wheel, &s->timer);
    return 0;
}

int rn_scope_cancel(struct rn_scope h)
{
    struct rn__scope *s = rn__scope_get(h);

    if (!s)
        return -EBADF;
    rn__scope_cancel(s);
    return 0;
}

/* Announce the opener as the one to wake. False: no task is left. */
static bool scope_await(struct rn__scope *s)
{
    bool busy;

    rn__lock(s->rt, &s->rt->tree);
    busy = s->n_tasks > 0;
    if (busy)
        s->waiter = rn__wait_begin();
    s->has_waiter = busy;
    rn__unlock(s->rt, &s->rt->tree);
    return busy;
}

/* Wait until the scope is empty. Only its opener comes here, so there is one waiter at most. */
static int scope_drain(struct rn__scope *s, const struct rn_site *site, bool uncancellable)
{
    struct rn__wait what = {
        .kind = RN_WAIT_SCOPE, .site = site, .slot = s->slot, .gen = atomic_load(&s->gen)};

    while (scope_await(s))
        if (rn__park(&what, RN_FOREVER, uncancellable) == RN__WIN_CANCEL && s->n_tasks > 0)
            return -ECANCELED;
    rn__san_acquire(s);
    return 0;
}

static int scope_of_self(struct rn_scope h, struct rn__scope **ret_scope)
{
    struct rn__task *t = rn__task_self();

    *ret_scope = rn__scope_get(h);
    if (!t || (*ret_scope && (*ret_scope)->opener != rn__task_owner(t)))
        return -EPERM;
    return *ret_scope ? 0 : -EBADF;
}

int rn_scope_wait_at(const struct rn_site *site, struct rn_scope h)
{
    struct rn__scope *s;
    int r = scope_of_self(h, &s);

    if (r < 0)
        return r;
    r = scope_drain(s, site, false);
    return r < 0 ? r : s->error;
}

static int scope_close(struct rn__scope *s, const struct rn_site *site)
{
    int error;

    rn__scope_cancel(s);
    (void)scope_drain(s, site, true);
    error = s->error_real;
    rn__ends_close_owner(rn__scope_word(s));
    rn__scope_free(s);
    return error;
}

int rn_scope_close_at(const struct rn_site *site, struct rn_scope h)
{
    struct rn__scope *s;
    int r = scope_of_self(h, &s);

    return r < 0 ? r : scope_close(s, site);
}

void rn_scope_closep(struct rn_scope *h)
{
    if (h->gen)
        (void)rn_scope_close(*h);
    *h = (struct rn_scope){0, 0};
}

void rn__scopes_close_opened(struct rn__task *t)
{
    while (!list_empty(&t->opened)) {
        struct rn__scope *s = LIST_FIRST(&t->opened, struct rn__scope, in_opener);

        (void)scope_close(s, s->site);
    }
}
