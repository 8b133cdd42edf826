/* The SQLite engine of the store: one connection, one thread, one transaction per call.
 *
 *     task                                      the store's thread
 *     ft_store_...() -> rn_blocking()  ~~~>     BEGIN, the call's function, COMMIT (or ROLLBACK)
 *                                      <~~~
 *
 * WAL with synchronous=FULL: a commit is one write and one fdatasync of the log, and when it
 * returned it survives whatever comes. A second server on the same folder is kept out by a lock on
 * a file of its own (SQLite's locks allow readers from outside, which are welcome).
 *
 * An error in the middle leaves nothing behind: the transaction is rolled back, the statements are
 * reset, and the next call starts afresh, so a full disk heals as soon as there is space again.
 * What SQLite says is turned into an errno here and nowhere else.
 */
#include "store/sqlite.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>

#include <base/assert.h>
#include <base/cleanup.h>

#include "store/fault_vfs.h"

static const char *const statement_text[] = {
#define X(name, text) [FT_SQL_##name] = text,
    FT_STORE_STATEMENTS(X)
#undef X
};

int ft__sqlite_error(sqlite3 *db, int rc)
{
    const int why = db ? sqlite3_system_errno(db) : 0;

    switch (rc & 0xff) {
    case SQLITE_OK:
    case SQLITE_ROW:
    case SQLITE_DONE:
        return 0;
    case SQLITE_FULL:
        return -ENOSPC;
    case SQLITE_READONLY:
        return -EROFS;
    case SQLITE_IOERR:
    case SQLITE_CANTOPEN:
        /* A shared-memory file that cannot grow is an I/O error to SQLite, and a full disk to
         * people. */
        return why == ENOSPC || why == EDQUOT  ? -ENOSPC
               : why == EROFS || why == EACCES ? -EROFS
                                               : -EIO;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return -EUCLEAN;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return -EBUSY;
    case SQLITE_NOMEM:
        return -ENOMEM;
    case SQLITE_CONSTRAINT:
        return -EEXIST;
    case SQLITE_TOOBIG:
        return -E2BIG;
    default:
        return -EIO;
    }
}

bool ft_store_error_is_storage(int r)
{
    return r == -ENOSPC || r == -EROFS || r == -EIO || r == -EUCLEAN || r == -EBUSY;
}

/* ---- Statements ---- */

static int bind(sqlite3_stmt *stmt, int i, char type, va_list *args)
{
    struct rn_slice text;

    switch (type) {
    case 's':
        text = va_arg(*args, struct rn_slice);
        return sqlite3_bind_text64(stmt, i, text.data ? (const char *)text.data : "", text.len,
                                   SQLITE_STATIC, SQLITE_UTF8);
    case 'b':
        text = va_arg(*args, struct rn_slice);
        return sqlite3_bind_blob64(stmt, i, text.data ? (const void *)text.data : "", text.len,
                                   SQLITE_STATIC);
    case 'i':
        return sqlite3_bind_int64(stmt, i, va_arg(*args, int64_t));
    default:
        rn_assert(type == 'n');
        return sqlite3_bind_null(stmt, i);
    }
}

static int sql_prepare(struct ft_store *s, enum ft_sql id, sqlite3_stmt **ret, const char *types,
                       va_list *args)
{
    sqlite3_stmt *stmt = s->statements[id];
    int rc;

    if (!stmt) {
        rc = sqlite3_prepare_v3(s->db, statement_text[id], -1, SQLITE_PREPARE_PERSISTENT, &stmt,
                                NULL);
        if (rc != SQLITE_OK)
            return ft__sqlite_error(s->db, rc);
        s->statements[id] = stmt;
    }
    for (int i = 0; types[i]; i++) {
        rc = bind(stmt, i + 1, types[i], args);
        if (rc != SQLITE_OK)
            return ft__sqlite_error(s->db, rc);
    }
    *ret = stmt;
    return 0;
}

int ft__sql(struct ft_store *s, enum ft_sql id, sqlite3_stmt **ret, const char *types, ...)
{
    va_list args;
    int r;

    va_start(args, types);
    r = sql_prepare(s, id, ret, types, &args);
    va_end(args);
    return r;
}

