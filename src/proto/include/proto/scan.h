/* The scan: a look over a message before the generated decoder may touch it.
 *
 * The generated decoder trusts its input more than a server should: it recurses without a limit (80
 * nested values in 176 bytes overflow a small stack), it spends fifty bytes on a two-byte empty
 * field, and it checks neither UTF-8 nor NUL in strings. So the scan walks the wire first, guided
 * by the same descriptors, with no allocation and no recursion, and refuses what does not fit: it
 * is the judge, the decoder only unpacks.
 *
 * What passes:
 *   - at most `depth_max` messages inside one another, the outermost counted;
 *   - at most `elements_max` fields over all levels, known and unknown, each number of a packed
 *     field counted;
 *   - each known field with the wire type of its declaration (packed or not for repeated numbers);
 *   - strings that are valid UTF-8 without NUL;
 *   - unknown fields, skipped, as long as they are well-formed; groups never are.
 * Whatever passes is accepted by the generated decoder, memory permitting.
 */
#pragma once

#include <protobuf-c/protobuf-c.h>

#include <runnel/slice.h>

#include <proto/limits.h>

/* Why a message was refused. The text is for an error_response; it never quotes the peer. */
#define FT_FAULTS(X)                                                                               \
    X(NONE, "no fault")                                                                            \
    X(TRUNCATED, "the message ends inside a field")                                                \
    X(TAG, "a field tag is malformed")                                                             \
    X(VARINT, "a varint is longer than ten bytes")                                                 \
    X(WIRE_TYPE, "a field has the wrong wire type")                                                \
    X(GROUP, "groups are not accepted")                                                            \
    X(LENGTH, "a length reaches past its message")                                                 \
    X(PACKED, "a packed field is malformed")                                                       \
    X(UTF8, "a string is not valid UTF-8")                                                         \
    X(NUL, "a string contains a NUL byte")                                                         \
    X(DEPTH, "messages are nested too deep")                                                       \
    X(ELEMENTS, "the message has too many fields")                                                 \
    X(SIZE, "the message is larger than message_max")                                              \
    X(MEMORY, "the decoded message would be too large")                                            \
    X(BUDGET, "the server has no memory for more messages at the moment")                          \
    X(DECODE, "the message could not be decoded")                                                  \
    X(BOOT_ID, "boot_id must have 16 bytes")                                                       \
    X(SEQ, "sample numbers must start at 1 and grow")                                              \
    X(SAMPLES, "too many samples in one message")

enum ft_fault_kind {
#define FT_FAULT_ENUM(name, text) FT_FAULT_##name,
    FT_FAULTS(FT_FAULT_ENUM)
#undef FT_FAULT_ENUM
    FT_FAULT_COUNT,
};

struct ft_fault {
    enum ft_fault_kind kind;
    size_t             offset; /* into the message, where it was seen */
};

struct ft_scan_limits {
    uint32_t depth_max; /* <= FT_SCAN_DEPTH_MAX */
    uint32_t elements_max;
};

#define FT_SCAN_LIMITS_DEFAULT                                                                     \
    {.depth_max = FT_SCAN_DEPTH_MAX, .elements_max = FT_SCAN_ELEMENTS_MAX}

/* Scan `in` as a message of type `root`.
 *
 * Returns:  0, or -EBADMSG with *reterr (may be NULL) telling which rule was broken where.
 * Stack:    under 1 KiB, whatever the input; no allocation.
 */
int ft_scan(struct rn_slice in, const ProtobufCMessageDescriptor *root,
            const struct ft_scan_limits *limits, struct ft_fault *reterr);

/* "messages are nested too deep" */
const char *ft_fault_text(enum ft_fault_kind kind);
