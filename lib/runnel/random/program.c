/* Makes random programs, runs them, compares them with the model, and shrinks those that fail. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <base/assert.h>
#include <base/cleanup.h>
#include <runnel/runnel.h>

#include "random/random.h"

enum { MODELS_MAX = 256 };

#define OK(expr) rn_assert((expr) >= 0)

/* ---- Making ---------------------------------------------------------------------------------- */

static uint32_t dice(uint64_t *state, uint32_t n)
{
    uint64_t x = *state += UINT64_C(0x9e3779b97f4a7c15);

    x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
    return (uint32_t)((x >> 33) % n);
}

static enum step_kind kind_make(uint64_t *random)
{
    const uint32_t n = dice(random, 1000);

    return n < 720   ? STEP_SELECT
           : n < 740 ? STEP_SLEEP
           : n < 755 ? STEP_CLOSE_TX
           : n < 770 ? STEP_CLOSE_RX
           : n < 777 ? STEP_CANCEL
           : n < 780 ? STEP_SCOPE_CANCEL
                     : STEP_TIME;
}

static struct step step_make(uint64_t *random)
{
    struct step s = {.kind = (uint8_t)kind_make(random), .actor = (uint8_t)dice(random, ACTORS)};
    const uint32_t how_long = dice(random, 10);

    s.plain = dice(random, 2);
    s.n_cases = (uint8_t)(s.plain ? 1 : dice(random, CASES + 1));
    for (int i = 0; i < CASES; i++) {
        s.cases[i].chan = (uint8_t)dice(random, CHANS);
        s.cases[i].send = dice(random, 2);
    }
    s.forever = how_long < 3 && s.kind == STEP_SELECT;
    s.ms = (uint16_t)(how_long < 8 ? 1 + dice(random, 20) : 0);
    s.burst = dice(random, 3) == 0;
    return s;
}

void program_make(struct random_program *p, uint64_t seed)
{
    uint64_t random = seed;

    *p = (struct random_program){.seed = seed, .n = 20 + dice(&random, STEPS_MAX - 20 + 1)};
    for (size_t i = 0; i < p->n; i++)
        p->steps[i] = step_make(&random);
}

/* ---- Actors ---------------------------------------------------------------------------------- */

struct actor {
    int number;
    struct rn_tx tx[CHANS], commands; /* the latter is the driver's */
    struct rn_rx rx[CHANS], orders;
    struct rn_task task;
    struct step step;
    int value;
    struct rn_tx reports;
};

/* What an actor tells the driver: of an operation, or that it has ended. */
struct report {
    int actor, ended;
    struct ending ending;
};

struct models {
    struct model items[MODELS_MAX];
    size_t n;
};

struct driver {
    const struct random_program *program;
    struct models now, next; /* all that explain what was seen so far */
    struct actor actors[ACTORS];
    struct ending seen[ACTORS]; /* of the last operation of each */
    bool ended[ACTORS];
    struct rn_rx reports;
    struct rn_tx reporter; /* what the actors' are made from */
    struct rn_scope scopes[SCOPES];
    int values; /* sent so far: each its own number */
    struct program_counts counts;
    const char *failure;
};

struct chan_ends {
    struct rn_tx tx;
    struct rn_rx rx;
};

static _Atomic int destroyed; /* one simulation runs at a time */

static void value_destroy(void *value)
{
    (void)value;
    destroyed++;
}

static int act_plain(struct actor *a, rn_time deadline, int *ret_value)
{
    const struct step *s = &a->step;
    const int chan = s->cases[0].chan;
    const bool tries = deadline == 0 && a->value % 2;
    int r;

    if (s->cases[0].send)
        r = tries ? rn_tx_try_send(a->tx[chan], &a->value)
                  : rn_tx_send(a->tx[chan], &a->value, deadline);
    else
        r = tries ? rn_rx_try_recv(a->rx[chan], ret_value)
                  : rn_rx_recv(a->rx[chan], ret_value, deadline);
    return r == -EAGAIN ? -ETIMEDOUT : r;
}

