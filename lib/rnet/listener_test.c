/* Listeners: without descriptors, with a lost socket, with files of unix sockets. */
#include "testing.h"

#include <dirent.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>

static bool info_of(const char *name, struct rnet_listener_info *ret_info)
{
    size_t i = 0;

    while (rnet_listener_info(&i, ret_info))
        if (strcmp(ret_info->name, name) == 0)
            return true;
    return false;
}

TEST(addresses_are_parsed_and_printed)
{
    static const char *const good[] = {"127.0.0.1:4320", "[::1]:0", "unix:/run/x.sock",
                                       "0.0.0.0:65535"};
    static const char *const bad[] = {
        "",       "127.0.0.1", "127.0.0.1:", ":80",   "localhost:80", "127.0.0.1:65536",
        "::1:80", "[::1]80",   "[::1]",      "unix:", "127.0.0.1:8x", "256.0.0.1:1"};
    struct rnet_addr addr;
    char text[RNET_ADDR_TEXT_MAX];

    for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++) {
        OK(rnet_addr_parse(good[i], &addr));
        STREQ(rnet_addr_format(&addr, text, sizeof(text)), good[i]);
        EQ(rnet_addr_is_loopback(&addr), i < 3);
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        test_note("%s", bad[i]);
        ERR(rnet_addr_parse(bad[i], &addr), EINVAL);
    }
}

TASK_TEST(a_listener_is_listed_with_its_numbers)
{
    struct probe p = {0};
    CLEANUP(rnet_listener_closep) struct rnet_listener *ln = probe_listen(&p);
    CLEANUP(rnet_stream_closep) __attribute__((unused)) struct rnet_stream *s = probe_dial(ln);
    struct rnet_listener_info info;

    TASK_UNTIL(p.opened == 1);
    TRUE(info_of("probe", &info));
    TRUE(info.up);
    EQ(info.n_sockets, 1);
    EQ(info.connections, 1);
    EQ(info.accepted, 1);
    STREQ(info.sockets[0].address, rnet_listener_address(ln, 0));
    NE(info.sockets[0].inode, 0);
    NE(info.sockets[0].cookie, 0);
    OK(rnet_listener_check(ln));
    rnet_listener_closep(&ln);
    FALSE(info_of("probe", &info));
}

TASK_TEST(several_addresses_serve_one_listener)
{
    static const char *const addrs[] = {"127.0.0.1:0", "127.0.0.2:0"};
    struct probe p = {0};
    const struct rnet_listener_options o = {
        .name = "two", .addrs = addrs, .n_addrs = 2, .protocol = &probe_protocol, .data = &p};
    CLEANUP(rnet_listener_closep) struct rnet_listener *ln = NULL;
    CLEANUP(rnet_stream_closep) struct rnet_stream *a = NULL, *b = NULL;

    OK(rnet_listener_open(&o, &ln, NULL));
    OK(rnet_dial(rnet_listener_address(ln, 0), SOON, &a));
    OK(rnet_dial(rnet_listener_address(ln, 1), SOON, &b));
    TASK_UNTIL(rnet_listener_connections(ln) == 2);
    EQ(rnet_listener_address(ln, 2), NULL);
}

/* A host that vanishes cannot be made here: that both ends ask for it is what can be seen. */
TASK_TEST(connections_are_given_up_two_minutes_after_the_last_acknowledgement)
{
    struct probe p = {0};
    CLEANUP(rnet_listener_closep) struct rnet_listener *ln = probe_listen(&p);
    CLEANUP(rnet_stream_closep) __attribute__((unused)) struct rnet_stream *s = probe_dial(ln);
    unsigned found = 0;

    TASK_UNTIL(p.opened == 1);
    for (int number = 0; number < 256; number++) {
        struct sockaddr_storage peer;
        socklen_t peer_len = sizeof(peer), len = sizeof(int);
        int ms = 0;

        if (getpeername(number, (struct sockaddr *)(void *)&peer, &peer_len) < 0 ||
            peer.ss_family != AF_INET)
            continue;
        EQ(getsockopt(number, IPPROTO_TCP, TCP_USER_TIMEOUT, &ms, &len), 0);
        EQ(ms, 120 * 1000);
        found++;
    }
    EQ(found, 2);
}

