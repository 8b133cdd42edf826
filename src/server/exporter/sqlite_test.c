#include "exporter/testing.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <sqlite3.h>

#include <runnel/task.h>

#define ALLOW_SQLITE() test_heap_allow(160 * 1024) /* its tables for the life of the process */

static struct rig *rig_at(const char *path)
{
    const struct ft_sqlite_settings settings = {.head = {.name = "local", .required = true},
                                                .path = path};

    return rig_new(&ft_exporter_sqlite, &settings);
}

static sqlite3 *reader_open(const char *path)
{
    sqlite3 *db;

    EQ(sqlite3_open_v2(path, &db, SQLITE_OPEN_READONLY, NULL), SQLITE_OK);
    (void)sqlite3_busy_timeout(db, 5000);
    return db;
}

/* The one value that a query answers with, as text. */
static const char *query(sqlite3 *db, const char *sql)
{
    static char text[2000];
    sqlite3_stmt *stmt;

    if (sqlite3_prepare_v2(db, sql, -1, &stmt, NULL) != SQLITE_OK)
        FAIL("%s: %s", sql, sqlite3_errmsg(db));
    EQ(sqlite3_step(stmt), SQLITE_ROW);
    (void)snprintf(text, sizeof(text), "%s",
                   sqlite3_column_type(stmt, 0) == SQLITE_NULL
                       ? "NULL"
                       : (const char *)sqlite3_column_text(stmt, 0));
    (void)sqlite3_finalize(stmt);
    return text;
}

TEST(the_table_is_the_one_of_the_contract)
{
    ALLOW_SQLITE();
    struct rig *g = rig_at("metrics.db");
    sqlite3 *db;

    OK(rig_open(g));
    rig_fill(g, 1, 2);
    OK(rig_send(g, RN_FOREVER));
    EQ(rig_count(g, FT_VERDICT_OK), 2);
    db = reader_open(rig_path("metrics.db"));
    STREQ(query(db, "SELECT group_concat(name) FROM pragma_table_info('process_metrics')"),
          "agent_id,boot_id,seq,timestamp,process_name,host_name,ip,pid,cmd,cpu_usage_rate,mem_"
          "usage,send_lines");
    STREQ(query(db, "SELECT group_concat(name) FROM (SELECT name FROM "
                    "pragma_table_info('process_metrics') WHERE pk ORDER BY pk)"),
          "timestamp,agent_id,boot_id,seq");
    STREQ(
        query(
            db,
            "SELECT sql LIKE '%WITHOUT ROWID%' FROM sqlite_master WHERE name = 'process_metrics'"),
        "1");
    STREQ(query(db, "SELECT count(*) FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL"),
          "0");
    STREQ(query(db, "PRAGMA journal_mode"), "wal");
    STREQ(query(db, "SELECT agent_id FROM process_metrics WHERE seq = 1"), g->batches[0]->agent_id);
    STREQ(query(db, "SELECT cpu_usage_rate FROM process_metrics WHERE seq = 1"), "NULL");
    STREQ(query(db, "SELECT cpu_usage_rate FROM process_metrics WHERE seq = 2"), "0.1");
    STREQ(query(db, "SELECT cmd || pid || timestamp || mem_usage || send_lines FROM "
                    "process_metrics WHERE seq = 2"),
          "./shipper --config \"a b\"42170000000000210485762");
    EQ(sqlite3_close(db), SQLITE_OK);
    rig_free(g);
}

TEST(what_is_in_the_table_is_a_duplicate_also_after_a_restart)
{
    ALLOW_SQLITE();
    struct rig *g = rig_at("metrics.db");

    OK(rig_open(g));
    rig_fill(g, 1, 10);
    OK(rig_send(g, RN_FOREVER));
    rig_fill(g, 6, 10);
    OK(rig_send(g, RN_FOREVER));
    EQ(rig_count(g, FT_VERDICT_DUPLICATE), 5);
    EQ(rig_count(g, FT_VERDICT_OK), 5);
    EQ(g->verdicts[4].kind, FT_VERDICT_DUPLICATE);
    rig_free(g);
    g = rig_at("metrics.db");
    OK(rig_open(g));
    rig_fill(g, 1, 20);
    OK(rig_send(g, RN_FOREVER));
    EQ(rig_count(g, FT_VERDICT_DUPLICATE), 15);
    rig_free(g);
}

