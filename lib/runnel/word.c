/* The state word: begin, claim, ready, park. The protocol is in internal.h; the model is {cancel
 * sets the flag, then walks the words} against {a park publishes PARKED, then looks at the flag},
 * both seq_cst as soon as a second thread works here (`shared`).
 *
 *      RUNNING --park, committed--> PARKED --ready--> RUNNABLE --run--> RUNNING
 *         \--ready before the commit--> READIED --commit--> RUNNABLE
 *
 * Ids are permuted into the array so that tasks started one after the other have their words in
 * different cache lines.
 */
#include "core.h"

static _Atomic uint64_t *word_at(const struct rn_runtime *rt, uint32_t id)
{
    return &rt->words[rn__word_index(id)];
}

/* Compare and exchange; without the lock prefix as long as only this thread works here (posts of
 * others come by the inbox). */
static bool word_swap(const struct rn_runtime *rt, _Atomic uint64_t *word, uint64_t *expected,
                      uint64_t next)
{
    uint64_t v;

    if (atomic_load_explicit(&rt->shared, memory_order_relaxed))
        return atomic_compare_exchange_strong(word, expected, next);
    v = atomic_load_explicit(word, memory_order_relaxed);
    if (v != *expected) {
        *expected = v;
        return false;
    }
    atomic_store_explicit(word, next, memory_order_release);
    return true;
}

struct rn__key rn__wait_begin(void)
{
    struct rn__worker *w = rn__worker_self();
    struct rn__task *t = w->current;
    _Atomic uint64_t *word = word_at(w->rt, t->id);
    uint64_t epoch =
        (rn__word_epoch(atomic_load_explicit(word, memory_order_relaxed)) + 1) & RN__EPOCH_MASK;

    atomic_store_explicit(word, rn__word(RN_TASK_RUNNING, RN__WIN_OPEN, epoch),
                          memory_order_release);
    return (struct rn__key){t->id, epoch};
}

void rn__wait_abandon(void)
{
    struct rn__worker *w = rn__worker_self();
    _Atomic uint64_t *word = word_at(w->rt, w->current->id);

    atomic_store_explicit(
        word,
        rn__word(RN_TASK_RUNNING, RN__WIN_NONE,
                 rn__word_epoch(atomic_load_explicit(word, memory_order_relaxed))),
        memory_order_release);
}

bool rn__open(struct rn__key key)
{
    uint64_t v = atomic_load_explicit(word_at(rn__rt(), key.id), memory_order_acquire);

    return rn__word_epoch(v) == key.epoch && rn__word_winner(v) == RN__WIN_OPEN;
}

static bool claim(struct rn_runtime *rt, struct rn__key key, unsigned winner)
{
    _Atomic uint64_t *word = word_at(rt, key.id);
    uint64_t v = atomic_load_explicit(word, memory_order_acquire);

    while (rn__word_epoch(v) == key.epoch && rn__word_winner(v) == RN__WIN_OPEN)
        if (word_swap(rt, word, &v, rn__word(rn__word_state(v), winner, key.epoch)))
            return true;
    return false;
}

bool rn__claim(struct rn__key key, unsigned winner)
{
    return claim(rn__rt(), key, winner);
}

void rn__ready(uint32_t id)
{
    struct rn_runtime *rt = rn__rt();
    _Atomic uint64_t *word = word_at(rt, id);
    uint64_t v = atomic_load_explicit(word, memory_order_acquire);
    struct rn__task *t = rt->tasks[id];

    rn__san_release(t);
    for (;;) {
        bool parked = rn__word_state(v) == RN_TASK_PARKED;
        uint64_t next = rn__word(parked ? RN_TASK_RUNNABLE : RN__TASK_READIED, rn__word_winner(v),
                                 rn__word_epoch(v));

        rn_assert(parked || rn__word_state(v) == RN_TASK_RUNNING);
        if (!word_swap(rt, word, &v, next))
            continue;
        if (parked)
            rn__run_queue(t, true);
        return;
    }
}

