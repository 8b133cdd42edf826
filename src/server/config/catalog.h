/* The catalog: configurations and groups as the API and the rollout see them.
 *
 * Groups, with the versions they run, are in memory: reading and resolving never suspends and never
 * needs the disk. Every change goes to the store first, as one transaction, whose answer is the
 * whole new table of groups; the catalog keeps the youngest. So memory never shows what the disk
 * does not have, and writers need no order among themselves but that of the store.
 *
 * After a change "every agent" is pushed into the changes channel, and what changed is an event.
 *
 * Errors: storage errors of store/store.h (the API answers 503), and
 *   -EINVAL  400  malformed: a name, a content type; *reterr tells where
 *   -EBADMSG 422  understood, and not acceptable: selector or template syntax, an unknown
 * configuration in a group; *reterr tells where -E2BIG   422  too large for a message; *reterr
 * tells -ENOENT  404, -EEXIST 409, -EPERM 409 (not with `default`), -ESTALE 412 (If-Match)
 *
 * From: any task. Calls that say so suspend, the others do not.
 */
#pragma once

#include <runnel/chan.h>

#include <model/configuration.h>

#include "events.h"
#include "store/store.h"

struct ft_catalog;

/* What is wrong in a request, and where: a JSON pointer into its body, empty for the request as a
 * whole. */
struct ft_problem {
    char     pointer[384];
    char     detail[512];
    unsigned line; /* of the text that the pointer names, 0: does not apply */
};

struct ft_catalog_options {
    struct ft_store *store;       /* borrowed */
    size_t           message_max; /* of a message to an agent */
    struct rn_tx     changes;     /* borrowed: an end that the calling tasks may use; {0}: none */
    struct ft_events *events;     /* borrowed; NULL: none */
};

/* Load the groups. Suspends. */
int  ft_catalog_open(const struct ft_catalog_options *options, struct ft_catalog **ret);
void ft_catalog_close(struct ft_catalog *c); /* NULL is fine */
void ft_catalog_closep(struct ft_catalog **c);

/* The table of groups as it is now; unref when done. */
struct ft_groups *ft_catalog_groups(struct ft_catalog *c);

/* The group of an agent, counted: group->version (may be NULL), group->variables,
 * group->assignment. Never NULL. */
struct ft_group *ft_catalog_resolve(struct ft_catalog *c, ft_selector_lookup_fn lookup, void *arg);

/* ---- Suspends: all below. ---- */

int ft_catalog_configuration_create(struct ft_catalog *c, struct rn_slice name,
                                    struct rn_slice comment, struct ft_configuration *ret,
                                    struct ft_problem *reterr);
int ft_catalog_configuration_get(struct ft_catalog *c, struct rn_slice name,
                                 struct ft_configuration *ret);
/* As ft_store_configuration_list(): the cursor is the last name. */
int ft_catalog_configuration_list(struct ft_catalog *c, struct rn_slice after, size_t max,
                                  struct ft_configuration **ret, size_t *ret_n);

/* Objects in any order; bodies of templates are checked. *ret_created false: the version was there
 * already. */
int ft_catalog_version_add(struct ft_catalog *c, struct rn_slice configuration,
                           const struct ft_object objects[], size_t n, struct rn_slice comment,
                           struct ft_version_head *ret, bool *ret_created,
                           struct ft_problem *reterr);
int ft_catalog_version_get(struct ft_catalog *c, struct rn_slice configuration, uint32_t number,
                           struct ft_version **ret);
/* As ft_store_version_list(): the cursor is the last number. */
int ft_catalog_version_list(struct ft_catalog *c, struct rn_slice configuration, uint32_t after,
                            size_t max, struct ft_version_head **ret, size_t *ret_n);

/* PUT /agent-groups/{group}: *ret (counted) is the group as stored. */
int ft_catalog_group_put(struct ft_catalog *c, const struct ft_group_draft *draft,
                         struct ft_group **ret, bool *ret_created, struct ft_problem *reterr);
/* -ENOENT; -EPERM for `default`. */
int ft_catalog_group_delete(struct ft_catalog *c, struct rn_slice name, uint64_t if_match);

/* PUT /agent-groups/{group}/configuration?object=NAME: `object` may be empty (FT_OBJECT_DEFAULT),
 * `content_type` as it was sent. -ENOENT: no such group. */
int ft_catalog_put_object(struct ft_catalog *c, struct rn_slice group, struct rn_slice object,
                          struct rn_slice content_type, struct rn_slice body, uint64_t if_match,
                          struct ft_object_put_result *ret, struct ft_problem *reterr);
