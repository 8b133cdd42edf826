/* A connection that speaks HTTP/1.1, on its loop.
 *
 *     idle --first byte--> head --complete--> (body) --complete--> running --answer--> idle
 *       \                   \                  \                     \------close-----> ending
 *        \-- idle_ns: closed \-- head_ns: 408   \-- body_ns: 408
 *
 * The connection's `data` is the server while there is no request, and the request's record while
 * there is one. Reading is paused while a handler runs, so the kernel's buffer is what a client
 * pipelines into; not so while an endless answer runs, whose client's end must be seen. What is
 * refused before its body has been read ends the connection: whether a body still comes cannot be
 * known.
 *
 * A handler's task never touches the connection: its record goes home to the loop, at the end of
 * the turn on the loop's own worker, through the inbox from another one.
 *
 * The timer serves one purpose at a time. After an answer it looks every write_ns whether the
 * output moves, and once it is gone waits for the rest of idle_ns.
 */
#include "http_conn.h"

#include <errno.h>

#include <runnel/loop.h>

#include "internal.h"

#define REQUEST_OF(node, member)                                                                   \
    ((struct rnet_http_request *)(void *)((char *)(node)-offsetof(struct rnet_http_request,        \
                                                                  member)))

/* In the slot, while there is no request. */
struct between {
    struct rnet__http_scan scan;
    uint8_t watched; /* the output of the last answer is looked after */
    uint64_t unsent; /* when last looked at */
};
_Static_assert(sizeof(struct between) <= sizeof(struct rnet_conn_scratch), "lies in the slot");

static struct between *between_of(struct rnet_conn conn)
{
    return (struct between *)(void *)rnet_conn_scratch(conn);
}

static struct rnet_http_request *request_of(void *data)
{
    struct rnet_http_request *req = data;

    return req->magic == RNET__REQUEST_MAGIC ? req : NULL;
}

static struct rnet_http *server_of(void *data)
{
    struct rnet_http_request *req = request_of(data);
    struct rnet_http *server = req ? req->server : data;

    RN_CHECK(server, RNET__HTTP_MAGIC);
    return server;
}

static bool is_endless(const struct rnet_http_request *req)
{
    return req->route && req->route->flags & RNET_HTTP_ENDLESS;
}

/* ---- the end of a request ---- */

static void wait_for_next(struct rnet_conn conn, struct rnet_http *server)
{
    struct between *b = between_of(conn);
    const struct rnet_http_options *o = &server->options;
    rn_time first = o->write_ns < o->idle_ns ? o->write_ns : o->idle_ns;

    *b = (struct between){.watched = 1, .unsent = rnet_conn_unsent(conn)};
    rnet_conn_timer(conn, rn_loop_now() + first);
}

/* Write the answer; the connection goes on, or ends. `ends`: it must not go on. */
static void finish(struct rnet_http_request *req, bool ends, enum rnet_reason reason)
{
    struct rnet_http *server = req->server;
    struct rnet_conn conn = req->conn;
    bool keep = req->keep_alive && !ends && !atomic_load(&server->stopping);
    int r;

    if (req->streaming) {
        keep = keep && rnet__stream_keeps(req);
        r = rnet__stream_end(req);
        if (r < 0)
            (void)rnet_conn_close(conn, RNET_REASON_LOCAL);
    } else {
        r = rnet__response_write(req, keep);
    }
    if (is_endless(req)) /* so that the resume below delivers what came meanwhile */
        rnet_conn_pause(conn);
    rnet_conn_data_set(conn, server);
    rnet__request_free(req);
    if (r < 0) /* it is being closed */
        return;
    if (!keep) {
        rnet_conn_end(conn, reason);
        return;
    }
    wait_for_next(conn, server);
    if (r == 1)
        rnet_conn_pause(conn); /* until on_drain */
    else
        rnet_conn_resume(conn);
}

/* Refuse with a body that may still be on its way. */
static void refuse(struct rnet_http_request *req, unsigned status, const char *detail)
{
    (void)rnet_http_problem(req, status, detail, NULL);
    finish(req, req->length > 0, RNET_REASON_LOCAL);
}

