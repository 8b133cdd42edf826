/* The commands. Each takes its own arguments (argv[0] is its name) and returns the exit status:
 * 0 done, 1 failed while running, 2 wrong usage. */
#pragma once

enum { EXIT_DONE = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

int command_describe(int argc, char *argv[]);
int command_get(int argc, char *argv[]);
int command_push(int argc, char *argv[]);
