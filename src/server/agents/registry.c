/* 64 shards, each a chained table that doubles. Counts by liveness and by status are kept as
 * atomics and moved with every change, so that metrics never walk the records. */
#include "agents/registry.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <rnet/metrics.h>

#include <base/assert.h>
#include <base/cleanup.h>

#include <proto/names.h>

#include "agents/agent.h"
#include "changes.h"

#define SHARDS FT_REGISTRY_SHARDS
#define BUCKETS_INITIAL 64

struct shard {
    struct rn_lock lock;
    struct ft_agent **buckets; /* lock, as all below and what hangs on them */
    size_t n_buckets, n;
};

struct ft_registry {
    /* set once */
    struct ft_blobs *blobs;
    struct rn_tx changes;     /* borrowed */
    struct ft_events *events; /* borrowed */
    struct ft_poke poke;

    struct shard shards[SHARDS];

    /* any thread */
    _Atomic uint64_t by_liveness[FT_LIVENESS_COUNT];
    _Atomic uint64_t by_status[4];
    struct rnet_histogram apply_seconds;
};

const char *ft_liveness_name(enum ft_liveness l)
{
    static const char *const names[] = {"online", "stale", "offline"};
    return names[l];
}

const char *ft_transport_name(enum ft_transport t)
{
    static const char *const names[] = {"", "tcp", "websocket", "http"};
    return names[t];
}

static struct shard *shard_of(struct ft_registry *r, const struct ft_uuid *uid)
{
    return &r->shards[ft_uuid_hash(uid) % SHARDS];
}

static struct ft_agent **bucket_of(const struct shard *s, const struct ft_uuid *uid)
{
    return &s->buckets[ft_uuid_hash(uid) / SHARDS % s->n_buckets];
}

int ft_registry_new(struct ft_registry **ret_registry)
{
    CLEANUP(ft_registry_freep) struct ft_registry *r = calloc(1, sizeof(*r));

    if (!r)
        return -ENOMEM;
    r->apply_seconds = (struct rnet_histogram)RNET_HISTOGRAM_INIT;
    int e = ft_blobs_new(&r->blobs);
    if (e < 0)
        return e;
    for (size_t i = 0; i < SHARDS; i++) {
        r->shards[i].n_buckets = BUCKETS_INITIAL;
        r->shards[i].buckets = calloc(BUCKETS_INITIAL, sizeof(struct ft_agent *));
        if (!r->shards[i].buckets)
            return -ENOMEM;
    }
    *ret_registry = TAKE(r);
    return 0;
}

static void agent_free(struct ft_agent *a)
{
    ft_blob_unref(a->description);
    ft_blob_unref(a->health);
    ft_blob_unref(a->effective);
    ft_blob_unref(a->status_error);
    ft_blob_unref(a->remote_address);
    ft_blob_unref(a->render_error);
    ft_rendered_unref(a->rendered);
    ft_version_unref(a->version);
    free(a);
}

static void shard_fini(struct shard *s)
{
    for (size_t i = 0; s->buckets && i < s->n_buckets; i++) {
        while (s->buckets[i]) {
            struct ft_agent *a = s->buckets[i];
            s->buckets[i] = a->next;
            agent_free(a);
        }
    }
    free(s->buckets);
}

struct ft_registry *ft_registry_free(struct ft_registry *r)
{
    if (!r)
        return NULL;
    for (size_t i = 0; i < SHARDS; i++)
        shard_fini(&r->shards[i]);
    ft_blobs_free(r->blobs);
    free(r);
    return NULL;
}

void ft_registry_freep(struct ft_registry **r)
{
    *r = ft_registry_free(*r);
}

void ft_registry_on_change(struct ft_registry *r, struct rn_tx changes)
{
    r->changes = changes;
}

void ft_registry_set_events(struct ft_registry *r, struct ft_events *events)
{
    r->events = events;
}

void ft_registry_changed(struct ft_registry *r, const struct ft_uuid *uid)
{
    if (r->changes.gen)
        (void)ft_changes_push(r->changes, uid);
}

void ft_registry_set_poke(struct ft_registry *r, struct ft_poke poke)
{
    r->poke = poke;
}

struct ft_blobs *ft_registry_blobs(struct ft_registry *r)
{
    return r->blobs;
}

struct rnet_histogram *ft_registry_apply_seconds(struct ft_registry *r)
{
    return &r->apply_seconds;
}

/* ---- finding ---- */

static struct ft_agent *find_locked(const struct shard *s, const struct ft_uuid *uid)
{
    struct ft_agent *a = *bucket_of(s, uid);