static int act_select(struct actor *a, rn_time deadline, int values[CASES], int *ret_index)
{
    struct rn_case c[CASES];

    for (int i = 0; i < a->step.n_cases; i++) {
        const int chan = a->step.cases[i].chan;
        values[i] = a->value;
        if (a->step.cases[i].send)
            c[i] = (struct rn_case){RN_OP_SEND, rn_end_tx(a->tx[chan]), &values[i], 0};
        else
            c[i] = (struct rn_case){RN_OP_RECV, rn_end_rx(a->rx[chan]), &values[i], 0};
    }
    *ret_index = rn_select(c, a->step.n_cases, deadline);
    return *ret_index < 0 ? *ret_index : c[*ret_index].result;
}

static int act(struct actor *a, struct ending *ret_ending)
{
    const struct step *s = &a->step;
    const rn_time deadline = s->forever ? RN_FOREVER : s->ms ? rn_after(s->ms * RN_MS) : 0;
    int values[CASES] = {0}, index = 0, r;

    switch (s->kind) {
    case STEP_SLEEP:
        r = rn_sleep(deadline);
        index = -1;
        break;
    case STEP_CLOSE_TX:
        r = rn_tx_close(a->tx[s->cases[0].chan]);
        break;
    case STEP_CLOSE_RX:
        r = rn_rx_close(a->rx[s->cases[0].chan]);
        break;
    default:
        r = s->plain ? act_plain(a, deadline, &values[0]) : act_select(a, deadline, values, &index);
        if (r == -ETIMEDOUT)
            index = -1;
    }
    *ret_ending = (struct ending){1, index, r, index >= 0 ? values[index] : 0};
    return r;
}

static int actor_main(void *arg)
{
    struct actor *a = arg;
    struct report report = {.actor = a->number};

    while (rn_rx_recv(a->orders, &a->step, RN_FOREVER) == 0 && act(a, &report.ending) != -ECANCELED)
        OK(rn_tx_try_send(a->reports, &report));
    report.ended = 1;
    OK(rn_tx_try_send(a->reports, &report));
    return 0;
}

/* About half of the end-points that it could have; of the others it has handles that are stale. */
static size_t actor_equip(struct driver *d, struct actor *a, const struct chan_ends *chans,
                          uint64_t *random, struct rn_end *ends)
{
    struct model_actor *m = &d->now.items[0].actors[a - d->actors];
    size_t n = 0;

    for (int k = 0; k < CHANS; k++) {
        OK(rn_tx_dup(chans[k].tx, &a->tx[k]));
        OK(rn_rx_dup(chans[k].rx, &a->rx[k]));
        m->tx[k] = dice(random, 2);
        m->rx[k] = dice(random, 2);
        if (m->tx[k])
            ends[n++] = rn_end_tx(a->tx[k]);
        else
            OK(rn_tx_close(a->tx[k]));
        if (m->rx[k])
            ends[n++] = rn_end_rx(a->rx[k]);
        else
            OK(rn_rx_close(a->rx[k]));
    }
    return n;
}

static void actor_start(struct driver *d, struct actor *a, const struct chan_ends *chans,
                        uint64_t *random)
{
    const struct rn_task_options options = {.stack = RN_STACK_16K, .ret_task = &a->task};
    struct rn_end ends[2 * CHANS + 2];
    size_t n = actor_equip(d, a, chans, random, ends);

    OK(rn_chan_open(sizeof(struct step), 1, &a->commands, &a->orders));
    ends[n++] = rn_end_rx(a->orders);
    OK(rn_tx_dup(d->reporter, &a->reports));
    ends[n++] = rn_end_tx(a->reports);
    a->number = (int)(a - d->actors);
    OK(rn_go_with(&options, d->scopes[a->number % SCOPES], actor_main, a, ends, n));
}

