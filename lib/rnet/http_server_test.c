#include <rnet/http.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <harness/task_test.h>

#include <base/cleanup.h>
#include <rnet/conn.h>
#include <rnet/stats.h>
#include <rnet/stream.h>
#include <runnel/chan.h>
#include <runnel/fd.h>
#include <runnel/sys.h>

/* A server, and one client that speaks raw bytes to it. Everything runs on one worker. */
struct bench {
    struct rn_scope scope;
    struct rnet_http *server;
    struct rnet_stream *client;
    char buf[65536];
    size_t len;
};

/* ---- handlers ---- */

static _Atomic int handler_runs, handler_result = 1;

static void hello(void *arg, struct rnet_http_request *req)
{
    (void)arg;
    OK(rnet_http_header(req, "X-Test", "yes"));
    OK(rnet_http_respond(req, 200, "text/plain", rnet_http_param(req, "name")));
}

static void echo(void *arg, struct rnet_http_request *req)
{
    (void)arg;
    OK(rnet_http_respond(req, 200, NULL, rnet_http_body(req)));
}

static void slow(void *arg, struct rnet_http_request *req)
{
    (void)arg;
    handler_runs++;
    handler_result = rn_sleep(rn_after(rnet_http_query(req, "ms").data ? 50 * RN_MS : 3600 * RN_S));
    OK(rnet_http_respond(req, 200, "text/plain", RN_SLICE_LITERAL("slept")));
}

static void silent(void *arg, struct rnet_http_request *req)
{
    (void)arg, (void)req;
}

static void twice(void *arg, struct rnet_http_request *req)
{
    (void)arg;
    OK(rnet_http_respond(req, 200, NULL, RN_SLICE_LITERAL("first")));
    ERR(rnet_http_respond(req, 200, NULL, RN_SLICE_LITERAL("second")), EALREADY);
    ERR(rnet_http_header(req, "X-Late", "1"), EALREADY);
}

static void injecting(void *arg, struct rnet_http_request *req)
{
    (void)arg;
    ERR(rnet_http_header(req, "X-A", "b\r\nX-C: d"), EINVAL);
    ERR(rnet_http_header(req, "X A", "b"), EINVAL);
    ERR(rnet_http_header(req, "content-length", "1"), EINVAL);
    ERR(rnet_http_respond(req, 200, "text/plain\r\nX-C: d", RN_SLICE_LITERAL("")), EINVAL);
    ERR(rnet_http_respond(req, 100, NULL, RN_SLICE_LITERAL("")), EINVAL);
    OK(rnet_http_respond(req, 204, NULL, RN_SLICE_LITERAL("")));
}

static void large(void *arg, struct rnet_http_request *req)
{
    size_t n = *(size_t *)arg;
    CLEANUP(freep) char *text = malloc(n);

    memset(text, 'x', n);
    OK(rnet_http_respond(req, 200, NULL, rn_slice(text, n)));
}

/* ?n=PIECES of 1,000 bytes, each with a number; ?ms=PATIENCE of each. */
static _Atomic long pieces_written;
static _Atomic int pieces_result;

static long query_number(struct rnet_http_request *req, const char *name)
{
    struct rn_slice s = rnet_http_query(req, name); /* without a NUL */
    char text[32];

    snprintf(text, sizeof(text), "%.*s", (int)s.len, s.data ? (const char *)s.data : "");
    return strtol(text, NULL, 10);
}

static void pieces(void *arg, struct rnet_http_request *req)
{
    long n = query_number(req, "n"), ms = query_number(req, "ms");
    char piece[1000];
    int r = 0;

    (void)arg;
    pieces_written = 0;
    OK(rnet_http_header(req, "X-Test", "yes"));
    OK(rnet_http_stream(req, 200, "text/plain"));
    ERR(rnet_http_stream(req, 200, "text/plain"), EALREADY);
    ERR(rnet_http_respond(req, 200, NULL, RN_SLICE_LITERAL("x")), EALREADY);
    for (long i = 0; i < n && r == 0; i++) {
        memset(piece, '.', sizeof(piece));
        memcpy(piece, &i, sizeof(i));
        r = rnet_http_stream_write(req, rn_slice(piece, sizeof(piece)),
                                   rn_after(ms ? ms * RN_MS : 20 * RN_S));
        pieces_written += r == 0;
    }
    pieces_result = r;
}

/* Something goes wrong behind the first piece, and not with the connection. */
static void half(void *arg, struct rnet_http_request *req)
{
    (void)arg;
    rnet_http_stream_fail(req); /* nothing yet */
    OK(rnet_http_stream(req, 200, "text/plain"));
    OK(rnet_http_stream_write(req, RN_SLICE_LITERAL("half"), RN_FOREVER));
    rnet_http_stream_fail(req);
    ERR(rnet_http_stream_write(req, RN_SLICE_LITERAL("more"), RN_FOREVER), EPIPE);
}

/* It goes on until the client leaves, or until it is told to end. */
static struct rnet_conn endless_conn;
static _Atomic bool endless_may_end;
static _Atomic int endless_rounds, endless_result = 1;

static void endless(void *arg, struct rnet_http_request *req)
{
    int r;

    (void)arg;
    endless_conn = rnet_http_conn(req);
    OK(rnet_http_stream(req, 200, "text/plain"));
    do {
        EQ(rnet_http_stream_push(req, RN_SLICE_LITERAL("round")), 0);
        endless_rounds++;
        ERR(rnet_http_stream_wait(req, 0), ETIMEDOUT); /* breaks nothing */
        r = rnet_http_stream_wait(req, RN_FOREVER);
    } while (r == 0 && !endless_may_end);
    endless_result = r;
}

