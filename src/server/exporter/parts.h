/* Sends whose answer is about the request as a whole: halved until the answer is about a sample.
 *
 *     part [0, n) --DONE--> every sample of it has its verdict
 *                 --HALVE-> [0, n/2), then [n/2, n)
 *
 * What is sent twice by that must be recognisable to the other side. A part of one sample is never
 * halved: its answer is final.
 */
#pragma once

#include "exporter/exporter.h"

struct ft_part {
    const struct ft_rows *rows; /* of the whole send */
    size_t first;               /* the part's rows are rows->items[first ... first + n - 1] */
    size_t n;
    struct rn_slice
        body; /* of the whole send; data is NULL for a part of it, which has to be encoded then */
    struct ft_answer *answer;
    rn_time deadline;
};

enum ft_part_end { FT_PART_DONE, FT_PART_HALVE };

/* Send one part and judge it: enum ft_part_end, or -Exxx to give up, with verdicts for all that was
 * not reached. */
typedef int ft_part_send_fn(void *self, const struct ft_part *part);

/* 0, or what ended it. */
int ft_parts_send(ft_part_send_fn *send, void *self, const struct ft_part *whole);

/* The same verdict for each row of a part. */
__attribute__((format(printf, 3, 4))) void
ft_part_all(const struct ft_part *part, enum ft_verdict_kind kind, const char *format, ...);

static inline struct ft_rows ft_part_rows(const struct ft_part *part)
{
    return (struct ft_rows){.items = part->rows->items + part->first, .n = part->n};
}
