/* Samples in InfluxDB's line protocol. Pure. */
#pragma once

#include "exporter/exporter.h"

/* Why a sample cannot be written as a line; NULL: it can. */
const char *ft_line_fault(const struct ft_row *row);

/* Append the line of a sample without a fault, without its newline.
 *
 * Tags cannot hold newlines and must not end in a backslash: control characters become blanks,
 * backslashes at the end are dropped, a tag that is empty is left out. Strings in fields are kept
 * as they are. The time is ms x 10^6 + seq mod 10^6, so samples of one process at one millisecond
 * stay apart. 0 or the buffer's sticky error. */
int ft_line_add(struct ft_buf *out, const struct ft_row *row);

/* A server names the lines that it cannot read: `unable to parse 'LINE': WHY`, in their order.
 * Calls `named` for each row that it names; `why` is a part of `complaint`. Returns how many. */
size_t ft_lines_find(const struct ft_rows *rows, struct rn_slice complaint,
                     void (*named)(void *arg, size_t i, struct rn_slice why), void *arg);
