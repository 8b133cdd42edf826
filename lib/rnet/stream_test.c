/* Face B: streams of every kind, dialling, frames. */
#include "testing.h"

#include <stdlib.h>

#include <rnet/server.h>

/* ---- both kinds keep the same promises ---- */

struct pair {
    struct rnet_acceptor *acceptor;
    struct rnet_stream   *a, *b;
};

static void pair_open(struct pair *pair, const char *kind)
{
    char address[RNET_ADDR_TEXT_MAX] = "127.0.0.1:0";

    *pair = (struct pair){0};
    if (strcmp(kind, "memory") == 0) {
        OK(rnet_stream_pair(&pair->a, &pair->b));
        return;
    }
    if (strcmp(kind, "unix") == 0)
        (void)snprintf(address, sizeof(address), "unix:%s/pair", test_dir());
    OK(rnet_listen(address, 0, &pair->acceptor));
    OK(rnet_dial(rnet_acceptor_address(pair->acceptor), SOON, &pair->a));
    OK(rnet_accept(pair->acceptor, SOON, &pair->b));
}

static void pair_close(struct pair *pair)
{
    rnet_stream_close(pair->a);
    rnet_stream_close(pair->b);
    rnet_acceptor_close(pair->acceptor);
}

static const char *const kinds[] = {"tcp", "unix", "memory"};
#define EACH_KIND(pair)                                                                            \
    for (size_t kind_ = 0; kind_ < 3; kind_++)                                                     \
        for (bool once_ = (test_note("%s", kinds[kind_]), pair_open(pair, kinds[kind_]), true);    \
             once_; once_ = false, pair_close(pair))

TASK_TEST(bytes_go_both_ways)
{
    struct pair p;
    char buf[5];

    EACH_KIND (&p) {
        OK(rnet_stream_write(p.a, "there", 5, SOON));
        OK(rnet_stream_write(p.b, "back!", 5, SOON));
        OK(rnet_stream_read_full(p.b, buf, 5, SOON));
        MEMEQ(buf, "there", 5);
        OK(rnet_stream_read_full(p.a, buf, 5, SOON));
        MEMEQ(buf, "back!", 5);
    }
}

TASK_TEST(a_half_close_ends_one_direction_only)
{
    struct pair p;
    char buf[5];

    EACH_KIND (&p) {
        OK(rnet_stream_write(p.a, "last", 4, SOON));
        OK(rnet_stream_end(p.a));
        OK(rnet_stream_read_full(p.b, buf, 4, SOON));
        EQ(rnet_stream_read(p.b, buf, 1, SOON), 0);
        ERR(rnet_stream_read_full(p.b, buf, 1, SOON), ENODATA);
        OK(rnet_stream_write(p.b, "reply", 5, SOON));
        OK(rnet_stream_read_full(p.a, buf, 5, SOON));
    }
}

TASK_TEST(a_read_gives_up_at_its_deadline_and_can_be_made_again)
{
    struct pair p;
    char buf[2];

    EACH_KIND (&p) {
        ERR(rnet_stream_read(p.a, buf, 2, 0), ETIMEDOUT);
        ERR(rnet_stream_read(p.a, buf, 2, rn_after(5 * RN_MS)), ETIMEDOUT);
        OK(rnet_stream_write(p.b, "ok", 2, SOON));
        OK(rnet_stream_read_full(p.a, buf, 2, SOON));
    }
}

TASK_TEST(a_write_that_nobody_reads_gives_up_at_its_deadline)
{
    CLEANUP(freep) uint8_t *block = calloc(1, 16u << 20);
    struct pair p;

    EACH_KIND (&p)
        ERR(rnet_stream_write(p.a, block, 16u << 20, rn_after(20 * RN_MS)), ETIMEDOUT);
}

