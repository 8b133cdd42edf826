#include "settings.h"

#include <signal.h>
#include <string.h>

#include <base/cleanup.h>

#include "testing.h"

TEST(the_contracts_file_is_read)
{
    CLEANUP(ft_settings_fini) struct ft_settings s = {0};
    const struct ft_process_settings *p;

    testing_settings(
        "server: tcp://127.0.0.1:4320\nstate: ./agent-state\nlabels: {env: dev}\n"
        "reconnect: {base: 500ms, max: 20s}\nprocesses:\n  - name: shipper\n"
        "    command: [./shipper, --config, ./agent-state/shipper.yaml]\n"
        "    objects: {shipper.yaml: ./agent-state/shipper.yaml}\n    on_change: signal HUP\n"
        "    start_grace: 1s\n    stdout: discard\n    health: {window: 5s}\n    lines: stdout\n",
        &s);
    EQ(ft_settings_processes(&s, &p), 1);
    STREQ(s.address, "127.0.0.1:4320");
    STREQ(s.folder, testing_path("@"));
    STREQ(p->objects.items[0].value, testing_path("@/./agent-state/shipper.yaml"));
    EQ(p->command.n, 3);
    TRUE(p->command.items[3] == NULL);
    EQ(p->on_change.signal, SIGHUP);
    EQ(p->window_ns, FT_SEC(5));
    EQ(p->lines, FT_LINES_STDOUT);
}

TEST(what_is_left_out_has_a_default)
{
    CLEANUP(ft_settings_fini) struct ft_settings s = {0};
    const struct ft_process_settings *p;

    testing_settings("processes:\n  - {name: a, command: [x]}\n", &s);
    EQ(ft_settings_processes(&s, &p), 1);
    STREQ(s.server, "tcp://127.0.0.1:4320");
    STREQ(s.state, testing_path("@/./agent-state"));
    EQ(s.reconnect_base_ns, FT_MS(500));
    EQ(s.reconnect_max_ns, FT_SEC(20));
    TRUE(p->on_change.restart);
    EQ(p->start_grace_ns, FT_SEC(1));
    EQ(p->window_ns, FT_SEC(5));
    EQ(p->stdout_to.kind, FT_STDOUT_DISCARD);
    EQ(p->lines, FT_LINES_NONE);
}

static void refuses(const char *text, const char *where_and_what)
{
    CLEANUP(ft_settings_fini) struct ft_settings s = {0};
    struct ft_text_error err = {""};
    const char *path = testing_path("@/bad.yaml");

    testing_write(path, text);
    test_note("%s", text);
    TRUE(ft_settings_read(path, NULL, &s, &err) < 0);
    TRUE(strncmp(err.text, path, strlen(path)) == 0);
    if (!strstr(err.text, where_and_what))
        FAIL("\"%s\" does not say \"%s\"", err.text, where_and_what);
}

TEST(a_wrong_file_is_refused_with_file_line_and_column)
{
    refuses("servr: x\n", "bad.yaml:1:1: unknown key \"servr\"");
    refuses("server: http://x:1\n",
            "bad.yaml: server: http://x:1: this agent speaks framed TCP: write tcp://HOST:PORT");
    refuses("server: localhost:4320\n", "is not an address: write tcp://HOST:PORT");
    refuses("server: tcp://localhost\n", "is not an address");
    refuses("processes:\n  - {name: a}\n", "bad.yaml:2:5: command is missing");
    refuses("processes:\n  - {name: a, command: []}\n",
            "bad.yaml:2:5: process \"a\" has no command");
    refuses("processes:\n  - {name: a, command: [x]}\n  - {name: a, command: [x]}\n",
            "bad.yaml:3:5: process \"a\" stands twice, first in line 2");
    refuses("processes:\n  - {name: a, command: [x], on_change: signal FOO}\n",
            "bad.yaml:2:40: on_change: \"signal FOO\"");
    refuses("processes:\n  - {name: a, command: [x], stdout: nowhere}\n",
            "stdout: \"nowhere\" is not known");
    refuses("processes:\n  - {name: a, command: [x], health: {http: x}}\n",
            "unknown key \"http\" in health");
    refuses("processes:\n  - {name: a, command: [x], lines: http://x}\n",
            "lines: \"http://x\" is unknown: write none or stdout");
    refuses("processes:\n  - {name: a, command: [x], objects: {a/b: c}}\n",
            "bad.yaml:2:39: object \"a/b\"");
    refuses("processes:\n  - {name: a, command: [x], objects: {a: f, b: f}}\n", "become one file");
    refuses("reconnect: {base: 5s, max: 1s}\n", "max is smaller than base");
    refuses("reconnect: {base: 5}\n", "bad.yaml:1:19: base: \"5\" is not a duration");
}

