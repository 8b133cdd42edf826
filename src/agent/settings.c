/* The agent's file: its tables, and the rules that a table cannot say. */
#include "settings.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <base/cleanup.h>
#include <model/object.h>
#include <rnet/addr.h>

#define RECONNECT_NS_MAX FT_SEC(3600)

static const struct {
    const char *name;
    int number;
} signals[] = {
    {"HUP", SIGHUP},   {"USR1", SIGUSR1}, {"USR2", SIGUSR2},   {"INT", SIGINT},
    {"TERM", SIGTERM}, {"QUIT", SIGQUIT}, {"WINCH", SIGWINCH},
};

static int on_change_parse(struct ft_yaml *y, const char *text, void *field,
                           struct ft_text_error *why)
{
    struct ft_on_change *c = field;

    (void)y;
    if (strcmp(text, "restart") == 0) {
        *c = (struct ft_on_change){.restart = true};
        return 0;
    }
    if (strncmp(text, "signal ", 7) == 0) {
        const char *name = text + 7 + (strncasecmp(text + 7, "SIG", 3) == 0 ? 3 : 0);

        for (size_t i = 0; i < sizeof(signals) / sizeof(*signals); i++) {
            if (strcmp(signals[i].name, name) == 0) {
                *c = (struct ft_on_change){.signal = signals[i].number};
                return 0;
            }
        }
    }
    ft_text_error_set(why,
                      "\"%.64s\" is not known: write `restart`, or `signal` with HUP, USR1, USR2, "
                      "INT, TERM, QUIT or WINCH",
                      text);
    return -EINVAL;
}

static bool on_change_same(const void *a, const void *b)
{
    const struct ft_on_change *one = a, *other = b;

    return one->restart == other->restart && one->signal == other->signal;
}

static int stdout_parse(struct ft_yaml *y, const char *text, void *field, struct ft_text_error *why)
{
    struct ft_stdout *o = field;

    if (strcmp(text, "discard") == 0) {
        *o = (struct ft_stdout){FT_STDOUT_DISCARD, NULL};
    } else if (strcmp(text, "inherit") == 0) {
        *o = (struct ft_stdout){FT_STDOUT_INHERIT, NULL};
    } else if (strncmp(text, "file:", 5) == 0 && text[5]) {
        *o = (struct ft_stdout){FT_STDOUT_FILE, ft_yaml_path(y, text + 5)};
        return o->path ? 0 : -ENOMEM;
    } else {
        ft_text_error_set(why, "\"%.64s\" is not known: write discard, inherit or file:PATH", text);
        return -EINVAL;
    }
    return 0;
}

static bool stdout_same(const void *a, const void *b)
{
    const struct ft_stdout *one = a, *other = b;

    return one->kind == other->kind && ft_option_same_text(&one->path, &other->path);
}

static const char *const lines_names[] = {"none", "stdout", NULL};

struct health {
    int64_t window_ns;
};
static const struct ft_option health_options[] = {
    {"window", FT_DURATION, offsetof(struct health, window_ns), .def = "5s", .max = FT_SEC(3600),
     .help = "how long a process must run with a new configuration"},
    {0},
};

static const struct ft_option process_options[] = {
#define AT(field) offsetof(struct ft_process_settings, field)
    {"name", FT_STRING, AT(name), .required = true, .help = "unique in this file"},
    {"command", FT_STRINGS, AT(command), .required = true,
     .help = "the program and its arguments, as a list"},
    {"objects", FT_PATH_MAP, AT(objects), .help = "which pushed object becomes which file"},
    {"on_change", FT_CUSTOM, AT(on_change), .def = "restart", .parse = on_change_parse,
     .same = on_change_same},
    {"start_grace", FT_DURATION, AT(start_grace_ns), .def = "1s", .max = FT_SEC(3600)},
    {"stdout", FT_CUSTOM, AT(stdout_to), .def = "discard", .parse = stdout_parse,
     .same = stdout_same},
    {"health", FT_TABLE, AT(window_ns), .table = health_options},
    {"lines", FT_ENUM, AT(lines), .def = "none", .names = lines_names},
    {.kind = FT_MARK, .offset = AT(mark)},
    {0},
#undef AT
};

struct reconnect {
    int64_t base_ns, max_ns;
};
static const struct ft_option reconnect_options[] = {
    {"base", FT_DURATION, offsetof(struct reconnect, base_ns), .def = "500ms", .min = FT_MS(1),
     .max = RECONNECT_NS_MAX},
    {"max", FT_DURATION, offsetof(struct reconnect, max_ns), .def = "20s", .min = FT_MS(1),
     .max = RECONNECT_NS_MAX},
    {0},
};

