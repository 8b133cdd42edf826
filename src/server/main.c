/* fettled: the control server. Arguments, settings, one runtime. */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <runnel/runtime.h>
#include <runnel/signal.h>
#include <runnel/trace.h>

#include <base/cleanup.h>
#include <base/log.h>

#include "server.h"

#define ADDRESSES_MAX 8

enum { EXIT_DONE = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

static const char usage[] =
    "usage: fettled [--config FILE] [--data DIR] [--agents ADDR:PORT] [--api ADDR:PORT] [--debug "
    "ADDR:PORT] [--check]\n"
    "\n"
    "  --config FILE        settings (YAML); without it everything is at its default\n"
    "  --data DIR           where everything is kept (default: $STATE_DIRECTORY, else "
    "./fettle-data)\n"
    "  --agents ADDR:PORT   where agents connect (default 127.0.0.1:4320)\n"
    "  --api ADDR:PORT      the HTTP API (default 127.0.0.1:4321)\n"
    "  --debug ADDR:PORT    /metrics and /debug (default 127.0.0.1:4322)\n"
    "                       each may be given several times; port 0 picks a free one; unix:/PATH "
    "works too\n"
    "  --check              read and check the settings, then exit\n"
    "  --log-format FORMAT  text (default) or json\n"
    "  --log-level LEVEL    debug, info (default), warn or error\n"
    "  --help               this text\n"
    "  --version            print the version\n"
    "\n"
    "TERM and INT stop in order, a second one at once; HUP reads the settings again.\n";

static const char *addresses[3][ADDRESSES_MAX];
static struct ft_settings_source source = {
    .agents.items = addresses[0], .api.items = addresses[1], .debug.items = addresses[2]};
static bool arg_check;

__attribute__((format(printf, 1, 2))) static int bad_usage(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    fputs("fettled: ", stderr);
    vfprintf(stderr, format, args);
    fputs(": see fettled --help\n", stderr);
    va_end(args);
    return EXIT_USAGE;
}

static int add_address(struct ft_strings *a, const char *option)
{
    if (a->n == ADDRESSES_MAX)
        return bad_usage("--%s is given more than %d times", option, ADDRESSES_MAX);
    a->items[a->n++] = optarg;
    return -1;
}

/* -1: go on; else the exit status. */
static int parse(int argc, char *argv[])
{
    static const struct option longs[] = {{"config", required_argument, NULL, 'c'},
                                          {"data", required_argument, NULL, 'd'},
                                          {"agents", required_argument, NULL, 'a'},
                                          {"api", required_argument, NULL, 'p'},
                                          {"debug", required_argument, NULL, 'g'},
                                          {"check", no_argument, NULL, 'k'},
                                          {"log-format", required_argument, NULL, 'f'},
                                          {"log-level", required_argument, NULL, 'l'},
                                          {"help", no_argument, NULL, 'h'},
                                          {"version", no_argument, NULL, 'v'},
                                          {0}};
    enum log_format format = LOG_TEXT;
    enum log_level level = LOG_INFO;
    int c, r = -1;

    while (r < 0 && (c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
        switch (c) {
        case 'c':
            source.file = optarg;
            break;
        case 'd':
            source.data = optarg;
            break;
        case 'a':
            r = add_address(&source.agents, "agents");
            break;
        case 'p':
            r = add_address(&source.api, "api");
            break;
        case 'g':
            r = add_address(&source.debug, "debug");
            break;
        case 'k':
            arg_check = true;
            break;
        case 'f':
            if (log_format_parse(optarg, &format) < 0)
                r = bad_usage("--log-format %s: use text or json", optarg);
            break;
        case 'l':
            if (log_level_parse(optarg, &level) < 0)
                r = bad_usage("--log-level %s: use debug, info, warn or error", optarg);
            break;
        case 'h':
            fputs(usage, stdout);
            return EXIT_DONE;
        case 'v':
            puts("fettled " FETTLE_VERSION);
            return EXIT_DONE;
        default:
            return bad_usage("an option is wrong");
        }
    }
    if (r < 0 && optind < argc)
        return bad_usage("%s is not an option", argv[optind]);
    log_setup(format, level);
    return r;
}

static int serve(void *arg)
{
    const struct ft_settings *settings = arg;
    struct ft_text_error error = {{0}};
    struct ft_server *server;

    int r = rn_quit_dump_start(rn_runtime_self());
    if (r < 0) {
        fprintf(stderr, "fettled: no thread to wait for SIGQUIT: %s\n", strerror(-r));
        return r;
    }
    r = ft_server_start(settings, &source, &server, &error);
    if (r < 0) {
        fprintf(stderr, "fettled: %s\n", error.text);
        rn_quit_dump_stop();
        return r;
    }
    ft_server_say_listening(server);
    r = ft_server_wait(server);
    int stopped = ft_server_stop(server);
    if (stopped == -ETIMEDOUT) {
        fflush(NULL);
        _exit(r < 0 ? EXIT_FAILED : EXIT_DONE);
    }
    rn_quit_dump_stop();
    return r;
}

/* From the first moment on: a HUP that comes while we start is read once we run. */
static int block_hup(void)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGHUP);
    return rn_signals_block(&set);
}

static int block_signals(void)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGQUIT); /* a thread of runnel's waits for it, and dumps */
    signal(SIGPIPE, SIG_IGN);
    return rn_signals_block(&set);
}

int main(int argc, char *argv[])
{
    CLEANUP(ft_settings_fini) struct ft_settings settings = {0};
    struct ft_text_error error;

    if (block_hup() < 0)
        return EXIT_FAILED;
    int status = parse(argc, argv);
    if (status >= 0)
        return status;
    if (ft_settings_load(&source, &settings, &error) < 0) {
        fprintf(stderr, "fettled: %s\n", error.text);
        return EXIT_USAGE;
    }
    if (arg_check)
        return EXIT_DONE;
    if (block_signals() < 0)
        return EXIT_FAILED;
    struct rn_options options = {.name = "fettled",
                                 .workers = settings.runtime.workers,
                                 .leaks = (enum rn_leak_policy)settings.runtime.leaks};
    return rn_run(&options, serve, &settings) < 0 ? EXIT_FAILED : EXIT_DONE;
}