static void driver_start(struct driver *d)
{
    static const struct rn_elem elem = {.size = sizeof(int), .destroy = value_destroy};
    uint64_t random = d->program->seed;
    struct chan_ends chans[CHANS];

    destroyed = 0;
    for (int i = 0; i < SCOPES; i++)
        OK(rn_scope_open(0, &d->scopes[i]));
    for (int k = 0; k < CHANS; k++) {
        d->now.items[0].chans[k].cap = (int)dice(&random, 4);
        OK(rn_chan_open_elem(&elem, (size_t)d->now.items[0].chans[k].cap, &chans[k].tx,
                             &chans[k].rx));
    }
    OK(rn_chan_open(sizeof(struct report), 2 * ACTORS, &d->reporter, &d->reports));
    for (int i = 0; i < ACTORS; i++)
        actor_start(d, &d->actors[i], chans, &random);
    for (int k = 0; k < CHANS; k++) {
        OK(rn_tx_close(chans[k].tx));
        OK(rn_rx_close(chans[k].rx));
    }
}

/* ---- Comparing ------------------------------------------------------------------------------- */

/* What a burst sets going, in an order that only the simulation knows. */
struct event {
    uint8_t actor;
    bool ends;
    struct step step;
    int value;
};
struct burst {
    struct event events[ACTORS + BURST_MAX];
    size_t n;
    rn_time began;
};

static bool same_ending(const struct ending *want, const struct ending *seen)
{
    if (want->index != seen->index || want->result != seen->result)
        return false;
    return want->result != 0 || want->index < 0 || want->value == 0 || want->value == seen->value;
}

static bool explains(const struct model *m, const struct driver *d)
{
    for (int i = 0; i < ACTORS; i++) {
        const struct model_actor *a = &m->actors[i];
        const struct ending *seen = &d->seen[i];
        if (d->ended[i] != (a->state == ACTOR_ENDED))
            return false;
        if (a->state == ACTOR_ENDED)
            continue;
        if (seen->done != (a->state == ACTOR_IDLE && a->ending.done))
            return false;
        if (seen->done && !same_ending(&a->ending, seen))
            return false;
    }
    return m->destroyed == destroyed;
}

static bool event_apply(struct model *m, const struct event *e, const struct driver *d, rn_time now)
{
    const struct step *s = &e->step;

    if (e->ends) {
        model_end(m, e->actor, d->seen);
        return true;
    }
    if (s->kind == STEP_CLOSE_TX || s->kind == STEP_CLOSE_RX) {
        model_close(m, e->actor, s->cases[0].chan, s->kind == STEP_CLOSE_TX);
        m->actors[e->actor].ending = (struct ending){1, 0, 0, 0};
        return true;
    }
    return model_begin(m, e->actor, s, e->value, now, &d->seen[e->actor]);
}

static void models_add(struct models *models, const struct model *m)
{
    for (size_t i = 0; i < models->n; i++) {
        if (memcmp(&models->items[i], m, sizeof(*m)) == 0)
            return;
    }
    if (models->n < MODELS_MAX)
        models->items[models->n++] = *m;
    else
        models->n = MODELS_MAX + 1; /* too many to tell: the caller gives up */
}

/* Gather what the model can be after the events from `at` on, in every order that explains what is
 * seen. */
static void orders_gather(const struct model *m, struct burst *b, size_t at, struct driver *d)
{
    if (at == b->n) {
        struct model after = *m;
        model_time(&after, rn_now());
        if (explains(&after, d))
            models_add(&d->next, &after);
        return;
    }
    for (size_t i = at; i < b->n && d->next.n <= MODELS_MAX; i++) {
        struct model next = *m;
        const struct event e = b->events[i];
        b->events[i] = b->events[at];
        b->events[at] = e;
        if (event_apply(&next, &e, d, b->began))
            orders_gather(&next, b, at + 1, d);
        b->events[at] = b->events[i];
        b->events[i] = e;
    }
}

