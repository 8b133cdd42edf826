/* Groups: what each runs, in one table that every write makes anew.
 *
 * A revision is used once, so a group whose revision is the one in memory has not changed and is
 * shared with the table before; only what a write touched is read. The table's epoch is the last
 * revision given, and grows with every write.
 */
#include "store/sqlite.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <base/cleanup.h>
#include <base/clock.h>

#include <model/rendered.h>

/* ---- Reading ---- */

struct group_row {
    char selector[FT_SELECTOR_LEN_MAX + 1];
    int64_t priority, version; /* version: row id, 0: none */
    uint64_t assignment, revision;
    int64_t assigned_ms, created_ms, updated_ms;
};

static int group_row(struct ft_store *s, struct rn_slice name, struct group_row *ret)
{
    CLEANUP(ft__sql_done) sqlite3_stmt *stmt = NULL;
    int r = ft__sql(s, FT_SQL_GROUP_GET, &stmt, "s", name);

    if (r < 0)
        return r;
    r = ft__sql_step(s, stmt);
    if (r <= 0)
        return r < 0 ? r : -ENOENT;
    ft__column_text(stmt, 0, ret->selector, sizeof(ret->selector));
    ret->priority = sqlite3_column_int64(stmt, 1);
    ret->version = sqlite3_column_int64(stmt, 2);
    ret->assignment = (uint64_t)sqlite3_column_int64(stmt, 3);
    ret->assigned_ms = sqlite3_column_int64(stmt, 4);
    ret->revision = (uint64_t)sqlite3_column_int64(stmt, 5);
    ret->created_ms = sqlite3_column_int64(stmt, 6);
    ret->updated_ms = sqlite3_column_int64(stmt, 7);
    return 0;
}

static int variables_load(struct ft_store *s, struct rn_slice group, struct ft_attrs **ret)
{
    CLEANUP(ft__sql_done) sqlite3_stmt *stmt = NULL;
    CLEANUP(ft_buf_fini) struct ft_buf texts = FT_BUF_INIT(FT_ATTRS_BYTES_MAX);
    CLEANUP(freep) struct ft_attr *items = calloc(FT_ATTRS_MAX, sizeof(*items));
    size_t n = 0, at = 0;
    int r = items ? ft__sql(s, FT_SQL_VARIABLES, &stmt, "s", group) : -ENOMEM;

    if (r < 0)
        return r;
    while ((r = ft__sql_step(s, stmt)) > 0) {
        if (n == FT_ATTRS_MAX)
            return -EUCLEAN;
        items[n] =
            (struct ft_attr){ft__column_slice(stmt, 0), ft__column_slice(stmt, 1), FT_ATTR_STRING};
        (void)ft_buf_add_slice(&texts, items[n].key);
        r = ft_buf_add_slice(&texts, items[n].text);
        if (r < 0)
            return r;
        n++;
    }
    if (r < 0)
        return r;

    for (size_t i = 0; i < n; i++) {
        items[i].key.data = texts.data + at;
        items[i].text.data = texts.data + at + items[i].key.len;
        at += items[i].key.len + items[i].text.len;
    }
    return ft_attrs_new(items, n, ret);
}

static int group_load(struct ft_store *s, struct rn_slice name, struct ft_group **ret)
{
    CLEANUP(ft_group_unrefp) struct ft_group *g = calloc(1, sizeof(*g));
    CLEANUP(freep) struct group_row *row = calloc(1, sizeof(*row));
    int r;

    if (!g || !row)
        return -ENOMEM;
    atomic_init(&g->refs, 1);

    r = group_row(s, name, row);
    if (r < 0)
        return r;
    (void)snprintf(g->name, sizeof(g->name), "%.*s", (int)name.len, (const char *)name.data);
    g->priority = row->priority;
    g->assignment = row->assignment;
    g->assigned_ms = row->assigned_ms;
    g->revision = row->revision;
    g->created_ms = row->created_ms;
    g->updated_ms = row->updated_ms;

    r = ft_selector_parse(rn_slice_str(row->selector), &g->selector, NULL);
    if (r < 0)
        return r == -EINVAL ? -EUCLEAN : r;
    r = variables_load(s, name, &g->variables);
    if (r < 0)
        return r;
    if (row->version) {
        r = ft__version_load(s, row->version, &g->version);
        if (r < 0)
            return r;
    }
    *ret = TAKE(g);
    return 0;
}

/* The names and revisions first, since loading a group uses statements of its own. */
struct listed {
    char name[FT_NAME_MAX + 1];
    uint64_t revision;
};

