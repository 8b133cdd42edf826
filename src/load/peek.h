/* A quick look at a server's message: most are plain answers, which need no decoder.
 */
#pragma once

#include <runnel/slice.h>

struct ft_peek {
    bool            plain;       /* nothing but uid, flags, capabilities and a custom message */
    uint64_t        flags;
    struct rn_slice custom_data; /* of the custom message; empty when there is none */
};

/* What cannot be read isn't plain: the general decoder judges it. */
struct ft_peek ft_peek(struct rn_slice message);