/* The wait is over before it began; nobody else touches the word any more. */
static void resume(struct rn_runtime *rt, _Atomic uint64_t *word, struct rn__key key,
                   unsigned winner, bool soon)
{
    atomic_store_explicit(word, rn__word(RN_TASK_RUNNABLE, winner, key.epoch),
                          memory_order_release);
    rn__run_queue(rt->tasks[key.id], soon);
}

/* As soon as PARKED can be seen, a winner on another thread may let the task go on and end: so what
 * belongs to the task is read before. Its cancel flag has to be read after; the memory is there in
 * any case, and if it speaks of another task by then, the claim of this wait fails. */
void rn__park_commit(struct rn__task *t)
{
    struct rn_runtime *rt = t->home->rt;
    const struct rn__scope *scope = t->scope;
    bool deaf = t->uncancellable || rn__task_shielded_until(t) > 0;
    struct rn__key key = {.id = t->id};
    _Atomic uint64_t *word = word_at(rt, key.id);
    uint64_t v = atomic_load_explicit(word, memory_order_acquire);

    key.epoch = rn__word_epoch(v);
    while (rn__word_state(v) == RN_TASK_RUNNING)
        if (word_swap(rt, word, &v, rn__word(RN_TASK_PARKED, rn__word_winner(v), key.epoch))) {
            if (!deaf && (atomic_load(&scope->cancelled) || atomic_load(&t->cancelled)) &&
                claim(rt, key, RN__WIN_CANCEL))
                resume(rt, word, key, RN__WIN_CANCEL, false);
            return;
        }
    rn_assert(rn__word_state(v) == RN__TASK_READIED);
    resume(rt, word, key, rn__word_winner(v), true);
}

/* When the park has to be looked at again: its deadline, or the end of the shields if that comes
 * first. */
static rn_time park_timer_at(const struct rn__task *t)
{
    rn_time until = t->uncancellable ? 0 : rn__task_shielded_until(t);

    return until > 0 && until < t->deadline ? until : t->deadline;
}

void rn__task_timer_fired(struct rn_timer *timer)
{
    struct rn__task *t = LIST_ENTRY(timer, struct rn__task, timer);
    struct rn_runtime *rt = t->home->rt;
    rn_time fired = timer->when;
    struct rn__key key = {t->id, rn__word_epoch(atomic_load(word_at(rt, t->id)))};

    if (fired >= t->deadline) {
        if (claim(rt, key, RN__WIN_TIMER))
            rn__ready(t->id);
        return;
    }
    if (rn__task_cancelled(t) && claim(rt, key, RN__WIN_CANCEL)) {
        rn__ready(t->id);
        return;
    }
    if (park_timer_at(t) != RN_FOREVER) /* a shield has ended, the wait goes on */
        rn__wheel_arm(&t->home->loop.wheel, timer, park_timer_at(t), rn__task_timer_fired);
}

unsigned rn__park(const struct rn__wait *what, rn_time deadline, bool uncancellable)
{
    struct rn__worker *w = rn__worker_self();
    struct rn__task *t = w->current;
    _Atomic uint64_t *word = word_at(w->rt, t->id);
    rn_time timer_at;
    uint64_t v;

    t->wait = *what;
    t->deadline = deadline;
    t->since = atomic_load_explicit(&w->loop.coarse, memory_order_relaxed);
    t->uncancellable = uncancellable;
    timer_at = park_timer_at(t);
    if (timer_at != RN_FOREVER)
        rn__wheel_arm(&w->loop.wheel, &t->timer, timer_at, rn__task_timer_fired);
    rn__count(&w->counts.parks[what->kind]);
    w->parked_since_check = true;

    rn__leave(w, RN__ACT_PARK);

    w = rn__worker_self(); /* perhaps another one */
    rn__san_acquire(t);
    rn__wheel_disarm(&w->loop.wheel, &t->timer);
    v = atomic_load_explicit(word, memory_order_acquire);
    atomic_store_explicit(word, rn__word(RN_TASK_RUNNING, RN__WIN_NONE, rn__word_epoch(v)),
                          memory_order_release);
    t->wait.kind = RN_WAIT_NONE;
    return rn__word_winner(v);
}
