/* fettle push FILE: one object of a group's configuration, and with --wait what became of it.
 *
 * The wait is for the agents of the group that are online at the 202. Each is decided by APPLIED or
 * FAILED at the pushed version, or by a newer version that took its place; the rest are named at
 * the time-out.
 */
#include "commands.h"

#include <errno.h>
#include <getopt.h>
#include <libgen.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <jansson.h>

#include <base/cleanup.h>

#include "client.h"
#include "say.h"

#define FILE_BYTES_MAX ((size_t)128 << 20) /* the largest message_max a server can have */
#define POLL_NS 200000000L

static const char usage[] =
    "usage: fettle push FILE [--group G] [--object NAME] [--wait] [--timeout SPAN]\n"
    "\n"
    "  --group G       the group whose configuration changes (default: default)\n"
    "  --object NAME   the object's name (default: the file's base name)\n"
    "  --wait          wait until every agent that is online has applied it; exit 1 if one failed\n"
    "  --timeout SPAN  for --wait, like 500ms, 60s, 5m (default: 60s)\n"
    "  --help          this text\n";

struct push_options {
    const char *file, *group;
    char object[256];
    bool wait;
    double timeout_s;
};

struct pushed {
    char *name;
    json_int_t version;
};

struct tally {
    size_t applied, failed, superseded, pending;
};

static int read_file(const char *path, char **ret_data, size_t *ret_len)
{
    FILE *f = strcmp(path, "-") == 0 ? stdin : fopen(path, "re");
    char *data = NULL;
    size_t len = 0, cap = 0, n;

    if (!f)
        return -errno;
    do {
        if (len == cap) {
            cap = cap ? cap * 2 : 65536;
            char *grown = realloc(data, cap);
            if (!grown || cap > 2 * FILE_BYTES_MAX) {
                free(grown ? grown : data);
                fclose(f);
                return grown ? -EFBIG : -ENOMEM;
            }
            data = grown;
        }
        n = fread(data + len, 1, cap - len, f);
        len += n;
    } while (n > 0);
    int r = ferror(f) ? -EIO : 0;
    fclose(f);
    if (r < 0) {
        free(data);
        return r;
    }
    *ret_data = data;
    *ret_len = len;
    return 0;
}

static const char *content_type_of(const char *file)
{
    const char *dot = strrchr(file, '.');

    if (dot && (strcmp(dot, ".yaml") == 0 || strcmp(dot, ".yml") == 0))
        return "text/yaml";
    if (dot && strcmp(dot, ".json") == 0)
        return "application/json";
    return "text/plain";
}

static bool parse_span(const char *text, double *ret_s)
{
    static const struct {
        const char *unit;
        double s;
    } units[] = {{"ms", 0.001}, {"s", 1}, {"m", 60}, {"h", 3600}};
    char *end;
    double n = strtod(text, &end);

    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
        if (end != text && n > 0 && strcmp(end, units[i].unit) == 0) {
            *ret_s = n * units[i].s;
            return true;
        }
    }
    return false;
}

