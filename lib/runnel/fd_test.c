#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <string.h>
#include <unistd.h>

#include <harness/task_test.h>

#include "core.h"

struct both {
    struct rn_fd a, b;
};

static struct both pair_open(void)
{
    struct both p;
    int fds[2];

    OK(rn_sys_socketpair(AF_UNIX, SOCK_STREAM, 0, fds));
    OK(rn_fd_adopt(fds[0], RN_FD_STREAM, &p.a));
    OK(rn_fd_adopt(fds[1], RN_FD_STREAM, &p.b));
    return p;
}

static struct both pipe_open(void)
{
    struct both p;
    int fds[2];

    OK(rn_sys_pipe2(fds, 0));
    OK(rn_fd_adopt(fds[0], RN_FD_PIPE, &p.a));
    OK(rn_fd_adopt(fds[1], RN_FD_PIPE, &p.b));
    return p;
}

struct use {
    struct rn_fd fd;
    rn_time deadline;
    ssize_t result;
    char buf[64];
};

static int reads(void *arg)
{
    struct use *u = arg;

    u->result = rn_fd_read(u->fd, u->buf, sizeof(u->buf), u->deadline);
    return 0;
}

TASK_TEST(a_reader_wakes_with_what_was_written)
{
    struct both p = pipe_open();
    struct use u = {.fd = p.a, .deadline = RN_FOREVER};
    struct rn_scope s;

    OK(rn_scope_open(0, &s));
    OK(rn_go(s, reads, &u, NULL, 0));
    OK(rn_yield());
    EQ(rn_fd_write(p.b, "hello", 5, RN_FOREVER), 5);
    OK(rn_scope_wait(s));
    EQ(u.result, 5);
    MEMEQ(u.buf, "hello", 5);

    OK(rn_go(s, reads, &u, NULL, 0));
    OK(rn_yield());
    OK(rn_fd_close(p.b));
    OK(rn_scope_wait(s));
    OK(rn_scope_close(s));
    EQ(u.result, 0);
    EQ(rn_fd_read(p.a, u.buf, 1, RN_FOREVER), 0); /* and again: the end stays */
}

TASK_TEST(a_close_wakes_who_waits)
{
    struct both p = pipe_open();
    struct use u = {.fd = p.a, .deadline = RN_FOREVER};
    struct rn_scope s;

    OK(rn_scope_open(0, &s));
    OK(rn_go(s, reads, &u, NULL, 0));
    OK(rn_yield());
    OK(rn_fd_close(p.a));
    OK(rn_scope_close(s));
    ERR(u.result, EBADF);
}

TASK_TEST(a_stale_name_touches_nobody)
{
    struct both p = pipe_open(), q;
    char c;

    OK(rn_fd_close(p.a));
    ERR(rn_fd_close(p.a), EBADF);
    ERR(rn_fd_number(p.a), EBADF);
    ERR(rn_fd_read(p.a, &c, 1, 0), EBADF);
    ERR(rn_fd_close((struct rn_fd){0}), EBADF);
    ERR(rn_fd_close((struct rn_fd){p.b.slot | 5u << RN__SLOT_BITS, p.b.gen}), EBADF);
    q = pipe_open(); /* uses the slot again */
    EQ(q.a.slot, p.a.slot);
    ERR(rn_fd_close(p.a), EBADF);
    OK(rn_fd_number(q.a));
}

TASK_TEST(a_second_reader_is_refused)
{
    struct both p = pair_open();
    struct use u = {.fd = p.a, .deadline = RN_FOREVER};
    struct rn_scope s;
    char c;
    int number;

    OK(rn_scope_open(0, &s));
    OK(rn_go(s, reads, &u, NULL, 0));
    OK(rn_yield());
    ERR(rn_fd_read(p.a, &c, 1, RN_FOREVER), EBUSY);
    ERR(rn_fd_wait(p.a, RN_FD_READ, RN_FOREVER), EBUSY);
    ERR(rn_fd_release(p.a, &number), EBUSY);
    EQ(rn_fd_write(p.a, "x", 1, RN_FOREVER), 1); /* a writer is welcome */
    OK(rn_scope_close(s));
    ERR(u.result, ECANCELED);
}

TASK_TEST(a_read_ends_by_its_deadline)
{
    struct both p = pair_open();
    char c;

    ERR(rn_fd_read(p.a, &c, 1, 0), ETIMEDOUT);
    ERR(rn_fd_read(p.a, &c, 1, rn_after(RN_MS)), ETIMEDOUT);
    EQ(rn_fd_write(p.b, "x", 1, 0), 1);
    EQ(rn_fd_read(p.a, &c, 1, 0), 1);
    ERR(rn_fd_wait(p.a, RN_FD_READ, rn_after(RN_MS)) + rn_fd_wait(p.a, RN_FD_READ, rn_after(RN_MS)),
        ETIMEDOUT);
}

