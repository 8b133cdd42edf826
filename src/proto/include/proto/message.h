/* Whole messages: bytes to structures and back.
 *
 *     CLEANUP(ft_agent_message_fini) struct ft_agent_message m = {0};
 *     struct ft_fault fault;
 *     r = ft_opamp_decode_agent(bytes, &limits, &m, &fault);
 *     if (r == -EBADMSG || r == -E2BIG) ... BadRequest, ft_fault_text(fault.kind)
 *     if (r == -EAGAIN || r == -ENOMEM) ... Unavailable, with retry_info
 *     use(m.msg->sequence_num);
 *
 * Decoding is size check, scan, then the generated decoder inside a capped arena. A structure lives
 * in its arena: one fini frees all of it, protobuf-c's own free functions must not be used on it.
 * Decoding takes up to 32 KiB of stack.
 */
#pragma once

#include <proto/alloc.h>
#include <proto/buf.h>
#include <proto/opamp.pb-c.h>
#include <proto/scan.h>

struct ft_limits {
    size_t            message_max; /* of the encoded message */
    struct ft_budget *budget;      /* borrowed; NULL: none */
};

struct ft_agent_message {
    Opamp__Proto__AgentToServer *msg; /* in the arena */
    struct ft_arena              arena;
};

struct ft_server_message {
    Opamp__Proto__ServerToAgent *msg; /* in the arena */
    struct ft_arena              arena;
};

/* Decode. Returns: 0; -EBADMSG or -E2BIG (the message is at fault); -EAGAIN or -ENOMEM (we are
 * short). On error *ret is untouched and *reterr (may be NULL) tells the reason. */
int ft_opamp_decode_agent(struct rn_slice in, const struct ft_limits *limits,
                          struct ft_agent_message *ret, struct ft_fault *reterr);
int ft_opamp_decode_server(struct rn_slice in, const struct ft_limits *limits,
                           struct ft_server_message *ret, struct ft_fault *reterr);

/* Any other message type. The arena must be empty; the result lives in it. */
int ft_message_decode(struct rn_slice in, const ProtobufCMessageDescriptor *type,
                      const struct ft_limits *limits, struct ft_arena *arena,
                      ProtobufCMessage **ret, struct ft_fault *reterr);

void ft_agent_message_fini(struct ft_agent_message *m);
void ft_server_message_fini(struct ft_server_message *m);

/* Append the protobuf bytes of `msg` (&reply.base). Returns: 0, -EMSGSIZE (over message_max),
 * -E2BIG (over the buffer's maximum), -ENOMEM; on error nothing was appended. */
int ft_message_encode(const ProtobufCMessage *msg, size_t message_max, struct ft_buf *out);

/* The same as one frame of framed TCP (length, header, message). */
int ft_message_encode_frame(const ProtobufCMessage *msg, size_t message_max, struct ft_buf *out);

/* The same as one WebSocket message (header, message). */
int ft_message_encode_envelope(const ProtobufCMessage *msg, size_t message_max, struct ft_buf *out);
