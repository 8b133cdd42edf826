/* The schema, as the list of scripts that lead to it. The database's user_version says how many of
 * them it has seen; each runs in a transaction of its own together with the new number, so a crash
 * between two of them is no harm. A script that was released is never changed: the next one
 * corrects it.
 */
#include "store/sqlite.h"

#include <errno.h>
#include <stdio.h>

static const char script_1[] =
    "PRAGMA application_id = 1718905905;" /* FT_STORE_APPLICATION */
    "CREATE TABLE meta (name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;"
    "CREATE TABLE sequences (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;"
    "INSERT INTO sequences VALUES ('revision', 1), ('assignment', 0);"

    /* A body is kept once, however many versions have it. */
    "CREATE TABLE bodies (id INTEGER PRIMARY KEY, hash BLOB NOT NULL UNIQUE, body BLOB NOT NULL);"

    "CREATE TABLE configurations (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, comment TEXT "
    "NOT NULL,"
    " created_ms INTEGER NOT NULL, updated_ms INTEGER NOT NULL, revision INTEGER NOT NULL);"

    /* hash: what agents compare; content: hash and template flags, what makes two versions the
       same. */
    "CREATE TABLE versions (id INTEGER PRIMARY KEY, configuration INTEGER NOT NULL REFERENCES "
    "configurations (id),"
    " number INTEGER NOT NULL, hash BLOB NOT NULL, content BLOB NOT NULL, comment TEXT NOT NULL, "
    "created_ms INTEGER NOT NULL,"
    " UNIQUE (configuration, number), UNIQUE (configuration, content));"

    "CREATE TABLE objects (version INTEGER NOT NULL REFERENCES versions (id), name TEXT NOT NULL, "
    "content_type TEXT NOT NULL,"
    " is_template INTEGER NOT NULL, body INTEGER NOT NULL REFERENCES bodies (id), PRIMARY KEY "
    "(version, name)) WITHOUT ROWID;"

    "CREATE TABLE agent_groups (name TEXT PRIMARY KEY, selector TEXT NOT NULL, priority INTEGER "
    "NOT NULL,"
    " version INTEGER REFERENCES versions (id), assignment INTEGER NOT NULL, assigned_ms INTEGER "
    "NOT NULL,"
    " revision INTEGER NOT NULL, created_ms INTEGER NOT NULL, updated_ms INTEGER NOT NULL) WITHOUT "
    "ROWID;"
    "INSERT INTO agent_groups VALUES ('default', '', 0, NULL, 0, 0, 1,"
    " CAST(strftime('%s', 'now') AS INTEGER) * 1000, CAST(strftime('%s', 'now') AS INTEGER) * "
    "1000);"

    "CREATE TABLE variables (group_name TEXT NOT NULL REFERENCES agent_groups (name) ON DELETE "
    "CASCADE, name TEXT NOT NULL,"
    " value TEXT NOT NULL, PRIMARY KEY (group_name, name)) WITHOUT ROWID;"

    "CREATE TABLE agents (uid BLOB PRIMARY KEY, sequence_num INTEGER NOT NULL, last_seen_ms "
    "INTEGER NOT NULL, record BLOB NOT NULL);";

const char *const ft__schema_scripts[] = {script_1};
const size_t      ft__schema_count = sizeof(ft__schema_scripts) / sizeof(ft__schema_scripts[0]);

static int user_version(sqlite3 *db, int64_t *ret)
{
    sqlite3_stmt *stmt = NULL;
    int           rc = sqlite3_prepare_v2(db, "PRAGMA user_version", -1, &stmt, NULL);

    if (rc == SQLITE_OK && (rc = sqlite3_step(stmt)) == SQLITE_ROW)
        *ret = sqlite3_column_int64(stmt, 0);
    (void)sqlite3_finalize(stmt);
    return ft__sqlite_error(db, rc);
}

static int run_script(sqlite3 *db, const char *script, size_t number)
{
    char end[64];
    int  rc;

    (void)snprintf(end, sizeof(end), "PRAGMA user_version = %zu; COMMIT;", number);
    rc = sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_exec(db, script, NULL, NULL, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_exec(db, end, NULL, NULL, NULL);
    if (rc != SQLITE_OK) {
        const int r = ft__sqlite_error(db, rc);

        (void)sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL);
        return r;
    }
    return 0;
}

int ft__schema_migrate(sqlite3 *db, const char *const scripts[], size_t n)
{
    int64_t   have = 0;
    const int r = user_version(db, &have);

    if (r < 0)
        return r;
    if (have < 0 || (uint64_t)have > n)
        return -ENOTSUP;

    for (size_t i = (size_t)have; i < n; i++) {
        const int e = run_script(db, scripts[i], i + 1);

        if (e < 0)
            return e;
    }
    return 0;
}
