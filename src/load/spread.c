#include "spread.h"

#define SUB (1u << FT_SPREAD_SUB_BITS)

/* Values under SUB have a bucket each; above, the row is the position of the highest bit, and the
 * next bits say where in the row. */
static uint32_t bucket_of(uint64_t v)
{
    if (v < SUB)
        return (uint32_t)v;
    const uint32_t shift = 63 - (uint32_t)__builtin_clzll(v) - FT_SPREAD_SUB_BITS;

    return ((shift + 1) << FT_SPREAD_SUB_BITS) + (uint32_t)(v >> shift) - SUB;
}

/* The highest value of a bucket. */
static uint64_t bucket_top(uint32_t i)
{
    const uint32_t row = i >> FT_SPREAD_SUB_BITS;

    if (row == 0)
        return i;
    return (((uint64_t)SUB + (i & (SUB - 1)) + 1) << (row - 1)) - 1;
}

void ft_spread_add(struct ft_spread *s, rn_time span)
{
    const uint64_t v = span > 0 ? (uint64_t)span : 0;

    s->buckets[bucket_of(v)]++;
    s->count++;
    if ((rn_time)v > s->max)
        s->max = (rn_time)v;
}

rn_time ft_spread_percentile(const struct ft_spread *s, double percent)
{
    const uint64_t rank = (uint64_t)((double)s->count * percent / 100.0);
    uint64_t seen = 0;

    for (uint32_t i = 0; i < FT_SPREAD_BUCKETS; i++) {
        seen += s->buckets[i];
        if (seen > rank) {
            const uint64_t top = bucket_top(i);

            return top < (uint64_t)s->max ? (rn_time)top : s->max;
        }
    }
    return s->max;
}
