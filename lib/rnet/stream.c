/* Streams: what is common to all kinds, and the kind over a socket. Memory is in stream_memory.c,
 * dialling in dial.c.
 *
 * A stream is a record over an rn_fd; bytes go between the socket and the caller's buffer, on
 * whatever worker runs the task. No slot and no buffer of a loop is touched.
 */
#include <rnet/stream.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <base/cleanup.h>
#include <runnel/sys.h>
#include <runnel/task.h>

#include "internal.h"

#define IOV_MAX_HERE 16 /* parts of one call; more are written in turn */
#define RETRY_NS     (100 * RN_MS)

/* ---- any kind ---- */

ssize_t rnet_stream_readv(struct rnet_stream *s, const struct iovec *iov, int n, rn_time deadline)
{
    return s->type->readv(s, iov, n, deadline);
}

ssize_t rnet_stream_read(struct rnet_stream *s, void *buf, size_t n, rn_time deadline)
{
    return s->type->readv(s, &(struct iovec){buf, n}, 1, deadline);
}

int rnet_stream_read_full(struct rnet_stream *s, void *buf, size_t n, rn_time deadline)
{
    for (size_t got = 0; got < n;) {
        const ssize_t r = rnet_stream_read(s, (uint8_t *)buf + got, n - got, deadline);

        if (r <= 0)
            return r < 0 ? (int)r : -ENODATA;
        got += (size_t)r;
    }
    return 0;
}

/* Drop n bytes from the front of the parts; how many parts are left, from *iov on. */
static int iov_advance(struct iovec **iov, int parts, size_t n)
{
    while (parts > 0 && n >= (*iov)->iov_len) {
        n -= (*iov)->iov_len;
        (*iov)++;
        parts--;
    }
    if (parts > 0) {
        (*iov)->iov_base = (uint8_t *)(*iov)->iov_base + n;
        (*iov)->iov_len -= n;
    }
    return parts;
}

static int write_parts(struct rnet_stream *s, const struct iovec *iov, int n, rn_time deadline)
{
    struct iovec copy[IOV_MAX_HERE], *at = copy;

    memcpy(copy, iov, (size_t)n * sizeof(*iov));
    n = iov_advance(&at, n, 0); /* leading empty parts */
    while (n > 0) {
        const ssize_t r = s->type->writev(s, at, n, deadline);

        if (r < 0)
            return (int)r;
        n = iov_advance(&at, n, (size_t)r);
    }
    return 0;
}

int rnet_stream_writev(struct rnet_stream *s, const struct iovec *iov, int n, rn_time deadline)
{
    for (int i = 0; i < n; i += IOV_MAX_HERE) {
        const int r =
            write_parts(s, iov + i, n - i < IOV_MAX_HERE ? n - i : IOV_MAX_HERE, deadline);

        if (r < 0)
            return r;
    }
    return 0;
}

int rnet_stream_write(struct rnet_stream *s, const void *buf, size_t n, rn_time deadline)
{
    return rnet_stream_writev(s, &(struct iovec){(void *)(uintptr_t)buf, n}, 1, deadline);
}

int rnet_stream_end(struct rnet_stream *s)
{
    return s->type->end(s);
}

int rnet_stream_peer(struct rnet_stream *s, struct rnet_addr *ret_addr)
{
    return s->type->addr(s, true, ret_addr);
}

int rnet_stream_local(struct rnet_stream *s, struct rnet_addr *ret_addr)
{
    return s->type->addr(s, false, ret_addr);
}

void rnet_stream_close(struct rnet_stream *s)
{
    if (!s)
        return;
    s->type->close(s);
    free(s);
}

void rnet_stream_closep(struct rnet_stream **s)
{
    rnet_stream_close(*s);
    *s = NULL;
}

/* ---- over a socket ---- */

struct socket_stream {
    struct rnet_stream base;
    struct rn_fd       fd;
};

static struct rn_fd fd_of(struct rnet_stream *s)
{
    return ((struct socket_stream *)(void *)s)->fd;
}

static ssize_t socket_readv(struct rnet_stream *s, const struct iovec *iov, int n, rn_time deadline)
{
    if (n == 1)
        return rn_fd_recv(fd_of(s), iov->iov_base, iov->iov_len, deadline);
    return rn_fd_readv(fd_of(s), iov, n, deadline);
}

static ssize_t socket_writev(struct rnet_stream *s, const struct iovec *iov, int n,
                             rn_time deadline)
{
    if (n == 1)
        return rn_fd_send(fd_of(s), iov->iov_base, iov->iov_len, deadline);
    return rn_fd_writev(fd_of(s), iov, n, deadline);
}

