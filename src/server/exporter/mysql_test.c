/* The rows by themselves, and then a real MariaDB on a private socket (a counted skip where it is
 * not installed). */
#include "exporter/testing.h"

#include <signal.h>
#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <mysql.h>

#include <runnel/task.h>

#include "exporter/mysql_rows.h"

extern char **environ;

static struct rig *rig_at(const char *host)
{
    const struct ft_mysql_settings settings = {
        .head = {.name = "my"}, .host = host, .port = 1, .user = "root", .database = "fettle"};

    return rig_new(&ft_exporter_mysql, &settings);
}

static struct ft_mysql_settings *settings_of(struct rig *g)
{
    return g->self;
}

/* ---- rows ---- */

TEST(a_row_is_a_tuple_with_its_texts_escaped_and_without_a_newline)
{
    struct rig *g = rig_at("127.0.0.1");
    struct ft_sample s[2] = {rig_sample(1), rig_sample(2)};
    struct ft_rows rows = {g->rows, 2};
    struct rn_slice body, row;
    char wanted[2000];

    s[1].cmd = rn_slice_str("it's \\ \"x\"\n\r\x1a\xf0\x9f\x98\x80");
    rig_add(g, s, 2);
    OK(ft_exporter_mysql.encode(g->self, &rows, &g->body));
    (void)snprintf(wanted, sizeof(wanted),
                   "('%s','%s',1,1700000000001,'shipper','web-1','10.0.0.1',42,'./shipper --config "
                   "\\\"a b\\\"',NULL,1048576,1)\n"
                   "('%s','%s',2,1700000000002,'shipper','web-1','10.0.0.1',42,'it\\'s \\\\ "
                   "\\\"x\\\"\\n\\r\\Z\xf0\x9f\x98\x80',0.1,"
                   "1048576,2)\n",
                   g->rows[0].batch->agent_id, g->rows[0].batch->boot_id,
                   g->rows[0].batch->agent_id, g->rows[0].batch->boot_id);
    body = ft_buf_slice(&g->body);
    EQ(body.len, strlen(wanted));
    MEMEQ(body.data, wanted, body.len);
    TRUE(ft_mysql_next_row(&body, &row));
    EQ(row.data[row.len - 1], ')');
    TRUE(ft_mysql_next_row(&body, &row));
    FALSE(ft_mysql_next_row(&body, &row));
    rig_free(g);
}

TEST(errors_are_about_a_row_the_statement_a_person_or_time)
{
    static const unsigned row[] = {1264, 1366, 1406, 1292, 1364, 1367},
                          person[] = {1045, 1044, 1049, 1146, 1290, 1114},
                          lost[] = {2002, 2006, 2013, 1053, 1040, 9999};

    for (size_t i = 0; i < 6; i++) {
        EQ(ft_mysql_kind(row[i]), FT_MYSQL_ROW);
        EQ(ft_mysql_kind(person[i]), FT_MYSQL_HOLD);
        EQ(ft_mysql_kind(lost[i]), FT_MYSQL_LOST);
    }
    EQ(ft_mysql_kind(1213), FT_MYSQL_LATER);
    EQ(ft_mysql_kind(1153), FT_MYSQL_LARGE);
}

TEST(an_error_names_its_row_at_its_end_and_nowhere_else)
{
    EQ(ft_mysql_named_row("Out of range value for column 'pid' at row 2"), 2);
    EQ(ft_mysql_named_row(
           "Incorrect integer value: 'x at row 7' for column `t`.`s`.`pid` at row 31"),
       31);
    EQ(ft_mysql_named_row("Incorrect value: ' at row 7' for column pid"), 0);
    EQ(ft_mysql_named_row("Duplicate entry 'a' for key 'PRIMARY'"), 0);
    EQ(ft_mysql_named_row(" at row "), 0);
    EQ(ft_mysql_named_row(" at row -1"), 0);
    EQ(ft_mysql_named_row(""), 0);
}

TEST(a_server_that_is_not_there_is_an_error_and_no_wait)
{
    test_heap_allow(1 << 20);
    struct rig *g = rig_at("127.0.0.1");

    ERR(rig_open(g), EIO);
    TRUE(strncmp(g->error.text, "2002: Can't connect to", 22) == 0);
    settings_of(g)->password_file = "/nowhere/pw";
    ERR(rig_open(g), EACCES);
    TRUE(strstr(g->error.text, "/nowhere/pw: No such file") != NULL);
    rig_free(g);
}

