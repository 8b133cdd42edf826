/* UUIDs: 16 bytes, shown as 0190f5c2-5b3e-7c11-9f0a-2f1c7d1f0b6a. New ones are version 7: they sort
 * by their time. */
#pragma once

#include <string.h>

#include <runnel/slice.h>

#define FT_UUID_TEXT_LEN  36
#define FT_UUID_TEXT_SIZE (FT_UUID_TEXT_LEN + 1)

struct ft_uuid {
    uint8_t bytes[16];
};

/* A new one from the wall clock and getrandom(2). Returns: 0 or -Exxx. */
int ft_uuid_new(struct ft_uuid *ret);

/* The same from given parts: ms since the epoch (48 bits count) and ten random bytes. */
struct ft_uuid ft_uuid_make(uint64_t unix_ms, const uint8_t random[10]);

/* Returns: 0, or -EINVAL when `bytes` is not 16 long. */
int ft_uuid_from_bytes(struct rn_slice bytes, struct ft_uuid *ret);

/* Lower case, NUL-terminated. */
void ft_uuid_format(const struct ft_uuid *u, char out[FT_UUID_TEXT_SIZE]);

/* Takes exactly the 36 characters, hex in either case. Returns: 0 or -EINVAL. */
int ft_uuid_parse(struct rn_slice text, struct ft_uuid *ret);

/* Well spread, for hash tables and shards; not for secrets. */
uint64_t ft_uuid_hash(const struct ft_uuid *u);

static inline int ft_uuid_cmp(const struct ft_uuid *a, const struct ft_uuid *b)
{
    return memcmp(a->bytes, b->bytes, sizeof(a->bytes));
}

static inline bool ft_uuid_eq(const struct ft_uuid *a, const struct ft_uuid *b)
{
    return ft_uuid_cmp(a, b) == 0;
}

static inline bool ft_uuid_is_zero(const struct ft_uuid *u)
{
    static const struct ft_uuid zero;
    return ft_uuid_eq(u, &zero);
}

static inline struct rn_slice ft_uuid_slice(const struct ft_uuid *u)
{
    return rn_slice(u->bytes, sizeof(u->bytes));
}
