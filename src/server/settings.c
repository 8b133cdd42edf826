#include "settings.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <base/cleanup.h>

#include <rnet/addr.h>

#include <runnel/runtime.h>

#include <proto/limits.h>

#include <model/scalar.h>

#include "agents/agent.h"
#include "exporter/types.h"

static const char *const enrolments[] = {"auto", "open", NULL};
static const char *const stores[] = {"sqlite", NULL};
static const char *const leak_policies[] = {"warn", "ignore", "abort",
                                            NULL}; /* ... of enum rn_leak_policy */

static int parse_workers(struct ft_yaml *y, const char *text, void *field,
                         struct ft_text_error *why)
{
    int64_t n = 0;

    (void)y;
    if (strcmp(text, "auto") != 0 && (ft_int_parse(text, &n) < 0 || n != 1)) {
        ft_text_error_set(why, "workers is %s: this version runs one worker: use auto or 1", text);
        return -EINVAL;
    }
    *(unsigned *)field = (unsigned)n;
    return 0;
}

static bool same_workers(const void *a, const void *b)
{
    return *(const unsigned *)a == *(const unsigned *)b;
}

/* OpAMP offers whole seconds, and an agent's clock has to live with it. */
static int parse_heartbeat(struct ft_yaml *y, const char *text, void *field,
                           struct ft_text_error *why)
{
    int64_t ns = 0;

    (void)y;
    if (ft_duration_parse(text, &ns) < 0 || ns < FT_SEC(1) || ns > FT_INTERVAL_MAX ||
        ns % FT_SEC(1) != 0) {
        ft_text_error_set(why, "heartbeat is %s: use whole seconds from 1s to 1d", text);
        return -EINVAL;
    }
    *(int64_t *)field = ns;
    return 0;
}

#define STOP_TIMEOUT_MAX FT_SEC(86400)

#define AT(member) offsetof(struct ft_settings, member)

static const struct ft_option agents_table[] = {
    {"listen", FT_STRINGS, AT(agents.listen) - AT(agents), .def = "127.0.0.1:4320",
     .help = "where agents connect"},
    {"apply_timeout", FT_DURATION, AT(agents.apply_timeout) - AT(agents), .def = "5m",
     .min = FT_MS(1), .help = "APPLYING without news for so long reads FAILED"},
    {"enrolment", FT_ENUM, AT(agents.enrolment) - AT(agents), .def = "auto", .names = enrolments,
     .help = "auto: open on loopback"},
    {"heartbeat", FT_CUSTOM, AT(agents.heartbeat) - AT(agents), .def = "30s",
     .parse = parse_heartbeat, .same = ft_option_same_int,
     .help = "offered to agents, whole seconds"},
    {"message_max", FT_SIZE, AT(agents.message_max) - AT(agents), .def = "4MiB", .min = 4096,
     .max = FT_MESSAGE_MAX_LIMIT, .help = "of a message from or to an agent"},
    {"insecure", FT_BOOL, AT(agents.insecure) - AT(agents),
     .help = "allow addresses beyond loopback"},
    {0},
};

static const struct ft_option api_table[] = {
    {"listen", FT_STRINGS, AT(api.listen) - AT(api), .def = "127.0.0.1:4321",
     .help = "the HTTP API"},
    {"body_max", FT_SIZE, AT(api.body_max) - AT(api), .def = "4MiB", .min = 1024,
     .max = FT_MESSAGE_MAX_LIMIT, .help = "of a request; more is 413"},
    {"insecure", FT_BOOL, AT(api.insecure) - AT(api), .help = "allow addresses beyond loopback"},
    {0},
};

static const struct ft_option debug_table[] = {
    {"listen", FT_STRINGS, AT(debug.listen) - AT(debug), .def = "127.0.0.1:4322",
     .help = "/metrics and /debug"},
    {"insecure", FT_BOOL, AT(debug.insecure) - AT(debug),
     .help = "allow addresses beyond loopback"},
    {0},
};

static const struct ft_option store_table[] = {
    {"type", FT_ENUM, AT(store.type) - AT(store), .def = "sqlite", .names = stores,
     .help = "the engine"},
    {0},
};

static const struct ft_option metrics_table[] = {
    {"lane", FT_TABLE, AT(metrics.lane) - AT(metrics), .table = ft_lane_options,
     .help = "the queue before each exporter"},
    {0},
};

static const struct ft_option runtime_table[] = {
    {"workers", FT_CUSTOM, AT(runtime.workers) - AT(runtime), .def = "auto", .parse = parse_workers,
     .same = same_workers, .help = "threads"},
    {"leaks", FT_ENUM, AT(runtime.leaks) - AT(runtime), .def = "warn", .names = leak_policies,
     .help = "what to do about tasks that can never wake"},
    {0},
};

/* The exporters' part is filled in from their table of types. */
static const struct ft_option settings_table[] = {
    {"data", FT_PATH, AT(data),
     .help = "the folder of everything that is kept; $STATE_DIRECTORY, else ./fettle-data"},
    {"agents", FT_TABLE, AT(agents), .table = agents_table, .help = "the agents' port"},
    {"api", FT_TABLE, AT(api), .table = api_table, .help = "the operators' port"},
    {"debug", FT_TABLE, AT(debug), .table = debug_table, .help = "the window for diagnostics"},
    {"stop_timeout", FT_DURATION, AT(stop_timeout), .def = "10s", .min = FT_MS(1),
     .max = STOP_TIMEOUT_MAX, .help = "for an orderly stop"},
    {"store", FT_TABLE, AT(store), .table = store_table, .help = "configurations, groups, agents"},
    {"metrics", FT_TABLE, AT(metrics), .table = metrics_table, .help = "the pipeline"},
    {"exporters", FT_VARIANTS, AT(exporters), .variants = ft_exporter_variants,
     .help = "any subset; absent: sqlite alone"},
    {"runtime", FT_TABLE, AT(runtime), .table = runtime_table, .help = "runnel"},
    {0},
};

