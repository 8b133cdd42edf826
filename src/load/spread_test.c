#include "spread.h"

#include <stdlib.h>

#include <harness/test.h>

static struct ft_spread *spread(void)
{
    struct ft_spread *s = calloc(1, sizeof(*s));

    TRUE(s != NULL);
    return s;
}

TEST(an_empty_spread_reads_zero)
{
    struct ft_spread *s = spread();

    EQ(ft_spread_percentile(s, 99), 0);
    free(s);
}

TEST(percentiles_lie_within_two_percent_and_the_maximum_is_exact)
{
    struct ft_spread *s = spread();

    for (rn_time v = 1; v <= 100000; v++)
        ft_spread_add(s, v * 1000);
    EQ(s->count, 100000);
    for (int percent = 1; percent < 100; percent++) {
        const double exact = percent * 1e6, read = (double)ft_spread_percentile(s, percent);

        TRUE(read >= exact && read <= exact * 1.017 + 1000);
    }
    EQ(ft_spread_percentile(s, 100), 100000000);
    free(s);
}

TEST(every_time_has_a_bucket)
{
    struct ft_spread *s = spread();

    ft_spread_add(s, -5);
    ft_spread_add(s, 0);
    ft_spread_add(s, 63);
    ft_spread_add(s, 64);
    ft_spread_add(s, INT64_MAX);
    EQ(s->count, 5);
    EQ(ft_spread_percentile(s, 0), 0);
    EQ(ft_spread_percentile(s, 60), 64);
    EQ(ft_spread_percentile(s, 100), INT64_MAX);
    free(s);
}
