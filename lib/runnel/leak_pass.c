/* The proof that a task can never wake: the least fix-point over ownership.
 *
 * Live are, to begin with, all tasks that run, are runnable or have been claimed, and those that
 * something from outside will wake: a deadline (of the wait or of a scope around), a descriptor, a
 * sleep, a blocking job. Then, until nothing changes:
 *
 * - a task that waits to send is live if somebody live holds a receiver of the channel;
 * - one that waits to receive, if somebody live holds a sender;
 * - one that waits on an end-point which a scope owns, if a task of that scope is live: that may
 *   close the end-point;
 * - one that waits for a scope, if a task of that scope is live;
 * - one that waits for a mutex, or for who does what is done once, if its holder is live;
 * - one that waits on a semaphore, a wait group or a one-shot, if somebody live may use it: a task
 *   in its scope or inside it, or the one that opened the scope.
 *
 * Holders: a live task for its own; for those of a scope any live task in it or inside it, and the
 * task that opened it; a channel for what is in its buffer, if somebody live can receive there;
 * loops, connections and owners that we don't know always. The rest is dead. A cancel doesn't count
 * as help, nor the close of a mutex: what only these can wake does nothing any more.
 *
 * Nothing is stopped meanwhile. Being dead is stable, so the check runs twice: in the second pass
 * every task whose epoch changed, that was no candidate in the first, or whose channels' versions
 * grew in between, is live from the start. So there was a moment, between the passes, when all that
 * remain waited with nobody to serve them. Versions are read last in a pass, after the end-points
 * they speak of.
 */
#include "leak_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/uio.h>
#include <unistd.h>

#include <base/cleanup.h>

#define NIL RN__NIL

/* ---- A pass: reading ------------------------------------------------------------------------- */

void rn__leak_pass_free(struct rn__leak_pass *p)
{
    free(p->tasks);
    free(p->recs);
    free(p->chans);
    free(p->scopes);
    free(p->edges);
    free(p->todo);
}

static int pass_alloc(struct rn__leak_pass *p, const struct rn_runtime *rt)
{
    *p = (struct rn__leak_pass){.rt = rt, .cs = rn__chans_of(rt)};
    p->n_tasks = rn__tasks_end(rt);
    p->n_scopes = rn__scopes_end(rt);
    p->n_recs = atomic_load(&p->cs->recs.end);
    p->n_chans = atomic_load(&p->cs->chans.end);
    p->tasks = calloc((size_t)p->n_tasks + 1, sizeof(*p->tasks));
    p->scopes = calloc((size_t)p->n_scopes + 1, sizeof(*p->scopes));
    p->recs = calloc((size_t)p->n_recs + 1, sizeof(*p->recs));
    p->chans = calloc((size_t)p->n_chans + 1, sizeof(*p->chans));
    p->todo = calloc(p->n_tasks + 2 * (size_t)p->n_chans + 1, sizeof(*p->todo));
    return p->tasks && p->scopes && p->recs && p->chans && p->todo ? 0 : -ENOMEM;
}

static int edge_add(struct rn__leak_pass *p, uint32_t task, uint32_t rec, uint32_t chan,
                    enum rn__dir need)
{
    if (p->n_edges == p->max_edges) {
        uint32_t max = p->max_edges ? 2 * p->max_edges : 64;
        struct rn__leak_edge *edges = realloc(p->edges, max * sizeof(*edges));
        if (!edges)
            return -ENOMEM;
        p->edges = edges;
        p->max_edges = max;
    }
    p->edges[p->n_edges] = (struct rn__leak_edge){
        .task = task, .chan = chan, .rec = rec, .need = need, .next_of_task = p->tasks[task].edges};
    p->tasks[task].edges = p->n_edges++;
    return 0;
}

/* The wait of task `id` on one handle. A handle that is closed by now wakes its user: 1, the task
 * is live. */
static int wait_add(struct rn__leak_pass *p, uint32_t id, uint32_t slot, uint32_t gen)
{
    const struct rn__end_rec *rec = rn__rec_find(p->cs, slot);
    struct rn__chan *c = rec ? atomic_load(&rec->chan) : NULL;
    if (!c || gen == 0)
        return 1;

    enum rn__dir dir = (enum rn__dir)atomic_load(&rec->dir);
    uint32_t index = rn__rec_index(p->cs, rec), chan = rn__chan_index(p->cs, c);
    if (atomic_load(&rec->gen) != gen || index >= p->n_recs || chan >= p->n_chans)
        return 1;
    return edge_add(p, id, index, chan, rn__peer(dir));
}

/* The cases lie in memory of a task that may be running again: so they are read as from a stranger,
 * and thrown away unless its epoch is still the same. */
