#include "store/testing.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <base/cleanup.h>

#include "store/fault_vfs.h"
#include "store/sqlite.h"

/* ---- Opening and migrating ---- */

static const char *database_path(void)
{
    static char path[512];

    (void)snprintf(path, sizeof(path), "%s/" FT_STORE_FILE, test_dir());
    return path;
}

static int64_t query(const char *sql)
{
    sqlite3      *db;
    sqlite3_stmt *stmt;
    int64_t       value;

    EQ(sqlite3_open(database_path(), &db), SQLITE_OK);
    EQ(sqlite3_prepare_v2(db, sql, -1, &stmt, NULL), SQLITE_OK);
    EQ(sqlite3_step(stmt), SQLITE_ROW);
    value = sqlite3_column_int64(stmt, 0);
    (void)sqlite3_finalize(stmt);
    (void)sqlite3_close(db);
    return value;
}

static void execute(const char *sql)
{
    sqlite3 *db;

    EQ(sqlite3_open(database_path(), &db), SQLITE_OK);
    EQ(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
    (void)sqlite3_close(db);
}

TASK_TEST(a_new_store_has_the_newest_schema_and_the_default_group)
{
    CLEANUP(ft_groups_unrefp) struct ft_groups *t = NULL;
    CLEANUP(ft_store_closep) struct ft_store   *s = testing_store();

    OK(ft_store_groups(s, &t));
    EQ(t->count, 1);
    STREQ(t->items[0]->name, "default");
    TRUE(t->items[0]->version == NULL);
    EQ(query("PRAGMA user_version"), (int64_t)ft__schema_count);
    EQ(query("PRAGMA application_id"), FT_STORE_APPLICATION);
}

TASK_TEST(an_existing_file_keeps_what_it_has)
{
    struct ft_configuration c;
    struct ft_store        *s = testing_store();

    OK(ft_store_configuration_create(s, S("kept"), S("why"), &c));
    ft_store_close(s);

    s = testing_store();
    memset(&c, 0, sizeof(c));
    OK(ft_store_configuration_get(s, S("kept"), &c));
    STREQ(c.comment, "why");
    ft_store_close(s);
}

TEST(migrations_run_from_version_1_on_and_each_only_once)
{
    static const char create_2[] = "CREATE TABLE later (n INTEGER); INSERT INTO later VALUES (1)";
    static const char change_3[] = "UPDATE later SET n = n + 1";
    const char *const scripts[] = {ft__schema_scripts[0], create_2, change_3};
    sqlite3          *db;

    ALLOW_LIBRARIES();
    EQ(sqlite3_open(database_path(), &db), SQLITE_OK);
    OK(ft__schema_migrate(db, scripts, 1));
    EQ(query("PRAGMA user_version"), 1);
    OK(ft__schema_migrate(db, scripts, 3));
    OK(ft__schema_migrate(db, scripts, 3));
    EQ(query("SELECT n FROM later"), 2);
    EQ(query("PRAGMA user_version"), 3);
    ERR(ft__schema_migrate(db, scripts, 2), ENOTSUP);
    (void)sqlite3_close(db);
}

TEST(a_migration_that_fails_leaves_the_version_before_it)
{
    static const char half[] =
        "CREATE TABLE half (n INTEGER); INSERT INTO no_such_table VALUES (1)";
    const char *const scripts[] = {ft__schema_scripts[0], half};
    sqlite3          *db;

    ALLOW_LIBRARIES();
    EQ(sqlite3_open(database_path(), &db), SQLITE_OK);
    LT(ft__schema_migrate(db, scripts, 2), 0);
    EQ(query("PRAGMA user_version"), 1);
    EQ(query("SELECT count(*) FROM sqlite_schema WHERE name = 'half'"), 0);
    (void)sqlite3_close(db);
}

TASK_TEST(a_file_of_a_newer_fettled_is_refused)
{
    struct ft_text_error e;
    struct ft_store     *s = testing_store();

    ft_store_close(s);
    execute("PRAGMA user_version = 1000");
    ERR(ft_store_open(test_dir(), &s, &e), ENOTSUP);
    TRUE(strstr(e.text, FT_STORE_FILE) != NULL);
    TRUE(strstr(e.text, "newer") != NULL);
}

TASK_TEST(a_file_that_is_no_database_of_ours_is_refused)
{
    struct ft_text_error e;
    struct ft_store     *s;

    ALLOW_LIBRARIES();
    execute("CREATE TABLE theirs (n INTEGER)");
    ERR(ft_store_open(test_dir(), &s, &e), EUCLEAN);
    TRUE(strstr(e.text, "not a database of fettled") != NULL);
}

TASK_TEST(a_damaged_file_is_refused)
{
    struct ft_text_error e;
    struct ft_store     *s;
    int                  fd = open(database_path(), O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    char                 junk[4096];

    ALLOW_LIBRARIES();
    memset(junk, 'x', sizeof(junk));
    EQ(write(fd, junk, sizeof(junk)), (ssize_t)sizeof(junk));
    (void)close(fd);
    ERR(ft_store_open(test_dir(), &s, &e), EUCLEAN);
}

TASK_TEST(a_second_server_on_the_same_folder_is_refused)
{
    CLEANUP(ft_store_closep) struct ft_store *s = testing_store();
    struct ft_text_error e;
    struct ft_store     *second;

    TRUE(s != NULL);
    ERR(ft_store_open(test_dir(), &second, &e), EBUSY);
    TRUE(strstr(e.text, "another fettled") != NULL);
}

TASK_TEST(a_folder_that_is_not_there_is_named)
{
    struct ft_text_error e;
    struct ft_store     *s;

    ALLOW_LIBRARIES();
    ERR(ft_store_open("/nowhere/at/all", &s, &e), ENOENT);
    TRUE(strstr(e.text, "/nowhere/at/all") != NULL);
}

/* ---- Versions ---- */

static struct ft_version_head add(struct ft_store *s, const char *configuration,
                                  const struct ft_object *o, size_t n, bool expect_created)
{
    CLEANUP(ft_objects_fini) struct ft_objects objects = {0};
    struct ft_version_head head = {0};
    bool                   created;

    OK(ft_objects_from(o, n, &objects));
    OK(ft_store_version_add(s, S(configuration), &objects, S(""), &head, &created));
    EQ(created, expect_created);
    return head;
}

TASK_TEST(the_same_content_is_the_same_version)
{
    CLEANUP(ft_store_closep) struct ft_store *s = testing_store();
    struct ft_configuration c;
    struct ft_version_head  first, again, other;
    struct ft_object o[2] = {testing_object("b.conf", "two"), testing_object("a.conf", "one")};

    OK(ft_store_configuration_create(s, S("web"), S(""), &c));
    ERR(ft_store_configuration_create(s, S("web"), S(""), &c), EEXIST);
    first = add(s, "web", o, 2, true);
    EQ(first.number, 1);
    other = add(s, "web", o, 1, true);
    EQ(other.number, 2);
    again = add(s, "web", (struct ft_object[]){o[1], o[0]}, 2, false);
    EQ(again.number, 1);
    TRUE(ft_hash_eq(&first.hash, &again.hash));
    OK(ft_store_configuration_get(s, S("web"), &c));
    EQ(c.latest, 2);
    EQ(query("SELECT count(*) FROM bodies"), 2);
}

TASK_TEST(type_body_and_template_flag_make_a_version_and_the_flag_no_hash)
{
    CLEANUP(ft_store_closep) struct ft_store *s = testing_store();
    struct ft_configuration c;
    struct ft_version_head  plain, flagged, typed;
    struct ft_object        o = testing_object("a", "x");

    OK(ft_store_configuration_create(s, S("web"), S(""), &c));
    plain = add(s, "web", &o, 1, true);
    o.is_template = true;
    flagged = add(s, "web", &o, 1, true);
    o.content_type = S("text/yaml");
    typed = add(s, "web", &o, 1, true);
    EQ(flagged.number, 2);
    EQ(typed.number, 3);
    TRUE(ft_hash_eq(&plain.hash, &flagged.hash));
    FALSE(ft_hash_eq(&plain.hash, &typed.hash));
    EQ(query("SELECT count(*) FROM bodies"), 1);
}

TASK_TEST(a_version_comes_back_to_the_byte)
{
    CLEANUP(ft_store_closep) struct ft_store     *s = testing_store();
    CLEANUP(ft_version_unrefp) struct ft_version *v = NULL;
    CLEANUP(ft_objects_fini) struct ft_objects    objects = {0};
    static const uint8_t    bytes[] = {0, 255, 10, 0, 13};
    struct ft_configuration c;
    struct ft_version_head  head;
    bool                    created;
    struct ft_object o[2] = {testing_object("empty", ""), testing_object("zw\xc3\xb6lf", "")};

    o[1].body = rn_slice(bytes, sizeof(bytes));
    o[1].is_template = true;
    OK(ft_store_configuration_create(s, S("web"), S(""), &c));
    OK(ft_objects_from(o, 2, &objects));
    OK(ft_store_version_add(s, S("web"), &objects, S("a comment"), &head, &created));
    OK(ft_store_version_get(s, S("web"), 1, &v));
    EQ(v->objects.count, 2);
    TRUE(ft_object_eq(&v->objects.items[0], &o[0]));
    TRUE(ft_object_eq(&v->objects.items[1], &o[1]));
    TRUE(v->templated);
    STREQ(v->head.comment, "a comment");
    STREQ(v->head.configuration, "web");
    ERR(ft_store_version_get(s, S("web"), 2, &v), ENOENT);
    ERR(ft_store_version_get(s, S("other"), 1, &v), ENOENT);
    ERR(ft_store_version_add(s, S("other"), &objects, S(""), &head, &created), ENOENT);
}

TASK_TEST(lists_come_in_pages)
{
    CLEANUP(ft_store_closep) struct ft_store *s = testing_store();
    struct ft_configuration c, *cs;
    struct ft_version_head *vs;
    size_t                  n;
    char                    text[16];

    for (int i = 0; i < 5; i++) {
        (void)snprintf(text, sizeof(text), "c%d", i);
        OK(ft_store_configuration_create(s, S(text), S(""), &c));
        struct ft_object o = testing_object("a", text);
        (void)add(s, "c0", &o, 1, true);
    }
    OK(ft_store_configuration_list(s, S(""), 3, &cs, &n));
    EQ(n, 3);
    STREQ(cs[2].name, "c2");
    free(cs);
    OK(ft_store_configuration_list(s, S("c2"), 3, &cs, &n));
    EQ(n, 2);
    STREQ(cs[1].name, "c4");
    free(cs);
    OK(ft_store_version_list(s, S("c0"), 2, 2, &vs, &n));
    EQ(n, 2);
    EQ(vs[0].number, 3);
    free(vs);
    OK(ft_store_version_list(s, S("c1"), 0, 2, &vs, &n));
    EQ(n, 0);
    free(vs);
    ERR(ft_store_version_list(s, S("none"), 0, 2, &vs, &n), ENOENT);
}

/* ---- Groups ---- */

TASK_TEST(a_table_of_groups_shares_what_did_not_change)
{
    CLEANUP(ft_store_closep) struct ft_store   *s = testing_store();
    CLEANUP(ft_groups_unrefp) struct ft_groups *one = NULL, *two = NULL;
    struct ft_group_draft d = {.name = S("a"), .selector = S("env=prod")};
    bool                  created;

    OK(ft_store_group_put(s, &d, &created, &one));
    TRUE(created);
    d.name = S("b");
    d.priority = 5;
    OK(ft_store_group_put(s, &d, &created, &two));
    EQ(two->count, 3);
    GT(two->epoch, one->epoch);
    STREQ(two->items[0]->name, "b");
    STREQ(two->items[2]->name, "default");
    TRUE(ft_groups_get(one, S("a")) == ft_groups_get(two, S("a")));
}

TASK_TEST(if_match_guards_groups)
{
    CLEANUP(ft_store_closep) struct ft_store *s = testing_store();
    struct ft_groups     *t = NULL;
    struct ft_group_draft d = {.name = S("a"), .selector = S(""), .if_match = FT_MATCH_EXISTS};
    uint64_t              revision;
    bool                  created;

    ERR(ft_store_group_put(s, &d, &created, &t), ESTALE);
    d.if_match = FT_MATCH_ALWAYS;
    OK(ft_store_group_put(s, &d, &created, &t));
    revision = ft_groups_get(t, S("a"))->revision;
    ft_groups_unref(t);
    d.if_match = revision;
    OK(ft_store_group_put(s, &d, &created, &t));
    FALSE(created);
    ft_groups_unref(t);
    ERR(ft_store_group_put(s, &d, &created, &t), ESTALE);
    ERR(ft_store_group_delete(s, S("a"), revision, &t), ESTALE);
    ERR(ft_store_group_delete(s, S("nobody"), FT_MATCH_ALWAYS, &t), ENOENT);
    OK(ft_store_group_delete(s, S("a"), FT_MATCH_EXISTS, &t));
    EQ(t->count, 1);
    ft_groups_unref(t);
}

TASK_TEST(variables_go_with_their_group)
{
    CLEANUP(ft_store_closep) struct ft_store *s = testing_store();
    CLEANUP(ft_attrs_freep) struct ft_attrs  *variables = NULL;
    struct ft_groups     *t;
    const struct ft_attr items[] = {{S("zone"), S("eu"), FT_ATTR_STRING},
                                    {S("level"), S(""), FT_ATTR_STRING}};
    struct ft_group_draft d = {.name = S("a"), .selector = S("")};
    bool                  created;

    OK(ft_attrs_new(items, 2, &variables));
    d.variables = variables;
    OK(ft_store_group_put(s, &d, &created, &t));
    TRUE(ft_attrs_eq(ft_groups_get(t, S("a"))->variables, variables));
    ft_groups_unref(t);

    d.variables = NULL;
    OK(ft_store_group_put(s, &d, &created, &t));
    EQ(ft_groups_get(t, S("a"))->variables->count, 0);
    ft_groups_unref(t);
    d.variables = variables;
    OK(ft_store_group_put(s, &d, &created, &t));
    ft_groups_unref(t);
    OK(ft_store_group_delete(s, S("a"), FT_MATCH_ALWAYS, &t));
    ft_groups_unref(t);
    EQ(query("SELECT count(*) FROM variables"), 0);
}

/* ---- Agents and marks ---- */

TASK_TEST(agents_are_saved_loaded_and_deleted)
{
    CLEANUP(ft_store_closep) struct ft_store *s = testing_store();
    struct ft_agent_row  rows[3] = {0}, *loaded;
    struct ft_uuid       uids[3];
    size_t               n;

    for (int i = 0; i < 3; i++) {
        memset(uids[i].bytes, i + 1, sizeof(uids[i].bytes));
        rows[i] = (struct ft_agent_row){uids[i], UINT64_MAX - (uint64_t)i, 1000 + i, S("record")};
    }
    OK(ft_store_agents_save(s, rows, 3));
    rows[1].record = S("");
    rows[1].sequence_num = 7;
    OK(ft_store_agents_save(s, &rows[1], 1));

    OK(ft_store_agents_load(s, NULL, 2, &loaded, &n));
    EQ(n, 2);
    TRUE(ft_uuid_eq(&loaded[0].uid, &uids[0]));
    TRUE(loaded[0].sequence_num == UINT64_MAX);
    TRUE(rn_slice_eq_str(loaded[0].record, "record"));
    EQ(loaded[1].sequence_num, 7);
    EQ(loaded[1].record.len, 0);
    free(loaded);

    OK(ft_store_agents_delete(s, uids, 2));
    OK(ft_store_agents_load(s, NULL, 100, &loaded, &n));
    EQ(n, 1);
    EQ(loaded[0].last_seen_ms, 1002);
    free(loaded);
    OK(ft_store_agents_load(s, &uids[2], 100, &loaded, &n));
    EQ(n, 0);
    free(loaded);
}

TASK_TEST(the_clean_stop_mark_is_taken_once)
{
    CLEANUP(ft_store_closep) struct ft_store *s = testing_store();
    bool was;

    OK(ft_store_clean_stop_take(s, &was));
    FALSE(was);
    OK(ft_store_clean_stop_set(s));
    ft_store_close(s);
    s = testing_store();
    OK(ft_store_clean_stop_take(s, &was));
    TRUE(was);
    OK(ft_store_clean_stop_take(s, &was));
    FALSE(was);
}

TASK_TEST(small_values_come_back)
{
    CLEANUP(ft_store_closep) struct ft_store *s = testing_store();
    uint8_t *value;
    size_t   len;

    ERR(ft_store_meta_get(s, "k", &value, &len), ENOENT);
    OK(ft_store_meta_set(s, "k", S("one")));
    OK(ft_store_meta_set(s, "k", S("second")));
    OK(ft_store_meta_get(s, "k", &value, &len));
    EQ(len, 6);
    MEMEQ(value, "second", 6);
    free(value);
}

/* ---- Faults ---- */

#ifdef FETTLE_FAULT_POINTS

static const struct {
    enum ft_disk_fault fault;
    int           error;
} faults[] = {{FT_DISK_FULL, ENOSPC}, {FT_DISK_READONLY, EROFS}, {FT_DISK_IOERR, EIO}};

TASK_TEST(a_disk_that_fails_is_told_changes_nothing_and_heals)
{
    CLEANUP(ft_store_closep) struct ft_store *s = testing_store();
    struct ft_configuration c;
    struct ft_text_error    e;
    uint64_t                failures = 0;

    OK(ft_store_configuration_create(s, S("before"), S(""), &c));
    for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
        char name[16];

        (void)snprintf(name, sizeof(name), "c%zu", i);
        ft__disk_fault_set(faults[i].fault);
        ERR(ft_store_configuration_create(s, S(name), S(""), &c), faults[i].error);
        ERR(ft_store_clean_stop_set(s), faults[i].error);
        TRUE(ft_store_last_error(s, &e));
        GT(strlen(e.text), 0);
        OK(ft_store_configuration_get(s, S("before"), &c)); /* reading goes on */
        ERR(ft_store_configuration_get(s, S(name), &c), ENOENT);

        ft__disk_fault_set(FT_DISK_HEALTHY);
        OK(ft_store_configuration_create(s, S(name), S(""), &c));
        FALSE(ft_store_last_error(s, &e));
        failures += 2;
        EQ(ft_store_failures(s), failures);
    }
    EQ(query("SELECT count(*) FROM configurations"), 4);
}

TASK_TEST(a_group_that_could_not_be_written_is_not_in_the_next_table)
{
    CLEANUP(ft_store_closep) struct ft_store *s = testing_store();
    struct ft_groups           *t;
    struct ft_object            o = testing_object("a", "one");
    struct ft_object_put        put = {.group = S("default"), .object = &o, .wire_max = 1000};
    struct ft_object_put_result result;

    OK(ft_store_object_put(s, &put, &result, &t));
    ft_groups_unref(t);
    o.body = S("two");
    ft__disk_fault_set(FT_DISK_FULL);
    ERR(ft_store_object_put(s, &put, &result, &t), ENOSPC);
    ft__disk_fault_set(FT_DISK_HEALTHY);
    o.body = S("three");
    OK(ft_store_object_put(s, &put, &result, &t));
    EQ(result.head.number, 2);
    TRUE(rn_slice_eq_str(t->items[0]->version->objects.items[0].body, "three"));
    ft_groups_unref(t);
}

#endif
