/* The YAML reader: what it reads, and that it says where and why it does not. */
#include <model/yaml.h>

#include <stddef.h>
#include <string.h>

#include <base/cleanup.h>
#include <harness/test.h>
#include <model/scalar.h>

struct lane {
    int64_t batches_max, bytes_max;
    int overflow;
};

struct process {
    const char *name, *file;
    struct ft_strings command;
    struct ft_pairs objects;
    struct ft_mark mark;
};

struct sink {
    const char *path;
    int64_t port;
};

struct settings {
    const char *data, *title;
    bool insecure;
    int64_t timeout_ns, workers;
    struct ft_strings listen;
    struct ft_pairs labels;
    struct lane lane;
    struct ft_items processes, sinks;
    int colour;
};

static const char *const overflow_names[] = {"drop-oldest", "drop-newest", NULL};

static const struct ft_option lane_options[] = {
    {"batches_max", FT_INT, offsetof(struct lane, batches_max), .def = "1000", .min = 1,
     .max = 1000000},
    {"bytes_max", FT_SIZE, offsetof(struct lane, bytes_max), .def = "64MiB"},
    {"overflow", FT_ENUM, offsetof(struct lane, overflow), .def = "drop-oldest",
     .names = overflow_names},
    {0},
};

static const struct ft_option process_options[] = {
    {"name", FT_STRING, offsetof(struct process, name), .required = true, .help = "unique"},
    {"file", FT_PATH, offsetof(struct process, file)},
    {"command", FT_STRINGS, offsetof(struct process, command)},
    {"objects", FT_PATH_MAP, offsetof(struct process, objects)},
    {.kind = FT_MARK, .offset = offsetof(struct process, mark)},
    {0},
};

static const struct ft_option file_options[] = {
    {"path", FT_STRING, offsetof(struct sink, path), .required = true},
    {0},
};
static const struct ft_option net_options[] = {
    {"port", FT_INT, offsetof(struct sink, port), .def = "3306", .min = 0, .max = 65535},
    {0},
};
static const struct ft_variant_type sink_types[] = {
    {"file", file_options, sizeof(struct sink), NULL},
    {"net", net_options, sizeof(struct sink), NULL},
    {0},
};

static int colour_parse(struct ft_yaml *y, const char *text, void *field, struct ft_text_error *why)
{
    (void)y;
    if (strcmp(text, "red") != 0) {
        ft_text_error_set(why, "\"%s\" is no colour: write red", text);
        return -EINVAL;
    }
    *(int *)field = 0xff0000;
    return 0;
}

static const struct ft_option options[] = {
    {"data", FT_PATH, offsetof(struct settings, data), .def = "./data"},
    {"title", FT_STRING, offsetof(struct settings, title)},
    {"insecure", FT_BOOL, offsetof(struct settings, insecure), .def = "false"},
    {"timeout", FT_DURATION, offsetof(struct settings, timeout_ns), .def = "5m", .min = FT_SEC(1),
     .max = FT_SEC(3600)},
    {"workers", FT_INT, offsetof(struct settings, workers), .def = "1"},
    {"listen", FT_STRINGS, offsetof(struct settings, listen), .def = "127.0.0.1:4320 [::1]:4320"},
    {"labels", FT_STRING_MAP, offsetof(struct settings, labels)},
    {"lane", FT_TABLE, offsetof(struct settings, lane), .table = lane_options},
    {"processes", FT_TABLES, offsetof(struct settings, processes), .table = process_options,
     .size = sizeof(struct process)},
    {"sinks", FT_VARIANTS, offsetof(struct settings, sinks), .variants = sink_types},
    {"colour", FT_CUSTOM, offsetof(struct settings, colour), .parse = colour_parse},
    {0},
};

static int read_text(const char *text, struct settings *s, struct ft_yaml **y,
                     struct ft_text_error *err)
{
    return ft_yaml_read_text("etc/a.yaml", text, strlen(text), options, s, sizeof(*s), y, err);
}

static void refuses(const char *text, const char *message)
{
    CLEANUP(ft_yaml_freep) struct ft_yaml *y = NULL;
    struct ft_text_error err = {""};
    struct settings s;

    test_note("%s", text);
    ERR(read_text(text, &s, &y, &err), EINVAL);
    STREQ(err.text, message);
}

