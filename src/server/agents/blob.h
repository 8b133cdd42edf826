/* Immutable bytes, shared where they are equal.
 *
 * Most agents of a fleet say the same of themselves, so descriptions, health and effective configurations are kept once for
 * each content: a table finds the blob with the same bytes, a count says when the last user has gone.
 */
#pragma once

#include <stdatomic.h>

#include <runnel/slice.h>

struct ft_blob {
    _Atomic uint32_t refs; /* any thread */

    /* set once */
    uint32_t        len;
    uint64_t        hash;
    struct ft_blob *next; /* in its bucket: under the bucket's lock */
    uint8_t         data[];
};

/* The blob with these bytes: found, or made. An empty slice gives NULL. 0, -ENOMEM, -E2BIG (4 GiB). Any thread; does not suspend. */
int             ft_blob_intern(struct rn_slice bytes, struct ft_blob **ret_blob);
struct ft_blob *ft_blob_ref(struct ft_blob *b); /* NULL is fine */
struct ft_blob *ft_blob_unref(struct ft_blob *b);
void            ft_blob_unrefp(struct ft_blob **b);

static inline struct rn_slice ft_blob_slice(const struct ft_blob *b)
{
    return b ? rn_slice(b->data, b->len) : (struct rn_slice){0};
}