    while (a && !ft_uuid_eq(&a->uid, uid))
        a = a->next;
    return a;
}

/* Twice the buckets. Some ten microseconds at ten thousand records of one shard; where memory is
 * short chains just get longer. */
static void grow_locked(struct shard *s)
{
    struct shard wider = {.n_buckets = s->n_buckets * 2};

    wider.buckets = calloc(wider.n_buckets, sizeof(struct ft_agent *));
    if (!wider.buckets)
        return;
    for (size_t i = 0; i < s->n_buckets; i++) {
        while (s->buckets[i]) {
            struct ft_agent *a = s->buckets[i];
            s->buckets[i] = a->next;
            struct ft_agent **to = bucket_of(&wider, &a->uid);
            a->next = *to;
            *to = a;
        }
    }
    free(s->buckets);
    s->buckets = wider.buckets;
    s->n_buckets = wider.n_buckets;
}

static struct ft_agent *add_locked(struct ft_registry *r, struct shard *s,
                                   const struct ft_uuid *uid)
{
    struct ft_agent *a = calloc(1, sizeof(*a));

    if (!a)
        return NULL;
    if (s->n >= s->n_buckets)
        grow_locked(s);
    a->uid = *uid;
    a->liveness = FT_LIVENESS_OFFLINE;
    a->interval = FT_INTERVAL_DEFAULT;
    struct ft_agent **bucket = bucket_of(s, uid);
    a->next = *bucket;
    *bucket = a;
    s->n++;
    atomic_fetch_add(&r->by_liveness[a->liveness], 1);
    atomic_fetch_add(&r->by_status[a->shown_status], 1);
    return a;
}

int ft_agent_lock_or_new(struct ft_registry *r, const struct ft_uuid *uid,
                         struct ft_agent **ret_agent, bool *ret_new)
{
    struct shard *s = shard_of(r, uid);

    rn_lock_acquire(&s->lock);
    struct ft_agent *a = find_locked(s, uid);
    *ret_new = !a;
    if (!a)
        a = add_locked(r, s, uid);
    if (!a) {
        rn_lock_release(&s->lock);
        return -ENOMEM;
    }
    *ret_agent = a;
    return 0;
}

struct ft_agent *ft_agent_lock(struct ft_registry *r, const struct ft_uuid *uid)
{
    struct shard *s = shard_of(r, uid);

    rn_lock_acquire(&s->lock);
    struct ft_agent *a = find_locked(s, uid);
    if (!a)
        rn_lock_release(&s->lock);
    return a;
}

void ft_agent_relock(struct ft_registry *r, struct ft_agent *a)
{
    rn_lock_acquire(&shard_of(r, &a->uid)->lock);
}

void ft_agent_unlock(struct ft_registry *r, struct ft_agent *a)
{
    rn_lock_release(&shard_of(r, &a->uid)->lock);
    ft_events_tell(r->events);
}

void ft_agents_each_locked(struct ft_registry *r, unsigned shard,
                           bool (*fn)(void *arg, struct ft_agent *a), void *arg)
{
    struct shard *s = &r->shards[shard];
    bool go_on = true;

    rn_lock_acquire(&s->lock);
    for (size_t b = 0; go_on && b < s->n_buckets; b++)
        for (struct ft_agent *a = s->buckets[b]; go_on && a; a = a->next)
            go_on = fn(arg, a);
    rn_lock_release(&s->lock);
    ft_events_tell(r->events);
}

/* ---- what follows from a change ---- */

bool ft_agent_reports_desired_locked(const struct ft_agent *a)
{
    return a->rendered && (a->bits & FT_AGENT_HAS_REPORTED) &&
           ft_hash_eq(&a->reported_hash, &a->rendered->hash);
}

/* CONTRACT section 3: the agent's last report if its hash is the desired one, else UNSET; a
 * rendering that failed is FAILED. */
static uint8_t shown_status_locked(const struct ft_agent *a)
{
    if (a->render_error)
        return FT_STATUS_FAILED;
    if (!ft_agent_reports_desired_locked(a))
        return FT_STATUS_UNSET;
    return a->bits & FT_AGENT_TIMED_OUT ? FT_STATUS_FAILED : a->status;
}

void ft_agent_publish_locked(struct ft_registry *r, const struct ft_agent *a,
                             enum ft_event_change change)
{
    ft_events_add(r->events,
                  &(struct ft_event){.change = change, .agent = a->uid, .state = a->liveness});
}

