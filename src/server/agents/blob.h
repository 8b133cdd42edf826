/* Immutable bytes, shared where they are equal.
 *
 * Most agents of a fleet say the same of themselves, so descriptions, health and effective
 * configurations are kept once for each content: a table finds the blob with the same bytes, a
 * count says when the last user has gone.
 */
#pragma once

#include <stdatomic.h>

#include <runnel/lock.h>
#include <runnel/slice.h>

#define FT_BLOB_BYTES_MAX ((size_t)256 << 20)

struct ft_blobs; /* the table; outlives its blobs */

struct ft_blob {
    /* any thread */
    _Atomic uint32_t refs;

    /* set once */
    uint32_t len;
    uint64_t hash;
    struct ft_blobs *home;

    /* the table's lock */
    struct ft_blob *next;

    uint8_t data[];
};

int ft_blobs_new(struct ft_blobs **ret_table);
struct ft_blobs *ft_blobs_free(struct ft_blobs *table); /* must be empty */

/* The blob with these bytes: found, or made. An empty slice gives NULL. 0, -ENOMEM, -E2BIG. Any
 * thread; does not suspend. */
int ft_blob_intern(struct ft_blobs *table, struct rn_slice bytes, struct ft_blob **ret_blob);
struct ft_blob *ft_blob_ref(struct ft_blob *b); /* NULL is fine */
struct ft_blob *ft_blob_unref(struct ft_blob *b);
void ft_blob_unrefp(struct ft_blob **b);

static inline struct rn_slice ft_blob_slice(const struct ft_blob *b)
{
    return b ? rn_slice(b->data, b->len) : (struct rn_slice){0};
}