/* Again and again pushes until the client is behind, and waits for it. */
#define BEHIND_ROUNDS 500
static _Atomic int behind_rounds;

static void behind(void *arg, struct rnet_http_request *req)
{
    static char piece[4000];

    (void)arg;
    OK(rnet_http_stream(req, 200, "text/plain"));
    for (; behind_rounds < BEHIND_ROUNDS; behind_rounds++) {
        int r = 0;
        while (r == 0)
            r = rnet_http_stream_push(req, rn_slice(piece, sizeof(piece)));
        EQ(r, 1);
        LT(rnet_conn_unsent(rnet_http_conn(req)), 100000u);
        while (rnet_http_stream_is_behind(req))
            OK(rnet_http_stream_wait(req, RN_FOREVER));
    }
}

static void no_pieces(void *arg, struct rnet_http_request *req)
{
    (void)arg;
    ERR(rnet_http_stream(req, 200, "text/plain"), EPERM);
    ERR(rnet_http_stream_write(req, RN_SLICE_LITERAL("x"), RN_FOREVER), EPIPE);
    OK(rnet_http_respond(req, 204, NULL, RN_SLICE_LITERAL("")));
}

/* What the request looked like, as text. */
static void describe(void *arg, struct rnet_http_request *req)
{
    struct rn_slice name, value, q = rnet_http_query(req, "q"),
                                 field = rnet_http_field(req, "x-FIELD");
    char text[512];
    size_t i = 0;
    int n;

    (void)arg;
    n = snprintf(text, sizeof(text), "%.*s %.*s q=%.*s field=%.*s peer=%d none=%d,%d",
                 (int)rnet_http_method(req).len, rnet_http_method(req).data,
                 (int)rnet_http_path(req).len, rnet_http_path(req).data, (int)q.len, q.data,
                 (int)field.len, field.data, strncmp(rnet_http_peer(req), "127.0.0.1:", 10) == 0,
                 rnet_http_query(req, "zzz").data == NULL,
                 rnet_http_query(req, "empty").data == NULL);
    while (rnet_http_query_at(req, i, &name, &value))
        i++;
    n += snprintf(text + n, sizeof(text) - (size_t)n, " n=%zu", i);
    OK(rnet_http_respond(req, 200, "text/plain", rn_slice(text, (size_t)n)));
}

static size_t large_size = 3u << 20;

static const struct rnet_http_route routes[] = {
    {.method = "GET", .pattern = "/hello/{name}", .handler = hello},
    {.method = "GET", .pattern = "/loop/{name}", .handler = hello, .flags = RNET_HTTP_ON_LOOP},
    {.method = "POST", .pattern = "/echo", .handler = echo},
    {.method = "PUT", .pattern = "/echo", .handler = echo},
    {.method = "PUT", .pattern = "/small", .handler = echo, .body_max = 4},
    {.method = "GET", .pattern = "/slow", .handler = slow, .stack = RN_STACK_16K},
    {.method = "GET", .pattern = "/silent", .handler = silent},
    {.method = "GET", .pattern = "/twice", .handler = twice},
    {.method = "GET", .pattern = "/injecting", .handler = injecting},
    {.method = "GET", .pattern = "/large", .handler = large, .arg = &large_size},
    {.method = "GET", .pattern = "/pieces", .handler = pieces, .flags = RNET_HTTP_STREAM},
    {.method = "GET", .pattern = "/half", .handler = half, .flags = RNET_HTTP_STREAM},
    {.method = "GET",
     .pattern = "/endless",
     .handler = endless,
     .flags = RNET_HTTP_STREAM | RNET_HTTP_ENDLESS},
    {.method = "GET", .pattern = "/behind", .handler = behind, .flags = RNET_HTTP_STREAM},
    {.method = "GET", .pattern = "/no-pieces", .handler = no_pieces},
    {.method = "GET", .pattern = "/describe/{a}/x", .handler = describe},
    {.method = "POST", .pattern = "/jobs/{id}:stop", .handler = hello},
    {.method = "GET", .pattern = "/jobs/{name}", .handler = hello},
    {.method = "GET", .pattern = "/jobs/first", .handler = echo},
};

/* ---- the bench ---- */

static void reconnect(struct bench *b)
{
    rnet_stream_closep(&b->client);
    b->buf[b->len = 0] = 0;
    OK(rnet_dial(rnet_http_address(b->server, 0), rn_after(5 * RN_S), &b->client));
}

static void bench_open(struct bench *b, struct rnet_http_options o)
{
    static const char *const addrs[] = {"127.0.0.1:0"};

    *b = (struct bench){0};
    o.name = "test";
    o.addrs = addrs;
    o.n_addrs = 1;
    o.routes = o.routes ? o.routes : routes;
    o.n_routes = o.n_routes ? o.n_routes : sizeof(routes) / sizeof(routes[0]);
    OK(rn_scope_open(RN_SCOPE_WAIT_ALL, &b->scope));
    o.scope = b->scope;
    OK(rnet_http_open(&o, &b->server));
    reconnect(b);
}

static void bench_close(struct bench *b)
{
    rnet_stream_closep(&b->client);
    rnet_http_closep(&b->server);
    OK(rn_scope_close(b->scope));
}

static struct bench *bench_new(struct rnet_http_options o)
{
    struct bench *b = malloc(sizeof(*b));

    bench_open(b, o);
    return b;
}

static void bench_free(struct bench **b)
{
    bench_close(*b);
    free(*b);
}

