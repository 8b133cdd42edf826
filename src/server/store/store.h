/* The store: what the server must not lose. Configurations, versions, groups, and what is known
 * about agents.
 *
 * One database with exactly one connection, used by one thread of its own: every call here hands a
 * job to that thread and suspends until it ran. Jobs never overlap, so each call is one
 * transaction, and what it reads in it is what it changes. When a writing call has returned 0, the
 * data is on disk (a crash of the process, of the machine, loses nothing of it); when it returned
 * an error, nothing happened.
 *
 *     r = ft_store_object_put(store, &put, &result, &groups);
 *     if (ft_store_error_is_storage(r)) ... 503 with ft_store_last_error()
 *
 * Errors of the storage itself, from every call: -ENOSPC (disk full), -EROFS (read-only), -EIO,
 * -EUCLEAN (the file is no database of ours or damaged), -EBUSY (somebody else holds it). They are
 * not sticky: the next call tries again. Also from every call: -ENOMEM, -ECANCELED.
 *
 * From: any task. The header names no engine; sqlite.c is one.
 */
#pragma once

#include <runnel/base.h>
#include <runnel/slice.h>

#include <rnet/metrics.h>

#include <model/configuration.h>
#include <model/text_error.h>
#include <model/uuid.h>

struct ft_store;

/* Open or create the database in folder `dir`, bring its schema up to date, and lock it against a
 * second server. *reterr names the path. Returns also: -EBUSY (another server uses it), -ENOTSUP
 * (made by a newer fettled), -EACCES. */
int  ft_store_open(const char *dir, struct ft_store **ret, struct ft_text_error *reterr);
/* Waits for jobs that run. NULL is fine. */
void ft_store_close(struct ft_store *s);
void ft_store_closep(struct ft_store **s);

/* Is `r` a failure of the storage (and not of what was asked)? */
bool ft_store_error_is_storage(int r);
/* The last such failure, as text for a person; false: there was none, or writes succeeded since.
 * From any thread. */
bool ft_store_last_error(struct ft_store *s, struct ft_text_error *ret);

/* Time of each transaction: fettle_store_seconds. From any thread. */
const struct rnet_histogram *ft_store_seconds(const struct ft_store *s);
/* Calls that failed because of the storage. */
uint64_t ft_store_failures(const struct ft_store *s);

/* ---- Configurations and versions. Names were checked by the caller. ---- */

/* Returns also: -EEXIST. */
int ft_store_configuration_create(struct ft_store *s, struct rn_slice name, struct rn_slice comment,
                                  struct ft_configuration *ret);
/* Returns also: -ENOENT. */
int ft_store_configuration_get(struct ft_store *s, struct rn_slice name,
                               struct ft_configuration *ret);
/* At most `max` by name, behind `after` (empty: from the first). *ret is an array to free(). */
int ft_store_configuration_list(struct ft_store *s, struct rn_slice after, size_t max,
                                struct ft_configuration **ret, size_t *ret_n);

/* Add a version, or find the one that has the same content (name, type, body and template flag of
 * each object). Returns also: -ENOENT (no such configuration). */
int ft_store_version_add(struct ft_store *s, struct rn_slice configuration,
                         const struct ft_objects *objects, struct rn_slice comment,
                         struct ft_version_head *ret, bool *ret_created);
/* Returns also: -ENOENT. */
int ft_store_version_get(struct ft_store *s, struct rn_slice configuration, uint32_t number,
                         struct ft_version **ret);
/* At most `max` by number, above `after`. *ret is an array to free().
 * Returns also: -ENOENT (no such configuration). */
int ft_store_version_list(struct ft_store *s, struct rn_slice configuration, uint32_t after,
                          size_t max, struct ft_version_head **ret, size_t *ret_n);

/* ---- Groups. Every write answers with the whole table as it is after it. ---- */

int ft_store_groups(struct ft_store *s, struct ft_groups **ret);

#define FT_MATCH_ALWAYS 0          /* no condition */
#define FT_MATCH_EXISTS UINT64_MAX /* `If-Match: *` */

struct ft_group_draft {
    struct rn_slice        name;
    struct rn_slice        selector; /* syntax was checked */
    int64_t                priority;
    struct rn_slice        configuration; /* empty: none */
    uint32_t               version;
    const struct ft_attrs *variables;     /* NULL: none */
    uint64_t               if_match;      /* a revision, or one of the two above */
};

/* Create or replace. Naming a configuration is an assignment, with a new number, also of the
 * version that is assigned already. Returns also: -ENOENT (no such configuration or version),
 * -ESTALE (if_match does not hold). */
int ft_store_group_put(struct ft_store *s, const struct ft_group_draft *draft, bool *ret_created,
                       struct ft_groups **ret_groups);
/* Returns also: -ENOENT, -ESTALE. */
int ft_store_group_delete(struct ft_store *s, struct rn_slice name, uint64_t if_match,
                          struct ft_groups **ret_groups);

/* Replace one object of what the group runs, as one transaction: read the version that is assigned,
 * exchange or add the object, find or make the version in the configuration named after the group
 * (made, too, if there is none), and assign it. Content that the group runs already keeps its
 * version. At most one version is made. */
struct ft_object_put {
    struct rn_slice         group;
    const struct ft_object *object;
    size_t                  wire_max;   /* -E2BIG when the AgentRemoteConfig would be longer */
    uint64_t                if_match;   /* revision of the group, as above */
};
struct ft_object_put_result {
    struct ft_version_head head;
    bool                   created; /* the version is new */
    uint64_t               assignment;
};
/* Returns also: -ENOENT (no such group), -E2BIG (also for too many objects), -ESTALE. */
int ft_store_object_put(struct ft_store *s, const struct ft_object_put *put,
                        struct ft_object_put_result *ret, struct ft_groups **ret_groups);

/* ---- Agents: records whose inside only their owner knows. ---- */

struct ft_agent_row {
    struct ft_uuid  uid;
    uint64_t        sequence_num;
    int64_t         last_seen_ms;
    struct rn_slice record;
};

/* All or none. */
int ft_store_agents_save(struct ft_store *s, const struct ft_agent_row rows[], size_t n);
/* At most `max` by uid, those behind *after (NULL: from the first). *ret is one allocation, records
 * included: free(). */
int ft_store_agents_load(struct ft_store *s, const struct ft_uuid *after, size_t max,
                         struct ft_agent_row **ret, size_t *ret_n);
int ft_store_agents_delete(struct ft_store *s, const struct ft_uuid uids[], size_t n);

/* The clean-stop mark: set as the very last write of an orderly stop; taken (read and removed, on
 * disk) at the start, before listening. Sequence numbers of agent rows count only if it was there.
 */
int ft_store_clean_stop_set(struct ft_store *s);
int ft_store_clean_stop_take(struct ft_store *s, bool *ret_was_set);

/* Small values by name. get: -ENOENT; *ret is malloc'ed, *ret_len long. */
int ft_store_meta_set(struct ft_store *s, const char *key, struct rn_slice value);
int ft_store_meta_get(struct ft_store *s, const char *key, uint8_t **ret, size_t *ret_len);
