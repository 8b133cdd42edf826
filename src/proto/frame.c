/* The length is judged before the header and both before the body arrives, so that a malformed
 * frame is refused at its first wrong byte and no more of it is waited for. */
#include <proto/frame.h>

#include <errno.h>

#include "wire.h"

static size_t frame_length(const uint8_t *p)
{
    return (size_t)p[0] << 24 | (size_t)p[1] << 16 | (size_t)p[2] << 8 | p[3];
}

/* The header as far as it is there. Returns: 1, 0 (need more), -EBADMSG. */
static int header_decode(struct rn_slice *in)
{
    for (size_t i = 0; i < in->len && i < FT_VARINT_MAX; i++) {
        if (in->data[i] & 0x7f)
            return -EBADMSG;
        if (in->data[i] == 0) {
            *in = rn_slice_from(*in, i + 1);
            return 1;
        }
    }
    return in->len < FT_VARINT_MAX ? 0 : -EBADMSG;
}

int ft_envelope_decode(struct rn_slice in, struct rn_slice *ret_message)
{
    struct rn_slice rest = in;

    if (header_decode(&rest) != 1)
        return -EBADMSG;
    *ret_message = rest;
    return 0;
}

int ft_frame_decode(struct rn_slice in, size_t message_max, struct ft_frame *ret)
{
    struct rn_slice body;
    size_t          len, total;
    int             r;

    if (in.len < FT_FRAME_PREFIX_LEN) {
        ret->len = FT_FRAME_PREFIX_LEN + 1;
        return 0;
    }
    len = frame_length(in.data);
    if (len == 0)
        return -EBADMSG;
    if (len > message_max)
        return -EMSGSIZE;

    total = FT_FRAME_PREFIX_LEN + len;
    body = rn_slice(in.data + FT_FRAME_PREFIX_LEN,
                    (in.len < total ? in.len : total) - FT_FRAME_PREFIX_LEN);
    r = header_decode(&body);
    if (r < 0)
        return r;
    if (in.len < total) {
        ret->len = total;
        return 0;
    }
    if (r == 0)
        return -EBADMSG; /* the whole frame is there and its header does not end */
    *ret = (struct ft_frame){.message = body, .len = total};
    return 1;
}

int ft_frame_begin(size_t message_len, size_t message_max, struct ft_buf *out)
{
    int r;

    if (message_max > FT_MESSAGE_MAX_LIMIT)
        message_max = FT_MESSAGE_MAX_LIMIT;
    if (message_len >= message_max)
        return -EMSGSIZE;

    r = ft_buf_reserve(out, FT_FRAME_PREFIX_LEN + 1 + message_len);
    if (r < 0)
        return r;
    (void)ft_buf_add_be32(out, (uint32_t)(1 + message_len));
    return ft_buf_add_byte(out, 0);
}

int ft_frame_encode(struct rn_slice message, size_t message_max, struct ft_buf *out)
{
    int r = ft_frame_begin(message.len, message_max, out);

    return r < 0 ? r : ft_buf_add_slice(out, message);
}