static void send_text(struct bench *b, const char *text)
{
    OK(rnet_stream_write(b->client, text, strlen(text), rn_after(10 * RN_S)));
}

/* One more piece into buf. 0 at the end. */
static ssize_t more(struct bench *b)
{
    ssize_t n = rnet_stream_read(b->client, b->buf + b->len, sizeof(b->buf) - 1 - b->len,
                                 rn_after(20 * RN_S));

    OK(n);
    b->len += (size_t)n;
    b->buf[b->len] = 0;
    return n;
}

static size_t length_of(const char *head)
{
    const char *at = strcasestr(head, "\r\nContent-Length: ");

    return at ? strtoul(at + 18, NULL, 10) : 0;
}

/* The next answer: its status; the body ends with NUL, for a moment. */
struct answer {
    unsigned status;
    char head[4096], body[4096];
};

static struct answer *take_answer(struct bench *b, bool head_only)
{
    static struct answer a;
    char *end;
    size_t head_len, body_len;

    while (!(end = strstr(b->buf, "\r\n\r\n")))
        if (more(b) == 0)
            FAIL("the connection ended before an answer: %s", b->buf);
    head_len = (size_t)(end - b->buf) + 4;
    snprintf(a.head, sizeof(a.head), "%.*s", (int)head_len, b->buf);
    body_len = head_only ? 0 : length_of(a.head);
    while (b->len < head_len + body_len)
        NE(more(b), 0);
    snprintf(a.body, sizeof(a.body), "%.*s", (int)body_len, b->buf + head_len);
    EQ(sscanf(a.head, "HTTP/1.1 %u ", &a.status), 1);
    b->len -= head_len + body_len;
    memmove(b->buf, b->buf + head_len + body_len, b->len + 1);
    return &a;
}

static struct answer *ask(struct bench *b, const char *text)
{
    send_text(b, text);
    return take_answer(b, strncmp(text, "HEAD ", 5) == 0);
}

static void expect_end(struct bench *b)
{
    while (more(b) > 0)
        b->len = 0;
    reconnect(b);
}

/* An error's shape: status, a problem as body, and the connection's fate. */
static void expect_problem(struct bench *b, const char *text, unsigned status, bool closes)
{
    const struct answer *a = ask(b, text);
    char want[32];

    test_note("%.60s", text);
    EQ(a->status, status);
    snprintf(want, sizeof(want), "\"status\":%u", status);
    TRUE(strstr(a->head, "\r\nContent-Type: application/problem+json\r\n"));
    if (strncmp(text, "HEAD ", 5) != 0)
        TRUE(strstr(a->body, want));
    EQ(strstr(a->head, "\r\nConnection: close\r\n") != NULL, closes);
    if (closes)
        expect_end(b);
}

#define BENCH(...)                                                                                 \
    CLEANUP(bench_free) struct bench *b = bench_new((struct rnet_http_options){__VA_ARGS__})
#define HOST "Host: test\r\n"

/* ---- one request ---- */

TASK_TEST(a_request_is_answered_by_its_handler)
{
    BENCH(.head_ns = 0);
    const struct answer *a = ask(b, "GET /hello/you HTTP/1.1\r\n" HOST "\r\n");

    EQ(a->status, 200);
    STREQ(a->body, "you");
    TRUE(strstr(a->head, "\r\nX-Test: yes\r\n"));
    TRUE(strstr(a->head, "\r\nContent-Type: text/plain\r\n"));
    TRUE(strstr(a->head, "\r\nDate: "));
    TRUE(strstr(a->head, " GMT\r\n"));
    FALSE(strstr(a->head, "Connection:"));
}

TASK_TEST(a_handler_may_run_on_the_loop)
{
    BENCH(.head_ns = 0);

    STREQ(ask(b, "GET /loop/you HTTP/1.1\r\n" HOST "\r\n")->body, "you");
    STREQ(ask(b, "GET /loop/again HTTP/1.1\r\n" HOST "\r\n")->body, "again");
}

TASK_TEST(what_a_handler_can_ask_is_what_was_sent)
{
    BENCH(.head_ns = 0);

    STREQ(ask(b, "GET /describe/%61/x?q=a%20b+c&empty=&&q=2&flag HTTP/1.1\r\n" HOST
                 "X-Field:  v \r\n\r\n")
              ->body,
          "GET /describe/%61/x q=a b c field=v peer=1 none=1,0 n=4");
}

TASK_TEST(a_path_parameter_is_decoded_with_slashes_and_all)
{
    BENCH(.head_ns = 0);
    const struct answer *a = ask(b, "GET /hello/a%2Fb%20c HTTP/1.1\r\n" HOST "\r\n");

    STREQ(a->body, "a/b c");
    STREQ(ask(b, "GET /hello/%2e%2e HTTP/1.1\r\n" HOST "\r\n")->body, "..");
    EQ(length_of(ask(b, "GET /hello/a%00b HTTP/1.1\r\n" HOST "\r\n")->head), 3);
}

TASK_TEST(verbs_and_literals_go_before_parameters)
{
    BENCH(.head_ns = 0);

    EQ(ask(b, "POST /jobs/7:stop HTTP/1.1\r\n" HOST "\r\n")->status, 200);
    STREQ(ask(b, "GET /jobs/7:stop HTTP/1.1\r\n" HOST "\r\n")->body, "7:stop");
    STREQ(ask(b, "GET /jobs/first HTTP/1.1\r\n" HOST "\r\n")->body, "");
    STREQ(ask(b, "GET /jobs/second HTTP/1.1\r\n" HOST "\r\n")->body, "second");
    EQ(ask(b, "POST /jobs/7%3Astop HTTP/1.1\r\n" HOST "\r\n")->status, 405);
}

