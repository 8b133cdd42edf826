/* The model: channels, waiters in order, and what a step does to them. No memory, no time of its
 * own. */
#include <errno.h>
#include <string.h>

#include "random/random.h"

static bool peer_left(const struct model *m, int chan, bool send)
{
    for (int i = 0; i < ACTORS; i++) {
        const struct model_actor *a = &m->actors[i];
        if (a->state != ACTOR_ENDED && (send ? a->rx[chan] : a->tx[chan]))
            return true;
    }
    return false;
}

static bool own_open(const struct model_actor *a, int chan, bool send)
{
    return send ? a->tx[chan] : a->rx[chan];
}

/* The place of the first who waits to send (or to receive), -1: nobody. */
static int first_waiter(const struct model *m, int chan, bool send)
{
    const struct model_chan *c = &m->chans[chan];
    int found = -1;

    for (int i = 0; i < c->n_waiters; i++) {
        if (c->waiters[i].send == send && (found < 0 || m->fault == FAULT_LIFO))
            found = i;
    }
    return found;
}

static void waiters_remove(struct model *m, int actor)
{
    for (int k = 0; k < CHANS; k++) {
        struct model_chan *c = &m->chans[k];
        int n = 0;
        for (int i = 0; i < c->n_waiters; i++) {
            if (c->waiters[i].actor != actor)
                c->waiters[n++] = c->waiters[i];
        }
        memset(c->waiters + n, 0, (size_t)(c->n_waiters - n) * sizeof(c->waiters[0]));
        c->n_waiters = n;
    }
}

static void finish(struct model *m, int actor, int index, int result, int value)
{
    struct model_actor *a = &m->actors[actor];

    waiters_remove(m, actor);
    a->state = ACTOR_IDLE;
    a->ending = (struct ending){1, index, result, value};
}

/* ---- Operations ------------------------------------------------------------------------------ */

static bool is_ready(const struct model *m, const struct model_actor *a, int chan, bool send)
{
    const struct model_chan *c = &m->chans[chan];

    if (!own_open(a, chan, send) || first_waiter(m, chan, !send) >= 0)
        return true;
    if (send)
        return c->len < c->cap || !peer_left(m, chan, true);
    return c->len > 0 || !peer_left(m, chan, false);
}

static void enqueue(struct model_chan *c, int value)
{
    c->queue[c->len++] = value;
}

static int dequeue(struct model_chan *c)
{
    const int value = c->queue[0];

    memmove(c->queue, c->queue + 1, (size_t)--c->len * sizeof(c->queue[0]));
    c->queue[c->len] = 0;
    return value;
}

static int do_send(struct model *m, int chan, int value)
{
    struct model_chan *c = &m->chans[chan];
    const int to = first_waiter(m, chan, false);

    if (!peer_left(m, chan, true))
        return -EPIPE;
    if (to >= 0)
        finish(m, c->waiters[to].actor, c->waiters[to].index, 0, value);
    else
        enqueue(c, value);
    return 0;
}

static int do_recv(struct model *m, int chan, int *ret_value)
{
    struct model_chan *c = &m->chans[chan];
    const int from = first_waiter(m, chan, true);

    if (c->len == 0 && from < 0)
        return -EPIPE;
    if (c->len == 0) {
        *ret_value = m->actors[c->waiters[from].actor].value;
    } else {
        *ret_value = dequeue(c);
        if (from < 0 || m->fault == FAULT_NO_REFILL)
            return 0;
        enqueue(c, m->actors[c->waiters[from].actor].value);
    }
    finish(m, c->waiters[from].actor, c->waiters[from].index, 0, 0);
    return 0;
}

static void do_case(struct model *m, int actor, int index)
{
    struct model_actor *a = &m->actors[actor];
    const int chan = a->step.cases[index].chan;
    const bool send = a->step.cases[index].send;
    int value = 0, result = -EBADF;

    if (own_open(a, chan, send))
        result = send ? do_send(m, chan, a->value) : do_recv(m, chan, &value);
    finish(m, actor, index, result, value);
}

