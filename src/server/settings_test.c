#include "settings.h"

#include <harness/test.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <base/cleanup.h>

#include <runnel/runtime.h>

#include "exporter/types.h"

static struct ft_text_error error;

static int read_text(const char *text, struct ft_settings *ret)
{
    char path[256];

    snprintf(path, sizeof(path), "%s/fettled.yaml", test_dir());
    {
        CLEANUP(fclosep) FILE *f = fopen(path, "w");
        fputs(text, f);
    }
    error.text[0] = '\0';
    return ft_settings_read(path, ret, &error);
}

static struct ft_settings read_or_fail(const char *yaml)
{
    struct ft_settings s;

    if (read_text(yaml, &s) < 0)
        FAIL("%s", error.text);
    return s;
}
#define SETTINGS(s, yaml) CLEANUP(ft_settings_fini) struct ft_settings s = read_or_fail(yaml)

static void expect_defaults(const struct ft_settings *s)
{
    EQ(s->agents.listen.n, 1);
    STREQ(s->agents.listen.items[0], "127.0.0.1:4320");
    EQ(s->agents.apply_timeout, FT_SEC(300));
    EQ(s->agents.enrolment, FT_ENROLMENT_AUTO);
    EQ(s->agents.heartbeat, FT_SEC(30));
    EQ(s->agents.message_max, 4 << 20);
    EQ(s->api.listen.n, 1);
    STREQ(s->api.listen.items[0], "127.0.0.1:4321");
    EQ(s->api.body_max, 4 << 20);
    EQ(s->debug.listen.n, 1);
    STREQ(s->debug.listen.items[0], "127.0.0.1:4322");
    EQ(s->stop_timeout, FT_SEC(10));
    EQ(s->metrics.lane.batches_max, 1000);
    EQ(s->metrics.lane.bytes_max, 64 << 20);
    EQ(s->metrics.lane.overflow, FT_DROP_OLDEST);
    EQ(s->runtime.workers, 0);
    EQ(s->runtime.leaks, RN_LEAKS_WARN);
    TRUE(!s->exporters.given && s->exporters.n == 0);
    TRUE(!s->agents.insecure && !s->api.insecure && !s->debug.insecure);
    TRUE(!ft_settings_agents_beyond_loopback(s));
}

TEST(without_a_file_everything_is_at_the_contracts_defaults)
{
    CLEANUP(ft_settings_fini) struct ft_settings s = {0};

    OK(ft_settings_read(NULL, &s, &error));
    expect_defaults(&s);
    TRUE(s.data == NULL); /* $STATE_DIRECTORY, or ./fettle-data */
}

TEST(an_empty_file_says_the_same)
{
    SETTINGS(s, "# nothing\n");
    expect_defaults(&s);
}

TEST(the_contracts_example_is_read)
{
    SETTINGS(s, "data: ./fettle-data\n"
                "agents:\n"
                "  listen: [127.0.0.1:4320, '[::1]:0', 'unix:/tmp/x']\n"
                "  apply_timeout: 1m\n"
                "  enrolment: open\n"
                "  heartbeat: 5s\n"
                "  message_max: 128MiB\n"
                "api: {listen: [127.0.0.1:0], body_max: 1MiB}\n"
                "debug: {listen: [127.0.0.1:4322]}\n"
                "stop_timeout: 250ms\n"
                "store: {type: sqlite}\n"
                "metrics:\n"
                "  lane: {batches_max: 10, bytes_max: 1MiB, overflow: drop-newest}\n"
                "exporters:\n"
                "  - {name: local, type: sqlite, path: metrics.db, required: true}\n"
                "  - {name: out, type: file, path: samples.jsonl}\n"
                "runtime: {workers: 1, leaks: abort}\n");
    char data[256];

    snprintf(data, sizeof(data), "%s/./fettle-data", test_dir());
    TRUE(strcmp(s.data, data) == 0 || strstr(s.data, "/fettle-data") != NULL);
    EQ(s.data[0], '/'); /* relative to the file */
    EQ(s.agents.listen.n, 3);
    EQ(s.agents.message_max, 128 << 20);
    EQ(s.agents.heartbeat, FT_SEC(5));
    EQ(s.stop_timeout, FT_MS(250));
    EQ(s.metrics.lane.overflow, FT_DROP_NEWEST);
    EQ(s.exporters.n, 2);
    EQ(s.runtime.workers, 1);
    EQ(s.runtime.leaks, RN_LEAKS_ABORT);
    OK(ft_settings_check_addresses(&s, &error));
    OK(ft_settings_check_exporters(&s, &error));
}

