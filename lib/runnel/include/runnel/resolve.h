/* Names to addresses, on the blocking pool: getaddrinfo() waits as long as the name servers please. */
#pragma once

#include <sys/socket.h>

#include <runnel/base.h>
#include <runnel/blocking.h>

struct rn_addr {
    socklen_t               len; /* as connect() wants it, and rn_fd_connect() */
    struct sockaddr_storage addr;
};

/* Resolve `host` (a name or a number) and `service` (a number or a name, NULL: port 0) to addresses for streams, at most `max`, in the
 * order in which they should be tried. `dns` bounds how many such calls run at once.
 * Suspends: until there is an answer or `deadline` passes; a call that has begun ends by itself then.
 * Returns:  how many, at least 1; -ENOENT (no such name, or service), -EAGAIN (no name server answers now), -EIO (they failed), -EINVAL
 *           (max is 0 or no int; the class is being closed, or another runtime's), -ENOMEM, -ETIMEDOUT, -ECANCELED, -EPERM (no task).
 * Owner:    of the class and the texts, the caller; the texts are copied.
 * From:     a task. */
#define rn_resolve(dns, host, service, ret, max, deadline) \
    rn_resolve_at(RN_SITE(), dns, host, service, ret, max, deadline)
RN_API int rn_resolve_at(const struct rn_site *site, struct rn_class *dns, const char *host, const char *service,
                         struct rn_addr ret_addrs[], size_t max, rn_time deadline);
