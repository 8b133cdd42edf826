/* The slabs of a runtime's channels and end-points.
 *
 * Address space is reserved at once and nothing is given back before the runtime ends. That is what
 * lets an operation go from any handle, however old, to a channel and take its lock before it
 * judges the handle. Freed records are used again last in, first out: they are still in the cache.
 * A record behind the last one is zeroed memory.
 */
#include "channel.h"

#include <errno.h>
#include <stdlib.h>

static int slab_open(struct rn__records *slab, size_t item, uint32_t max)
{
    slab->max = max;
    slab->free = RN__NIL;
    slab->bytes = item * max;
    slab->base = rn__reserve(slab->bytes);
    return slab->base ? 0 : -ENOMEM;
}

static void slab_close(struct rn__records *slab)
{
    if (slab->base)
        rn__unreserve(slab->base, slab->bytes);
    slab->base = NULL;
}

int rn__chans_open(unsigned number, struct rn__chans **ret_chans)
{
    struct rn__chans *cs = calloc(1, sizeof(*cs));
    if (!cs)
        return -ENOMEM;

    cs->number = number;
    cs->leaks = rn__leaks_open();
    cs->buckets = rn__reserve(sizeof(struct rn__bucket) * RN__BUCKETS);
    if (!cs->leaks || !cs->buckets ||
        slab_open(&cs->recs, sizeof(struct rn__end_rec), RN__ENDS_MAX) < 0 ||
        slab_open(&cs->chans, sizeof(struct rn__chan), RN__CHANS_MAX) < 0) {
        rn__chans_close(cs);
        return -ENOMEM;
    }
    *ret_chans = cs;
    return 0;
}

void rn__chans_close(struct rn__chans *cs)
{
    if (!cs)
        return;

    /* Rings that hold each other's receivers can't be reached any more; their memory can. */
    uint32_t n = atomic_load(&cs->chans.end);
    for (uint32_t i = 0; cs->chans.base && i < n; i++) {
        struct rn__chan *c = rn__chan_at(cs, i);
        rn_lock_acquire(&c->lock); /* for what the last task wrote */
        free(c->ring);
        rn_lock_release(&c->lock);
    }

    slab_close(&cs->recs);
    slab_close(&cs->chans);
    if (cs->buckets)
        rn__unreserve(cs->buckets, sizeof(struct rn__bucket) * RN__BUCKETS);
    rn__leaks_close(cs->leaks);
    free(cs);
}

/* Index of a free record behind the last one, RN__NIL. */
static uint32_t slab_grow(struct rn__records *slab)
{
    uint32_t index = atomic_load_explicit(&slab->end, memory_order_relaxed);
    if (index == slab->max)
        return RN__NIL;

    atomic_store_explicit(&slab->end, index + 1, memory_order_release);
    return index;
}

int rn__rec_new(struct rn__chans *cs, struct rn__end_rec **ret_rec)
{
    rn_lock_acquire(&cs->lock);
    uint32_t index = cs->recs.free;
    if (index != RN__NIL)
        cs->recs.free = rn__rec_at(cs, index)->next;
    else
        index = slab_grow(&cs->recs);
    rn_lock_release(&cs->lock);
    if (index == RN__NIL)
        return -ENOMEM;

    *ret_rec = rn__rec_at(cs, index);
    return 0;
}

void rn__rec_free(struct rn__chans *cs, struct rn__end_rec *rec)
{
    if (rec->last_gen == UINT32_MAX)
        return; /* no handle is left for this slot */

    rn_lock_acquire(&cs->lock);
    rec->next = cs->recs.free;
    cs->recs.free = rn__rec_index(cs, rec);
    rn_lock_release(&cs->lock);
}

struct rn__chan *rn__chan_new(struct rn__chans *cs)
{
    rn_lock_acquire(&cs->lock);
    uint32_t index = cs->chans.free;
    if (index != RN__NIL)
        cs->chans.free = rn__chan_at(cs, index)->next_free;
    else
        index = slab_grow(&cs->chans);
    rn_lock_release(&cs->lock);
    if (index == RN__NIL)
        return NULL;

    atomic_fetch_add_explicit(&cs->n_chans, 1, memory_order_relaxed);
    return rn__chan_at(cs, index);
}

void rn__chan_free(struct rn__chans *cs, struct rn__chan *c)
{
    atomic_fetch_sub_explicit(&cs->n_chans, 1, memory_order_relaxed);
    rn_lock_acquire(&cs->lock);
    c->next_free = cs->chans.free;
    cs->chans.free = rn__chan_index(cs, c);
    rn_lock_release(&cs->lock);
}