TASK_TEST(an_address_in_use_is_named)
{
    struct probe p = {0};
    CLEANUP(rnet_listener_closep) struct rnet_listener *ln = probe_listen(&p), *second = NULL;
    const char *const addrs[] = {"127.0.0.1:0", rnet_listener_address(ln, 0)};
    const struct rnet_listener_options o = {
        .name = "x", .addrs = addrs, .n_addrs = 2, .protocol = &probe_protocol};
    size_t index = 9;

    ERR(rnet_listener_open(&o, &second, &index), EADDRINUSE);
    EQ(index, 1);
}

/* ---- drains ---- */

TASK_TEST(a_drain_that_has_no_time_left_cuts_at_once)
{
    struct probe p = {0};
    CLEANUP(rnet_listener_closep) struct rnet_listener *ln = probe_listen(&p);
    CLEANUP(rnet_stream_closep) __attribute__((unused)) struct rnet_stream *s = probe_dial(ln);

    TASK_UNTIL(p.opened == 1);
    ERR(rnet_listener_drain(ln, 1), ETIMEDOUT);
    EQ(p.closed, 1);
}

static void probe_stop(struct rnet_conn conn, void *data)
{
    (void)conn;
    ((struct probe *)data)->stopped++;
}

static int drain_soon(void *arg)
{
    return rnet_listener_drain(arg, SOON);
}

TASK_TEST(two_tasks_may_drain_one_listener)
{
    struct rnet_protocol stubborn = probe_protocol;
    struct probe p = {0};
    CLEANUP(rnet_listener_closep) struct rnet_listener *ln = NULL;
    CLEANUP(rnet_stream_closep) struct rnet_stream *s = NULL;
    CLEANUP(rn_scope_closep) struct rn_scope scope = {0};

    stubborn.on_stop = probe_stop;
    ln = probe_listen_on("127.0.0.1:0", &stubborn, &p);
    s = probe_dial(ln);
    TASK_UNTIL(p.opened == 1);
    OK(rn_scope_open(RN_SCOPE_WAIT_ALL, &scope));
    OK(rn_go(scope, drain_soon, ln, NULL, 0));
    OK(rn_go(scope, drain_soon, ln, NULL, 0));
    TASK_UNTIL(p.stopped >= 1);
    OK(rn_yield());
    rnet_stream_closep(&s);
    OK(rn_scope_wait(scope));
    EQ(p.closed, 1);
}

/* ---- out of descriptors ---- */

TASK_TEST(an_injected_emfile_pauses_and_the_next_look_accepts)
{
    struct probe p = {.act = probe_echo};
    CLEANUP(rnet_listener_closep) struct rnet_listener *ln = probe_listen(&p);
    CLEANUP(rnet_stream_closep) struct rnet_stream *s = NULL;
    struct rnet_listener_info info;
    char byte;

    rn_fault_set(RN_SYS_accept4, EMFILE, 1);
    s = probe_dial(ln);
    OK(rnet_stream_write(s, "x", 1, SOON));
    EQ(rnet_stream_read(s, &byte, 1, SOON), 1);
    rn_fault_set(RN_SYS_accept4, 0, 0);
    TRUE(info_of("probe", &info));
    EQ(info.paused[RNET_PAUSE_EMFILE], 1);
    TRUE(info.up);
}

static unsigned descriptors(void)
{
    DIR *dir = opendir("/proc/self/fd");
    unsigned n = 0;

    while (readdir(dir))
        n++;
    (void)closedir(dir);
    return n - 3; /* ., .., and the directory's own */
}

static uint64_t accepts(void)
{
    static struct rn_sys_count counts[RN_SYS_MAX];

    rn_sys_counts(counts);
    return counts[RN_SYS_accept4].calls;
}

/* Take every number that is left, so that the accept finds none. */
static unsigned numbers_take(int taken[], unsigned max)
{
    unsigned n = 0;

    while (n < max && (taken[n] = open("/dev/null", O_RDONLY | O_CLOEXEC)) >= 0)
        n++;
    return n;
}

