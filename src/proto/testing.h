/* For the tests of this folder: bytes built by hand, random messages, mutations. One generator from
 * one seed, which test_note() tells when a test fails; TEST_SEED=n runs it again. */
#pragma once

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <harness/test.h>
#include <proto/buf.h>

#include "wire.h"

static inline uint64_t test_seed(void)
{
    const char *given = getenv("TEST_SEED");
    uint64_t    seed = given ? strtoull(given, NULL, 0) : (uint64_t)time(NULL);

    test_note("TEST_SEED=%" PRIu64, seed);
    printf("# seed %" PRIu64 "\n", seed);
    return seed;
}

/* splitmix64 */
static inline uint64_t test_random(uint64_t *state)
{
    uint64_t z = (*state += UINT64_C(0x9e3779b97f4a7c15));

    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

/* One field: tag and bytes, empty ones too. */
static inline void test_put(struct ft_buf *b, unsigned number, const void *data, size_t len)
{
    uint8_t head[2 * FT_VARINT_MAX], *at = ft_wire_put_varint(head, number << 3 | FT_WIRE_BYTES);

    at = ft_wire_put_varint(at, len);
    OK(ft_buf_add(b, head, (size_t)(at - head)));
    OK(ft_buf_add(b, data, len));
}

static inline void test_put_uint(struct ft_buf *b, unsigned number, uint64_t v)
{
    uint8_t head[2 * FT_VARINT_MAX], *at = ft_wire_put_varint(head, number << 3 | FT_WIRE_VARINT);

    at = ft_wire_put_varint(at, v);
    OK(ft_buf_add(b, head, (size_t)(at - head)));
}

/* Wrap what is in `b` as field `number` of an outer message. */
static inline void test_wrap(struct ft_buf *b, unsigned number)
{
    size_t   len;
    uint8_t *inner = ft_buf_take(b, &len);

    test_put(b, number, inner, len);
    free(inner);
}

/* A changed copy of `in` in exactly-sized heap memory, so that sanitizers see a read behind its
 * end. */
static inline uint8_t *test_mutate(uint64_t *state, struct rn_slice in, size_t *ret_len)
{
    size_t   len = in.len;
    uint64_t changes = test_random(state) % 4;
    uint8_t *copy;

    if (test_random(state) % 4 == 0 && len > 0)
        len = test_random(state) % len;
    copy = malloc(len ? len : 1);
    TRUE(copy);
    if (len > 0)
        memcpy(copy, in.data, len);
    for (uint64_t i = 0; len > 0 && i < changes; i++) {
        size_t at = test_random(state) % len;

        if (test_random(state) % 2)
            copy[at] ^= (uint8_t)(1u << test_random(state) % 8);
        else
            copy[at] = (uint8_t)test_random(state);
    }
    *ret_len = len;
    return copy;
}
