/* Signals through a signalfd: blocked for the whole process, read one at a time like any other
 * descriptor, or by a task that hands them to a channel. The signals that such a task reads are
 * claimed: of two readers each would get half. */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
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

/* ---- as a channel ---------------------------------------------------------------------------- */

static _Atomic uint64_t claimed; /* bit n: signal n + 1 */

int rn__signals_claim(uint64_t signals)
{
    uint64_t before = atomic_load(&claimed);

    do {
        if (before & signals)
            return -EBUSY;
    } while (!atomic_compare_exchange_weak(&claimed, &before, before | signals));
    return 0;
}

void rn__signals_yield(uint64_t signals)
{
    atomic_fetch_and(&claimed, ~signals);
}

/* 0: the set is empty, or one of it isn't blocked here. */
static uint64_t signals_of(const sigset_t *set)
{
    uint64_t signals = 0;
    sigset_t blocked;

    if (pthread_sigmask(SIG_BLOCK, NULL, &blocked) != 0)
        return 0;
    for (int n = 1; n <= 64; n++) {
        if (sigismember(set, n) != 1)
            continue;
        if (sigismember(&blocked, n) != 1)
            return 0;
        signals |= UINT64_C(1) << (n - 1);
    }
    return signals;
}

struct reader {
    uint64_t signals;
    int number;
    struct rn_tx tx;
};

static void reader_free(struct reader *r)
{
    if (r->number >= 0)
        (void)rn_sys_close(r->number);
    rn__signals_yield(r->signals);
    free(r);
}

static int reads_on(struct rn_fd fd, struct rn_tx tx)
{
    struct signalfd_siginfo info;
    ssize_t n;
    int r = 0;

    while (r == 0) {
        n = rn_fd_read_at(RN_WAIT_IDLE(), fd, &info, sizeof(info), RN_FOREVER);
        if (n != sizeof(info))
            return n < 0 ? (int)n : -EIO;
        const struct rn_signal s = {(int)info.ssi_signo, info.ssi_code, (int)info.ssi_pid};
        r = rn_tx_send_at(RN_WAIT_IDLE(), tx, &s, RN_FOREVER);
    }
    return r;
}

static int reader_main(void *arg)
{
    struct reader *reader = arg;
    struct rn_fd fd;
    int r = rn_fd_adopt(reader->number, RN_FD_OTHER, &fd);

    if (r == 0) {
        r = reads_on(fd, reader->tx);
        (void)rn_fd_close(fd);
        reader->number = -1;
    }
    reader_free(reader);
    return r == -EPIPE || r == -ECANCELED ? 0 : r;
}

static int reader_new(const sigset_t *set, struct reader **ret_reader)
{
    uint64_t signals = signals_of(set);
    int r = signals ? rn__signals_claim(signals) : -EINVAL;
    struct reader *reader;

    if (r < 0)
        return r;
    reader = calloc(1, sizeof(*reader));
    r = reader ? rn__sys_signalfd(-1, set, SFD_NONBLOCK | SFD_CLOEXEC) : -ENOMEM;
    if (r < 0) {
        rn__signals_yield(signals);
        free(reader);
        return r;
    }
    reader->signals = signals;
    reader->number = r;
    *ret_reader = reader;
    return 0;
}

int rn_signal_open_at(const struct rn_site *site, struct rn_scope scope, const sigset_t *set,
                      struct rn_rx *ret_rx)
{
    const struct rn_elem elem = {.size = sizeof(struct rn_signal)};
    struct reader *reader = NULL;
    struct rn_rx rx;
    int r = rn_task_id() ? reader_new(set, &reader) : -EPERM;

    if (r < 0)
        return r;
    r = rn_chan_open_at(site, &elem, 0, &reader->tx, &rx);
    if (r < 0) {
        reader_free(reader);
        return r;
    }
    const struct rn_end given = rn_end_tx(reader->tx);
    r = rn_go_at(site, "signals", NULL, scope, reader_main, reader, &given, 1);
    if (r < 0) {
        rn_tx_closep(&reader->tx);
        rn_rx_closep(&rx);
        reader_free(reader);
        return r;
    }
    *ret_rx = rx;
    return 0;
}
