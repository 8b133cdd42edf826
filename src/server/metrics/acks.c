#include "metrics/acks.h"

#include <errno.h>
#include <stdlib.h>

#include <base/cleanup.h>

#include "metrics/table.h"

struct ft_acks {
    /* set once */
    ft_ack_fn *fn;
    void *arg;

    /* locks of its own */
    struct ft_table table;
};

struct record {
    struct ft_table_entry entry;
    struct ft_uuid boot;
    uint64_t decided;        /* the highest number that was */
    uint64_t acked;          /* what was told; a resent batch below it takes nothing back */
    struct list outstanding; /* of struct wait, by first_seq */
};

struct wait {
    struct list in_record;
    const struct ft_batch *batch; /* a name, never read: the lanes hold it */
    uint64_t first_seq;
};

int ft_acks_new(ft_ack_fn *fn, void *arg, struct ft_acks **ret)
{
    struct ft_acks *a = malloc(sizeof(*a));

    if (!a)
        return -ENOMEM;
    a->fn = fn;
    a->arg = arg;
    ft_table_init(&a->table);
    *ret = a;
    return 0;
}

static void outstanding_clear(struct record *rec)
{
    struct wait *w;

    while ((w = LIST_TAKE_FIRST(&rec->outstanding, struct wait, in_record)))
        free(w);
}

static void record_free(struct ft_table_entry *e)
{
    struct record *rec = LIST_ENTRY(e, struct record, entry);

    outstanding_clear(rec);
    free(rec);
}

struct ft_acks *ft_acks_free(struct ft_acks *a)
{
    if (!a)
        return NULL;
    ft_table_fini(&a->table, record_free);
    free(a);
    return NULL;
}

static struct record *record_find(struct ft_shard *s, const struct ft_uuid *agent)
{
    struct ft_table_entry *e = ft_shard_find(s, agent);

    return e ? LIST_ENTRY(e, struct record, entry) : NULL;
}

/* Make room by forgetting the agent that was silent for longest, unless something of it is
 * outstanding: there are never more of those than the lanes can hold batches. */
static void surplus_forget(struct ft_shard *s)
{
    struct ft_table_entry *e = ft_shard_surplus(s);

    if (!e || !list_empty(&LIST_ENTRY(e, struct record, entry)->outstanding))
        return;
    ft_shard_remove(s, e);
    record_free(e);
}

/* The record of the batch's agent, for the batch's boot. */
static int record_of(struct ft_shard *s, const struct ft_batch *b, struct record **ret)
{
    struct record *rec = record_find(s, &b->agent);
    int r;

    if (rec && !ft_uuid_eq(&rec->boot, &b->boot)) {
        outstanding_clear(rec);
        rec->boot = b->boot;
        rec->decided = rec->acked = 0;
    } else if (!rec) {
        surplus_forget(s);
        rec = calloc(1, sizeof(*rec));
        if (!rec)
            return -ENOMEM;
        rec->entry.agent = b->agent;
        rec->boot = b->boot;
        list_init(&rec->outstanding);
        r = ft_shard_add(s, &rec->entry);
        if (r < 0) {
            free(rec);
            return r;
        }
    }
    *ret = rec;
    return 0;
}

/* In the order of numbers; nearly always the end is the place. */
static void outstanding_add(struct record *rec, struct wait *w)
{
    struct list *at = rec->outstanding.prev;

    while (at != &rec->outstanding &&
           LIST_ENTRY(at, struct wait, in_record)->first_seq > w->first_seq)
        at = at->prev;
    list_add_head(at, &w->in_record);
}

int ft_acks_offered(struct ft_acks *a, const struct ft_batch *batch)
{
    CLEANUP(freep) struct wait *w = calloc(1, sizeof(*w));
    struct record *rec;
    struct ft_shard *s;
    int r;

    if (!w)
        return -ENOMEM;
    w->batch = batch;
    w->first_seq = batch->first_seq;
    s = ft_table_lock(&a->table, &batch->agent);
    r = record_of(s, batch, &rec);
    if (r == 0)
        outstanding_add(rec, TAKE(w));
    ft_shard_unlock(s);
    return r;
}

static struct wait *outstanding_find(const struct record *rec, const struct ft_batch *batch)
{
    struct wait *w;

    LIST_EACH(w, &rec->outstanding, in_record)
    if (w->batch == batch)
        return w;
    return NULL;
}

/* Below the first that is outstanding, but never less than before. */
static uint64_t record_ack(const struct record *rec)
{
    const struct wait *first = LIST_FIRST(&rec->outstanding, struct wait, in_record);
    uint64_t ack = first && first->first_seq <= rec->decided ? first->first_seq - 1 : rec->decided;

    return ack > rec->acked ? ack : rec->acked;
}

void ft_acks_decided(struct ft_acks *a, const struct ft_batch *batch)
{
    struct ft_shard *s = ft_table_lock(&a->table, &batch->agent);
    struct record *rec = record_find(s, &batch->agent);
    struct wait *w =
        rec && ft_uuid_eq(&rec->boot, &batch->boot) ? outstanding_find(rec, batch) : NULL;

    if (w) {
        list_remove(&w->in_record);
        free(w);
        if (batch->last_seq > rec->decided)
            rec->decided = batch->last_seq;
        rec->acked = record_ack(rec);
        if (rec->acked > 0)
            a->fn(a->arg, &rec->entry.agent, &rec->boot, rec->acked);
    }
    ft_shard_unlock(s);
}