static void wait_on_all(struct model *m, int actor)
{
    const struct model_actor *a = &m->actors[actor];

    for (int i = 0; i < a->step.n_cases; i++) {
        struct model_chan *c = &m->chans[a->step.cases[i].chan];
        c->waiters[c->n_waiters++] =
            (struct waiter){(uint8_t)actor, (uint8_t)i, a->step.cases[i].send};
    }
}

bool model_begin(struct model *m, int actor, const struct step *step, int value, int64_t now,
                 const struct ending *seen)
{
    struct model_actor *a = &m->actors[actor];
    bool any = false;

    a->step = *step;
    a->value = value;
    a->state = ACTOR_BUSY;
    a->by_close = false;
    a->ending = (struct ending){0};
    a->deadline = step->forever ? INT64_MAX : now + step->ms * INT64_C(1000000);
    if (step->kind == STEP_SLEEP) {
        if (step->ms == 0)
            finish(m, actor, -1, 0, 0);
        return true;
    }
    for (int i = 0; i < step->n_cases; i++)
        any |= is_ready(m, a, step->cases[i].chan, step->cases[i].send);
    if (any) {
        const int k = seen->index;
        if (!seen->done || k < 0 || k >= step->n_cases ||
            !is_ready(m, a, step->cases[k].chan, step->cases[k].send))
            return false;
        do_case(m, actor, k);
    } else if (!step->forever && step->ms == 0) {
        finish(m, actor, -1, -ETIMEDOUT, 0);
    } else {
        wait_on_all(m, actor);
    }
    return true;
}

/* ---- Ends ------------------------------------------------------------------------------------ */

/* Those who wait for a side that has gone. */
static void wake_by_close(struct model *m, int chan, bool send)
{
    for (int i = first_waiter(m, chan, send); i >= 0 && m->fault != FAULT_CLOSE_SLEEPS;
         i = first_waiter(m, chan, send)) {
        const struct waiter w = m->chans[chan].waiters[i];
        finish(m, w.actor, w.index, -EPIPE, 0);
        m->actors[w.actor].by_close = true;
    }
}

void model_close(struct model *m, int actor, int chan, bool send)
{
    struct model_actor *a = &m->actors[actor];

    if (send)
        a->tx[chan] = false;
    else
        a->rx[chan] = false;
    if (peer_left(m, chan, !send)) /* another of the same side */
        return;
    wake_by_close(m, chan, !send);
    if (!send) { /* nobody will receive what is left */
        m->destroyed += m->fault == FAULT_DROPS ? 0 : m->chans[chan].len;
        memset(m->chans[chan].queue, 0, sizeof(m->chans[chan].queue));
        m->chans[chan].len = 0;
    }
}

void model_cancel(struct model *m, int actor)
{
    if (m->actors[actor].state == ACTOR_ENDED)
        return;
    if (m->fault != FAULT_NO_CANCEL)
        waiters_remove(m, actor);
    m->actors[actor].state = ACTOR_ENDING;
}

/* The end of a task closes several at once: a select may have seen any of them first. */
void model_end(struct model *m, int actor, const struct ending seen[ACTORS])
{
    for (int k = 0; k < CHANS; k++) {
        for (int send = 0; send < 2; send++) {
            if (own_open(&m->actors[actor], k, send))
                model_close(m, actor, k, send);
        }
    }
    m->actors[actor].state = ACTOR_ENDED;
    for (int i = 0; i < ACTORS; i++) {
        struct model_actor *a = &m->actors[i];
        const int k = seen[i].index;
        if (a->state != ACTOR_IDLE || !a->by_close || k < 0 || k >= a->step.n_cases)
            continue;
        if (!peer_left(m, a->step.cases[k].chan, a->step.cases[k].send))
            a->ending.index = k;
    }
}

void model_time(struct model *m, int64_t now)
{
    for (int i = 0; i < ACTORS; i++) {
        const struct model_actor *a = &m->actors[i];
        const int64_t late = m->fault == FAULT_LATE ? 5000000 : 0;
        if (a->state == ACTOR_BUSY && a->deadline != INT64_MAX && a->deadline + late <= now)
            finish(m, i, -1, a->step.kind == STEP_SLEEP ? 0 : -ETIMEDOUT, 0);
    }
}
