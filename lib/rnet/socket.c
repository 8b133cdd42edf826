/* Sockets as both faces want them.
 *
 * Options are set on the listening socket and inherited by what it accepts (Linux): no system call
 * per connection for them. Urgent data stays in line, else a peer's MSG_OOB would end a read early
 * and the short-read rule would lose an edge.
 */
#include "internal.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <sys/stat.h>

#include <base/cleanup.h>
#include <runnel/sys.h>

/* Of the file of a unix socket, less what the umask takes: whoever may write it may connect. The
 * socket has it before bind() makes the file, so there is no moment when more may. */
#define UNIX_MODE 0660

/* A peer that has vanished is given up after two minutes, whether the connection is idle (by
 * keepalive, below: 60 s and 6 times 10 s) or has something to say that nobody acknowledges, when the
 * kernel would go on for a quarter of an hour. */
#define PEER_GONE_MS (2 * 60 * 1000)

static int option(int number, int level, int name, int value)
{
    return rn_sys_setsockopt(number, level, name, &value, sizeof(value));
}

int rnet__socket_options(int number, int family)
{
    int r;

    if (family == AF_UNIX)
        return 0;
    if ((r = option(number, IPPROTO_TCP, TCP_NODELAY, 1)) < 0 ||
        (r = option(number, SOL_SOCKET, SO_OOBINLINE, 1)) < 0 ||
        (r = option(number, SOL_SOCKET, SO_KEEPALIVE, 1)) < 0 ||
        (r = option(number, IPPROTO_TCP, TCP_KEEPIDLE, 60)) < 0 ||
        (r = option(number, IPPROTO_TCP, TCP_KEEPINTVL, 10)) < 0 ||
        (r = option(number, IPPROTO_TCP, TCP_KEEPCNT, 6)) < 0 ||
        (r = option(number, IPPROTO_TCP, TCP_USER_TIMEOUT, PEER_GONE_MS)) < 0)
        return r;
    return 0;
}

/* Does somebody accept there? Only then is the file in use. */
static bool unix_served(const struct rnet_addr *addr)
{
    const int number = rn_sys_socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int r;

    if (number < 0)
        return true;
    r = rn_sys_connect(number, &addr->sa.any, addr->len);
    (void)rn_sys_close(number);
    return r != -ECONNREFUSED;
}

static int bind_replacing_stale(int number, const struct rnet_addr *addr)
{
    struct stat st;
    int r = rn_sys_bind(number, &addr->sa.any, addr->len);

    if (r != -EADDRINUSE || addr->sa.any.sa_family != AF_UNIX)
        return r;
    if (rn_sys_lstat(addr->sa.un.sun_path, &st) < 0 || !S_ISSOCK(st.st_mode) || unix_served(addr))
        return r;
    r = rn_sys_unlink(addr->sa.un.sun_path);
    return r < 0 ? r : rn_sys_bind(number, &addr->sa.any, addr->len);
}

static int bound_fill(struct rnet__bound *b)
{
    struct stat st;
    int r;

    if (b->addr.sa.any.sa_family == AF_UNIX) {
        r = rn_sys_lstat(b->addr.sa.un.sun_path, &st);
        if (r < 0)
            return r;
        b->file_dev = st.st_dev;
        b->file_ino = st.st_ino;
        return 0;
    }
    b->addr.len = sizeof(b->addr.sa);
    return rn_sys_getsockname(b->number, &b->addr.sa.any, &b->addr.len);
}

static int listen_on(struct rnet__bound *b, int backlog)
{
    const int family = b->addr.sa.any.sa_family;
    int r;

    if (family != AF_UNIX && (r = option(b->number, SOL_SOCKET, SO_REUSEADDR, 1)) < 0)
        return r;
    if (family == AF_INET6 && (r = option(b->number, IPPROTO_IPV6, IPV6_V6ONLY, 1)) < 0)
        return r;
    r = rnet__socket_options(b->number, family);
    if (r < 0)
        return r;
    if (family == AF_UNIX && fchmod(b->number, UNIX_MODE) < 0)
        return -errno;
    r = bind_replacing_stale(b->number, &b->addr);
    if (r < 0)
        return r;
    r = rn_sys_listen(b->number, backlog > 0 ? backlog : SOMAXCONN);
    return r < 0 ? r : bound_fill(b);
}

int rnet__socket_listen(const char *address, int backlog, struct rnet__bound *ret_bound)
{
    struct rnet__bound b = {.number = -1};
    int r = rnet_addr_parse(address, &b.addr);

    if (r < 0)
        return r;
    r = rn_sys_socket(b.addr.sa.any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (r < 0)
        return r;
    b.number = r;
    r = listen_on(&b, backlog);
    if (r < 0) {
        (void)rn_sys_close(b.number);
        return r;
    }
    *ret_bound = b;
    return 0;
}

void rnet__socket_unlink(const struct rnet__bound *b)
{
    struct stat st;

    if (b->addr.sa.any.sa_family != AF_UNIX || rn_sys_lstat(b->addr.sa.un.sun_path, &st) < 0)
        return;
    if (st.st_dev == b->file_dev && st.st_ino == b->file_ino)
        (void)rn_sys_unlink(b->addr.sa.un.sun_path);
}

bool rnet__accept_passes(int error)
{
    switch (error) {
    case -EINTR:
    case -ECONNABORTED:
    case -EPROTO:
    case -ENETDOWN:
    case -ENOPROTOOPT:
    case -EHOSTDOWN:
    case -ENONET:
    case -EHOSTUNREACH:
    case -ENETUNREACH:
        return true;
    default:
        return false;
    }
}
