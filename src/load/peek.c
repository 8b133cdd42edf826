#include "peek.h"

enum { WIRE_VARINT = 0, WIRE_BYTES = 2 };
enum { INSTANCE_UID = 1, FLAGS = 6, CAPABILITIES = 7, CUSTOM_MESSAGE = 11, CUSTOM_DATA = 3 };

static bool varint(struct rn_slice *in, uint64_t *ret)
{
    uint64_t v = 0;

    for (size_t i = 0; i < in->len && i < 10; i++) {
        v |= (uint64_t)(in->data[i] & 0x7f) << (7 * i);
        if (in->data[i] & 0x80)
            continue;
        *in = rn_slice_from(*in, i + 1);
        *ret = v;
        return true;
    }
    return false;
}

/* The next field: a number in *ret_value, or bytes in *ret_bytes. False: neither, or it breaks off. */
static bool field(struct rn_slice *in, uint64_t *ret_tag, uint64_t *ret_value,
                  struct rn_slice *ret_bytes)
{
    if (!varint(in, ret_tag) || !varint(in, ret_value))
        return false;
    if ((*ret_tag & 7) == WIRE_VARINT)
        return true;
    if ((*ret_tag & 7) != WIRE_BYTES || *ret_value > in->len)
        return false;
    *ret_bytes = rn_slice(in->data, (size_t)*ret_value);
    *in = rn_slice_from(*in, (size_t)*ret_value);
    return true;
}

static struct rn_slice custom_data(struct rn_slice custom)
{
    uint64_t tag, value;
    struct rn_slice bytes;

    while (custom.len > 0 && field(&custom, &tag, &value, &bytes))
        if (tag == (CUSTOM_DATA << 3 | WIRE_BYTES))
            return bytes;
    return (struct rn_slice){0};
}

struct ft_peek ft_peek(struct rn_slice message)
{
    const struct ft_peek not_plain = {0};
    struct ft_peek p = {.plain = true};
    struct rn_slice bytes;
    uint64_t tag, value;

    while (message.len > 0) {
        if (!field(&message, &tag, &value, &bytes))
            return not_plain;
        switch (tag) {
        case INSTANCE_UID << 3 | WIRE_BYTES:
        case CAPABILITIES << 3 | WIRE_VARINT:
            break;
        case FLAGS << 3 | WIRE_VARINT:
            p.flags = value;
            break;
        case CUSTOM_MESSAGE << 3 | WIRE_BYTES:
            p.custom_data = custom_data(bytes);
            break;
        default:
            return not_plain;
        }
    }
    return p;
}
