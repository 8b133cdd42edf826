/* fettle-load agents: arguments, one runtime, the report. */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <base/cleanup.h>
#include <base/log.h>

#include "commands.h"
#include "dial.h"
#include "fleet.h"
#include "say.h"

static const char usage[] =
    "usage: fettle-load agents [OPTION]...\n"
    "\n"
    "Simulated agents on framed TCP, all in this process. Connects all of them, then sends heartbeats\n"
    "with samples, applies what configurations come, and says goodbye.\n"
    "\n"
    "  --server ADDR:PORT        the agents' address of the server (default 127.0.0.1:4320)\n"
    "  --agents N                how many (default 100)\n"
    "  --connect-rate N          connections a second; 0: as fast as accepted (default 1000)\n"
    "  --interval DURATION       between two heartbeats of an agent; 0s: as fast as answered\n"
    "                            (default 30s)\n"
    "  --samples N               with each heartbeat (default 1)\n"
    "  --label KEY=VALUE         of all agents; may be given several times\n"
    "  --sources N               addresses 127.0.0.1, .2, ... to connect from (default: as needed)\n"
    "\n"
    "  --duration DURATION       the longest time from when all are connected (default 60s)\n"
    "  --heartbeats N            end when so many are sent and answered\n"
    "  --configurations N        end when every agent has applied so many\n"
    "  --storms N                drop all connections at once so many times\n"
    "  --connect-timeout DURATION  for all to be connected (default 60s)\n"
    "\n"
    "  --pid PID                 of the server: report its CPU time and memory\n"
    "  --progress N              say a line after each N answered heartbeats\n"
    "  --json                    events as JSON, one a line\n"
    "  --log-level LEVEL         debug, info, warn (default) or error\n"
    "  --help                    this text\n"
    "  --version                 print the version\n";

static bool add_label(struct ft_fleet_options *o, const char *text)
{
    const char *eq = strchr(text, '=');
    struct ft_fleet_label *l = &o->labels[o->n_labels];

    if (!eq || eq == text || o->n_labels == FT_FLEET_LABELS_MAX ||
        (size_t)(eq - text) > sizeof(l->key) - 16 || strlen(eq + 1) >= sizeof(l->value)) {
        say("--label %s: use KEY=VALUE, at most %d times", text, FT_FLEET_LABELS_MAX);
        return false;
    }
    (void)snprintf(l->key, sizeof(l->key), "fettle.label.%.*s", (int)(eq - text), text);
    (void)snprintf(l->value, sizeof(l->value), "%s", eq + 1);
    o->n_labels++;
    return true;
}

static bool set_level(const char *text)
{
    enum log_level level;

    if (log_level_parse(text, &level) < 0) {
        say("--log-level %s: use debug, info, warn or error", text);
        return false;
    }
    log_setup(LOG_TEXT, level);
    return true;
}

/* One option. False: it was said what is wrong. */
static bool set(void *to, int c, const char *v)
{
    struct ft_fleet_options *o = to;

    switch (c) {
    case 's':
        return command_server(v, &o->server);
    case 'n':
        return arg_count("agents", v, 1, FT_FLEET_AGENTS_MAX, &o->agents);
    case 'r':
        return arg_count("connect-rate", v, 0, 1000000, &o->connect_rate);
    case 'i':
        return arg_duration("interval", v, &o->interval);
    case 'm':
        return arg_count("samples", v, 0, FT_FLEET_SAMPLES_MAX, &o->samples);
    case 'l':
        return add_label(o, v);
    case 'o':
        return arg_count("sources", v, 1, FT_SOURCES_MAX, &o->sources);
    case 'd':
        return arg_duration("duration", v, &o->duration);
    case 'b':
        return arg_count("heartbeats", v, 1, INT64_MAX, &o->heartbeats);
    case 'c':
        return arg_count("configurations", v, 1, 1000000, &o->configs);
    case 't':
        return arg_count("storms", v, 0, 1000, &o->storms);
    case 'T':
        return arg_duration("connect-timeout", v, &o->connect_timeout);
    case 'p':
        return command_pid(v, &o->pid);
    case 'g':
        return arg_count("progress", v, 1, INT64_MAX, &o->progress);
    case 'L':
        return set_level(v);
    case 'j':
        return o->json = true;
    default:
        return false;
    }
}

static const struct option options[] = {{"server", required_argument, NULL, 's'},
                                        {"agents", required_argument, NULL, 'n'},
                                        {"connect-rate", required_argument, NULL, 'r'},
                                        {"interval", required_argument, NULL, 'i'},
                                        {"samples", required_argument, NULL, 'm'},
                                        {"label", required_argument, NULL, 'l'},
                                        {"sources", required_argument, NULL, 'o'},
                                        {"duration", required_argument, NULL, 'd'},
                                        {"heartbeats", required_argument, NULL, 'b'},
                                        {"configurations", required_argument, NULL, 'c'},
                                        {"storms", required_argument, NULL, 't'},
                                        {"connect-timeout", required_argument, NULL, 'T'},
                                        {"pid", required_argument, NULL, 'p'},
                                        {"progress", required_argument, NULL, 'g'},
                                        {"log-level", required_argument, NULL, 'L'},
                                        {"json", no_argument, NULL, 'j'},
                                        {"help", no_argument, NULL, 'h'},
                                        {"version", no_argument, NULL, 'v'},
                                        {0}};

static const struct command command = {
    .name = "agents", .usage = usage, .options = options, .set = set};

static void explain(const struct ft_fleet *f, int r)
{
    if (r == -ETIMEDOUT)
        say("only %llu of %llu agents could be connected (first error: %s): is the server there?",
            (unsigned long long)f->n_greeted, (unsigned long long)f->options.agents,
            f->error ? strerror(-f->error) : "none");
    else if (r == -EMFILE)
        say("%llu connections need more descriptors than allowed: raise ulimit -n",
            (unsigned long long)f->options.agents);
    else if (r < 0)
        say("%s", strerror(-r));
}

static int run(void *fleet)
{
    return ft_fleet_run(fleet);
}

int command_agents(int argc, char *argv[])
{
    CLEANUP(freep) struct ft_fleet *f = calloc(1, sizeof(*f));
    int r;

    if (!f)
        return EXIT_FAILED;
    f->options = (struct ft_fleet_options){.agents = 100,
                                           .connect_rate = 1000,
                                           .samples = 1,
                                           .interval = 30 * RN_S,
                                           .duration = 60 * RN_S,
                                           .connect_timeout = 60 * RN_S};
    log_setup(LOG_TEXT, LOG_WARN);
    (void)command_server("127.0.0.1:4320", &f->options.server);
    r = command_parse(&command, argc, argv, &f->options);
    if (r >= 0)
        return r;
    r = command_run(run, f, &f->stop);
    if (r == 0)
        ft_report_end(f);
    explain(f, r);
    ft_fleet_fini(f);
    return r < 0 ? EXIT_FAILED : EXIT_DONE;
}