int ft__sql_step(struct ft_store *s, sqlite3_stmt *stmt)
{
    const int rc = sqlite3_step(stmt);

    return rc == SQLITE_ROW ? 1 : ft__sqlite_error(s->db, rc);
}

void ft__sql_done(sqlite3_stmt **stmt)
{
    if (!*stmt)
        return;
    (void)sqlite3_reset(*stmt); /* repeats the error that step told */
    (void)sqlite3_clear_bindings(*stmt);
    *stmt = NULL;
}

int ft__sql_run(struct ft_store *s, enum ft_sql id, const char *types, ...)
{
    CLEANUP(ft__sql_done) sqlite3_stmt *stmt = NULL;
    va_list args;
    int r;

    va_start(args, types);
    r = sql_prepare(s, id, &stmt, types, &args);
    va_end(args);
    if (r < 0)
        return r;

    while ((r = ft__sql_step(s, stmt)) > 0)
        ;
    return r < 0 ? r : sqlite3_changes(s->db);
}

int ft__sql_get_int(struct ft_store *s, enum ft_sql id, int64_t *ret, const char *types, ...)
{
    CLEANUP(ft__sql_done) sqlite3_stmt *stmt = NULL;
    va_list args;
    int64_t value;
    int r;

    va_start(args, types);
    r = sql_prepare(s, id, &stmt, types, &args);
    va_end(args);
    if (r < 0)
        return r;

    r = ft__sql_step(s, stmt);
    if (r <= 0)
        return r < 0 ? r : -ENOENT;
    value = sqlite3_column_int64(stmt, 0);

    /* Only the end of an UPDATE ... RETURNING makes it happen. */
    while ((r = ft__sql_step(s, stmt)) > 0)
        ;
    if (r == 0)
        *ret = value;
    return r;
}

int ft__store_next(struct ft_store *s, const char *sequence, uint64_t *ret)
{
    int64_t value;
    const int r = ft__sql_get_int(s, FT_SQL_NEXT, &value, "s", rn_slice_str(sequence));

    if (r == 0)
        *ret = (uint64_t)value;
    return r;
}

struct rn_slice ft__column_slice(sqlite3_stmt *stmt, int column)
{
    const void *data = sqlite3_column_blob(stmt, column);

    return rn_slice(data ? data : "", (size_t)sqlite3_column_bytes(stmt, column));
}

void ft__column_text(sqlite3_stmt *stmt, int column, char *out, size_t size)
{
    const struct rn_slice text = ft__column_slice(stmt, column);
    const size_t n = text.len < size ? text.len : size - 1;

    memcpy(out, text.data, n);
    out[n] = '\0';
}

/* ---- A job ---- */

struct job {
    struct ft_store *store;
    enum ft_store_job_kind kind;
    int (*fn)(struct ft_store *s, void *arg);
    void *arg;
    struct ft_groups *groups; /* counted */
    struct ft_text_error error;
};

static int job_body(struct job *j)
{
    struct ft_store *s = j->store;
    int result, r;

    r = ft__sql_run(s, j->kind == FT_JOB_READ ? FT_SQL_BEGIN_READ : FT_SQL_BEGIN_WRITE, "");
    if (r < 0)
        return r;
    result = j->fn(s, j->arg);
    if (result < 0)
        return result;
    if (j->kind == FT_JOB_GROUPS) {
        r = ft__groups_load(s, &j->groups);
        if (r < 0)
            return r;
    }
    r = ft__sql_run(s, FT_SQL_COMMIT, "");
    return r < 0 ? r : result;
}

static int64_t monotonic_ns(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * RN_S + t.tv_nsec;
}

