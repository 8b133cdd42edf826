/* Signals through a signalfd: blocked for the whole process, read one at a time like any other
 * descriptor. */
#include <errno.h>
#include <pthread.h>
#include <sys/signalfd.h>

#include "core.h"

int rn_signals_block(const sigset_t *set)
{
    return -pthread_sigmask(SIG_BLOCK, set, NULL);
}

int rn_signals_open(const sigset_t *set, struct rn_fd *ret_fd)
{
    int fd = rn__sys_signalfd(-1, set, SFD_NONBLOCK | SFD_CLOEXEC);
    int r;

    if (fd < 0)
        return fd;
    r = rn_fd_adopt(fd, RN_FD_OTHER, ret_fd);
    if (r < 0)
        (void)rn_sys_close(fd);
    return r;
}

int rn_signals_wait(struct rn_fd fd, rn_time deadline)
{
    struct signalfd_siginfo info;
    ssize_t n = rn_fd_read(fd, &info, sizeof(info), deadline);

    if (n < 0)
        return (int)n;
    return n == sizeof(info) ? (int)info.ssi_signo : -EIO;
}
