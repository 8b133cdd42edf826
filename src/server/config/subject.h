/* An agent as selectors and templates see it: its uid and what it says about itself, decoded.
 *
 * A label goes before an attribute of the same name, an identifying attribute before one that
 * isn't.
 */
#pragma once

#include <model/attrs.h>
#include <model/template.h>
#include <model/uuid.h>

struct ft_subject {
    struct ft_uuid   uid;
    struct ft_attrs *identifying; /* owned, may be NULL; here and below */
    struct ft_attrs *non_identifying;
};

/* From an encoded AgentDescription (empty: none). Returns: 0, -EBADMSG (it does not decode),
 * -E2BIG, -ENOMEM. */
int  ft_subject_init(struct ft_subject *s, const struct ft_uuid *uid, struct rn_slice description);
void ft_subject_fini(struct ft_subject *s); /* all zero is fine */

/* A struct ft_subject as `arg` of ft_selector_match() and ft_catalog_resolve(): key is a label or
 * an attribute. */
bool ft_subject_lookup(void *arg, struct rn_slice key, struct rn_slice *ret_value);

/* The value of an attribute, identifying ones first. */
bool ft_subject_attr(const struct ft_subject *s, struct rn_slice key, struct rn_slice *ret_value);