TEST(an_empty_text_gives_the_defaults)
{
    static const char *const empty[] = {"", "# nothing\n", "---\n", "{}\n"};

    for (size_t i = 0; i < 4; i++) {
        CLEANUP(ft_yaml_freep) struct ft_yaml *y = NULL;
        struct ft_text_error err;
        struct settings s;

        OK(read_text(empty[i], &s, &y, &err));
        STREQ(s.data, "etc/./data");
        EQ(s.timeout_ns, FT_SEC(300));
        EQ(s.listen.n, 2);
        STREQ(s.listen.items[1], "[::1]:4320");
        FALSE(s.listen.given);
        FALSE(s.sinks.given);
        EQ(s.lane.batches_max, 1000);
        EQ(s.lane.bytes_max, 64 << 20);
    }
}

TEST(every_kind_of_value_is_read)
{
    CLEANUP(ft_yaml_freep) struct ft_yaml *y = NULL;
    struct ft_text_error err = {""};
    struct settings s;

    OK(read_text("data: /var/x\ntitle: \"1\"\ninsecure: true\ntimeout: 30s\nworkers: 3\nlisten: "
                 "[]\ncolour: red\n"
                 "labels: {env: dev, tier: 3}\n"
                 "lane: {bytes_max: 1KiB, overflow: drop-newest}\n"
                 "processes:\n  - name: one\n    command: [./a, --b, '']\n    objects: {c.yaml: "
                 "./state/c.yaml}\n"
                 "    file: x\n  - {name: two}\n"
                 "sinks:\n  - {type: file, path: '-'}\n  - {type: net}\n",
                 &s, &y, &err));
    STREQ(s.data, "/var/x");
    STREQ(s.title, "1");
    TRUE(s.insecure);
    EQ(s.timeout_ns, FT_SEC(30));
    EQ(s.workers, 3);
    TRUE(s.listen.given);
    EQ(s.listen.n, 0);
    EQ(s.colour, 0xff0000);
    EQ(s.labels.n, 2);
    STREQ(s.labels.items[1].key, "tier");
    STREQ(s.labels.items[1].value, "3");
    EQ(s.lane.batches_max, 1000);
    EQ(s.lane.bytes_max, 1024);
    EQ(s.lane.overflow, 1);

    const struct process *p = s.processes.items;
    EQ(s.processes.n, 2);
    EQ(p[0].command.n, 3);
    STREQ(p[0].objects.items[0].value, "etc/./state/c.yaml");
    STREQ(p[0].file, "etc/x");
    EQ(p[1].mark.line, 15);
    EQ(p[1].mark.column, 5);

    const struct ft_variant *v = s.sinks.items;
    EQ(s.sinks.n, 2);
    STREQ(v[0].type->name, "file");
    STREQ(((struct sink *)v[0].value)->path, "-");
    EQ(((struct sink *)v[1].value)->port, 3306);
}

