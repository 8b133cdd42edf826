/* The commonest message and its commonest answer, by hand and without allocation.
 *
 * A compressed heartbeat has a uid, a sequence number, capabilities and perhaps one custom message
 * (the metrics). The hand-made decoder takes exactly that shape and says "not mine" to everything
 * else, malformed messages included; the general decoder then decides. What it takes, it reads as
 * the general decoder would: a test compares the two on random and mutated messages.
 */
#pragma once

#include <proto/buf.h>

/* Slices point into the input. A custom message that is absent has `has_custom` false. */
struct ft_heartbeat {
    struct rn_slice instance_uid; /* of any length: the session judges it */
    uint64_t        sequence_num;
    uint64_t        capabilities;
    bool            has_custom;
    struct rn_slice custom_capability;
    struct rn_slice custom_type;
    struct rn_slice custom_data;
};

/* Returns: 1 and *ret, or 0: not of this shape, ask ft_opamp_decode_agent(). */
int ft_heartbeat_decode(struct rn_slice message, struct ft_heartbeat *ret);

/* Append the protobuf bytes; fields that are 0 or empty are left out, as proto3 wants. Returns: 0,
 * -E2BIG, -ENOMEM. */
int ft_heartbeat_encode(const struct ft_heartbeat *h, struct ft_buf *out);

/* ServerToAgent with nothing but these. */
struct ft_plain_reply {
    struct rn_slice instance_uid;
    uint64_t        flags;
    uint64_t        capabilities;
    bool            has_custom;
    struct rn_slice custom_capability;
    struct rn_slice custom_type;
    struct rn_slice custom_data;
};

/* Bytes that ft_plain_reply_encode() will append. */
size_t ft_plain_reply_size(const struct ft_plain_reply *r);

/* Append the protobuf bytes (no frame: see ft_frame_begin()). Returns: 0, -E2BIG, -ENOMEM. */
int ft_plain_reply_encode(const struct ft_plain_reply *r, struct ft_buf *out);
