/* Per agent an array of processes in byte order of their names, each with a reference to the batch
 * of its newest sample. A batch of many samples would be kept whole for the sake of one, so of
 * those the sample is copied into a batch of its own. */
#include "metrics/latest.h"

#include <errno.h>
#include <stdlib.h>

#include "metrics/table.h"

#define SHARED_SAMPLES_MAX 8 /* a batch of more is copied from */

struct ft_latest {
    struct ft_table table;
};

struct process {
    struct ft_batch *batch; /* a reference */
    uint32_t index;         /* of its sample */
};

struct record {
    struct ft_table_entry entry;
    struct ft_uuid boot;
    struct process *processes; /* by name */
    uint32_t n, cap;
};

int ft_latest_new(struct ft_latest **ret)
{
    struct ft_latest *l = malloc(sizeof(*l));

    if (!l)
        return -ENOMEM;
    ft_table_init(&l->table);
    *ret = l;
    return 0;
}

static void processes_clear(struct record *rec)
{
    for (uint32_t i = 0; i < rec->n; i++)
        (void)ft_batch_unref(rec->processes[i].batch);
    rec->n = 0;
}

static void record_free(struct ft_table_entry *e)
{
    struct record *rec = LIST_ENTRY(e, struct record, entry);

    processes_clear(rec);
    free(rec->processes);
    free(rec);
}

struct ft_latest *ft_latest_free(struct ft_latest *l)
{
    if (!l)
        return NULL;
    ft_table_fini(&l->table, record_free);
    free(l);
    return NULL;
}

static const struct ft_sample *process_sample(const struct process *p)
{
    return &p->batch->samples[p->index];
}

static int name_cmp(struct rn_slice a, struct rn_slice b)
{
    size_t n = a.len < b.len ? a.len : b.len;
    int r = n ? memcmp(a.data, b.data, n) : 0;

    return r ? r : (a.len > b.len) - (a.len < b.len);
}

/* Where `name` is, or has to go. */
static uint32_t process_place(const struct record *rec, struct rn_slice name, bool *ret_there)
{
    uint32_t low = 0, high = rec->n;

    *ret_there = false;
    while (low < high) {
        uint32_t mid = low + (high - low) / 2;
        int r = name_cmp(process_sample(&rec->processes[mid])->process_name, name);

        if (r == 0)
            *ret_there = true;
        if (r < 0)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

static void process_remove(struct record *rec, uint32_t at)
{
    (void)ft_batch_unref(rec->processes[at].batch);
    memmove(&rec->processes[at], &rec->processes[at + 1],
            (rec->n - at - 1) * sizeof(*rec->processes));
    rec->n--;
}

/* The one heard of longest ago. */
static uint32_t process_oldest(const struct record *rec)
{
    uint32_t oldest = 0;

    for (uint32_t i = 1; i < rec->n; i++)
        if (process_sample(&rec->processes[i])->seq < process_sample(&rec->processes[oldest])->seq)
            oldest = i;
    return oldest;
}

static bool processes_reserve(struct record *rec)
{
    uint32_t cap = rec->cap ? 2 * rec->cap : 2;
    struct process *p;

    if (rec->n < rec->cap)
        return true;
    p = realloc(rec->processes, cap * sizeof(*p));
    if (!p)
        return false;
    rec->processes = p;
    rec->cap = cap;
    return true;
}

static struct ft_batch *sample_keep(struct ft_batch *b, uint32_t index, uint32_t *ret_index)
{
    struct ft_batch *own;

    if (b->count <= SHARED_SAMPLES_MAX) {
        *ret_index = index;
        return ft_batch_ref(b);
    }
    *ret_index = 0;
    return ft_batch_new_from(&b->agent, &b->boot, &b->samples[index], 1, &own) < 0 ? NULL : own;
}

static bool process_insert(struct record *rec, struct rn_slice name, uint32_t *at)
{
    bool there;

    if (rec->n == FT_LATEST_PROCESSES_MAX)
        process_remove(rec, process_oldest(rec));
    else if (!processes_reserve(rec))
        return false;
    *at = process_place(rec, name, &there);
    memmove(&rec->processes[*at + 1], &rec->processes[*at],
            (rec->n - *at) * sizeof(*rec->processes));
    rec->n++;
    return true;
}

/* Without memory the older sample stays. */
static void record_put(struct record *rec, struct ft_batch *b, uint32_t index)
{
    const struct ft_sample *s = &b->samples[index];
    bool there;
    uint32_t at = process_place(rec, s->process_name, &there);
    struct process new;

    if (there && process_sample(&rec->processes[at])->seq >= s->seq)
        return;
    new.batch = sample_keep(b, index, &new.index);
    if (!new.batch)
        return;
    if (there)
        (void)ft_batch_unref(rec->processes[at].batch);
    else if (!process_insert(rec, s->process_name, &at)) {
        (void)ft_batch_unref(new.batch);
        return;
    }
    rec->processes[at] = new;
}

static struct record *record_new(struct ft_shard *s, const struct ft_uuid *agent)
{
    struct ft_table_entry *surplus = ft_shard_surplus(s);
    struct record *rec = calloc(1, sizeof(*rec));

    if (!rec)
        return NULL;
    if (surplus) {
        ft_shard_remove(s, surplus);
        record_free(surplus);
    }
    rec->entry.agent = *agent;
    if (ft_shard_add(s, &rec->entry) < 0) {
        free(rec);
        return NULL;
    }
    return rec;
}

void ft_latest_update(struct ft_latest *l, struct ft_batch *batch)
{
    struct ft_shard *s = ft_table_lock(&l->table, &batch->agent);
    struct ft_table_entry *e = ft_shard_find(s, &batch->agent);
    struct record *rec = e ? LIST_ENTRY(e, struct record, entry) : record_new(s, &batch->agent);

    if (rec) {
        if (!ft_uuid_eq(&rec->boot, &batch->boot))
            processes_clear(rec);
        rec->boot = batch->boot;
        /* from the end: of several samples of one process the last is the newest, and the others
         * are skipped */
        for (uint32_t i = batch->count; i-- > 0;)
            record_put(rec, batch, i);
    }
    ft_shard_unlock(s);
}

static int list_fill(const struct record *rec, struct ft_latest_list *list)
{
    list->items = calloc(rec->n ? rec->n : 1, sizeof(*list->items));
    if (!list->items)
        return -ENOMEM;
    for (uint32_t i = 0; i < rec->n; i++) {
        const struct process *p = &rec->processes[i];

        list->items[list->n++] = (struct ft_latest_sample){
            .agent_id = p->batch->agent_id,
            .boot_id = p->batch->boot_id,
            .sample = *process_sample(p),
            .batch = ft_batch_ref(p->batch),
        };
    }
    return 0;
}

int ft_latest_snapshot(struct ft_latest *l, const struct ft_uuid *agent, struct ft_latest_list *ret)
{
    struct ft_shard *s = ft_table_lock(&l->table, agent);
    struct ft_table_entry *e = ft_shard_find(s, agent);
    struct ft_latest_list list = {0};
    int r = e ? list_fill(LIST_ENTRY(e, struct record, entry), &list) : 0;

    ft_shard_unlock(s);
    if (r == 0)
        *ret = list;
    return r;
}

void ft_latest_list_fini(struct ft_latest_list *list)
{
    for (size_t i = 0; i < list->n; i++)
        (void)ft_batch_unref(list->items[i].batch);
    free(list->items);
    *list = (struct ft_latest_list){0};
}