TASK_TEST(HEAD_is_GET_without_the_body)
{
    BENCH(.head_ns = 0);
    const struct answer *a = ask(b, "HEAD /hello/you HTTP/1.1\r\n" HOST "\r\n");

    EQ(a->status, 200);
    EQ(length_of(a->head), 3);
    EQ(b->len, 0);
    STREQ(ask(b, "GET /hello/me HTTP/1.1\r\n" HOST "\r\n")->body, "me");
    expect_problem(b, "HEAD /nowhere HTTP/1.1\r\n" HOST "\r\n", 404, false);
}

TASK_TEST(a_silent_handler_is_a_500_and_counted)
{
    BENCH(.head_ns = 0);
    struct rnet_http_stats before, after;

    rnet_http_stats(&before);
    expect_problem(b, "GET /silent HTTP/1.1\r\n" HOST "\r\n", 500, false);
    rnet_http_stats(&after);
    EQ(after.handlers_silent, before.handlers_silent + 1);
}

TASK_TEST(an_answer_is_given_once)
{
    BENCH(.head_ns = 0);

    STREQ(ask(b, "GET /twice HTTP/1.1\r\n" HOST "\r\n")->body, "first");
    STREQ(ask(b, "GET /hello/next HTTP/1.1\r\n" HOST "\r\n")->body, "next");
}

TASK_TEST(line_ends_in_fields_are_refused)
{
    BENCH(.head_ns = 0);
    const struct answer *a = ask(b, "GET /injecting HTTP/1.1\r\n" HOST "\r\n");

    EQ(a->status, 204);
    FALSE(strstr(a->head, "X-C"));
    FALSE(strstr(a->head, "Content-Length"));
}

TASK_TEST(a_large_answer_arrives_whole)
{
    BENCH(.head_ns = 0);
    size_t n = 0, head;

    send_text(b, "GET /large HTTP/1.1\r\n" HOST "\r\nGET /hello/after HTTP/1.1\r\n" HOST "\r\n");
    while (!strstr(b->buf, "\r\n\r\n"))
        NE(more(b), 0);
    EQ(length_of(b->buf), large_size);
    head = (size_t)(strstr(b->buf, "\r\n\r\n") - b->buf) + 4;
    for (n = b->len - head, b->len = 0; n < large_size; n += b->len, b->len = 0)
        NE(more(b), 0);
    while (!strstr(b->buf, "after"))
        NE(more(b), 0);
}

/* ---- piece by piece ---- */

/* Take one chunk off the front; its length. */
static size_t take_chunk(struct bench *b, char *ret_body)
{
    size_t n, head;
    char *end;

    while (!(end = strstr(b->buf, "\r\n")))
        NE(more(b), 0);
    n = strtoul(b->buf, NULL, 16);
    head = (size_t)(end - b->buf) + 2;
    while (b->len < head + n + 2)
        NE(more(b), 0);
    memcpy(ret_body, b->buf + head, n);
    MEMEQ(b->buf + head + n, "\r\n", 2);
    b->len -= head + n + 2;
    memmove(b->buf, b->buf + head + n + 2, b->len);
    b->buf[b->len] = 0;
    return n;
}

static void take_head(struct bench *b)
{
    char *end;

    while (!(end = strstr(b->buf, "\r\n\r\n")))
        NE(more(b), 0);
    b->len -= (size_t)(end - b->buf) + 4;
    memmove(b->buf, end + 4, b->len + 1);
}

TASK_TEST(an_answer_may_be_given_piece_by_piece)
{
    BENCH(.head_ns = 0);
    char piece[65536];

    send_text(b, "GET /pieces?n=2000 HTTP/1.1\r\n" HOST "\r\nGET /hello/after HTTP/1.1\r\n" HOST
                 "\r\n");
    while (!strstr(b->buf, "\r\n\r\n"))
        NE(more(b), 0);
    TRUE(strstr(b->buf, "\r\nTransfer-Encoding: chunked\r\n"));
    TRUE(strstr(b->buf, "\r\nX-Test: yes\r\n"));
    FALSE(strstr(b->buf, "Content-Length"));
    take_head(b);
    for (long i = 0; i < 2000; i++) {
        EQ(take_chunk(b, piece), 1000u);
        MEMEQ(piece, &i, sizeof(i));
    }
    EQ(take_chunk(b, piece), 0u);
    STREQ(take_answer(b, false)->body, "after"); /* the connection goes on */
}

TASK_TEST(a_slow_reader_holds_up_the_handler_and_nobody_else)
{
    BENCH(.head_ns = 0);
    CLEANUP(rnet_stream_closep) struct rnet_stream *slow_one = NULL;
    char byte;
    long before;

    send_text(b, "GET /pieces?n=100000 HTTP/1.1\r\n" HOST "\r\n");
    slow_one = TAKE(b->client);
    do { /* until the sockets are full */
        before = pieces_written;
        OK(rn_sleep(rn_after(20 * RN_MS)));
    } while (pieces_written > before || before == 0);
    LT(pieces_written, 100000);
    reconnect(b);
    STREQ(ask(b, "GET /hello/x HTTP/1.1\r\n" HOST "\r\n")->body, "x");
    for (int i = 0; i < 100; i++) /* whoever goes away cancels it */
        EQ(rnet_stream_read(slow_one, &byte, 1, rn_after(RN_S)), 1);
    rnet_stream_closep(&slow_one);
    TASK_UNTIL(pieces_result < 0);
}

