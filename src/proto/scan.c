/* The walk keeps a stack of open messages: for each its end and its descriptor. Fields are taken at
 * one position that only moves forward, so the work is linear in the input and the state fits a
 * page.
 *
 *     take a field -> a known message:  push, go on inside it
 *                  -> a known string:   check its bytes
 *                  -> a packed field:   count its numbers
 *                  -> anything else:    skip it
 *     at an end    -> pop
 *
 * Unknown fields are skipped as bytes. Nobody will decode them, so nobody looks into them. */
#include <proto/scan.h>

#include <errno.h>

#include <proto/utf8.h>

#include "wire.h"

struct open_message {
    const uint8_t                    *end;
    const ProtobufCMessageDescriptor *type;
};

struct scan {
    struct rn_slice     at; /* what is left of the innermost message */
    uint32_t            depth;
    uint32_t            depth_max;
    uint32_t            elements;
    uint32_t            elements_max;
    struct open_message open[FT_SCAN_DEPTH_MAX];
};

static const char *const fault_texts[] = {
#define FT_FAULT_TEXT(name, text) [FT_FAULT_##name] = text,
    FT_FAULTS(FT_FAULT_TEXT)
#undef FT_FAULT_TEXT
};

const char *ft_fault_text(enum ft_fault_kind kind)
{
    return (size_t)kind < FT_FAULT_COUNT ? fault_texts[kind] : fault_texts[FT_FAULT_DECODE];
}

static bool is_packable(ProtobufCType type)
{
    return type != PROTOBUF_C_TYPE_STRING && type != PROTOBUF_C_TYPE_BYTES &&
           type != PROTOBUF_C_TYPE_MESSAGE;
}

static enum ft_wire_type wire_of(ProtobufCType type)
{
    switch (type) {
    case PROTOBUF_C_TYPE_SFIXED32:
    case PROTOBUF_C_TYPE_FIXED32:
    case PROTOBUF_C_TYPE_FLOAT: return FT_WIRE_FIXED32;
    case PROTOBUF_C_TYPE_SFIXED64:
    case PROTOBUF_C_TYPE_FIXED64:
    case PROTOBUF_C_TYPE_DOUBLE: return FT_WIRE_FIXED64;
    case PROTOBUF_C_TYPE_STRING:
    case PROTOBUF_C_TYPE_BYTES:
    case PROTOBUF_C_TYPE_MESSAGE: return FT_WIRE_BYTES;
    default: return FT_WIRE_VARINT;
    }
}

static enum ft_fault_kind skip_varint(struct rn_slice *in)
{
    uint64_t v;

    if (ft_wire_varint(in, FT_VARINT_MAX, &v))
        return FT_FAULT_NONE;
    return in->len < FT_VARINT_MAX ? FT_FAULT_TRUNCATED : FT_FAULT_VARINT;
}

static enum ft_fault_kind skip_fixed(struct rn_slice *in, size_t n)
{
    if (in->len < n)
        return FT_FAULT_TRUNCATED;
    *in = rn_slice_from(*in, n);
    return FT_FAULT_NONE;
}

static enum ft_fault_kind count(struct scan *s, size_t n)
{
    if (n > s->elements_max - s->elements)
        return FT_FAULT_ELEMENTS;
    s->elements += (uint32_t)n;
    return FT_FAULT_NONE;
}

static enum ft_fault_kind packed(struct scan *s, struct rn_slice body, enum ft_wire_type wire)
{
    size_t width = wire == FT_WIRE_FIXED32 ? 4 : 8;

    if (wire != FT_WIRE_VARINT)
        return body.len % width ? FT_FAULT_PACKED : count(s, body.len / width);
    while (body.len > 0) {
        if (skip_varint(&body) != FT_FAULT_NONE)
            return FT_FAULT_PACKED;
        if (count(s, 1) != FT_FAULT_NONE)
            return FT_FAULT_ELEMENTS;
    }
    return FT_FAULT_NONE;
}

