/* Records of tasks and scopes for other threads: copies that are consistent in themselves.
 *
 * A task's record lies on its stack, which is never unmapped but may be somebody else's a moment
 * later. So the state word is read before and after the copy: the same word with the same epoch
 * says that the task was parked (or not) all the while. Of a task that runs only what was set at
 * its birth is worth anything. Given up after TRIES, for a task that never stands still.
 */
#include "core.h"

enum { TRIES = 1000 };

uint32_t rn__tasks_end(const struct rn_runtime *rt)
{
    return atomic_load_explicit(&rt->ids_end, memory_order_acquire);
}

uint32_t rn__scopes_end(const struct rn_runtime *rt)
{
    return atomic_load_explicit(&rt->scopes_end, memory_order_acquire);
}

static enum rn_task_state public_state(unsigned state)
{
    return state == RN__TASK_READIED ? RN_TASK_RUNNABLE : (enum rn_task_state)state;
}

static void view_copy(const struct rn__task *t, const struct rn__scope *scope, uint64_t word,
                      struct rn__task_view *v)
{
    bool parked = rn__word_state(word) == RN_TASK_PARKED;

    *v = (struct rn__task_view){
        .id = t->id,
        .state = public_state(rn__word_state(word)),
        .epoch = rn__word_epoch(word),
        .owner = rn__task_owner(t),
        .scope = scope->slot & RN__SLOT_MASK,
        .name = t->name,
        .born = t->born,
        .deadline = RN_FOREVER,
    };
    if (!parked)
        return;
    v->wait = t->wait;
    v->deadline = t->deadline;
    v->since = t->since;
    v->woken =
        rn__word_winner(word) != RN__WIN_OPEN ||
        (!t->uncancellable && (atomic_load(&scope->cancelled) || atomic_load(&t->cancelled)));
}

bool rn__task_view(const struct rn_runtime *rt, uint32_t id, struct rn__task_view *ret_view)
{
    const _Atomic uint64_t *word = &rt->words[rn__word_index(id)];

    if (id == 0 || id >= rn__tasks_end(rt))
        return false;
    for (unsigned i = 0; i < TRIES; i++) {
        uint64_t before = atomic_load_explicit(word, memory_order_acquire);
        const struct rn__task *t = __atomic_load_n(&rt->tasks[id], __ATOMIC_RELAXED);
        const struct rn__scope *scope = t ? __atomic_load_n(&t->scope, __ATOMIC_RELAXED) : NULL;

        if (rn__word_state(before) == RN_TASK_FREE || !scope)
            return false; /* free, or being born */
        view_copy(t, scope, before, ret_view);
        atomic_thread_fence(memory_order_acquire);
        if (atomic_load_explicit(word, memory_order_relaxed) == before)
            return true;
    }
    return false;
}

bool rn__scope_view(const struct rn_runtime *rt, uint32_t slot, struct rn__scope_view *ret_view)
{
    const struct rn__scope *s = &rt->scopes[slot];
    uint32_t gen;
    const struct rn__scope *parent;

    if (slot >= rn__scopes_end(rt))
        return false;
    gen = atomic_load(&s->gen);
    if (!(gen & 1))
        return false;
    parent = s->parent;
    *ret_view = (struct rn__scope_view){
        .owner = rn__owner(RN__OWNER_SCOPE, slot, gen),
        .opener = s->opener,
        .parent = parent ? parent->slot & RN__SLOT_MASK : slot,
        .timed = s->timed,
    };
    return atomic_load(&s->gen) == gen;
}

int rn__fd_number_at(const struct rn_runtime *rt, uint32_t slot)
{
    uint32_t index = slot & RN__SLOT_MASK;

    return index < atomic_load_explicit(&rt->fds_end, memory_order_acquire)
               ? __atomic_load_n(&rt->fds[index].number, __ATOMIC_RELAXED)
               : -1;
}
