/* Strict templates: values put into a text, and nothing else.
 *
 *     {{ var.NAME }}  {{ label.K }}  {{ attr.host.name }}  {{ agent.instance_uid }}  {{ "{{" }}
 *
 * No functions, no defaults, no conditions; values go in verbatim. Everything outside of {{ }}
 * stays as it is, to the byte. An expression lies on one line; a name is made of letters, digits,
 * '.', '_', '-' and '/'. A missing value is an error: half a configuration is worse than none.
 */
#pragma once

#include <proto/buf.h>

#include <model/syntax.h>

enum ft_template_kind {
    FT_TEMPLATE_VAR,   /* of the group */
    FT_TEMPLATE_LABEL, /* of the agent, here and below */
    FT_TEMPLATE_ATTR,
    FT_TEMPLATE_UID, /* the name is empty */
};

/* The value, or false when there is none. It must stay valid until the next call. */
typedef bool (*ft_template_lookup_fn)(void *arg, enum ft_template_kind kind, struct rn_slice name,
                                      struct rn_slice *ret_value);

/* Only the syntax. Returns: 0, or -EINVAL and the reason with line and column in *reterr. */
int ft_template_check(struct rn_slice body, struct ft_syntax_error *reterr);

/* Append `body` with its values to `out`.
 *
 * Returns:  0; -EINVAL (syntax); -ENOENT (a value is missing); -E2BIG (over the buffer's maximum);
 *           -ENOMEM. On error `out` is as before, but for its sticky error being cleared, and
 *           reterr->text reads `OBJECT:LINE: what is wrong: what to do`, with `object` as OBJECT.
 */
int ft_template_render(struct rn_slice object, struct rn_slice body, ft_template_lookup_fn lookup,
                       void *arg, struct ft_buf *out, struct ft_syntax_error *reterr);
