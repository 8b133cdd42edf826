/* Transactions without a runtime: what they do to files, and that a kill at any step leaves nothing
 * between. */
#include "transaction.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <base/cleanup.h>

#include "fault.h"
#include "testing.h"

static const char two_files[] =
    "state: @/state\nprocesses:\n"
    "  - {name: a, command: [x], objects: {one: @/one, two: @/two}}\n"
    "  - {name: b, command: [x], objects: {two: @/two, three: @/three}}\n";

struct object {
    const char *name, *body;
};

static struct ft_offer *offer_make(const char *hash, const struct object *objects, size_t n)
{
    Opamp__Proto__AgentRemoteConfig config = OPAMP__PROTO__AGENT_REMOTE_CONFIG__INIT;
    Opamp__Proto__AgentConfigMap map = OPAMP__PROTO__AGENT_CONFIG_MAP__INIT;
    Opamp__Proto__AgentConfigMap__ConfigMapEntry entry[4], *entries[4];
    Opamp__Proto__AgentConfigObject file[4];
    struct ft_offer *offer;

    for (size_t i = 0; i < n; i++) {
        opamp__proto__agent_config_object__init(&file[i]);
        opamp__proto__agent_config_map__config_map_entry__init(&entry[i]);
        file[i].body = (ProtobufCBinaryData){strlen(objects[i].body), (uint8_t *)objects[i].body};
        file[i].content_type = "text/plain";
        entry[i].key = (char *)objects[i].name;
        entry[i].value = &file[i];
        entries[i] = &entry[i];
    }
    map.n_config_map = n;
    map.config_map = entries;
    config.config = &map;
    config.config_hash = (ProtobufCBinaryData){strlen(hash), (uint8_t *)hash};
    OK(ft_offer_from_opamp(&config, &offer));
    return offer;
}
#define OFFER(hash, ...)                                                                           \
    offer_make(hash, (const struct object[]){__VA_ARGS__},                                         \
               sizeof((struct object[]){__VA_ARGS__}) / sizeof(struct object))

struct world {
    struct ft_settings settings;
    struct ft_store store;
};

static void world_open(struct world *w)
{
    struct ft_text_error err;

    testing_settings(two_files, &w->settings);
    if (ft_store_open(w->settings.state, &w->store, &err) < 0)
        FAIL("%s", err.text);
}

static void world_close(struct world *w)
{
    ft_store_close(&w->store);
    ft_settings_fini(&w->settings);
}

static void begin(struct world *w, struct ft_offer *offer, struct ft_txn *t)
{
    struct ft_text_error err;

    if (ft_txn_begin(&w->store, &w->settings, &offer, t, &err) < 0)
        FAIL("%s", err.text);
    TRUE(offer == NULL);
}

static void apply(struct world *w, struct ft_offer *offer)
{
    struct ft_text_error err;
    struct ft_txn t;

    begin(w, offer, &t);
    OK(ft_txn_write(&t, &err));
    OK(ft_txn_end(&t));
    ft_txn_fini(&t);
}

static void rollback(struct world *w, struct ft_offer *offer)
{
    struct ft_text_error err;
    struct ft_txn t;

    begin(w, offer, &t);
    OK(ft_txn_write(&t, &err));
    OK(ft_txn_fail(&t, "it did not live"));
    OK(ft_txn_restore(&t, &err));
    OK(ft_txn_end(&t));
    ft_txn_fini(&t);
}

TEST(an_application_writes_all_files_and_records_itself)
{
    struct world w;
    struct stat st;

    world_open(&w);
    apply(&w, OFFER("h1", {"one", "1\n"}, {"two", "2\n"}));
    TRUE(testing_file_is(testing_path("@/one"), "1\n"));
    TRUE(testing_file_is(testing_path("@/two"), "2\n"));
    TRUE(testing_file_is(testing_path("@/three"), NULL));
    EQ(stat(testing_path("@/one"), &st), 0);
    EQ(st.st_mode & 07777, 0640);
    TRUE(access(testing_path("@/state/transaction"), F_OK) < 0);
    world_close(&w);

    world_open(&w); /* as the next start finds it */
    EQ(w.store.outcome.status, FT_STATUS_APPLIED);
    TRUE(rn_slice_eq_str(ft_outcome_hash(&w.store.outcome), "h1"));
    TRUE(w.store.applied && rn_slice_eq_str(w.store.applied->hash, "h1"));
    TRUE(ft_store_wrote(&w.store, testing_path("@/one")));
    FALSE(ft_store_wrote(&w.store, testing_path("@/three")));
    world_close(&w);
}

