#include <errno.h>
#include <signal.h>
#include <unistd.h>

#include <harness/task_test.h>

#include <runnel/runnel.h>

TASK_TEST(a_task_waits_for_signals_one_at_a_time)
{
    struct rn_fd fd;
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigaddset(&set, SIGUSR2);
    OK(rn_signals_block(&set));
    OK(rn_signals_open(&set, &fd));
    ERR(rn_signals_wait(fd, rn_after(RN_MS)), ETIMEDOUT);
    OK(kill(getpid(), SIGUSR2));
    OK(kill(getpid(), SIGUSR1));
    EQ(rn_signals_wait(fd, RN_FOREVER) + rn_signals_wait(fd, RN_FOREVER), SIGUSR1 + SIGUSR2);
    ERR(rn_signals_wait(fd, 0), ETIMEDOUT);
    OK(rn_fd_close(fd));
    ERR(rn_signals_wait(fd, RN_FOREVER), EBADF);
}

static int waits(void *arg)
{
    struct rn_fd *fd = arg;

    return rn_signals_wait(*fd, RN_FOREVER);
}

TASK_TEST(a_cancel_ends_the_wait_for_a_signal)
{
    struct rn_scope s;
    struct rn_fd fd;
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    OK(rn_signals_block(&set));
    OK(rn_signals_open(&set, &fd));
    OK(rn_scope_open(0, &s));
    OK(rn_go(s, waits, &fd, NULL, 0));
    OK(rn_yield());
    OK(rn_scope_cancel(s));
    ERR(rn_scope_wait(s), ECANCELED);
    OK(rn_scope_close(s));
}
