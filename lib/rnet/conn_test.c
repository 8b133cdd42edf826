/* The connection core, met by real sockets of the same process. */
#include "testing.h"

#include <fcntl.h>
#include <malloc.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "internal.h"

TEST(an_idle_connection_costs_192_bytes_with_runnels_record)
{
    LE(sizeof(struct rnet__conn), 128); /* runnel asserts its own share of 64 */
}

TASK_TEST(bytes_that_are_written_come_back_from_an_echo)
{
    struct probe p = {.act = probe_echo};
    CLEANUP(rnet_listener_closep) struct rnet_listener *ln = probe_listen(&p);
    CLEANUP(rnet_stream_closep) struct rnet_stream *s = probe_dial(ln);
    char buf[6];

    OK(rnet_stream_write(s, "hello!", 6, SOON));
    OK(rnet_stream_read_full(s, buf, 6, SOON));
    MEMEQ(buf, "hello!", 6);
    EQ(p.opened, 1);
    EQ(rnet_listener_connections(ln), 1);
}

TASK_TEST(the_peers_close_is_told_once_and_frees_the_slot)
{
    struct probe p = {0};
    CLEANUP(rnet_listener_closep) struct rnet_listener *ln = probe_listen(&p);
    CLEANUP(rnet_stream_closep) struct rnet_stream *s = probe_dial(ln);

    OK(rnet_stream_write(s, "bye", 3, SOON));
    rnet_stream_closep(&s);
    TASK_UNTIL(p.closed == 1 && rnet_listener_connections(ln) == 0);
    EQ(p.bytes, 3);
    EQ(p.reason, RNET_REASON_PEER);
}

TASK_TEST(a_stale_handle_never_reaches_the_next_connection_in_the_slot)
{
    struct probe p = {.act = probe_echo};
    CLEANUP(rnet_listener_closep) struct rnet_listener *ln = probe_listen(&p);
    CLEANUP(rnet_stream_closep) struct rnet_stream *s = probe_dial(ln);
    const uint64_t stale = rnet_counter(RNET_COUNTER_HANDLES_STALE);
    struct rnet_conn old;
    char buf[2];

    TASK_UNTIL(p.opened == 1);
    old = p.conn;
    TRUE(rnet_conn_alive(old));
    rnet_stream_closep(&s);
    TASK_UNTIL(p.closed == 1);
    s = probe_dial(ln);
    TASK_UNTIL(p.opened == 2);

    EQ(old.slot, p.conn.slot); /* the same slot ... */
    NE(old.gen, p.conn.gen);
    FALSE(rnet_conn_alive(old));
    ERR(rnet_conn_write(old, RN_SLICE_LITERAL("x")), EBADF);
    ERR(rnet_conn_close(old, RNET_REASON_LOCAL), EBADF);
    ERR(rnet_conn_timer(old, 0), EBADF);
    EQ(rnet_conn_data(old), NULL);
    GE(rnet_counter(RNET_COUNTER_HANDLES_STALE), stale + 4);

    OK(rnet_stream_write(s, "ok", 2, SOON)); /* ... and its new owner heard nothing of it */
    OK(rnet_stream_read_full(s, buf, 2, SOON));
    MEMEQ(buf, "ok", 2);
    EQ(p.closed, 1);
}

/* ---- system calls ---- */

static uint64_t calls_of(enum rn_syscall call)
{
    static struct rn_sys_count counts[RN_SYS_MAX];

    rn_sys_counts(counts);
    return counts[call].calls;
}

static ssize_t answer_in_parts(struct probe *p, struct rnet_conn conn, struct rn_slice in)
{
    (void)p;
    for (int i = 0; i < 10; i++)
        OK(rnet_conn_write(conn, RN_SLICE_LITERAL("part")));
    return (ssize_t)in.len;
}

