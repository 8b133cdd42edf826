/* One pass of the leak check: what leak_pass.c finds out, leak.c confirms and keeps, leak_report.c
 * tells. */
#pragma once

#include "channel.h"

#include <stdio.h>

#include <runnel/trace.h>

struct rn__leak_task {
    uint64_t              epoch, owner; /* owner 0: free */
    const char           *name;
    const struct rn_site *born, *site;
    enum rn_wait_kind     kind;
    uint32_t              scope, wait_scope; /* wait_scope: NIL if it waits for none */
    struct rn__sync_view  sync;              /* what it waits on, if that is one */
    bool                  parked, live, told;
    bool                  idle, suspect; /* nobody serves it; and too many wait so, or for too long */
    rn_time               since;
    uint32_t              edges;  /* first, NIL */
    uint32_t              recs;   /* first that it holds */
    uint32_t              opened; /* first scope that it opened */
    uint32_t              next_waiter; /* of the same scope, task or record's scope */
    uint32_t              waiters;     /* first that waits for what this task holds */
};

/* A wait on one end-point: served by the other direction of its channel. */
struct rn__leak_edge {
    uint32_t     task, chan, rec;
    enum rn__dir need;
    uint32_t     next_of_task, next_of_chan, next_of_rec;
};

struct rn__leak_rec {
    uint64_t     owner; /* 0 and not open: free */
    uint32_t     chan;
    enum rn__dir dir;
    bool         open;
    rn_time      used;
    uint32_t     next_of_owner, next_of_chan, edges;
};

struct rn__leak_chan {
    uint64_t version;
    uint32_t edges[2], recs[2]; /* by direction: waits that need it, end-points */
    uint32_t transit;           /* first end-point in its buffer */
    bool     live[2];
};

struct rn__leak_scope {
    uint64_t owner; /* 0: free */
    uint64_t opener;
    uint32_t parent, next_opened, recs, waiters;
    uint32_t sync_waiters; /* on a record that was opened in it */
    bool timed, inside, direct, held; /* a live task in it or inside; in it; its opener is live */
};

struct rn__leak_pass {
    const struct rn_runtime *rt;
    const struct rn__chans  *cs;
    struct rn__leak_task             *tasks;
    struct rn__leak_rec              *recs;
    struct rn__leak_chan             *chans;
    struct rn__leak_scope            *scopes;
    struct rn__leak_edge             *edges;
    uint32_t                 n_tasks, n_recs, n_chans, n_scopes, n_edges, max_edges;
    uint64_t *todo; /* live tasks, and channels with a live holder, whose neighbours are still to be
                       looked at */
    size_t                   n_todo;
};

/* Does it wait on a record of sync.c? */
static inline bool rn__leak_sync(const struct rn__leak_task *t)
{
    return t->kind >= RN_WAIT_MUTEX && t->kind <= RN_WAIT_ONESHOT;
}

static inline bool rn__leak_dead(const struct rn__leak_task *t)
{
    return t->owner != 0 && !t->live;
}

static inline enum rn__leak_verdict rn__leak_verdict(const struct rn__leak_task *t)
{
    return rn__leak_dead(t) ? RN__LEAK_DEAD : t->suspect ? RN__LEAK_SUSPECT : RN__LEAK_NONE;
}

/* Read everything and compute who is live; `before` is an earlier pass whose candidates are to be
 * confirmed, or NULL. The pass is to be freed in any case. 0, -ENOMEM. */
int rn__leak_pass(struct rn__leak_pass *pass, const struct rn_runtime *rt,
                  const struct rn__leak_pass *before);
void rn__leak_pass_free(struct rn__leak_pass *pass);
bool rn__leak_scope_timed(const struct rn__leak_pass *pass, uint32_t slot);

/* leak_suspect.c: who waits at one place for somebody who doesn't come, from check to check. */
struct rn__leak_group {
    const struct rn_site *site, *born;
    uint64_t now, last;  /* idle tasks in this check and in the one before */
    uint64_t grown;      /* since that */
    rn_time last_at, over;
};
struct rn__leak_history {
    struct rn__leak_group *items; /* in the order in which they were met */
    uint16_t              *slots; /* a table by hash: places in items, counted from 1 */
    size_t                 n;
};
void rn__leak_history_free(struct rn__leak_history *history);
/* Mark the idle and the suspect in a pass that knows who is live. 0, -ENOMEM. */
int rn__leak_suspects(struct rn__leak_pass *pass, struct rn__leak_history *history);
/* NULL: too many places to remember. */
struct rn__leak_group *rn__leak_group(struct rn__leak_history *history,
                                      const struct rn__leak_task *t);

/* One line for the group of task `first`, all of which are marked as told. */
void rn__leak_print(struct rn__leak_pass *pass, uint32_t first, struct rn__leak_history *history,
                    FILE *out);
/* A copy of the cases of a parked select. 0, 1: it has gone on meanwhile, -ENOMEM. */
int rn__cases_copy(const struct rn_runtime *rt, const struct rn__task_view *v,
                   struct rn_case **ret_cases);
/* Mark the group without a word. */
unsigned rn__leak_mark(struct rn__leak_pass *pass, uint32_t first);
