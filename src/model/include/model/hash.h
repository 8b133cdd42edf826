/* SHA-256 over objects: the identity of a rendered configuration.
 *
 * Fed in byte order of names, for each object: u32 length + name, u32 length + content type, u64
 * length + body, all big-endian. The template flag does not count. Equal content has an equal hash,
 * on the server and on the agent.
 */
#pragma once

#include <string.h>

#include <model/object.h>

#define FT_HASH_LEN      32
#define FT_HASH_HEX_LEN  64
#define FT_HASH_HEX_SIZE (FT_HASH_HEX_LEN + 1)

struct ft_hash {
    uint8_t bytes[FT_HASH_LEN];
};

/* Returns: 0, -ENOMEM (libcrypto could not). */
int ft_hash_objects(const struct ft_objects *objects, struct ft_hash *ret);

/* Plain SHA-256. */
int ft_hash_bytes(struct rn_slice data, struct ft_hash *ret);

/* Lower case, NUL-terminated. */
void ft_hash_format(const struct ft_hash *h, char out[FT_HASH_HEX_SIZE]);

/* Takes exactly 64 hex digits of either case. Returns: 0 or -EINVAL. */
int ft_hash_parse(struct rn_slice hex, struct ft_hash *ret);

/* Returns: 0, or -EINVAL when `bytes` is not 32 long. */
int ft_hash_from_bytes(struct rn_slice bytes, struct ft_hash *ret);

/* Any bytes as lower-case hex; `out` takes 2 x len + 1. */
void ft_hex_format(struct rn_slice bytes, char *out);

static inline bool ft_hash_eq(const struct ft_hash *a, const struct ft_hash *b)
{
    return memcmp(a->bytes, b->bytes, sizeof(a->bytes)) == 0;
}

static inline bool ft_hash_is_zero(const struct ft_hash *h)
{
    static const struct ft_hash zero;
    return ft_hash_eq(h, &zero);
}

static inline struct rn_slice ft_hash_slice(const struct ft_hash *h)
{
    return rn_slice(h->bytes, sizeof(h->bytes));
}