TASK_TEST(writing_to_a_peer_that_has_gone_is_an_error_and_no_signal)
{
    struct pair p;
    int r;

    EACH_KIND (&p) {
        rnet_stream_closep(&p.b);
        do {
            r = rnet_stream_writev(p.a, (struct iovec[]){{(void *)"a", 1}, {(void *)"b", 1}}, 2,
                                   SOON);
            OK(rn_yield());
        } while (r == 0);
        TRUE(r == -EPIPE || r == -ECONNRESET);
    }
}

struct transfer {
    struct rnet_stream *s;
    size_t              n;
};

static int send_pattern(void *arg)
{
    const struct transfer *t = arg;
    uint8_t block[3000];

    for (size_t at = 0; at < t->n;) {
        const size_t take = t->n - at < sizeof(block) ? t->n - at : sizeof(block);
        const struct iovec iov[3] = {
            {block, take / 3}, {block, 0}, {block + take / 3, take - take / 3}};

        for (size_t i = 0; i < take; i++)
            block[i] = (uint8_t)((at + i) * 7 >> 2);
        OK(rnet_stream_writev(t->s, iov, 3, SOON));
        at += take;
    }
    return rnet_stream_end(t->s);
}

TASK_TEST(a_megabyte_arrives_in_order_while_another_task_writes_it)
{
    struct pair p;

    EACH_KIND (&p) {
        CLEANUP(rn_scope_closep) struct rn_scope scope = {0};
        struct transfer t = {p.a, 1 << 20};
        uint8_t x[1000], y[777];
        const struct iovec iov[2] = {{x, sizeof(x)}, {y, sizeof(y)}};
        size_t at = 0;
        ssize_t n;

        OK(rn_scope_open(RN_SCOPE_FAIL_FAST, &scope));
        OK(rn_go(scope, send_pattern, &t, NULL, 0));
        while ((n = rnet_stream_readv(p.b, iov, 2, SOON)) > 0) {
            for (size_t i = 0; i < (size_t)n; i++) {
                const uint8_t byte = i < sizeof(x) ? x[i] : y[i - sizeof(x)];

                if (byte != (uint8_t)((at + i) * 7 >> 2))
                    FAIL("wrong byte at %zu", at + i);
            }
            at += (size_t)n;
        }
        EQ(n, 0);
        EQ(at, 1 << 20);
        OK(rn_scope_wait(scope));
    }
}

static int read_one(void *arg)
{
    char byte;

    return (int)rnet_stream_read(arg, &byte, 1, RN_FOREVER);
}

TASK_TEST(a_cancelled_scope_ends_a_read)
{
    struct pair p;

    EACH_KIND (&p) {
        CLEANUP(rn_scope_closep) struct rn_scope scope = {0};

        OK(rn_scope_open(RN_SCOPE_WAIT_ALL, &scope));
        OK(rn_go(scope, read_one, p.a, NULL, 0));
        OK(rn_yield());
        OK(rn_scope_cancel(scope));
        ERR(rn_scope_wait(scope), ECANCELED);
    }
}

TASK_TEST(both_ends_know_their_addresses)
{
    struct pair p;
    struct rnet_addr local, peer;
    char a[RNET_ADDR_TEXT_MAX], b[RNET_ADDR_TEXT_MAX];

    pair_open(&p, "tcp");
    OK(rnet_stream_local(p.a, &local));
    OK(rnet_stream_peer(p.b, &peer));
    STREQ(rnet_addr_format(&local, a, sizeof(a)), rnet_addr_format(&peer, b, sizeof(b)));
    OK(rnet_stream_peer(p.a, &peer));
    STREQ(rnet_addr_format(&peer, b, sizeof(b)), rnet_acceptor_address(p.acceptor));
    pair_close(&p);
    pair_open(&p, "memory");
    ERR(rnet_stream_peer(p.a, &peer), ENOTSUP);
    pair_close(&p);
}

/* ---- dialling ---- */