int rn__cases_copy(const struct rn_runtime *rt, const struct rn__task_view *v,
                   struct rn_case **ret_cases)
{
    CLEANUP(freep) struct rn_case *cases = calloc(v->wait.n_cases + (size_t)1, sizeof(*cases));
    size_t bytes = v->wait.n_cases * sizeof(*cases);
    struct rn__task_view again;

    if (!cases)
        return -ENOMEM;
    struct iovec to = {cases, bytes}, from = {(void *)(uintptr_t)v->wait.cases, bytes};
    if (bytes > 0 && process_vm_readv(getpid(), &to, 1, &from, 1, 0) != (ssize_t)bytes)
        return 1;
    if (!rn__task_view(rt, v->id, &again) || again.epoch != v->epoch)
        return 1;
    *ret_cases = TAKE(cases);
    return 0;
}

static int cases_add(struct rn__leak_pass *p, const struct rn__task_view *v)
{
    CLEANUP(freep) struct rn_case *cases = NULL;
    int r = rn__cases_copy(p->rt, v, &cases);

    for (uint32_t i = 0; r == 0 && i < v->wait.n_cases; i++) {
        if (cases[i].end.slot != 0 || cases[i].end.gen != 0)
            r = wait_add(p, v->id, cases[i].end.slot, cases[i].end.gen);
    }
    return r;
}

static bool wait_is_external(const struct rn__task_view *v)
{
    switch (v->wait.kind) {
    case RN_WAIT_CHAN_SEND:
    case RN_WAIT_CHAN_RECV:
    case RN_WAIT_SELECT:
    case RN_WAIT_SCOPE:
    case RN_WAIT_MUTEX:
    case RN_WAIT_SEM:
    case RN_WAIT_GROUP:
    case RN_WAIT_ONCE:
    case RN_WAIT_ONESHOT:
        return v->deadline != RN_FOREVER || (v->wait.site && v->wait.site->idle);
    default:
        return true;
    }
}

static int task_read(struct rn__leak_pass *p, uint32_t id)
{
    struct rn__leak_task *t = &p->tasks[id];
    struct rn__task_view v;

    *t = (struct rn__leak_task){.edges = NIL,
                                .recs = NIL,
                                .opened = NIL,
                                .wait_scope = NIL,
                                .next_waiter = NIL,
                                .waiters = NIL,
                                .scope = NIL};
    if (!rn__task_view(p->rt, id, &v))
        return 0;

    t->owner = v.owner;
    t->epoch = v.epoch;
    t->since = v.since;
    t->name = v.name;
    t->born = v.born;
    t->scope = v.scope & RN__END_MASK;
    t->parked = v.state == RN_TASK_PARKED && !v.woken && !wait_is_external(&v);
    if (!t->parked)
        return 0;

    int r = 0;
    t->kind = v.wait.kind;
    t->site = v.wait.site;
    if (t->kind == RN_WAIT_SCOPE)
        t->wait_scope = v.wait.slot & RN__END_MASK;
    else if (rn__leak_sync(t))
        r = !rn__sync_view(p->rt, v.wait.slot, v.wait.gen, &t->sync);
    else if (t->kind == RN_WAIT_SELECT)
        r = cases_add(p, &v);
    else
        r = wait_add(p, id, v.wait.slot, v.wait.gen);
    if (r > 0)
        t->parked = false;
    return r < 0 ? r : 0;
}

static void scope_read(struct rn__leak_pass *p, uint32_t slot)
{
    struct rn__scope_view v;

    p->scopes[slot] = (struct rn__leak_scope){
        .parent = NIL, .next_opened = NIL, .recs = NIL, .waiters = NIL, .sync_waiters = NIL};
    if (!rn__scope_view(p->rt, slot, &v))
        return;
    p->scopes[slot].owner = v.owner;
    p->scopes[slot].opener = v.opener;
    p->scopes[slot].parent = (v.parent & RN__END_MASK) == slot ? NIL : v.parent & RN__END_MASK;
    p->scopes[slot].timed = v.timed;
}

static void rec_read(struct rn__leak_pass *p, uint32_t index)
{
    const struct rn__end_rec *rec = rn__rec_at(p->cs, index);
    struct rn__leak_rec *r = &p->recs[index];
    uint32_t gen = atomic_load(&rec->gen);
    struct rn__chan *c = atomic_load(&rec->chan);

    *r = (struct rn__leak_rec){.next_of_owner = NIL, .next_of_chan = NIL, .edges = NIL};
    if (gen == 0 || !c || rn__chan_index(p->cs, c) >= p->n_chans)
        return;
    r->owner = atomic_load(&rec->owner);
    r->dir = (enum rn__dir)atomic_load(&rec->dir);
    r->chan = rn__chan_index(p->cs, c);
    r->used = atomic_load_explicit(&rec->used, memory_order_relaxed);
    r->open = atomic_load(&rec->gen) == gen;
}

/* ---- A pass: linking ------------------------------------------------------------------------- */