/* Wrong is told with the place: line and column of the key or of the value. */
TEST(what_is_wrong_is_told_with_file_line_and_column)
{
    static const struct {
        const char *text;
        int line;
    } wrong[] = {
        {"colour: red\n", 1},
        {"data: ./x\ndata: ./y\n", 2},
        {"agents:\n  listen: [127.0.0.1:0]\n  port: 4320\n", 3},
        {"agents: [127.0.0.1:0]\n", 1},
        {"agents:\n  listen: {a: b}\n", 2},
        {"agents:\n  listen: [nonsense]\n", 2},
        {"agents:\n  listen: []\n", 2},
        {"agents:\n  heartbeat: 30\n", 2},
        {"agents:\n  heartbeat: 1500ms\n", 2},
        {"agents:\n  heartbeat: 0s\n", 2},
        {"agents:\n  heartbeat: 2d\n", 2},
        {"agents:\n  heartbeat: -1s\n", 2},
        {"agents:\n  apply_timeout: soon\n", 2},
        {"agents:\n  message_max: 129MiB\n", 2},
        {"agents:\n  message_max: 1KiB\n", 2},
        {"agents:\n  enrolment: required\n", 2}, /* not in force yet */
        {"agents:\n  insecure: maybe\n", 2},
        {"api:\n  body_max: 4 MB\n", 2},
        {"stop_timeout: 100000000d\n", 1},
        {"store: {type: postgres}\n", 1},
        {"metrics:\n  lane:\n    overflow: spill\n", 3},
        {"metrics:\n  lane:\n    batches_max: 0\n", 3},
        {"runtime:\n  workers: 2\n", 2},
        {"runtime:\n  leaks: hide\n", 2},
        {"exporters:\n  - {type: kafka}\n", 2},
        {"exporters:\n  - {name: x}\n", 2},
        {"exporters:\n  - {type: file, path: x, keep: 30d}\n", 2},
        {"exporters: sqlite\n", 1},
        {"a: [\n", 2},
        {"--- \n{}\n---\n{}\n", 4},
    };
    char place[300];

    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        struct ft_settings s;
        int line = 0, column = 0;

        test_note("%s", wrong[i].text);
        ERR(read_text(wrong[i].text, &s), EINVAL);
        snprintf(place, sizeof(place), "%s/fettled.yaml:", test_dir());
        if (strncmp(error.text, place, strlen(place)) != 0)
            FAIL("without its place: %s", error.text);
        EQ(sscanf(error.text + strlen(place), "%d:%d:", &line, &column), 2);
        if (line != wrong[i].line)
            FAIL("line %d: %s", line, error.text);
        GE(column, 1);
    }
}

TEST(a_file_that_is_not_there_is_named)
{
    struct ft_settings s;

    ERR(ft_settings_read("/nowhere/fettled.yaml", &s, &error), ENOENT);
    TRUE(strstr(error.text, "/nowhere/fettled.yaml") != NULL);
}

TEST(addresses_beyond_loopback_need_consent_in_their_own_section)
{
    static const struct {
        const char *text;
        bool fine;
    } rows[] = {
        {"agents: {listen: [127.9.9.9:0]}\n", true},
        {"agents: {listen: ['[::1]:0']}\n", true},
        {"agents: {listen: ['unix:/tmp/x']}\n", true},
        {"agents: {listen: [0.0.0.0:0]}\n", false},
        {"agents: {listen: ['[::]:0']}\n", false},
        {"agents: {listen: [127.0.0.1:0, 10.0.0.1:0]}\n", false},
        {"agents: {listen: [0.0.0.0:0], insecure: true}\n", true},
        {"agents: {insecure: true}\napi: {listen: [0.0.0.0:0]}\n", false},
        {"api: {listen: [192.168.1.1:0], insecure: true}\n", true},
        {"debug: {listen: [0.0.0.0:0]}\n", false},
        {"debug: {listen: [0.0.0.0:0], insecure: true}\n", true},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        test_note("%s", rows[i].text);
        SETTINGS(s, rows[i].text);
        EQ(ft_settings_check_addresses(&s, &error) == 0, rows[i].fine);
        if (!rows[i].fine)
            TRUE(strstr(error.text, "insecure: true") != NULL);
    }
}

