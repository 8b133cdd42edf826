/* Descriptors as Go's fd_mutex_test.go and the deadline and close tests of its net package know
 * them. */
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <string.h>
#include <unistd.h>

#include <runnel/sys.h>

#include "conformance/conformance_testing.h"

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

struct use {
    struct rn_fd fd;
    rn_time deadline;
    ssize_t result;
};

static int reads(void *arg)
{
    struct use *u = arg;
    char c;

    u->result = rn_fd_read(u->fd, &c, 1, u->deadline);
    return 0;
}

static char block[65536];

static int writes_until_it_fails(void *arg)
{
    struct use *u = arg;

    while ((u->result = rn_fd_send(u->fd, block, sizeof(block), u->deadline)) > 0)
        ;
    return 0;
}

static int accepts(void *arg)
{
    struct use *u = arg;

    u->result = rn_fd_accept(u->fd, NULL, NULL, u->deadline);
    return 0;
}

static struct sockaddr_in loopback_listen(in_port_t port, struct rn_fd *ret_fd)
{
    struct sockaddr_in addr = {
        .sin_family = AF_INET, .sin_port = port, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(addr);
    const int fd = rn_sys_socket(AF_INET, SOCK_STREAM, 0), one = 1;

    OK(fd);
    OK(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)));
    OK(rn_sys_bind(fd, (struct sockaddr *)&addr, sizeof(addr)));
    OK(rn_sys_listen(fd, 16));
    OK(rn_sys_getsockname(fd, (struct sockaddr *)&addr, &len));
    OK(rn_fd_adopt(fd, RN_FD_LISTENER, ret_fd));
    return addr;
}

static struct rn_fd dial(struct sockaddr_in addr)
{
    const int fd = rn_sys_socket(AF_INET, SOCK_STREAM, 0);
    struct rn_fd conn;

    OK(fd);
    OK(rn_fd_adopt(fd, RN_FD_STREAM, &conn));
    OK(rn_fd_connect(conn, (struct sockaddr *)&addr, sizeof(addr), RN_FOREVER));
    return conn;
}

/* ---- Close ----------------------------------------------------------------------------------- */

TASK_TEST(a_close_unblocks_reader_and_writer_at_once)
{
    struct both p = pair_open();
    struct use r = {.fd = p.a, .deadline = RN_FOREVER}, w = r;
    SCOPE(s);

    OK(GO0(s, reads, &r));
    OK(GO0(s, writes_until_it_fails, &w));
    TASK_UNTIL(tasks_parked() == 2);
    OK(rn_fd_close(p.a));
    ERR(rn_fd_close(p.a), EBADF);
    OK(rn_scope_wait(s));
    ERR(r.result, EBADF);
    ERR(w.result, EBADF);
    ERR(rn_fd_read(p.a, block, 1, RN_FOREVER), EBADF);
    EQ(rn_fd_read(p.b, block, sizeof(block), RN_FOREVER) > 0, true); /* what was written stays */
}

struct crowd {
    struct rn_fd fd;
    _Atomic unsigned closed, refused;
    _Atomic uint64_t started;
};

static int uses_or_closes(void *arg)
{
    struct crowd *c = arg;
    uint64_t random = ++c->started;
    ssize_t r = 0;
    char b = 'x';

    while (r != -EBADF) {
        switch (dice(&random, 50)) {
        case 0:
            r = rn_fd_close(c->fd);
            if (r == 0) {
                c->closed++;
                return 0;
            }
            break;
        case 1:
            r = rn_fd_read(c->fd, &b, 1, rn_after(RN_MS));
            break;
        default:
            r = rn_fd_send(c->fd, &b, 1, 0);
        }
        TRUE(r >= 0 || r == -EBADF || r == -EBUSY || r == -ETIMEDOUT || r == -EPIPE);
        OK(rn_yield());
    }
    c->refused++;
    return 0;
}

TASK_TEST(of_many_that_use_and_close_a_descriptor_one_closes_it)
{
    enum { N = 20 };

    for (size_t round = test_tasks(50); round > 0; round--) {
        struct both p = pair_open();
        struct crowd c = {.fd = p.a, .started = round * N};
        const int number = rn_fd_number(p.a);
        SCOPE(s);

        for (int i = 0; i < N; i++)
            OK(GO0(s, uses_or_closes, &c));
        OK(rn_scope_wait(s));
        EQ(c.closed, 1);
        EQ(c.refused, N - 1);
        ERR(fcntl(number, F_GETFD) < 0 ? -errno : 0, EBADF);
        OK(rn_fd_close(p.b));
    }
}

TASK_TEST(a_closed_listener_unblocks_its_acceptor_and_frees_its_port)
{
    struct use u = {.deadline = RN_FOREVER};
    struct sockaddr_in addr = loopback_listen(0, &u.fd);
    struct rn_fd again;
    SCOPE(s);

    for (int i = 0; i < 5; i++) {
        OK(GO0(s, accepts, &u));
        TASK_UNTIL(tasks_parked() == 1);
        OK(rn_fd_close(u.fd));
        OK(rn_scope_wait(s));
        ERR(u.result, EBADF);
        const struct sockaddr_in same = loopback_listen(addr.sin_port, &u.fd);
        EQ(same.sin_port, addr.sin_port);
    }
    again = u.fd;
    OK(rn_fd_close(again));
}