static uint64_t calls_of(enum rn_syscall call)
{
    static struct rn_sys_count counts[RN_SYS_MAX];

    rn_sys_counts(counts);
    return counts[call].calls;
}

/* After a short read a stream is empty: the next read waits at once. */
TASK_TEST(a_short_read_saves_the_futile_one)
{
    struct both p = pair_open();
    struct use u = {.fd = p.a, .deadline = RN_FOREVER};
    struct rn_scope s;
    uint64_t before = calls_of(RN_SYS_read);

    OK(rn_scope_open(0, &s));
    for (int i = 0; i < 10; i++) {
        OK(rn_go(s, reads, &u, NULL, 0));
        OK(rn_yield());
        EQ(rn_fd_write(p.b, "hello", 5, RN_FOREVER), 5);
        OK(rn_scope_wait(s));
        EQ(u.result, 5);
    }
    OK(rn_scope_close(s));
    LE(calls_of(RN_SYS_read) - before, 11u);
}

enum { MANY = 1 << 20 };
static _Atomic size_t received;

static int drains(void *arg)
{
    struct use *u = arg;
    char buf[4096];
    ssize_t n;

    while ((n = rn_fd_read(u->fd, buf, sizeof(buf), RN_FOREVER)) > 0)
        received += (size_t)n;
    return (int)n;
}

static void push_through(struct both p)
{
    struct use u = {.fd = p.a};
    struct rn_scope s;
    static char data[65536];

    received = 0;
    OK(rn_scope_open(0, &s));
    OK(rn_go(s, drains, &u, NULL, 0));
    for (size_t sent = 0; sent < MANY;) {
        size_t want = MANY - sent < sizeof(data) ? MANY - sent : sizeof(data);
        ssize_t n = rn_fd_write(p.b, data, want, RN_FOREVER);

        GT(n, 0);
        sent += (size_t)n;
    }
    OK(rn_fd_close(p.b));
    OK(rn_scope_wait(s));
    OK(rn_scope_close(s));
    EQ(received, (size_t)MANY);
}

TASK_TEST(a_writer_waits_for_room_in_a_pipe)
{
    push_through(pipe_open());
}

TASK_TEST(a_writer_waits_for_room_in_a_unix_socket)
{
    push_through(pair_open());
}

static struct sockaddr_in loopback_listen(struct rn_fd *ret_fd)
{
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(addr);
    int fd = rn_sys_socket(AF_INET, SOCK_STREAM, 0);

    OK(fd);
    OK(rn_sys_bind(fd, (struct sockaddr *)&addr, sizeof(addr)));
    OK(rn_sys_listen(fd, 16));
    OK(rn_sys_getsockname(fd, (struct sockaddr *)&addr, &len));
    OK(rn_fd_adopt(fd, RN_FD_LISTENER, ret_fd));
    return addr;
}

static int accepts_one(void *arg)
{
    struct use *u = arg;
    struct rn_fd conn;
    int fd = rn_fd_accept(u->fd, NULL, NULL, RN_FOREVER);

    OK(fd);
    OK(rn_fd_adopt(fd, RN_FD_STREAM, &conn));
    EQ(rn_fd_recv(conn, u->buf, sizeof(u->buf), RN_FOREVER), 4);
    EQ(rn_fd_send(conn, "pong", 4, RN_FOREVER), 4);
    return 0; /* the connection is closed with its owner */
}

TASK_TEST(tasks_accept_and_connect)
{
    struct use u = {0};
    struct sockaddr_in addr = loopback_listen(&u.fd);
    struct rn_scope s;
    struct rn_fd conn;
    int fd = rn_sys_socket(AF_INET, SOCK_STREAM, 0);
    char buf[8];

    OK(rn_scope_open(0, &s));
    OK(rn_go(s, accepts_one, &u, NULL, 0));
    OK(fd);
    OK(rn_fd_adopt(fd, RN_FD_STREAM, &conn));
    OK(rn_sleep(rn_after(RN_MS))); /* epoll has told of the unconnected socket by now */
    OK(rn_fd_connect(conn, (struct sockaddr *)&addr, sizeof(addr), RN_FOREVER));
    EQ(rn_fd_send(conn, "ping", 4, RN_FOREVER), 4);
    EQ(rn_fd_recv(conn, buf, sizeof(buf), RN_FOREVER), 4);
    EQ(rn_fd_recv(conn, buf, sizeof(buf), RN_FOREVER), 0);
    OK(rn_scope_close(s));
}