TASK_TEST(an_answer_that_could_not_be_given_whole_is_cut)
{
    BENCH(.head_ns = 0);

    pieces_result = 0;
    send_text(b, "GET /pieces?n=100000&ms=20 HTTP/1.1\r\n" HOST "\r\n");
    TASK_UNTIL(pieces_result == -ETIMEDOUT);
    for (ssize_t n = 1; n > 0; b->len = 0) {
        n = rnet_stream_read(b->client, b->buf, sizeof(b->buf) - 1, rn_after(20 * RN_S));
        b->buf[n > 0 ? n : 0] = 0;
        FALSE(n > 5 && strcmp(b->buf + n - 5, "0\r\n\r\n") == 0);
    }
    reconnect(b);
}

TASK_TEST(an_answer_whose_rest_cannot_be_made_is_cut)
{
    BENCH(.head_ns = 0);

    send_text(b, "GET /half HTTP/1.1\r\n" HOST "\r\n");
    while (more(b) > 0)
        ;
    FALSE(strstr(b->buf, "0\r\n\r\n"));
    FALSE(strstr(b->buf, "more"));
    reconnect(b);
    STREQ(ask(b, "GET /hello/x HTTP/1.1\r\n" HOST "\r\n")->body, "x");
}

TASK_TEST(an_endless_answer_goes_on_when_it_is_woken_and_its_connection_after_it)
{
    BENCH(.head_ns = 0);
    char piece[65536];

    send_text(b, "GET /endless HTTP/1.1\r\n" HOST "\r\n");
    take_head(b);
    EQ(take_chunk(b, piece), 5u);
    for (int i = 2; i < 5; i++) {
        OK(rnet_http_wake(endless_conn));
        EQ(take_chunk(b, piece), 5u);
        EQ(endless_rounds, i);
    }
    send_text(b, "GET /hello/after HTTP/1.1\r\n" HOST "\r\n");
    endless_may_end = true;
    OK(rnet_http_wake(endless_conn));
    EQ(take_chunk(b, piece), 0u);
    STREQ(take_answer(b, false)->body, "after");
    EQ(endless_result, 0);
    OK(rnet_http_wake(endless_conn)); /* nobody is there: nothing happens */
    STREQ(ask(b, "GET /hello/y HTTP/1.1\r\n" HOST "\r\n")->body, "y");
}

TASK_TEST(a_client_that_ends_its_side_of_an_endless_answer_has_left)
{
    BENCH(.head_ns = 0);

    send_text(b, "GET /endless HTTP/1.1\r\n" HOST "\r\n");
    take_head(b);
    OK(rnet_stream_end(b->client));
    TASK_UNTIL(endless_result < 0);
    EQ(endless_result, -ECANCELED);
    OK(rnet_http_wake(endless_conn));
    reconnect(b);
    STREQ(ask(b, "GET /hello/x HTTP/1.1\r\n" HOST "\r\n")->body, "x");
}

TASK_TEST(a_client_that_sends_on_and_on_behind_an_endless_request_is_closed)
{
    BENCH(.head_ns = 0);
    static char junk[200000];

    send_text(b, "GET /endless HTTP/1.1\r\n" HOST "\r\n");
    take_head(b);
    (void)rnet_stream_write(b->client, junk, sizeof(junk), rn_after(10 * RN_S));
    TASK_UNTIL(endless_result == -ECANCELED);
}

TASK_TEST(a_handler_that_pushes_learns_that_its_client_is_behind_and_when_it_has_caught_up)
{
    BENCH(.head_ns = 0);
    int before;

    send_text(b, "GET /behind HTTP/1.0\r\n\r\n");
    do { /* until the sockets are full */
        before = behind_rounds;
        OK(rn_sleep(rn_after(20 * RN_MS)));
    } while (behind_rounds > before || before == 0);
    LT(behind_rounds, BEHIND_ROUNDS);
    while (more(b) > 0)
        b->len = 0;
    EQ(behind_rounds, BEHIND_ROUNDS);
}

TASK_TEST(pieces_for_HTTP_1_0_end_with_the_connection_and_HEAD_has_none)
{
    BENCH(.head_ns = 0);

    send_text(b, "GET /pieces?n=3 HTTP/1.0\r\n\r\n");
    while (more(b) > 0)
        ;
    FALSE(strstr(b->buf, "chunked"));
    TRUE(strstr(b->buf, "\r\nConnection: close\r\n"));
    take_head(b);
    EQ(b->len, 3000u);
    reconnect(b);
    TRUE(strstr(ask(b, "HEAD /pieces?n=3 HTTP/1.1\r\n" HOST "\r\n")->head, "chunked"));
    EQ(ask(b, "GET /no-pieces HTTP/1.1\r\n" HOST "\r\n")->status, 204u);
}

/* ---- connections ---- */

TASK_TEST(a_connection_serves_many_requests)
{
    BENCH(.head_ns = 0);

    for (int i = 0; i < 100; i++)
        STREQ(ask(b, "GET /hello/x HTTP/1.1\r\n" HOST "\r\n")->body, "x");
}

static uint64_t calls_but_epoll_wait(void)
{
    static struct rn_sys_count counts[RN_SYS_MAX];
    uint64_t n = 0;

    rn_sys_counts(counts);
    for (int i = 0; i < RN_SYS_MAX; i++)
        n += i == RN_SYS_epoll_wait ? 0 : counts[i].calls;
    return n;
}

TASK_TEST(a_request_on_an_open_connection_costs_one_recv_and_one_send)
{
    BENCH(.head_ns = 0);
    uint64_t before;

    (void)ask(b, "GET /hello/x HTTP/1.1\r\n" HOST "\r\n");
    before = calls_but_epoll_wait();
    for (int i = 0; i < 50; i++)
        EQ(ask(b, "GET /hello/x HTTP/1.1\r\n" HOST "\r\n")->status, 200);
    LE(calls_but_epoll_wait() - before, 50 * 4); /* the client's two are counted too */
}

