/* The leak report: one line for each group of tasks with the same verdict, wait site and spawn
 * site.
 *
 * Of the dead it tells the chain of one of them: what it waits for, who holds that, what the holder
 * waits for, until somebody waits for itself or for one that was named before. Of suspects it tells
 * who holds what they wait for, when that was used last, and how the group has grown since the
 * check before.
 */
#include "leak_internal.h"

#include <string.h>

#define NIL RN__NIL
#define CHAIN_MAX 8
#define HOLDERS_MAX 4

static const char *site_file(const struct rn_site *site)
{
    const char *slash = site ? strrchr(site->file, '/') : NULL;
    return slash ? slash + 1 : site ? site->file : "?";
}

static int site_line(const struct rn_site *site)
{
    return site ? site->line : 0;
}

/* The first end-point that could serve this wait, and whose holder would have to wake first. */
static const struct rn__leak_rec *holder_of(const struct rn__leak_pass *p,
                                            const struct rn__leak_task *t)
{
    if (t->edges == NIL)
        return NULL;
    const struct rn__leak_edge *e = &p->edges[t->edges];
    uint32_t r = p->chans[e->chan].recs[e->need];
    return r == NIL ? NULL : &p->recs[r];
}

/* The first task of the scope that `t` waits for. */
static const struct rn__leak_task *member_of(const struct rn__leak_pass *p,
                                             const struct rn__leak_task *t)
{
    for (uint32_t i = 0; i < p->n_tasks; i++) {
        if (rn__leak_dead(&p->tasks[i]) && p->tasks[i].scope == t->wait_scope)
            return &p->tasks[i];
    }
    return NULL;
}

/* Print what `t` waits for; returns the task that it depends on, NULL at the end of the chain. */
static const struct rn__leak_task *chain_step(const struct rn__leak_pass *p,
                                              const struct rn__leak_task *t, FILE *out)
{
    if (t->kind == RN_WAIT_SCOPE) {
        const struct rn__leak_task *member = member_of(p, t);
        if (member)
            fprintf(out, " <- its scope's task");
        return member;
    }
    if (rn__leak_sync(t)) {
        fprintf(out, " <- what was opened at %s:%d, held by", site_file(t->sync.site),
                site_line(t->sync.site));
        if (rn__owner_kind(t->sync.holder) == RN__OWNER_TASK)
            return &p->tasks[rn__owner_id(t->sync.holder)];
        fprintf(out, " a scope");
        return NULL;
    }
    const struct rn__leak_rec *r = holder_of(p, t);
    if (!r)
        return NULL;

    const struct rn_site *opened = atomic_load(&rn__chan_at(p->cs, r->chan)->site);
    fprintf(out, " <- %s of the channel opened at %s:%d, held by",
            r->dir == RN__TX ? "sender" : "receiver", site_file(opened), site_line(opened));
    if (rn__owner_kind(r->owner) == RN__OWNER_TASK)
        return &p->tasks[rn__owner_id(r->owner)];
    fprintf(out, rn__owner_kind(r->owner) == RN__OWNER_SCOPE ? " a scope" : " a buffered value");
    return NULL;
}

/* Ends at the first task that was named before: the chain goes round from there. */
static void chain_print(const struct rn__leak_pass *p, const struct rn__leak_task *t, FILE *out)
{
    const struct rn__leak_task *named[CHAIN_MAX];

    for (unsigned depth = 0; depth < CHAIN_MAX; depth++) {
        const struct rn__leak_task *next = chain_step(p, t, out);
        bool again = false;
        if (!next)
            return;
        fprintf(out, " task %u \"%s\"", (unsigned)(next - p->tasks), next->name ? next->name : "");
        named[depth] = t;
        for (unsigned i = 0; i <= depth; i++)
            again |= named[i] == next;
        if (again) {
            fprintf(out, next == t ? " itself" : " again");
            return;
        }
        fprintf(out, " (%s at %s:%d)", rn_wait_name(next->kind), site_file(next->site),
                site_line(next->site));
        t = next;
    }
    fprintf(out, " <- ...");
}

unsigned rn__leak_mark(struct rn__leak_pass *p, uint32_t first)
{
    const struct rn__leak_task *t = &p->tasks[first];
    enum rn__leak_verdict verdict = rn__leak_verdict(t);
    unsigned count = 0;

    for (uint32_t i = first; i < p->n_tasks; i++) {
        struct rn__leak_task *other = &p->tasks[i];
        if (rn__leak_verdict(other) == verdict && other->site == t->site &&
            other->born == t->born) {
            other->told = true;
            count++;
        }
    }
    return count;
}

