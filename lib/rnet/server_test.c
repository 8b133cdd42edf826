/* Face A: frames, however they are cut, and peers that are slow or wrong. */
#include "testing.h"

#include <stdlib.h>

#include <rnet/server.h>

struct book {
    unsigned frames, malformed, closed, timers, stopped;
    size_t bytes;
    int error;
    enum rnet_reason reason;
    struct rnet_conn conn;
};

static int book_open(struct rnet_conn conn, void *data)
{
    ((struct book *)data)->conn = conn;
    return 0;
}

static int book_frame(struct rnet_conn conn, void *data, struct rn_slice frame)
{
    struct book *b = data;

    b->frames++;
    b->bytes += frame.len;
    if (rn_slice_eq_str(frame, "fail"))
        return -EINVAL;
    return rnet_server_write_frame(conn, frame) < 0 ? -EIO : 0;
}

static void book_malformed(struct rnet_conn conn, void *data, int error)
{
    struct book *b = data;

    b->malformed++;
    b->error = error;
    OK(rnet_server_write_frame(conn, RN_SLICE_LITERAL("bad")));
}

static void book_timer(struct rnet_conn conn, void *data)
{
    (void)conn;
    ((struct book *)data)->timers++;
}

static void book_close(struct rnet_conn conn, void *data, enum rnet_reason reason)
{
    (void)conn;
    ((struct book *)data)->closed++;
    ((struct book *)data)->reason = reason;
}

static const struct rnet_handler book_handler = {
    .on_open = book_open,
    .on_frame = book_frame,
    .on_malformed = book_malformed,
    .on_timer = book_timer,
    .on_close = book_close,
};

static struct rnet_server *serve_with(struct book *b, struct rnet_server_options o)
{
    static const char *const addrs[] = {"127.0.0.1:0"};
    struct rnet_server *srv = NULL;

    o.name = "book";
    o.addrs = addrs;
    o.n_addrs = 1;
    o.codec = o.codec ? o.codec : &rnet_codec_length_prefixed;
    o.handler = o.handler ? o.handler : &book_handler;
    o.data = b;
    o.frame_max = o.frame_max ? o.frame_max : 1000;
    OK(rnet_server_open(&o, &srv, NULL));
    return srv;
}

static struct rnet_server *serve(struct book *b)
{
    return serve_with(b, (struct rnet_server_options){0});
}

static struct rnet_stream *dial(struct rnet_server *srv)
{
    struct rnet_stream *s = NULL;

    OK(rnet_dial(rnet_server_address(srv, 0), SOON, &s));
    return s;
}

static void expect_frame(struct rnet_stream *s, const char *text)
{
    CLEANUP(freep) uint8_t *payload = NULL;
    size_t len = 0;

    EQ(rnet_stream_read_frame(s, 1000, SOON, &payload, &len), 1);
    EQ(len, strlen(text));
    MEMEQ(payload, text, len);
}

/* ---- the codecs, as functions ---- */

TEST(length_prefixed_frames_are_found_at_every_cut)
{
    static const uint8_t bytes[] = {0, 0, 0, 3, 'a', 'b', 'c', 0, 0, 0, 0, 0, 0, 0, 1, 'd'};
    struct rn_slice frame;

    for (size_t n = 0; n < 7; n++)
        EQ(rnet_codec_length_prefixed.next(rn_slice(bytes, n), 10, &frame), 0);
    for (size_t n = 7; n <= sizeof(bytes); n++) {
        EQ(rnet_codec_length_prefixed.next(rn_slice(bytes, n), 10, &frame), 7);
        TRUE(rn_slice_eq_str(frame, "abc"));
    }
    EQ(rnet_codec_length_prefixed.next(rn_slice(bytes + 7, 9), 10, &frame), 4);
    EQ(frame.len, 0);
    ERR(rnet_codec_length_prefixed.next(rn_slice(bytes, 4), 2, &frame), EMSGSIZE);
}

