/* Values that people write: durations and sizes.
 *
 *     250ms 30s 5m 1h 30d      a whole number and one unit (ns us ms s m h d) -> nanoseconds
 *     512 64KiB 1MiB 2GiB      a whole number and a binary unit, or none      -> bytes
 *
 * No signs, no fractions, no blanks. Returns 0, -EINVAL (not of this form) or -ERANGE (does not fit int64_t).
 */
#pragma once

#include <stdint.h>

int ft_duration_parse(const char *text, int64_t *ret_ns);
int ft_size_parse(const char *text, int64_t *ret_bytes);
/* A decimal number with an optional minus sign. */
int ft_int_parse(const char *text, int64_t *ret_value);