TASK_TEST(close_is_kept_and_HTTP_1_0_closes_by_itself)
{
    BENCH(.head_ns = 0);

    TRUE(strstr(ask(b, "GET /hello/x HTTP/1.1\r\n" HOST "Connection: close\r\n\r\n")->head,
                "Connection: close"));
    expect_end(b);
    TRUE(strstr(ask(b, "GET /hello/x HTTP/1.0\r\n\r\n")->head, "Connection: close"));
    expect_end(b);
    TRUE(strstr(ask(b, "GET /hello/x HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")->head,
                "Connection: keep-alive"));
    STREQ(ask(b, "GET /hello/y HTTP/1.0\r\n\r\n")->body, "y");
    expect_end(b);
}

TASK_TEST(pipelined_requests_are_answered_in_order)
{
    BENCH(.head_ns = 0);
    char text[32];

    handler_runs = 0;
    send_text(b, "GET /slow?ms=50 HTTP/1.1\r\n" HOST "\r\n");
    for (int i = 0; i < 50; i++) {
        send_text(b, "GET /hello/");
        snprintf(text, sizeof(text), "%d HTTP/1.1\r\n", i);
        send_text(b, text);
        send_text(b, HOST "\r\n");
    }
    STREQ(take_answer(b, false)->body, "slept");
    for (int i = 0; i < 50; i++) {
        snprintf(text, sizeof(text), "%d", i);
        STREQ(take_answer(b, false)->body, text);
    }
}

TASK_TEST(requests_behind_a_half_close_are_still_answered)
{
    BENCH(.head_ns = 0);

    send_text(b, "GET /hello/1 HTTP/1.1\r\n" HOST "\r\nGET /slow?ms=1 HTTP/1.1\r\n" HOST
                 "\r\nGET /hello/2 HTTP/1.1\r\n" HOST "\r\n");
    OK(rnet_stream_end(b->client));
    STREQ(take_answer(b, false)->body, "1");
    STREQ(take_answer(b, false)->body, "slept");
    STREQ(take_answer(b, false)->body, "2");
    expect_end(b);
}

TASK_TEST(a_head_in_single_bytes_is_understood)
{
    BENCH(.head_ns = 0);
    const char *text = "POST /echo HTTP/1.1\r\n" HOST "Content-Length: 5\r\n\r\nhello";

    for (const char *c = text; *c; c++) {
        OK(rnet_stream_write(b->client, c, 1, rn_after(RN_S)));
        OK(rn_yield());
    }
    STREQ(take_answer(b, false)->body, "hello");
}

/* ---- bodies ---- */

TASK_TEST(bodies_come_by_length_or_in_chunks)
{
    BENCH(.head_ns = 0);

    STREQ(ask(b, "POST /echo HTTP/1.1\r\n" HOST "Content-Length: 5\r\n\r\nhello")->body, "hello");
    STREQ(ask(b, "POST /echo HTTP/1.1\r\n" HOST "Content-Length: 0\r\n\r\n")->body, "");
    STREQ(ask(b, "POST /echo HTTP/1.1\r\n" HOST
                 "Transfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3;x\r\nllo\r\n0\r\nT: 1\r\n\r\n")
              ->body,
          "hello");
    STREQ(ask(b, "GET /hello/x HTTP/1.1\r\n" HOST "\r\n")->body, "x");
    expect_problem(b, "POST /echo HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n2\nhe", 400,
                   true);
}

TASK_TEST(a_body_over_the_limit_is_413)
{
    BENCH(.body_max = 10);

    expect_problem(b, "POST /echo HTTP/1.1\r\n" HOST "Content-Length: 11\r\n\r\nhello world", 413,
                   true);
    expect_problem(b,
                   "POST /echo HTTP/1.1\r\n" HOST
                   "Transfer-Encoding: chunked\r\n\r\nb\r\nhello world\r\n0\r\n\r\n",
                   413, true);
    expect_problem(b, "PUT /small HTTP/1.1\r\n" HOST "Content-Length: 5\r\n\r\nhello", 413, true);
    STREQ(ask(b, "POST /echo HTTP/1.1\r\n" HOST "Content-Length: 10\r\n\r\nhelloworld")->body,
          "helloworld");
}

TASK_TEST(a_client_that_expects_is_told_to_go_on_or_not)
{
    BENCH(.body_max = 10);

    send_text(b, "PUT /echo HTTP/1.1\r\n" HOST "Content-Length: 2\r\nExpect: 100-continue\r\n\r\n");
    while (b->len < 25)
        NE(more(b), 0);
    STREQ(b->buf, "HTTP/1.1 100 Continue\r\n\r\n");
    b->buf[b->len = 0] = 0;
    STREQ(ask(b, "ok")->body, "ok");

    expect_problem(
        b, "PUT /echo HTTP/1.1\r\n" HOST "Content-Length: 67108864\r\nExpect: 100-continue\r\n\r\n",
        413, true);
    expect_problem(
        b, "PUT /nowhere HTTP/1.1\r\n" HOST "Content-Length: 2\r\nExpect: 100-continue\r\n\r\n",
        404, true);
    expect_problem(b, "PUT /echo HTTP/1.1\r\n" HOST "Content-Length: 2\r\nExpect: cake\r\n\r\n",
                   417, true);
}

/* ---- refusals ---- */

