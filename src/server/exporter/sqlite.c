/* The embedded default: a table in a file of its own, which other processes may read at any time.
 *
 *     closed --connect--> ready --send: BEGIN, INSERT OR IGNORE ..., COMMIT--> ready
 *                           \--the file is damaged, gone or was moved--> closed
 *
 * A batch is one transaction: either all of its verdicts are told after the commit, or everything
 * was rolled back and stays with the lane. A row that is ignored was there before: the key is the
 * sample's identity. WAL with synchronous=NORMAL: a crash of the process loses nothing that was
 * told, a crash of the machine perhaps the last transactions, and never the file.
 *
 * The key begins with the time and there is no second index: rows arrive in that order, so inserts
 * stay at the end of the tree, and what is too old is at its beginning: it is deleted from there in
 * small transactions between the sends, and the pages that become free are given back.
 */
#include "exporter/types.h"

#include <errno.h>
#include <string.h>

#include <sqlite3.h>

#include <base/cleanup.h>
#include <base/clock.h>

#include <runnel/task.h>

#include "exporter/path.h"

#define SWEEP_ROWS 500  /* deleted at a time: some milliseconds */
#define SWEEP_PAGES 256 /* given back at a time */
#define SWEEP_AGAIN (20 * RN_MS)
#define SWEEP_PAUSE (60 * RN_S)

struct self {
    struct ft_sqlite_settings settings;
    sqlite3 *db; /* NULL: closed */
    sqlite3_stmt *insert;
    sqlite3_stmt *expire;
};

#define KEEP_MAX (INT64_C(3650) * 86400 * RN_S)

const struct ft_option ft_sqlite_options[] = {
    FT_EXPORTER_OPTIONS(ft_sqlite_settings, "sqlite", "true"),
    {"path", FT_STRING, offsetof(struct ft_sqlite_settings, path), .def = "metrics.db",
     .help = "the database, relative to the data directory"},
    {"keep", FT_DURATION, offsetof(struct ft_sqlite_settings, keep), .max = KEEP_MAX,
     .help = "rows older than that are deleted; absent: none"},
    {0},
};

static const char setup_sql[] =
    "PRAGMA auto_vacuum = INCREMENTAL;" /* only counts before the first table: space can be given
                                           back later */
    "PRAGMA journal_mode = WAL;"
    "PRAGMA synchronous = NORMAL;"
    "PRAGMA secure_delete = OFF;"
    "PRAGMA temp_store = MEMORY;"
    "PRAGMA journal_size_limit = 67108864;"
    "CREATE TABLE IF NOT EXISTS process_metrics ("
    " agent_id TEXT NOT NULL,"
    " boot_id TEXT NOT NULL,"
    " seq INTEGER NOT NULL,"
    " timestamp INTEGER NOT NULL,"
    " process_name TEXT NOT NULL,"
    " host_name TEXT NOT NULL,"
    " ip TEXT NOT NULL,"
    " pid INTEGER NOT NULL,"
    " cmd TEXT NOT NULL,"
    " cpu_usage_rate REAL,"
    " mem_usage INTEGER NOT NULL,"
    " send_lines INTEGER NOT NULL,"
    " PRIMARY KEY (timestamp, agent_id, boot_id, seq)"
    ") WITHOUT ROWID;";

static const char insert_sql[] = "INSERT OR IGNORE INTO process_metrics (agent_id, boot_id, seq, "
                                 "timestamp, process_name, host_name, ip, pid, cmd,"
                                 " cpu_usage_rate, mem_usage, send_lines) VALUES (?1, ?2, ?3, ?4, "
                                 "?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)";

/* The oldest first: a walk from the beginning of the tree. */
static const char expire_sql[] =
    "DELETE FROM process_metrics WHERE (timestamp, agent_id, boot_id, seq) IN ("
    "SELECT timestamp, agent_id, boot_id, seq FROM process_metrics WHERE timestamp < ?1"
    " ORDER BY timestamp, agent_id, boot_id, seq LIMIT ?2)";

/* What a person has to do about it. NULL: nothing, it passes by itself. */
static const char *error_remedy(sqlite3 *db, int rc)
{
    const int why = db ? sqlite3_system_errno(db) : 0;

    switch (rc & 0xff) {
    case SQLITE_FULL:
        return "free space on its file system";
    case SQLITE_IOERR:
    case SQLITE_CANTOPEN:
        return why == ENOSPC || why == EDQUOT ? "free space on its file system"
                                              : "see that the file can be written";
    case SQLITE_READONLY:
    case SQLITE_PERM:
    case SQLITE_AUTH:
        return "make the file and its folder writable";
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return "move the damaged file away, a new one is made then";
    case SQLITE_ERROR:
    case SQLITE_SCHEMA:
        return "move the file away, it is not one of ours";
    default:
        return NULL;
    }
}

static void disconnect(struct self *self)
{
    (void)sqlite3_finalize(self->insert);
    (void)sqlite3_finalize(self->expire);
    (void)sqlite3_close_v2(self->db);
    self->insert = NULL;
    self->expire = NULL;
    self->db = NULL;
}