/* Refuse where there is no record. */
static void refuse_head(struct rnet_http *server, struct rnet_conn conn, int status,
                        enum rnet_reason reason)
{
    rnet__response_refuse(server, conn, (unsigned)status);
    rnet_conn_end(conn, reason);
}

/* ---- the handler ---- */

static void complete(struct rnet_http_request *req)
{
    if (req->gone) {
        rnet__http_count(RNET__HTTP_DROPPED);
        rnet_count(RNET_COUNTER_RESPONSES_LATE);
        rnet__request_free(req);
        return;
    }
    finish(req, false, RNET_REASON_LOCAL);
}

static void complete_post(struct rn_post *post)
{
    complete(REQUEST_OF(post, post));
}

static void complete_defer(struct rn_defer *defer)
{
    complete(REQUEST_OF(defer, defer));
}

static int run_handler(void *arg)
{
    struct rnet_http_request *req = arg;
    const struct rnet__loop *here;

    req->route->handler(req->route->arg, req);
    here = rnet__loop_self();
    if (here && here->id == req->conn.slot >> 24) {
        req->defer.fn = complete_defer; /* at the end of this very turn, with the sends */
        rn_loop_defer(&req->defer);
        return 0;
    }
    req->post.fn = complete_post;
    /* -ESHUTDOWN: the loop has ended, and the memory ends with everything else */
    return rnet__loop_post(req->conn.slot >> 24, &req->post);
}

static void start(struct rnet_http_request *req)
{
    const struct rn_task_options options = {
        .name = req->route->pattern,
        .stack = req->route->stack,
        .pinned = req->route->flags & RNET_HTTP_STREAM,
        .ret_task = &req->task};

    req->state = RNET__REQUEST_RUNNING;
    rnet_conn_timer(req->conn, RN_FOREVER);
    if (req->route->flags & RNET_HTTP_ON_LOOP) {
        req->route->handler(req->route->arg, req);
        finish(req, false, RNET_REASON_LOCAL);
        return;
    }
    if (!is_endless(req))
        rnet_conn_pause(req->conn);
    if (rn_go_with(&options, req->server->handlers, run_handler, req, NULL, 0) < 0) {
        (void)rnet_http_problem(req, 503, "no task for this request", NULL);
        finish(req, true, RNET_REASON_MEMORY);
    }
}

/* ---- the body ---- */

static rn_time body_deadline(const struct rnet_http_request *req)
{
    uint64_t most = req->length < req->body_max ? req->length : req->body_max;

    return rn_loop_now() + req->server->options.body_ns + (rn_time)(most / 65536) * RN_S;
}

/* Take what belongs to the body. Returns how much that was; *ret_done when it is complete. < 0: the
 * status. */
static ssize_t take_body(struct rnet_http_request *req, struct rn_slice in, bool *ret_done)
{
    struct rn_slice left = in, data;
    int r = 0;

    if (!req->chunked) {
        uint64_t missing = req->length - req->body_len;
        data = rn_slice(in.data, in.len < missing ? in.len : (size_t)missing);
        r = rnet__request_append(req, data);
        *ret_done = req->body_len == req->length;
        return r < 0 ? r : (ssize_t)data.len;
    }
    while (r == 0 && left.len) {
        r = rnet__chunk_next(&req->chunk, &left, &data);
        int a = r < 0 ? 0 : rnet__request_append(req, data);
        if (a < 0)
            r = a;
    }
    *ret_done = r == 1;
    return r < 0 ? r : (ssize_t)(in.len - left.len);
}

static ssize_t read_body(struct rnet_http_request *req, struct rn_slice in)
{
    bool done = false;
    ssize_t n = take_body(req, in, &done);

    if (n < 0) {
        refuse(req, (unsigned)-n, n == -413   ? "the body is larger than this resource takes"
                                : n == -503 ? "no memory for this body"
                                            : "the body is not chunked as it says");
        return 0;
    }
    if (done)
        start(req);
    return n;
}