static int check_listen(struct ft_settings *s, const struct ft_strings *listen, const char *section,
                        struct ft_text_error *reterr)
{
    struct rnet_addr addr;

    if (listen->n == 0 || listen->n > 8)
        return ft_yaml_fail(s->yaml, listen->mark, reterr, "%s.listen must have 1 to 8 addresses",
                            section);
    for (size_t i = 0; i < listen->n; i++)
        if (rnet_addr_parse(listen->items[i], &addr) < 0)
            return ft_yaml_fail(
                s->yaml, listen->mark, reterr,
                "%s.listen: %s is no address: use 127.0.0.1:PORT, [::1]:PORT or unix:/PATH",
                section, listen->items[i]);
    return 0;
}

static int check(struct ft_settings *s, struct ft_text_error *reterr)
{
    int r = check_listen(s, &s->agents.listen, "agents", reterr);
    if (r == 0)
        r = check_listen(s, &s->api.listen, "api", reterr);
    return r < 0 ? r : check_listen(s, &s->debug.listen, "debug", reterr);
}

int ft_settings_read(const char *path, struct ft_settings *ret, struct ft_text_error *reterr)
{
    struct ft_settings s;
    struct ft_yaml *yaml = NULL;

    int r = path ? ft_yaml_read_file(path, settings_table, &s, sizeof(s), &yaml, reterr)
                 : ft_yaml_read_text("fettled.yaml", "", 0, settings_table, &s, sizeof(s), &yaml,
                                     reterr);
    if (r < 0)
        return r;
    s.yaml = yaml;
    r = check(&s, reterr);
    if (r < 0)
        ft_settings_fini(&s);
    else
        *ret = s;
    return r;
}

void ft_settings_fini(struct ft_settings *s)
{
    s->yaml = ft_yaml_free(s->yaml);
}

/* The first address beyond loopback, or NULL. */
static const char *beyond_loopback(const struct ft_strings *listen)
{
    struct rnet_addr addr;

    for (size_t i = 0; i < listen->n; i++)
        if (rnet_addr_parse(listen->items[i], &addr) == 0 && !rnet_addr_is_loopback(&addr))
            return listen->items[i];
    return NULL;
}

int ft_settings_check_addresses(const struct ft_settings *s, struct ft_text_error *reterr)
{
    const struct {
        const char *section;
        const struct ft_strings *listen;
        bool insecure;
    } sections[] = {{"agents", &s->agents.listen, s->agents.insecure},
                    {"api", &s->api.listen, s->api.insecure},
                    {"debug", &s->debug.listen, s->debug.insecure}};
    struct rnet_addr addr;

    for (size_t i = 0; i < sizeof(sections) / sizeof(sections[0]); i++) {
        for (size_t a = 0; a < sections[i].listen->n; a++) {
            if (rnet_addr_parse(sections[i].listen->items[a], &addr) == 0)
                continue;
            ft_text_error_set(reterr,
                              "--%s %s is no address: use 127.0.0.1:PORT, [::1]:PORT or unix:/PATH",
                              sections[i].section, sections[i].listen->items[a]);
            return -EINVAL;
        }
        const char *address = beyond_loopback(sections[i].listen);
        if (address && !sections[i].insecure) {
            ft_text_error_set(reterr,
                              "%s would listen on %s, which is not loopback, without encryption: "
                              "set `insecure: true` in the section "
                              "`%s` if that network is to be trusted",
                              sections[i].section, address, sections[i].section);
            return -EPERM;
        }
    }
    return 0;
}

bool ft_settings_agents_beyond_loopback(const struct ft_settings *s)
{
    return beyond_loopback(&s->agents.listen) != NULL;
}

int ft_settings_check_exporters(const struct ft_settings *s, struct ft_text_error *reterr)
{
    struct ft_exporter_spec *specs = calloc(s->exporters.n + 1, sizeof(*specs));
    int r = specs ? ft_exporter_specs(s->yaml, &s->exporters, specs, reterr) : -ENOMEM;

    free(specs);
    return r;
}

static void override(struct ft_strings *listen, const struct ft_strings *given)
{
    if (given->n > 0)
        *listen = *given;
}

int ft_settings_load(const struct ft_settings_source *source, struct ft_settings *ret,
                     struct ft_text_error *reterr)
{
    CLEANUP(ft_settings_fini) struct ft_settings s = {0};
    const char *state = getenv("STATE_DIRECTORY");

    int r = ft_settings_read(source->file, &s, reterr);
    if (r < 0)
        return r;
    if (source->data)
        s.data = source->data;
    else if (!s.data)
        s.data = state && *state ? state : "./fettle-data";
    override(&s.agents.listen, &source->agents);
    override(&s.api.listen, &source->api);
    override(&s.debug.listen, &source->debug);
    r = ft_settings_check_addresses(&s, reterr);
    if (r == 0)
        r = ft_settings_check_exporters(&s, reterr);
    if (r < 0)
        return r;
    *ret = s;
    s.yaml = NULL;
    return 0;
}

void ft_settings_share(const struct ft_settings *s, struct ft_settings *ret)
{
    *ret = *s;
    (void)ft_yaml_ref(s->yaml);
}

void ft_settings_diff(const struct ft_settings *a, const struct ft_settings *b,
                      ft_option_differs_fn *differs, void *arg)
{
    ft_options_diff(settings_table, a, b, differs, arg);
}