TASK_TEST(without_descriptors_a_listener_pauses_and_goes_on_after_our_next_close)
{
    struct probe p = {.act = probe_echo};
    CLEANUP(rnet_listener_closep) struct rnet_listener *ln = probe_listen(&p);
    CLEANUP(rnet_stream_closep)
    __attribute__((unused)) struct rnet_stream *first = probe_dial(ln), *second = NULL;
    struct rlimit limit;
    struct rnet_listener_info info;
    int taken[64];
    unsigned n;
    uint64_t before;
    char byte;

    TASK_UNTIL(p.opened == 1);
    OK(getrlimit(RLIMIT_NOFILE, &limit));
    limit.rlim_cur = descriptors() + 20;
    OK(setrlimit(RLIMIT_NOFILE, &limit));
    n = numbers_take(taken, 64);
    GT(n, 0);
    (void)close(taken[--n]); /* one number: for the client */
    second = probe_dial(ln);
    TASK_UNTIL(info_of("probe", &info) && info.paused[RNET_PAUSE_EMFILE] > 0);

    before = accepts(); /* no spinning: a try each 100 ms at most */
    OK(rn_sleep(rn_after(250 * RN_MS)));
    LE(accepts() - before, 6);
    EQ(p.opened, 1);

    OK(rnet_conn_close(p.conn, RNET_REASON_LOCAL)); /* our own close is what it waits for */
    TASK_UNTIL(p.opened == 2);
    OK(rnet_stream_write(second, "x", 1, SOON));
    EQ(rnet_stream_read(second, &byte, 1, SOON), 1);
    while (n > 0)
        (void)close(taken[--n]);
}

TASK_TEST(an_accept_that_is_forbidden_pauses_and_does_not_spin)
{
    struct probe p = {0};
    CLEANUP(rnet_listener_closep) struct rnet_listener *ln = probe_listen(&p);
    CLEANUP(rnet_stream_closep) __attribute__((unused)) struct rnet_stream *s = NULL;
    struct rnet_listener_info info;
    uint64_t before = accepts();

    rn_fault_set(RN_SYS_accept4, EPERM, -1);
    s = probe_dial(ln);
    TASK_UNTIL(info_of("probe", &info) &&
               (info.paused[RNET_PAUSE_OTHER] > 0 || accepts() - before > 100));
    LE(accepts() - before, 100);
    rn_fault_set(RN_SYS_accept4, 0, 0);
    TASK_UNTIL(p.opened == 1);
}

TASK_TEST(over_the_bound_of_connections_the_newest_is_closed)
{
    static const char *const addrs[] = {"127.0.0.1:0"};
    struct probe p = {0};
    const struct rnet_listener_options o = {.name = "few",
                                            .addrs = addrs,
                                            .n_addrs = 1,
                                            .protocol = &probe_protocol,
                                            .data = &p,
                                            .connections_max = 1};
    CLEANUP(rnet_listener_closep) struct rnet_listener *ln = NULL;
    CLEANUP(rnet_stream_closep) struct rnet_stream *a = NULL, *b = NULL;
    struct rnet_listener_info info;
    char byte;

    OK(rnet_listener_open(&o, &ln, NULL));
    OK(rnet_dial(rnet_listener_address(ln, 0), SOON, &a));
    OK(rnet_dial(rnet_listener_address(ln, 0), SOON, &b));
    LE(rnet_stream_read(b, &byte, 1, SOON), 0);
    TRUE(info_of("few", &info));
    EQ(info.refused, 1);
    EQ(p.opened, 1);
}

/* ---- the vanished listener ---- */

struct loss {
    unsigned n;
    const char *why;
};

static void on_lost(void *arg, const char *name, const char *address, const char *why)
{
    struct loss *loss = arg;

    STREQ(name, "watched");
    NE(address[0], '\0');
    loss->n++;
    loss->why = why;
}

static struct rnet_listener *watched(struct probe *p, struct loss *loss)
{
    static const char *const addrs[] = {"127.0.0.1:0"};
    const struct rnet_listener_options o = {.name = "watched",
                                            .addrs = addrs,
                                            .n_addrs = 1,
                                            .protocol = &probe_protocol,
                                            .data = p,
                                            .on_lost = on_lost,
                                            .on_lost_arg = loss};
    struct rnet_listener *ln = NULL;