TASK_TEST(connecting_to_nobody_is_refused)
{
    struct rn_fd listener, conn;
    struct sockaddr_in addr = loopback_listen(&listener);
    int fd = rn_sys_socket(AF_INET, SOCK_STREAM, 0);

    OK(rn_fd_close(listener));
    OK(rn_fd_adopt(fd, RN_FD_STREAM, &conn));
    ERR(rn_fd_connect(conn, (struct sockaddr *)&addr, sizeof(addr), RN_FOREVER), ECONNREFUSED);
}

TASK_TEST(regular_files_and_doubles_are_refused)
{
    struct rn_fd fd, twice;
    int file = open(test_dir(), O_RDONLY | O_CLOEXEC | O_DIRECTORY), fds[2];

    OK(file);
    ERR(rn_fd_adopt(file, RN_FD_OTHER, &fd), EPERM);
    OK(rn_sys_close(file));
    ERR(rn_fd_adopt(file, RN_FD_OTHER, &fd), EBADF);
    OK(rn_sys_pipe2(fds, 0));
    OK(rn_fd_adopt(fds[0], RN_FD_PIPE, &fd));
    ERR(rn_fd_adopt(fds[0], RN_FD_PIPE, &twice), EEXIST);
    TRUE(fcntl(fds[0], F_GETFL) & O_NONBLOCK);
    TRUE(fcntl(fds[0], F_GETFD) & FD_CLOEXEC);
    OK(rn_fd_close(fd));
    OK(rn_sys_close(fds[1]));
}

TASK_TEST(a_released_number_is_the_callers)
{
    struct both p = pipe_open();
    int number = -1;

    EQ(rn_fd_number(p.a), rn_fd_number(p.a));
    OK(rn_fd_release(p.a, &number));
    ERR(rn_fd_number(p.a), EBADF);
    OK(fcntl(number, F_GETFD));
    OK(rn_sys_close(number));
}

static int leaves_descriptors(void *arg)
{
    (void)arg;
    (void)pipe_open();
    (void)pair_open();
    return 0;
}

TASK_TEST(descriptors_are_closed_with_their_owner)
{
    struct rn_scope s;
    struct rn_stats stats;

    OK(rn_scope_open(0, &s));
    OK(rn_go(s, leaves_descriptors, NULL, NULL, 0));
    OK(rn_scope_close(s));
    rn_stats(rn_runtime_self(), &stats);
    EQ(stats.fds, 0u);
}

/* A duplicate keeps the open file alive, so epoll may still tell of a record that has gone: it is
 * counted and dropped. */
TASK_TEST(events_of_an_earlier_life_are_dropped)
{
    struct rn__worker *w = rn__worker_self();
    struct both p = pipe_open(), q;
    struct rn_stats stats;

    OK(rn_fd_close(p.a));
    q = pipe_open();
    EQ(q.a.slot, p.a.slot);
    rn__fd_event(&w->loop, (uint64_t)p.a.gen << 32 | (p.a.slot & RN__SLOT_MASK), EPOLLIN);
    rn_stats(rn_runtime_self(), &stats);
    EQ(stats.stale_events, 1u);
}

TASK_TEST(vectors_go_and_come)
{
    struct both p = pair_open();
    char a[3], b[8];
    const struct iovec out[] = {{(char *)"he", 2}, {(char *)"llo", 3}};
    const struct iovec in[] = {{a, sizeof(a)}, {b, sizeof(b)}};

    EQ(rn_fd_writev(p.a, out, 2, RN_FOREVER), 5);
    EQ(rn_fd_readv(p.b, in, 2, RN_FOREVER), 5);
    MEMEQ(a, "hel", 3);
    MEMEQ(b, "lo", 2);
}

TASK_TEST(a_fault_set_for_a_call_comes_back_as_its_error)
{
    struct both p = pipe_open();
    char c;

    rn_fault_set(RN_SYS_write, ENOSPC, 2);
    ERR(rn_fd_write(p.b, "x", 1, RN_FOREVER), ENOSPC);
    ERR(rn_fd_write(p.b, "x", 1, RN_FOREVER), ENOSPC);
    EQ(rn_fd_write(p.b, "x", 1, RN_FOREVER), 1);
    rn_fault_set(RN_SYS_read, EINTR, 1);
    EQ(rn_fd_read(p.a, &c, 1, RN_FOREVER), 1);
    STREQ(rn_sys_name(RN_SYS_accept4), "accept4");
}