TASK_TEST(what_is_written_in_one_turn_leaves_in_one_send)
{
    struct probe p = {.act = answer_in_parts};
    CLEANUP(rnet_listener_closep) struct rnet_listener *ln = probe_listen(&p);
    CLEANUP(rnet_stream_closep) struct rnet_stream *s = probe_dial(ln);
    uint64_t sends, recvs;
    char buf[64];

    OK(rnet_stream_write(s, "x", 1, SOON)); /* warm: the accept is over */
    OK(rnet_stream_read_full(s, buf, 40, SOON));
    sends = calls_of(RN_SYS_send);
    recvs = calls_of(RN_SYS_recv);
    for (int i = 0; i < 50; i++) {
        OK(rnet_stream_write(s, "x", 1, SOON));
        EQ(rnet_stream_read(s, buf, sizeof(buf), SOON),
           40); /* asks for more, so it need not look again */
    }
    /* Each round: the client's send and ours; our one recv and the client's. No read that says
     * EAGAIN. */
    EQ(calls_of(RN_SYS_send) + calls_of(RN_SYS_sendmsg) - sends, 100);
    LE(calls_of(RN_SYS_recv) - recvs, 101);
}

/* A raw client: for what a stream does not do. */
static int raw_dial(const struct rnet_listener *ln)
{
    struct rnet_addr addr;
    int number;

    OK(rnet_addr_parse(rnet_listener_address(ln, 0), &addr));
    number = (int)OK(rn_sys_socket(addr.sa.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
    OK(rn_sys_connect(number, &addr.sa.any, addr.len));
    return number;
}

TASK_TEST(an_accept_asks_nothing_about_the_number_that_it_made)
{
    struct probe p = {0};
    CLEANUP(rnet_listener_closep) struct rnet_listener *ln = probe_listen(&p);
    const uint64_t before = calls_of(RN_SYS_fcntl);
    int numbers[10];

    for (int i = 0; i < 10; i++)
        numbers[i] = raw_dial(ln);
    TASK_UNTIL(p.opened == 10);
    EQ(calls_of(RN_SYS_fcntl) - before, 0);
    for (int i = 0; i < 10; i++)
        OK(rn_sys_close(numbers[i]));
    TASK_UNTIL(p.closed == 10);
}

TASK_TEST(a_socket_from_elsewhere_is_made_non_blocking_and_taken)
{
    struct probe p = {.act = probe_echo};
    struct rnet_conn conn;
    int pair[2];
    char byte = 0;

    OK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
    OK(rnet_conn_adopt(pair[0], &probe_protocol, &p, &conn));
    TRUE(fcntl(pair[0], F_GETFL) & O_NONBLOCK);
    TRUE(fcntl(pair[0], F_GETFD) & FD_CLOEXEC);
    EQ(rn_sys_send(pair[1], "x", 1, 0), 1);
    TASK_UNTIL(rn_sys_recv(pair[1], &byte, 1, MSG_DONTWAIT) == 1);
    EQ(byte, 'x');
    OK(rn_sys_close(pair[1]));
    TASK_UNTIL(p.closed == 1);
    ERR(rnet_conn_adopt(-1, &probe_protocol, &p, &conn), EBADF);
}

/* ---- flow control ---- */

static const size_t FLOOD = 8u << 20;

static uint8_t flood_byte(size_t at)
{
    return (uint8_t)(at * 31 >> 3);
}

static size_t flood_sent;

/* Write until told to wait. */
static void flood_more(struct rnet_conn conn)
{
    static uint8_t block[16384];
    int r = 0;

    while (flood_sent < FLOOD && r == 0) {
        for (size_t i = 0; i < sizeof(block); i++)
            block[i] = flood_byte(flood_sent + i);
        r = rnet_conn_write(conn, rn_slice(block, sizeof(block)));
        OK(r);
        flood_sent += sizeof(block);
    }
    if (flood_sent >= FLOOD)
        OK(rnet_conn_end(conn, RNET_REASON_LOCAL));
}

static void flood_drain(struct rnet_conn conn, void *data)
{
    probe_drain(conn, data);
    flood_more(conn);
}

static ssize_t flood_begin(struct probe *p, struct rnet_conn conn, struct rn_slice in)
{
    (void)p;
    flood_more(conn);
    return (ssize_t)in.len;
}

TASK_TEST(a_writer_that_waits_for_drain_sends_everything_in_order)
{
    struct rnet_protocol protocol = probe_protocol;
    struct probe p = {.act = flood_begin};
    CLEANUP(rnet_listener_closep) struct rnet_listener *ln = NULL;
    CLEANUP(rnet_stream_closep) struct rnet_stream *s = NULL;
    CLEANUP(freep) uint8_t *buf = malloc(100000);
    size_t got = 0;
    ssize_t n;

    protocol.on_drain = flood_drain;
    ln = probe_listen_on("127.0.0.1:0", &protocol, &p);
    s = probe_dial(ln);
    OK(rnet_stream_write(s, "go", 2, SOON));
    while ((n = rnet_stream_read(s, buf, 100000, SOON)) > 0) {
        for (ssize_t i = 0; i < n; i++)
            if (buf[i] != flood_byte(got + (size_t)i))
                FAIL("wrong byte at %zu", got + (size_t)i);
        got += (size_t)n;
    }
    EQ(n, 0);
    EQ(got, FLOOD);
    GT(p.drained, 0);
    rnet_stream_closep(&s);
    TASK_UNTIL(rnet_listener_connections(ln) == 0);
    EQ(p.reason, RNET_REASON_LOCAL);
}

TASK_TEST(a_peer_that_never_reads_is_closed_at_the_output_cap)
{
    struct rnet_protocol protocol = probe_protocol;
    struct probe p = {0};
    CLEANUP(rnet_listener_closep) struct rnet_listener *ln = NULL;
    CLEANUP(rnet_stream_closep) struct rnet_stream *s = NULL;
    CLEANUP(freep) uint8_t *block = calloc(1, 65536);
    int r = 0;

    protocol.limits =
        (struct rnet_limits){.output_high = 65536, .output_low = 4096, .output_max = 1 << 20};
    ln = probe_listen_on("127.0.0.1:0", &protocol, &p);
    s = probe_dial(ln);
    TASK_UNTIL(p.opened == 1);
    while (r >= 0) {
        r = rnet_conn_write(p.conn, rn_slice(block, 65536));
        OK(rn_yield());
    }
    ERR(r, ENOBUFS);
    TASK_UNTIL(p.closed == 1);
    EQ(p.reason, RNET_REASON_OUTPUT_LIMIT);
}

static ssize_t pause_after_first(struct probe *p, struct rnet_conn conn, struct rn_slice in)
{
    (void)in;
    if (p->calls == 1)
        OK(rnet_conn_pause(conn));
    return 1;
}

TASK_TEST(a_paused_connection_keeps_what_came_and_gives_it_after_the_resume)
{
    struct probe p = {.act = pause_after_first};
    CLEANUP(rnet_listener_closep) struct rnet_listener *ln = probe_listen(&p);
    CLEANUP(rnet_stream_closep) struct rnet_stream *s = probe_dial(ln);

    OK(rnet_stream_write(s, "abcdef", 6, SOON));
    TASK_UNTIL(p.calls == 1);
    OK(rnet_stream_write(s, "ghi", 3, SOON));
    for (int i = 0; i < 100; i++)
        OK(rn_yield());
    EQ(p.calls, 1);
    EQ(rnet_conn_kept(p.conn), 5);
    TRUE(rnet_conn_paused(p.conn));
    OK(rnet_conn_resume(p.conn));
    TASK_UNTIL(p.bytes == 9);
    EQ(p.last[0], 'i');
    EQ(rnet_conn_kept(p.conn), 0);
}

/* ---- protocols that hand over ---- */

static struct probe second;

static ssize_t switch_to_second(struct probe *p, struct rnet_conn conn, struct rn_slice in)
{
    (void)p;
    (void)in;
    OK(rnet_conn_switch(conn, &probe_protocol, &second));
    return 2;
}

TASK_TEST(unread_bytes_go_to_the_protocol_that_takes_over)
{
    struct probe p = {.act = switch_to_second};
    CLEANUP(rnet_listener_closep) struct rnet_listener *ln = probe_listen(&p);
    CLEANUP(rnet_stream_closep) struct rnet_stream *s = probe_dial(ln);

    second = (struct probe){.act = probe_echo};
    OK(rnet_stream_write(s, "hi there", 8, SOON));
    char buf[6];
    OK(rnet_stream_read_full(s, buf, 6, SOON));
    MEMEQ(buf, " there", 6);
    EQ(p.bytes, 2);
    EQ(second.opened, 0);
    rnet_stream_closep(&s);
    TASK_UNTIL(second.closed == 1);
    EQ(p.closed, 0);
}

static ssize_t refuse_bytes(struct probe *p, struct rnet_conn conn, struct rn_slice in)
{
    (void)p;
    (void)in;
    OK(rnet_conn_write(conn, RN_SLICE_LITERAL("no")));
    return -EBADMSG;
}

TASK_TEST(a_refusal_flushes_the_answer_and_lingers_so_that_it_arrives)
{
    struct probe p = {.act = refuse_bytes};
    CLEANUP(rnet_listener_closep) struct rnet_listener *ln = probe_listen(&p);
    CLEANUP(rnet_stream_closep) struct rnet_stream *s = probe_dial(ln);
    char buf[8];

    OK(rnet_stream_write(s, "garbage", 7, SOON));
    TASK_UNTIL(p.closed == 1);
    OK(rnet_stream_write(s, "more of it, unread", 18, SOON));
    EQ(rnet_stream_read(s, buf, sizeof(buf), SOON), 2);
    MEMEQ(buf, "no", 2);
    EQ(rnet_stream_read(s, buf, sizeof(buf), SOON), 0);
    EQ(p.reason, RNET_REASON_PROTOCOL);
    EQ(rnet_listener_connections(ln), 1); /* lingering */
    rnet_stream_closep(&s);
    TASK_UNTIL(rnet_listener_connections(ln) == 0);
}

static ssize_t want_more(struct probe *p, struct rnet_conn conn, struct rn_slice in)
{
    (void)p;
    (void)conn;
    (void)in;
    return 0;
}

TASK_TEST(more_than_a_protocol_can_want_is_an_input_limit)
{
    struct rnet_protocol protocol = probe_protocol;
    struct probe p = {.act = want_more};
    CLEANUP(rnet_listener_closep) struct rnet_listener *ln = NULL;
    CLEANUP(rnet_stream_closep) struct rnet_stream *s = NULL;
    uint8_t block[1000] = {0};

    protocol.limits.input_max = 4000;
    ln = probe_listen_on("127.0.0.1:0", &protocol, &p);
    s = probe_dial(ln);
    while (p.closed == 0)
        if (rnet_stream_write(s, block, sizeof(block), SOON) < 0 || rn_yield() < 0)
            break;
    TASK_UNTIL(p.closed == 1);
    EQ(p.reason, RNET_REASON_INPUT_LIMIT);
}

/* ---- ends, resets, urgent data ---- */

static void answer_at_end(struct rnet_conn conn, void *data)
{
    struct probe *p = data;

    p->ended++;
    EQ(p->bytes, 5); /* the data came first */
    OK(rnet_conn_write(conn, RN_SLICE_LITERAL("all of it")));
    OK(rnet_conn_end(conn, RNET_REASON_PEER));
}

TASK_TEST(after_a_half_close_with_data_the_answer_still_goes_out)
{
    struct rnet_protocol protocol = probe_protocol;
    struct probe p = {0};
    CLEANUP(rnet_listener_closep) struct rnet_listener *ln = NULL;
    CLEANUP(rnet_stream_closep) struct rnet_stream *s = NULL;
    char buf[9];

    protocol.on_end = answer_at_end;
    ln = probe_listen_on("127.0.0.1:0", &protocol, &p);
    s = probe_dial(ln);
    OK(rnet_stream_write(s, "bytes", 5, SOON));
    OK(rnet_stream_end(s));
    OK(rnet_stream_read_full(s, buf, 9, SOON));
    MEMEQ(buf, "all of it", 9);
    EQ(rnet_stream_read(s, buf, 1, SOON), 0);
    TASK_UNTIL(rnet_listener_connections(ln) == 0);
    EQ(p.ended, 1);
}

static void raw_echo(int number)
{
    char byte;

    EQ(rn_sys_send(number, "x", 1, 0), 1);
    TASK_UNTIL(rn_sys_recv(number, &byte, 1, MSG_DONTWAIT) == 1);
}

TASK_TEST(a_connection_that_has_talked_and_is_idle_again_keeps_its_slot_only)
{
    enum { WARM = 64, MORE = 256 };
    struct probe p = {.act = probe_echo};
    CLEANUP(rnet_listener_closep) struct rnet_listener *ln = NULL;
    int numbers[WARM + MORE];
    size_t before = 0;

    if (test_sanitized())
        SKIP("a sanitizer's heap cannot be measured so");
    ln = probe_listen(&p);
    for (int i = 0; i < WARM + MORE; i++) {
        if (i == WARM)
            before = mallinfo2().uordblks;
        numbers[i] = raw_dial(ln);
        raw_echo(numbers[i]);
    }
    /* Slots come in chunks of 128, so 256 more need two chunks, or three where one was just full.
     */
    LE(mallinfo2().uordblks - before, 3 * 128 * 128 + 1024);
    for (int i = 0; i < WARM + MORE; i++)
        OK(rn_sys_close(numbers[i]));
    TASK_UNTIL(rnet_listener_connections(ln) == 0);
}

TASK_TEST(a_reset_is_told_also_while_reading_is_paused)
{
    struct probe p = {.act = pause_after_first};
    CLEANUP(rnet_listener_closep) struct rnet_listener *ln = probe_listen(&p);
    const struct linger now = {.l_onoff = 1, .l_linger = 0};
    int number = raw_dial(ln);

    EQ(rn_sys_send(number, "ab", 2, 0), 2);
    TASK_UNTIL(p.calls == 1);
    OK(rn_sys_setsockopt(number, SOL_SOCKET, SO_LINGER, &now, sizeof(now)));
    OK(rn_sys_close(number));
    TASK_UNTIL(p.closed == 1);
    EQ(p.reason, RNET_REASON_RESET);
}

static void stay_at_end(struct rnet_conn conn, void *data)
{
    (void)conn;
    ((struct probe *)data)->ended++;
}

TASK_TEST(a_reset_after_a_half_close_is_told)
{
    struct rnet_protocol protocol = probe_protocol;
    struct probe p = {0};
    CLEANUP(rnet_listener_closep) struct rnet_listener *ln = NULL;
    const struct linger now = {.l_onoff = 1, .l_linger = 0};
    int number;

    protocol.on_end = stay_at_end;
    ln = probe_listen_on("127.0.0.1:0", &protocol, &p);
    number = raw_dial(ln);
    OK(rn_sys_shutdown(number, SHUT_WR));
    TASK_UNTIL(p.ended == 1);
    OK(rn_sys_setsockopt(number, SOL_SOCKET, SO_LINGER, &now, sizeof(now)));
    OK(rn_sys_close(number));
    TASK_UNTIL(p.closed == 1);
    EQ(p.reason, RNET_REASON_RESET);
}

TASK_TEST(on_a_unix_socket_the_peers_close_after_its_half_close_is_told)
{
    struct rnet_protocol protocol = probe_protocol;
    struct probe p = {0};
    CLEANUP(rnet_listener_closep) struct rnet_listener *ln = NULL;
    char address[RNET_ADDR_TEXT_MAX];
    int number;

    protocol.on_end = stay_at_end;
    (void)snprintf(address, sizeof(address), "unix:%s/s", test_dir());
    ln = probe_listen_on(address, &protocol, &p);
    number = raw_dial(ln);
    OK(rn_sys_shutdown(number, SHUT_WR));
    TASK_UNTIL(p.ended == 1);
    OK(rn_sys_close(number));
    TASK_UNTIL(p.closed == 1);
    EQ(p.reason, RNET_REASON_RESET);
}

TASK_TEST(urgent_data_is_read_in_line_and_ends_no_read)
{
    struct probe p = {.act = probe_echo};
    CLEANUP(rnet_listener_closep) struct rnet_listener *ln = probe_listen(&p);
    int number = raw_dial(ln);
    char buf[8] = "";

    TASK_UNTIL(p.opened == 1);
    EQ(rn_sys_send(number, "ab", 2, 0), 2);
    EQ(rn_sys_send(number, "!", 1, MSG_OOB), 1);
    EQ(rn_sys_send(number, "cd", 2, 0), 2);
    TASK_UNTIL(p.bytes == 5);
    TASK_UNTIL(rn_sys_recv(number, buf, sizeof(buf), MSG_PEEK | MSG_DONTWAIT) == 5);
    EQ(rn_sys_recv(number, buf, sizeof(buf), MSG_DONTWAIT), 5);
    MEMEQ(buf, "ab!cd", 5);
    OK(rn_sys_close(number));
}

TASK_TEST(data_glued_to_the_end_is_read_before_it)
{
    struct probe p = {0};
    CLEANUP(rnet_listener_closep) struct rnet_listener *ln = probe_listen(&p);

    for (unsigned i = 1; i <= 200; i++) {
        int number = raw_dial(ln);

        EQ(rn_sys_send(number, "last words", 10, 0), 10);
        OK(rn_sys_close(number));
        TASK_UNTIL(p.closed == i);
        EQ(p.bytes, i * 10);
        EQ(p.reason, RNET_REASON_PEER);
    }
}

TASK_TEST(a_connection_with_endless_input_yields_to_others)
{
    struct probe p = {.act = probe_echo}, greedy = {0};
    CLEANUP(rnet_listener_closep) struct rnet_listener *ln = probe_listen(&p);
    CLEANUP(rnet_listener_closep) struct rnet_listener *other = probe_listen(&greedy);
    CLEANUP(rnet_stream_closep) struct rnet_stream *s = probe_dial(ln);
    CLEANUP(rnet_stream_closep) struct rnet_stream *flood = probe_dial(other);
    CLEANUP(freep) uint8_t *block = calloc(1, 1 << 20);
    char byte;

    for (int i = 0; i < 8; i++) {
        OK(rnet_stream_write(flood, block, 1 << 20, SOON));
        OK(rnet_stream_write(s, "x", 1, SOON));
        EQ(rnet_stream_read(s, &byte, 1, SOON), 1);
    }
    TASK_UNTIL(greedy.bytes == 8u << 20);
}

TASK_TEST(a_refused_connection_is_closed_and_told)
{
    struct probe p = {.refuse = true};
    CLEANUP(rnet_listener_closep) struct rnet_listener *ln = probe_listen(&p);
    CLEANUP(rnet_stream_closep) struct rnet_stream *s = probe_dial(ln);
    char byte;

    LE(rnet_stream_read(s, &byte, 1, SOON), 0);
    TASK_UNTIL(p.closed == 1);
    EQ(p.reason, RNET_REASON_REFUSED);
}

/* ---- the timer ---- */

TASK_TEST(a_timer_that_moves_on_fires_once_and_not_early)
{
    struct probe p = {0};
    CLEANUP(rnet_listener_closep) struct rnet_listener *ln = probe_listen(&p);
    CLEANUP(rnet_stream_closep) __attribute__((unused)) struct rnet_stream *s = probe_dial(ln);
    rn_time when = 0;

    TASK_UNTIL(p.opened == 1);
    for (int i = 0; i < 20; i++) { /* without a wait between: nothing can fire meanwhile */
        when = rn_after((5 + i) * RN_MS);
        OK(rnet_conn_timer(p.conn, when));
    }
    TASK_UNTIL(p.timers > 0);
    GE(rn_now(), when);
    EQ(p.timers, 1);
    OK(rnet_conn_timer(p.conn, rn_after(5 * RN_MS)));
    OK(rnet_conn_timer(p.conn, RN_FOREVER));
    OK(rnet_conn_timer(p.conn, rn_after(RN_S)));
    OK(rnet_conn_timer(p.conn, rn_after(RN_MS))); /* earlier than what is armed */
    TASK_UNTIL(p.timers == 2);
}

/* ---- from elsewhere ---- */

struct elsewhere {
    struct rnet_conn conn;
    _Atomic int      done;
    int              result;
};

static void *write_from_thread(void *arg)
{
    struct elsewhere *e = arg;

    e->result = rnet_conn_send(e->conn, RN_SLICE_LITERAL("from a thread"));
    if (e->result == 0)
        e->result = rnet_conn_send_end(e->conn, RNET_REASON_LOCAL);
    atomic_store(&e->done, 1);
    return NULL;
}

TASK_TEST(another_thread_writes_and_closes_through_the_inbox)
{
    struct probe p = {0};
    CLEANUP(rnet_listener_closep) struct rnet_listener *ln = probe_listen(&p);
    CLEANUP(rnet_stream_closep) struct rnet_stream *s = probe_dial(ln);
    struct elsewhere e = {0};
    pthread_t thread;
    char buf[13];

    TASK_UNTIL(p.opened == 1);
    e.conn = p.conn;
    EQ(pthread_create(&thread, NULL, write_from_thread, &e), 0);
    OK(rnet_stream_read_full(s, buf, 13, SOON));
    MEMEQ(buf, "from a thread", 13);
    EQ(rnet_stream_read(s, buf, 1, SOON), 0);
    TASK_UNTIL(atomic_load(&e.done));
    EQ(pthread_join(thread, NULL), 0);
    OK(e.result);
    EQ(p.reason, RNET_REASON_LOCAL);
}

static unsigned dropped, called;

static void count_drop(void *arg)
{
    (void)arg;
    dropped++;
}

static void count_call(struct rnet_conn conn, void *data, void *arg)
{
    (void)conn;
    (void)data;
    (void)arg;
    called++;
}

TASK_TEST(a_call_to_a_connection_that_has_gone_is_dropped_and_counted)
{
    struct probe p = {0};
    CLEANUP(rnet_listener_closep) struct rnet_listener *ln = probe_listen(&p);
    CLEANUP(rnet_stream_closep) __attribute__((unused)) struct rnet_stream *s = probe_dial(ln);
    const uint64_t late = rnet_counter(RNET_COUNTER_CALLS_LATE);

    dropped = called = 0;
    TASK_UNTIL(p.opened == 1);
    OK(rnet_conn_call(p.conn, count_call, NULL, count_drop));
    TASK_UNTIL(called == 1);
    OK(rnet_conn_close(p.conn, RNET_REASON_LOCAL));
    TASK_UNTIL(p.closed == 1);
    OK(rnet_conn_call(p.conn, count_call, NULL, count_drop));
    TASK_UNTIL(dropped == 1);
    EQ(called, 1);
    EQ(rnet_counter(RNET_COUNTER_CALLS_LATE), late + 1);
    ERR(rnet_conn_call((struct rnet_conn){UINT32_MAX, 1}, count_call, NULL, NULL), ESHUTDOWN);
}

TASK_TEST(two_connections_may_close_each_other_from_their_callbacks)
{
    struct probe p = {0};
    CLEANUP(rnet_listener_closep) struct rnet_listener *ln = probe_listen(&p);
    CLEANUP(rnet_stream_closep) __attribute__((unused)) struct rnet_stream *a = probe_dial(ln);
    struct rnet_conn first;

    TASK_UNTIL(p.opened == 1);
    first = p.conn;
    CLEANUP(rnet_stream_closep) __attribute__((unused)) struct rnet_stream *b = probe_dial(ln);
    TASK_UNTIL(p.opened == 2);
    OK(rnet_conn_close(first, RNET_REASON_REPLACED));
    OK(rnet_conn_close(first,
                       RNET_REASON_LOCAL)); /* within the turn: fine, and the first reason stays */
    OK(rnet_conn_end(p.conn, RNET_REASON_LOCAL));
    OK(rnet_conn_close(p.conn, RNET_REASON_LOCAL));
    TASK_UNTIL(p.closed == 2);
}