static void begin_body(struct rnet_http_request *req)
{
    if (req->length == 0) {
        start(req);
        return;
    }
    req->state = RNET__REQUEST_BODY;
    rnet_conn_timer(req->conn, body_deadline(req));
    if (req->expect_continue)
        (void)rnet_conn_write(req->conn, RN_SLICE_LITERAL("HTTP/1.1 100 Continue\r\n\r\n"));
}

/* ---- the head ---- */

/* 0: routed; else the status, told through *ret_allow when it is 405. */
static int route(struct rnet_http_request *req, const struct rnet__path *path,
                 char allow[RNET__ALLOW_MAX])
{
    struct rnet__match match;
    int r = path->n ? rnet__router_find(req->server->router, req->method, path, &match) : -404;

    if (r == 0) {
        rnet__request_set_match(req, &match);
    } else if (r == -405) {
        memcpy(allow, match.allow, RNET__ALLOW_MAX);
    } else if (req->server->options.fallback) {
        req->route = req->server->options.fallback;
        r = 0;
    }
    if (r == 0 && req->route->body_max)
        req->body_max = req->route->body_max;
    return r;
}

static void dispatch(struct rnet_http_request *req)
{
    const struct rnet_http_options *o = &req->server->options;
    char allow[RNET__ALLOW_MAX];
    struct rnet__path path;
    int r = rnet__path_cut(req->path, rnet__request_room(req, req->path.len), &path);

    if (r == -400) {
        refuse(req, 400, "the path has a percent sign without two hexadecimal digits");
        return;
    }
    if (r < 0)
        path.n = 0; /* no route can match; authentication comes first all the same */
    if (o->before && o->before(o->before_arg, req) != 0) {
        finish(req, req->length > 0, RNET_REASON_LOCAL);
        return;
    }
    r = route(req, &path, allow);
    if (r == -405)
        (void)rnet_http_header(req, "Allow", allow);
    if (r < 0)
        refuse(req, (unsigned)-r,
               r == -405 ? "this resource knows other methods: see Allow" : "nothing is here");
    else if (!req->chunked && req->length > req->body_max)
        refuse(req, 413, "the body is larger than this resource takes");
    else
        begin_body(req);
}

static ssize_t begin_request(struct rnet_http *server, struct rnet_conn conn, struct rn_slice head)
{
    struct rnet_http_request *req = NULL;
    struct rnet__http_head parsed;
    int r = rnet__http_parse(head, &parsed);

    if (r == 0)
        r = rnet__request_new(server, conn, head, &parsed, &req);
    if (r < 0) {
        refuse_head(server, conn, -r, r == -503 ? RNET_REASON_MEMORY : RNET_REASON_PROTOCOL);
        return 0;
    }
    *between_of(conn) = (struct between){0};
    rnet_conn_data_set(conn, req);
    dispatch(req);
    return (ssize_t)head.len;
}

static ssize_t read_head(struct rnet_http *server, struct rnet_conn conn, struct rn_slice in)
{
    struct between *b = between_of(conn);
    bool first = b->scan.pos == 0;
    int r = rnet__http_scan(&b->scan, in);

    if (r > 0)
        return begin_request(server, conn, rn_slice(in.data, (size_t)r));
    if (r < 0) {
        refuse_head(server, conn, -r, RNET_REASON_PROTOCOL);
        return 0;
    }
    if (first)
        rnet_conn_timer(conn, rn_loop_now() + server->options.head_ns);
    return 0;
}

/* ---- callbacks ---- */

static int on_open(struct rnet_conn conn, void *data)
{
    struct rnet_http *server = data;

    rnet_conn_timer(conn, rn_loop_now() + server->options.head_ns);
    return 0;
}

static ssize_t on_bytes(struct rnet_conn conn, void *data, struct rn_slice in)
{
    struct rnet_http_request *req = request_of(data);

    if (!req)
        return read_head(server_of(data), conn, in);
    return req->state == RNET__REQUEST_BODY ? read_body(req, in) : 0;
}

