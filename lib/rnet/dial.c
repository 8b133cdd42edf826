/* Dialling: numeric addresses at once; names by the system on a thread of the class `dns`, then
 * their addresses one after the other, a new one every 250 ms or as soon as one fails (RFC 8305),
 * the families in turn. The first that answers wins.
 */
#include <rnet/stream.h>

#include <errno.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>

#include <base/cleanup.h>
#include <runnel/blocking.h>
#include <runnel/chan.h>
#include <runnel/sys.h>
#include <runnel/task.h>

#include "internal.h"

#define DNS_THREADS  4
#define ADDRS_MAX    8
#define NEXT_TRY_NS  (250 * RN_MS)

/* ---- one address ---- */

/* A connected descriptor of the calling task. */
static int connect_one(const struct rnet_addr *addr, rn_time deadline, struct rn_fd *ret_fd)
{
    CLEANUP(rn_fd_closep) struct rn_fd fd = {0};
    const int family = addr->sa.any.sa_family;
    int number = rn_sys_socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int r;

    if (number < 0)
        return number;
    r = rnet__socket_options(number, family);
    if (r == 0)
        r = rn_fd_adopt(number, RN_FD_STREAM, &fd);
    if (r < 0) {
        (void)rn_sys_close(number);
        return r;
    }
    r = rn_fd_connect(fd, &addr->sa.any, addr->len, deadline);
    if (r < 0)
        return r;
    *ret_fd = fd;
    fd = (struct rn_fd){0};
    return 0;
}

/* The number of a connected socket that nobody owns yet. */
static int connect_number(const struct rnet_addr *addr, rn_time deadline)
{
    struct rn_fd fd;
    int number;
    int r = connect_one(addr, deadline, &fd);

    if (r < 0)
        return r;
    r = rn_fd_release(fd, &number);
    if (r < 0) {
        (void)rn_fd_close(fd);
        return r;
    }
    return number;
}

/* ---- several: a task each ---- */

struct attempt {
    struct rnet_addr addr;
    rn_time          deadline;
    struct rn_tx     tx; /* moves to the task */
};

static void number_destroy(void *value)
{
    const int number = *(int *)value;

    if (number >= 0)
        (void)rn_sys_close(number);
}

static int attempt_run(void *arg)
{
    const struct attempt *a = arg;
    int number = connect_number(&a->addr, a->deadline);

    if (rn_tx_try_send(a->tx, &number) < 0) /* there is room for all: the dialler has its winner */
        number_destroy(&number);
    return 0;
}

static int attempt_start(struct rn_scope scope, struct rn_tx tx, struct attempt *a)
{
    static const struct rn_task_options small = {.stack = RN_STACK_16K};
    struct rn_end end;
    int r = rn_tx_dup(tx, &a->tx);

    if (r < 0)
        return r;
    end = rn_end_tx(a->tx);
    r = rn_go_with(&small, scope, attempt_run, a, &end, 1);
    if (r < 0)
        (void)rn_tx_close(a->tx);
    return r;
}

/* Try until one answers; its number, or the last error. */
static int race_run(struct rn_scope scope, struct rn_tx tx, struct rn_rx rx,
                    struct attempt attempts[], size_t n, rn_time deadline)
{
    size_t next = 0, running = 0;
    int error = -ENXIO, number, r;

    while (running > 0 || next < n) {
        const rn_time retry = next < n ? rn_after(NEXT_TRY_NS) : RN_FOREVER;

        if (next < n) {
            r = attempt_start(scope, tx, &attempts[next++]);
            if (r < 0)
                return r;
            running++;
        }
        r = rn_rx_recv(rx, &number, next < n && retry < deadline ? retry : deadline);
        if (r == 0) {
            if (number >= 0)
                return number;
            running--;
            error = number;
        } else if (r != -ETIMEDOUT || rn_now() >= deadline) {
            return r;
        }
    }
    return error;
}

static int race(const struct rnet_addr addrs[], size_t n, rn_time deadline)
{
    static const struct rn_elem elem = {.size = sizeof(int), .destroy = number_destroy};
    CLEANUP(freep) struct attempt *attempts = calloc(n, sizeof(*attempts));
    CLEANUP(rn_tx_closep) struct rn_tx tx = {0};
    CLEANUP(rn_rx_closep) struct rn_rx rx = {0};
    CLEANUP(rn_scope_closep) struct rn_scope scope = {0};
    int r;

    if (!attempts)
        return -ENOMEM;
    for (size_t i = 0; i < n; i++)
        attempts[i] = (struct attempt){.addr = addrs[i], .deadline = deadline};
    r = rn_chan_open_elem(&elem, n, &tx, &rx);
    if (r < 0)
        return r;
    r = rn_scope_open(RN_SCOPE_WAIT_ALL, &scope);
    return r < 0 ? r : race_run(scope, tx, rx, attempts, n, deadline);
}