/* What the file says, before it is judged. */
struct document {
    const char *server, *state;
    struct ft_pairs labels;
    struct reconnect reconnect;
    struct ft_items processes;
};
static const struct ft_option options[] = {
#define AT(field) offsetof(struct document, field)
    {"server", FT_STRING, AT(server), .def = "tcp://127.0.0.1:4320"},
    {"state", FT_PATH, AT(state), .def = "./agent-state"},
    {"labels", FT_STRING_MAP, AT(labels)},
    {"reconnect", FT_TABLE, AT(reconnect), .table = reconnect_options},
    {"processes", FT_TABLES, AT(processes), .table = process_options,
     .size = sizeof(struct ft_process_settings)},
    {0},
#undef AT
};

/* ---- judging ---- */

static int server_check(struct ft_settings *s, struct ft_text_error *why)
{
    static const char *const later[] = {"tls://", "ws://", "wss://", "http://", "https://"};
    struct rnet_addr addr;
    char host[256], port[8];

    for (size_t i = 0; i < sizeof(later) / sizeof(*later); i++) {
        if (strncmp(s->server, later[i], strlen(later[i])) == 0) {
            ft_text_error_set(why,
                              "server: %.128s: this agent speaks framed TCP: write tcp://HOST:PORT",
                              s->server);
            return -EINVAL;
        }
    }
    s->address = strncmp(s->server, "tcp://", 6) == 0 ? s->server + 6 : s->server;
    if (strncmp(s->address, "unix:", 5) == 0 && rnet_addr_parse(s->address, &addr) == 0)
        return 0;
    if (s->address != s->server &&
        rnet_addr_split(s->address, host, sizeof(host), port, sizeof(port)) == 0 &&
        !strpbrk(s->address, "/ "))
        return 0;
    ft_text_error_set(why, "server: \"%.128s\" is not an address: write tcp://HOST:PORT",
                      s->server);
    return -EINVAL;
}

static bool has_control(const char *text)
{
    for (const unsigned char *p = (const unsigned char *)text; *p; p++)
        if (*p < 0x20 || *p == 0x7f)
            return true;
    return false;
}

/* Two objects must not become one file; the same object may, for several processes. */
static int path_check(const struct ft_settings *s, const struct ft_process_settings *p,
                      const struct ft_pair *pair, struct ft_text_error *reterr)
{
    const struct ft_process_settings *all;
    size_t n = ft_settings_processes(s, &all);

    for (size_t i = 0; i < n && all + i <= p; i++) {
        for (size_t j = 0; j < all[i].objects.n; j++) {
            const struct ft_pair *other = &all[i].objects.items[j];

            if (other == pair)
                return 0;
            if (strcmp(other->value, pair->value) == 0 && strcmp(other->key, pair->key) != 0)
                return ft_yaml_fail(
                    s->yaml, pair->mark, reterr,
                    "objects \"%s\" and \"%s\" become one file, %s: give each a file of its own",
                    other->key, pair->key, pair->value);
        }
    }
    return 0;
}

static int objects_check(const struct ft_settings *s, const struct ft_process_settings *p,
                         struct ft_text_error *reterr)
{
    for (size_t i = 0; i < p->objects.n; i++) {
        const struct ft_pair *pair = &p->objects.items[i];
        const char *why;
        int r;

        if (ft_object_name_check(rn_slice_str(pair->key), &why) < 0)
            return ft_yaml_fail(s->yaml, pair->mark, reterr,
                                "object \"%.64s\": %s: choose another name", pair->key, why);
        if (has_control(pair->value) || !*pair->value || strlen(pair->value) > PATH_MAX - 64)
            return ft_yaml_fail(
                s->yaml, pair->mark, reterr,
                "the path of \"%.64s\" is empty, too long or has control characters: "
                "choose another path",
                pair->key);
        r = path_check(s, p, pair, reterr);
        if (r < 0)
            return r;
    }
    return 0;
}

static int process_check(const struct ft_settings *s, const struct ft_process_settings *p,
                         struct ft_text_error *reterr)
{
    const struct ft_process_settings *all;

    (void)ft_settings_processes(s, &all);
    if (!*p->name || has_control(p->name) || strlen(p->name) > 255)
        return ft_yaml_fail(s->yaml, p->mark, reterr,
                            "the name of a process has 1 to 255 bytes and no control characters: "
                            "choose another one");
    for (const struct ft_process_settings *other = all; other < p; other++)
        if (strcmp(other->name, p->name) == 0)
            return ft_yaml_fail(s->yaml, p->mark, reterr,
                                "process \"%s\" stands twice, first in line %d: rename one",
                                p->name, other->mark.line);
    if (p->command.n == 0 || !*p->command.items[0])
        return ft_yaml_fail(s->yaml, p->mark, reterr,
                            "process \"%s\" has no command: name a program", p->name);
    return objects_check(s, p, reterr);
}