/* ---- a real server ---- */

struct maria {
    pid_t pid;
    char socket[300];
    MYSQL *db; /* as root */
};

static pid_t spawn(const char *const *argv)
{
    posix_spawn_file_actions_t actions;
    pid_t pid;
    int r;

    OK(-posix_spawn_file_actions_init(&actions));
    OK(-posix_spawn_file_actions_addopen(&actions, 1, rig_path("maria.log"),
                                         O_WRONLY | O_CREAT | O_APPEND, 0600));
    OK(-posix_spawn_file_actions_adddup2(&actions, 1, 2));
    r = posix_spawnp(&pid, argv[0], &actions, NULL, (char *const *)argv, environ);
    OK(-posix_spawn_file_actions_destroy(&actions));
    return r == 0 ? pid : -1;
}

static void server_start(struct maria *m)
{
    char datadir[400], sock[400];
    const char *const argv[] = {"/usr/sbin/mariadbd",
                                "--no-defaults",
                                geteuid() == 0 ? "--user=root" : "--loose-fettle",
                                datadir,
                                sock,
                                "--skip-networking",
                                "--innodb-buffer-pool-size=16M",
                                "--performance-schema=OFF",
                                "--innodb-flush-log-at-trx-commit=2",
                                NULL};

    (void)snprintf(datadir, sizeof(datadir), "--datadir=%s/db", test_dir());
    (void)snprintf(m->socket, sizeof(m->socket), "%s/s", test_dir());
    (void)snprintf(sock, sizeof(sock), "--socket=%s", m->socket);
    m->pid = spawn(argv);
    GT(m->pid, 0);
    UNTIL((m->db = mysql_init(NULL)) != NULL &&
          (mysql_real_connect(m->db, NULL, "root", NULL, NULL, 0, m->socket, 0) != NULL ||
           (mysql_close(m->db), false)));
}

static void server_stop(struct maria *m)
{
    int status;

    mysql_close(m->db);
    OK(kill(m->pid, SIGKILL));
    EQ(waitpid(m->pid, &status, 0), m->pid);
}

static void run_sql(struct maria *m, const char *sql)
{
    if (mysql_query(m->db, sql) != 0)
        FAIL("%s: %s", sql, mysql_error(m->db));
}

static const char *query(struct maria *m, const char *sql)
{
    static char text[3000];
    MYSQL_RES *result;
    MYSQL_ROW row;

    run_sql(m, sql);
    result = mysql_store_result(m->db);
    row = mysql_fetch_row(result);
    (void)snprintf(text, sizeof(text), "%s", row ? row[0] ? row[0] : "NULL" : "no row");
    mysql_free_result(result);
    return text;
}

/* With a database `fettle`. */
static void server_make(struct maria *m)
{
    char datadir[400];
    const char *const argv[] = {"mariadb-install-db",
                                "--no-defaults",
                                geteuid() == 0 ? "--user=root" : "--loose-fettle",
                                datadir,
                                "--auth-root-authentication-method=normal",
                                "--skip-test-db",
                                NULL};
    int status;
    pid_t pid;

    test_heap_allow(1 << 20);
    if (access("/usr/sbin/mariadbd", X_OK) < 0 || access("/usr/bin/mariadb-install-db", X_OK) < 0)
        SKIP("mariadb-server-core is not installed");
    (void)snprintf(datadir, sizeof(datadir), "--datadir=%s/db", test_dir());
    pid = spawn(argv);
    GT(pid, 0);
    EQ(waitpid(pid, &status, 0), pid);
    EQ(status, 0);
    server_start(m);
    run_sql(m, "CREATE DATABASE fettle CHARACTER SET latin1"); /* the table has a character set of
                                                                  its own */
    run_sql(m, "USE fettle");
}