/* ---- Driving --------------------------------------------------------------------------------- */

static bool cancel_one(struct driver *d, struct burst *b, int actor)
{
    const enum actor_state state = d->now.items[0].actors[actor].state;

    if (state == ACTOR_ENDED || state == ACTOR_ENDING)
        return false;
    for (size_t i = 0; i < d->now.n; i++)
        model_cancel(&d->now.items[i], actor);
    b->events[b->n++] = (struct event){.actor = (uint8_t)actor, .ends = true};
    return true;
}

static bool ordered(const struct burst *b, int actor)
{
    for (size_t i = 0; i < b->n; i++) {
        if (b->events[i].actor == actor && !b->events[i].ends)
            return true;
    }
    return false;
}

static void scope_cancel(struct driver *d, struct burst *b, int scope)
{
    for (int i = scope; i < ACTORS; i += SCOPES) {
        if (ordered(b, i))
            return;
    }
    OK(rn_scope_cancel(d->scopes[scope]));
    for (int i = scope; i < ACTORS; i += SCOPES)
        cancel_one(d, b, i);
}

static void order(struct driver *d, struct burst *b, const struct step *s)
{
    struct actor *a = &d->actors[s->actor];
    const struct model_actor *m = &d->now.items[0].actors[s->actor]; /* all say the same of this */
    const int chan = s->cases[0].chan;

    if (m->state != ACTOR_IDLE || ordered(b, s->actor) ||
        (s->kind == STEP_CLOSE_TX && !m->tx[chan]) || (s->kind == STEP_CLOSE_RX && !m->rx[chan]))
        return;
    a->value = ++d->values;
    d->seen[s->actor] = (struct ending){0};
    OK(rn_tx_send(a->commands, s, RN_FOREVER));
    b->events[b->n++] = (struct event){.actor = s->actor, .step = *s, .value = a->value};
}

static void step_do(struct driver *d, struct burst *b, const struct step *s)
{
    switch (s->kind) {
    case STEP_TIME:
        OK(rn_sleep(rn_after(s->ms * RN_MS)));
        break;
    case STEP_CANCEL:
        if (!ordered(b, s->actor) && cancel_one(d, b, s->actor))
            OK(rn_task_cancel(d->actors[s->actor].task));
        break;
    case STEP_SCOPE_CANCEL:
        scope_cancel(d, b, s->actor % SCOPES);
        break;
    default:
        order(d, b, s);
    }
}

/* Nothing can run any more when the clock moves, by however little. */
static void rest(struct driver *d)
{
    struct report r;

    OK(rn_sleep(rn_after(1)));
    while (rn_rx_try_recv(d->reports, &r) == 0) {
        d->ended[r.actor] |= r.ended;
        if (!r.ended)
            d->seen[r.actor] = r.ending;
    }
}

/* The steps of one burst, from *at on. */
static void burst_do(struct driver *d, struct burst *b, size_t *at)
{
    const struct random_program *p = d->program;
    bool more = true;

    for (size_t k = 0; more && k < BURST_MAX && *at < p->n; k++, ++*at) {
        const struct step *s = &p->steps[*at];
        if (s->kind == STEP_TIME && b->n > 0)
            return;
        step_do(d, b, s);
        more = s->burst && s->kind != STEP_TIME;
    }
}