static int settings_check(struct ft_settings *s, struct ft_text_error *reterr)
{
    const struct ft_process_settings *p;
    size_t n = ft_settings_processes(s, &p);
    struct ft_text_error why;
    int r = server_check(s, &why);

    if (r < 0)
        return ft_yaml_fail(s->yaml, (struct ft_mark){0}, reterr, "%s", why.text);
    if (s->reconnect_max_ns < s->reconnect_base_ns)
        return ft_yaml_fail(s->yaml, (struct ft_mark){0}, reterr,
                            "reconnect: max is smaller than base: exchange them");
    for (size_t i = 0; i < s->labels.n; i++)
        if (!*s->labels.items[i].key || has_control(s->labels.items[i].key))
            return ft_yaml_fail(s->yaml, s->labels.items[i].mark, reterr,
                                "a label has an empty name or control characters: "
                                "rename it");
    for (size_t i = 0; i < n && r == 0; i++)
        r = process_check(s, &p[i], reterr);
    return r;
}

/* Paths go into journals that a later start, perhaps from another folder, reads: so they are
 * absolute. */
static int path_absolute(struct ft_yaml *y, const char *cwd, const char **path)
{
    char joined[PATH_MAX];

    if (!*path || **path == '/')
        return 0;
    if ((size_t)snprintf(joined, sizeof(joined), "%s/%s", cwd, *path) >= sizeof(joined))
        return -ENAMETOOLONG;
    *path = ft_yaml_strdup(y, joined);
    return *path ? 0 : -ENOMEM;
}

static int paths_absolute(struct ft_settings *s)
{
    CLEANUP(freep) char *cwd = realpath(".", NULL);
    CLEANUP(freep) char *folder = realpath(ft_yaml_dir(s->yaml), NULL);
    struct ft_process_settings *p = s->process_items.items;
    int r;

    if (!cwd || !folder)
        return -errno;
    s->folder = ft_yaml_strdup(s->yaml, folder);
    r = s->folder ? path_absolute(s->yaml, cwd, &s->state) : -ENOMEM;
    for (size_t i = 0; i < s->process_items.n; i++) {
        if (r == 0)
            r = path_absolute(s->yaml, cwd, &p[i].stdout_to.path);
        for (size_t j = 0; j < p[i].objects.n && r == 0; j++)
            r = path_absolute(s->yaml, cwd, &p[i].objects.items[j].value);
    }
    return r;
}

int ft_settings_read(const char *path, const char *server, struct ft_settings *ret,
                     struct ft_text_error *reterr)
{
    CLEANUP(ft_settings_fini) struct ft_settings s = {0};
    struct document doc;
    int r = ft_yaml_read_file(path, options, &doc, sizeof(doc), &s.yaml, reterr);

    if (r < 0)
        return r;
    s.server = server ? ft_yaml_strdup(s.yaml, server) : doc.server;
    s.state = doc.state;
    s.labels = doc.labels;
    s.reconnect_base_ns = doc.reconnect.base_ns;
    s.reconnect_max_ns = doc.reconnect.max_ns;
    s.process_items = doc.processes;
    r = settings_check(&s, reterr);
    if (r < 0)
        return r;
    r = s.server ? paths_absolute(&s) : -ENOMEM;
    if (r < 0) {
        ft_text_error_set(reterr,
                          "%s: its paths cannot be resolved (%s): shorten them or start elsewhere",
                          path, strerror(-r));
        return r;
    }
    *ret = s;
    s.yaml = NULL;
    return 0;
}

void ft_settings_fini(struct ft_settings *s)
{
    s->yaml = ft_yaml_free(s->yaml);
}

void ft_settings_share(const struct ft_settings *s, struct ft_settings *ret)
{
    *ret = *s;
    (void)ft_yaml_ref(s->yaml);
}

static struct document document_of(const struct ft_settings *s)
{
    return (struct document){.server = s->server,
                             .state = s->state,
                             .labels = s->labels,
                             .reconnect = {s->reconnect_base_ns, s->reconnect_max_ns},
                             .processes = s->process_items};
}

void ft_settings_diff(const struct ft_settings *a, const struct ft_settings *b,
                      ft_option_differs_fn *differs, void *arg)
{
    const struct document one = document_of(a), other = document_of(b);

    ft_options_diff(options, &one, &other, differs, arg);
}

bool ft_process_settings_need_life(const struct ft_process_settings *a,
                                   const struct ft_process_settings *b)
{
    struct ft_process_settings like = *b;

    like.objects = a->objects;
    like.on_change = a->on_change;
    like.start_grace_ns = a->start_grace_ns;
    like.window_ns = a->window_ns;
    return !ft_options_equal(process_options, a, &like);
}
