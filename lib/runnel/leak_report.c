/* The leak report: one line for each group of dead tasks with the same wait site and spawn site,
 * with the chain of one of them: what it waits for, who holds that, what the holder waits for,
 * until somebody waits for itself or for the first.
 */
#include "leak_internal.h"

#include <string.h>

#define NIL       RN__NIL
#define CHAIN_MAX 8

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

static void chain_print(const struct rn__leak_pass *p, const struct rn__leak_task *t, FILE *out)
{
    const struct rn__leak_task *first = t;

    for (unsigned depth = 0; depth < CHAIN_MAX; depth++) {
        const struct rn__leak_task *next = chain_step(p, t, out);
        if (!next)
            return;
        fprintf(out, " task %u \"%s\"", (unsigned)(next - p->tasks), next->name ? next->name : "");
        if (next == t || next == first) {
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
    unsigned count = 0;

    for (uint32_t i = first; i < p->n_tasks; i++) {
        struct rn__leak_task *other = &p->tasks[i];
        if (rn__leak_dead(other) && other->site == t->site && other->born == t->born) {
            other->told = true;
            count++;
        }
    }
    return count;
}

void rn__leak_print(struct rn__leak_pass *p, uint32_t first, FILE *out)
{
    const struct rn__leak_task *t = &p->tasks[first];
    unsigned count = rn__leak_mark(p, first);

    fprintf(out,
            "runnel: %u task%s can never wake: %s at %s:%d (%s), started at %s:%d: task %u \"%s\"",
            count, count == 1 ? "" : "s", rn_wait_name(t->kind), site_file(t->site),
            site_line(t->site), t->site ? t->site->func : "?", site_file(t->born),
            site_line(t->born), first, t->name ? t->name : "");
    chain_print(p, t, out);
    fputc('\n', out);
}
