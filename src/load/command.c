/* What the commands share. */
#include <getopt.h>
#include <signal.h>
#include <stdio.h>

#include <runnel/runtime.h>

#include <rnet/addr.h>

#include "commands.h"
#include "say.h"
#include "usage.h"

int command_parse(const struct command *command, int argc, char *argv[], void *to)
{
    int c;

    while ((c = getopt_long(argc, argv, "", command->options, NULL)) != -1) {
        if (c == 'h') {
            (void)fputs(command->usage, stdout);
            return EXIT_DONE;
        }
        if (c == 'v') {
            (void)puts("fettle-load " FETTLE_VERSION);
            return EXIT_DONE;
        }
        if (c == '?') {
            say("an option is wrong: see fettle-load %s --help", command->name);
            return EXIT_USAGE;
        }
        if (!command->set(to, c, optarg))
            return EXIT_USAGE;
    }
    if (optind < argc) {
        say("%s is not an option: see fettle-load %s --help", argv[optind], command->name);
        return EXIT_USAGE;
    }
    return -1;
}

bool command_server(const char *text, struct rnet_addr *ret_addr)
{
    if (rnet_addr_parse(text, ret_addr) == 0)
        return true;
    say("--server %s is no address: use 127.0.0.1:PORT, [::1]:PORT or unix:/PATH", text);
    return false;
}

bool command_pid(const char *text, int *ret_pid)
{
    struct ft_usage usage;
    uint64_t pid;

    if (!arg_count("pid", text, 1, INT32_MAX, &pid))
        return false;
    *ret_pid = (int)pid;
    if (ft_usage_read(*ret_pid, &usage) == 0)
        return true;
    say("--pid %s: no such process can be watched: use the server's", text);
    return false;
}

static atomic_bool stop;

static void on_signal(int number)
{
    (void)number;
    atomic_store(&stop, true);
}

int command_run(int (*fn)(void *arg), void *arg, const atomic_bool **ret_stop)
{
    const struct rn_options runtime = {.name = "fettle-load", .workers = 1};

    *ret_stop = &stop;
    (void)signal(SIGINT, on_signal);
    (void)signal(SIGTERM, on_signal);
    (void)signal(SIGPIPE, SIG_IGN);
    return rn_run(&runtime, fn, arg);
}