TEST(mariadb_has_each_sample_once_whatever_is_sent_again)
{
    struct maria m;
    struct rig *g;
    struct ft_sample odd[3] = {rig_sample(9001), rig_sample(9002), rig_sample(9003)};

    server_make(&m);
    g = rig_at(m.socket);
    OK(rig_open(g));
    STREQ(query(&m, "SELECT GROUP_CONCAT(column_name ORDER BY ordinal_position) FROM "
                    "information_schema.columns"
                    " WHERE table_name = 'process_metrics'"),
          "agent_id,boot_id,seq,timestamp,process_name,host_name,ip,pid,cmd,cpu_usage_rate,mem_"
          "usage,send_lines");

    rig_fill(g, 1, 2500); /* three statements */
    OK(rig_send(g, rn_now() + 20 * RN_S));
    EQ(rig_count(g, FT_VERDICT_OK), 2500);
    OK(rig_send(g, rn_now() + 20 * RN_S));
    EQ(rig_count(g, FT_VERDICT_DUPLICATE), 2500);
    rig_fill(g, 2401, 200); /* half of them are there */
    OK(rig_send(g, rn_now() + 20 * RN_S));
    for (size_t i = 0; i < 200; i++)
        EQ(g->verdicts[i].kind, i < 100 ? FT_VERDICT_DUPLICATE : FT_VERDICT_OK);
    STREQ(query(&m, "SELECT COUNT(*) FROM process_metrics"), "2600");
    STREQ(query(&m, "SELECT COUNT(DISTINCT seq) FROM process_metrics WHERE (seq = 1) = "
                    "(cpu_usage_rate IS NULL)"),
          "2600");

    odd[0].cmd = rn_slice_str(
        "it's \\ \"x\"\n\r\x1a%_ \xf0\x9f\x98\x80 '); DROP TABLE process_metrics; -- ");
    odd[1].mem_usage = odd[1].send_lines = UINT64_MAX;
    odd[1].timestamp_ms = INT64_MIN;
    odd[2].cpu_usage_rate = 1e-300;
    rig_forget(g);
    rig_add(g, odd, 3);
    rig_add(g, &odd[2], 1); /* twice in one send */
    OK(rig_send(g, rn_now() + 20 * RN_S));
    EQ(rig_count(g, FT_VERDICT_OK), 3);
    EQ(g->verdicts[3].kind, FT_VERDICT_DUPLICATE);
    STREQ(query(&m, "SELECT HEX(cmd) FROM process_metrics WHERE seq = 9001"),
          "69742773205C20227822"
          "0A0D1A255F20F09F988020"
          "27293B2044524F50205441424C452070726F636573735F6D6574726963733B202D2D20");
    STREQ(query(&m, "SELECT mem_usage FROM process_metrics WHERE seq = 9002"),
          "18446744073709551615");
    STREQ(query(&m, "SELECT cpu_usage_rate FROM process_metrics WHERE seq = 9003"), "1e-300");
    rig_free(g);
    server_stop(&m);
}

TEST(mariadb_rejects_the_rows_that_do_not_fit_and_stores_the_others)
{
    struct maria m;
    struct rig *g;
    struct ft_sample s[60];

    server_make(&m);
    g = rig_at(m.socket);
    OK(rig_open(g));
    run_sql(&m, "ALTER TABLE process_metrics MODIFY pid TINYINT UNSIGNED NOT NULL, MODIFY cmd "
                "VARCHAR(30) NOT NULL");

    for (size_t i = 0; i < 60; i++)
        s[i] = rig_sample(i + 1);
    s[3].pid = s[7].pid = 1000;
    s[8].cmd = rn_slice_str("longer than thirty characters, that is what it is");
    rig_add(g, s, 60);
    OK(rig_send(g, rn_now() + 20 * RN_S));
    EQ(rig_count(g, FT_VERDICT_OK), 57);
    EQ(rig_count(g, FT_VERDICT_REJECT), 3);
    STREQ(ft_answer_reason(&g->answer, 7),
          "1264: Out of range value for column 'pid' at row 7"); /* one was cut out before it */
    TRUE(strncmp(ft_answer_reason(&g->answer, 8), "1406: Data too long for column 'cmd' at row",
                 43) == 0);
    STREQ(query(&m, "SELECT COUNT(*) FROM process_metrics"), "57");

    for (size_t i = 0; i < 60; i++) { /* more than are cut out one by one */
        s[i] = rig_sample(100 + i);
        s[i].pid = i < 50 ? 1000 : 1;
    }
    rig_forget(g);
    rig_add(g, s, 60);
    OK(rig_send(g, rn_now() + 20 * RN_S));
    EQ(rig_count(g, FT_VERDICT_REJECT), 50);
    EQ(rig_count(g, FT_VERDICT_OK), 10);
    STREQ(query(&m, "SELECT COUNT(*) FROM process_metrics"), "67");
    rig_free(g);
    server_stop(&m);
}

