/* Configurations, their versions, and the groups that run them: what the store keeps and the
 * catalog hands out.
 *
 * Versions, groups and tables of groups are immutable and counted. A change makes a new table,
 * which shares what did not change with the old one; whoever holds a reference sees one consistent
 * state, on any thread, without a lock.
 */
#pragma once

#include <stdatomic.h>

#include <model/attrs.h>
#include <model/hash.h>
#include <model/object.h>
#include <model/selector.h>

#define FT_NAME_MAX      128  /* of a configuration or a group */
#define FT_COMMENT_MAX   1024
#define FT_GROUP_DEFAULT "default"

/* Letters, digits, '.', '_' and '-', at most FT_NAME_MAX, a letter or digit first. 0 or -EINVAL,
 * with the reason for a person in *reterr (may be NULL). */
int ft_name_check(struct rn_slice name, const char **reterr);

/* A configuration without its versions. */
struct ft_configuration {
    char     name[FT_NAME_MAX + 1];
    char     comment[FT_COMMENT_MAX + 1];
    uint32_t latest;     /* highest version, 0: none yet */
    int64_t  created_ms; /* since the epoch, here and below */
    int64_t  updated_ms;
    uint64_t revision;   /* its ETag */
};

/* A version without its objects. */
struct ft_version_head {
    char           configuration[FT_NAME_MAX + 1];
    char           comment[FT_COMMENT_MAX + 1];
    uint32_t       number; /* from 1 */
    struct ft_hash hash;   /* the contract's, over the objects as stored */
    int64_t        created_ms;
};

struct ft_version {
    _Atomic uint32_t       refs;
    struct ft_version_head head;
    struct ft_objects      objects; /* texts inside `texts` */
    size_t                 bytes;   /* of names, content types and bodies together */
    bool                   templated; /* at least one object is a template */
    uint8_t               *texts;   /* owned */
};

/* Copies everything. Returns: 0, -ENOMEM. */
int ft_version_new(const struct ft_version_head *head, const struct ft_objects *objects,
                   struct ft_version **ret);
struct ft_version *ft_version_ref(struct ft_version *v);
struct ft_version *ft_version_unref(struct ft_version *v); /* NULL is fine. Returns NULL. */
void               ft_version_unrefp(struct ft_version **v);

struct ft_group {
    _Atomic uint32_t    refs;
    char                name[FT_NAME_MAX + 1];
    struct ft_selector *selector; /* owned */
    int64_t             priority;
    struct ft_version  *version;     /* counted; NULL: no configuration */
    struct ft_attrs    *variables;   /* owned; strings */
    uint64_t assignment; /* number of the assignment of `version`: grows over all groups; 0: never
                            assigned */
    int64_t             assigned_ms; /* when that was */
    uint64_t            revision;    /* its ETag; grows over all groups */
    int64_t             created_ms;
    int64_t             updated_ms;
};

struct ft_group *ft_group_ref(struct ft_group *g);
struct ft_group *
ft_group_unref(struct ft_group *g); /* NULL and half-built are fine. Returns NULL. */
void             ft_group_unrefp(struct ft_group **g);

static inline bool ft_group_is_default(const struct ft_group *g)
{
    return strcmp(g->name, FT_GROUP_DEFAULT) == 0;
}

/* All groups at one moment, in the order in which they are asked: higher priority first, then the
 * name in byte order, `default` last. */
struct ft_groups {
    _Atomic uint32_t  refs;
    uint64_t          epoch; /* a younger table has a higher one */
    size_t            count;
    struct ft_group  *items[]; /* counted */
};

/* An empty table for `count` groups; the caller fills items[] and sorts. Returns: 0, -ENOMEM. */
int ft_groups_new(size_t count, struct ft_groups **ret);
void ft_groups_sort(struct ft_groups *t);
struct ft_groups *ft_groups_ref(struct ft_groups *t);
struct ft_groups *ft_groups_unref(struct ft_groups *t); /* NULL is fine. Returns NULL. */
void              ft_groups_unrefp(struct ft_groups **t);

/* By name; borrowed from the table; NULL when there is none. */
struct ft_group *ft_groups_get(const struct ft_groups *t, struct rn_slice name);
/* The first group whose selector holds; borrowed. Never NULL in a table with a `default` group. */
struct ft_group *ft_groups_match(const struct ft_groups *t, ft_selector_lookup_fn lookup,
                                 void *arg);
