/* A bare epoll loop: what the least server costs that answers heartbeats. The peer where Go's library cannot be had.
 *
 * One thread, edge-triggered, one shared buffer, no registry, no timer, no checks beyond the frame: for each frame of
 * framed OpAMP it answers a ServerToAgent with the uid that it finds in the first field, and announces process metrics in
 * its first answer on a connection. Plain C on purpose, none of our libraries.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define FDS_MAX   65536
#define IN_BYTES  65536
#define UID_AT    7 /* in a frame: length, header, tag and length of the first field */
#define UID_LEN   16
#define FRAME_MIN (UID_AT + UID_LEN)

static const char capability[] = "io.fettle.process-metrics/1";

static bool     greeted[FDS_MAX];
static uint8_t  in[IN_BYTES], out[2 * IN_BYTES];

static size_t answer_put(int fd, const uint8_t *frame, uint8_t *to)
{
    const size_t name = sizeof(capability) - 1;
    const size_t extra = greeted[fd] ? 0 : 4 + name;
    const uint32_t len = htonl((uint32_t)(1 + 2 + UID_LEN + extra));

    memcpy(to, &len, sizeof(len));
    to[4] = 0;
    memcpy(to + 5, frame + 5, 2 + UID_LEN); /* the same field in both directions */
    if (extra) {
        const uint8_t head[] = {10 << 3 | 2, (uint8_t)(2 + name), 1 << 3 | 2, (uint8_t)name};

        memcpy(to + 7 + UID_LEN, head, sizeof(head));
        memcpy(to + 7 + UID_LEN + sizeof(head), capability, name);
        greeted[fd] = true;
    }
    return 7 + UID_LEN + extra;
}

/* Whole frames are expected at once: heartbeats are far smaller than a segment. */
static bool serve(int fd)
{
    const ssize_t n = recv(fd, in, sizeof(in), 0);
    size_t at = 0, made = 0;

    if (n <= 0)
        return n < 0 && errno == EAGAIN;
    while (at + FRAME_MIN <= (size_t)n && made + 128 <= sizeof(out)) {
        uint32_t len;

        memcpy(&len, in + at, sizeof(len));
        len = ntohl(len);
        if (len > (size_t)n - at - 4)
            return false;
        made += answer_put(fd, in + at, out + made);
        at += 4 + len;
    }
    return send(fd, out, made, MSG_NOSIGNAL) == (ssize_t)made;
}

static int listen_any(struct sockaddr_in *addr)
{
    socklen_t len = sizeof(*addr);
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    *addr = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    if (fd < 0 || setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int)) < 0 ||
        bind(fd, (struct sockaddr *)addr, len) < 0 || listen(fd, SOMAXCONN) < 0 ||
        getsockname(fd, (struct sockaddr *)addr, &len) < 0)
        return -1;
    return fd;
}

static void accept_all(int ep, int listener)
{
    int fd;

    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        struct epoll_event e = {.events = EPOLLIN | EPOLLRDHUP | EPOLLET, .data.fd = fd};

        if (fd >= FDS_MAX || epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e) < 0)
            (void)close(fd);
        else
            greeted[fd] = false;
    }
}

int main(void)
{
    static struct epoll_event events[256];
    struct sockaddr_in addr;
    const int listener = listen_any(&addr), ep = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event e = {.events = EPOLLIN, .data.fd = listener};

    if (listener < 0 || ep < 0 || epoll_ctl(ep, EPOLL_CTL_ADD, listener, &e) < 0) {
        perror("epoll");
        return 1;
    }
    (void)printf("listening agents=127.0.0.1:%u\n", ntohs(addr.sin_port));
    (void)fflush(stdout);
    for (;;) {
        const int n = epoll_wait(ep, events, 256, -1);

        for (int i = 0; i < n; i++) {
            if (events[i].data.fd == listener)
                accept_all(ep, listener);
            else if (!serve(events[i].data.fd))
                (void)close(events[i].data.fd);
        }
    }
}
