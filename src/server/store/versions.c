/* Configurations and their versions.
 *
 * A version is found again by its content: SHA-256 over the contract's hash and the template flags.
 * So two versions of a configuration never have the same objects.
 */
#include "store/sqlite.h"

#include <errno.h>
#include <string.h>

#include <base/cleanup.h>
#include <base/clock.h>

/* ---- Configurations ---- */

static void read_configuration(sqlite3_stmt *stmt, struct ft_configuration *out)
{
    ft__column_text(stmt, 0, out->name, sizeof(out->name));
    ft__column_text(stmt, 1, out->comment, sizeof(out->comment));
    out->created_ms = sqlite3_column_int64(stmt, 2);
    out->updated_ms = sqlite3_column_int64(stmt, 3);
    out->revision = (uint64_t)sqlite3_column_int64(stmt, 4);
    out->latest = (uint32_t)sqlite3_column_int64(stmt, 5);
}

static int configuration_get(struct ft_store *s, struct rn_slice name, struct ft_configuration *ret)
{
    CLEANUP(ft__sql_done) sqlite3_stmt *stmt = NULL;
    int r = ft__sql(s, FT_SQL_CONFIGURATION_GET, &stmt, "s", name);

    if (r < 0)
        return r;
    r = ft__sql_step(s, stmt);
    if (r <= 0)
        return r < 0 ? r : -ENOENT;
    read_configuration(stmt, ret);
    return 0;
}

/* 1: made; 0: it was there; -Exxx. */
static int configuration_add(struct ft_store *s, struct rn_slice name, struct rn_slice comment)
{
    uint64_t  revision;
    const int r = ft__store_next(s, "revision", &revision);

    return r < 0 ? r
                 : ft__sql_run(s, FT_SQL_CONFIGURATION_ADD, "ssii", name, comment, wall_ms(),
                               (int64_t)revision);
}

int ft__configuration_find_or_add(struct ft_store *s, struct rn_slice name, int64_t *ret_id)
{
    int r = ft__sql_get_int(s, FT_SQL_CONFIGURATION_ID, ret_id, "s", name);

    if (r != -ENOENT)
        return r;
    r = configuration_add(s, name, rn_slice("", 0));
    return r < 0 ? r : ft__sql_get_int(s, FT_SQL_CONFIGURATION_ID, ret_id, "s", name);
}

struct configuration_call {
    struct rn_slice         name, comment;
    struct ft_configuration result;
};

static int create_job(struct ft_store *s, void *arg)
{
    struct configuration_call *c = arg;
    const int                  r = configuration_add(s, c->name, c->comment);

    if (r <= 0)
        return r < 0 ? r : -EEXIST;
    return configuration_get(s, c->name, &c->result);
}

int ft_store_configuration_create(struct ft_store *s, struct rn_slice name, struct rn_slice comment,
                                  struct ft_configuration *ret)
{
    struct configuration_call c = {.name = name, .comment = comment};
    const int                 r = ft__store_run(s, FT_JOB_WRITE, create_job, &c, NULL);

    if (r >= 0)
        *ret = c.result;
    return r;
}

static int get_job(struct ft_store *s, void *arg)
{
    struct configuration_call *c = arg;

    return configuration_get(s, c->name, &c->result);
}

int ft_store_configuration_get(struct ft_store *s, struct rn_slice name,
                               struct ft_configuration *ret)
{
    struct configuration_call c = {.name = name};
    const int                 r = ft__store_run(s, FT_JOB_READ, get_job, &c, NULL);

    if (r >= 0)
        *ret = c.result;
    return r;
}

/* A page of a list: an array that grows while rows come. */
struct page {
    struct rn_slice name; /* behind which it begins, or whose it is */
    uint32_t        after;
    size_t          max;
    size_t          item_size;
    void           *items;
    size_t          n, room;
};

static void *page_add(struct page *p)
{
    if (p->n == p->room) {
        const size_t room = p->room ? p->room * 2 : 16;
        void        *items = reallocarray(p->items, room, p->item_size);

        if (!items)
            return NULL;
        p->items = items;
        p->room = room;
    }
    return (char *)p->items + p->n++ * p->item_size;
}