static int socket_end(struct rnet_stream *s)
{
    const int number = rn_fd_number(fd_of(s));

    return number < 0 ? number : rn_sys_shutdown(number, SHUT_WR);
}

static int socket_addr(struct rnet_stream *s, bool peer, struct rnet_addr *ret_addr)
{
    const int number = rn_fd_number(fd_of(s));
    struct rnet_addr a = {.len = sizeof(a.sa)};
    int r;

    if (number < 0)
        return number;
    r = peer ? rn_sys_getpeername(number, &a.sa.any, &a.len)
             : rn_sys_getsockname(number, &a.sa.any, &a.len);
    if (r == 0)
        *ret_addr = a;
    return r;
}

static void socket_close(struct rnet_stream *s)
{
    (void)rn_fd_close(fd_of(s));
}

static const struct rnet_stream_type socket_type = {
    .name = "socket",
    .size = sizeof(struct socket_stream),
    .readv = socket_readv,
    .writev = socket_writev,
    .end = socket_end,
    .addr = socket_addr,
    .close = socket_close,
};

int rnet__stream_of_fd(struct rn_fd fd, struct rnet_stream **ret_stream)
{
    struct socket_stream *s = calloc(1, sizeof(*s));

    if (!s)
        return -ENOMEM;
    *s = (struct socket_stream){.base.type = &socket_type, .fd = fd};
    *ret_stream = &s->base;
    return 0;
}

int rnet_stream_adopt(int number, struct rnet_stream **ret_stream)
{
    struct rn_fd fd;
    int r = rn_fd_adopt(number, RN_FD_STREAM, &fd);

    if (r < 0)
        return r;
    r = rnet__stream_of_fd(fd, ret_stream);
    if (r < 0)
        (void)rn_fd_release(fd, &number); /* still the caller's */
    return r;
}

/* ---- listening in a task ---- */

struct rnet_acceptor {
    struct rn_fd       fd;
    struct rnet__bound bound;
    char               address[RNET_ADDR_TEXT_MAX];
};

int rnet_listen(const char *address, int backlog, struct rnet_acceptor **ret_acceptor)
{
    CLEANUP(freep) struct rnet_acceptor *a = calloc(1, sizeof(*a));
    int r;

    if (!a)
        return -ENOMEM;
    r = rnet__socket_listen(address, backlog, &a->bound);
    if (r < 0)
        return r;
    r = rn_fd_adopt(a->bound.number, RN_FD_LISTENER, &a->fd);
    if (r < 0) {
        rnet__socket_unlink(&a->bound);
        (void)rn_sys_close(a->bound.number);
        return r;
    }
    rnet_addr_format(&a->bound.addr, a->address, sizeof(a->address));
    *ret_acceptor = TAKE(a);
    return 0;
}

const char *rnet_acceptor_address(const struct rnet_acceptor *a)
{
    return a->address;
}

static bool ends_accepting(int error)
{
    return error == -ETIMEDOUT || error == -ECANCELED || error == -EBADF || error == -EBUSY ||
           error == -EINVAL || error == -ENOTSOCK;
}

int rnet_accept_number(struct rnet_acceptor *a, rn_time deadline, int *ret_number)
{
    for (;;) {
        int r = rn_fd_accept(a->fd, NULL, NULL, deadline);

        if (r >= 0) {
            *ret_number = r;
            return 0;
        }
        if (ends_accepting(r))
            return r;
        if (!rnet__accept_passes(r)) { /* out of descriptors, or not allowed: no spinning */
            const rn_time retry = rn_after(RETRY_NS);

            r = rn_sleep(retry < deadline ? retry : deadline);
            if (r < 0)
                return r;
            if (rn_now() >= deadline)
                return -ETIMEDOUT;
        }
    }
}

int rnet_accept(struct rnet_acceptor *a, rn_time deadline, struct rnet_stream **ret_stream)
{
    int number;
    int r = rnet_accept_number(a, deadline, &number);

    if (r < 0)
        return r;
    r = rnet_stream_adopt(number, ret_stream);
    if (r < 0)
        (void)rn_sys_close(number);
    return r;
}

void rnet_acceptor_close(struct rnet_acceptor *a)
{
    if (!a)
        return;
    rnet__socket_unlink(&a->bound);
    (void)rn_fd_close(a->fd);
    free(a);
}

void rnet_acceptor_closep(struct rnet_acceptor **a)
{
    rnet_acceptor_close(*a);
    *a = NULL;
}
