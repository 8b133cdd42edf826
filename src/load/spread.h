/* How times are spread: a histogram from which percentiles are read.
 *
 * Buckets are linear within each power of two, 64 to each, so that a percentile is at most 1.6 %
 * too high; the maximum is exact. All zero is empty.
 */
#pragma once

#include <runnel/base.h>

#define FT_SPREAD_SUB_BITS 6
#define FT_SPREAD_BUCKETS  ((64 - FT_SPREAD_SUB_BITS) << FT_SPREAD_SUB_BITS)

struct ft_spread {
    uint64_t count;
    rn_time  max;
    uint64_t buckets[FT_SPREAD_BUCKETS];
};

/* Less than 0 counts as 0. */
void ft_spread_add(struct ft_spread *s, rn_time span);

/* The time under which `percent` of all lie; 0 when there are none. */
rn_time ft_spread_percentile(const struct ft_spread *s, double percent);
