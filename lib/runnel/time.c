/* Time: one hierarchical wheel per worker.
 *
 * A tick is 2^16 ns (65 us), in `sim` one ns; a level has 64 slots, each as wide as the whole level
 * below. A timer lies on the level of the highest 6-bit digit in which its tick differs from `now`,
 * so arming and disarming are O(1), and it moves down at most once a level. Ticks are rounded up:
 * no timer fires early. A bit of `occupied` may outlive the last timer of its slot; the next search
 * clears it.
 *
 * Deadlines of tasks and timers of callbacks are the same struct; only what fires differs.
 */
#include "core.h"

void rn__wheel_init(struct rn__wheel *w, bool exact, rn_time now)
{
    *w = (struct rn__wheel){.shift = exact ? 0 : 16};
    w->now = (uint64_t)now >> w->shift;
}

static uint64_t tick_of(const struct rn__wheel *w, rn_time when)
{
    uint64_t t = when <= 0 ? 0 : (uint64_t)when;

    return (t + (UINT64_C(1) << w->shift) - 1) >> w->shift;
}

static void link_at(struct rn_timer **head, struct rn_timer *timer)
{
    timer->next = *head;
    timer->prev = head;
    if (timer->next)
        timer->next->prev = &timer->next;
    *head = timer;
}

static void unlink_timer(struct rn_timer *timer)
{
    *timer->prev = timer->next;
    if (timer->next)
        timer->next->prev = timer->prev;
    timer->next = NULL;
    timer->prev = NULL;
}

static void wheel_insert(struct rn__wheel *w, struct rn_timer *timer)
{
    uint64_t tick = tick_of(w, timer->when);
    unsigned level, slot;

    if (tick <= w->now) {
        link_at(&w->due, timer);
        return;
    }
    level = (unsigned)(63 - __builtin_clzll((tick ^ w->now) | 63)) / 6;
    slot = (unsigned)(tick >> (6 * level)) & 63;
    link_at(&w->slots[level][slot], timer);
    w->occupied[level] |= UINT64_C(1) << slot;
}

static void armed_add(struct rn__wheel *w, int64_t n)
{
    uint64_t armed = atomic_load_explicit(&w->armed, memory_order_relaxed);

    atomic_store_explicit(&w->armed, armed + (uint64_t)n, memory_order_relaxed);
}

void rn__wheel_arm(struct rn__wheel *w, struct rn_timer *timer, rn_time when,
                   void (*fn)(struct rn_timer *timer))
{
    if (timer->prev)
        unlink_timer(timer);
    else
        armed_add(w, 1);
    timer->when = when;
    timer->fn = fn;
    wheel_insert(w, timer);
}

void rn__wheel_disarm(struct rn__wheel *w, struct rn_timer *timer)
{
    if (!timer->prev)
        return;
    unlink_timer(timer);
    armed_add(w, -1);
}

/* The first slot with timers, lowest level first: a slot of a lower level always comes before those
 * of the higher. Returns the tick at which it begins, UINT64_MAX when the wheel is empty. */
static uint64_t wheel_first(struct rn__wheel *w, unsigned *ret_level, unsigned *ret_slot)
{
    for (unsigned level = 0; level < RN__WHEEL_LEVELS; level++) {
        while (w->occupied[level]) {
            unsigned slot = (unsigned)__builtin_ctzll(w->occupied[level]);
            unsigned shift = 6 * level;
            uint64_t above = shift + 6 > 63 ? 0 : w->now >> (shift + 6) << (shift + 6);

            if (w->slots[level][slot]) {
                *ret_level = level;
                *ret_slot = slot;
                return above | (uint64_t)slot << shift;
            }
            w->occupied[level] &= ~(UINT64_C(1) << slot);
        }
    }
    return UINT64_MAX;
}

rn_time rn__wheel_next(struct rn__wheel *w)
{
    unsigned level, slot;
    uint64_t tick;

    if (w->due)
        return 0;
    if (!atomic_load_explicit(&w->armed, memory_order_relaxed))
        return RN_FOREVER;
    tick = wheel_first(w, &level, &slot);
    return tick > (uint64_t)INT64_MAX >> w->shift ? RN_FOREVER : (rn_time)(tick << w->shift);
}

/* Timers of one slot are linked newest first: turn the list round, so that equals fire in the order
 * of their arming. */
static void slot_move(struct rn_timer **from, struct rn_timer **to)
{
    struct rn_timer *timer;

    while ((timer = *from)) {
        unlink_timer(timer);
        link_at(to, timer);
    }
}

static void fire_list(struct rn__wheel *w, struct rn_timer **head)
{
    struct rn_timer *list = NULL, *timer;

    slot_move(head, &list);
    while ((timer = list)) { /* a callback may disarm any of the others */
        unlink_timer(timer);
        armed_add(w, -1);
        timer->fn(timer);
    }
}

void rn__wheel_advance(struct rn__wheel *w, rn_time now)
{
    uint64_t tick_now = now <= 0 ? 0 : (uint64_t)now >> w->shift;
    uint64_t tick;
    unsigned level, slot;

    if (w->due)
        fire_list(w, &w->due);
    while ((tick = wheel_first(w, &level, &slot)) <= tick_now) {
        struct rn_timer *list = NULL, *timer;

        w->now = tick;
        w->occupied[level] &= ~(UINT64_C(1) << slot);
        if (level == 0) {
            fire_list(w, &w->slots[0][slot]);
            continue;
        }
        slot_move(&w->slots[level][slot], &list);
        while ((timer = list)) { /* down to finer levels; what begins right here becomes due */
            unlink_timer(timer);
            wheel_insert(w, timer);
        }
        if (w->due)
            fire_list(w, &w->due);
    }
    if (tick_now > w->now)
        w->now = tick_now;
}

void rn_timer_arm(struct rn_timer *timer, rn_time when, void (*fn)(struct rn_timer *timer))
{
    struct rn__worker *w = rn__worker_self();

    rn_assert(w != NULL);
    rn__san_release(&w->loop);
    rn__wheel_arm(&w->loop.wheel, timer, when, fn);
}

void rn_timer_disarm(struct rn_timer *timer)
{
    struct rn__worker *w = rn__worker_self();

    rn_assert(w != NULL || !timer->prev);
    if (w)
        rn__wheel_disarm(&w->loop.wheel, timer);
}

rn_time rn_now(void)
{
    struct rn_runtime *rt = rn__rt();

    return rt && rt->sim ? rt->sim_now : rn__clock();
}

rn_time rn_loop_now(void)
{
    struct rn__worker *w = rn__worker_self();

    if (!w)
        return rn__clock_coarse();
    return atomic_load_explicit(&w->loop.coarse, memory_order_relaxed);
}