TEST(lines_end_with_lf_or_crlf)
{
    struct rn_slice frame;

    EQ(rnet_codec_line.next(rn_slice_str("one\r\ntwo\n"), 10, &frame), 5);
    TRUE(rn_slice_eq_str(frame, "one"));
    EQ(rnet_codec_line.next(rn_slice_str("\n"), 10, &frame), 1);
    EQ(frame.len, 0);
    EQ(rnet_codec_line.next(rn_slice_str("no end"), 10, &frame), 0);
    EQ(rnet_codec_line.next(rn_slice_str("abc\r\n"), 3, &frame), 5);
    ERR(rnet_codec_line.next(rn_slice_str("abcd\n"), 3, &frame), EMSGSIZE);
    ERR(rnet_codec_line.next(rn_slice_str("abcdefgh"), 3, &frame), EMSGSIZE);
}

/* ---- over sockets ---- */

TASK_TEST(a_frame_split_at_every_byte_is_one_frame)
{
    static const uint8_t bytes[] = {0, 0, 0, 5, 'h', 'e', 'l', 'l', 'o'};
    struct book b = {0};
    CLEANUP(rnet_server_closep) struct rnet_server *srv = serve(&b);
    CLEANUP(rnet_stream_closep) struct rnet_stream *s = dial(srv);

    for (size_t cut = 1; cut < sizeof(bytes); cut++) {
        OK(rnet_stream_write(s, bytes, cut, SOON));
        for (int i = 0; i < 20; i++) /* both halves as reads of their own */
            OK(rn_yield());
        OK(rn_sleep(rn_after(RN_MS)));
        OK(rnet_stream_write(s, bytes + cut, sizeof(bytes) - cut, SOON));
        expect_frame(s, "hello");
    }
    for (size_t i = 0; i < sizeof(bytes); i++) {
        OK(rnet_stream_write(s, bytes + i, 1, SOON));
        OK(rn_sleep(rn_after(RN_MS)));
    }
    expect_frame(s, "hello");
    EQ(b.frames, sizeof(bytes));
}

TASK_TEST(many_frames_in_one_packet_come_one_by_one)
{
    struct book b = {0};
    CLEANUP(rnet_server_closep) struct rnet_server *srv = serve(&b);
    CLEANUP(rnet_stream_closep) struct rnet_stream *s = dial(srv);
    uint8_t packet[100 * 7 + 3];

    for (int i = 0; i < 100; i++)
        memcpy(packet + i * 7, "\0\0\0\3abc", 7);
    memcpy(packet + 700, "\0\0\0", 3); /* and the beginning of the next */
    OK(rnet_stream_write(s, packet, sizeof(packet), SOON));
    for (int i = 0; i < 100; i++)
        expect_frame(s, "abc");
    EQ(b.frames, 100);
    OK(rnet_stream_write(s, "\1z", 2, SOON));
    expect_frame(s, "z");
}

TASK_TEST(a_frame_of_zero_bytes_is_a_frame)
{
    struct book b = {0};
    CLEANUP(rnet_server_closep) struct rnet_server *srv = serve(&b);
    CLEANUP(rnet_stream_closep) struct rnet_stream *s = dial(srv);

    OK(rnet_stream_write_frame(s, rn_slice(NULL, 0), SOON));
    expect_frame(s, "");
    EQ(b.frames, 1);
    EQ(b.bytes, 0);
}

TASK_TEST(a_frame_of_the_largest_size_passes_and_one_more_byte_is_refused_at_its_header)
{
    struct book b = {0};
    CLEANUP(rnet_server_closep)
    struct rnet_server *srv = serve_with(&b, (struct rnet_server_options){.frame_max = 300000});
    CLEANUP(rnet_stream_closep) struct rnet_stream *s = dial(srv);
    CLEANUP(freep) uint8_t *large = calloc(1, 300000);
    CLEANUP(freep) uint8_t *back = NULL;
    size_t len;
    char byte;

    OK(rnet_stream_write_frame(s, rn_slice(large, 300000), SOON));
    EQ(rnet_stream_read_frame(s, 300000, SOON, &back, &len), 1);
    EQ(len, 300000);
    OK(rnet_stream_write(s, "\x00\x04\x93\xe1", 4, SOON)); /* 300,001: the header alone */
    expect_frame(s, "bad");
    EQ(rnet_stream_read(s, &byte, 1, SOON), 0);
    EQ(b.malformed, 1);
    EQ(b.error, -EMSGSIZE);
    EQ(b.reason, RNET_REASON_PROTOCOL);
}

