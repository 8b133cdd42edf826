/* Reading and writing from tasks: try first, wait only on EAGAIN.
 *
 * `ready` remembers the edges that nobody has used up: it is cleared before the system call, so an
 * edge that arrives meanwhile is not lost, and set again when the call left something behind. On a
 * stream a short count says that nothing is left (epoll(7)), so the next call waits at once and the
 * futile recv -> EAGAIN is saved; not after RDHUP, HUP or ERR, when there may be no other edge.
 */
#include <errno.h>

#include "fd.h"

enum { DIR_READ, DIR_WRITE };

struct args {
    void *buf;
    const void *data;
    size_t n;
    const struct iovec *iov;
    struct sockaddr *addr;
    const struct sockaddr *to;
    socklen_t *len;
};
typedef ssize_t call_fn(int fd, const struct args *a);

static uint32_t dir_bit(unsigned dir)
{
    return dir == DIR_READ ? RN__FD_READER : RN__FD_WRITER;
}

static uint8_t ready_bit(unsigned dir)
{
    return dir == DIR_READ ? RN_FD_READ : RN_FD_WRITE;
}

static int enter(struct rn_fd h, unsigned dir, struct rn__fd **ret_record)
{
    struct rn__fd *f = rn__fd_get(rn__rt(), h);
    uint64_t v;

    if (!rn__task_self())
        return -EPERM;
    if (!f || f->flags & RN__FD_WATCH)
        return -EBADF;
    v = atomic_load(&f->word);
    do {
        if (rn__fd_gen(v) != h.gen || v & RN__FD_CLOSING)
            return -EBADF;
        if (v & dir_bit(dir))
            return -EBUSY;
    } while (!atomic_compare_exchange_weak(&f->word, &v, (v | dir_bit(dir)) + 1));
    *ret_record = f;
    return 0;
}

static void leave(struct rn__fd *f, unsigned dir)
{
    uint64_t v = atomic_load(&f->word);

    rn__san_release(f); /* what was done with the number comes before its close */
    while (!atomic_compare_exchange_weak(&f->word, &v, (v & ~(uint64_t)dir_bit(dir)) - 1))
        ;
    if (v & RN__FD_CLOSING && (v & RN__FD_REFS) == 1)
        rn__fd_last_out(rn__rt(), f);
}

/* AF_UNIX tells a writer of every read at the other end, so OUT is asked for only while somebody
 * waits for it. */
static int want_out(struct rn__fd *f, bool on)
{
    if (!(f->flags & RN__FD_LAZY))
        return 0;
    f->flags = (uint8_t)(on ? f->flags | RN__FD_OUT : f->flags & ~RN__FD_OUT);
    return rn__fd_events_set(rn__rt(), f, EPOLL_CTL_MOD);
}

static int park_published(const struct rn_site *site, struct rn_fd h, struct rn__fd *f,
                          unsigned dir, rn_time deadline)
{
    struct rn__wait what = {.kind = dir == DIR_READ ? RN_WAIT_FD_READ : RN_WAIT_FD_WRITE,
                            .site = site,
                            .slot = h.slot,
                            .gen = h.gen};
    struct rn__key key = rn__wait_begin();
    bool closing;

    rn__fd_waiter_set(f, dir, key);
    /* Closed while we yielded, or an edge that found nobody here, on another thread. Who claims
     * meanwhile will wake us. */
    closing = atomic_load(&f->word) & RN__FD_CLOSING;
    if ((closing || atomic_load(&f->ready) & ready_bit(dir)) && rn__claim(key, RN__WIN_CLOSE)) {
        rn__wait_abandon();
        return closing ? -EBADF : 0;
    }
    switch (rn__park(&what, deadline, false)) {
    case RN__WIN_TIMER:
        return -ETIMEDOUT;
    case RN__WIN_CANCEL:
        return -ECANCELED;
    case RN__WIN_CLOSE:
        return -EBADF;
    default:
        return 0;
    }
}

