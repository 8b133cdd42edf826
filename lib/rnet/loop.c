/* What rnet keeps for a loop: the slab of slots, the shared read buffer, the list of this turn.
 *
 * Made by the first connection, listener or dial of a loop, gone with the loop. A table of all
 * loops of the process lets any thread post to a connection; its lock is held for the push only,
 * and also keeps a loop from ending meanwhile.
 */
#include "internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <base/assert.h>

#define TURN_ROUNDS                                                                                \
    4 /* what callbacks of a turn's end queue is done in the same turn, but not without end */

static pthread_mutex_t    table_lock = PTHREAD_MUTEX_INITIALIZER;
static struct rnet__loop *table[RNET__LOOPS_MAX];
static _Atomic uint32_t   next_gen = 1;

static int table_add(struct rnet__loop *l)
{
    int r = -ENOSPC;

    (void)pthread_mutex_lock(&table_lock);
    for (uint32_t i = 0; i < RNET__LOOPS_MAX; i++) {
        if (!table[i]) {
            l->id = i;
            table[i] = l;
            r = 0;
            break;
        }
    }
    (void)pthread_mutex_unlock(&table_lock);
    return r;
}

int rnet__loop_post(uint32_t id, struct rn_post *post)
{
    int r = -ESHUTDOWN;

    if (id >= RNET__LOOPS_MAX)
        return r;
    (void)pthread_mutex_lock(&table_lock);
    if (table[id])
        r = rn_loop_post(table[id]->rn, post);
    (void)pthread_mutex_unlock(&table_lock);
    return r;
}

uint32_t rnet__loop_load(const struct rn_loop *rn)
{
    uint32_t n = 0;

    (void)pthread_mutex_lock(&table_lock);
    for (uint32_t i = 0; i < RNET__LOOPS_MAX; i++)
        if (table[i] && table[i]->rn == rn)
            n = atomic_load_explicit(&table[i]->n_conns, memory_order_relaxed);
    (void)pthread_mutex_unlock(&table_lock);
    return n;
}

/* The loop ends with connections on it: their users are told, nothing is left behind. */
static void loop_fini(void *value)
{
    struct rnet__loop *l = value;

    l->trace.describe = NULL; /* a line would come after the end */
    while (l->listeners)
        rnet__listener_abandon(l->listeners);
    for (uint32_t i = 0; i < l->n_chunks * RNET__CHUNK_CONNS; i++) {
        struct rnet__conn *c = rnet__slot(l, i);

        if (c->state != RNET__FREE) {
            rnet__conn_abort(l, c, RNET_REASON_CUT);
            rnet__conn_finish(l, c);
        }
    }

    (void)pthread_mutex_lock(&table_lock);
    table[l->id] = NULL;
    (void)pthread_mutex_unlock(&table_lock);

    while (l->cache) {
        struct rnet__buf *b = l->cache;

        memcpy(&l->cache, b->bytes, sizeof(l->cache));
        free(b);
    }
    for (uint32_t i = 0; i < l->n_chunks; i++)
        free(l->chunks[i]);
    free(l->chunks);
    free(l->shared);
    free(l);
}

struct rnet__loop *rnet__loop_self(void)
{
    struct rn_loop *rn = rn_loop_self();

    return rn ? rn_loop_local(rn) : NULL;
}

int rnet__loop_get(struct rnet__loop **ret_loop)
{
    struct rnet__loop *l = rnet__loop_self();
    int r;

    if (!l) {
        if (!rn_loop_self())
            return -ENXIO;
        l = calloc(1, sizeof(*l));
        if (!l)
            return -ENOMEM;
        l->rn = rn_loop_self();
        l->trace = (struct rn_memtrace){.name = "buffers", .describe = rnet__buf_describe};
        r = table_add(l);
        if (r < 0) {
            free(l);
            return r;
        }
        rn_loop_local_set(l->rn, l, loop_fini);
    }
    *ret_loop = l;
    return 0;
}

/* ---- slots ---- */

struct rnet__conn *rnet__slot(struct rnet__loop *l, uint32_t index)
{
    return &l->chunks[index / RNET__CHUNK_CONNS][index % RNET__CHUNK_CONNS];
}