    OK(rnet_listener_open(&o, &ln, NULL));
    return ln;
}

/* The number whose socket has that inode. */
static int number_of(uint64_t inode)
{
    struct stat st;

    for (int number = 3; number < 1024; number++)
        if (fstat(number, &st) == 0 && S_ISSOCK(st.st_mode) && st.st_ino == inode)
            return number;
    FAIL("no such socket");
}

TASK_TEST(a_listener_closed_behind_our_back_is_found_and_told)
{
    struct probe p = {0};
    struct loss loss = {0};
    CLEANUP(rnet_listener_closep) struct rnet_listener *ln = watched(&p, &loss);
    struct rnet_listener_info info;

    TRUE(info_of("watched", &info));
    OK(close(number_of(info.sockets[0].inode)));
    TASK_UNTIL(loss.n == 1); /* by itself, within a second or so */
    STREQ(loss.why, "the descriptor was closed");
    TRUE(info_of("watched", &info));
    FALSE(info.up);
    ERR(rnet_listener_check(ln), EBADF);
    EQ(loss.n, 1);
}

TASK_TEST(a_number_that_became_another_file_is_left_alone)
{
    struct probe p = {0};
    struct loss loss = {0};
    CLEANUP(rnet_listener_closep) struct rnet_listener *ln = watched(&p, &loss);
    struct rnet_listener_info info;
    int number, other = open("/dev/null", O_RDONLY | O_CLOEXEC);

    TRUE(info_of("watched", &info));
    number = number_of(info.sockets[0].inode);
    OK(dup3(other, number, O_CLOEXEC));
    ERR(rnet_listener_check(ln), EBADF);
    STREQ(loss.why, "the descriptor is another file now");
    rnet_listener_closep(&ln);
    OK(fcntl(number, F_GETFD)); /* it is somebody's, and still open */
    OK(close(number));
    OK(close(other));
}

TASK_TEST(a_stale_name_never_touches_the_listener_that_took_its_number)
{
    struct probe p = {0};
    int number = rn_sys_socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    struct rnet_listener_info info;
    struct rnet_listener *ln;
    struct rnet_stream *s;
    struct rn_fd old;
    char c;

    OK(rn_fd_adopt(number, RN_FD_STREAM, &old));
    OK(rn_fd_close(old));
    ln = probe_listen(&p);
    TRUE(info_of("probe", &info));
    EQ(info.sockets[0].number, number);

    ERR(rn_fd_close(old), EBADF); /* twice */
    ERR(rn_fd_number(old), EBADF);
    ERR(rn_fd_read(old, &c, 1, 0), EBADF);
    ERR(rn_fd_write(old, "x", 1, 0), EBADF);
    ERR(rn_fd_release(old, &number), EBADF);
    ERR(rn_fd_forget(old), EBADF);

    OK(rnet_listener_check(ln));
    s = probe_dial(ln);
    TASK_UNTIL(p.opened == 1);
    rnet_stream_close(s);
    rnet_listener_close(ln);
}

TASK_TEST(a_listener_that_was_shut_down_is_found_and_closed)
{
    struct probe p = {0};
    struct loss loss = {0};
    CLEANUP(rnet_listener_closep)
    __attribute__((unused)) struct rnet_listener *ln = watched(&p, &loss);
    struct rnet_listener_info info;
    int number;

    TRUE(info_of("watched", &info));
    number = number_of(info.sockets[0].inode);
    OK(shutdown(number, SHUT_RDWR));
    TASK_UNTIL(loss.n == 1);
    STREQ(loss.why, "the socket does not listen any more");
    EQ(fcntl(number, F_GETFD), -1);
}

/* ---- unix sockets ---- */

