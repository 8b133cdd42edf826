/* fettle-load flood: arguments, one runtime, the report. */
#include "flood.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <base/cleanup.h>
#include <base/log.h>

#include "commands.h"
#include "say.h"

static const char usage[] =
    "usage: fettle-load flood [OPTION]...\n"
    "\n"
    "Clients that write frames (a length of 4 bytes, big-endian, and a payload) as fast as they are\n"
    "answered, and check that each answer is the frame `receive success` and the payload.\n"
    "\n"
    "  --server ADDR:PORT   of the server (default 127.0.0.1:10101)\n"
    "  --clients N          at once (default 100)\n"
    "  --frames N           on each connection; 0: until the duration is over (default 100)\n"
    "  --rounds N           connections of each client, one after the other (default 1)\n"
    "  --window N           frames written before their answers are read (default 1)\n"
    "  --size BYTES         of a payload (default 64)\n"
    "  --duration DURATION  the longest time of the run (default 60s)\n"
    "  --pid PID            of the server: report its CPU time and memory\n"
    "  --json               the report as JSON\n"
    "  --help               this text\n"
    "  --version            print the version\n"
    "\n"
    "Exit status 0: all was answered rightly; 1: an answer was wrong, or not all were answered.\n";

static bool set(void *to, int c, const char *v)
{
    struct ft_flood_options *o = to;

    switch (c) {
    case 's':
        return command_server(v, &o->server);
    case 'n':
        return arg_count("clients", v, 1, 100000, &o->clients);
    case 'f':
        return arg_count("frames", v, 0, INT64_MAX, &o->frames);
    case 'r':
        return arg_count("rounds", v, 1, INT64_MAX, &o->rounds);
    case 'w':
        return arg_count("window", v, 1, 4096, &o->window);
    case 'z':
        return arg_bytes("size", v, 0, 65536, &o->size);
    case 'd':
        return arg_duration("duration", v, &o->duration);
    case 'p':
        return command_pid(v, &o->pid);
    case 'j':
        return o->json = true;
    default:
        return false;
    }
}

static const struct option options[] = {
    {"server", required_argument, NULL, 's'},   {"clients", required_argument, NULL, 'n'},
    {"frames", required_argument, NULL, 'f'},   {"rounds", required_argument, NULL, 'r'},
    {"window", required_argument, NULL, 'w'},   {"size", required_argument, NULL, 'z'},
    {"duration", required_argument, NULL, 'd'}, {"pid", required_argument, NULL, 'p'},
    {"json", no_argument, NULL, 'j'},           {"help", no_argument, NULL, 'h'},
    {"version", no_argument, NULL, 'v'},        {0}};

static const struct command command = {
    .name = "flood", .usage = usage, .options = options, .set = set};

static void explain(const struct ft_flood *f, int r)
{
    if (r == -EBADMSG)
        say("%llu answers were wrong: that server answers otherwise", (unsigned long long)f->wrong);
    else if (r == -ETIMEDOUT || r == -ECANCELED)
        say("only %llu of %llu clients had all their frames answered: is the server there?",
            (unsigned long long)f->clients_done, (unsigned long long)f->options.clients);
    else if (r < 0)
        say("%s", strerror(-r));
}

static int run(void *flood)
{
    return ft_flood_run(flood);
}

int command_flood(int argc, char *argv[])
{
    CLEANUP(freep) struct ft_flood *f = calloc(1, sizeof(*f));
    int r;

    if (!f)
        return EXIT_FAILED;
    f->options = (struct ft_flood_options){
        .clients = 100, .frames = 100, .rounds = 1, .window = 1, .size = 64, .duration = 60 * RN_S};
    log_setup(LOG_TEXT, LOG_WARN);
    (void)command_server("127.0.0.1:10101", &f->options.server);
    r = command_parse(&command, argc, argv, &f->options);
    if (r >= 0)
        return r;
    r = command_run(run, f, &f->stop);
    ft_flood_report(f);
    explain(f, r);
    return r < 0 ? EXIT_FAILED : EXIT_DONE;
}