TEST(mariadb_may_lose_the_connection_the_table_and_its_life)
{
    struct maria m;
    struct rig *g;
    char sql[100];

    server_make(&m);
    g = rig_at(m.socket);
    OK(rig_open(g));
    rig_fill(g, 1, 10);
    OK(rig_send(g, rn_now() + 20 * RN_S));

    (void)snprintf(sql, sizeof(sql), "KILL %s",
                   query(&m,
                         "SELECT MAX(id) FROM information_schema.processlist WHERE db = 'fettle'"
                         " AND id != CONNECTION_ID()"));
    run_sql(&m, sql);
    UNTIL(
        strcmp(query(&m, "SELECT COUNT(*) FROM information_schema.processlist WHERE db = 'fettle'"),
               "1") == 0);
    rig_fill(g, 11, 10);
    LT(rig_send(g, rn_now() + 20 * RN_S), 0);
    EQ(rig_count(g, FT_VERDICT_RETRY), 10);
    OK(rig_send(g, rn_now() + 20 * RN_S));
    EQ(rig_count(g, FT_VERDICT_OK), 10);

    run_sql(&m, "DROP TABLE process_metrics");
    rig_fill(g, 21, 10);
    LT(rig_send(g, rn_now() + 20 * RN_S), 0);
    EQ(rig_count(g, FT_VERDICT_HOLD), 10);
    TRUE(strncmp(ft_answer_reason(&g->answer, 0), "1146: ", 6) == 0);
    OK(rig_send(g, rn_now() + 20 * RN_S)); /* it was made again */
    EQ(rig_count(g, FT_VERDICT_OK), 10);

    server_stop(&m);
    rig_fill(g, 31, 10);
    LT(rig_send(g, rn_now() + 20 * RN_S), 0);
    EQ(rig_count(g, FT_VERDICT_RETRY), 10);
    LT(rig_send(g, rn_now() + 20 * RN_S), 0);
    TRUE(strncmp(ft_answer_reason(&g->answer, 0), "2002: ", 6) == 0);
    server_start(&m);
    run_sql(&m, "USE fettle");
    OK(rig_send(g, rn_now() + 20 * RN_S));
    EQ(rig_count(g, FT_VERDICT_OK), 10);
    STREQ(query(&m, "SELECT COUNT(*) FROM process_metrics"), "20");
    rig_free(g);
    server_stop(&m);
}

TEST(mariadb_with_a_wrong_password_waits_for_a_person_and_a_small_packet_limit_for_nobody)
{
    struct maria m;
    struct rig *g;
    FILE *f;

    server_make(&m);
    g = rig_at(m.socket);
    run_sql(&m, "CREATE USER fettle@localhost IDENTIFIED BY 'hunter2'");
    run_sql(&m, "GRANT CREATE, SELECT, INSERT, UPDATE ON fettle.* TO fettle@localhost");
    run_sql(&m, "SET GLOBAL max_allowed_packet = 16384");
    settings_of(g)->user = "fettle";
    settings_of(g)->password_file = strdup(rig_path("pw"));
    f = fopen(rig_path("pw"), "w");
    (void)fputs("hunter3\n", f);
    (void)fclose(f);
    ERR(rig_open(g), EACCES);
    STREQ(g->error.text, "1045: Access denied for user 'fettle'@'localhost' (using password: YES)");
    f = fopen(rig_path("pw"), "w");
    (void)fputs("hunter2\n", f);
    (void)fclose(f);
    OK(rig_open(g));
    rig_fill(g, 1, 500); /* some 100 KB */
    OK(rig_send(g, rn_now() + 20 * RN_S));
    EQ(rig_count(g, FT_VERDICT_OK), 500);
    settings_of(g)->database = "elsewhere";
    free((char *)settings_of(g)->password_file);
    rig_free(g);
    server_stop(&m);
}
