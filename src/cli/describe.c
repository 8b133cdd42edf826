/* fettle describe agent UID: everything that the server knows about one agent. */
#include "describe.h"

#include <errno.h>
#include <getopt.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <base/cleanup.h>

#include "client.h"
#include "commands.h"
#include "say.h"

static const char usage[] =
    "usage: fettle describe agent UID [-o text|json]\n"
    "\n"
    "  -o, --output FORMAT  text (default), or json: {\"agent\", \"metrics\", \"effective_config\"}\n"
    "      --help           this text\n";

/* -1: go on; else the exit status. */
static int parse(int argc, char *argv[], bool *ret_json)
{
    static const struct option longs[] = {
        {"output", required_argument, NULL, 'o'}, {"help", no_argument, NULL, 'h'}, {0}};
    int c;

    while ((c = getopt_long(argc, argv, "o:", longs, NULL)) != -1) {
        switch (c) {
        case 'o':
            *ret_json = strcmp(optarg, "json") == 0;
            if (!*ret_json && strcmp(optarg, "text") != 0) {
                say("-o %s is no format: use text or json", optarg);
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

/* GET /agents/UID + suffix, and of the answer the member `key` (NULL: all), counted. */
static int fetch(struct client *c, const char *uid, const char *suffix, const char *key,
                 json_t **ret)
{
    CLEANUP(freep) char *path = NULL;
    CLEANUP(json_decrefp) json_t *answer = NULL;

    if (asprintf(&path, "/api/v1/agents/%s%s", uid, suffix) < 0) {
        path = NULL;
        return -ENOMEM;
    }
    int r = client_get(c, path, &answer);
    if (r == 0)
        *ret = json_incref(key ? json_object_get(answer, key) : answer);
    return r;
}

static int print(const struct description *d, bool as_json)
{
    if (as_json) {
        json_t *all = json_pack("{s:O, s:O, s:O}", "agent", d->agent, "metrics", d->samples,
                                "effective_config", d->effective);
        json_dumpf(all, stdout, JSON_INDENT(2));
        putchar('\n');
        json_decref(all);
    } else {
        describe_print(d, stdout);
    }
    return fflush(stdout) == 0 ? EXIT_DONE : EXIT_FAILED;
}

static int describe(const char *uid, bool as_json)
{
    CLEANUP(client_closep) struct client *c = NULL;
    CLEANUP(json_decrefp) json_t *agent = NULL;
    CLEANUP(json_decrefp) json_t *samples = NULL;
    CLEANUP(json_decrefp) json_t *effective = NULL;
    CLEANUP(freep) char *escaped = NULL;

    if (client_open(&c) < 0)
        return EXIT_FAILED;
    escaped = client_escape(c, uid);
    if (!escaped || fetch(c, escaped, "", NULL, &agent) < 0 ||
        fetch(c, escaped, "/metrics", "items", &samples) < 0 ||
        fetch(c, escaped, "/effective-config", "objects", &effective) < 0)
        return EXIT_FAILED;
    return print(&(struct description){agent, samples, effective}, as_json);
}

int command_describe(int argc, char *argv[])
{
    bool as_json = false;

    int status = parse(argc, argv, &as_json);
    if (status >= 0)
        return status;
    if (optind != argc - 2 || strcmp(argv[optind], "agent") != 0) {
        say("describe what? Use `fettle describe agent UID`; `fettle get agents` lists them");
        return EXIT_USAGE;
    }
    return describe(argv[optind + 1], as_json);
}