TASK_TEST(dialling_nobody_is_refused)
{
    CLEANUP(rnet_acceptor_closep) struct rnet_acceptor *a = NULL;
    CLEANUP(rnet_stream_closep) struct rnet_stream *s = NULL;
    char address[RNET_ADDR_TEXT_MAX];

    OK(rnet_listen("127.0.0.1:0", 0, &a));
    (void)strcpy(address, rnet_acceptor_address(a));
    rnet_acceptor_closep(&a);
    ERR(rnet_dial(address, SOON, &s), ECONNREFUSED);
    ERR(rnet_dial("unix:/nonexistent/socket", SOON, &s), ENOENT);
    ERR(rnet_dial("no port here", SOON, &s), EINVAL);
    EQ(s, NULL);
}

TASK_TEST(a_dial_that_is_not_answered_ends_at_its_deadline)
{
    CLEANUP(rnet_acceptor_closep) struct rnet_acceptor *a = NULL;
    struct rnet_stream *s[64] = {0};
    int r = 0, n = 0;

    OK(rnet_listen("127.0.0.1:0", 1, &a)); /* a full queue answers nobody */
    while (n < 64 && r == 0) {
        r = rnet_dial(rnet_acceptor_address(a), rn_after(100 * RN_MS), &s[n]);
        n += r == 0;
    }
    ERR(r, ETIMEDOUT);
    while (n > 0)
        rnet_stream_close(s[--n]);
}

TASK_TEST(a_name_is_looked_up_and_the_address_that_answers_wins)
{
    CLEANUP(rnet_acceptor_closep) struct rnet_acceptor *a = NULL;
    CLEANUP(rnet_stream_closep) struct rnet_stream *s = NULL, *peer = NULL;
    char address[64];

    test_heap_allow(256 * 1024); /* the resolver's tables */
    OK(rnet_listen("127.0.0.1:0", 0, &a));
    (void)snprintf(address, sizeof(address), "localhost%s", strrchr(rnet_acceptor_address(a), ':'));
    OK(rnet_dial(address, SOON, &s));
    OK(rnet_accept(a, SOON, &peer));
    OK(rnet_stream_write(s, "x", 1, SOON));
    char byte;
    EQ(rnet_stream_read(peer, &byte, 1, SOON), 1);
    rnet_stream_closep(&s);
    ERR(rnet_dial("no-such-host.invalid:1", SOON, &s), ENXIO);
}

TASK_TEST(accepting_waits_out_a_lack_of_descriptors)
{
    CLEANUP(rnet_acceptor_closep) struct rnet_acceptor *a = NULL;
    CLEANUP(rnet_stream_closep) struct rnet_stream *s = NULL, *peer = NULL;

    OK(rnet_listen("127.0.0.1:0", 0, &a));
    ERR(rnet_accept(a, rn_after(RN_MS), &peer), ETIMEDOUT);
    OK(rnet_dial(rnet_acceptor_address(a), SOON, &s));
    rn_fault_set(RN_SYS_accept4, EMFILE, 2);
    OK(rnet_accept(a, SOON, &peer));
    rn_fault_set(RN_SYS_accept4, 0, 0);
}

/* ---- frames ---- */

TASK_TEST(an_accept_that_is_forbidden_gives_up_at_its_deadline)
{
    CLEANUP(rnet_acceptor_closep) struct rnet_acceptor *a = NULL;
    CLEANUP(rnet_stream_closep) struct rnet_stream *s = NULL;
    int number;

    OK(rnet_listen("127.0.0.1:0", 0, &a));
    OK(rnet_dial(rnet_acceptor_address(a), SOON, &s));
    rn_fault_set(RN_SYS_accept4, EPERM, -1);
    ERR(rnet_accept_number(a, rn_after(50 * RN_MS), &number), ETIMEDOUT);
    rn_fault_set(RN_SYS_accept4, 0, 0);
}

TASK_TEST(empty_parts_of_a_write_are_nothing)
{
    CLEANUP(rnet_stream_closep) struct rnet_stream *a = NULL, *b = NULL;
    const struct iovec iov[] = {{NULL, 0}, {(void *)(uintptr_t)"x", 1}, {NULL, 0},
                                {(void *)(uintptr_t)"y", 1}};
    char buf[2];

    OK(rnet_stream_pair(&a, &b));
    OK(rnet_stream_writev(a, iov, 4, SOON));
    OK(rnet_stream_read_full(b, buf, 2, SOON));
    MEMEQ(buf, "xy", 2);
}

