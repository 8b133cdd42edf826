/* Size, scan, decode: in this order, each cheaper than the next. */
#include <proto/message.h>

#include <errno.h>

#include <proto/frame.h>

static int fail(struct ft_fault *reterr, enum ft_fault_kind kind, size_t offset, int r)
{
    if (reterr)
        *reterr = (struct ft_fault){.kind = kind, .offset = offset};
    return r;
}

/* The decoder said no after the scan said yes: it is memory, unless the two disagree. */
static int refused(const struct ft_arena *arena, struct ft_fault *reterr)
{
    switch (arena->err) {
    case -E2BIG: return fail(reterr, FT_FAULT_MEMORY, 0, -E2BIG);
    case -EAGAIN:
    case -ENOMEM: return fail(reterr, FT_FAULT_BUDGET, 0, arena->err);
    default: return fail(reterr, FT_FAULT_DECODE, 0, -EBADMSG);
    }
}

static size_t arena_max(size_t message_max)
{
    return message_max > SIZE_MAX / FT_DECODE_FACTOR ? SIZE_MAX : message_max * FT_DECODE_FACTOR;
}

int ft_message_decode(struct rn_slice in, const ProtobufCMessageDescriptor *type,
                      const struct ft_limits *limits, struct ft_arena *arena,
                      ProtobufCMessage **ret, struct ft_fault *reterr)
{
    static const struct ft_scan_limits scan_limits = FT_SCAN_LIMITS_DEFAULT;
    struct ft_arena                    a;
    ProtobufCAllocator                 allocator;
    ProtobufCMessage                  *msg;
    int                                r;

    if (in.len > limits->message_max)
        return fail(reterr, FT_FAULT_SIZE, limits->message_max, -EBADMSG);
    r = ft_scan(in, type, &scan_limits, reterr);
    if (r < 0)
        return r;

    ft_arena_init(&a, arena_max(limits->message_max), limits->budget);
    allocator = ft_arena_allocator(&a);
    msg = protobuf_c_message_unpack(type, &allocator, in.len, in.data);
    if (!msg) {
        r = refused(&a, reterr);
        ft_arena_fini(&a);
        return r;
    }
    *arena = a;
    *ret = msg;
    return 0;
}

int ft_opamp_decode_agent(struct rn_slice in, const struct ft_limits *limits,
                          struct ft_agent_message *ret, struct ft_fault *reterr)
{
    ProtobufCMessage *msg;
    int               r;

    r = ft_message_decode(in, &opamp__proto__agent_to_server__descriptor, limits, &ret->arena, &msg,
                          reterr);
    if (r == 0)
        ret->msg = (Opamp__Proto__AgentToServer *)msg;
    return r;
}

int ft_opamp_decode_server(struct rn_slice in, const struct ft_limits *limits,
                           struct ft_server_message *ret, struct ft_fault *reterr)
{
    ProtobufCMessage *msg;
    int               r;

    r = ft_message_decode(in, &opamp__proto__server_to_agent__descriptor, limits, &ret->arena, &msg,
                          reterr);
    if (r == 0)
        ret->msg = (Opamp__Proto__ServerToAgent *)msg;
    return r;
}

void ft_agent_message_fini(struct ft_agent_message *m)
{
    ft_arena_fini(&m->arena);
    m->msg = NULL;
}

void ft_server_message_fini(struct ft_server_message *m)
{
    ft_arena_fini(&m->arena);
    m->msg = NULL;
}

/* `overhead` bytes of the message's envelope count against the maximum too. */
static int encode(const ProtobufCMessage *msg, size_t overhead, size_t message_max,
                  struct ft_buf *out, size_t *ret_size)
{
    size_t size = protobuf_c_message_get_packed_size(msg);

    if (size > message_max || overhead > message_max - size)
        return -EMSGSIZE;
    *ret_size = size;
    return ft_buf_reserve(out, overhead + size);
}

static void pack(const ProtobufCMessage *msg, struct ft_buf *out)
{
    out->len += protobuf_c_message_pack(msg, out->data + out->len);
}

int ft_message_encode(const ProtobufCMessage *msg, size_t message_max, struct ft_buf *out)
{
    size_t size;
    int    r = encode(msg, 0, message_max, out, &size);

    if (r == 0 && size > 0)
        pack(msg, out);
    return r;
}

int ft_message_encode_frame(const ProtobufCMessage *msg, size_t message_max, struct ft_buf *out)
{
    size_t size = protobuf_c_message_get_packed_size(msg);
    int    r = ft_frame_begin(size, message_max, out);

    if (r == 0)
        pack(msg, out);
    return r;
}

int ft_message_encode_envelope(const ProtobufCMessage *msg, size_t message_max, struct ft_buf *out)
{
    size_t size;
    int    r = encode(msg, 1, message_max, out, &size);

    if (r < 0)
        return r;
    (void)ft_buf_add_byte(out, 0);
    pack(msg, out);
    return 0;
}
