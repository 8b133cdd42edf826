/* One pass over at most four fields, each at most once: a message that repeats a field has merging
 * rules, which the general decoder knows. The same holds for field numbers and wire types that are
 * not expected here, and for invalid text. */
#include <proto/heartbeat.h>

#include <proto/utf8.h>

#include "wire.h"

enum {
    AGENT_UID = 1,
    AGENT_SEQUENCE_NUM = 2,
    AGENT_CAPABILITIES = 4,
    AGENT_CUSTOM_MESSAGE = 13,
    SERVER_UID = 1,
    SERVER_FLAGS = 6,
    SERVER_CAPABILITIES = 7,
    SERVER_CUSTOM_MESSAGE = 11,
    CUSTOM_CAPABILITY = 1,
    CUSTOM_TYPE = 2,
    CUSTOM_DATA = 3,
};

static bool is_text(struct rn_slice s)
{
    return (s.len == 0 || !memchr(s.data, 0, s.len)) && ft_utf8_valid(s);
}

/* True for the first use of a number, and notes it. */
static bool first_use(uint32_t *seen, uint32_t number)
{
    uint32_t bit = UINT32_C(1) << number;
    bool     is_first = !(*seen & bit);

    *seen |= bit;
    return is_first;
}

static bool custom_decode(struct rn_slice in, struct ft_heartbeat *h)
{
    struct rn_slice *const field[] = {NULL, &h->custom_capability, &h->custom_type,
                                      &h->custom_data};
    enum ft_wire_type      wire;
    uint32_t               number, seen = 0;

    while (in.len > 0) {
        if (!ft_wire_tag(&in, &number, &wire) || wire != FT_WIRE_BYTES || number > CUSTOM_DATA)
            return false;
        if (!first_use(&seen, number) || !ft_wire_bytes(&in, field[number]))
            return false;
    }
    h->has_custom = true;
    return is_text(h->custom_capability) && is_text(h->custom_type);
}

static bool field_decode(struct rn_slice *in, uint32_t number, enum ft_wire_type wire,
                         struct ft_heartbeat *h)
{
    struct rn_slice custom;

    switch (number << 3 | wire) {
    case AGENT_UID << 3 | FT_WIRE_BYTES: return ft_wire_bytes(in, &h->instance_uid);
    case AGENT_SEQUENCE_NUM << 3 | FT_WIRE_VARINT:
        return ft_wire_varint(in, FT_VARINT_MAX, &h->sequence_num);
    case AGENT_CAPABILITIES << 3 | FT_WIRE_VARINT:
        return ft_wire_varint(in, FT_VARINT_MAX, &h->capabilities);
    case AGENT_CUSTOM_MESSAGE << 3 | FT_WIRE_BYTES:
        return ft_wire_bytes(in, &custom) && custom_decode(custom, h);
    default: return false;
    }
}

int ft_heartbeat_decode(struct rn_slice message, struct ft_heartbeat *ret)
{
    struct ft_heartbeat h = {0};
    enum ft_wire_type   wire;
    uint32_t            number, seen = 0;

    while (message.len > 0) {
        if (!ft_wire_tag(&message, &number, &wire) || number > AGENT_CUSTOM_MESSAGE)
            return 0;
        if (!first_use(&seen, number) || !field_decode(&message, number, wire, &h))
            return 0;
    }
    *ret = h;
    return 1;
}

static size_t custom_size(struct rn_slice capability, struct rn_slice type, struct rn_slice data)
{
    return ft_wire_bytes_size(capability.len) + ft_wire_bytes_size(type.len) +
           ft_wire_bytes_size(data.len);
}

static uint8_t *put_custom(uint8_t *at, unsigned number, struct rn_slice capability,
                           struct rn_slice type, struct rn_slice data)
{
    at = ft_wire_put_head(at, number, custom_size(capability, type, data));
    at = ft_wire_put_bytes(at, CUSTOM_CAPABILITY, capability);
    at = ft_wire_put_bytes(at, CUSTOM_TYPE, type);
    return ft_wire_put_bytes(at, CUSTOM_DATA, data);
}

/* A present message is written even when it is empty. */
static size_t message_size(bool is_there, size_t len)
{
    return is_there ? 1 + ft_wire_varint_size(len) + len : 0;
}

int ft_heartbeat_encode(const struct ft_heartbeat *h, struct ft_buf *out)
{
    size_t custom = custom_size(h->custom_capability, h->custom_type, h->custom_data);
    size_t size = ft_wire_bytes_size(h->instance_uid.len) + ft_wire_uint_size(h->sequence_num) +
                  ft_wire_uint_size(h->capabilities) + message_size(h->has_custom, custom);
    uint8_t *at;
    int      r = ft_buf_reserve(out, size);

    if (r < 0 || size == 0)
        return r;
    at = out->data + out->len;
    at = ft_wire_put_bytes(at, AGENT_UID, h->instance_uid);
    at = ft_wire_put_uint(at, AGENT_SEQUENCE_NUM, h->sequence_num);
    at = ft_wire_put_uint(at, AGENT_CAPABILITIES, h->capabilities);
    if (h->has_custom)
        at = put_custom(at, AGENT_CUSTOM_MESSAGE, h->custom_capability, h->custom_type,
                        h->custom_data);
    out->len = (size_t)(at - out->data);
    return 0;
}

size_t ft_plain_reply_size(const struct ft_plain_reply *r)
{
    size_t custom = custom_size(r->custom_capability, r->custom_type, r->custom_data);

    return ft_wire_bytes_size(r->instance_uid.len) + ft_wire_uint_size(r->flags) +
           ft_wire_uint_size(r->capabilities) + message_size(r->has_custom, custom);
}

int ft_plain_reply_encode(const struct ft_plain_reply *r, struct ft_buf *out)
{
    size_t   size = ft_plain_reply_size(r);
    uint8_t *at;
    int      err = ft_buf_reserve(out, size);

    if (err < 0 || size == 0)
        return err;
    at = out->data + out->len;
    at = ft_wire_put_bytes(at, SERVER_UID, r->instance_uid);
    at = ft_wire_put_uint(at, SERVER_FLAGS, r->flags);
    at = ft_wire_put_uint(at, SERVER_CAPABILITIES, r->capabilities);
    if (r->has_custom)
        at = put_custom(at, SERVER_CUSTOM_MESSAGE, r->custom_capability, r->custom_type,
                        r->custom_data);
    out->len = (size_t)(at - out->data);
    return 0;
}
