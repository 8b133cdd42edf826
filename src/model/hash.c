/* libcrypto does the arithmetic; here is only what is fed and in what order. */
#include <model/hash.h>

#include <errno.h>

#include <openssl/evp.h>

#include <base/cleanup.h>

#include "hex.h"

DEFINE_TRIVIAL_CLEANUP(EVP_MD_CTX *, EVP_MD_CTX_free);

static bool feed(EVP_MD_CTX *c, struct rn_slice s)
{
    return s.len == 0 || EVP_DigestUpdate(c, s.data, s.len) == 1;
}

/* A length of `width` bytes, big-endian, then the bytes. */
static bool feed_counted(EVP_MD_CTX *c, int width, struct rn_slice s)
{
    uint8_t length[8];

    for (int i = 0; i < width; i++)
        length[i] = (uint8_t)((uint64_t)s.len >> (8 * (width - 1 - i)));
    return EVP_DigestUpdate(c, length, (size_t)width) == 1 && feed(c, s);
}

static bool feed_object(EVP_MD_CTX *c, const struct ft_object *o)
{
    return feed_counted(c, 4, o->name) && feed_counted(c, 4, o->content_type) &&
           feed_counted(c, 8, o->body);
}

int ft_hash_objects(const struct ft_objects *objects, struct ft_hash *ret)
{
    CLEANUP(EVP_MD_CTX_freep) EVP_MD_CTX *c = EVP_MD_CTX_new();

    if (!c || EVP_DigestInit_ex(c, EVP_sha256(), NULL) != 1)
        return -ENOMEM;
    for (size_t i = 0; i < objects->count; i++) {
        if (!feed_object(c, &objects->items[i]))
            return -ENOMEM;
    }
    return EVP_DigestFinal_ex(c, ret->bytes, NULL) == 1 ? 0 : -ENOMEM;
}

int ft_hash_bytes(struct rn_slice data, struct ft_hash *ret)
{
    CLEANUP(EVP_MD_CTX_freep) EVP_MD_CTX *c = EVP_MD_CTX_new();

    if (!c || EVP_DigestInit_ex(c, EVP_sha256(), NULL) != 1 || !feed(c, data))
        return -ENOMEM;
    return EVP_DigestFinal_ex(c, ret->bytes, NULL) == 1 ? 0 : -ENOMEM;
}

void ft_hex_format(struct rn_slice bytes, char *out)
{
    static const char digits[] = "0123456789abcdef";

    for (size_t i = 0; i < bytes.len; i++) {
        *out++ = digits[bytes.data[i] >> 4];
        *out++ = digits[bytes.data[i] & 15];
    }
    *out = 0;
}

void ft_hash_format(const struct ft_hash *h, char out[FT_HASH_HEX_SIZE])
{
    ft_hex_format(ft_hash_slice(h), out);
}

int ft_hash_parse(struct rn_slice hex, struct ft_hash *ret)
{
    struct ft_hash h;

    if (hex.len != FT_HASH_HEX_LEN)
        return -EINVAL;
    for (size_t i = 0; i < FT_HASH_LEN; i++) {
        int high = ft__hex_value(hex.data[2 * i]), low = ft__hex_value(hex.data[2 * i + 1]);

        if (high < 0 || low < 0)
            return -EINVAL;
        h.bytes[i] = (uint8_t)(high << 4 | low);
    }
    *ret = h;
    return 0;
}

int ft_hash_from_bytes(struct rn_slice bytes, struct ft_hash *ret)
{
    if (bytes.len != FT_HASH_LEN)
        return -EINVAL;
    memcpy(ret->bytes, bytes.data, FT_HASH_LEN);
    return 0;
}
