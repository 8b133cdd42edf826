/* fettle-load flood: arguments, one runtime, the report. */
#include "flood.h"

#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <base/cleanup.h>
#include <base/log.h>

#include <runnel/runtime.h>

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

static atomic_bool stop;

static void on_signal(int number)
{
    (void)number;
    atomic_store(&stop, true);
}

static bool set(struct ft_flood_options *o, int c, const char *v)
{
    uint64_t n = 0;

    switch (c) {
    case 's':
        if (rnet_addr_parse(v, &o->server) == 0)
            return true;
        say("--server %s is no address: use 127.0.0.1:PORT, [::1]:PORT or unix:/PATH", v);
        return false;
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
        if (!arg_count("pid", v, 1, INT32_MAX, &n))
            return false;
        o->pid = (int)n;
        return true;
    default:
        say("an option is wrong: see fettle-load flood --help");
        return false;
    }
}

/* -1: go on; else the exit status. */
static int parse(int argc, char *argv[], struct ft_flood_options *o)
{
    static const struct option longs[] = {{"server", required_argument, NULL, 's'},
                                          {"clients", required_argument, NULL, 'n'},
                                          {"frames", required_argument, NULL, 'f'},
                                          {"rounds", required_argument, NULL, 'r'},
                                          {"window", required_argument, NULL, 'w'},
                                          {"size", required_argument, NULL, 'z'},
                                          {"duration", required_argument, NULL, 'd'},
                                          {"pid", required_argument, NULL, 'p'},
                                          {"json", no_argument, NULL, 'j'},
                                          {"help", no_argument, NULL, 'h'},
                                          {"version", no_argument, NULL, 'v'},
                                          {0}};
    int c;

    (void)rnet_addr_parse("127.0.0.1:10101", &o->server);
    while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
        if (c == 'h') {
            fputs(usage, stdout);
            return EXIT_DONE;
        }
        if (c == 'v') {
            puts("fettle-load " FETTLE_VERSION);
            return EXIT_DONE;
        }
        if (c == 'j')
            o->json = true;
        else if (!set(o, c, optarg))
            return EXIT_USAGE;
    }
    if (optind < argc) {
        say("%s is not an option: see fettle-load flood --help", argv[optind]);
        return EXIT_USAGE;
    }
    return -1;
}

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
    const struct rn_options runtime = {.name = "fettle-load", .workers = 1};
    CLEANUP(freep) struct ft_flood *f = calloc(1, sizeof(*f));
    int r;

    if (!f)
        return EXIT_FAILED;
    f->options = (struct ft_flood_options){
        .clients = 100, .frames = 100, .rounds = 1, .window = 1, .size = 64, .duration = 60 * RN_S};
    log_setup(LOG_TEXT, LOG_WARN);
    r = parse(argc, argv, &f->options);
    if (r >= 0)
        return r;
    (void)signal(SIGINT, on_signal);
    (void)signal(SIGTERM, on_signal);
    (void)signal(SIGPIPE, SIG_IGN);
    f->stop = &stop;
    r = rn_run(&runtime, run, f);
    ft_flood_report(f);
    explain(f, r);
    return r < 0 ? EXIT_FAILED : EXIT_DONE;
}