static void on_drain(struct rnet_conn conn, void *data)
{
    struct rnet_http_request *req = request_of(data);

    if (!req)
        rnet_conn_resume(conn);
    else
        rnet__stream_drained(req);
}

/* Nothing more will come. While a handler runs reading is paused, so this is a request cut short,
 * or none, or the end of an answer that has no other. */
static void on_end(struct rnet_conn conn, void *data)
{
    struct rnet_http_request *req = request_of(data);

    if (req && req->state == RNET__REQUEST_RUNNING && is_endless(req))
        rnet_conn_close(conn, RNET_REASON_PEER);
    else if (!req || req->state != RNET__REQUEST_RUNNING)
        rnet_conn_end(conn, RNET_REASON_PEER);
}

static void watch_output(struct rnet_conn conn, const struct rnet_http *server, struct between *b)
{
    size_t unsent = rnet_conn_unsent(conn);

    if (unsent == 0 && b->watched && server->options.idle_ns > server->options.write_ns) {
        b->watched = 0;
        rnet_conn_timer(conn, rn_loop_now() + server->options.idle_ns - server->options.write_ns);
    } else if (unsent == 0) {
        rnet_conn_end(conn, RNET_REASON_IDLE_TIMEOUT);
    } else if (unsent == b->unsent) {
        rnet_conn_close(conn, RNET_REASON_WRITE_TIMEOUT);
    } else {
        b->unsent = unsent;
        rnet_conn_timer(conn, rn_loop_now() + server->options.write_ns);
    }
}

static void on_timer(struct rnet_conn conn, void *data)
{
    struct rnet_http_request *req = request_of(data);

    if (req && req->state == RNET__REQUEST_BODY) {
        (void)rnet_http_problem(req, 408, "the body took too long", NULL);
        finish(req, true, RNET_REASON_FRAME_TIMEOUT);
    } else if (!req && between_of(conn)->scan.pos > 0) {
        refuse_head(data, conn, 408, RNET_REASON_FRAME_TIMEOUT);
    } else if (!req) {
        watch_output(conn, data, between_of(conn));
    }
}

/* The server drains: what is idle goes, what runs is answered with "Connection: close". */
static void on_stop(struct rnet_conn conn, void *data)
{
    if (!request_of(data) && between_of(conn)->scan.pos == 0 && rnet_conn_kept(conn) == 0)
        rnet_conn_end(conn, RNET_REASON_DRAIN);
}

static void on_close(struct rnet_conn conn, void *data, enum rnet_reason reason)
{
    struct rnet_http_request *req = request_of(data);

    (void)conn, (void)reason;
    if (!req)
        return;
    if (req->state != RNET__REQUEST_RUNNING) {
        rnet__request_free(req);
        return;
    }
    req->gone = true;
    if (rn_task_cancel(req->task) == 0)
        rnet__http_count(RNET__HTTP_CANCELLED);
}

const struct rnet_protocol rnet__http_protocol = {
    .name = "http/1.1",
    /* one answer is active, and its size is the handler's affair */
    .limits = {.output_high = RNET__HTTP_OUTPUT_HIGH,
               .output_low = RNET__HTTP_OUTPUT_LOW,
               .output_max = 1u << 30},
    .on_open = on_open,
    .on_bytes = on_bytes,
    .on_drain = on_drain,
    .on_end = on_end,
    .on_timer = on_timer,
    .on_stop = on_stop,
    .on_close = on_close,
};

/* ---- for handlers that wait between two pieces ---- */

struct rnet_conn rnet_http_conn(const struct rnet_http_request *req)
{
    return req->conn;
}

static void wake_call(struct rnet_conn conn, void *data, void *arg)
{
    struct rnet_http_request *req;

    (void)arg;
    if (rnet_conn_protocol(conn) != &rnet__http_protocol)
        return;
    req = request_of(data);
    if (req)
        rnet__stream_drained(req);
}

int rnet_http_wake(struct rnet_conn conn)
{
    return rnet_conn_call(conn, wake_call, NULL, NULL);
}
