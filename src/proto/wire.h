/* The wire format of protobuf, as small as it is: varints, tags, lengths. Shared by the scan and
 * the hand-made codecs; not for the floors above.
 *
 * A reader is a slice that shrinks from its start. Every function returns false on input that
 * protobuf forbids or that ends too early, and then leaves the reader where it was.
 */
#pragma once

#include <limits.h>

#include <runnel/slice.h>

#define FT_VARINT_MAX     10 /* bytes of the longest varint */
#define FT_LEN_VARINT_MAX 5
#define FT_TAG_VARINT_MAX 5

enum ft_wire_type {
    FT_WIRE_VARINT = 0,
    FT_WIRE_FIXED64 = 1,
    FT_WIRE_BYTES = 2,
    FT_WIRE_GROUP_START = 3,
    FT_WIRE_GROUP_END = 4,
    FT_WIRE_FIXED32 = 5,
};

/* Take a varint of at most `max` bytes. Bits past the 64th are dropped, as every decoder does. */
static inline bool ft_wire_varint(struct rn_slice *in, size_t max, uint64_t *ret)
{
    uint64_t v = 0;

    for (size_t i = 0; i < in->len && i < max; i++) {
        v |= (uint64_t)(in->data[i] & 0x7f) << (7 * i);
        if (in->data[i] & 0x80)
            continue;
        *in = rn_slice_from(*in, i + 1);
        *ret = v;
        return true;
    }
    return false;
}

static inline bool ft_wire_tag(struct rn_slice *in, uint32_t *ret_number,
                               enum ft_wire_type *ret_type)
{
    struct rn_slice at = *in;
    uint64_t        v;

    if (!ft_wire_varint(&at, FT_TAG_VARINT_MAX, &v) || v > UINT32_MAX || v >> 3 == 0)
        return false;
    *in = at;
    *ret_number = (uint32_t)(v >> 3);
    *ret_type = (enum ft_wire_type)(v & 7);
    return true;
}

/* Take a length and the bytes it announces. */
static inline bool ft_wire_bytes(struct rn_slice *in, struct rn_slice *ret)
{
    struct rn_slice at = *in;
    uint64_t        len;

    if (!ft_wire_varint(&at, FT_LEN_VARINT_MAX, &len) || len > INT_MAX || len > at.len)
        return false;
    *ret = rn_slice(at.data, (size_t)len);
    *in = rn_slice_from(at, (size_t)len);
    return true;
}

static inline bool ft_wire_fixed64(struct rn_slice *in, uint64_t *ret)
{
    uint64_t v = 0;

    if (in->len < 8)
        return false;
    for (int i = 7; i >= 0; i--)
        v = v << 8 | in->data[i];
    *ret = v;
    *in = rn_slice_from(*in, 8);
    return true;
}

static inline size_t ft_wire_varint_size(uint64_t v)
{
    size_t n = 1;

    while (v >>= 7)
        n++;
    return n;
}

/* Writers put into memory that was measured before, and return the next free byte. */
static inline uint8_t *ft_wire_put_varint(uint8_t *at, uint64_t v)
{
    for (; v >= 0x80; v >>= 7)
        *at++ = (uint8_t)(v | 0x80);
    *at++ = (uint8_t)v;
    return at;
}

/* Field numbers here are under 16, so a tag is one byte. Zero and empty fields are left out. */
static inline size_t ft_wire_uint_size(uint64_t v)
{
    return v ? 1 + ft_wire_varint_size(v) : 0;
}

static inline uint8_t *ft_wire_put_uint(uint8_t *at, unsigned number, uint64_t v)
{
    if (!v)
        return at;
    *at++ = (uint8_t)(number << 3 | FT_WIRE_VARINT);
    return ft_wire_put_varint(at, v);
}

static inline size_t ft_wire_bytes_size(size_t len)
{
    return len ? 1 + ft_wire_varint_size(len) + len : 0;
}

static inline uint8_t *ft_wire_put_head(uint8_t *at, unsigned number, size_t len)
{
    *at++ = (uint8_t)(number << 3 | FT_WIRE_BYTES);
    return ft_wire_put_varint(at, len);
}

static inline uint8_t *ft_wire_put_bytes(uint8_t *at, unsigned number, struct rn_slice s)
{
    if (!s.len)
        return at;
    at = ft_wire_put_head(at, number, s.len);
    memcpy(at, s.data, s.len);
    return at + s.len;
}