TASK_TEST(unknown_paths_and_methods_are_refused_and_the_connection_stays)
{
    BENCH(.head_ns = 0);

    expect_problem(b, "GET /nowhere HTTP/1.1\r\n" HOST "\r\n", 404, false);
    expect_problem(b, "GET /hello/a/b HTTP/1.1\r\n" HOST "\r\n", 404, false);
    expect_problem(b, "GET /hello/ HTTP/1.1\r\n" HOST "\r\n", 404, false);
    expect_problem(b, "OPTIONS * HTTP/1.1\r\n" HOST "\r\n", 404, false);
    expect_problem(b, "GET /hello/%zz HTTP/1.1\r\n" HOST "\r\n", 400, false);
    expect_problem(b, "DELETE /echo HTTP/1.1\r\n" HOST "\r\n", 405, false);
    TRUE(strstr(ask(b, "DELETE /echo HTTP/1.1\r\n" HOST "\r\n")->head, "\r\nAllow: POST, PUT\r\n"));
    TRUE(strstr(ask(b, "DELETE /hello/x HTTP/1.1\r\n" HOST "\r\n")->head,
                "\r\nAllow: GET, HEAD\r\n"));
}

TASK_TEST(bad_heads_are_refused_and_the_connection_ends)
{
    BENCH(.head_ns = 0);
    CLEANUP(freep) char *text = malloc(40000);

    expect_problem(b, "GET / HTTP/1.1\r\n\r\n", 400, true);
    expect_problem(b, "GET / HTTP/9.9\r\n" HOST "\r\n", 505, true);
    expect_problem(b, "BREW / HTTP/1.1\r\n" HOST "\r\n", 501, true);
    expect_problem(
        b, "POST /echo HTTP/1.1\r\n" HOST "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        400, true);
    expect_problem(b, "\x16\x03\x01", 400, true);
    sprintf(text, "GET /%030000d HTTP/1.1\r\n" HOST "\r\n", 1);
    expect_problem(b, text, 414, true);
    sprintf(text, "GET / HTTP/1.1\r\n" HOST "X: %030000d\r\n\r\n", 1);
    expect_problem(b, text, 431, true);
}

static int only_friends(void *arg, struct rnet_http_request *req)
{
    struct rn_slice token = rnet_http_field(req, "authorization");

    (void)arg;
    EQ(rnet_http_body(req).len, 0);
    return rn_slice_eq_str(token, "Bearer friend") ? 0
                                                   : rnet_http_problem(req, 401, NULL, NULL) == 0;
}

TASK_TEST(whoever_is_not_let_in_learns_nothing_else)
{
    BENCH(.before = only_friends);

    expect_problem(b, "GET /hello/x HTTP/1.1\r\n" HOST "\r\n", 401, false);
    expect_problem(b, "GET /nowhere HTTP/1.1\r\n" HOST "\r\n", 401, false);
    expect_problem(b, "PUT /echo HTTP/1.1\r\n" HOST "Content-Length: 5\r\n\r\nhello", 401, true);
    STREQ(ask(b, "GET /hello/x HTTP/1.1\r\n" HOST "Authorization: Bearer friend\r\n\r\n")->body,
          "x");
}

static void elsewhere(void *arg, struct rnet_http_request *req)
{
    (void)arg;
    OK(rnet_http_respond(req, 200, NULL, rnet_http_path(req)));
}

TASK_TEST(a_fallback_takes_the_paths_that_no_route_knows)
{
    static const struct rnet_http_route fallback = {.handler = elsewhere,
                                                    .flags = RNET_HTTP_ON_LOOP};
    BENCH(.fallback = &fallback);

    STREQ(ask(b, "GET /assets/app.js HTTP/1.1\r\n" HOST "\r\n")->body, "/assets/app.js");
    STREQ(ask(b, "GET /hello/x HTTP/1.1\r\n" HOST "\r\n")->body, "x");
    EQ(ask(b, "DELETE /hello/x HTTP/1.1\r\n" HOST "\r\n")->status, 405);
}

TASK_TEST(patterns_that_nobody_could_serve_are_refused_at_the_start)
{
    static const char *const addrs[] = {"127.0.0.1:0"}, *const bad_addrs[] = {"nonsense"};
    static const struct rnet_http_route same[] = {
        {.method = "GET", .pattern = "/a/{x}", .handler = hello},
        {.method = "GET", .pattern = "/a/{y}", .handler = hello}};
    static const struct rnet_http_route bad[] = {
        {.method = "GET", .pattern = "/a/{x}b", .handler = hello}};
    struct rnet_http_options o = {
        .name = "x", .addrs = addrs, .n_addrs = 1, .routes = same, .n_routes = 2};
    struct rnet_http *server = NULL;

    ERR(rnet_http_open(&o, &server), EEXIST);
    o.routes = bad;
    o.n_routes = 1;
    ERR(rnet_http_open(&o, &server), EINVAL);
    o.routes = routes;
    o.addrs = bad_addrs;
    ERR(rnet_http_open(&o, &server), EINVAL);
}

/* ---- time ---- */

TASK_TEST(a_head_that_takes_too_long_is_408)
{
    BENCH(.head_ns = 50 * RN_MS);

    expect_problem(b, "GET /hello/x HTTP/1.1\r\nHo", 408, true);
}

TASK_TEST(a_body_that_takes_too_long_is_408)
{
    BENCH(.body_ns = 50 * RN_MS);

    expect_problem(b, "POST /echo HTTP/1.1\r\n" HOST "Content-Length: 5\r\n\r\nhel", 408, true);
}

TASK_TEST(an_idle_connection_is_closed_without_a_word)
{
    BENCH(.idle_ns = 50 * RN_MS);

    EQ(ask(b, "GET /hello/x HTTP/1.1\r\n" HOST "\r\n")->status, 200);
    EQ(more(b), 0);
}

TASK_TEST(a_client_that_does_not_read_is_cut)
{
    size_t n = 64u << 20;
    const struct rnet_http_route huge[] = {
        {.method = "GET", .pattern = "/", .handler = large, .arg = &n}};
    BENCH(.routes = huge, .n_routes = 1, .write_ns = 50 * RN_MS);
    uint64_t before = rnet_reason_count(RNET_REASON_WRITE_TIMEOUT);

    send_text(b, "GET / HTTP/1.1\r\n" HOST "\r\n");
    TASK_UNTIL(rnet_reason_count(RNET_REASON_WRITE_TIMEOUT) == before + 1);
}

/* ---- ends ---- */

static void reset(struct bench *b)
{
    struct linger now = {.l_onoff = 1, .l_linger = 0};
    struct rnet_addr mine;
    int found = -1;

    /* the stream keeps its number to itself: find it by its address */
    OK(rnet_stream_local(b->client, &mine));
    for (int fd = 3; fd < 256 && found < 0; fd++) {
        struct rnet_addr a = {.len = sizeof(a.sa)};

        if (rn_sys_getsockname(fd, &a.sa.any, &a.len) == 0 && a.len == mine.len &&
            rnet_addr_port(&a) == rnet_addr_port(&mine))
            found = fd;
    }
    OK(found);
    OK(rn_sys_setsockopt(found, SOL_SOCKET, SO_LINGER, &now, sizeof(now)));
    rnet_stream_closep(&b->client);
}

TASK_TEST(a_reset_cancels_the_handler_and_its_answer_is_dropped)
{
    BENCH(.head_ns = 0);
    struct rnet_http_stats before, after;

    handler_runs = 0;
    rnet_http_stats(&before);
    send_text(b, "GET /slow HTTP/1.1\r\n" HOST "\r\n");
    TASK_UNTIL(handler_runs == 1);
    reset(b);
    TASK_UNTIL((rnet_http_stats(&after), after.responses_dropped) == before.responses_dropped + 1);
    EQ(handler_result, -ECANCELED);
    EQ(after.handlers_cancelled, before.handlers_cancelled + 1);
    reconnect(b);
    STREQ(ask(b, "GET /hello/x HTTP/1.1\r\n" HOST "\r\n")->body, "x");
}

TASK_TEST(a_client_that_leaves_in_the_middle_leaves_nothing_behind)
{
    BENCH(.head_ns = 0);

    send_text(b, "GET /hel");
    reconnect(b);
    send_text(b, "POST /echo HTTP/1.1\r\n" HOST "Content-Length: 5\r\n\r\nhel");
    reconnect(b);
    send_text(b, "POST /echo HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n5\r\nhel");
    reconnect(b);
    STREQ(ask(b, "GET /hello/x HTTP/1.1\r\n" HOST "\r\n")->body, "x");
}

static int stop_server(void *arg)
{
    struct bench *b = arg;

    send_text(b, "GET /slow?ms=1 HTTP/1.1\r\n" HOST "\r\nGET /hello/x HTTP/1.1\r\n" HOST "\r\n");
    return 0;
}

TASK_TEST(a_stop_answers_what_runs_and_closes_what_is_idle)
{
    BENCH(.head_ns = 0);
    CLEANUP(rnet_stream_closep) struct rnet_stream *idle = NULL;
    char c;

    OK(rnet_dial(rnet_http_address(b->server, 0), rn_after(5 * RN_S), &idle));
    handler_runs = 0;
    stop_server(b);
    TASK_UNTIL(handler_runs == 1);
    OK(rnet_http_stop(b->server, rn_after(10 * RN_S)));
    STREQ(take_answer(b, false)->body, "slept");
    EQ(more(b), 0);
    EQ(rnet_stream_read(idle, &c, 1, rn_after(5 * RN_S)), 0);
    LT(rnet_dial(rnet_http_address(b->server, 0), rn_after(5 * RN_S), &idle), 0);
}

TASK_TEST(a_stop_that_cannot_wait_cancels_the_handlers)
{
    BENCH(.head_ns = 0);

    handler_runs = 0;
    send_text(b, "GET /slow HTTP/1.1\r\n" HOST "\r\n");
    TASK_UNTIL(handler_runs == 1);
    ERR(rnet_http_stop(b->server, rn_after(20 * RN_MS)), ETIMEDOUT);
    TASK_UNTIL(handler_result == -ECANCELED);
}

TASK_TEST(many_connections_at_once_are_all_served)
{
    BENCH(.head_ns = 0);
    static const char request[] = "GET /slow?ms=1 HTTP/1.1\r\n" HOST "\r\n";
    size_t n = test_tasks(200);
    struct rnet_stream **s = calloc(n, sizeof(*s));
    char buf[1024];

    for (size_t i = 0; i < n; i++)
        OK(rnet_dial(rnet_http_address(b->server, 0), rn_after(5 * RN_S), &s[i]));
    for (size_t i = 0; i < n; i++)
        OK(rnet_stream_write(s[i], request, strlen(request), rn_after(5 * RN_S)));
    for (size_t i = 0; i < n; i++) {
        ssize_t got = rnet_stream_read(s[i], buf, sizeof(buf), rn_after(10 * RN_S));

        OK(got);
        TRUE(memmem(buf, (size_t)got, "slept", 5));
        rnet_stream_closep(&s[i]);
    }
    free(s);
}