static enum ft_fault_kind string(struct rn_slice text)
{
    if (text.len > 0 && memchr(text.data, 0, text.len))
        return FT_FAULT_NUL;
    return ft_utf8_valid(text) ? FT_FAULT_NONE : FT_FAULT_UTF8;
}

static enum ft_fault_kind push(struct scan *s, struct rn_slice body,
                               const ProtobufCMessageDescriptor *type)
{
    if (s->depth == s->depth_max)
        return FT_FAULT_DEPTH;
    s->open[s->depth++] = (struct open_message){.end = body.data + body.len, .type = type};
    return FT_FAULT_NONE;
}

/* A length-delimited field: its bytes begin at s->at. */
static enum ft_fault_kind delimited(struct scan *s, const ProtobufCFieldDescriptor *f)
{
    struct rn_slice    rest = s->at, body;
    enum ft_fault_kind fault;

    if (!ft_wire_bytes(&rest, &body))
        return FT_FAULT_LENGTH;
    if (f && f->type == PROTOBUF_C_TYPE_MESSAGE) {
        fault = push(s, body, f->descriptor);
        s->at = body;
        return fault;
    }
    s->at = rest;
    if (!f || f->type == PROTOBUF_C_TYPE_BYTES)
        return FT_FAULT_NONE;
    if (f->type == PROTOBUF_C_TYPE_STRING)
        return string(body);
    return packed(s, body, wire_of(f->type));
}

static bool wire_fits(const ProtobufCFieldDescriptor *f, enum ft_wire_type wire)
{
    if (wire == wire_of(f->type))
        return true;
    return wire == FT_WIRE_BYTES && f->label == PROTOBUF_C_LABEL_REPEATED && is_packable(f->type);
}

static enum ft_fault_kind field(struct scan *s)
{
    const ProtobufCFieldDescriptor *f;
    enum ft_wire_type               wire;
    uint32_t                        number;

    if (!ft_wire_tag(&s->at, &number, &wire))
        return FT_FAULT_TAG;
    if (wire == FT_WIRE_GROUP_START || wire == FT_WIRE_GROUP_END)
        return FT_FAULT_GROUP;
    f = protobuf_c_message_descriptor_get_field(s->open[s->depth - 1].type, number);
    if (f && !wire_fits(f, wire))
        return FT_FAULT_WIRE_TYPE;

    switch (wire) {
    case FT_WIRE_VARINT: return skip_varint(&s->at);
    case FT_WIRE_FIXED64: return skip_fixed(&s->at, 8);
    case FT_WIRE_FIXED32: return skip_fixed(&s->at, 4);
    case FT_WIRE_BYTES: return delimited(s, f);
    default: return FT_FAULT_WIRE_TYPE;
    }
}

/* What is left of the message that is now the innermost. */
static void resume(struct scan *s)
{
    s->at.len = (size_t)(s->open[s->depth - 1].end - s->at.data);
}

int ft_scan(struct rn_slice in, const ProtobufCMessageDescriptor *root,
            const struct ft_scan_limits *limits, struct ft_fault *reterr)
{
    static const uint8_t nothing[1];
    struct scan          s;
    const uint8_t       *start = in.data ? in.data : nothing;
    enum ft_fault_kind   fault;

    s.at = rn_slice(start, in.len);
    s.depth = s.elements = 0;
    s.depth_max = limits->depth_max < FT_SCAN_DEPTH_MAX ? limits->depth_max : FT_SCAN_DEPTH_MAX;
    s.elements_max = limits->elements_max;

    for (fault = push(&s, s.at, root); fault == FT_FAULT_NONE && s.depth > 0;) {
        if (s.at.len == 0) {
            if (--s.depth > 0)
                resume(&s);
            continue;
        }
        fault = count(&s, 1);
        if (fault == FT_FAULT_NONE)
            fault = field(&s);
    }
    if (fault == FT_FAULT_NONE)
        return 0;
    if (reterr)
        *reterr = (struct ft_fault){.kind = fault, .offset = (size_t)(s.at.data - start)};
    return -EBADMSG;
}
