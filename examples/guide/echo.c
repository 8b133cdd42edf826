/* A server and its client, on sockets that wait as tasks. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include <runnel/runnel.h>

/* A number that is not taken over is closed by whoever has it. */
static int adopted(int number, enum rn_fd_kind kind, struct rn_fd *ret_fd)
{
    int r = number < 0 ? number : rn_fd_adopt(number, kind, ret_fd);

    if (r < 0 && number >= 0)
        (void)rn_sys_close(number);
    return r;
}

static int serves(void *arg)
{
    const struct rn_fd *listener = arg;
    struct rn_fd peer;
    char buf[64];
    ssize_t n;
    int r = adopted(rn_fd_accept(*listener, NULL, NULL, RN_FOREVER), RN_FD_STREAM, &peer);

    if (r < 0)
        return r;
    while ((n = rn_fd_read(peer, buf, sizeof(buf), rn_after(RN_S))) > 0)
        if ((n = rn_fd_write(peer, buf, (size_t)n, rn_after(RN_S))) < 0)
            break;
    return (int)n; /* 0: the client has gone. The task owned the connection, so it is closed. */
}

static int asks(struct sockaddr_in *addr)
{
    struct rn_fd fd;
    char buf[64];
    ssize_t n = adopted(rn_sys_socket(AF_INET, SOCK_STREAM, 0), RN_FD_STREAM, &fd);

    if (n < 0)
        return (int)n;
    n = rn_fd_connect(fd, (struct sockaddr *)addr, sizeof(*addr), rn_after(RN_S));
    if (n == 0)
        n = rn_fd_write(fd, "hello", 5, rn_after(RN_S));
    if (n == 5)
        n = rn_fd_read(fd, buf, sizeof(buf), rn_after(RN_S));
    printf("%.*s\n", (int)n, buf);
    rn_fd_closep(&fd);
    return n < 0 ? (int)n : 0;
}

/* A socket that listens where the kernel likes; `addr` becomes where. */
static int listening(struct sockaddr_in *addr, struct rn_fd *ret_fd)
{
    socklen_t len = sizeof(*addr);
    int number = rn_sys_socket(AF_INET, SOCK_STREAM, 0);
    int r = number < 0 ? number : rn_sys_bind(number, (struct sockaddr *)addr, sizeof(*addr));

    if (r == 0)
        r = rn_sys_listen(number, 16);
    if (r == 0)
        r = rn_sys_getsockname(number, (struct sockaddr *)addr, &len);
    if (r == 0)
        return adopted(number, RN_FD_LISTENER, ret_fd);
    if (number >= 0)
        (void)rn_sys_close(number);
    return r;
}

static int app(void *arg)
{
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct rn_fd listener;
    struct rn_scope scope;
    int r = listening(&addr, &listener);

    (void)arg;
    if (r == 0)
        r = rn_scope_open(RN_SCOPE_WAIT_ALL, &scope);
    if (r < 0)
        return r;
    r = rn_go(scope, serves, &listener, NULL, 0);
    if (r == 0)
        r = asks(&addr);
    rn_scope_closep(&scope); /* `listener` is looked at until here */
    return r;
}

int main(void)
{
    return rn_run(NULL, app, NULL) < 0;
}