TEST(a_server_on_the_command_line_wins)
{
    CLEANUP(ft_settings_fini) struct ft_settings s = {0};
    struct ft_text_error err = {""};

    testing_write(testing_path("@/a.yaml"), "server: tcp://10.0.0.1:1\n");
    OK(ft_settings_read(testing_path("@/a.yaml"), "tcp://[::1]:5", &s, &err));
    STREQ(s.address, "[::1]:5");
    ft_settings_fini(&s);
    ERR(ft_settings_read(testing_path("@/a.yaml"), "nonsense", &s, &err), EINVAL);
}

static void note(void *arg, const char *name)
{
    char *all = arg;

    (void)snprintf(all + strlen(all), 200 - strlen(all), "%s ", name);
}

TEST(two_files_differ_in_the_keys_that_say_something_else)
{
    static const char common[] = "processes:\n  - {name: a, command: [x], stdout: 'file:out'}\n";
    static const struct {
        const char *text, *names;
    } rows[] = {
        {"processes:\n  - {name: a, command: [x], stdout: 'file:out'}\n", ""},
        {"# moved by a line\nlabels: {}\nprocesses:\n  - {command: [x], name: a, stdout: "
         "'file:out', on_change: restart}\n",
         ""},
        {"processes:\n  - {name: a, command: [x], stdout: 'file:in'}\n", "processes "},
        {"processes:\n  - {name: a, command: [x], stdout: 'file:out', on_change: signal HUP}\n",
         "processes "},
        {"server: tcp://h:1\nlabels: {a: b}\nstate: ./other\nreconnect: {max: 7s}\n",
         "server state labels reconnect.max processes "},
    };
    CLEANUP(ft_settings_fini) struct ft_settings a = {0};

    testing_settings(common, &a);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        CLEANUP(ft_settings_fini) struct ft_settings b = {0};
        char all[200] = "";

        test_note("row %zu", i);
        testing_settings(rows[i].text, &b);
        ft_settings_diff(&a, &b, note, all);
        STREQ(all, rows[i].names);
    }
}

TEST(a_process_needs_a_new_life_for_its_command_output_and_count_only)
{
    static const struct {
        const char *text;
        bool needs;
    } rows[] = {
        {"{name: a, command: [x]}", false},
        {"{name: a, command: [x], start_grace: 7s, health: {window: 9s}, on_change: signal HUP, "
         "objects: {o: f}}",
         false},
        {"{name: a, command: [x, y]}", true},
        {"{name: a, command: [x], stdout: inherit}", true},
        {"{name: a, command: [x], lines: stdout}", true},
    };
    CLEANUP(ft_settings_fini) struct ft_settings a = {0};

    testing_settings("processes:\n  - {name: a, command: [x]}\n", &a);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        CLEANUP(ft_settings_fini) struct ft_settings b = {0};
        char text[400];

        test_note("row %zu", i);
        (void)snprintf(text, sizeof(text), "processes:\n  - %s\n", rows[i].text);
        testing_settings(text, &b);
        EQ(ft_process_settings_need_life(a.process_items.items, b.process_items.items),
           rows[i].needs);
    }
}