static int job_main(void *arg)
{
    struct job *j = arg;
    struct ft_store *s = j->store;
    const int64_t start = monotonic_ns();
    const int r = job_body(j);

    if (r < 0) {
        if (ft_store_error_is_storage(r))
            ft_text_error_set(&j->error, "%s: %s", sqlite3_errmsg(s->db), strerror(-r));
        /* Some failures have rolled back by themselves already. */
        if (!sqlite3_get_autocommit(s->db))
            (void)ft__sql_run(s, FT_SQL_ROLLBACK, "");
        j->groups = ft_groups_unref(j->groups);
    } else if (j->groups) {
        ft_groups_unref(s->groups);
        s->groups = ft_groups_ref(j->groups);
    }
    rnet_histogram_observe(&s->seconds, monotonic_ns() - start);
    return r;
}

static void remember_outcome(struct ft_store *s, const struct job *j, int r)
{
    const bool failed = ft_store_error_is_storage(r);

    if (failed)
        atomic_fetch_add_explicit(&s->failures, 1, memory_order_relaxed);
    rn_lock_acquire(&s->lock);
    if (failed)
        s->last_error = j->error;
    if (failed || j->kind != FT_JOB_READ)
        s->failing = failed;
    rn_lock_release(&s->lock);
}

int ft__store_run(struct ft_store *s, enum ft_store_job_kind kind,
                  int (*fn)(struct ft_store *s, void *arg), void *arg,
                  struct ft_groups **ret_groups)
{
    struct job j = {.store = s, .kind = kind, .fn = fn, .arg = arg};
    const int r = rn_blocking(s->thread, job_main, &j);

    if (r != -ECANCELED)
        remember_outcome(s, &j, r);
    if (r >= 0 && ret_groups)
        *ret_groups = j.groups;
    else
        ft_groups_unref(j.groups);
    return r;
}

/* ---- Opening ---- */

static int lock_folder(const char *dir, int *ret_fd, struct ft_text_error *reterr)
{
    char path[4096];
    int fd;

    (void)snprintf(path, sizeof(path), "%s/" FT_STORE_LOCK_FILE, dir);
    fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) {
        const int e = errno;

        ft_text_error_set(reterr, "%s: %s", path, strerror(e));
        return -e;
    }
    if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
        const int e = errno;

        (void)close(fd);
        ft_text_error_set(
            reterr,
            e == EWOULDBLOCK
                ? "%s: another fettled uses this folder: stop it, or give another --data"
                : "%s: cannot be locked",
            path);
        return e == EWOULDBLOCK ? -EBUSY : -e;
    }
    *ret_fd = fd;
    return 0;
}

static int check_ownership(sqlite3 *db)
{
    sqlite3_stmt *stmt = NULL;
    int64_t application = 0, tables = 0;
    int rc = sqlite3_prepare_v2(
        db,
        "SELECT (SELECT count(*) FROM sqlite_schema), application_id FROM pragma_application_id",
        -1, &stmt, NULL);

    if (rc == SQLITE_OK) {
        rc = sqlite3_step(stmt);
        tables = sqlite3_column_int64(stmt, 0);
        application = sqlite3_column_int64(stmt, 1);
    }
    (void)sqlite3_finalize(stmt);
    if (rc != SQLITE_ROW)
        return ft__sqlite_error(db, rc);
    return application == FT_STORE_APPLICATION || tables == 0 ? 0 : -EUCLEAN;
}

/* Configurations hold secrets, so the file is its owner's alone; SQLite gives the same mode to the
 * files beside it. */
static int file_create(const char *path)
{
    const int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

    if (fd < 0)
        return -errno;
    (void)close(fd);
    return 0;
}

static int database_open(const char *path, sqlite3 **ret)
{
    static const char settings[] =
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;"
        "PRAGMA trusted_schema = OFF; PRAGMA wal_autocheckpoint = 1000; PRAGMA journal_size_limit "
        "= 16777216;";
    sqlite3 *db = NULL;
    int r, rc = sqlite3_open_v2(path, &db,
                                SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX,
                                ft__fault_vfs());

    *ret = db; /* also on failure: it holds the message */
    if (rc != SQLITE_OK)
        return ft__sqlite_error(db, rc);
    (void)sqlite3_extended_result_codes(db, 1);
    (void)sqlite3_busy_timeout(db, 5000); /* somebody with a shell may look into the file */
    if (sqlite3_db_readonly(db, "main") == 1)
        return -EROFS;
    r = check_ownership(db);
    if (r < 0)
        return r;
    rc = sqlite3_exec(db, settings, NULL, NULL, NULL);
    return ft__sqlite_error(db, rc);
}

