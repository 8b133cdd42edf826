/* What is known about agents, written behind in batches; the clean-stop mark; small values. */
#include "store/sqlite.h"

#include <errno.h>
#include <string.h>

#include <base/cleanup.h>

#define CLEAN_STOP "clean-stop"

struct save_call {
    const struct ft_agent_row *rows;
    const struct ft_uuid      *uids;
    size_t                     n;
};

static int save_job(struct ft_store *s, void *arg)
{
    const struct save_call *c = arg;
    int                     r = 0;

    for (size_t i = 0; r >= 0 && i < c->n; i++) {
        const struct ft_agent_row *row = &c->rows[i];

        r = ft__sql_run(s, FT_SQL_AGENT_SAVE, "biib", ft_uuid_slice(&row->uid),
                        (int64_t)row->sequence_num, row->last_seen_ms, row->record);
    }
    return r < 0 ? r : 0;
}

int ft_store_agents_save(struct ft_store *s, const struct ft_agent_row rows[], size_t n)
{
    return n ? ft__store_run(s, FT_JOB_WRITE, save_job, &(struct save_call){.rows = rows, .n = n},
                             NULL)
             : 0;
}

static int delete_job(struct ft_store *s, void *arg)
{
    const struct save_call *c = arg;
    int                     r = 0;

    for (size_t i = 0; r >= 0 && i < c->n; i++)
        r = ft__sql_run(s, FT_SQL_AGENT_DELETE, "b", ft_uuid_slice(&c->uids[i]));
    return r < 0 ? r : 0;
}

int ft_store_agents_delete(struct ft_store *s, const struct ft_uuid uids[], size_t n)
{
    return n ? ft__store_run(s, FT_JOB_WRITE, delete_job, &(struct save_call){.uids = uids, .n = n},
                             NULL)
             : 0;
}

struct load_call {
    struct rn_slice      after;
    size_t               max;
    struct ft_buf        records;
    struct ft_agent_row *rows; /* record.data is set when the buffer no longer moves */
    size_t               n;
};

static int read_agent(sqlite3_stmt *stmt, struct load_call *c)
{
    struct ft_agent_row *row = &c->rows[c->n];

    if (ft_uuid_from_bytes(ft__column_slice(stmt, 0), &row->uid) < 0)
        return -EUCLEAN;
    row->sequence_num = (uint64_t)sqlite3_column_int64(stmt, 1);
    row->last_seen_ms = sqlite3_column_int64(stmt, 2);
    row->record = ft__column_slice(stmt, 3);
    c->n++;
    return ft_buf_add_slice(&c->records, row->record);
}

static int load_job(struct ft_store *s, void *arg)
{
    CLEANUP(ft__sql_done) sqlite3_stmt *stmt = NULL;
    struct load_call *c = arg;
    int               r = ft__sql(s, FT_SQL_AGENT_LIST, &stmt, "bi", c->after, (int64_t)c->max);

    if (r < 0)
        return r;
    while (c->n < c->max && (r = ft__sql_step(s, stmt)) > 0) {
        r = read_agent(stmt, c);
        if (r < 0)
            return r;
    }
    return r < 0 ? r : 0;
}

/* Rows, and behind them the records, as one block. */
static int pack_agents(const struct load_call *c, struct ft_agent_row **ret)
{
    const size_t         head = c->n * sizeof(c->rows[0]);
    struct ft_agent_row *block = malloc(head + c->records.len + 1);
    uint8_t             *at = (uint8_t *)block + head;

    if (!block)
        return -ENOMEM;
    if (c->n)
        memcpy(block, c->rows, head);
    if (c->records.len)
        memcpy(at, c->records.data, c->records.len);
    for (size_t i = 0; i < c->n; i++) {
        block[i].record.data = at;
        at += block[i].record.len;
    }
    *ret = block;
    return 0;
}

int ft_store_agents_load(struct ft_store *s, const struct ft_uuid *after, size_t max,
                         struct ft_agent_row **ret, size_t *ret_n)
{
    struct load_call c = {.max = max, .records = FT_BUF_INIT(FT_STORE_VERSION_BYTES_MAX)};
    int              r = -ENOMEM;

    if (after)
        c.after = ft_uuid_slice(after);
    c.rows = calloc(max ? max : 1, sizeof(*c.rows));
    if (c.rows)
        r = ft__store_run(s, FT_JOB_READ, load_job, &c, NULL);
    if (r >= 0)
        r = pack_agents(&c, ret);
    if (r >= 0)
        *ret_n = c.n;
    free(c.rows);
    ft_buf_fini(&c.records);
    return r;
}

/* ---- Marks and values ---- */

struct meta_call {
    const char     *key;
    struct rn_slice value;
    uint8_t        *result;
    size_t          len;
};

static int meta_set_job(struct ft_store *s, void *arg)
{
    const struct meta_call *c = arg;
    const int r = ft__sql_run(s, FT_SQL_META_SET, "sb", rn_slice_str(c->key), c->value);

    return r < 0 ? r : 0;
}

int ft_store_meta_set(struct ft_store *s, const char *key, struct rn_slice value)
{
    return ft__store_run(s, FT_JOB_WRITE, meta_set_job,
                         &(struct meta_call){.key = key, .value = value}, NULL);
}

static int meta_get_job(struct ft_store *s, void *arg)
{
    CLEANUP(ft__sql_done) sqlite3_stmt *stmt = NULL;
    struct meta_call *c = arg;
    struct rn_slice   value;
    int               r = ft__sql(s, FT_SQL_META_GET, &stmt, "s", rn_slice_str(c->key));

    if (r < 0)
        return r;
    r = ft__sql_step(s, stmt);
    if (r <= 0)
        return r < 0 ? r : -ENOENT;
    value = ft__column_slice(stmt, 0);
    c->result = malloc(value.len + 1);
    if (!c->result)
        return -ENOMEM;
    memcpy(c->result, value.data, value.len);
    c->len = value.len;
    return 0;
}

int ft_store_meta_get(struct ft_store *s, const char *key, uint8_t **ret, size_t *ret_len)
{
    struct meta_call c = {.key = key};
    const int        r = ft__store_run(s, FT_JOB_READ, meta_get_job, &c, NULL);

    if (r < 0) {
        free(c.result);
        return r;
    }
    *ret = c.result;
    *ret_len = c.len;
    return 0;
}

int ft_store_clean_stop_set(struct ft_store *s)
{
    return ft_store_meta_set(s, CLEAN_STOP, rn_slice_str("1"));
}

static int take_job(struct ft_store *s, void *arg)
{
    (void)arg;
    return ft__sql_run(s, FT_SQL_META_DELETE, "s", rn_slice_str(CLEAN_STOP));
}

int ft_store_clean_stop_take(struct ft_store *s, bool *ret_was_set)
{
    const int r = ft__store_run(s, FT_JOB_WRITE, take_job, NULL, NULL);

    if (r < 0)
        return r;
    *ret_was_set = r > 0;
    return 0;
}