static int page_run(struct ft_store *s, struct page *p, int (*fn)(struct ft_store *s, void *arg),
                    size_t *ret_n)
{
    const int r = ft__store_run(s, FT_JOB_READ, fn, p, NULL);

    if (r < 0) {
        free(p->items);
        return r;
    }
    *ret_n = p->n;
    return 0;
}

static int list_job(struct ft_store *s, void *arg)
{
    CLEANUP(ft__sql_done) sqlite3_stmt *stmt = NULL;
    struct page *p = arg;
    int          r = ft__sql(s, FT_SQL_CONFIGURATION_LIST, &stmt, "si", p->name, (int64_t)p->max);

    if (r < 0)
        return r;
    while ((r = ft__sql_step(s, stmt)) > 0) {
        struct ft_configuration *c = page_add(p);

        if (!c)
            return -ENOMEM;
        read_configuration(stmt, c);
    }
    return r;
}

int ft_store_configuration_list(struct ft_store *s, struct rn_slice after, size_t max,
                                struct ft_configuration **ret, size_t *ret_n)
{
    struct page p = {.name = after, .max = max, .item_size = sizeof(**ret)};
    const int   r = page_run(s, &p, list_job, ret_n);

    if (r == 0)
        *ret = p.items;
    return r;
}

/* ---- Versions ---- */

static int read_head(sqlite3_stmt *stmt, struct ft_version_head *out, int64_t *ret_id)
{
    ft__column_text(stmt, 0, out->configuration, sizeof(out->configuration));
    ft__column_text(stmt, 1, out->comment, sizeof(out->comment));
    out->number = (uint32_t)sqlite3_column_int64(stmt, 2);
    out->created_ms = sqlite3_column_int64(stmt, 4);
    *ret_id = sqlite3_column_int64(stmt, 5);
    return ft_hash_from_bytes(ft__column_slice(stmt, 3), &out->hash) < 0 ? -EUCLEAN : 0;
}

/* The head that a statement finds, whose parameters are bound. */
static int head_of(struct ft_store *s, sqlite3_stmt *stmt, struct ft_version_head *ret,
                   int64_t *ret_id)
{
    const int r = ft__sql_step(s, stmt);

    if (r <= 0)
        return r < 0 ? r : -ENOENT;
    return read_head(stmt, ret, ret_id);
}

int ft__version_id(struct ft_store *s, struct rn_slice configuration, uint32_t number, int64_t *ret)
{
    CLEANUP(ft__sql_done) sqlite3_stmt *stmt = NULL;
    struct ft_version_head head;
    const int r = ft__sql(s, FT_SQL_VERSION_BY_NUMBER, &stmt, "si", configuration, (int64_t)number);

    return r < 0 ? r : head_of(s, stmt, &head, ret);
}

/* The texts of a version's rows gathered in one buffer: offsets first, since it moves while it
 * grows. */
static int load_objects(struct ft_store *s, int64_t id, struct ft_buf *texts,
                        struct ft_object items[FT_OBJECTS_MAX], size_t *ret_n)
{
    CLEANUP(ft__sql_done) sqlite3_stmt *stmt = NULL;
    size_t n = 0, at = 0;
    int    r = ft__sql(s, FT_SQL_OBJECTS, &stmt, "i", id);

    if (r < 0)
        return r;
    while ((r = ft__sql_step(s, stmt)) > 0) {
        struct ft_object *o = &items[n];

        if (n++ == FT_OBJECTS_MAX)
            return -EUCLEAN;
        o->is_template = sqlite3_column_int(stmt, 2) != 0;
        o->name = ft__column_slice(stmt, 0);
        (void)ft_buf_add_slice(texts, o->name);
        o->content_type = ft__column_slice(stmt, 1);
        (void)ft_buf_add_slice(texts, o->content_type);
        o->body = ft__column_slice(stmt, 3);
        r = ft_buf_add_slice(texts, o->body);
        if (r < 0)
            return r;
    }
    for (size_t i = 0; r == 0 && i < n; i++) {
        struct rn_slice *const parts[] = {&items[i].name, &items[i].content_type, &items[i].body};

        for (size_t k = 0; k < 3; k++) {
            parts[k]->data = texts->data + at;
            at += parts[k]->len;
        }
    }
    *ret_n = n;
    return r;
}