static int list_groups(struct ft_store *s, struct listed **ret, size_t *ret_n)
{
    CLEANUP(ft__sql_done) sqlite3_stmt *stmt = NULL;
    CLEANUP(freep) struct listed *list = NULL;
    size_t n = 0, room = 0;
    int r = ft__sql(s, FT_SQL_GROUP_LIST, &stmt, "");

    if (r < 0)
        return r;
    while ((r = ft__sql_step(s, stmt)) > 0) {
        if (n == room) {
            struct listed *more = reallocarray(list, room ? room * 2 : 16, sizeof(*list));

            if (!more)
                return -ENOMEM;
            list = more;
            room = room ? room * 2 : 16;
        }
        ft__column_text(stmt, 0, list[n].name, sizeof(list[n].name));
        list[n++].revision = (uint64_t)sqlite3_column_int64(stmt, 1);
    }
    if (r < 0)
        return r;
    *ret = TAKE(list);
    *ret_n = n;
    return 0;
}

int ft__groups_load(struct ft_store *s, struct ft_groups **ret)
{
    CLEANUP(ft_groups_unrefp) struct ft_groups *t = NULL;
    CLEANUP(freep) struct listed *list = NULL;
    size_t n = 0;
    int64_t epoch;
    int r = list_groups(s, &list, &n);

    if (r < 0)
        return r;
    r = ft__sql_get_int(s, FT_SQL_SEQUENCE, &epoch, "s", rn_slice_str("revision"));
    if (r < 0)
        return r;
    r = ft_groups_new(n, &t);
    if (r < 0)
        return r;

    t->epoch = (uint64_t)epoch;
    for (size_t i = 0; i < n; i++) {
        const struct rn_slice name = rn_slice_str(list[i].name);
        struct ft_group *known = s->groups ? ft_groups_get(s->groups, name) : NULL;

        if (known && known->revision == list[i].revision)
            t->items[i] = ft_group_ref(known);
        else if ((r = group_load(s, name, &t->items[i])) < 0)
            return r;
    }
    ft_groups_sort(t);
    *ret = TAKE(t);
    return 0;
}

static int nothing(struct ft_store *s, void *arg)
{
    (void)s;
    (void)arg;
    return 0;
}

int ft_store_groups(struct ft_store *s, struct ft_groups **ret)
{
    return ft__store_run(s, FT_JOB_GROUPS, nothing, NULL, ret);
}

/* ---- Writing ---- */

static int check_match(uint64_t if_match, bool exists, uint64_t revision)
{
    if (if_match == FT_MATCH_ALWAYS ||
        (exists && (if_match == FT_MATCH_EXISTS || if_match == revision)))
        return 0;
    return -ESTALE;
}

static int replace_variables(struct ft_store *s, struct rn_slice group,
                             const struct ft_attrs *variables)
{
    int r = ft__sql_run(s, FT_SQL_VARIABLES_CLEAR, "s", group);

    for (uint32_t i = 0; variables && r >= 0 && i < variables->count; i++)
        r = ft__sql_run(s, FT_SQL_VARIABLE_ADD, "sss", group, variables->items[i].key,
                        variables->items[i].text);
    return r < 0 ? r : 0;
}

struct put_call {
    const struct ft_group_draft *draft;
    bool created;
};

static int write_group(struct ft_store *s, const struct ft_group_draft *d, int64_t version)
{
    const int64_t now = wall_ms();
    uint64_t revision, assignment = 0;
    int r = ft__store_next(s, "revision", &revision);

    if (r == 0 && version)
        r = ft__store_next(s, "assignment", &assignment);
    if (r < 0)
        return r;
    if (version)
        return ft__sql_run(s, FT_SQL_GROUP_PUT, "ssiiiiii", d->name, d->selector, d->priority,
                           version, (int64_t)assignment, now, (int64_t)revision, now);
    return ft__sql_run(s, FT_SQL_GROUP_PUT, "ssiniiii", d->name, d->selector, d->priority,
                       INT64_C(0), INT64_C(0), (int64_t)revision, now);
}

static int put_job(struct ft_store *s, void *arg)
{
    struct put_call *c = arg;
    const struct ft_group_draft *d = c->draft;
    CLEANUP(freep) struct group_row *row = calloc(1, sizeof(*row));
    int64_t version = 0;
    int r = row ? group_row(s, d->name, row) : -ENOMEM;

    if (r < 0 && r != -ENOENT)
        return r;
    c->created = r == -ENOENT;
    r = check_match(d->if_match, !c->created, row->revision);
    if (r < 0)
        return r;

    if (d->configuration.len) {
        r = ft__version_id(s, d->configuration, d->version, &version);
        if (r < 0)
            return r;
    }
    r = write_group(s, d, version);
    return r < 0 ? r : replace_variables(s, d->name, d->variables);
}

int ft_store_group_put(struct ft_store *s, const struct ft_group_draft *draft, bool *ret_created,
                       struct ft_groups **ret_groups)
{
    struct put_call c = {.draft = draft};
    const int r = ft__store_run(s, FT_JOB_GROUPS, put_job, &c, ret_groups);

    if (r >= 0)
        *ret_created = c.created;
    return r;
}

