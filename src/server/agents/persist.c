#include "agents/persist.h"

#include <errno.h>
#include <stdlib.h>

#include <base/assert.h>
#include <base/cleanup.h>
#include <base/log.h>

#include "agents/record.h"

#define SAVE_EVERY RN_S
#define BATCH_ROWS 256
#define BATCH_BYTES ((size_t)4 << 20) /* a batch ends when it holds that much */
#define LOAD_ROWS 1024

/* ---- loading ---- */

/* A record as it was when the last process ended: nobody is connected, and whoever was is stale
 * until it shows up or is missed. */
static void take_loaded_locked(struct ft_registry *r, struct ft_agent *a, struct ft_agent *loaded,
                               const struct ft_agent_row *row, bool clean)
{
    enum ft_liveness was =
        loaded->liveness == FT_LIVENESS_OFFLINE ? FT_LIVENESS_OFFLINE : FT_LIVENESS_STALE;

    loaded->uid = a->uid;
    loaded->next = a->next;
    loaded->liveness = a->liveness;
    loaded->shown_status = a->shown_status;
    loaded->sequence_num = row->sequence_num;
    loaded->last_seen_ms = row->last_seen_ms;
    loaded->last_seen = rn_now();
    loaded->applying_since = loaded->last_seen; /* the time that we were away does not count */
    loaded->bits |= clean ? FT_AGENT_SEQ_VALID : 0;
    *a = *loaded;
    ft_agent_set_liveness_locked(r, a, was);
    ft_agent_settle_locked(r, a);
}

static int load_row(struct ft_registry *r, const struct ft_agent_row *row, bool clean)
{
    struct ft_agent loaded = {0}, *a;
    bool is_new;

    int e = ft_record_decode(r, row->record, &loaded);
    if (e < 0) {
        log_warn("a stored agent cannot be read and will be asked anew", LOG_ERR(e));
        return e == -ENOMEM ? e : 0;
    }
    e = ft_agent_lock_or_new(r, &row->uid, &a, &is_new);
    if (e < 0) {
        ft_record_fini(&loaded);
        return e;
    }
    rn_assert(is_new); /* rows have different keys, and nobody has connected yet */
    take_loaded_locked(r, a, &loaded, row, clean);
    ft_agent_unlock(r, a);
    return 0;
}

int ft_persist_load(struct ft_registry *r, struct ft_store *store)
{
    struct ft_uuid after = {0};
    bool clean;
    size_t n;

    int e = ft_store_clean_stop_take(store, &clean);
    if (e < 0)
        return e;
    do {
        CLEANUP(freep) struct ft_agent_row *rows = NULL;
        e = ft_store_agents_load(store, ft_uuid_is_zero(&after) ? NULL : &after, LOAD_ROWS, &rows,
                                 &n);
        for (size_t i = 0; e == 0 && i < n; i++) {
            e = load_row(r, &rows[i], clean);
            after = rows[i].uid;
        }
    } while (e == 0 && n == LOAD_ROWS);
    return e;
}

/* ---- saving: copies are taken under the locks, and encoded and saved after them ---- */

struct batch {
    struct ft_agent copies[BATCH_ROWS];
    struct ft_agent_row rows[BATCH_ROWS];
    size_t ends[BATCH_ROWS]; /* of each record in `bytes` */
    struct ft_buf bytes;
    size_t n, size;
    unsigned shard; /* where the next batch begins to look */
};

/* False: the batch is full. */
static bool add_copy(void *arg, struct ft_agent *a)
{
    struct batch *b = arg;

    if (!(a->bits & FT_AGENT_DIRTY))
        return true;
    size_t size = ft_record_size(a);
    if (b->n == BATCH_ROWS || (b->n && b->size + size > BATCH_BYTES))
        return false;
    ft_record_copy_locked(a, &b->copies[b->n++]);
    a->bits &= ~(uint32_t)FT_AGENT_DIRTY;
    b->size += size;
    return true;
}

/* Marked records of as many shards as fit, each shard looked at once. */
static void fill(struct ft_registry *r, struct batch *b)
{
    b->n = 0;
    b->size = 0;
    for (unsigned i = 0; i < FT_REGISTRY_SHARDS; i++) {
        unsigned shard = (b->shard + i) % FT_REGISTRY_SHARDS;
        ft_agents_each_locked(r, shard, add_copy, b);
        if (b->n == BATCH_ROWS || b->size >= BATCH_BYTES) {
            b->shard = shard; /* it may have more */
            return;
        }
    }
}

