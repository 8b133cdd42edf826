/* Samples as JSON, for the exporters that write it. Pure. */
#pragma once

#include "exporter/exporter.h"

/* A string in quotes; `s` is valid UTF-8. Control characters are escaped, so the result is one
 * line. */
int ft_json_add_string(struct ft_buf *out, struct rn_slice s);
/* Text and an integer in decimal. */
int ft_json_add_u64(struct ft_buf *out, const char *before, uint64_t v);
int ft_json_add_i64(struct ft_buf *out, const char *before, int64_t v);
/* A decimal that reads back as the same double, the shortest but for some below the normal ones;
 * `v` is finite. */
int ft_json_add_double(struct ft_buf *out, double v);
/* An object with the contract's field names, on one line, without a newline. 0 or the buffer's
 * sticky error. */
int ft_json_add_sample(struct ft_buf *out, const struct ft_row *row);
/* The same with `@timestamp`, as Elasticsearch wants it. */
int ft_json_add_document(struct ft_buf *out, const struct ft_row *row);