/* The list of what this owner holds; NULL: a holder that is always live, or one we don't know. */
static uint32_t *owner_list(struct rn__leak_pass *p, uint64_t owner)
{
    uint32_t id = rn__owner_id(owner), slot = id & RN__END_MASK;

    switch (rn__owner_kind(owner)) {
    case RN__OWNER_TASK:
        return id < p->n_tasks && p->tasks[id].owner == owner ? &p->tasks[id].recs : NULL;
    case RN__OWNER_SCOPE:
        return slot < p->n_scopes && p->scopes[slot].owner == owner ? &p->scopes[slot].recs : NULL;
    case RN__OWNER_TRANSIT:
        return id < p->n_chans ? &p->chans[id].transit : NULL;
    default:
        return NULL;
    }
}

/* Where the wait of a task on a record is linked: at who holds it, else at its scope. NULL: at
 * nobody we know. */
static uint32_t *sync_list(struct rn__leak_pass *p, const struct rn__leak_task *t)
{
    uint64_t by = t->sync.holder ? t->sync.holder : t->sync.scope;
    uint32_t id = rn__owner_id(by), slot = id & RN__END_MASK;

    if (rn__owner_kind(by) == RN__OWNER_TASK)
        return id < p->n_tasks && p->tasks[id].owner == by ? &p->tasks[id].waiters : NULL;
    return slot < p->n_scopes && p->scopes[slot].owner == by ? &p->scopes[slot].sync_waiters : NULL;
}

static void waiters_link(struct rn__leak_pass *p)
{
    for (uint32_t i = 0; i < p->n_tasks; i++) {
        struct rn__leak_task *t = &p->tasks[i];
        uint32_t *list = NULL;
        if (t->wait_scope < p->n_scopes)
            list = &p->scopes[t->wait_scope].waiters;
        else if (t->parked && rn__leak_sync(t))
            list = sync_list(p, t);
        if (list) {
            t->next_waiter = *list;
            *list = i;
        }
    }
}

static void pass_link(struct rn__leak_pass *p)
{
    for (uint32_t i = 0; i < p->n_recs; i++) {
        struct rn__leak_rec *r = &p->recs[i];
        uint32_t *list = r->open ? owner_list(p, r->owner) : NULL;
        if (!r->open)
            continue;
        r->next_of_chan = p->chans[r->chan].recs[r->dir];
        p->chans[r->chan].recs[r->dir] = i;
        if (list) {
            r->next_of_owner = *list;
            *list = i;
        }
    }
    for (uint32_t i = 0; i < p->n_edges; i++) {
        struct rn__leak_edge *e = &p->edges[i];
        e->next_of_chan = p->chans[e->chan].edges[e->need];
        p->chans[e->chan].edges[e->need] = i;
        e->next_of_rec = p->recs[e->rec].edges;
        p->recs[e->rec].edges = i;
    }
    for (uint32_t i = 0; i < p->n_scopes; i++) {
        struct rn__leak_scope *s = &p->scopes[i];
        uint32_t id = rn__owner_id(s->opener);
        if (s->owner == 0 || s->opener == 0 || id >= p->n_tasks || p->tasks[id].owner != s->opener)
            continue;
        s->next_opened = p->tasks[id].opened;
        p->tasks[id].opened = i;
    }
    waiters_link(p);
}

static int pass_read(struct rn__leak_pass *p)
{
    int r = 0;

    for (uint32_t i = 0; i < p->n_tasks && r == 0; i++)
        r = task_read(p, i);
    for (uint32_t i = 0; i < p->n_scopes; i++)
        scope_read(p, i);
    for (uint32_t i = 0; i < p->n_recs; i++)
        rec_read(p, i);
    for (uint32_t i = 0; i < p->n_chans; i++) {
        p->chans[i] =
            (struct rn__leak_chan){.edges = {NIL, NIL}, .recs = {NIL, NIL}, .transit = NIL};
        p->chans[i].version = atomic_load(&rn__chan_at(p->cs, i)->version);
    }
    if (r == 0)
        pass_link(p);
    return r;
}

/* ---- A pass: the fix-point ------------------------------------------------------------------- */

#define TODO_CHAN (UINT64_C(1) << 32)

static void task_live(struct rn__leak_pass *p, uint32_t id)
{
    if (p->tasks[id].live)
        return;
    p->tasks[id].live = true;
    p->todo[p->n_todo++] = id;
}

static void rec_live(struct rn__leak_pass *p, const struct rn__leak_rec *r)
{
    struct rn__leak_chan *c = &p->chans[r->chan];
    if (c->live[r->dir])
        return;
    c->live[r->dir] = true;
    p->todo[p->n_todo++] = TODO_CHAN | (uint64_t)r->dir << 33 | r->chan;
}