struct opening {
    struct ft_store *store;
    const char *dir;
    struct ft_text_error *reterr;
};

static const char *open_advice(int r)
{
    switch (r) {
    case -EUCLEAN:
        return "not a database of fettled, or damaged: restore it or give another --data";
    case -ENOTSUP:
        return "made by a newer fettled: use that one, or give another --data";
    default:
        return strerror(-r);
    }
}

static int open_main(void *arg)
{
    struct opening *o = arg;
    char path[4096];
    int r;

    r = lock_folder(o->dir, &o->store->lock_fd, o->reterr);
    if (r < 0)
        return r;

    (void)snprintf(path, sizeof(path), "%s/" FT_STORE_FILE, o->dir);
    r = file_create(path);
    if (r < 0) {
        ft_text_error_set(o->reterr, "%s: %s", path, strerror(-r));
        return r;
    }
    r = database_open(path, &o->store->db);
    if (r == 0)
        r = ft__schema_migrate(o->store->db, ft__schema_scripts, ft__schema_count);
    if (r < 0) {
        ft_text_error_set(o->reterr, "%s: %s (%s)", path, open_advice(r),
                          o->store->db ? sqlite3_errmsg(o->store->db) : "no memory");
        return r;
    }
    return 0;
}

static int close_main(void *arg)
{
    struct ft_store *s = arg;

    for (size_t i = 0; i < FT_SQL_COUNT; i++)
        (void)sqlite3_finalize(s->statements[i]);
    (void)sqlite3_close(s->db);
    s->groups = ft_groups_unref(s->groups);
    return 0;
}

static int groups_only(struct ft_store *s, void *arg)
{
    (void)s;
    (void)arg;
    return 0;
}

int ft_store_open(const char *dir, struct ft_store **ret, struct ft_text_error *reterr)
{
    CLEANUP(ft_store_closep) struct ft_store *s = calloc(1, sizeof(*s));
    struct opening o = {s, dir, reterr};
    struct ft_groups *groups = NULL;
    int r;

    ft_text_error_set(reterr, "%s: no memory", dir);
    if (!s)
        return -ENOMEM;
    s->lock_fd = -1;
    s->seconds = (struct rnet_histogram)RNET_HISTOGRAM_INIT;

    r = rn_class_open("store", 1, &s->thread);
    if (r < 0)
        return r;
    r = rn_blocking(s->thread, open_main, &o);
    if (r < 0)
        return r;
    r = ft__store_run(s, FT_JOB_GROUPS, groups_only, NULL, &groups);
    if (r < 0) {
        ft_text_error_set(reterr, "%s/" FT_STORE_FILE ": %s", dir,
                          s->last_error.text[0] ? s->last_error.text : strerror(-r));
        return r;
    }
    ft_groups_unref(groups);

    *ret = TAKE(s);
    return 0;
}

void ft_store_close(struct ft_store *s)
{
    if (!s)
        return;
    if (s->thread) {
        /* A store is closed also by a task that has been cancelled. */
        if (rn_shield_begin(rn_after(60 * RN_S)) == 0) {
            (void)rn_blocking(s->thread, close_main, s);
            rn_shield_end();
        }
        rn_class_close(s->thread);
    }
    if (s->lock_fd >= 0)
        (void)close(s->lock_fd);
    free(s);
}

void ft_store_closep(struct ft_store **s)
{
    ft_store_close(*s);
    *s = NULL;
}

bool ft_store_last_error(struct ft_store *s, struct ft_text_error *ret)
{
    bool failing;

    rn_lock_acquire(&s->lock);
    failing = s->failing;
    if (failing)
        *ret = s->last_error;
    rn_lock_release(&s->lock);
    return failing;
}

const struct rnet_histogram *ft_store_seconds(const struct ft_store *s)
{
    return &s->seconds;
}

uint64_t ft_store_failures(const struct ft_store *s)
{
    return atomic_load_explicit(&s->failures, memory_order_relaxed);
}