TEST(addresses_of_the_command_line_are_judged_too)
{
    SETTINGS(s, "");
    const char *given[] = {"nonsense"};

    s.api.listen.items = given;
    ERR(ft_settings_check_addresses(&s, &error), EINVAL);
    TRUE(strstr(error.text, "--api nonsense") != NULL);
}

TEST(agents_from_beyond_loopback_are_known_as_such)
{
    SETTINGS(s, "agents: {listen: [127.0.0.1:0, 0.0.0.0:0], insecure: true}\n");

    TRUE(ft_settings_agents_beyond_loopback(&s));
}

TEST(exporters_may_be_none_at_all)
{
    SETTINGS(s, "exporters: []\n");

    TRUE(s.exporters.given && s.exporters.n == 0);
    OK(ft_settings_check_exporters(&s, &error));
}

TEST(two_exporters_of_one_name_are_refused)
{
    SETTINGS(s, "exporters:\n"
                "  - {type: sqlite}\n"
                "  - {type: file, path: a, name: sqlite}\n");

    ERR(ft_settings_check_exporters(&s, &error), EINVAL);
    TRUE(strstr(error.text, "fettled.yaml:3:") != NULL);
}

TEST(names_of_exporters_are_judged)
{
    SETTINGS(s, "exporters:\n  - {type: file, path: a, name: 'a b'}\n");

    ERR(ft_settings_check_exporters(&s, &error), EINVAL);
    TRUE(strstr(error.text, "fettled.yaml:2:") != NULL);
}

static void note(void *arg, const char *name)
{
    char *all = arg;

    snprintf(all + strlen(all), 400 - strlen(all), "%s ", name);
}

TEST(what_is_equal_to_the_last_key_differs_in_none)
{
    static const char all_keys[] =
        "agents: {heartbeat: 7s}\nruntime: {workers: 1, leaks: abort}\nexporters:\n"
        "  - {name: a, type: file, path: x}\n  - {name: b, type: sqlite, keep: 1d}\n"
        "  - {name: c, type: elasticsearch, url: 'http://h:1', index: i}\n"
        "  - {name: d, type: influxdb, url: 'http://h:1', database: d}\n"
        "  - {name: e, type: mysql, user: u, password_file: pw, database: d}\n";
    SETTINGS(a, all_keys);
    SETTINGS(b, all_keys);
    SETTINGS(c, "agents: {heartbeat: 8s}\nruntime: {leaks: abort}\nmetrics: {lane: {overflow: "
                "drop-newest}}\n");
    char text[400] = "";

    ft_settings_diff(&a, &b, note, text);
    STREQ(text, "");
    ft_settings_diff(&a, &c, note, text);
    STREQ(text, "agents.heartbeat metrics.lane.overflow exporters runtime.workers ");
}

TEST(the_command_line_goes_before_the_file)
{
    CLEANUP(ft_settings_fini) struct ft_settings s = {0}, second = {0};
    const char *given[] = {"127.0.0.1:1", "127.0.0.1:2"};
    char path[256];

    SETTINGS(file, "data: /from/file\nagents: {listen: [127.0.0.1:9]}\n");
    EQ(file.agents.listen.n, 1);
    snprintf(path, sizeof(path), "%s/fettled.yaml", test_dir());
    OK(ft_settings_load(&(struct ft_settings_source){.file = path}, &s, &error));
    STREQ(s.data, "/from/file");
    ft_settings_share(&s, &second);
    ft_settings_fini(&s);
    STREQ(second.data, "/from/file"); /* as long as somebody holds them */
    OK(ft_settings_load(&(struct ft_settings_source){.file = path,
                                                     .data = "/given",
                                                     .agents = {.items = given, .n = 2}},
                        &s, &error));
    STREQ(s.data, "/given");
    EQ(s.agents.listen.n, 2);
    STREQ(s.agents.listen.items[1], "127.0.0.1:2");
    given[1] = "nonsense";
    ft_settings_fini(&s);
    ERR(ft_settings_load(
            &(struct ft_settings_source){.file = path, .agents = {.items = given, .n = 2}}, &s,
            &error),
        EINVAL);
}