/* ---- Deadlines ------------------------------------------------------------------------------- */

TASK_TEST(an_accept_ends_by_its_deadline_and_not_before)
{
    struct rn_fd listener;
    struct sockaddr_in addr = loopback_listen(0, &listener);
    const rn_time when = rn_after(5 * RN_MS);

    ERR(rn_fd_accept(listener, NULL, NULL, 0), ETIMEDOUT);
    ERR(rn_fd_accept(listener, NULL, NULL, rn_now() - RN_S), ETIMEDOUT);
    ERR(rn_fd_accept(listener, NULL, NULL, when), ETIMEDOUT);
    GE(rn_now(), when);
    (void)dial(addr);
    const int fd = rn_fd_accept(listener, NULL, NULL, rn_after(1000 * RN_S)); /* not the deadline */
    OK(fd);
    OK(rn_sys_close(fd));
}

TASK_TEST(a_write_ends_by_its_deadline_when_nobody_reads)
{
    struct both p = pair_open();
    struct use u = {.fd = p.a, .deadline = rn_after(5 * RN_MS)};

    writes_until_it_fails(&u);
    ERR(u.result, ETIMEDOUT);
    GE(rn_now(), u.deadline);
    while (rn_fd_read(p.b, block, sizeof(block), 0) > 0)
        ;
    EQ(rn_fd_send(p.a, "x", 1, RN_FOREVER), 1); /* the end of one call, not of the connection */
}

TASK_TEST(deadlines_of_every_length_end_every_read)
{
    struct both p = pair_open();

    for (rn_time span = 1; span <= 20 * RN_MS; span *= 5) {
        const rn_time when = rn_after(span);
        ERR(rn_fd_read(p.a, block, 1, when), ETIMEDOUT);
        GE(rn_now(), when);
    }
}

/* Go moves the deadline of a connection under a blocked call; here the scope's does that. */
TASK_TEST(a_deadline_set_while_a_read_waits_ends_it)
{
    struct both p = pair_open();
    struct use u = {.fd = p.a, .deadline = RN_FOREVER};
    SCOPE(s);

    OK(GO0(s, reads, &u));
    TASK_UNTIL(tasks_parked() == 1);
    OK(rn_scope_deadline(s, rn_after(1000 * RN_S)));
    OK(rn_scope_deadline(s, rn_after(RN_MS)));
    ERR(rn_scope_wait(s) == 0 ? u.result : -ECANCELED, ECANCELED);
    OK(rn_scope_close(s));
    s = (struct rn_scope){0};
    ERR(u.result, ECANCELED);
    EQ(rn_fd_send(p.b, "x", 1, RN_FOREVER), 1); /* cancelled was the call, not the connection */
    EQ(rn_fd_read(p.a, block, 1, RN_FOREVER), 1);
}

/* ---- Edges ----------------------------------------------------------------------------------- */

TASK_TEST(a_read_or_write_of_no_bytes_returns_none)
{
    struct both p = pair_open();

    EQ(rn_fd_read(p.a, block, 0, RN_FOREVER), 0);
    EQ(rn_fd_send(p.a, block, 0, RN_FOREVER), 0);
    EQ(rn_fd_send(p.b, "x", 1, RN_FOREVER), 1);
    EQ(rn_fd_read(p.a, block, 0, RN_FOREVER), 0);
    EQ(rn_fd_read(p.a, block, 8, RN_FOREVER), 1); /* the byte is still there */
}

static uint64_t calls_of(enum rn_syscall call)
{
    static struct rn_sys_count counts[RN_SYS_MAX];

    rn_sys_counts(counts);
    return counts[call].calls;
}

/* That the peer sends no more (RDHUP) doesn't make room: a blocked writer must not turn in circles.
 */
TASK_TEST(a_peer_that_ends_its_side_wakes_no_blocked_writer_in_a_loop)
{
    struct rn_fd listener;
    struct sockaddr_in addr = loopback_listen(0, &listener);
    struct rn_fd conn = dial(addr);
    struct use w = {.fd = conn, .deadline = RN_FOREVER};
    const int peer = rn_fd_accept(listener, NULL, NULL, RN_FOREVER);
    SCOPE(s);

    OK(peer);
    OK(GO0(s, writes_until_it_fails, &w));
    TASK_UNTIL(tasks_parked() == 1);
    OK(shutdown(peer, SHUT_WR));
    TASK_UNTIL(rn_fd_read(conn, block, 1, 0) == 0); /* it has come */
    TASK_UNTIL(tasks_parked() == 1);
    const uint64_t before = calls_of(RN_SYS_send);
    for (int i = 0; i < 20; i++)
        OK(rn_sleep(rn_after(RN_MS)));
    LE(calls_of(RN_SYS_send) - before, 5);
    EQ(tasks_parked(), 1);
    OK(rn_sys_close(peer)); /* unread bytes: a reset */
    OK(rn_scope_wait(s));
    TRUE(w.result == -ECONNRESET || w.result == -EPIPE);
}