TASK_TEST(a_slow_frame_is_refused_by_its_whole_time)
{
    struct book b = {0};
    CLEANUP(rnet_server_closep)
    struct rnet_server *srv = serve_with(
        &b, (struct rnet_server_options){.frame_ns = 100 * RN_MS, .first_ns = RN_FOREVER});
    CLEANUP(rnet_stream_closep) struct rnet_stream *s = dial(srv);

    OK(rnet_stream_write_frame(s, RN_SLICE_LITERAL("quick"), SOON));
    expect_frame(s, "quick");
    OK(rnet_stream_write(s, "\0\0\3\0", 4, SOON));
    while (b.closed == 0) { /* a byte now and then does not help */
        if (rnet_stream_write(s, "x", 1, SOON) < 0)
            break;
        OK(rn_sleep(rn_after(10 * RN_MS)));
    }
    TASK_UNTIL(b.closed == 1);
    EQ(b.error, -ETIMEDOUT);
    EQ(b.reason, RNET_REASON_FRAME_TIMEOUT);
    EQ(b.frames, 1);
}

TASK_TEST(a_frame_has_more_time_by_the_length_that_it_announces)
{
    struct book b = {0};
    CLEANUP(rnet_server_closep)
    struct rnet_server *srv =
        serve_with(&b, (struct rnet_server_options){.frame_ns = 20 * RN_MS,
                                                    .frame_ns_per_256k = 30 * RN_S,
                                                    .first_ns = RN_FOREVER,
                                                    .frame_max = 300000});
    CLEANUP(rnet_stream_closep) struct rnet_stream *large = dial(srv);
    CLEANUP(rnet_stream_closep) struct rnet_stream *small = dial(srv);
    char byte;

    OK(rnet_stream_write(large, "\0\4\0\0", 4, SOON));     /* 256 KiB, of which nothing comes */
    OK(rnet_stream_write(small, "\0\3\377\377", 4, SOON)); /* a byte less */
    expect_frame(small, "bad");
    EQ(rnet_stream_read(small, &byte, 1, SOON), 0);
    ERR(rnet_stream_read(large, &byte, 1, rn_after(100 * RN_MS)), ETIMEDOUT);
    EQ(b.malformed, 1);
}

TASK_TEST(a_frame_that_breaks_off_is_refused)
{
    struct book b = {0};
    CLEANUP(rnet_server_closep)
    struct rnet_server *srv = serve_with(&b, (struct rnet_server_options){0});
    CLEANUP(rnet_stream_closep) struct rnet_stream *s = dial(srv);
    char byte;

    OK(rnet_stream_write_frame(s, RN_SLICE_LITERAL("whole"), SOON));
    expect_frame(s, "whole");
    OK(rnet_stream_write(s, "\0\0\0\5ha", 6, SOON));
    OK(rnet_stream_end(s));
    expect_frame(s, "bad");
    EQ(rnet_stream_read(s, &byte, 1, SOON), 0);
    EQ(b.malformed, 1);
    EQ(b.error, -EPIPE);
    EQ(b.reason, RNET_REASON_PROTOCOL);
}

TASK_TEST(who_sends_nothing_after_the_accept_is_closed)
{
    struct book b = {0};
    CLEANUP(rnet_server_closep)
    struct rnet_server *srv = serve_with(&b, (struct rnet_server_options){.first_ns = 50 * RN_MS});
    CLEANUP(rnet_stream_closep) struct rnet_stream *s = dial(srv);
    char byte;

    expect_frame(s, "bad");
    EQ(rnet_stream_read(s, &byte, 1, SOON), 0);
    EQ(b.reason, RNET_REASON_FIRST_TIMEOUT);
}