static int park(const struct rn_site *site, struct rn_fd h, struct rn__fd *f, unsigned dir,
                rn_time deadline)
{
    int r = dir == DIR_WRITE ? want_out(f, true) : 0;

    if (r < 0) /* out of epoll already: it was closed after the attempt */
        return atomic_load(&f->word) & RN__FD_CLOSING ? -EBADF : r;
    r = park_published(site, h, f, dir, deadline);
    rn__fd_waiter_set(f, dir, (struct rn__key){0});
    if (dir == DIR_WRITE && !(atomic_load(&f->word) & RN__FD_CLOSING))
        (void)want_out(f, false);
    return r;
}

/* May the direction still be ready after a call that moved `r` of `n`? */
static bool still_ready(const struct rn__fd *f, ssize_t r, size_t n)
{
    if (r <= 0 || f->flags & RN__FD_HUP)
        return true; /* end of file and errors stay */
    return (f->kind != RN_FD_STREAM && f->kind != RN_FD_PIPE) || (size_t)r >= n;
}

static ssize_t try_call(struct rn__fd *f, unsigned dir, call_fn *call, const struct args *a)
{
    ssize_t r;

    do {
        atomic_fetch_and(&f->ready, (uint8_t)~ready_bit(dir));
        r = call(f->number, a);
    } while (r == -EINTR || (r == -EAGAIN && atomic_load(&f->ready) & ready_bit(dir)));
    return r;
}

static ssize_t fd_do(const struct rn_site *site, struct rn_fd h, unsigned dir, rn_time deadline,
                     call_fn *call, const struct args *a)
{
    struct rn__fd *f = NULL;
    ssize_t r = enter(h, dir, &f);
    bool only_look = deadline <= 0;

    if (r < 0)
        return r;
    if (rn__cancelled()) {
        leave(f, dir);
        return -ECANCELED;
    }
    for (;;) {
        if (only_look || atomic_load(&f->ready) & ready_bit(dir)) {
            r = try_call(f, dir, call, a);
            if (r != -EAGAIN) {
                if (still_ready(f, r, a->n))
                    atomic_fetch_or(&f->ready, ready_bit(dir));
                break;
            }
        }
        r = only_look ? -ETIMEDOUT : park(site, h, f, dir, deadline);
        if (r < 0)
            break;
    }
    leave(f, dir);
    if (r >= 0)
        rn__budget();
    return r;
}

/* ---- the calls ------------------------------------------------------------------------------- */

static ssize_t call_read(int fd, const struct args *a)
{
    return rn_sys_read(fd, a->buf, a->n);
}

ssize_t rn_fd_read_at(const struct rn_site *site, struct rn_fd fd, void *buf, size_t n,
                      rn_time deadline)
{
    return fd_do(site, fd, DIR_READ, deadline, call_read, &(struct args){.buf = buf, .n = n});
}

static ssize_t call_write(int fd, const struct args *a)
{
    return rn_sys_write(fd, a->data, a->n);
}

ssize_t rn_fd_write_at(const struct rn_site *site, struct rn_fd fd, const void *buf, size_t n,
                       rn_time deadline)
{
    return fd_do(site, fd, DIR_WRITE, deadline, call_write, &(struct args){.data = buf, .n = n});
}

static ssize_t call_recv(int fd, const struct args *a)
{
    return rn_sys_recv(fd, a->buf, a->n, 0);
}

ssize_t rn_fd_recv_at(const struct rn_site *site, struct rn_fd fd, void *buf, size_t n,
                      rn_time deadline)
{
    return fd_do(site, fd, DIR_READ, deadline, call_recv, &(struct args){.buf = buf, .n = n});
}

static ssize_t call_send(int fd, const struct args *a)
{
    return rn_sys_send(fd, a->data, a->n, 0);
}

ssize_t rn_fd_send_at(const struct rn_site *site, struct rn_fd fd, const void *buf, size_t n,
                      rn_time deadline)
{
    return fd_do(site, fd, DIR_WRITE, deadline, call_send, &(struct args){.data = buf, .n = n});
}

static size_t iov_bytes(const struct iovec *iov, int n)
{
    size_t bytes = 0;

    for (int i = 0; i < n; i++)
        bytes += iov[i].iov_len;
    return bytes;
}