static void publish_status_locked(struct ft_registry *r, const struct ft_agent *a)
{
    struct ft_event e = {.change = FT_EVENT_config_status,
                         .agent = a->uid,
                         .state = a->shown_status,
                         .has_hash = a->rendered != NULL,
                         .timed_out = !a->render_error && (a->bits & FT_AGENT_TIMED_OUT)};

    if (a->version) {
        e.name = rn_slice_str(a->version->head.configuration);
        e.version = a->version->head.number;
    }
    if (a->rendered)
        e.hash = a->rendered->hash;
    if (a->shown_status == FT_STATUS_FAILED && !e.timed_out)
        e.text = ft_blob_slice(a->render_error ? a->render_error : a->status_error);
    ft_events_add(r->events, &e);
}

void ft_agent_settle_locked(struct ft_registry *r, struct ft_agent *a)
{
    uint8_t shown = shown_status_locked(a);

    if (shown == a->shown_status)
        return;
    atomic_fetch_sub(&r->by_status[a->shown_status], 1);
    atomic_fetch_add(&r->by_status[shown], 1);
    a->shown_status = shown;
    if (shown != FT_STATUS_UNSET)
        publish_status_locked(r, a);
}

void ft_agent_set_liveness_locked(struct ft_registry *r, struct ft_agent *a, enum ft_liveness l)
{
    atomic_fetch_sub(&r->by_liveness[a->liveness], 1);
    atomic_fetch_add(&r->by_liveness[l], 1);
    a->liveness = (uint8_t)l;
}

bool ft_agent_offer_due_locked(const struct ft_agent *a)
{
    if (!a->rendered || !a->conn.gen || !(a->bits & FT_AGENT_CONFIG_KNOWN) ||
        !(a->capabilities & FT_AGENT_ACCEPTS_REMOTE_CONFIG))
        return false;
    if ((a->bits & FT_AGENT_OFFERED) && a->offered == a->assignment)
        return false;
    if (!ft_agent_reports_desired_locked(a))
        return true;
    /* It has this very content. Only a failure that is older than the newest assignment is worth
     * another try. */
    bool failed = a->status == FT_STATUS_FAILED || (a->bits & FT_AGENT_TIMED_OUT);
    return (failed && a->failed < a->assignment) || a->status == FT_STATUS_UNSET;
}

bool ft_agent_takes_settings(const struct ft_agent *a)
{
    uint64_t needed = FT_AGENT_ACCEPTS_OPAMP_CONNECTION_SETTINGS | FT_AGENT_REPORTS_HEARTBEAT;

    return (a->capabilities & needed) == needed;
}

int ft_agent_set_blob(struct ft_registry *r, struct ft_blob **slot, struct rn_slice bytes)
{
    struct ft_blob *b;

    if (rn_slice_eq(ft_blob_slice(*slot), bytes))
        return 0;
    int e = ft_blob_intern(r->blobs, bytes, &b);
    if (e < 0)
        return e;
    ft_blob_unref(*slot);
    *slot = b;
    return 1;
}

/* Does what should be there come from elsewhere now: another version, another error? */
static bool origin_differs(const struct ft_agent *a, const struct ft_desired *d,
                           const struct ft_blob *error)
{
    if (a->render_error != error || !a->version != !d->version)
        return true;
    return a->version &&
           (a->version->head.number != d->version->head.number ||
            strcmp(a->version->head.configuration, d->version->head.configuration) != 0);
}

/* The same assignment may come to mean other content: a template whose values changed. Then it is
 * offered again. */
static void desire_locked(struct ft_agent *a, const struct ft_desired *d)
{
    if (!a->rendered || !d->rendered || !ft_hash_eq(&a->rendered->hash, &d->rendered->hash))
        a->bits &= ~(uint32_t)FT_AGENT_OFFERED;
    a->rendered = d->rendered;
    a->version = d->version;
    a->assignment = d->assignment;
    a->desired_since = d->since;
}

int ft_registry_desire(struct ft_registry *r, const struct ft_uuid *uid, struct ft_desired *d)
{
    CLEANUP(ft_blob_unrefp) struct ft_blob *error = NULL;
    struct ft_rendered *old = d->rendered;
    struct ft_version *old_version = d->version;
    struct rnet_conn conn = {0};

    int e = ft_blob_intern(r->blobs, rn_slice_str(d->error), &error);
    free(d->error);
    struct ft_agent *a = e < 0 ? NULL : ft_agent_lock(r, uid);
    if (a) {
        old = a->rendered;
        old_version = a->version;
        const bool differs = origin_differs(a, d, error);
        const uint8_t shown = a->shown_status;
        desire_locked(a, d);
        struct ft_blob *old_error = a->render_error;
        a->render_error = error;
        error = old_error;
        ft_agent_settle_locked(r, a);
        if (differs && shown != FT_STATUS_UNSET && shown == a->shown_status)
            publish_status_locked(r, a); /* the same word, of something else */
        if (ft_agent_offer_due_locked(a))
            conn = a->conn;
        ft_agent_unlock(r, a);
    }
    *d = (struct ft_desired){0};
    ft_rendered_unref(old);
    ft_version_unref(old_version);
    if (conn.gen)
        r->poke.poke(r->poke.arg, conn);
    return a ? 0 : e < 0 ? e : -ENOENT;
}

