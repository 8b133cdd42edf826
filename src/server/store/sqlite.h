/* Inside the SQLite store: the connection, its statements, and how a call becomes a transaction on
 * the store's own thread. */
#pragma once

#include <stdatomic.h>
#include <stdarg.h>

#include <sqlite3.h>

#include <runnel/blocking.h>
#include <runnel/lock.h>
#include <runnel/task.h>

#include <proto/buf.h>

#include "store/statements.h"
#include "store/store.h"

#define FT_STORE_FILE "fettle.db"
#define FT_STORE_LOCK_FILE "fettle.lock"
#define FT_STORE_APPLICATION 0x66746c31 /* "ftl1" in the file's header: it is ours */

#define FT_STORE_VERSION_BYTES_MAX                                                                 \
    ((size_t)512 << 20) /* texts of one version; message_max keeps it far below */

struct ft_store {
    /* set once in ft_store_open() */
    struct rn_class *thread; /* of exactly one thread */
    int lock_fd;

    /* the store's thread only */
    sqlite3 *db;
    sqlite3_stmt *statements[FT_SQL_COUNT]; /* prepared when first used */
    struct ft_groups
        *groups; /* as of the last commit; counted; what did not change is taken from here */

    /* lock; tasks only */
    struct rn_lock lock;
    bool failing;
    struct ft_text_error last_error;

    /* any thread */
    struct rnet_histogram seconds;
    _Atomic uint64_t failures;
};

/* ---- The store's thread only, all below but ft__store_run(). ---- */

/* Map what SQLite says to -Exxx; 0 for SQLITE_OK, _ROW and _DONE. */
int ft__sqlite_error(sqlite3 *db, int rc);

/* A statement with its parameters bound, per letter of `types`: s struct rn_slice as text, b struct
 * rn_slice as blob, i int64_t, n NULL (no argument). The slices must stay until ft__sql_done(). */
int ft__sql(struct ft_store *s, enum ft_sql id, sqlite3_stmt **ret, const char *types, ...);
/* 1: a row; 0: the end; -Exxx. */
int ft__sql_step(struct ft_store *s, sqlite3_stmt *stmt);
void ft__sql_done(sqlite3_stmt **stmt); /* for CLEANUP(): ready for its next use */
/* A statement whose rows nobody reads. Returns the number of rows it changed, or -Exxx. */
int ft__sql_run(struct ft_store *s, enum ft_sql id, const char *types, ...);
/* The single integer that it answers with; -ENOENT when it answers nothing. */
int ft__sql_get_int(struct ft_store *s, enum ft_sql id, int64_t *ret, const char *types, ...);
/* The number after the last one of sequence "revision" or "assignment". */
int ft__store_next(struct ft_store *s, const char *sequence, uint64_t *ret);

struct rn_slice ft__column_slice(sqlite3_stmt *stmt, int column);
/* Cut to `size` and terminated. */
void ft__column_text(sqlite3_stmt *stmt, int column, char *out, size_t size);

/* schema.c: run scripts[user_version..n) each in a transaction of its own. -ENOTSUP: the file is
 * newer than n. */
int ft__schema_migrate(sqlite3 *db, const char *const scripts[], size_t n);
extern const char *const ft__schema_scripts[];
extern const size_t ft__schema_count;

/* versions.c, for groups.c */
int ft__version_load(struct ft_store *s, int64_t id, struct ft_version **ret);
int ft__version_id(struct ft_store *s, struct rn_slice configuration, uint32_t number,
                   int64_t *ret);
int ft__version_find_or_add(struct ft_store *s, int64_t configuration,
                            const struct ft_objects *objects, struct rn_slice comment,
                            struct ft_version_head *ret, int64_t *ret_id, bool *ret_created);
int ft__configuration_find_or_add(struct ft_store *s, struct rn_slice name, int64_t *ret_id);

/* groups.c */
int ft__groups_load(struct ft_store *s, struct ft_groups **ret);

/* ---- From a task. ---- */

enum ft_store_job_kind {
    FT_JOB_READ,
    FT_JOB_WRITE,
    FT_JOB_GROUPS, /* a write after which the table of groups is another one */
};

/* Run fn(s, arg) on the store's thread inside one transaction: committed if it returns >= 0, else
 * rolled back. Returns what fn returned, or why the transaction failed. With FT_JOB_GROUPS
 * *ret_groups is the new table. */
int ft__store_run(struct ft_store *s, enum ft_store_job_kind kind,
                  int (*fn)(struct ft_store *s, void *arg), void *arg,
                  struct ft_groups **ret_groups);