struct delete_call {
    struct rn_slice name;
    uint64_t if_match;
};

static int delete_job(struct ft_store *s, void *arg)
{
    struct delete_call *c = arg;
    CLEANUP(freep) struct group_row *row = calloc(1, sizeof(*row));
    uint64_t revision;
    int r = row ? group_row(s, c->name, row) : -ENOMEM;

    if (r < 0)
        return r;
    r = check_match(c->if_match, true, row->revision);
    if (r < 0)
        return r;
    r = ft__store_next(s, "revision", &revision); /* the table has changed, and its epoch tells */
    return r < 0 ? r : ft__sql_run(s, FT_SQL_GROUP_DELETE, "s", c->name);
}

int ft_store_group_delete(struct ft_store *s, struct rn_slice name, uint64_t if_match,
                          struct ft_groups **ret_groups)
{
    struct delete_call c = {name, if_match};

    return ft__store_run(s, FT_JOB_GROUPS, delete_job, &c, ret_groups);
}

/* ---- One object of what a group runs ---- */

/* The base's objects with `object` in the place of its namesake, or added. */
static int exchange_object(const struct ft_version *base, const struct ft_object *object,
                           struct ft_objects *ret)
{
    const size_t have = base ? base->objects.count : 0;
    CLEANUP(freep) struct ft_object *items = calloc(have + 1, sizeof(*items));
    size_t n = 0;

    if (!items)
        return -ENOMEM;
    for (size_t i = 0; i < have; i++) {
        if (!rn_slice_eq(base->objects.items[i].name, object->name))
            items[n++] = base->objects.items[i];
    }
    items[n++] = *object;
    return ft_objects_from(items, n, ret);
}

static bool same_objects(const struct ft_version *base, const struct ft_objects *objects)
{
    if (!base || base->objects.count != objects->count)
        return false;
    for (size_t i = 0; i < objects->count; i++) {
        if (!ft_object_eq(&base->objects.items[i], &objects->items[i]))
            return false;
    }
    return true;
}

struct object_call {
    const struct ft_object_put *put;
    struct ft_object_put_result result;
};

/* Find or make the version with these objects in the configuration named after the group. */
static int place_version(struct ft_store *s, struct object_call *c, const struct ft_version *base,
                         const struct ft_objects *objects, int64_t *ret_id)
{
    const struct rn_slice group = c->put->group;
    char comment[FT_COMMENT_MAX + 1] = "";
    int64_t configuration;
    const int r = ft__configuration_find_or_add(s, group, &configuration);

    if (r < 0)
        return r;
    if (base && !rn_slice_eq_str(group, base->head.configuration))
        (void)snprintf(comment, sizeof(comment), "from %s v%u", base->head.configuration,
                       base->head.number);
    return ft__version_find_or_add(s, configuration, objects, rn_slice_str(comment),
                                   &c->result.head, ret_id, &c->result.created);
}

static int assign(struct ft_store *s, struct rn_slice group, int64_t version,
                  uint64_t *ret_assignment)
{
    uint64_t revision;
    int r = ft__store_next(s, "assignment", ret_assignment);

    if (r < 0)
        return r;
    r = ft__store_next(s, "revision", &revision);
    if (r < 0)
        return r;
    return ft__sql_run(s, FT_SQL_GROUP_ASSIGN, "siiii", group, version, (int64_t)*ret_assignment,
                       wall_ms(), (int64_t)revision);
}

static int object_put_job(struct ft_store *s, void *arg)
{
    struct object_call *c = arg;
    CLEANUP(ft_version_unrefp) struct ft_version *base = NULL;
    CLEANUP(ft_objects_fini) struct ft_objects objects = {0};
    CLEANUP(freep) struct group_row *row = calloc(1, sizeof(*row));
    int64_t version;
    int r = row ? group_row(s, c->put->group, row) : -ENOMEM;

    if (r < 0)
        return r;
    r = check_match(c->put->if_match, true, row->revision);
    if (r < 0)
        return r;
    if (row->version) {
        r = ft__version_load(s, row->version, &base);
        if (r < 0)
            return r;
    }

    r = exchange_object(base, c->put->object, &objects);
    if (r < 0)
        return r;
    if (ft_rendered_wire_min(&objects) > c->put->wire_max)
        return -E2BIG;

    if (same_objects(base, &objects)) {
        c->result.head = base->head;
        version = row->version;
    } else {
        r = place_version(s, c, base, &objects, &version);
        if (r < 0)
            return r;
    }
    return assign(s, c->put->group, version, &c->result.assignment);
}

int ft_store_object_put(struct ft_store *s, const struct ft_object_put *put,
                        struct ft_object_put_result *ret, struct ft_groups **ret_groups)
{
    struct object_call c = {.put = put};
    const int r = ft__store_run(s, FT_JOB_GROUPS, object_put_job, &c, ret_groups);

    if (r >= 0)
        *ret = c.result;
    return r;
}
