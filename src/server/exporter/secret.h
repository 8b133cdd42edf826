/* Passwords, tokens and keys: they lie in files of their own, are read when an exporter opens, and
 * stand nowhere else.
 *
 * What people may see (logs, the API, last_error) passes through ft_secrets_hide(): servers repeat
 * requests in their error texts, headers included.
 */
#pragma once

#include <runnel/slice.h>

#include <model/text_error.h>

#define FT_SECRET_MAX 4096

/* Read a file that holds one secret; blanks and newlines at its ends do not count.
 *
 * Returns: 0, -EACCES (a person has to do something: no such file, not readable, empty, not one
 * printable line), -ENOMEM. *reterr names the file and says what to do, and never holds any of its
 * contents. Owner:   *ret is the caller's, for ft_secret_free().
 */
int ft_secret_read(const char *path, char **ret, struct ft_text_error *reterr);

/* Overwrites it first. NULL is fine. Returns NULL. */
char *ft_secret_free(char *secret);

/* The longest text that is shown of what a server said. */
#define FT_SHOWN_MAX 300

/* One line of at most FT_SHOWN_MAX bytes: every secret is `***`, and so is what follows
 * `Authorization:`; what a parser of JSON repeats of the request is cut off; control characters are
 * blanks. NULL among `secrets` is skipped. */
void ft_secrets_hide(struct rn_slice text, const char *const *secrets, size_t n,
                     char out[FT_SHOWN_MAX + 1]);