static int encode(struct batch *b)
{
    int e = 0;

    ft_buf_clear(&b->bytes);
    for (size_t i = 0; e == 0 && i < b->n; i++) {
        struct ft_agent *copy = &b->copies[i];
        if (ft_record_size(copy) > FT_RECORD_BYTES_MAX)
            ft_record_slim(copy);
        e = ft_record_encode(copy, &b->bytes);
        b->ends[i] = b->bytes.len;
    }
    for (size_t i = 0; e == 0 && i < b->n; i++) {
        size_t from = i ? b->ends[i - 1] : 0;
        b->rows[i] =
            (struct ft_agent_row){.uid = b->copies[i].uid,
                                  .sequence_num = b->copies[i].sequence_num,
                                  .last_seen_ms = b->copies[i].last_seen_ms,
                                  .record = rn_slice(b->bytes.data + from, b->ends[i] - from)};
    }
    return e;
}

static void mark_dirty(struct ft_registry *r, const struct ft_uuid *uid)
{
    struct ft_agent *a = ft_agent_lock(r, uid);

    if (!a)
        return;
    a->bits |= FT_AGENT_DIRTY;
    ft_agent_unlock(r, a);
}

/* Save one batch of marked records. Returns how many; on an error they are marked again. */
static int save_batch(struct ft_registry *r, struct ft_store *store, struct batch *b)
{
    fill(r, b);
    if (b->n == 0)
        return 0;
    int e = encode(b);
    if (e == 0)
        e = ft_store_agents_save(store, b->rows, b->n);
    for (size_t i = 0; i < b->n; i++) {
        if (e < 0)
            mark_dirty(r, &b->copies[i].uid);
        ft_record_fini(&b->copies[i]);
    }
    if (b->bytes.cap > BATCH_BYTES)
        ft_buf_fini(&b->bytes); /* one long record is no reason to keep so much */
    return e < 0 ? e : (int)b->n;
}

static void batch_free(struct batch **b)
{
    if (*b)
        ft_buf_fini(&(*b)->bytes);
    free(*b);
}

static struct batch *batch_new(void)
{
    struct batch *b = calloc(1, sizeof(*b));

    if (b)
        b->bytes = (struct ft_buf)FT_BUF_INIT(BATCH_BYTES + FT_RECORD_BYTES_MAX);
    return b;
}

static int save_marked(struct ft_registry *r, struct ft_store *store, struct batch *b)
{
    int n;

    do
        n = save_batch(r, store, b);
    while (n > 0);
    return n;
}

struct persist {
    struct ft_registry *registry;
    struct ft_store *store;
    struct batch *batch;
};

static int persist_task(void *arg)
{
    struct persist p = *(struct persist *)arg;
    CLEANUP(batch_free) struct batch *b = p.batch;
    bool failing = false;

    free(arg);
    while (rn_sleep(rn_after(SAVE_EVERY)) == 0) {
        int e = save_marked(p.registry, p.store, b);
        if (e < 0 && e != -ECANCELED && !failing)
            log_error("agents cannot be saved; trying again each second", LOG_ERR(e));
        if (e == 0 && failing)
            log_info("agents can be saved again");
        failing = e < 0;
    }
    return 0;
}

int ft_persist_start(struct rn_scope scope, struct ft_registry *r, struct ft_store *store)
{
    struct persist *p = calloc(1, sizeof(*p));

    if (!p || !(p->batch = batch_new())) {
        free(p);
        return -ENOMEM;
    }
    p->registry = r;
    p->store = store;
    struct batch *b = p->batch;
    int e = rn_go(scope, persist_task, p, NULL, 0);
    if (e < 0) {
        batch_free(&b);
        free(p);
    }
    return e;
}

static bool mark(void *arg, struct ft_agent *a)
{
    (void)arg;
    a->bits |= FT_AGENT_DIRTY;
    return true;
}

int ft_persist_stop(struct ft_registry *r, struct ft_store *store)
{
    CLEANUP(batch_free) struct batch *b = batch_new();

    if (!b)
        return -ENOMEM;
    for (unsigned shard = 0; shard < FT_REGISTRY_SHARDS; shard++)
        ft_agents_each_locked(r, shard, mark, NULL);
    int e = save_marked(r, store, b);
    return e < 0 ? e : ft_store_clean_stop_set(store);
}
