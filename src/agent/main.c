/* fettle-agent: arguments, settings, runtime. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <base/cleanup.h>
#include <base/log.h>
#include <runnel/runtime.h>
#include <runnel/signal.h>
#include <runnel/trace.h>

#include "agent.h"

enum { EXIT_FAILED = 1, EXIT_USAGE = 2 };

static struct ft_settings_source source;
static bool arg_check;
static enum log_format arg_format = LOG_TEXT;
static enum log_level arg_level = LOG_INFO;

static const char help[] =
    "Usage: fettle-agent --config FILE [OPTION]...\n"
    "Supervise the processes that FILE names, apply the configuration that a fettled server sends, "
    "and report.\n"
    "\n"
    "  --config FILE        the agent's file (YAML)\n"
    "  --server URL         tcp://HOST:PORT of the server, instead of the one in FILE\n"
    "  --check              read FILE, say whether it is right, and exit\n"
    "  --log-format FORMAT  text or json\n"
    "  --log-level LEVEL    debug, info, warn or error\n"
    "  --help               print this and exit\n"
    "  --version            print the version and exit\n"
    "\n"
    "TERM and INT stop the processes and the agent in order; a second one at once. HUP reads FILE "
    "again.\n"
    "Exit status: 0 done, 1 failed while running, 2 wrong usage or configuration.\n";

static int usage_error(const char *what, const char *value)
{
    (void)fprintf(stderr, "fettle-agent: %s%s%s: see fettle-agent --help\n", what, value ? " " : "",
                  value ? value : "");
    return EXIT_USAGE;
}

/* 0: go on; else exit with *ret_status. */
static int arguments_parse(int argc, char **argv, int *ret_status)
{
    static const struct option options[] = {
        {"config", required_argument, NULL, 'c'},    {"server", required_argument, NULL, 's'},
        {"check", no_argument, NULL, 'k'},           {"log-format", required_argument, NULL, 'f'},
        {"log-level", required_argument, NULL, 'l'}, {"help", no_argument, NULL, 'h'},
        {"version", no_argument, NULL, 'v'},         {0},
    };
    int c;

    *ret_status = 0;
    opterr = 0;
    while ((c = getopt_long(argc, argv, ":", options, NULL)) >= 0) {
        switch (c) {
        case 'c':
            source.file = optarg;
            break;
        case 's':
            source.server = optarg;
            break;
        case 'k':
            arg_check = true;
            break;
        case 'f':
            if (log_format_parse(optarg, &arg_format) < 0)
                return *ret_status = usage_error("unknown log format", optarg);
            break;
        case 'l':
            if (log_level_parse(optarg, &arg_level) < 0)
                return *ret_status = usage_error("unknown log level", optarg);
            break;
        case 'h':
            (void)fputs(help, stdout);
            return -1;
        case 'v':
            (void)puts("fettle-agent " FETTLE_VERSION);
            return -1;
        case ':':
            return *ret_status = usage_error("a value is missing after", argv[optind - 1]);
        default:
            return *ret_status = usage_error("unknown option", argv[optind - 1]);
        }
    }
    if (optind < argc)
        return *ret_status = usage_error("unexpected argument", argv[optind]);
    if (!source.file)
        return *ret_status =
                   usage_error("no configuration file: name one with --config FILE", NULL);
    return 0;
}

/* 0, 1 and 2 must not become pipes of a child. */
static void standard_descriptors_open(void)
{
    int fd;

    do
        fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    while (fd >= 0 && fd <= STDERR_FILENO);
    if (fd > STDERR_FILENO)
        (void)close(fd);
}

/* From the first moment on: a HUP that comes while we start is read once we run. */
static int hup_block(void)
{
    sigset_t set;

    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGHUP);
    return rn_signals_block(&set);
}

static int signals_block(void)
{
    sigset_t set;

    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGTERM);
    (void)sigaddset(&set, SIGINT);
    (void)sigaddset(&set, SIGCHLD);
    (void)sigaddset(&set, SIGQUIT); /* a thread of runnel's waits for it, and dumps */
    (void)signal(SIGPIPE, SIG_IGN);
    return rn_signals_block(&set);
}

static int work(void *arg)
{
    const struct ft_agent *a = arg;
    int r = rn_quit_dump_start(rn_runtime_self());

    if (r == 0)
        r = ft_agent_main(arg);
    if (ft_reload_hangs(&a->reload)) {
        log_warn("a reading of the settings hangs: leaving without it");
        _exit(r < 0 ? EXIT_FAILED : 0);
    }
    rn_quit_dump_stop();
    return r;
}

static int agent_run(const struct ft_settings *settings)
{
    const struct rn_options options = {.name = "agent", .workers = 1};
    struct ft_agent agent;
    struct ft_text_error err = {""};
    int r = ft_agent_open(&source, settings, &agent, &err);

    if (r < 0)
        (void)fprintf(stderr, "fettle-agent: %s\n", err.text);
    else
        r = rn_run(&options, work, &agent);
    if (r < 0 && !err.text[0])
        (void)fprintf(stderr, "fettle-agent: cannot go on: %s: see the log above\n", strerror(-r));
    ft_agent_close(&agent);
    return r < 0 ? EXIT_FAILED : 0;
}

int main(int argc, char **argv)
{
    CLEANUP(ft_settings_fini) struct ft_settings settings = {0};
    struct ft_text_error err = {""};
    int status;

    if (hup_block() < 0)
        return EXIT_FAILED;
    if (arguments_parse(argc, argv, &status) != 0)
        return status;
    standard_descriptors_open();
    log_setup(arg_format, arg_level);
    if (ft_settings_read(source.file, source.server, &settings, &err) < 0) {
        (void)fprintf(stderr, "fettle-agent: %s\n", err.text);
        return EXIT_USAGE;
    }
    if (arg_check) {
        (void)printf("%s: right\n", source.file);
        return 0;
    }
    if (signals_block() < 0) {
        (void)fprintf(stderr, "fettle-agent: signals cannot be blocked: report this\n");
        return EXIT_FAILED;
    }
    return agent_run(&settings);
}