/* ---- names ---- */

struct lookup {
    char             host[256], port[32];
    struct rnet_addr addrs[ADDRS_MAX];
    size_t           n;
    int error; /* of the lookup: what the blocking call itself returns would be taken for its own */
};

static int error_of_lookup(int error)
{
    switch (error) {
    case EAI_AGAIN:
        return -EAGAIN;
    case EAI_MEMORY:
        return -ENOMEM;
    case EAI_SERVICE:
        return -EINVAL;
    default:
        return -ENXIO;
    }
}

/* Alternate the families, beginning with the one that the system puts first. */
static void lookup_take(struct lookup *lk, const struct addrinfo *list)
{
    const struct addrinfo *same = list, *other = list;
    const int first = list->ai_family;

    while (lk->n < ADDRS_MAX && (same || other)) {
        while (same && same->ai_family != first)
            same = same->ai_next;
        while (other && other->ai_family == first)
            other = other->ai_next;
        for (unsigned i = 0; i < 2; i++) {
            const struct addrinfo **at = i ? &other : &same;

            if (*at && lk->n < ADDRS_MAX && (*at)->ai_addrlen <= sizeof(lk->addrs->sa)) {
                memcpy(&lk->addrs[lk->n].sa, (*at)->ai_addr, (*at)->ai_addrlen);
                lk->addrs[lk->n++].len = (*at)->ai_addrlen;
            }
            if (*at)
                *at = (*at)->ai_next;
        }
    }
}

/* On a thread of the class. */
static int lookup_run(void *arg)
{
    struct lookup *lk = arg;
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG};
    struct addrinfo *list = NULL;
    const int r = getaddrinfo(lk->host, lk->port, &hints, &list);

    lk->error = r != 0 ? error_of_lookup(r) : 0;
    if (r == 0) {
        lookup_take(lk, list);
        freeaddrinfo(list);
        lk->error = lk->n ? 0 : -ENXIO;
    }
    return 0;
}

static int dns_class(struct rn_class **ret_class)
{
    struct rnet__loop *l;
    int r = rnet__loop_get(&l);

    if (r < 0)
        return r;
    if (!l->dns) {
        r = rn_class_open("dns", DNS_THREADS, &l->dns);
        if (r < 0)
            return r;
    }
    *ret_class = l->dns;
    return 0;
}

/* A stream over a number that nobody owns, or over the error that is there instead. */
static int stream_of_number(int number, struct rnet_stream **ret_stream)
{
    int r;

    if (number < 0)
        return number;
    r = rnet_stream_adopt(number, ret_stream);
    if (r < 0)
        (void)rn_sys_close(number);
    return r;
}

static int dial_one(const struct rnet_addr *addr, rn_time deadline, struct rnet_stream **ret_stream)
{
    struct rn_fd fd;
    int r = connect_one(addr, deadline, &fd);

    if (r < 0)
        return r;
    r = rnet__stream_of_fd(fd, ret_stream);
    if (r < 0)
        (void)rn_fd_close(fd);
    return r;
}

static int dial_name(const char *address, rn_time deadline, struct rnet_stream **ret_stream)
{
    CLEANUP(freep) struct lookup *lk = calloc(1, sizeof(*lk));
    struct lookup *job = lk;
    struct rn_class *dns;
    int r;

    if (!lk)
        return -ENOMEM;
    r = rnet_addr_split(address, lk->host, sizeof(lk->host), lk->port, sizeof(lk->port));
    if (r < 0)
        return r;
    r = dns_class(&dns);
    if (r < 0)
        return r;
    lk = NULL; /* the call's from here on ... */
    r = rn_blocking_owned(dns, lookup_run, job, free, deadline);
    if (r < 0)
        return r;
    lk = job; /* ... and ours again, since the job has ended */
    if (lk->error < 0)
        return lk->error;
    if (lk->n == 1)
        return dial_one(&lk->addrs[0], deadline, ret_stream);
    return stream_of_number(race(lk->addrs, lk->n, deadline), ret_stream);
}

int rnet_dial(const char *address, rn_time deadline, struct rnet_stream **ret_stream)
{
    struct rnet_addr addr;
    int r = rnet_addr_parse(address, &addr);

    if (r == -ENAMETOOLONG && strncmp(address, "unix:", 5) == 0)
        return r;
    return r < 0 ? dial_name(address, deadline, ret_stream) : dial_one(&addr, deadline, ret_stream);
}