TEST(a_wrong_file_is_refused_with_its_place)
{
    refuses("data: x\nno_such: 1\n", "etc/a.yaml:2:1: unknown key \"no_such\": known here: data, "
                                     "title, insecure, timeout, workers, listen, labels, "
                                     "lane, processes, sinks or colour");
    refuses("lane:\n  x: 1\n", "etc/a.yaml:2:3: unknown key \"x\" in lane: known here: "
                               "batches_max, bytes_max or overflow");
    refuses("data: x\ndata: y\n",
            "etc/a.yaml:2:1: \"data\" stands twice, first in line 1: keep one");
    refuses("labels: {a: 1, a: 2}\n",
            "etc/a.yaml:1:16: \"a\" stands twice, first in line 1: keep one");
    refuses("insecure: yes\n",
            "etc/a.yaml:1:11: insecure: \"yes\" is neither true nor false: write one of them");
    refuses("insecure: 'true'\n", "etc/a.yaml:1:11: insecure is a quoted text: remove the quotes");
    refuses("timeout: 10\n", "etc/a.yaml:1:10: timeout: \"10\" is not a duration such as 250ms, "
                             "30s, 5m, 1h or 30d: write one");
    refuses("timeout: 10ms\n", "etc/a.yaml:1:10: timeout is too small: at least 1s");
    refuses("timeout: 2h\n", "etc/a.yaml:1:10: timeout is too large: at most 3600s");
    refuses("workers: 1.5\n", "etc/a.yaml:1:10: workers: \"1.5\" is not a whole number: write one");
    refuses(
        "workers: 99999999999999999999\n",
        "etc/a.yaml:1:10: workers: \"99999999999999999999\" is too large: write a whole number");
    refuses("listen: a\n",
            "etc/a.yaml:1:9: listen is a single value: write a list, [a, b] or a line `- a` each");
    refuses("listen: [[a]]\n", "etc/a.yaml:1:10: listen is a list: write a single value");
    refuses("data: [x]\n", "etc/a.yaml:1:7: data is a list: write a single value");
    refuses("data:\n", "etc/a.yaml:1:6: data is empty: give a value or remove the key");
    refuses("lane: 3\n", "etc/a.yaml:1:7: lane is a single value: write a mapping, `key: value`");
    refuses("lane: {overflow: spill}\n",
            "etc/a.yaml:1:18: overflow: \"spill\" is unknown: write drop-oldest or drop-newest");
    refuses("colour: mud\n", "etc/a.yaml:1:9: colour: \"mud\" is no colour: write red");
    refuses("processes:\n  - command: [a]\n",
            "etc/a.yaml:2:5: name is missing in processes: add it (unique)");
    refuses("sinks: [{path: x}]\n",
            "etc/a.yaml:1:9: type is missing in sinks: add `type:` with file or net");
    refuses("sinks: [{type: es}]\n", "etc/a.yaml:1:16: type: \"es\" is unknown: write file or net");
    refuses("sinks: [{type: net, path: x}]\n",
            "etc/a.yaml:1:21: unknown key \"path\" in sinks: known here: type or port");
    refuses("- a\n", "etc/a.yaml:1:1: the file is a list: write a mapping, `key: value`");
    refuses("title: \"a\\0b\"\n", "etc/a.yaml:1:8: title contains a NUL byte: remove it");
    refuses("data: x\n---\ndata: y\n",
            "etc/a.yaml:3:1: a second document begins here: keep one document in a file");
    refuses("title: *a\n", "etc/a.yaml:1:8: not YAML: found undefined alias: check indentation, "
                           "colons and quotes here");
    refuses("lane: &a {overflow: *a}\n",
            "etc/a.yaml:1:7: overflow is a mapping: write a single value");
}

TEST(what_is_not_yaml_or_not_text_is_refused)
{
    static const char *const bad[] = {"a: [1\n",      "a: b: c\n",  "\ta: 1\n", "\"",
                                      "\xff\xfe\xff", "a\x01: 1\n", "%%%\n",    "}"};

    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        CLEANUP(ft_yaml_freep) struct ft_yaml *y = NULL;
        struct ft_text_error err = {""};
        struct settings s;

        test_note("%zu", i);
        ERR(read_text(bad[i], &s, &y, &err), EINVAL);
        TRUE(strncmp(err.text, "etc/a.yaml:", 11) == 0);
        TRUE(!s.data);
    }
}

TEST(a_file_that_is_not_there_is_named)
{
    CLEANUP(ft_yaml_freep) struct ft_yaml *y = NULL;
    struct ft_text_error err;
    struct settings s;

    ERR(ft_yaml_read_file("/nowhere/a.yaml", options, &s, sizeof(s), &y, &err), ENOENT);
    STREQ(err.text,
          "/nowhere/a.yaml: No such file or directory: name a readable configuration file");
    ERR(ft_yaml_read_file("/", options, &s, sizeof(s), &y, &err), EISDIR);
}

TEST(durations_and_sizes_are_whole_numbers_with_one_unit)
{
    static const struct {
        const char *text;
        int64_t ns;
    } good[] = {{"250ms", FT_MS(250)}, {"30s", FT_SEC(30)},         {"5m", FT_SEC(300)},
                {"1h", FT_SEC(3600)},  {"30d", FT_SEC(86400 * 30)}, {"0s", 0}};
    static const char *const bad[] = {"", "s", "1", "1.5s", "-1s", "1 s", "1h30m", "1S"};
    int64_t v;

    for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++) {
        OK(ft_duration_parse(good[i].text, &v));
        EQ(v, good[i].ns);
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
        ERR(ft_duration_parse(bad[i], &v), EINVAL);
    ERR(ft_duration_parse("99999999999d", &v), ERANGE);
    OK(ft_size_parse("64KiB", &v));
    EQ(v, 65536);
    OK(ft_size_parse("12", &v));
    EQ(v, 12);
    ERR(ft_size_parse("64kb", &v), EINVAL);
    ERR(ft_size_parse("9999999TiB", &v), ERANGE);
}

