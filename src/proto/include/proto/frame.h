/* Framed TCP: the exact bytes of an OpAMP WebSocket message behind a length.
 *
 *     +--------+--------+--------+--------+--------+------------------+
 *     |   length of the rest, big-endian  | header |     protobuf     |
 *     +--------+--------+--------+--------+--------+------------------+
 *
 * The header is a varint that must be 0 (it may be spelled with up to ten bytes); the protobuf part
 * may be empty. A length of 0 is malformed, since the header has at least one byte. `message_max`
 * bounds the length field.
 *
 * Pure functions over slices: they keep nothing, so a reader calls them again with more bytes.
 */
#pragma once

#include <proto/buf.h>
#include <proto/limits.h>

#define FT_FRAME_PREFIX_LEN 4

struct ft_frame {
    struct rn_slice message; /* the protobuf bytes, inside the input */
    size_t          len;     /* bytes of the input that the frame took */
};

/* Take one frame from the start of `in`.
 *
 * Returns:  1 and *ret;
 *           0 when more bytes are needed (ret->len is then the least total that could complete it);
 *           -EBADMSG (length 0, header not 0 or longer than ten bytes or than the frame);
 *           -EMSGSIZE (length over message_max). Errors are found as early as the bytes allow.
 */
int ft_frame_decode(struct rn_slice in, size_t message_max, struct ft_frame *ret);

/* The same for a message whose length somebody else knows (a WebSocket message, a frame already
 * cut). Returns: 0 and the protobuf part, or -EBADMSG. */
int ft_envelope_decode(struct rn_slice in, struct rn_slice *ret_message);

/* Append a whole frame around `message`. Returns: 0, -EMSGSIZE (over message_max), -E2BIG (over the
 * buffer's maximum), -ENOMEM; on error nothing was appended. */
int ft_frame_encode(struct rn_slice message, size_t message_max, struct ft_buf *out);

/* Append prefix and header for a message of `message_len` bytes that the caller writes next; room
 * for all of it is reserved. Returns as ft_frame_encode(). */
int ft_frame_begin(size_t message_len, size_t message_max, struct ft_buf *out);
