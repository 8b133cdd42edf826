#include "dial.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <sys/resource.h>

#include <runnel/fd.h>
#include <runnel/sys.h>

#define SPARE_FDS 64

static int set(int number, int level, int name)
{
    return rn_sys_setsockopt(number, level, name, &(int){1}, sizeof(int));
}

/* The port is chosen at the connect: then it only has to be free for this server. */
static int bind_source(int number, const struct rnet_addr *server, uint32_t source)
{
    struct sockaddr_in from = {.sin_family = AF_INET};
    int r;

    if (source == 0 || server->sa.any.sa_family != AF_INET ||
        ntohl(server->sa.v4.sin_addr.s_addr) >> 24 != 127)
        return 0;
    from.sin_addr.s_addr = htonl(INADDR_LOOPBACK + source);
    r = set(number, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT);
    return r < 0 ? r : rn_sys_bind(number, (const struct sockaddr *)&from, sizeof(from));
}

static int prepare(int number, const struct rnet_addr *server, uint32_t source)
{
    const int r = bind_source(number, server, source);

    if (r < 0 || server->sa.any.sa_family == AF_UNIX)
        return r;
    return set(number, IPPROTO_TCP, TCP_NODELAY);
}

int ft_dial(const struct rnet_addr *server, uint32_t source, rn_time deadline)
{
    struct rn_fd fd = {0};
    int number = rn_sys_socket(server->sa.any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int r;

    if (number < 0)
        return number;
    r = prepare(number, server, source);
    if (r == 0)
        r = rn_fd_adopt(number, RN_FD_STREAM, &fd);
    if (r < 0) {
        (void)rn_sys_close(number);
        return r;
    }
    r = rn_fd_connect(fd, &server->sa.any, server->len, deadline);
    if (r == 0)
        r = rn_fd_release(fd, &number);
    if (r < 0) {
        (void)rn_fd_close(fd);
        return r;
    }
    return number;
}

int ft_dial_limit(uint64_t n)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return -errno;
    if (limit.rlim_cur >= n + SPARE_FDS)
        return 0;
    limit.rlim_cur = n + SPARE_FDS;
    if (limit.rlim_max < limit.rlim_cur)
        limit.rlim_max = limit.rlim_cur; /* root may */
    return setrlimit(RLIMIT_NOFILE, &limit) < 0 ? -EMFILE : 0;
}