void rn__owner_text(const struct rn_runtime *rt, uint64_t owner, char *buf, size_t n)
{
    unsigned id = rn__owner_id(owner);
    struct rn__task_view v;

    switch (rn__owner_kind(owner)) {
    case RN__OWNER_TASK:
        if (rn__task_view(rt, id, &v) && v.owner == owner)
            snprintf(buf, n, "task %u \"%.32s\"", id, v.name ? v.name : "");
        else
            snprintf(buf, n, "task %u", id);
        break;
    case RN__OWNER_SCOPE:
        snprintf(buf, n, "scope %u", id & RN__END_MASK);
        break;
    case RN__OWNER_LOOP:
        snprintf(buf, n, "loop %u", id);
        break;
    case RN__OWNER_CONN:
        snprintf(buf, n, "connection %u", id);
        break;
    case RN__OWNER_TRANSIT:
        snprintf(buf, n, "a value in channel %u", id + 1);
        break;
    default:
        snprintf(buf, n, "nobody");
        break;
    }
}

static void used_print(rn_time used, FILE *out)
{
    if (used == 0)
        fprintf(out, " (never used)");
    else
        fprintf(out, " (last used %.1f s ago)", (double)(rn_loop_now() - used) / RN_S);
}

static void sync_holder_print(const struct rn__leak_pass *p, const struct rn__leak_task *t,
                              FILE *out)
{
    const struct rn__sync_view *s = &t->sync;
    char text[RN_OWNER_TEXT];

    rn__owner_text(p->rt, s->holder ? s->holder : s->scope, text, sizeof(text));
    fprintf(out, " <- what was opened at %s:%d, held by %s", site_file(s->site), site_line(s->site),
            text);
    used_print(s->changed, out);
}

/* Who holds what the task waits for, and when that was used last. */
static void holders_print(const struct rn__leak_pass *p, const struct rn__leak_task *t, FILE *out)
{
    const struct rn__leak_edge *e = &p->edges[t->edges];
    const struct rn_site *opened = atomic_load(&rn__chan_at(p->cs, e->chan)->site);
    unsigned n = 0;

    fprintf(out, " <- %s of channel %u, opened at %s:%d, held by",
            e->need == RN__TX ? "sender" : "receiver", e->chan + 1, site_file(opened),
            site_line(opened));
    for (uint32_t r = p->chans[e->chan].recs[e->need]; r != NIL; r = p->recs[r].next_of_chan) {
        char text[RN_OWNER_TEXT];
        if (++n > HOLDERS_MAX) {
            fprintf(out, ", ...");
            break;
        }
        rn__owner_text(p->rt, p->recs[r].owner, text, sizeof(text));
        fprintf(out, "%s %s", n > 1 ? "," : "", text);
        used_print(p->recs[r].used, out);
    }
}

static rn_time group_oldest(const struct rn__leak_pass *p, uint32_t first)
{
    const struct rn__leak_task *t = &p->tasks[first];
    rn_time oldest = t->since;

    for (uint32_t i = first; i < p->n_tasks; i++) {
        const struct rn__leak_task *other = &p->tasks[i];
        if (other->suspect && other->site == t->site && other->born == t->born &&
            other->since < oldest)
            oldest = other->since;
    }
    return rn_loop_now() - oldest;
}

static void suspect_print(struct rn__leak_pass *p, uint32_t first, struct rn__leak_history *history,
                          FILE *out)
{
    const struct rn__leak_task *t = &p->tasks[first];
    const struct rn__leak_group *g = rn__leak_group(history, t);
    rn_time oldest = group_oldest(p, first);
    unsigned count = rn__leak_mark(p, first);

    fprintf(out,
            "runnel: %u task%s suspect, waiting for up to %.1f s: %s at %s:%d (%s), started at "
            "%s:%d: task %u \"%s\"",
            count, count == 1 ? " is" : "s are", (double)oldest / RN_S, rn_wait_name(t->kind),
            site_file(t->site), site_line(t->site), t->site ? t->site->func : "?",
            site_file(t->born), site_line(t->born), first, t->name ? t->name : "");
    if (rn__leak_sync(t))
        sync_holder_print(p, t, out);
    else
        holders_print(p, t, out);
    if (g && g->grown > 0)
        fprintf(out, "; %llu more than %.1f s ago", (unsigned long long)g->grown,
                (double)g->over / RN_S);
    fputc('\n', out);
}

void rn__leak_print(struct rn__leak_pass *p, uint32_t first, struct rn__leak_history *history,
                    FILE *out)
{
    const struct rn__leak_task *t = &p->tasks[first];
    unsigned count;

    if (t->suspect) {
        suspect_print(p, first, history, out);
        return;
    }
    count = rn__leak_mark(p, first);
    fprintf(out,
            "runnel: %u task%s can never wake: %s at %s:%d (%s), started at %s:%d: task %u \"%s\"",
            count, count == 1 ? "" : "s", rn_wait_name(t->kind), site_file(t->site),
            site_line(t->site), t->site ? t->site->func : "?", site_file(t->born),
            site_line(t->born), first, t->name ? t->name : "");
    chain_print(p, t, out);
    fputc('\n', out);
}
