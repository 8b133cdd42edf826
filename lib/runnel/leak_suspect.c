/* Suspects: tasks that could be woken, but by somebody who shows no sign of doing it.
 *
 * A task is idle if it waits, without a deadline, only on end-points whose peer's holders have not
 * used theirs since the wait began (struct rn__end_rec, `used`), or on a mutex or one of its kind
 * of which nobody has let go since then, or for leak_age. Of the idle that wait at one (wait site,
 * spawn site) a hundred are suspect, and so is each one that is older than leak_age. What has
 * waited for less than SETTLE isn't counted: everybody is late for a moment.
 *
 * The sizes of the groups are kept from check to check, so that a report can tell growth.
 */
#include "leak_internal.h"

#include <errno.h>
#include <stdlib.h>

#define NIL RN__NIL
#define GROUP_MIN 100
#define SETTLE (100 * RN_MS)
#define GROUPS_MAX 2048 /* kept in the history */
#define SLOTS (2 * GROUPS_MAX)

/* Has nobody who could serve this wait used his end since it began? */
static bool edge_idle(const struct rn__leak_pass *p, const struct rn__leak_edge *e, rn_time since)
{
    for (uint32_t r = p->chans[e->chan].recs[e->need]; r != NIL; r = p->recs[r].next_of_chan) {
        if (p->recs[r].used > since)
            return false;
    }
    return true;
}

/* A queue that is served is no leak, how long it may be; but where whoever has it now keeps it for
 * longer than anybody should, those that came before him wait in vain, too. */
static bool sync_idle(const struct rn__leak_pass *p, const struct rn__leak_task *t, rn_time now)
{
    return t->sync.changed <= t->since || now - t->sync.changed >= rn__leak_age(p->rt);
}

static bool task_idle(const struct rn__leak_pass *p, const struct rn__leak_task *t, rn_time now)
{
    if (t->owner == 0 || !t->parked || !t->live || now - t->since < SETTLE)
        return false;
    if (rn__leak_sync(t) ? !sync_idle(p, t, now) : t->edges == NIL)
        return false;
    for (uint32_t e = t->edges; e != NIL; e = p->edges[e].next_of_task) {
        if (!edge_idle(p, &p->edges[e], t->since))
            return false;
    }
    return !rn__leak_scope_timed(p, t->scope);
}

/* ---- Groups ---------------------------------------------------------------------------------- */

static size_t group_hash(const struct rn_site *site, const struct rn_site *born)
{
    uint64_t h = ((uintptr_t)site >> 4) * UINT64_C(0x9e3779b97f4a7c15) ^ (uintptr_t)born >> 4;
    return (size_t)((h ^ h >> 29) * UINT64_C(0xbf58476d1ce4e5b9) >> 40);
}

static struct rn__leak_group *group_add(struct rn__leak_history *h, uint16_t *slot,
                                        const struct rn_site *site, const struct rn_site *born)
{
    if (h->n == GROUPS_MAX)
        return NULL;
    h->items[h->n] = (struct rn__leak_group){.site = site, .born = born};
    *slot = (uint16_t)++h->n;
    return &h->items[*slot - 1];
}

static struct rn__leak_group *group_at(struct rn__leak_history *h, const struct rn_site *site,
                                       const struct rn_site *born)
{
    for (size_t i = group_hash(site, born);; i++) {
        uint16_t *slot = &h->slots[i % SLOTS];
        if (*slot == 0)
            return group_add(h, slot, site, born);
        struct rn__leak_group *g = &h->items[*slot - 1];
        if (g->site == site && g->born == born)
            return g;
    }
}

struct rn__leak_group *rn__leak_group(struct rn__leak_history *h, const struct rn__leak_task *t)
{
    return h->items ? group_at(h, t->site, t->born) : NULL;
}

void rn__leak_history_free(struct rn__leak_history *h)
{
    free(h->items);
    free(h->slots);
    *h = (struct rn__leak_history){0};
}

/* Most programs never have one that idles: no table for these. */
static int history_make(struct rn__leak_history *h)
{
    if (h->items)
        return 0;
    h->items = calloc(GROUPS_MAX, sizeof(*h->items));
    h->slots = calloc(SLOTS, sizeof(*h->slots));
    if (h->items && h->slots)
        return 0;
    rn__leak_history_free(h);
    return -ENOMEM;
}

static void history_begin(struct rn__leak_history *h)
{
    for (size_t i = 0; i < h->n; i++)
        h->items[i].now = 0;
}

/* What was counted becomes what growth is measured by; a group that is gone begins anew. */
static void history_end(struct rn__leak_history *h, rn_time now)
{
    for (size_t i = 0; i < h->n; i++) {
        struct rn__leak_group *g = &h->items[i];
        g->grown = g->last_at != 0 && g->now > g->last ? g->now - g->last : 0;
        g->over = g->last_at != 0 ? now - g->last_at : 0;
        g->last = g->now;
        g->last_at = g->now > 0 ? now : 0;
    }
}

static int idle_count(const struct rn__leak_pass *p, struct rn__leak_history *h, rn_time now)
{
    int r = 0;

    history_begin(h);
    for (uint32_t i = 0; r == 0 && i < p->n_tasks; i++) {
        struct rn__leak_task *t = &p->tasks[i];
        struct rn__leak_group *g;
        t->idle = task_idle(p, t, now);
        if (t->idle && (r = history_make(h)) == 0 && (g = rn__leak_group(h, t)))
            g->now++;
    }
    return r;
}

int rn__leak_suspects(struct rn__leak_pass *p, struct rn__leak_history *h)
{
    rn_time now = rn_loop_now(), age = rn__leak_age(p->rt);
    int r = idle_count(p, h, now);

    for (uint32_t i = 0; r == 0 && i < p->n_tasks; i++) {
        struct rn__leak_task *t = &p->tasks[i];
        const struct rn__leak_group *g = t->idle ? rn__leak_group(h, t) : NULL;
        t->suspect = t->idle && (now - t->since >= age || (g && g->now >= GROUP_MIN));
    }
    if (r == 0)
        history_end(h, now);
    return r;
}