/* For vectors `addr` is unused and `len` points at the count. */
static ssize_t call_readv(int fd, const struct args *a)
{
    return rn_sys_readv(fd, a->iov, (int)*a->len);
}

ssize_t rn_fd_readv_at(const struct rn_site *site, struct rn_fd fd, const struct iovec *iov, int n,
                       rn_time deadline)
{
    socklen_t count = (socklen_t)n;

    return fd_do(site, fd, DIR_READ, deadline, call_readv,
                 &(struct args){.iov = iov, .n = iov_bytes(iov, n), .len = &count});
}

static ssize_t call_writev(int fd, const struct args *a)
{
    const struct msghdr msg = {.msg_iov = (struct iovec *)(uintptr_t)a->iov, .msg_iovlen = *a->len};
    const ssize_t r = rn_sys_sendmsg(fd, &msg, MSG_NOSIGNAL);

    return r == -ENOTSOCK ? rn_sys_writev(fd, a->iov, (int)*a->len)
                          : r; /* writev(2) on a reset socket would raise SIGPIPE */
}

ssize_t rn_fd_writev_at(const struct rn_site *site, struct rn_fd fd, const struct iovec *iov, int n,
                        rn_time deadline)
{
    socklen_t count = (socklen_t)n;

    return fd_do(site, fd, DIR_WRITE, deadline, call_writev,
                 &(struct args){.iov = iov, .n = iov_bytes(iov, n), .len = &count});
}

static ssize_t call_accept(int fd, const struct args *a)
{
    return rn_sys_accept4(fd, a->addr, a->len, SOCK_NONBLOCK | SOCK_CLOEXEC);
}

int rn_fd_accept_at(const struct rn_site *site, struct rn_fd fd, struct sockaddr *addr,
                    socklen_t *len, rn_time deadline)
{
    return (int)fd_do(site, fd, DIR_READ, deadline, call_accept,
                      &(struct args){.addr = addr, .len = len});
}

/* Connecting: -EINPROGRESS is "not yet", and the answer is SO_ERROR, believed only if there is a
 * peer. */
static ssize_t call_connected(int fd, const struct args *a)
{
    struct sockaddr_storage peer;
    int error = 0;
    socklen_t len = sizeof(error);
    int r = rn_sys_getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len);

    (void)a;
    if (r < 0 || error)
        return r < 0 ? r : -error;
    len = sizeof(peer);
    r = rn_sys_getpeername(fd, (struct sockaddr *)&peer, &len);
    return r == -ENOTCONN ? -EAGAIN : r;
}

static ssize_t call_connect(int fd, const struct args *a)
{
    return rn_sys_connect(fd, a->to, *a->len);
}

int rn_fd_connect_at(const struct rn_site *site, struct rn_fd fd, const struct sockaddr *addr,
                     socklen_t len, rn_time deadline)
{
    ssize_t r =
        fd_do(site, fd, DIR_WRITE, deadline, call_connect, &(struct args){.to = addr, .len = &len});

    if (r != -EINPROGRESS)
        return (int)r;
    return (int)fd_do(site, fd, DIR_WRITE, deadline, call_connected, &(struct args){.n = 0});
}

int rn_fd_wait_at(const struct rn_site *site, struct rn_fd h, enum rn_fd_dir want, rn_time deadline)
{
    unsigned dir = want == RN_FD_WRITE ? DIR_WRITE : DIR_READ;
    struct rn__fd *f = NULL;
    int r = want == RN_FD_READ || want == RN_FD_WRITE ? enter(h, dir, &f) : -EINVAL;

    if (r < 0)
        return r;
    if (rn__cancelled())
        r = -ECANCELED;
    else if (!(atomic_load(&f->ready) & ready_bit(dir)))
        r = deadline <= 0 ? -ETIMEDOUT : park(site, h, f, dir, deadline);
    if (r == 0 && !(f->flags & RN__FD_HUP))
        atomic_fetch_and(&f->ready, (uint8_t)~ready_bit(dir));
    leave(f, dir);
    if (r == 0)
        rn__budget();
    return r;
}