TEST(mode_of_a_replaced_file_and_a_link_are_kept)
{
    struct world w;
    struct stat st;

    testing_write(testing_path("@/one"), "local\n");
    EQ(chmod(testing_path("@/one"), 0604), 0);
    testing_write(testing_path("@/elsewhere"), "local\n");
    EQ(symlink("elsewhere", testing_path("@/two")), 0);
    world_open(&w);
    apply(&w, OFFER("h1", {"one", "1\n"}, {"two", "2\n"}));
    EQ(stat(testing_path("@/one"), &st), 0);
    EQ(st.st_mode & 07777, 0604);
    EQ(lstat(testing_path("@/two"), &st), 0);
    TRUE(S_ISLNK(st.st_mode));
    TRUE(testing_file_is(testing_path("@/elsewhere"), "2\n"));
    world_close(&w);
}

TEST(a_rollback_brings_back_what_was_there)
{
    struct world w;

    testing_write(testing_path("@/one"), "local\n");
    world_open(&w);
    rollback(&w, OFFER("h1", {"one", "1\n"}, {"two", "2\n"}));
    TRUE(testing_file_is(testing_path("@/one"),
                         "local\n")); /* the first last good one is the local file */
    TRUE(testing_file_is(testing_path("@/two"), NULL)); /* no last good one: removed */
    EQ(w.store.outcome.status, FT_STATUS_FAILED);
    STREQ(w.store.outcome.error, "it did not live");
    TRUE(w.store.applied == NULL);
    FALSE(ft_store_wrote(&w.store, testing_path("@/one")));
    world_close(&w);
}

TEST(a_mapped_file_that_is_missing_is_removed_if_fettle_wrote_it)
{
    struct world w;

    testing_write(testing_path("@/three"), "local\n");
    world_open(&w);
    apply(&w, OFFER("h1", {"one", "1\n"}, {"two", "2\n"}));
    apply(&w, OFFER("h2", {"two", "2\n"}));
    TRUE(testing_file_is(testing_path("@/one"), NULL));
    TRUE(testing_file_is(testing_path("@/three"), "local\n"));
    rollback(&w, OFFER("h3", {"one", "3\n"}));
    TRUE(testing_file_is(testing_path("@/one"), NULL));
    TRUE(testing_file_is(testing_path("@/two"), "2\n"));
    world_close(&w);
}

TEST(only_processes_whose_bytes_change_are_touched)
{
    struct world w;
    struct ft_txn t;
    const struct ft_process_settings *p;

    world_open(&w);
    EQ(ft_settings_processes(&w.settings, &p), 2);
    apply(&w, OFFER("h1", {"one", "1\n"}, {"two", "2\n"}));
    begin(&w, OFFER("h2", {"one", "new\n"}, {"two", "2\n"}), &t);
    TRUE(ft_plan_touches(&t.plan, &p[0]));
    FALSE(ft_plan_touches(&t.plan, &p[1]));
    OK(ft_txn_end(&t));
    ft_txn_fini(&t);
    begin(&w, OFFER("h3", {"one", "1\n"}, {"two", "2\n"}), &t);
    FALSE(ft_plan_changes(&t.plan));
    OK(ft_txn_end(&t));
    ft_txn_fini(&t);
    world_close(&w);
}

TEST(an_object_that_is_not_mapped_is_refused_by_name)
{
    CLEANUP(ft_offer_freep)
    struct ft_offer *offer = OFFER("h1", {"one", "1\n"}, {"stranger.conf", "x"});
    struct ft_text_error err = {""};
    struct ft_txn t;
    struct world w;

    world_open(&w);
    ERR(ft_txn_begin(&w.store, &w.settings, &offer, &t, &err), EINVAL);
    TRUE(strstr(err.text, "\"stranger.conf\" is not mapped") != NULL);
    TRUE(testing_file_is(testing_path("@/one"), NULL));
    EQ(mkdir(testing_path("@/one"), 0700), 0);
    (void)ft_offer_free(offer);
    offer = OFFER("h2", {"one", "1\n"});
    ERR(ft_txn_begin(&w.store, &w.settings, &offer, &t, &err), EINVAL);
    TRUE(strstr(err.text, "/one: Is a directory") != NULL);
    world_close(&w);
}

TEST(a_file_that_cannot_be_written_is_named_and_all_are_restored)
{
    struct ft_text_error err = {""};
    struct ft_txn t;
    struct world w;

    world_open(&w);
    begin(&w, OFFER("h1", {"one", "1\n"}, {"two", "2\n"}), &t);
    EQ(mkdir(testing_path("@/.two.fettle-tmp"), 0700),
       0); /* the temporary file cannot be made, also by root */
    TRUE(ft_txn_write(&t, &err) < 0);
    TRUE(strstr(err.text, "/two: cannot be written") != NULL);
    EQ(rmdir(testing_path("@/.two.fettle-tmp")), 0);
    OK(ft_txn_fail(&t, err.text));
    OK(ft_txn_restore(&t, &err));
    OK(ft_txn_end(&t));
    TRUE(testing_file_is(testing_path("@/one"), NULL));
    ft_txn_fini(&t);
    world_close(&w);
}

/* ---- kills ---- */