static double now_s(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static int put(struct client *c, const struct push_options *o, struct pushed *ret_pushed)
{
    char *data = NULL, path[2048];
    size_t len = 0;
    json_t *answer = NULL;

    int r = read_file(o->file, &data, &len);
    if (r < 0) {
        say("cannot read %s: %s", o->file, strerror(-r));
        return r;
    }
    char *group = client_escape(c, o->group), *object = client_escape(c, o->object);
    snprintf(path, sizeof(path), "/api/v1/agent-groups/%s/configuration?object=%s",
             group ? group : "", object ? object : "");
    r = client_put(c, path, &(struct client_body){content_type_of(o->file), data ? data : "", len},
                   &answer);
    free(group);
    free(object);
    free(data);
    if (r < 0)
        return r;

    const char *name = json_string_value(json_object_get(answer, "configuration"));
    ret_pushed->name = strdup(name ? name : "");
    ret_pushed->version = json_integer_value(json_object_get(answer, "version"));
    printf("pushed %s to group %s: %s v%lld, hash %.12s\n", o->object, o->group, name ? name : "?",
           (long long)ret_pushed->version, json_string_value(json_object_get(answer, "hash")));
    fflush(stdout);
    json_decref(answer);
    return ret_pushed->name ? 0 : -ENOMEM;
}

/* Judge one agent and say what is final. Returns true once it is decided. */
static bool judge(const json_t *agent, const struct pushed *p, struct tally *tally)
{
    const json_t *config = json_object_get(agent, "config");
    const char *uid = json_string_value(json_object_get(agent, "instance_uid"));
    const char *name = json_string_value(json_object_get(config, "name"));
    const char *status = json_string_value(json_object_get(config, "status"));
    json_int_t version = json_integer_value(json_object_get(config, "version"));

    if (!name || strcmp(name, p->name) != 0 || version != p->version) {
        tally->superseded++;
        printf("%s: superseded by %s v%lld\n", uid, name ? name : "nothing", (long long)version);
        return true;
    }
    if (status && strcmp(status, "APPLIED") == 0) {
        tally->applied++;
        printf("%s: APPLIED\n", uid);
        return true;
    }
    if (status && strcmp(status, "FAILED") == 0) {
        tally->failed++;
        printf("%s: FAILED: %s\n", uid, json_string_value(json_object_get(config, "error")));
        return true;
    }
    return false;
}

/* One look at every agent that is not decided yet; decided ones become null in `agents`. */
static int look(struct client *c, json_t *agents, const struct pushed *p, struct tally *tally)
{
    size_t i;
    json_t *known;

    tally->pending = 0;
    json_array_foreach(agents, i, known)
    {
        char path[256];
        json_t *agent = NULL;
        if (json_is_null(known))
            continue;
        snprintf(path, sizeof(path), "/api/v1/agents/%s",
                 json_string_value(json_object_get(known, "instance_uid")));
        int r = client_get(c, path, &agent);
        if (r < 0)
            return r;
        if (judge(agent, p, tally))
            json_array_set_new(agents, i, json_null());
        else
            tally->pending++;
        json_decref(agent);
    }
    fflush(stdout);
    return 0;
}

static void say_pending(const json_t *agents)
{
    size_t i;
    json_t *agent;

    json_array_foreach(agents, i, agent) if (!json_is_null(agent))
        say("no answer in time from %s: look at it with `fettle get agents`",
            json_string_value(json_object_get(agent, "instance_uid")));
}

static int wait_for(struct client *c, const struct push_options *o, const struct pushed *p)
{
    char query[1024];
    json_t *agents = NULL;
    struct tally tally = {0};
    double end = now_s() + o->timeout_s;

    char *group = client_escape(c, o->group);
    snprintf(query, sizeof(query), "status=online&group=%s", group ? group : "");
    free(group);
    int r = client_list(c, "/api/v1/agents", query, &agents);
    if (r < 0)
        return EXIT_FAILED;

    size_t total = json_array_size(agents);
    printf("waiting for %zu online agent%s\n", total, total == 1 ? "" : "s");
    fflush(stdout);
    while ((r = look(c, agents, p, &tally)) == 0 && tally.pending > 0 && now_s() < end)
        nanosleep(&(struct timespec){0, POLL_NS}, NULL);
    if (r == 0)
        printf("%zu of %zu applied, %zu failed, %zu superseded, %zu without an answer\n",
               tally.applied, total, tally.failed, tally.superseded, tally.pending);
    if (r == 0 && tally.pending > 0)
        say_pending(agents);
    json_decref(agents);
    return r == 0 && tally.applied == total ? EXIT_DONE : EXIT_FAILED;
}

/* -1: go on; else the exit status. */
static int parse(int argc, char *argv[], struct push_options *o)
{
    static const struct option longs[] = {
        {"group", required_argument, NULL, 'g'}, {"object", required_argument, NULL, 'o'},
        {"wait", no_argument, NULL, 'w'},        {"timeout", required_argument, NULL, 't'},
        {"help", no_argument, NULL, 'h'},        {0}};
    int c;

    while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
        switch (c) {
        case 'g':
            o->group = optarg;
            break;
        case 'o':
            if (snprintf(o->object, sizeof(o->object), "%s", optarg) >= (int)sizeof(o->object)) {
                say("the object's name is too long: at most 255 bytes");
                return EXIT_USAGE;
            }
            break;
        case 'w':
            o->wait = true;
            break;
        case 't':
            if (!parse_span(optarg, &o->timeout_s)) {
                say("--timeout %s is no span of time: use one like 500ms, 60s or 5m", optarg);
                return EXIT_USAGE;
            }
            break;
        case 'h':
            fputs(usage, stdout);
            return EXIT_DONE;
        default:
            fputs(usage, stderr);
            return EXIT_USAGE;
        }
    }
    return -1;
}

static bool name_object(struct push_options *o)
{
    if (o->object[0])
        return true;
    if (strcmp(o->file, "-") == 0)
        return false;
    char path[4096];
    snprintf(path, sizeof(path), "%s", o->file);
    snprintf(o->object, sizeof(o->object), "%.255s", basename(path));
    return true;
}

int command_push(int argc, char *argv[])
{
    CLEANUP(client_closep) struct client *c = NULL;
    struct push_options o = {.group = "default", .timeout_s = 60};
    struct pushed pushed = {0};

    int status = parse(argc, argv, &o);
    if (status >= 0)
        return status;
    if (optind != argc - 1) {
        fputs(usage, stderr);
        return EXIT_USAGE;
    }
    o.file = argv[optind];
    if (!name_object(&o)) {
        say("standard input has no name: give one with --object");
        return EXIT_USAGE;
    }
    if (client_open(&c) < 0 || put(c, &o, &pushed) < 0)
        return EXIT_FAILED;
    status = o.wait ? wait_for(c, &o, &pushed) : EXIT_DONE;
    free(pushed.name);
    return status;
}
