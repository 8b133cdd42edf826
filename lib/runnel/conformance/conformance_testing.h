/* Shared by the tests of the conformance list: docs/runnel-conformance.md has a row for each. */
#pragma once

#include <errno.h>

#include "chan_testing.h"

enum { SEEDS = 50 };

struct chan {
    struct rn_tx tx;
    struct rn_rx rx;
};

static inline struct chan chan_open(size_t size, size_t cap)
{
    struct chan c;

    OK(rn_chan_open(size, cap, &c.tx, &c.rx));
    return c;
}

/* What a test draws besides the order of the tasks, which the seed gives by itself. */
static inline uint32_t dice(uint64_t *state, uint32_t n)
{
    *state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)(*state >> 33) % n;
}