/* In a child: apply or roll back until the fault point kills it. */
static void die_at(enum ft_fault_point point, bool backwards)
{
    pid_t pid = fork();
    int status;

    if (pid == 0) {
        struct world w;

        (void)setenv("FETTLE_KILL_AT", ft_fault_point_name(point), 1);
        world_open(&w);
        if (backwards)
            rollback(&w, OFFER("h2", {"one", "new 1\n"}, {"three", "new 3\n"}));
        else
            apply(&w, OFFER("h2", {"one", "new 1\n"}, {"three", "new 3\n"}));
        _exit(0);
    }
    EQ(waitpid(pid, &status, 0), pid);
    TRUE(WIFSIGNALED(status));
    EQ(WTERMSIG(status), SIGKILL);
}

static bool is_old(void)
{
    return testing_file_is(testing_path("@/one"), "old 1\n") &&
           testing_file_is(testing_path("@/two"), "old 2\n") &&
           testing_file_is(testing_path("@/three"), NULL);
}

static bool is_new(void)
{
    return testing_file_is(testing_path("@/one"), "new 1\n") &&
           testing_file_is(testing_path("@/two"), NULL) &&
           testing_file_is(testing_path("@/three"), "new 3\n");
}

/* What the next start does, processes aside. */
static void recover(struct world *w)
{
    struct ft_text_error err;
    struct ft_txn t;
    int r = ft_txn_load(&w->store, &t, &err);

    if (OK(r) == 0)
        return;
    TRUE(ft_plan_fits(&t.plan, &w->settings));
    if (!t.failed)
        OK(ft_txn_write(&t, &err));
    else
        OK(ft_txn_restore(&t, &err));
    OK(ft_txn_end(&t));
    ft_txn_fini(&t);
}

static void kill_and_recover(enum ft_fault_point point)
{
    bool backwards = point >= FT_POINT_FAILURE_RECORDED;
    struct world w;

    test_note("killed at %s", ft_fault_point_name(point));
    world_open(&w);
    apply(&w, OFFER("h1", {"one", "old 1\n"}, {"two", "old 2\n"}));
    world_close(&w);
    die_at(point, backwards);
    TRUE(testing_file_is(testing_path("@/one"), "old 1\n") ||
         testing_file_is(testing_path("@/one"), "new 1\n"));
    world_open(&w);
    recover(&w);
    if (rn_slice_eq_str(w.store.applied->hash, "h2"))
        TRUE(is_new() && w.store.outcome.status == FT_STATUS_APPLIED);
    else
        TRUE(is_old());
    if (backwards)
        TRUE(is_old() && w.store.outcome.status == FT_STATUS_FAILED);
    TRUE(access(testing_path("@/state/transaction"), F_OK) < 0);
    TRUE(access(testing_path("@/state/transaction.new"), F_OK) < 0);
    TRUE(access(testing_path("@/state/transaction.old"), F_OK) < 0);
    world_close(&w);
}

/* Steps of processes are no business of this file. */
#define PROCESS_STEP(constant)                                                                     \
    (FT_POINT_##constant == FT_POINT_PROCESS_TOLD ||                                               \
     FT_POINT_##constant == FT_POINT_WINDOW_PASSED || FT_POINT_##constant == FT_POINT_ROLLED_BACK)
#ifdef FETTLE_FAULT_POINTS
TEST(a_kill_at_any_step_leaves_old_or_new)
{
#define X(constant, name)                                                                          \
    if (!PROCESS_STEP(constant))                                                                   \
        kill_and_recover(FT_POINT_##constant);
#include "fault_points.tbl"
#undef X
}
#endif

TEST(a_journal_of_another_file_of_the_agent_does_not_fit)
{
    CLEANUP(ft_settings_fini) struct ft_settings other = {0};
    struct ft_txn t;
    struct world w;

    world_open(&w);
    begin(&w, OFFER("h1", {"one", "1\n"}), &t);
    TRUE(ft_plan_fits(&t.plan, &w.settings));
    testing_settings(
        "state: @/state\nprocesses:\n  - {name: a, command: [x], objects: {one: @/moved}}\n",
        &other);
    FALSE(ft_plan_fits(&t.plan, &other));
    ft_txn_fini(&t);
    world_close(&w);
}

TEST(a_damaged_journal_keeps_the_agent_from_starting)
{
    struct ft_text_error err;
    struct ft_txn t;
    struct world w;

    world_open(&w);
    begin(&w, OFFER("h1", {"one", "1\n"}), &t);
    ft_txn_fini(&t);
    testing_write(testing_path("@/state/transaction/plan"), "fettle-plan 1 7\nnonsense\n");
    ERR(ft_txn_load(&w.store, &t, &err), EBADMSG);
    TRUE(strstr(err.text, "/state/transaction: ") != NULL);
    world_close(&w);
}

TEST(two_agents_cannot_share_a_state)
{
    struct ft_text_error err;
    struct ft_store other;
    struct world w;

    world_open(&w);
    ERR(ft_store_open(w.settings.state, &other, &err), EWOULDBLOCK);
    TRUE(strstr(err.text, "another fettle-agent") != NULL);
    world_close(&w);
}
