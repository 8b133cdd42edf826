/* Records by agent: a sharded hash table with an order of use, shared by acks and latest.
 *
 *     struct ft_shard *s = ft_table_lock(&t, uid);
 *     struct ft_table_entry *e = ft_shard_find(s, uid);          // also marks it as used now
 *     ...
 *     ft_shard_unlock(s);
 *
 * The record embeds the entry and belongs to its user, who makes and frees it. Nothing suspends
 * under a shard's lock.
 */
#pragma once

#include <base/list.h>

#include <runnel/lock.h>

#include <model/uuid.h>

#define FT_TABLE_SHARDS 64
/* Of one table; who has not been heard of for longest makes room. */
#define FT_TABLE_AGENTS_MAX 262144

struct ft_table_entry {
    struct ft_uuid agent;
    struct list in_bucket;
    struct list in_use_order;
};

struct ft_shard {
    struct rn_lock lock;

    /* lock */
    struct list *buckets; /* a power of two of them; NULL: none yet */
    size_t n_buckets, n;
    struct list use_order; /* the oldest first */
};

struct ft_table {
    struct ft_shard shards[FT_TABLE_SHARDS];
};

void ft_table_init(struct ft_table *t);
/* `entry_free` gets each entry that is still there. */
void ft_table_fini(struct ft_table *t, void (*entry_free)(struct ft_table_entry *e));

struct ft_shard *ft_table_lock(struct ft_table *t, const struct ft_uuid *agent);
void ft_shard_unlock(struct ft_shard *s);

struct ft_table_entry *ft_shard_find(struct ft_shard *s, const struct ft_uuid *agent);
/* Add an entry (its agent is set) that is not there yet. 0, -ENOMEM. */
int ft_shard_add(struct ft_shard *s, struct ft_table_entry *e);
void ft_shard_remove(struct ft_shard *s, struct ft_table_entry *e);
/* The entry that has to go before another is added; NULL while there is room. */
struct ft_table_entry *ft_shard_surplus(struct ft_shard *s);