TASK_TEST(a_stale_socket_file_is_replaced_and_ours_goes_with_us)
{
    struct probe p = {.act = probe_echo};
    struct rnet_listener *ln;
    char address[RNET_ADDR_TEXT_MAX];
    struct stat st;
    struct rnet_addr addr;
    int number;

    (void)snprintf(address, sizeof(address), "unix:%s/s", test_dir());
    OK(rnet_addr_parse(address, &addr));
    number = (int)OK(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)); /* left behind by a crash */
    OK(bind(number, &addr.sa.any, addr.len));
    OK(close(number));

    ln = probe_listen_on(address, &probe_protocol, &p);
    {
        CLEANUP(rnet_stream_closep) struct rnet_stream *s = probe_dial(ln);
        const struct rnet_listener_options o = {.name = "other",
                                                .addrs = (const char *const[]){address},
                                                .n_addrs = 1,
                                                .protocol = &probe_protocol};
        struct rnet_listener *second = NULL;
        char buf[4];

        OK(rnet_stream_write(s, "ping", 4, SOON));
        OK(rnet_stream_read_full(s, buf, 4, SOON));
        MEMEQ(buf, "ping", 4);
        ERR(rnet_listener_open(&o, &second, NULL), EADDRINUSE); /* it is served */
    }
    OK(stat(addr.sa.un.sun_path, &st));
    rnet_listener_close(ln);
    EQ(stat(addr.sa.un.sun_path, &st), -1);
}

TASK_TEST(a_socket_file_is_closed_to_others_whatever_the_umask_says)
{
    const mode_t before = umask(0);
    struct probe p = {0};
    CLEANUP(rnet_listener_closep) struct rnet_listener *ln = NULL;
    char address[RNET_ADDR_TEXT_MAX];
    struct stat st;

    (void)snprintf(address, sizeof(address), "unix:%s/s", test_dir());
    ln = probe_listen_on(address, &probe_protocol, &p);
    OK(stat(address + 5, &st));
    EQ(st.st_mode & 07777, 0660);
    (void)umask(before);
}

TASK_TEST(a_file_that_is_no_socket_is_never_removed)
{
    char address[RNET_ADDR_TEXT_MAX];
    const struct rnet_listener_options o = {.name = "x",
                                            .addrs = (const char *const[]){address},
                                            .n_addrs = 1,
                                            .protocol = &probe_protocol};
    struct rnet_listener *ln = NULL;
    struct stat st;
    int number;

    (void)snprintf(address, sizeof(address), "unix:%s/file", test_dir());
    number = (int)OK(open(address + 5, O_CREAT | O_RDWR | O_CLOEXEC, 0600));
    OK(close(number));
    ERR(rnet_listener_open(&o, &ln, NULL), EADDRINUSE);
    OK(stat(address + 5, &st));
}

TASK_TEST(a_burst_of_connections_is_accepted_to_the_last)
{
    struct probe p = {.act = probe_echo};
    CLEANUP(rnet_listener_closep) struct rnet_listener *ln = probe_listen(&p);
    struct rnet_stream *s[100];
    char byte;

    for (int i = 0; i < 100; i++)
        s[i] = probe_dial(ln);
    for (int i = 0; i < 100; i++) {
        OK(rnet_stream_write(s[i], "x", 1, SOON));
        EQ(rnet_stream_read(s[i], &byte, 1, SOON), 1);
    }
    EQ(rnet_listener_connections(ln), 100);
    for (int i = 0; i < 100; i++)
        rnet_stream_close(s[i]);
    TASK_UNTIL(rnet_listener_connections(ln) == 0);
    EQ(p.closed, 100);
}

static int leave_it_open(void *arg)
{
    struct probe *p = arg;
    struct rnet_listener *ln = probe_listen(p);
    struct rnet_stream *s = probe_dial(ln);

    TASK_UNTIL(p->opened == 1);
    rnet_stream_close(s);
    return 0; /* the listener is forgotten: the loop's end closes what it holds */
}

TEST(connections_that_outlive_their_program_are_cut_with_the_loop)
{
    struct probe p = {0};
    struct rnet_listener_info info;

    test_heap_allow(64 * 1024); /* the record of the forgotten listener */
    if (test_sanitized())
        SKIP("it leaks a record on purpose");
    OK(rn_run(NULL, leave_it_open, &p));
    EQ(p.closed, 1);
    TRUE(info_of("probe", &info));
    FALSE(info.up);
}
