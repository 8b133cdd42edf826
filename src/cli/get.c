/* fettle get agents | get exporters */
#include "commands.h"

#include <getopt.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include <base/cleanup.h>

#include "client.h"
#include "say.h"
#include "table.h"

static const char usage[] =
    "usage: fettle get agents [-o table|json] [-l SELECTOR]\n"
    "       fettle get exporters [-o table|json]\n"
    "\n"
    "  -o, --output FORMAT      table (default) or json\n"
    "  -l, --selector SELECTOR  only agents that match, like env=prod,region!=eu,tier in (a,b)\n"
    "      --help               this text\n";

struct get_options {
    bool json;
    const char *selector;
};

static const char *text(const json_t *object, const char *key)
{
    return json_string_value(json_object_get(object, key));
}

static void add_number(struct table *t, const json_t *object, const char *key)
{
    char number[32];

    snprintf(number, sizeof(number), "%lld",
             (long long)json_integer_value(json_object_get(object, key)));
    table_add(t, number);
}

static void add_version(struct table *t, const json_t *config)
{
    char version[512];
    const char *name = text(config, "name");

    if (!name) {
        table_add(t, NULL);
        return;
    }
    snprintf(version, sizeof(version), "%s v%lld", name,
             (long long)json_integer_value(json_object_get(config, "version")));
    table_add(t, version);
}

static void print_agents(const json_t *items)
{
    struct table t;
    size_t i;
    json_t *agent;
    const char *heads[] = {"INSTANCE UID", "SERVICE",       "HOST",  "STATUS",
                           "GROUP",        "CONFIGURATION", "STATE", "LAST SEEN"};

    table_init(&t, sizeof(heads) / sizeof(heads[0]));
    for (i = 0; i < t.columns; i++)
        table_add(&t, heads[i]);
    json_array_foreach(items, i, agent)
    {
        const json_t *config = json_object_get(agent, "config");
        table_add(&t, text(agent, "instance_uid"));
        table_add(&t, text(json_object_get(agent, "identifying_attributes"), "service.name"));
        table_add(&t, text(json_object_get(agent, "non_identifying_attributes"), "host.name"));
        table_add(&t, text(agent, "status"));
        table_add(&t, text(agent, "group"));
        add_version(&t, config);
        table_add(&t, text(config, "status"));
        table_add(&t, text(agent, "last_seen"));
    }
    table_print(&t, stdout);
    table_done(&t);
}

static long long dropped(const json_t *ledger)
{
    long long sum = 0;
    const char *reason;
    json_t *count;

    json_object_foreach(json_object_get(ledger, "dropped"), reason, count) sum +=
        json_integer_value(count);
    return sum;
}

static void print_exporters(const json_t *items)
{
    struct table t;
    size_t i;
    json_t *exporter;
    char number[32];
    const char *heads[] = {"NAME",      "TYPE",    "STATE",  "OFFERED",   "DELIVERED",
                           "DUPLICATE", "DROPPED", "QUEUED", "LAST ERROR"};

    table_init(&t, sizeof(heads) / sizeof(heads[0]));
    for (i = 0; i < t.columns; i++)
        table_add(&t, heads[i]);
    json_array_foreach(items, i, exporter)
    {
        const json_t *ledger = json_object_get(exporter, "ledger");
        table_add(&t, text(exporter, "name"));
        table_add(&t, text(exporter, "type"));
        table_add(&t, text(exporter, "state"));
        add_number(&t, ledger, "offered");
        add_number(&t, ledger, "delivered");
        add_number(&t, ledger, "duplicate");
        snprintf(number, sizeof(number), "%lld", dropped(ledger));
        table_add(&t, number);
        add_number(&t, ledger, "queued");
        table_add(&t, text(exporter, "last_error"));
    }
    table_print(&t, stdout);
    table_done(&t);
}

static int fetch(const char *what, const struct get_options *o, json_t **ret_items)
{
    CLEANUP(client_closep) struct client *c = NULL;
    char query[2048] = "";

    int r = client_open(&c);
    if (r < 0)
        return r;
    if (o->selector) {
        char *escaped = client_escape(c, o->selector);
        snprintf(query, sizeof(query), "selector=%s", escaped ? escaped : "");
        free(escaped);
    }
    return client_list(c, what[0] == 'a' ? "/api/v1/agents" : "/api/v1/exporters", query,
                       ret_items);
}

/* -1: go on; else the exit status. */
static int parse(int argc, char *argv[], struct get_options *o)
{
    static const struct option longs[] = {{"output", required_argument, NULL, 'o'},
                                          {"selector", required_argument, NULL, 'l'},
                                          {"help", no_argument, NULL, 'h'},
                                          {0}};
    int c;

    while ((c = getopt_long(argc, argv, "o:l:", longs, NULL)) != -1) {
        switch (c) {
        case 'o':
            o->json = strcmp(optarg, "json") == 0;
            if (!o->json && strcmp(optarg, "table") != 0) {
                say("-o %s is no format: use table or json", optarg);
                return EXIT_USAGE;
            }
            break;
        case 'l':
            o->selector = optarg;
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

int command_get(int argc, char *argv[])
{
    struct get_options o = {0};
    json_t *items = NULL;

    int status = parse(argc, argv, &o);
    if (status >= 0)
        return status;
    const char *what = optind == argc - 1 ? argv[optind] : "";
    if (strcmp(what, "agents") != 0 && (strcmp(what, "exporters") != 0 || o.selector)) {
        say("get what? Use `fettle get agents [-l SELECTOR]` or `fettle get exporters`");
        return EXIT_USAGE;
    }
    if (fetch(what, &o, &items) < 0)
        return EXIT_FAILED;
    if (o.json) {
        json_dumpf(items, stdout, JSON_INDENT(2));
        putchar('\n');
    } else if (what[0] == 'a') {
        print_agents(items);
    } else {
        print_exporters(items);
    }
    json_decref(items);
    return fflush(stdout) == 0 ? EXIT_DONE : EXIT_FAILED;
}
