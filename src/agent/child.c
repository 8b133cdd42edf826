#include "child.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <base/cleanup.h>

#define EXEC_WAIT_MS 1000 /* a program on a disk that hangs must not hold the agent */

/* Of close_range(2), Linux 5.11: close at the exec rather than now. */
#define RANGE_CLOEXEC 4u

extern char **environ;

/* From here to exec only async-signal-safe calls: other threads may have held locks at the fork. */
static __attribute__((noreturn)) void child_fail(const char *what, const char *name)
{
    const char *why = strerrordesc_np(errno);
    const char *parts[] = {
        "fettle-agent: ", what, " ", name, ": ", why ? why : "unknown error", "\n"};

    for (size_t i = 0; i < sizeof(parts) / sizeof(*parts); i++)
        if (write(STDERR_FILENO, parts[i], strlen(parts[i])) < 0)
            break;
    _exit(127);
}

static void signals_default(void)
{
    sigset_t none;

    for (int s = 1; s < NSIG; s++)
        (void)signal(s, SIG_DFL);
    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
}

static __attribute__((noreturn)) void child_run(const struct ft_spawn *s, char **envp, pid_t parent,
                                                int out, int err)
{
    int null;

    (void)setpgid(0, 0);
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(127); /* it died before the line above */
    signals_default();
    null = open("/dev/null", O_RDONLY);
    if (null < 0 || dup2(null, STDIN_FILENO) < 0 || dup2(out, STDOUT_FILENO) < 0 ||
        dup2(err, STDERR_FILENO) < 0)
        _exit(127);
    (void)syscall(SYS_close_range, 3u, ~0u, RANGE_CLOEXEC);
    if (chdir(s->folder) < 0)
        child_fail("cannot enter", s->folder);
    (void)execvpe(s->argv[0], (char *const *)s->argv, envp);
    child_fail("cannot run", s->argv[0]);
}

/* Our environment, with the mark. */
static char **environment_make(const char *mark)
{
    size_t n = 0, kept = 0, name = strcspn(mark, "=") + 1;
    char **envp;

    while (environ[n])
        n++;
    envp = calloc(n + 2, sizeof(*envp));
    if (!envp)
        return NULL;
    for (size_t i = 0; i < n; i++)
        if (strncmp(environ[i], mark, name) != 0)
            envp[kept++] = environ[i];
    envp[kept] = (char *)mark;
    return envp;
}

/* Wait until the child has become its program (or has failed to): then the end that it holds is
 * closed. Before that it is a copy of ourselves, which nobody must measure or signal. */
static void exec_await(int read_end)
{
    struct pollfd p = {.fd = read_end, .events = POLLIN};

    (void)poll(&p, 1, EXEC_WAIT_MS);
}

int ft_spawn(const struct ft_spawn *s, pid_t *ret_pid, int *ret_stdout, int *ret_stderr)
{
    CLEANUP(closep) int exec_read = -1;
    CLEANUP(closep) int exec_write = -1;
    CLEANUP(closep) int out_read = -1;
    CLEANUP(closep) int out_write = -1;
    CLEANUP(closep) int err_read = -1;
    CLEANUP(closep) int err_write = -1;
    CLEANUP(freep) char **envp = environment_make(s->mark);
    pid_t parent = getpid(), pid;
    int p[2];

    if (!envp)
        return -ENOMEM;
    if (pipe2(p, O_CLOEXEC) < 0)
        return -errno;
    out_read = p[0], out_write = p[1];
    if (pipe2(p, O_CLOEXEC) < 0)
        return -errno;
    err_read = p[0], err_write = p[1];
    if (pipe2(p, O_CLOEXEC) < 0)
        return -errno;
    exec_read = p[0], exec_write = p[1];
    pid = fork();
    if (pid < 0)
        return -errno;
    if (pid == 0)
        child_run(s, envp, parent, out_write, err_write);
    (void)setpgid(pid, pid); /* whoever comes first: the group exists before we return */
    (void)close(TAKE_FD(exec_write));
    exec_await(exec_read);
    *ret_pid = pid;
    *ret_stdout = TAKE_FD(out_read);
    *ret_stderr = TAKE_FD(err_read);
    return 0;
}
