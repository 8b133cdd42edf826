/* Addresses as text: `127.0.0.1:4320`, `[::1]:4320`, `unix:/run/fettle.sock`. Port 0 picks a free
 * one.
 *
 * An address is numeric here; names are looked up by rnet_dial() only.
 */
#pragma once

#include <sys/socket.h>
#include <sys/un.h>

#include <netinet/in.h>

#include <runnel/base.h>

struct rnet_addr {
    socklen_t len;
    union {
        struct sockaddr     any;
        struct sockaddr_in  v4;
        struct sockaddr_in6 v6;
        struct sockaddr_un  un;
    } sa;
};

/* Room for any address as text, with its end. */
#define RNET_ADDR_TEXT_MAX 128

/* 0; -EINVAL (not an address), -ENAMETOOLONG (a path that a socket cannot have). */
RN_API int rnet_addr_parse(const char *text, struct rnet_addr *ret_addr);

/* The text of `addr`; always ends `buf`, cut when n is too small. A unix socket without a name is
 * "unix:". Returns buf. */
RN_API char *rnet_addr_format(const struct rnet_addr *addr, char *buf, size_t n);

/* 127.0.0.0/8, ::1 (also as ::ffff:127.x), and unix sockets. */
RN_API bool rnet_addr_is_loopback(const struct rnet_addr *addr);

/* 0 for unix sockets. */
RN_API uint16_t rnet_addr_port(const struct rnet_addr *addr);

/* Split `host:port` or `[v6]:port`; the host is a name or number. 0, -EINVAL, -ENAMETOOLONG. */
RN_API int rnet_addr_split(const char *text, char *ret_host, size_t host_max, char *ret_port,
                           size_t port_max);
