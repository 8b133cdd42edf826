/* Unified diffs of texts: pure, bounded in time and memory. */
#pragma once

#include <model/buf.h>
#include <model/object.h>

/* What a diff may cost. A pair of texts that would cost more is told as one hunk that takes out the
 * old lines and puts in the new: longer than need be, and true. */
struct ft_diff_limits {
    uint32_t edits; /* looked for; memory grows with its square */
    uint64_t steps; /* lines compared */
};
extern const struct ft_diff_limits ft_diff_limits_default;

/* The two sides of a diff: an object, or NULL where there is none, and what stands behind its name
 * in the head ("version 3"). */
struct ft_diff_side {
    const struct ft_object *object;
    const char *label;
};

/* Append how `a` became `b`; nothing when they are equal. Bodies that are no text (not UTF-8, or
 * with a NUL) are only said to differ. A change of the content type or the template flag is told in
 * lines before the head, which patch(1) skips.
 * 0, -ENOMEM, -E2BIG (the buffer is full). */
int ft_diff_object(struct ft_diff_side a, struct ft_diff_side b,
                   const struct ft_diff_limits *limits, struct ft_buf *out);