static int driver_main(void *arg)
{
    struct driver *d = arg;
    struct rn_stats stats;

    driver_start(d);
    rest(d);
    for (size_t at = 0; at < d->program->n && d->now.n > 0 && d->now.n <= MODELS_MAX;) {
        struct burst b = {.began = rn_now()};
        burst_do(d, &b, &at);
        rest(d);
        d->counts.operations += b.n;
        d->next.n = 0;
        for (size_t i = 0; i < d->now.n; i++)
            orders_gather(&d->now.items[i], &b, 0, d);
        d->now.n = d->next.n;
        memcpy(d->now.items, d->next.items,
               (d->next.n < MODELS_MAX ? d->next.n : MODELS_MAX) * sizeof(d->now.items[0]));
    }
    d->counts.given_up = d->now.n > MODELS_MAX;
    if (d->now.n == 0)
        d->failure = "no order of the last steps explains what is seen";
    for (int i = 0; i < SCOPES; i++)
        OK(rn_scope_close(d->scopes[i]));
    for (int i = 0; i < ACTORS; i++)
        OK(rn_tx_close(d->actors[i].commands));
    OK(rn_tx_close(d->reporter));
    OK(rn_rx_close(d->reports));
    rn_stats(rn_runtime_self(), &stats);
    if (!d->failure && (stats.endpoints || stats.channels || stats.timers || stats.tasks_parked))
        d->failure = "something is left behind";
    return 0;
}

const char *program_try(const struct random_program *p, enum fault fault,
                        struct program_counts *ret_counts)
{
    const struct rn_options options = {.sim = true, .seed = p->seed, .leaks = RN_LEAKS_IGNORE};
    static struct driver d;

    memset(&d.actors, 0, sizeof(d) - offsetof(struct driver, actors));
    memset(&d.now.items[0], 0, sizeof(d.now.items[0]));
    d.program = p;
    d.now.n = 1;
    d.now.items[0].fault = fault;
    OK(rn_run(&options, driver_main, &d));
    if (ret_counts)
        *ret_counts = d.counts;
    return d.failure;
}

/* ---- Shrinking ------------------------------------------------------------------------------- */

void program_shrink(struct random_program *p, enum fault fault)
{
    for (size_t size = p->n / 2; size > 0;) {
        bool smaller = false;
        for (size_t at = 0; at + size <= p->n;) {
            struct random_program less = *p;
            memmove(less.steps + at, less.steps + at + size,
                    (p->n - at - size) * sizeof(less.steps[0]));
            less.n -= size;
            if (program_fails(&less, fault)) {
                *p = less;
                smaller = true;
            } else {
                at += size;
            }
        }
        if (!smaller)
            size /= 2;
    }
}

static void step_print(const struct step *s)
{
    static const char *const kinds[] = {
        "select", "sleep",        "close its sender of", "close its receiver of",
        "cancel", "cancel scope", "time passes"};
    const char *name = s->kind != STEP_SELECT || !s->plain ? kinds[s->kind]
                       : s->cases[0].send                  ? "send"
                                                           : "receive";

    if (s->kind == STEP_TIME)
        printf("#   %s: %u ms", name, s->ms);
    else if (s->kind == STEP_SCOPE_CANCEL)
        printf("#   %s %d", name, s->actor % SCOPES);
    else if (s->kind == STEP_CLOSE_TX || s->kind == STEP_CLOSE_RX)
        printf("#   actor %u: %s channel %u", s->actor, name, s->cases[0].chan);
    else
        printf("#   actor %u: %s", s->actor, name);
    for (int i = 0; s->kind == STEP_SELECT && i < s->n_cases; i++)
        printf(" %s%u", s->cases[i].send ? "to " : "from ", s->cases[i].chan);
    if (s->kind == STEP_SELECT || s->kind == STEP_SLEEP) {
        if (s->forever)
            printf(", for ever");
        else
            printf(", for %u ms", s->ms);
    }
    printf("%s\n", s->burst ? ", and at once" : "");
}

void program_print(const struct random_program *p)
{
    uint64_t random = p->seed;

    printf("#   seed %llu; capacities", (unsigned long long)p->seed);
    for (int k = 0; k < CHANS; k++)
        printf(" %u", dice(&random, 4));
    printf("; %zu steps\n", p->n);
    for (size_t i = 0; i < p->n; i++)
        step_print(&p->steps[i]);
}
