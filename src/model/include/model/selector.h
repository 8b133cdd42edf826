/* Selectors choose agents by labels and attributes.
 *
 *     selector = [ term { "," term } ]
 *     term     = key "=" value | key "!=" value
 *              | key "in" "(" value { "," value } ")" | key "notin" "(" value { "," value } ")"
 *              | key | "!" key
 *
 * All terms must hold. `!=` and `notin` hold where the key is absent; `k` asks for presence, `!k`
 * for absence; the empty selector matches everything. Space around keys, operators and values does
 * not count. A key has no space, no control byte and none of `,=!()`; a value may have inner space,
 * none of the others, and may be empty after `=` and `!=`. Both are valid UTF-8.
 */
#pragma once

#include <runnel/slice.h>

#include <model/syntax.h>

#define FT_SELECTOR_LEN_MAX    4096
#define FT_SELECTOR_TERMS_MAX  64
#define FT_SELECTOR_VALUES_MAX 256 /* of all terms together */
#define FT_SELECTOR_KEY_MAX    255

struct ft_selector;

/* The value of a key, or false when it is absent. Keys are as written: a label goes before an
 * attribute of the same name, which is the look-up's business. */
typedef bool (*ft_selector_lookup_fn)(void *arg, struct rn_slice key, struct rn_slice *ret_value);

/* Returns: 0, -EINVAL with *reterr (may be NULL), -ENOMEM. */
int ft_selector_parse(struct rn_slice text, struct ft_selector **ret,
                      struct ft_syntax_error *reterr);

/* NULL is fine. Returns NULL. */
struct ft_selector *ft_selector_free(struct ft_selector *s);
void                ft_selector_freep(struct ft_selector **s);

/* NULL matches all. */
bool ft_selector_match(const struct ft_selector *s, ft_selector_lookup_fn lookup, void *arg);

/* As it was written, NUL-terminated. */
struct rn_slice ft_selector_text(const struct ft_selector *s);

bool ft_selector_is_empty(const struct ft_selector *s);