/* Somebody live holds an end of this direction: who waits for it can be served, and what comes out
 * of the buffer is held. */
static void chan_spread(struct rn__leak_pass *p, const struct rn__leak_chan *c, enum rn__dir dir)
{
    for (uint32_t e = c->edges[dir]; e != NIL; e = p->edges[e].next_of_chan)
        task_live(p, p->edges[e].task);
    for (uint32_t r = dir == RN__RX ? c->transit : NIL; r != NIL; r = p->recs[r].next_of_owner)
        rec_live(p, &p->recs[r]);
}

static void waiters_live(struct rn__leak_pass *p, uint32_t first)
{
    for (uint32_t w = first; w != NIL; w = p->tasks[w].next_waiter)
        task_live(p, w);
}

/* What is the scope's can be used by somebody live: end-points, and records. */
static void scope_recs_live(struct rn__leak_pass *p, const struct rn__leak_scope *s, bool may_close)
{
    waiters_live(p, s->sync_waiters);
    for (uint32_t r = s->recs; r != NIL; r = p->recs[r].next_of_owner) {
        rec_live(p, &p->recs[r]);
        for (uint32_t e = may_close ? p->recs[r].edges : NIL; e != NIL; e = p->edges[e].next_of_rec)
            task_live(p, p->edges[e].task);
    }
}

static void task_spread(struct rn__leak_pass *p, const struct rn__leak_task *t)
{
    waiters_live(p, t->waiters);
    for (uint32_t r = t->recs; r != NIL; r = p->recs[r].next_of_owner)
        rec_live(p, &p->recs[r]);
    for (uint32_t s = t->opened; s != NIL; s = p->scopes[s].next_opened) {
        if (!p->scopes[s].held) {
            p->scopes[s].held = true;
            scope_recs_live(p, &p->scopes[s], false);
        }
    }
    if (t->scope < p->n_scopes && !p->scopes[t->scope].direct) {
        p->scopes[t->scope].direct = true;
        waiters_live(p, p->scopes[t->scope].waiters);
    }
    for (uint32_t s = t->scope; s < p->n_scopes && !p->scopes[s].inside; s = p->scopes[s].parent) {
        p->scopes[s].inside = true;
        scope_recs_live(p, &p->scopes[s], true);
    }
}

bool rn__leak_scope_timed(const struct rn__leak_pass *p, uint32_t slot)
{
    for (; slot < p->n_scopes; slot = p->scopes[slot].parent) {
        if (p->scopes[slot].timed)
            return true;
    }
    return false;
}

/* Was this very wait a candidate before, and is everyone who holds the channels it waits on still
 * the same? */
static bool task_confirmed(const struct rn__leak_pass *p, const struct rn__leak_pass *before,
                           uint32_t id)
{
    const struct rn__leak_task *t = &p->tasks[id];

    if (!before)
        return true;
    if (id >= before->n_tasks || before->tasks[id].live || before->tasks[id].owner != t->owner ||
        before->tasks[id].epoch != t->epoch || before->tasks[id].sync.version != t->sync.version)
        return false;
    for (uint32_t e = t->edges; e != NIL; e = p->edges[e].next_of_task) {
        uint32_t c = p->edges[e].chan;
        if (c >= before->n_chans || before->chans[c].version != p->chans[c].version)
            return false;
    }
    return true;
}

static void pass_seed(struct rn__leak_pass *p, const struct rn__leak_pass *before)
{
    for (uint32_t i = 0; i < p->n_tasks; i++) {
        const struct rn__leak_task *t = &p->tasks[i];
        if (t->owner == 0)
            continue;
        bool unknown = t->kind == RN_WAIT_SCOPE && t->parked &&
                       (t->wait_scope >= p->n_scopes || !p->scopes[t->wait_scope].owner);
        unknown = unknown || (t->parked && rn__leak_sync(t) && !sync_list(p, t));
        if (!t->parked || unknown || rn__leak_scope_timed(p, t->scope) ||
            !task_confirmed(p, before, i))
            task_live(p, i);
    }
    for (uint32_t i = 0; i < p->n_recs; i++) {
        if (p->recs[i].open && !owner_list(p, p->recs[i].owner))
            rec_live(p, &p->recs[i]);
    }
}

int rn__leak_pass(struct rn__leak_pass *p, const struct rn_runtime *rt,
                  const struct rn__leak_pass *before)
{
    int r = pass_alloc(p, rt);
    if (r == 0)
        r = pass_read(p);
    if (r < 0)
        return r;

    pass_seed(p, before);
    while (p->n_todo > 0) {
        uint64_t todo = p->todo[--p->n_todo];
        if (todo & TODO_CHAN)
            chan_spread(p, &p->chans[(uint32_t)todo], (enum rn__dir)(todo >> 33));
        else
            task_spread(p, &p->tasks[todo]);
    }
    return 0;
}
