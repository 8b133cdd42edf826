#include "metrics/door.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>

#include <base/cleanup.h>
#include <base/list.h>

#include <runnel/runtime.h>
#include <runnel/task.h>

#define CLOSE_WAIT_MAX RN_S

struct loop_end {
    struct rn_post close;
    struct ft_door *door;
    struct rn_tx tx;
};

struct ft_door {
    /* set once */
    struct rn_tx task_tx; /* the scope's */
    uint32_t n;
    struct loop_end *ends; /* by the loop's index */

    /* the loops that close theirs */
    _Atomic uint32_t open;
};

static void door_freep(struct ft_door **d)
{
    *d = ft_door_free(*d);
}

static uint32_t loops_count(struct rn_runtime *rt)
{
    uint32_t n = 0;

    while (rn_loop_at(rt, n))
        n++;
    return n;
}

static int loop_end_make(struct ft_door *d, struct rn_loop *loop)
{
    struct loop_end *end = &d->ends[d->n];
    struct rn_tx tx;
    int r = rn_tx_dup(d->task_tx, &tx);

    if (r < 0)
        return r;
    r = rn_end_to_loop(&(struct rn_end){tx.slot, tx.gen}, 1, loop);
    if (r < 0) {
        rn_tx_closep(&tx);
        return r;
    }
    end->door = d;
    end->tx = tx;
    d->n++;
    atomic_fetch_add(&d->open, 1);
    return 0;
}

int ft_door_new(struct rn_tx tx, struct ft_door **ret)
{
    CLEANUP(door_freep) struct ft_door *d = calloc(1, sizeof(*d));
    struct rn_runtime *rt = rn_runtime_self();
    int r;

    if (!d) {
        rn_tx_closep(&tx);
        return -ENOMEM;
    }
    d->task_tx = tx;
    d->ends = calloc(loops_count(rt), sizeof(*d->ends));
    if (!d->ends)
        return -ENOMEM;
    for (struct rn_loop *loop; (loop = rn_loop_at(rt, d->n));) {
        r = loop_end_make(d, loop);
        if (r < 0)
            return r;
    }
    r = rn_end_to_scope(&(struct rn_end){tx.slot, tx.gen}, 1, rn_scope_self());
    if (r < 0)
        return r;
    *ret = TAKE(d);
    return 0;
}

struct rn_tx ft_door_tx(const struct ft_door *d)
{
    return rn_task_id() ? d->task_tx : d->ends[rn_loop_index(rn_loop_self())].tx;
}

static void loop_end_close(struct rn_post *post)
{
    struct loop_end *end = LIST_ENTRY(post, struct loop_end, close);

    (void)rn_tx_close(end->tx);
    atomic_fetch_sub(&end->door->open, 1);
}

static void loop_ends_close(struct ft_door *d)
{
    const rn_time until = rn_after(CLOSE_WAIT_MAX);

    for (uint32_t i = 0; i < d->n; i++) {
        d->ends[i].close.fn = loop_end_close;
        if (rn_loop_post(rn_loop_at(rn_runtime_self(), i), &d->ends[i].close) < 0)
            atomic_fetch_sub(&d->open, 1); /* the loop ends and closes what it owns */
    }
    if (atomic_load(&d->open) == 0 || rn_shield_begin(until) < 0)
        return;
    while (atomic_load(&d->open) > 0 && rn_now() < until)
        (void)rn_sleep(rn_after(RN_MS));
    rn_shield_end();
}

struct ft_door *ft_door_free(struct ft_door *d)
{
    if (!d)
        return NULL;
    loop_ends_close(d);
    rn_tx_closep(&d->task_tx);
    if (atomic_load(&d->open) > 0)
        return NULL; /* a loop stands still with our post in its inbox: the memory stays its own */
    free(d->ends);
    free(d);
    return NULL;
}
