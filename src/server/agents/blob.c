/* A chained hash table, sixteen locks. A blob whose last reference goes is unlinked under its lock;
 * a finder that meets one with a count of 0 passes it by (it is on its way out) and makes its own.
 */
#include "agents/blob.h"

#include <errno.h>
#include <stdlib.h>

#include <base/assert.h>

#define STRIPES 16
#define BUCKETS_LOG2                                                                               \
    10 /* of a stripe: chains stay short up to some ten thousand distinct contents */

struct stripe {
    struct rn_lock lock;
    struct ft_blob *buckets[1 << BUCKETS_LOG2]; /* lock */
};

struct ft_blobs {
    struct stripe stripes[STRIPES];
    _Atomic uint64_t count;
};

/* FNV-1a over eight bytes at a time: spread, not secrecy; equal hashes are compared byte by byte.
 */
static uint64_t hash_of(struct rn_slice s)
{
    uint64_t h = UINT64_C(14695981039346656037) ^ s.len;
    size_t i = 0;

    for (; i + 8 <= s.len; i += 8) {
        uint64_t word;
        memcpy(&word, s.data + i, 8);
        h = (h ^ word) * UINT64_C(0x9e3779b97f4a7c15);
        h ^= h >> 29;
    }
    for (; i < s.len; i++)
        h = (h ^ s.data[i]) * UINT64_C(1099511628211);
    return h ^ h >> 32;
}

static struct stripe *stripe_of(struct ft_blobs *t, uint64_t hash)
{
    return &t->stripes[hash % STRIPES];
}

static struct ft_blob **bucket_of(struct stripe *s, uint64_t hash)
{
    return &s->buckets[(hash / STRIPES) & ((1 << BUCKETS_LOG2) - 1)];
}

int ft_blobs_new(struct ft_blobs **ret_table)
{
    struct ft_blobs *t = calloc(1, sizeof(*t));

    if (!t)
        return -ENOMEM;
    *ret_table = t;
    return 0;
}

struct ft_blobs *ft_blobs_free(struct ft_blobs *t)
{
    if (t)
        rn_assert(atomic_load(&t->count) == 0);
    free(t);
    return NULL;
}

/* A reference to a blob that may be on its way out: only while somebody else still holds one. */
static bool ref_unless_zero(struct ft_blob *b)
{
    uint32_t refs = atomic_load_explicit(&b->refs, memory_order_relaxed);

    while (refs != 0)
        if (atomic_compare_exchange_weak(&b->refs, &refs, refs + 1))
            return true;
    return false;
}

static struct ft_blob *find_locked(struct stripe *s, uint64_t hash, struct rn_slice bytes)
{
    for (struct ft_blob *b = *bucket_of(s, hash); b; b = b->next)
        if (b->hash == hash && rn_slice_eq(ft_blob_slice(b), bytes) && ref_unless_zero(b))
            return b;
    return NULL;
}

static struct ft_blob *blob_new(struct ft_blobs *t, uint64_t hash, struct rn_slice bytes)
{
    struct ft_blob *b = malloc(sizeof(*b) + bytes.len);

    if (!b)
        return NULL;
    *b = (struct ft_blob){.refs = 1, .len = (uint32_t)bytes.len, .hash = hash, .home = t};
    memcpy(b->data, bytes.data, bytes.len);
    return b;
}

int ft_blob_intern(struct ft_blobs *t, struct rn_slice bytes, struct ft_blob **ret_blob)
{
    if (bytes.len == 0) {
        *ret_blob = NULL;
        return 0;
    }
    if (bytes.len > FT_BLOB_BYTES_MAX)
        return -E2BIG;

    uint64_t hash = hash_of(bytes);
    struct stripe *s = stripe_of(t, hash);

    rn_lock_acquire(&s->lock);
    struct ft_blob *found = find_locked(s, hash, bytes);
    rn_lock_release(&s->lock);
    if (!found) {
        /* Made outside of the lock; two makers at once cost a double, which is harmless. */
        struct ft_blob *b = blob_new(t, hash, bytes);
        if (!b)
            return -ENOMEM;
        rn_lock_acquire(&s->lock);
        struct ft_blob **bucket = bucket_of(s, hash);
        b->next = *bucket;
        *bucket = b;
        rn_lock_release(&s->lock);
        atomic_fetch_add(&t->count, 1);
        found = b;
    }
    *ret_blob = found;
    return 0;
}

struct ft_blob *ft_blob_ref(struct ft_blob *b)
{
    if (b)
        atomic_fetch_add_explicit(&b->refs, 1, memory_order_relaxed);
    return b;
}

static void unlink_blob(struct ft_blob *b)
{
    struct stripe *s = stripe_of(b->home, b->hash);

    rn_lock_acquire(&s->lock);
    struct ft_blob **at = bucket_of(s, b->hash);
    while (*at != b)
        at = &(*at)->next;
    *at = b->next;
    rn_lock_release(&s->lock);
}

struct ft_blob *ft_blob_unref(struct ft_blob *b)
{
    if (!b || atomic_fetch_sub_explicit(&b->refs, 1, memory_order_acq_rel) != 1)
        return NULL;
    unlink_blob(b);
    atomic_fetch_sub(&b->home->count, 1);
    free(b);
    return NULL;
}

void ft_blob_unrefp(struct ft_blob **b)
{
    *b = ft_blob_unref(*b);
}
