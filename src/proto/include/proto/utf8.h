/* Text for messages: valid UTF-8 (RFC 3629: no surrogates, nothing above U+10FFFF, shortest form),
 * no NUL. */
#pragma once

#include <runnel/slice.h>

#include <proto/limits.h>

bool ft_utf8_valid(struct rn_slice s);

/* Length of the longest valid prefix. */
size_t ft_utf8_prefix(struct rn_slice s);

/* The longest prefix of at most `max` bytes that cuts no character; `s` must be valid. */
struct rn_slice ft_utf8_cut(struct rn_slice s, size_t max);

/* Copy `in` as text that a message may carry: each invalid sequence (its maximal subpart) and each
 * NUL becomes U+FFFD, and the result is cut at a character boundary to what fits `out_size` - 1
 * bytes and to FT_TEXT_MAX. NUL-terminated. Returns its length. */
size_t ft_text_clean(struct rn_slice in, char *out, size_t out_size);