TASK_TEST(an_idle_connection_between_frames_has_no_deadline_but_the_handlers_own)
{
    struct book b = {0};
    CLEANUP(rnet_server_closep)
    struct rnet_server *srv = serve_with(
        &b, (struct rnet_server_options){.first_ns = 30 * RN_MS, .frame_ns = 30 * RN_MS});
    CLEANUP(rnet_stream_closep) struct rnet_stream *s = dial(srv);

    OK(rnet_stream_write_frame(s, RN_SLICE_LITERAL("here"), SOON));
    expect_frame(s, "here");
    OK(rnet_server_timer(b.conn, rn_after(100 * RN_MS)));
    TASK_UNTIL(b.timers == 1);
    EQ(b.closed, 0);
    OK(rnet_stream_write_frame(s, RN_SLICE_LITERAL("still"), SOON));
    expect_frame(s, "still");
}

TASK_TEST(a_failing_handler_closes_after_the_flush)
{
    struct book b = {0};
    CLEANUP(rnet_server_closep) struct rnet_server *srv = serve(&b);
    CLEANUP(rnet_stream_closep) struct rnet_stream *s = dial(srv);
    char byte;

    OK(rnet_stream_write(s, "\0\0\0\2ok\0\0\0\4fail\0\0\0\2no", 20, SOON));
    expect_frame(s, "ok");
    EQ(rnet_stream_read(s, &byte, 1, SOON), 0);
    EQ(b.frames, 2); /* what came behind the failure is not looked at */
    EQ(b.reason, RNET_REASON_HANDLER);
}

static int stop_client(void *arg)
{
    CLEANUP(rnet_stream_closep) struct rnet_stream *s = NULL;
    char byte;
    int r = rnet_dial(arg, SOON, &s);

    if (r < 0)
        return r;
    OK(rnet_stream_write_frame(s, RN_SLICE_LITERAL("before"), SOON));
    expect_frame(s, "before");
    EQ(rnet_stream_read(s, &byte, 1, SOON), 0);
    return 0;
}

TASK_TEST(a_drain_stops_accepting_and_lets_connections_end)
{
    struct book b = {0};
    CLEANUP(rnet_server_closep) struct rnet_server *srv = serve(&b);
    CLEANUP(rn_scope_closep) struct rn_scope scope = {0};
    CLEANUP(rnet_stream_closep) struct rnet_stream *late = NULL;
    char address[RNET_ADDR_TEXT_MAX];

    (void)strcpy(address, rnet_server_address(srv, 0));
    OK(rn_scope_open(RN_SCOPE_WAIT_ALL, &scope));
    for (int i = 0; i < 20; i++)
        OK(rn_go(scope, stop_client, address, NULL, 0));
    TASK_UNTIL(b.frames == 20);
    EQ(rnet_server_drain(srv, SOON), 0);
    EQ(b.closed, 20);
    EQ(b.reason, RNET_REASON_DRAIN);
    OK(rn_scope_wait(scope));
    ERR(rnet_dial(address, SOON, &late), ECONNREFUSED);
}

static void stop_never(struct rnet_conn conn, void *data)
{
    (void)conn;
    ((struct book *)data)->stopped++;
}

TASK_TEST(a_drain_cuts_who_does_not_end_by_the_deadline)
{
    struct rnet_handler stubborn = book_handler;
    struct book b = {0};
    CLEANUP(rnet_server_closep) struct rnet_server *srv = NULL;
    CLEANUP(rnet_stream_closep) struct rnet_stream *s = NULL;

    stubborn.on_stop = stop_never;
    srv = serve_with(&b, (struct rnet_server_options){.handler = &stubborn});
    s = dial(srv);
    OK(rnet_stream_write_frame(s, RN_SLICE_LITERAL("x"), SOON));
    expect_frame(s, "x");
    ERR(rnet_server_drain(srv, rn_after(30 * RN_MS)), ETIMEDOUT);
    EQ(b.stopped, 1);
    EQ(b.closed, 1);
    EQ(b.reason, RNET_REASON_CUT);
}
