/* Select: one of several sends and receives.
 *
 *      judge all cases -> lock their channels -> one that is ready? do it
 *                                             -> none: a waiter record in each queue, unlock, park,
 * take the others back
 *
 * The channels are locked all at once, in the order of their addresses, a channel that occurs twice
 * once: so a default is taken only at a moment when no case was ready. Among the ready each has the
 * same chance. Who wakes us has claimed one record, by one CAS for all of them, and done its
 * operation; the others are in queues with O(1) removal.
 *
 * We did not take Go's shuffled order of polling: one pass with a reservoir of one gives the same
 * choice without a permutation.
 */
#include "channel.h"

#include <errno.h>
#include <stdlib.h>

#define INLINE_CASES 6 /* on the stack; more come from the heap */

struct select {
    struct rn__chans   *cs;
    uint64_t            self;
    struct rn_case     *cases;
    struct rn__waiter  *w;     /* one for each case that isn't empty */
    struct rn__chan   **order; /* their channels by address, each once */
    size_t              n, n_order;
};

static bool case_empty(const struct rn_case *c)
{
    return c->end.slot == 0 && c->end.gen == 0;
}

/* A waiter for each case; a slot that leads to no channel is ready with -EBADF. */
static void waiters_fill(struct select *s, size_t n_cases)
{
    for (size_t i = 0; i < n_cases; i++) {
        const struct rn_case *c = &s->cases[i];
        if (case_empty(c))
            continue;
        struct rn__end_rec *rec = rn__rec_find(s->cs, c->end.slot);
        s->w[s->n++] = (struct rn__waiter){
            .rec = rec,
            .chan = rec ? atomic_load_explicit(&rec->chan, memory_order_acquire) : NULL,
            .value = c->value,
            .owner = s->self,
            .index = (uint16_t)i,
            .dir = c->op == RN_OP_SEND ? RN__TX : RN__RX,
        };
    }
}

static void heap_sift(struct rn__chan **a, size_t root, size_t n)
{
    for (size_t child; (child = 2 * root + 1) < n; root = child) {
        if (child + 1 < n && (uintptr_t)a[child] < (uintptr_t)a[child + 1])
            child++;
        if ((uintptr_t)a[root] >= (uintptr_t)a[child])
            return;
        struct rn__chan *t = a[root];
        a[root] = a[child];
        a[child] = t;
    }
}

/* Heapsort, since qsort() may allocate and task stacks are small. */
static void order_fill(struct select *s)
{
    size_t n = 0, unique = 0;

    for (size_t i = 0; i < s->n; i++) {
        if (s->w[i].chan)
            s->order[n++] = s->w[i].chan;
    }
    for (size_t i = n / 2; i-- > 0;)
        heap_sift(s->order, i, n);
    for (size_t i = n; i-- > 1;) {
        struct rn__chan *t = s->order[0];
        s->order[0] = s->order[i];
        s->order[i] = t;
        heap_sift(s->order, 0, i);
    }
    for (size_t i = 0; i < n; i++) {
        if (i == 0 || s->order[i] != s->order[i - 1])
            s->order[unique++] = s->order[i];
    }
    s->n_order = unique;
}

static void order_lock(const struct select *s)
{
    for (size_t i = 0; i < s->n_order; i++)
        rn_lock_acquire(&s->order[i]->lock);
}

static void order_unlock(const struct select *s)
{
    for (size_t i = s->n_order; i-- > 0;)
        rn_lock_release(&s->order[i]->lock);
}

/* 0, or why the case is over before it began. */
static int waiter_judge_locked(const struct select *s, const struct rn__waiter *w)
{
    if (!w->chan)
        return -EBADF;
    return rn__rec_judge_locked(w->rec, w->chan, s->cases[w->index].end.gen, (enum rn__dir)w->dir,
                                s->self);
}

/* One of the ready at random, or NULL. Its result is the judgement. */
static struct rn__waiter *pick_locked(struct select *s)
{
    struct rn__waiter *picked = NULL;
    uint32_t n_ready = 0;

    for (size_t i = 0; i < s->n; i++) {
        struct rn__waiter *w = &s->w[i];
        w->result = waiter_judge_locked(s, w);
        if (w->result == 0)
            rn__rec_touch(w->rec);
        if (w->result == 0 && !rn__chan_ready_locked(w->chan, (enum rn__dir)w->dir))
            continue;
        n_ready++;
        if (n_ready == 1 || rn__random(n_ready) == 0)
            picked = w;
    }
    return picked;
}

/* Do one that is ready; -EAGAIN: none is. A peer may be claimed elsewhere between the look and the
 * deed, hence the loop. */
static int ready_do_locked(struct select *s, struct rn__after *after)
{
    struct rn__waiter *w;

    while ((w = pick_locked(s))) {
        if (w->result == 0)
            w->result =
                rn__chan_do_locked(s->cs, w->chan, (enum rn__dir)w->dir, w->value, s->self, after);
        if (w->result != -EAGAIN) {
            s->cases[w->index].result = w->result;
            return w->index;
        }
    }
    return -EAGAIN;
}

static int wait_unlock(const struct rn_site *site, struct select *s, size_t n_cases,
                       rn_time deadline)
{
    struct rn__key key = rn__wait_begin();

    for (size_t i = 0; i < s->n; i++) {
        s->w[i].key = key;
        rn__waiter_enqueue_locked(&s->w[i]);
    }
    order_unlock(s);

    const struct rn__wait what = {
        .kind = RN_WAIT_SELECT, .site = site, .cases = s->cases, .n_cases = (uint32_t)n_cases};
    unsigned winner = rn__park(&what, deadline, false);
    int r = winner == RN__WIN_TIMER ? -ETIMEDOUT : -ECANCELED;
    for (size_t i = 0; i < s->n; i++) {
        struct rn__waiter *w = &s->w[i];
        rn__waiter_withdraw(w);
        if (w->index == winner) {
            s->cases[winner].result = w->result;
            r = (int)winner;
        }
    }
    return r;
}

static int select_run(const struct rn_site *site, struct select *s, size_t n_cases,
                      rn_time deadline)
{
    struct rn__after after = {0};

    waiters_fill(s, n_cases);
    order_fill(s);
    order_lock(s);
    int r = ready_do_locked(s, &after);
    if (r != -EAGAIN) {
        order_unlock(s);
        rn__after_run(s->cs, &after);
        return r;
    }

    bool look = deadline <= 0 || (deadline != RN_FOREVER && deadline <= rn_now());
    if (look || rn_task_id() == 0) {
        order_unlock(s);
        return look ? -ETIMEDOUT : -EPERM;
    }
    return wait_unlock(site, s, n_cases, deadline);
}

int rn_select_at(const struct rn_site *site, struct rn_case cases[], size_t n, rn_time deadline)
{
    struct rn__waiter few[INLINE_CASES];
    struct rn__chan *few_order[INLINE_CASES];
    struct select s = {.cs = rn__chans_self(),
                       .self = rn__owner_self(),
                       .cases = cases,
                       .w = few,
                       .order = few_order};

    if (n > RN__WIN_CASE_MAX + 1)
        return -EINVAL;
    if (!s.cs)
        return -EPERM;
    if (deadline > 0 && rn__cancelled())
        return -ECANCELED;

    void *many = NULL;
    if (n > INLINE_CASES) {
        many = malloc(n * (sizeof(*s.w) + sizeof(*s.order)));
        if (!many)
            return -ENOMEM;
        s.w = many;
        s.order = (struct rn__chan **)(void *)(s.w + n);
    }
    int r = select_run(site, &s, n, deadline);
    free(many);
    rn__budget();
    return r;
}