struct rnet__conn *rnet__conn_find(struct rnet_conn conn, struct rnet__loop **ret_loop)
{
    struct rnet__loop *l = rnet__loop_self();
    const uint32_t index = conn.slot & (RNET__CONNS_MAX - 1);
    struct rnet__conn *c;

    if (!l || conn.gen == 0 || conn.slot >> 24 != l->id ||
        index >= l->n_chunks * RNET__CHUNK_CONNS)
        return NULL;
    c = rnet__slot(l, index);
    if (c->gen != conn.gen)
        return NULL;
    if (ret_loop)
        *ret_loop = l;
    return c;
}

static int chunk_add(struct rnet__loop *l)
{
    const uint32_t base = l->n_chunks * RNET__CHUNK_CONNS;
    struct rnet__conn **chunks, *chunk;

    if (base >= RNET__CONNS_MAX)
        return -EMFILE;
    if (!l->shared && !(l->shared = malloc(RNET__SHARED_BYTES)))
        return -ENOMEM;
    chunks = realloc(l->chunks, (l->n_chunks + 1) * sizeof(*chunks));
    if (!chunks)
        return -ENOMEM;
    l->chunks = chunks;
    chunk = calloc(RNET__CHUNK_CONNS, sizeof(*chunk));
    if (!chunk)
        return -ENOMEM;
    l->chunks[l->n_chunks++] = chunk;
    for (uint32_t i = RNET__CHUNK_CONNS; i-- > 0;) {
        chunk[i].index = base + i;
        chunk[i].next = l->free;
        l->free = base + i + 1;
    }
    return 0;
}

int rnet__slot_new(struct rnet__loop *l, struct rnet__conn **ret_conn)
{
    struct rnet__conn *c;
    uint32_t index;
    int r;

    if (!l->free) {
        r = chunk_add(l);
        if (r < 0)
            return r;
    }
    c = rnet__slot(l, l->free - 1);
    l->free = c->next;
    index = c->index;
    *c = (struct rnet__conn){.index = index, .number = -1, .when = RN_FOREVER};
    do
        c->gen = atomic_fetch_add_explicit(&next_gen, 1, memory_order_relaxed);
    while (c->gen == 0);
    atomic_fetch_add_explicit(&l->n_conns, 1, memory_order_relaxed);
    *ret_conn = c;
    return 0;
}

void rnet__slot_free(struct rnet__loop *l, struct rnet__conn *c)
{
    c->state = RNET__FREE;
    c->gen = 0;
    c->next = l->free;
    l->free = c->index + 1;
    atomic_fetch_sub_explicit(&l->n_conns, 1, memory_order_relaxed);
}

/* ---- the end of a turn ---- */

static void turn_end(struct rnet__loop *l)
{
    for (unsigned round = 0; l->turn_first && round < TURN_ROUNDS; round++) {
        uint32_t at = l->turn_first;

        l->turn_first = l->turn_last = 0;
        while (at) {
            struct rnet__conn *c = rnet__slot(l, at - 1);

            at = c->next;
            c->next = 0;
            c->flags &= (uint16_t)~RNET__QUEUED;
            rnet__conn_turn_end(l, c);
        }
    }
    if (l->turn_first && !l->more_posted)
        l->more_posted = rn_loop_post(l->rn, &l->more) == 0;
}

static void turn_end_deferred(struct rn_defer *defer)
{
    turn_end((struct rnet__loop *)(void *)((char *)defer - offsetof(struct rnet__loop, defer)));
}

static void turn_end_posted(struct rn_post *post)
{
    struct rnet__loop *l =
        (struct rnet__loop *)(void *)((char *)post - offsetof(struct rnet__loop, more));

    l->more_posted = false;
    turn_end(l);
}

void rnet__conn_queue(struct rnet__loop *l, struct rnet__conn *c)
{
    if (c->flags & RNET__QUEUED)
        return;
    c->flags |= RNET__QUEUED;
    c->next = 0;
    if (l->turn_last)
        rnet__slot(l, l->turn_last - 1)->next = c->index + 1;
    else
        l->turn_first = c->index + 1;
    l->turn_last = c->index + 1;
    l->defer.fn = turn_end_deferred;
    l->more.fn = turn_end_posted;
    rn_loop_defer(&l->defer);
}