/* ---- reading ---- */

static void copy_locked(const struct ft_agent *a, struct ft_agent_snapshot *s)
{
    *s = (struct ft_agent_snapshot){
        .uid = a->uid,
        .liveness = a->liveness,
        .transport = a->transport,
        .capabilities = a->capabilities,
        .sequence_num = a->sequence_num,
        .last_seen_ms = a->last_seen_ms,
        .connected_since_ms = a->connected_since_ms,
        .description = ft_blob_ref(a->description),
        .health = ft_blob_ref(a->health),
        .effective = ft_blob_ref(a->effective),
        .has_effective_hash = a->bits & FT_AGENT_HAS_EFFECTIVE,
        .has_reported_hash = a->bits & FT_AGENT_HAS_REPORTED,
        .has_applied_hash = a->bits & FT_AGENT_HAS_APPLIED,
        .effective_hash = a->effective_hash,
        .reported_hash = a->reported_hash,
        .applied_hash = a->applied_hash,
        .status = a->shown_status,
        .timed_out = a->bits & FT_AGENT_TIMED_OUT,
        .status_error = ft_blob_ref(a->status_error),
        .assignment = a->assignment,
        .rendered = a->rendered ? ft_rendered_ref(a->rendered) : NULL,
        .render_error = ft_blob_ref(a->render_error),
    };
    struct rn_slice address = ft_blob_slice(a->remote_address);
    size_t n =
        address.len < sizeof(s->remote_address) ? address.len : sizeof(s->remote_address) - 1;
    memcpy(s->remote_address, n ? (const char *)address.data : "", n);
}

int ft_registry_snapshot(struct ft_registry *r, const struct ft_uuid *uid,
                         struct ft_agent_snapshot *ret)
{
    struct ft_agent *a = ft_agent_lock(r, uid);

    if (!a)
        return -ENOENT;
    copy_locked(a, ret);
    ft_agent_unlock(r, a);
    return 0;
}

void ft_agent_snapshot_fini(struct ft_agent_snapshot *s)
{
    ft_blob_unref(s->description);
    ft_blob_unref(s->health);
    ft_blob_unref(s->effective);
    ft_blob_unref(s->status_error);
    ft_blob_unref(s->render_error);
    ft_rendered_unref(s->rendered);
    *s = (struct ft_agent_snapshot){0};
}

static int compare_uids(const void *a, const void *b)
{
    return ft_uuid_cmp(a, b);
}

/* Room for all, with some to spare for those that come meanwhile; who comes later than that is in
 * the next list. */
static size_t count_all(struct ft_registry *r)
{
    size_t n = 0;

    for (size_t i = 0; i < FT_LIVENESS_COUNT; i++)
        n += atomic_load(&r->by_liveness[i]);
    return n + 64;
}

struct uid_list {
    struct ft_uuid *uids;
    size_t n, cap;
};

static bool add_uid(void *arg, struct ft_agent *a)
{
    struct uid_list *list = arg;

    if (list->n == list->cap)
        return false;
    list->uids[list->n++] = a->uid;
    return true;
}

int ft_registry_uids(struct ft_registry *r, struct ft_uuid **ret_uids, size_t *ret_n)
{
    struct uid_list list = {.cap = count_all(r)};

    list.uids = malloc(list.cap * sizeof(*list.uids));
    if (!list.uids)
        return -ENOMEM;
    for (unsigned shard = 0; shard < SHARDS; shard++)
        ft_agents_each_locked(r, shard, add_uid, &list);
    qsort(list.uids, list.n, sizeof(*list.uids), compare_uids);
    *ret_uids = list.uids;
    *ret_n = list.n;
    return 0;
}

void ft_registry_counts(const struct ft_registry *r, struct ft_registry_counts *ret)
{
    for (size_t i = 0; i < FT_LIVENESS_COUNT; i++)
        ret->agents[i] = atomic_load(&r->by_liveness[i]);
    for (size_t i = 0; i < 4; i++)
        ret->status[i] = atomic_load(&r->by_status[i]);
}