TEST(a_number_that_sqlite_cannot_hold_rejects_its_sample_alone)
{
    ALLOW_SQLITE();
    struct rig *g = rig_at("metrics.db");
    struct ft_sample s[3] = {rig_sample(1), rig_sample(2), rig_sample(3)};

    s[1].mem_usage = UINT64_MAX;
    OK(rig_open(g));
    rig_add(g, s, 3);
    OK(rig_send(g, RN_FOREVER));
    EQ(rig_count(g, FT_VERDICT_OK), 2);
    EQ(g->verdicts[1].kind, FT_VERDICT_REJECT);
    STREQ(ft_answer_reason(&g->answer, 1), "a number is over 2^63-1");
    rig_free(g);
}

struct reading {
    _Atomic bool stop;
    _Atomic int rounds;
};

static void *read_on(void *arg)
{
    struct reading *r = arg;
    sqlite3 *db = reader_open(rig_path("metrics.db"));
    long before = 0;

    while (!atomic_load(&r->stop)) {
        const long n = atol(query(db, "SELECT count(*) FROM process_metrics"));

        GE(n, before);
        EQ(n % 100, 0); /* transactions are seen whole */
        before = n;
        atomic_fetch_add(&r->rounds, 1);
    }
    EQ(sqlite3_close(db), SQLITE_OK);
    return NULL;
}

TEST(others_read_while_it_writes)
{
    ALLOW_SQLITE();
    struct rig *g = rig_at("metrics.db");
    struct reading r = {0};
    pthread_t thread;

    (void)rig_path(""); /* the reader shares the static text: same name from now on */
    OK(rig_open(g));
    (void)rig_path("metrics.db");
    EQ(pthread_create(&thread, NULL, read_on, &r), 0);
    for (uint64_t i = 0; i < 200 || atomic_load(&r.rounds) < 3; i++) {
        rig_fill(g, 1 + 100 * i, 100);
        OK(rig_send(g, RN_FOREVER));
    }
    atomic_store(&r.stop, true);
    EQ(pthread_join(thread, NULL), 0);
    rig_free(g);
}

TEST(a_full_disk_holds_everything_and_passes_when_there_is_space)
{
    ALLOW_SQLITE();
    struct rig *g = rig_at("disk/metrics.db");
    sqlite3 *db;
    uint64_t sent = 0;
    int r;

    small_disk_mount("2m");
    OK(rig_open(g));
    for (int round = 0; round < 3; round++) {
        small_disk_fill();
        do { /* the log may have room left from before */
            rig_fill(g, sent + 1, 500);
            r = rig_send(g, RN_FOREVER);
            if (r == 0)
                sent += 500;
        } while (r == 0);
        EQ(rig_count(g, FT_VERDICT_HOLD), 500);
        if (!strstr(ft_answer_reason(&g->answer, 0), "free space"))
            FAIL("the reason is no help: %s", ft_answer_reason(&g->answer, 0));
        OK(-(rig_send(g, RN_FOREVER) == 0)); /* still full */
        small_disk_free();
        OK(rig_send(g, RN_FOREVER)); /* the very same rows */
        EQ(rig_count(g, FT_VERDICT_OK), 500);
        sent += 500;
    }
    db = reader_open(rig_path("disk/metrics.db"));
    EQ(atol(query(db, "SELECT count(*) FROM process_metrics")), sent);
    STREQ(query(db, "PRAGMA integrity_check"), "ok");
    EQ(sqlite3_close(db), SQLITE_OK);
    rig_free(g);
}

/* ---- keep ---- */

