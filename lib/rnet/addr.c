/* Addresses as text. Pure: nothing is looked up. */
#include <rnet/addr.h>

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

static int port_parse(const char *text, uint16_t *ret_port)
{
    uint32_t port = 0;

    if (!*text)
        return -EINVAL;
    for (; *text; text++) {
        if (*text < '0' || *text > '9')
            return -EINVAL;
        port = port * 10 + (uint32_t)(*text - '0');
        if (port > UINT16_MAX)
            return -EINVAL;
    }
    *ret_port = (uint16_t)port;
    return 0;
}

int rnet_addr_split(const char *text, char *ret_host, size_t host_max, char *ret_port,
                    size_t port_max)
{
    const bool bracket = text[0] == '[';
    const char *host = text + bracket;
    const char *end = bracket ? strchr(host, ']') : strrchr(host, ':');
    const char *port = end ? end + bracket + 1 : NULL;

    if (!end || end == host || (bracket && end[1] != ':'))
        return -EINVAL;
    /* A v6 address without brackets: where its port begins cannot be told. */
    if (!bracket && memchr(host, ':', (size_t)(end - host)))
        return -EINVAL;
    if ((size_t)(end - host) >= host_max || strlen(port) >= port_max)
        return -ENAMETOOLONG;
    memcpy(ret_host, host, (size_t)(end - host));
    ret_host[end - host] = '\0';
    strcpy(ret_port, port);
    return 0;
}

static int unix_parse(const char *path, struct rnet_addr *ret_addr)
{
    struct rnet_addr a = {.sa.un.sun_family = AF_UNIX};
    const size_t len = strlen(path);

    if (len == 0)
        return -EINVAL;
    if (len >= sizeof(a.sa.un.sun_path))
        return -ENAMETOOLONG;
    memcpy(a.sa.un.sun_path, path, len + 1);
    a.len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len + 1);
    *ret_addr = a;
    return 0;
}

int rnet_addr_parse(const char *text, struct rnet_addr *ret_addr)
{
    struct rnet_addr a = {0};
    char host[INET6_ADDRSTRLEN + 1], port_text[8];
    uint16_t port;

    if (strncmp(text, "unix:", 5) == 0)
        return unix_parse(text + 5, ret_addr);
    if (rnet_addr_split(text, host, sizeof(host), port_text, sizeof(port_text)) < 0 ||
        port_parse(port_text, &port) < 0)
        return -EINVAL;

    if (text[0] != '[' && inet_pton(AF_INET, host, &a.sa.v4.sin_addr) == 1) {
        a.sa.v4.sin_family = AF_INET;
        a.sa.v4.sin_port = htons(port);
        a.len = sizeof(a.sa.v4);
    } else if (text[0] == '[' && inet_pton(AF_INET6, host, &a.sa.v6.sin6_addr) == 1) {
        a.sa.v6.sin6_family = AF_INET6;
        a.sa.v6.sin6_port = htons(port);
        a.len = sizeof(a.sa.v6);
    } else {
        return -EINVAL;
    }
    *ret_addr = a;
    return 0;
}

static void unix_format(const struct rnet_addr *addr, char *buf, size_t n)
{
    const size_t begin = offsetof(struct sockaddr_un, sun_path);
    const size_t len = addr->len > begin ? addr->len - begin : 0;
    const char *path = addr->sa.un.sun_path;

    if (len > 0 && path[0] == '\0') /* the abstract name space */
        (void)snprintf(buf, n, "unix:@%.*s", (int)(len - 1), path + 1);
    else
        (void)snprintf(buf, n, "unix:%.*s", (int)len, path);
}

char *rnet_addr_format(const struct rnet_addr *addr, char *buf, size_t n)
{
    char host[INET6_ADDRSTRLEN];

    switch (addr->len ? addr->sa.any.sa_family : AF_UNSPEC) {
    case AF_INET:
        (void)inet_ntop(AF_INET, &addr->sa.v4.sin_addr, host, sizeof(host));
        (void)snprintf(buf, n, "%s:%u", host, ntohs(addr->sa.v4.sin_port));
        break;
    case AF_INET6:
        (void)inet_ntop(AF_INET6, &addr->sa.v6.sin6_addr, host, sizeof(host));
        (void)snprintf(buf, n, "[%s]:%u", host, ntohs(addr->sa.v6.sin6_port));
        break;
    case AF_UNIX:
        unix_format(addr, buf, n);
        break;
    default:
        (void)snprintf(buf, n, "unknown");
    }
    return buf;
}

bool rnet_addr_is_loopback(const struct rnet_addr *addr)
{
    const struct in6_addr *v6 = &addr->sa.v6.sin6_addr;

    switch (addr->sa.any.sa_family) {
    case AF_INET:
        return ntohl(addr->sa.v4.sin_addr.s_addr) >> 24 == 127;
    case AF_INET6:
        return IN6_IS_ADDR_LOOPBACK(v6) || (IN6_IS_ADDR_V4MAPPED(v6) && v6->s6_addr[12] == 127);
    default:
        return addr->sa.any.sa_family == AF_UNIX;
    }
}

uint16_t rnet_addr_port(const struct rnet_addr *addr)
{
    switch (addr->sa.any.sa_family) {
    case AF_INET:
        return ntohs(addr->sa.v4.sin_port);
    case AF_INET6:
        return ntohs(addr->sa.v6.sin6_port);
    default:
        return 0;
    }
}
