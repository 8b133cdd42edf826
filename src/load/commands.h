/* The commands. Each gets its own name as argv[0] and returns the exit status; what they share is the
 * way from options to a run that a signal ends.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>

struct option;
struct rnet_addr;

int command_agents(int argc, char *argv[]);
int command_flood(int argc, char *argv[]);

struct command {
    const char *name, *usage;
    const struct option *options; /* with --help as 'h', --version as 'v' */
    /* Takes one into `to`. False: it was said what is wrong. */
    bool (*set)(void *to, int option, const char *value);
};

/* -1: go on; else the exit status. */
int command_parse(const struct command *command, int argc, char *argv[], void *to);

/* Values of options that several commands have. False: it was said what is wrong. */
bool command_server(const char *text, struct rnet_addr *ret_addr);
bool command_pid(const char *text, int *ret_pid); /* of a process whose usage can be read */

/* fn(arg) in a runtime of its own. INT and TERM set *ret_stop, which is to be looked at. */
int command_run(int (*fn)(void *arg), void *arg, const atomic_bool **ret_stop);