static int version_load_with(struct ft_store *s, const struct ft_version_head *head, int64_t id,
                             struct ft_version **ret)
{
    CLEANUP(ft_buf_fini) struct ft_buf texts = FT_BUF_INIT(FT_STORE_VERSION_BYTES_MAX);
    CLEANUP(freep) struct ft_object   *items = calloc(FT_OBJECTS_MAX, sizeof(*items));
    size_t n = 0;
    int    r;

    if (!items)
        return -ENOMEM;
    r = load_objects(s, id, &texts, items, &n);
    if (r < 0)
        return r;
    return ft_version_new(head, &(struct ft_objects){items, n}, ret);
}

/* A version that a group runs is in memory already. */
static struct ft_version *version_in_memory(struct ft_store *s, const struct ft_version_head *head)
{
    for (size_t i = 0; s->groups && i < s->groups->count; i++) {
        struct ft_version *v = s->groups->items[i]->version;

        if (v && v->head.number == head->number &&
            strcmp(v->head.configuration, head->configuration) == 0)
            return v;
    }
    return NULL;
}

static int version_load_stmt(struct ft_store *s, sqlite3_stmt *stmt, struct ft_version **ret)
{
    struct ft_version_head head;
    struct ft_version     *known;
    int64_t                id;
    const int              r = head_of(s, stmt, &head, &id);

    if (r < 0)
        return r;
    known = version_in_memory(s, &head);
    if (known) {
        *ret = ft_version_ref(known);
        return 0;
    }
    return version_load_with(s, &head, id, ret);
}

int ft__version_load(struct ft_store *s, int64_t id, struct ft_version **ret)
{
    CLEANUP(ft__sql_done) sqlite3_stmt *stmt = NULL;
    const int r = ft__sql(s, FT_SQL_VERSION_BY_ID, &stmt, "i", id);

    return r < 0 ? r : version_load_stmt(s, stmt, ret);
}

static int content_of(const struct ft_objects *objects, struct ft_hash *ret_hash,
                      struct ft_hash *ret_content)
{
    uint8_t   seed[FT_HASH_LEN + FT_OBJECTS_MAX];
    const int r = ft_hash_objects(objects, ret_hash);

    if (r < 0)
        return r;
    memcpy(seed, ret_hash->bytes, FT_HASH_LEN);
    for (size_t i = 0; i < objects->count; i++)
        seed[FT_HASH_LEN + i] = objects->items[i].is_template;
    return ft_hash_bytes(rn_slice(seed, FT_HASH_LEN + objects->count), ret_content);
}

static int add_object(struct ft_store *s, int64_t version, const struct ft_object *o)
{
    struct ft_hash hash;
    int64_t        body;
    int            r = ft_hash_bytes(o->body, &hash);

    if (r < 0)
        return r;
    r = ft__sql_run(s, FT_SQL_BODY_ADD, "bb", ft_hash_slice(&hash), o->body);
    if (r < 0)
        return r;
    r = ft__sql_get_int(s, FT_SQL_BODY_ID, &body, "b", ft_hash_slice(&hash));
    if (r < 0)
        return r;
    return ft__sql_run(s, FT_SQL_OBJECT_ADD, "issii", version, o->name, o->content_type,
                       (int64_t)o->is_template, body);
}

static int insert_version(struct ft_store *s, int64_t configuration, const struct ft_hash *hash,
                          const struct ft_hash *content, const struct ft_objects *objects,
                          struct rn_slice comment)
{
    const int64_t now = wall_ms();
    uint64_t      revision;
    int64_t       id;
    int           r;

    r = ft__sql_get_int(s, FT_SQL_VERSION_ADD, &id, "ibbsi", configuration, ft_hash_slice(hash),
                        ft_hash_slice(content), comment, now);
    for (size_t i = 0; r >= 0 && i < objects->count; i++)
        r = add_object(s, id, &objects->items[i]);
    if (r < 0)
        return r;

    r = ft__store_next(s, "revision", &revision);
    if (r < 0)
        return r;
    return ft__sql_run(s, FT_SQL_CONFIGURATION_TOUCH, "iii", configuration, now, (int64_t)revision);
}