static void error_text(struct self *self, int rc, struct ft_text_error *ret)
{
    const char *remedy = error_remedy(self->db, rc);
    const char *what = self->db ? sqlite3_errmsg(self->db) : sqlite3_errstr(rc);

    ft_text_error_set(ret, "%s: %s%s%s", self->settings.path, what, remedy ? ": " : "",
                      remedy ? remedy : "");
}

static int connect_at(struct self *self, const char *path)
{
    const int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX;
    int rc = sqlite3_open_v2(path, &self->db, flags, NULL);

    if (rc == SQLITE_OK)
        rc = sqlite3_extended_result_codes(self->db, 1);
    if (rc == SQLITE_OK)
        rc = sqlite3_busy_timeout(self->db, 1000);
    if (rc == SQLITE_OK)
        rc = sqlite3_exec(self->db, setup_sql, NULL, NULL, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_prepare_v3(self->db, insert_sql, -1, SQLITE_PREPARE_PERSISTENT, &self->insert,
                                NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_prepare_v3(self->db, expire_sql, -1, SQLITE_PREPARE_PERSISTENT, &self->expire,
                                NULL);
    return rc;
}

/* Returns SQLITE_OK, or what went wrong with its text; then nothing is open. */
static int connect_file(struct self *self, struct ft_text_error *reterr)
{
    char path[FT_EXPORTER_PATH_SIZE];
    int rc;

    if (ft_exporter_path(&self->settings.head, self->settings.path, path) < 0) {
        ft_text_error_set(reterr, "%.200s...: the path is too long: shorten it",
                          self->settings.path);
        return SQLITE_CANTOPEN;
    }
    rc = connect_at(self, path);
    if (rc != SQLITE_OK) {
        error_text(self, rc, reterr);
        disconnect(self);
    }
    return rc;
}

/* Somebody moved or removed the file under us: what we write would be seen by nobody. */
static bool file_moved(struct self *self)
{
    int moved = 0;

    return sqlite3_file_control(self->db, "main", SQLITE_FCNTL_HAS_MOVED, &moved) == SQLITE_OK &&
           moved;
}

static int sqlite_open(void *arg, struct ft_text_error *reterr)
{
    return connect_file(arg, reterr) == SQLITE_OK ? 0 : -EIO;
}

static int bind_text(sqlite3_stmt *stmt, int i, struct rn_slice s)
{
    return sqlite3_bind_text64(stmt, i, s.data ? (const char *)s.data : "", s.len, SQLITE_STATIC,
                               SQLITE_UTF8);
}

static int row_bind(sqlite3_stmt *stmt, const struct ft_row *row)
{
    const struct ft_sample *s = row->sample;
    int rc = 0;

    rc |= sqlite3_bind_text(stmt, 1, row->batch->agent_id, FT_UUID_TEXT_LEN, SQLITE_STATIC);
    rc |= sqlite3_bind_text(stmt, 2, row->batch->boot_id, FT_UUID_TEXT_LEN, SQLITE_STATIC);
    rc |= sqlite3_bind_int64(stmt, 3, (sqlite3_int64)s->seq);
    rc |= sqlite3_bind_int64(stmt, 4, s->timestamp_ms);
    rc |= bind_text(stmt, 5, s->process_name);
    rc |= bind_text(stmt, 6, s->host_name);
    rc |= bind_text(stmt, 7, s->ip);
    rc |= sqlite3_bind_int64(stmt, 8, s->pid);
    rc |= bind_text(stmt, 9, s->cmd);
    rc |= s->has_cpu_usage_rate ? sqlite3_bind_double(stmt, 10, s->cpu_usage_rate)
                                : sqlite3_bind_null(stmt, 10);
    rc |= sqlite3_bind_int64(stmt, 11, (sqlite3_int64)s->mem_usage);
    rc |= sqlite3_bind_int64(stmt, 12, (sqlite3_int64)s->send_lines);
    return rc == SQLITE_OK ? SQLITE_OK : SQLITE_NOMEM;
}

/* Errors of the row itself, after which the transaction goes on. */
static bool is_row_error(int rc)
{
    const int kind = rc & 0xff;

    return kind == SQLITE_CONSTRAINT || kind == SQLITE_TOOBIG || kind == SQLITE_MISMATCH ||
           kind == SQLITE_RANGE;
}

static int row_insert(struct self *self, const struct ft_row *row, struct ft_answer *answer,
                      size_t i)
{
    const struct ft_sample *s = row->sample;
    int rc;

    if (s->seq > INT64_MAX || s->mem_usage > INT64_MAX || s->send_lines > INT64_MAX) {
        ft_answer_one(answer, i, FT_VERDICT_REJECT, "a number is over 2^63-1");
        return SQLITE_OK;
    }
    rc = row_bind(self->insert, row);
    if (rc == SQLITE_OK)
        rc = sqlite3_step(self->insert);
    if (rc == SQLITE_DONE) {
        ft_answer_one(answer, i, sqlite3_changes(self->db) ? FT_VERDICT_OK : FT_VERDICT_DUPLICATE,
                      NULL);
        rc = SQLITE_OK;
    } else if (is_row_error(rc)) {
        ft_answer_one(answer, i, FT_VERDICT_REJECT, "%s", sqlite3_errmsg(self->db));
        rc = SQLITE_OK;
    }
    if (rc == SQLITE_OK)
        (void)sqlite3_reset(self->insert);
    return rc;
}

static int rows_insert(struct self *self, const struct ft_rows *in, struct ft_answer *answer)
{
    int rc = sqlite3_exec(self->db, "BEGIN IMMEDIATE", NULL, NULL, NULL);

    for (size_t i = 0; i < in->n && rc == SQLITE_OK; i++)
        rc = row_insert(self, &in->items[i], answer, i);
    return rc == SQLITE_OK ? sqlite3_exec(self->db, "COMMIT", NULL, NULL, NULL) : rc;
}

/* Everything is rolled back, so nothing of it is stored. The connection is made anew: after an
 * error of the file that is the state that is known. */
static void send_failed(struct self *self, int rc, struct ft_answer *answer)
{
    const bool waits_for_people = error_remedy(self->db, rc) != NULL;
    struct ft_text_error text;

    error_text(self, rc, &text);
    (void)sqlite3_reset(self->insert);
    if (!sqlite3_get_autocommit(self->db))
        (void)sqlite3_exec(self->db, "ROLLBACK", NULL, NULL, NULL);
    if (waits_for_people)
        disconnect(self);
    ft_answer_all(answer, waits_for_people ? FT_VERDICT_HOLD : FT_VERDICT_RETRY, "%s", text.text);
}

static int sqlite_send(void *arg, const struct ft_rows *in, struct rn_slice body,
                       struct ft_answer *answer, rn_time deadline)
{
    struct self *self = arg;
    struct ft_text_error text;
    int rc;

    (void)body;
    (void)deadline; /* nothing here waits for anybody for longer than the busy time-out */
    if (self->db && file_moved(self))
        disconnect(self);
    rc = self->db ? SQLITE_OK : connect_file(self, &text);
    if (rc != SQLITE_OK) {
        ft_answer_all(answer, error_remedy(NULL, rc) ? FT_VERDICT_HOLD : FT_VERDICT_RETRY, "%s",
                      text.text);
        return -EIO;
    }
    rc = rows_insert(self, in, answer);
    if (rc == SQLITE_OK)
        return 0;
    send_failed(self, rc, answer);
    return -EIO;
}

/* ---- what is too old ---- */

/* Delete some rows from before `limit_ms`. Returns SQLITE_OK, or what went wrong. */
static int rows_expire(struct self *self, int64_t limit_ms, int *ret_n)
{
    int rc = sqlite3_bind_int64(self->expire, 1, limit_ms);

    if (rc == SQLITE_OK)
        rc = sqlite3_bind_int(self->expire, 2, SWEEP_ROWS);
    if (rc == SQLITE_OK)
        rc = sqlite3_step(self->expire);
    *ret_n = rc == SQLITE_DONE ? sqlite3_changes(self->db) : 0;
    (void)sqlite3_reset(self->expire);
    return rc == SQLITE_DONE ? SQLITE_OK : rc;
}

/* Files that were made without auto_vacuum keep their pages, and use them again. */
static void pages_give_back(struct self *self)
{
    char sql[64];

    (void)snprintf(sql, sizeof(sql), "PRAGMA incremental_vacuum(%d)", SWEEP_PAGES);
    (void)sqlite3_exec(self->db, sql, NULL, NULL, NULL);
}

/* One transaction of SWEEP_ROWS: while there is more, it soon comes again. Somebody else who writes
 * is no error: later, then. */
static int sqlite_tend(void *arg, rn_time *ret_pause, struct ft_text_error *reterr)
{
    struct self *self = arg;
    int n = 0;

    *ret_pause = self->settings.keep ? SWEEP_PAUSE : RN_FOREVER;
    if (!self->settings.keep || !self->db || file_moved(self))
        return 0;
    int rc = rows_expire(self, wall_ms() - self->settings.keep / RN_MS, &n);
    if (rc != SQLITE_OK && (rc & 0xff) != SQLITE_BUSY) {
        error_text(self, rc, reterr);
        return -EIO;
    }
    if (n > 0)
        pages_give_back(self);
    if (n == SWEEP_ROWS)
        *ret_pause = SWEEP_AGAIN;
    return 0;
}

static void sqlite_close(void *arg)
{
    disconnect(arg);
}

const struct ft_exporter_type ft_exporter_sqlite = {
    .name = "sqlite",
    .summary = "a table in an SQLite database",
    .size = sizeof(struct self),
    .settings_size = sizeof(struct ft_sqlite_settings),
    .options = ft_sqlite_options,
    .pace = {.rows_max = 1000,
             .bytes_max = (size_t)5 << 20,
             .age_max = 200 * RN_MS,
             .send_max = 30 * RN_S,
             .retry_max = 2 * RN_S},
    .open = sqlite_open,
    .send = sqlite_send,
    .tend = sqlite_tend,
    .close = sqlite_close,
};