/* ---- two readings of the same table ---- */

struct inner {
    int64_t span;
    struct ft_strings names;
};
static const struct ft_option inner_options[] = {
    {"span", FT_DURATION, offsetof(struct inner, span), .def = "1s"},
    {"names", FT_STRINGS, offsetof(struct inner, names), .def = "a b"},
    {0},
};
static int word_parse(struct ft_yaml *y, const char *text, void *field, struct ft_text_error *why)
{
    (void)why;
    *(const char **)field = ft_yaml_strdup(y, text);
    return 0;
}
struct twice {
    const char *word;
    bool flag;
    struct inner inner;
    struct ft_pairs map;
    struct ft_items list;
    struct ft_mark mark;
};
static const struct ft_option twice_options[] = {
    {"word", FT_CUSTOM, offsetof(struct twice, word), .def = "w", .parse = word_parse,
     .same = ft_option_same_text},
    {"flag", FT_BOOL, offsetof(struct twice, flag)},
    {"inner", FT_TABLE, offsetof(struct twice, inner), .table = inner_options},
    {"map", FT_STRING_MAP, offsetof(struct twice, map)},
    {"list", FT_TABLES, offsetof(struct twice, list), .table = inner_options,
     .size = sizeof(struct inner)},
    {.kind = FT_MARK, .offset = offsetof(struct twice, mark)},
    {0},
};

static void differs(void *arg, const char *name)
{
    char *all = arg;

    (void)snprintf(all + strlen(all), 200 - strlen(all), "%s ", name);
}

TEST(two_readings_differ_in_the_keys_that_say_something_else)
{
    static const struct {
        const char *a, *b, *names;
    } rows[] = {
        {"", "", ""},
        {"", "# the defaults\n\nword: w\ninner: {names: [a, b], span: 1000ms}\n", ""},
        {"word: x", "word: y", "word "},
        {"flag: true", "", "flag "},
        {"inner: {span: 2s}", "", "inner.span "},
        {"inner: {names: [a]}", "inner: {names: [b], span: 3s}", "inner.span inner.names "},
        {"inner: {names: [a, b, c]}", "", "inner.names "},
        {"map: {k: v}", "map: {k: w}", "map "},
        {"map: {k: v}", "map: {l: v}", "map "},
        {"map: {k: v, l: w}", "map: {k: v}", "map "},
        {"list: [{span: 1s}]", "list: [{}]", ""},
        {"list: [{span: 1s}]", "list: [{span: 2s}]", "list "},
        {"list: [{}, {}]", "list: [{}]", "list "},
        {"word: x\nflag: true", "list: [{}]", "word flag list "},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct ft_yaml *ya, *yb;
        struct twice a, b;
        struct ft_text_error why;
        char all[200] = "", back[200] = "";

        test_note("row %zu", i);
        OK(ft_yaml_read_text("a.yaml", rows[i].a, strlen(rows[i].a), twice_options, &a, sizeof(a),
                             &ya, &why));
        OK(ft_yaml_read_text("b.yaml", rows[i].b, strlen(rows[i].b), twice_options, &b, sizeof(b),
                             &yb, &why));
        ft_options_diff(twice_options, &a, &b, differs, all);
        ft_options_diff(twice_options, &b, &a, differs, back);
        STREQ(all, rows[i].names);
        STREQ(back, rows[i].names);
        EQ(ft_options_equal(twice_options, &a, &b), rows[i].names[0] == '\0');
        ft_yaml_free(ya);
        ft_yaml_free(yb);
    }
}

TEST(what_was_read_lives_until_its_last_holder_lets_go)
{
    struct ft_yaml *y;
    struct twice a;
    struct ft_text_error why;

    OK(ft_yaml_read_text("a.yaml", "word: kept", 10, twice_options, &a, sizeof(a), &y, &why));
    struct ft_yaml *second = ft_yaml_ref(y);
    TRUE(ft_yaml_free(y) == NULL);
    STREQ(a.word, "kept");
    TRUE(ft_yaml_free(second) == NULL);
    TRUE(ft_yaml_ref(NULL) == NULL);
}