TASK_TEST(a_frame_reader_gives_each_frame_and_the_end)
{
    struct pair p;
    struct rn_slice frame;

    EACH_KIND (&p) {
        struct rnet_frame_reader fr = {
            .stream = p.b, .codec = &rnet_codec_length_prefixed, .frame_max = 100000};
        CLEANUP(freep) uint8_t *large = calloc(1, 100000);

        OK(rnet_stream_write(p.a, "\0\0\0\1a\0\0\0\0\0\0\0\2b", 14, SOON));
        EQ(rnet_frame_reader_next(&fr, &frame, SOON), 1);
        TRUE(rn_slice_eq_str(frame, "a"));
        EQ(rnet_frame_reader_next(&fr, &frame, SOON), 1);
        EQ(frame.len, 0);
        ERR(rnet_frame_reader_next(&fr, &frame, rn_after(RN_MS)),
            ETIMEDOUT); /* half of it is kept */
        OK(rnet_stream_write(p.a, "c", 1, SOON));
        EQ(rnet_frame_reader_next(&fr, &frame, SOON), 1);
        TRUE(rn_slice_eq_str(frame, "bc"));

        OK(rnet_stream_write_frame(p.a, rn_slice(large, 60000), SOON));
        EQ(rnet_frame_reader_next(&fr, &frame, SOON), 1);
        EQ(frame.len, 60000);
        OK(rnet_stream_write(p.a, "\0\0", 2, SOON));
        OK(rnet_stream_end(p.a));
        ERR(rnet_frame_reader_next(&fr, &frame, SOON), ENODATA);
        rnet_frame_reader_fini(&fr);
    }
}

TASK_TEST(a_frame_reader_ends_between_frames_and_refuses_what_is_too_large)
{
    struct pair p;
    struct rn_slice frame;

    EACH_KIND (&p) {
        struct rnet_frame_reader fr = {
            .stream = p.b, .codec = &rnet_codec_length_prefixed, .frame_max = 10};
        struct rnet_frame_reader back = {
            .stream = p.a, .codec = &rnet_codec_length_prefixed, .frame_max = 10};

        OK(rnet_stream_write_frame(p.a, RN_SLICE_LITERAL("0123456789"), SOON));
        OK(rnet_stream_end(p.a));
        EQ(rnet_frame_reader_next(&fr, &frame, SOON), 1);
        EQ(rnet_frame_reader_next(&fr, &frame, SOON), 0);
        OK(rnet_stream_write_frame(p.b, RN_SLICE_LITERAL("0123456789a"), SOON));
        ERR(rnet_frame_reader_next(&back, &frame, SOON), EMSGSIZE);
        rnet_frame_reader_fini(&fr);
        rnet_frame_reader_fini(&back);
    }
}

SIM_TEST(a_memory_stream_loses_nothing_in_any_order, 200)
{
    struct rnet_stream *a, *b;
    CLEANUP(rn_scope_closep) struct rn_scope scope = {0};
    struct transfer t;
    uint8_t buf[999];
    size_t at = 0;
    ssize_t n;

    OK(rnet_stream_pair(&a, &b));
    t = (struct transfer){a, 100000};
    OK(rn_scope_open(RN_SCOPE_FAIL_FAST, &scope));
    OK(rn_go(scope, send_pattern, &t, NULL, 0));
    while ((n = rnet_stream_read(b, buf, 1 + seed % sizeof(buf), SOON)) > 0) {
        for (size_t i = 0; i < (size_t)n; i++)
            EQ(buf[i], (uint8_t)((at + i) * 7 >> 2));
        at += (size_t)n;
    }
    EQ(n, 0);
    EQ(at, 100000);
    OK(rn_scope_wait(scope));
    rnet_stream_close(a);
    rnet_stream_close(b);
}
