/* Buckets double when there are as many entries as buckets. Every entry moves then, once per
 * doubling and under the lock; a shard has at most FT_TABLE_AGENTS_MAX / FT_TABLE_SHARDS of them,
 * so that takes well under a millisecond. */
#include "metrics/table.h"

#include <errno.h>
#include <stdlib.h>

#define BUCKETS_MIN 16
#define SHARD_MAX (FT_TABLE_AGENTS_MAX / FT_TABLE_SHARDS)

void ft_table_init(struct ft_table *t)
{
    *t = (struct ft_table){0};
    for (size_t i = 0; i < FT_TABLE_SHARDS; i++)
        list_init(&t->shards[i].use_order);
}

void ft_table_fini(struct ft_table *t, void (*entry_free)(struct ft_table_entry *e))
{
    struct ft_table_entry *e;

    for (size_t i = 0; i < FT_TABLE_SHARDS; i++) {
        while ((e = LIST_FIRST(&t->shards[i].use_order, struct ft_table_entry, in_use_order))) {
            ft_shard_remove(&t->shards[i], e);
            entry_free(e);
        }
        free(t->shards[i].buckets);
        t->shards[i].buckets = NULL;
    }
}

struct ft_shard *ft_table_lock(struct ft_table *t, const struct ft_uuid *agent)
{
    struct ft_shard *s = &t->shards[ft_uuid_hash(agent) % FT_TABLE_SHARDS];

    rn_lock_acquire(&s->lock);
    return s;
}

void ft_shard_unlock(struct ft_shard *s)
{
    rn_lock_release(&s->lock);
}

/* The shard took the low bits of the hash. */
static struct list *bucket_of(struct list *buckets, size_t n, const struct ft_uuid *agent)
{
    return &buckets[(ft_uuid_hash(agent) / FT_TABLE_SHARDS) & (n - 1)];
}

struct ft_table_entry *ft_shard_find(struct ft_shard *s, const struct ft_uuid *agent)
{
    struct ft_table_entry *e;

    if (!s->buckets)
        return NULL;
    LIST_EACH(e, bucket_of(s->buckets, s->n_buckets, agent), in_bucket)
    {
        if (!ft_uuid_eq(&e->agent, agent))
            continue;
        list_remove(&e->in_use_order);
        list_add_tail(&s->use_order, &e->in_use_order);
        return e;
    }
    return NULL;
}

static int shard_grow(struct ft_shard *s)
{
    size_t n = s->n_buckets ? 2 * s->n_buckets : BUCKETS_MIN;
    struct list *buckets = calloc(n, sizeof(*buckets));
    struct ft_table_entry *e;

    if (!buckets)
        return s->buckets ? 0 : -ENOMEM; /* fuller buckets serve as well */
    for (size_t i = 0; i < n; i++)
        list_init(&buckets[i]);
    LIST_EACH(e, &s->use_order, in_use_order)
    {
        list_remove(&e->in_bucket);
        list_add_tail(bucket_of(buckets, n, &e->agent), &e->in_bucket);
    }
    free(s->buckets);
    s->buckets = buckets;
    s->n_buckets = n;
    return 0;
}

int ft_shard_add(struct ft_shard *s, struct ft_table_entry *e)
{
    int r = s->n >= s->n_buckets ? shard_grow(s) : 0;

    if (r < 0)
        return r;
    list_add_tail(bucket_of(s->buckets, s->n_buckets, &e->agent), &e->in_bucket);
    list_add_tail(&s->use_order, &e->in_use_order);
    s->n++;
    return 0;
}

void ft_shard_remove(struct ft_shard *s, struct ft_table_entry *e)
{
    list_remove(&e->in_bucket);
    list_remove(&e->in_use_order);
    s->n--;
}

struct ft_table_entry *ft_shard_surplus(struct ft_shard *s)
{
    return s->n < SHARD_MAX ? NULL : LIST_FIRST(&s->use_order, struct ft_table_entry, in_use_order);
}