static int64_t now_ms(void)
{
    struct timespec ts;

    (void)clock_gettime(CLOCK_REALTIME, &ts);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* Samples first, first + 1, ... that were taken so long ago. */
static void send_aged(struct rig *g, uint64_t first, size_t n, int64_t age_ms)
{
    static struct ft_sample samples[2000];

    rig_forget(g);
    for (size_t i = 0; i < n; i++) {
        samples[i] = rig_sample(first + i);
        samples[i].timestamp_ms = now_ms() - age_ms;
    }
    rig_add(g, samples, n);
    OK(rig_send(g, RN_FOREVER));
}

static struct rig *rig_keeping(rn_time keep)
{
    const struct ft_sqlite_settings settings = {
        .head = {.name = "local"}, .path = "metrics.db", .keep = keep};
    struct rig *g = rig_new(&ft_exporter_sqlite, &settings);

    OK(rig_open(g));
    return g;
}

TEST(rows_that_are_too_old_are_deleted_in_small_steps)
{
    ALLOW_SQLITE();
    struct rig *g = rig_keeping(3600 * RN_S);
    sqlite3 *db;
    rn_time pause;
    long left, steps = 0;

    send_aged(g, 1, 1200, 2 * 3600 * 1000);
    send_aged(g, 2001, 10, 1000);
    db = reader_open(rig_path("metrics.db"));
    do {
        OK(ft_exporter_sqlite.tend(g->self, &pause, &g->error));
        steps++;
        left = atol(query(db, "SELECT count(*) FROM process_metrics"));
        EQ(left, steps < 3 ? 1210 - 500 * steps : 10);
        if (left > 10)
            TRUE(pause < RN_S);
    } while (left > 10);
    OK(ft_exporter_sqlite.tend(g->self, &pause, &g->error));
    EQ(steps, 3);
    TRUE(pause >= RN_S && pause != RN_FOREVER);
    EQ(sqlite3_close(db), SQLITE_OK);
    rig_free(g);
}

TEST(without_keep_nothing_is_ever_deleted)
{
    ALLOW_SQLITE();
    struct rig *g = rig_keeping(0);
    sqlite3 *db;
    rn_time pause = 0;

    send_aged(g, 1, 10, INT64_C(1000) * 86400 * 1000);
    OK(ft_exporter_sqlite.tend(g->self, &pause, &g->error));
    EQ(pause, RN_FOREVER);
    db = reader_open(rig_path("metrics.db"));
    STREQ(query(db, "SELECT count(*) FROM process_metrics"), "10");
    EQ(sqlite3_close(db), SQLITE_OK);
    rig_free(g);
}

TEST(the_space_of_deleted_rows_is_given_back)
{
    ALLOW_SQLITE();
    struct rig *g = rig_keeping(3600 * RN_S);
    sqlite3 *db;
    rn_time pause;

    for (uint64_t i = 0; i < 5; i++)
        send_aged(g, 1 + 2000 * i, 2000, 2 * 3600 * 1000);
    db = reader_open(rig_path("metrics.db"));
    const long before = atol(query(db, "PRAGMA page_count"));
    do
        OK(ft_exporter_sqlite.tend(g->self, &pause, &g->error));
    while (pause < RN_S);
    TRUE(atol(query(db, "PRAGMA page_count")) < before / 4);
    EQ(sqlite3_close(db), SQLITE_OK);
    rig_free(g);
}

TEST(a_file_that_was_removed_is_made_anew)
{
    ALLOW_SQLITE();
    struct rig *g = rig_at("metrics.db");
    sqlite3 *db;

    OK(rig_open(g));
    rig_fill(g, 1, 5);
    OK(rig_send(g, RN_FOREVER));
    OK(unlink(rig_path("metrics.db")));
    (void)unlink(rig_path("metrics.db-wal"));
    (void)unlink(rig_path("metrics.db-shm"));
    rig_fill(g, 6, 5);
    OK(rig_send(g, RN_FOREVER));
    db = reader_open(rig_path("metrics.db"));
    STREQ(query(db, "SELECT count(*) FROM process_metrics"), "5");
    EQ(sqlite3_close(db), SQLITE_OK);
    rig_free(g);
}

TEST(a_file_that_is_no_database_is_told_and_left_alone)
{
    ALLOW_SQLITE();
    struct rig *g = rig_at("metrics.db");
    FILE *f = fopen(rig_path("metrics.db"), "w");

    for (int i = 0; i < 1000; i++)
        (void)fputs("this is no database\n", f);
    (void)fclose(f);
    ERR(rig_open(g), EIO);
    TRUE(strstr(g->error.text, "metrics.db: ") &&
         strstr(g->error.text, "move the damaged file away"));
    OK(unlink(rig_path("metrics.db")));
    OK(rig_open(g)); /* tried again */
    rig_free(g);
}

TEST(a_missing_folder_is_told_and_passes_when_it_is_made)
{
    ALLOW_SQLITE();
    struct rig *g = rig_at("there/metrics.db");

    ERR(rig_open(g), EIO);
    TRUE(strstr(g->error.text, "there/metrics.db"));
    OK(mkdir(rig_path("there"), 0700));
    OK(rig_open(g));
    rig_free(g);
}