static int find_by_content(struct ft_store *s, int64_t configuration, const struct ft_hash *content,
                           struct ft_version_head *ret, int64_t *ret_id)
{
    CLEANUP(ft__sql_done) sqlite3_stmt *stmt = NULL;
    const int r =
        ft__sql(s, FT_SQL_VERSION_BY_CONTENT, &stmt, "ib", configuration, ft_hash_slice(content));

    return r < 0 ? r : head_of(s, stmt, ret, ret_id);
}

int ft__version_find_or_add(struct ft_store *s, int64_t configuration,
                            const struct ft_objects *objects, struct rn_slice comment,
                            struct ft_version_head *ret, int64_t *ret_id, bool *ret_created)
{
    struct ft_hash hash, content;
    int            r = content_of(objects, &hash, &content);

    if (r < 0)
        return r;
    r = find_by_content(s, configuration, &content, ret, ret_id);
    *ret_created = r == -ENOENT;
    if (r != -ENOENT)
        return r;

    r = insert_version(s, configuration, &hash, &content, objects, comment);
    return r < 0 ? r : find_by_content(s, configuration, &content, ret, ret_id);
}

struct version_call {
    struct rn_slice          configuration, comment;
    uint32_t                 number;
    const struct ft_objects *objects;
    struct ft_version_head   head;
    bool                     created;
    struct ft_version       *version;
};

static int add_job(struct ft_store *s, void *arg)
{
    struct version_call *c = arg;
    int64_t              configuration, id;
    const int r =
        ft__sql_get_int(s, FT_SQL_CONFIGURATION_ID, &configuration, "s", c->configuration);

    return r < 0 ? r
                 : ft__version_find_or_add(s, configuration, c->objects, c->comment, &c->head, &id,
                                           &c->created);
}

int ft_store_version_add(struct ft_store *s, struct rn_slice configuration,
                         const struct ft_objects *objects, struct rn_slice comment,
                         struct ft_version_head *ret, bool *ret_created)
{
    struct version_call c = {
        .configuration = configuration, .comment = comment, .objects = objects};
    const int           r = ft__store_run(s, FT_JOB_WRITE, add_job, &c, NULL);

    if (r < 0)
        return r;
    *ret = c.head;
    *ret_created = c.created;
    return 0;
}

static int version_get_job(struct ft_store *s, void *arg)
{
    CLEANUP(ft__sql_done) sqlite3_stmt *stmt = NULL;
    struct version_call *c = arg;
    const int r =
        ft__sql(s, FT_SQL_VERSION_BY_NUMBER, &stmt, "si", c->configuration, (int64_t)c->number);

    return r < 0 ? r : version_load_stmt(s, stmt, &c->version);
}

int ft_store_version_get(struct ft_store *s, struct rn_slice configuration, uint32_t number,
                         struct ft_version **ret)
{
    struct version_call c = {.configuration = configuration, .number = number};
    const int           r = ft__store_run(s, FT_JOB_READ, version_get_job, &c, NULL);

    if (r < 0) {
        ft_version_unref(c.version);
        return r;
    }
    *ret = c.version;
    return 0;
}

static int version_list_job(struct ft_store *s, void *arg)
{
    CLEANUP(ft__sql_done) sqlite3_stmt *stmt = NULL;
    struct page *p = arg;
    int64_t      configuration, id;
    int          r = ft__sql_get_int(s, FT_SQL_CONFIGURATION_ID, &configuration, "s", p->name);

    if (r < 0)
        return r;
    r = ft__sql(s, FT_SQL_VERSION_LIST, &stmt, "iii", configuration, (int64_t)p->after,
                (int64_t)p->max);
    if (r < 0)
        return r;
    while ((r = ft__sql_step(s, stmt)) > 0) {
        struct ft_version_head *head = page_add(p);

        if (!head)
            return -ENOMEM;
        r = read_head(stmt, head, &id);
        if (r < 0)
            return r;
    }
    return r;
}

int ft_store_version_list(struct ft_store *s, struct rn_slice configuration, uint32_t after,
                          size_t max, struct ft_version_head **ret, size_t *ret_n)
{
    struct page p = {.name = configuration, .after = after, .max = max, .item_size = sizeof(**ret)};
    const int   r = page_run(s, &p, version_list_job, ret_n);

    if (r == 0)
        *ret = p.items;
    return r;
}
