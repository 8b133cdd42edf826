/* A slice is a view of bytes that somebody else owns.
 *
 * Unless said otherwise:
 * Suspends: no.
 * Returns:  what its name says, and never an error.
 * Owner:    of the bytes, whoever owned them before.
 * From:     anywhere.
 */
#pragma once

#include <string.h>

#include <runnel/base.h>

struct rn_slice {
    const uint8_t *data;
    size_t         len;
};

#define RN_SLICE_LITERAL(s) ((struct rn_slice){(const uint8_t *)("" s), sizeof(s) - 1})

static inline struct rn_slice rn_slice(const void *data, size_t len)
{
    struct rn_slice s = {(const uint8_t *)data, len};

    return s;
}

static inline struct rn_slice rn_slice_str(const char *s)
{
    return rn_slice(s, s ? strlen(s) : 0);
}

static inline bool rn_slice_eq(struct rn_slice a, struct rn_slice b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

static inline bool rn_slice_eq_str(struct rn_slice a, const char *s)
{
    return rn_slice_eq(a, rn_slice_str(s));
}

/* The part from `from` on; empty when `from` lies behind the end. */
static inline struct rn_slice rn_slice_from(struct rn_slice s, size_t from)
{
    size_t skip = from < s.len ? from : s.len;

    return rn_slice(s.data + skip, s.len - skip);
}
