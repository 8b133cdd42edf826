/* Starting a process: its own group, no descriptor of ours, output into two pipes, and no life
 * after the agent.
 *
 * PDEATHSIG follows the *thread* that forked. So this must run on a thread that lives as long as
 * the agent: the only worker of its runtime, which is the main thread. */
#pragma once

#include <sys/types.h>

struct ft_spawn {
    const char *const *argv; /* NULL-terminated */
    const char *folder;      /* working directory */
    const char *mark;        /* an environment entry, "NAME=value" */
};

/* Returns once the process is the program (it waits for the exec, at most a second).
 * 0 or -errno. A program that cannot be executed is not an error here: the process says why on its
 * stderr and exits with 127. */
int ft_spawn(const struct ft_spawn *s, pid_t *ret_pid, int *ret_stdout, int *ret_stderr);
