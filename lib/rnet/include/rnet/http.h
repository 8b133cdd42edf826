/* An HTTP/1.1 server (RFC 9110, 9112): strict parser, router, bodies with limits, total time-outs.
 *
 *     static void hello(void *arg, struct rnet_http_request *req)
 *     {
 *         rnet_http_respond(req, 200, "text/plain", rnet_http_param(req, "name"));
 *     }
 *     static const struct rnet_http_route routes[] = {
 *         {.method = "GET", .pattern = "/hello/{name}", .handler = hello},
 *     };
 *     ...
 *     struct rnet_http_options o = {.name = "api", .addrs = addrs, .n_addrs = 1,
 *                                   .routes = routes, .n_routes = 1};
 *     r = rnet_http_open(&o, &server);
 *     ...
 *     rnet_http_stop(server, rn_after(5 * RN_S)); // answers what runs, closes the rest
 *     rnet_http_close(server);
 *
 * A handler is a task only while its request is active; an idle keep-alive connection costs its
 * slot and no stack. One request per connection is active; what a client pipelines behind it waits,
 * and is answered in order. What could be read in two ways is 400 and a close. Errors of the
 * server's own are application/problem+json (RFC 9457). HEAD is served by the GET route, without
 * the body.
 */
#pragma once

#include <runnel/base.h>
#include <runnel/slice.h>
#include <runnel/task.h>

#include <rnet/conn.h>

struct rnet_http;
struct rnet_http_request;

typedef void rnet_http_handler_fn(void *arg, struct rnet_http_request *req);

enum rnet_http_route_flags {
    RNET_HTTP_TASK = 0,    /* the handler is a task and may wait */
    RNET_HTTP_ON_LOOP = 1, /* the handler is a callback of the loop: it must not wait */
    RNET_HTTP_STREAM = 2,  /* a task that may answer piece by piece; it never leaves its worker */
    /* With STREAM: the answer goes on until the client leaves. So reading goes on too, and the
     * client's end, even of its own direction alone, ends the request: the handler is cancelled. */
    RNET_HTTP_ENDLESS = 4,
};

/* A pattern is literal segments and {parameters}, each one whole segment: "/api/v1/agents/{uid}".
 * The last segment may end in a verb, "/rollouts/{id}:pause"; a verb goes before the same pattern
 * without, a literal before a parameter. Segments are compared after percent-decoding. Nothing is
 * normalised: "//", "." and ".." are segments like others. */
struct rnet_http_route {
    const char           *method;
    const char           *pattern;
    rnet_http_handler_fn *handler;
    void                 *arg;
    unsigned              flags;
    size_t                body_max; /* 0: the server's */
    enum rn_stack_class   stack;
};

struct rnet_http_options {
    const char                   *name;  /* of the listener, in metrics; static text */
    const char *const            *addrs; /* "127.0.0.1:4321", "[::1]:0", "unix:/path" */
    size_t                        n_addrs;
    const struct rnet_http_route *routes; /* borrowed until rnet_http_close() */
    size_t                        n_routes;
    /* for a path that no route knows, with any method; NULL: 404 */
    const struct rnet_http_route *fallback;

    /* Called on the loop with the complete head, before routing and before any of the body: to
     * authenticate. 0 goes on. Else it has answered by rnet_http_respond() or rnet_http_problem(),
     * and the request ends there. */
    int (*before)(void *arg, struct rnet_http_request *req);
    void *before_arg;

    /* Handler tasks are born in a scope inside this one (all zero: the caller's own), and are
     * cancelled with it. */
    struct rn_scope scope;

    size_t   body_max;        /* 0: 1 MiB */
    uint32_t connections_max; /* 0: 10,000 */
    rn_time  head_ns;         /* from the first byte to the end of the head: 408; 0: 10 s */
    rn_time  body_ns;         /* for the body, on top of 1 s per 64 KiB of it: 408; 0: 30 s */
    rn_time  idle_ns;         /* between two requests: closed; 0: 60 s */
    rn_time  write_ns;        /* without progress of the output: closed; 0: 30 s */

    /* as in listener.h */
    void (*on_lost)(void *arg, const char *name, const char *address, const char *why);
    void   *on_lost_arg;
    size_t *reterr_index; /* the address that rnet_http_open() failed with; may be NULL */
};

/* Bind and serve. From a task; stop and close are the same task's.
 * Returns: 0; -EINVAL (an address or a pattern that cannot be read), -EEXIST (two routes for one
 * method and pattern), -ENOMEM, -ECANCELED, or what bind() said. Suspends. */
RN_API int rnet_http_open(const struct rnet_http_options *options, struct rnet_http **ret_server);

/* The address in force of listener `i`, with the port that was bound; NULL past the last. */
RN_API const char *rnet_http_address(const struct rnet_http *server, size_t i);

/* Drain: stop accepting, close idle connections, answer what runs with "Connection: close"; what is
 * left at `deadline` is cut and its handlers cancelled. Suspends; from a task. 0, -ETIMEDOUT (some
 * were cut), -ECANCELED. */
RN_API int rnet_http_stop(struct rnet_http *server, rn_time deadline);

/* Cut what is left, wait for the handlers, free. NULL is fine. Suspends; from a task. */
RN_API void rnet_http_close(struct rnet_http *server);
RN_API void rnet_http_closep(struct rnet_http **server);

/* Numbers of all HTTP servers of the process; from any thread. */
struct rnet_http_stats {
    uint64_t requests, responses_dropped, handlers_silent, handlers_cancelled;
};
RN_API void rnet_http_stats(struct rnet_http_stats *ret_stats);

/* ---- reading a request ---- */
/* Slices are valid until the handler returns; data is NULL where there is no such thing. */

/* "HEAD" stays HEAD. */
RN_API struct rn_slice rnet_http_method(const struct rnet_http_request *req);
/* As sent, without the query. */
RN_API struct rn_slice rnet_http_path(const struct rnet_http_request *req);
/* The parameter of the pattern, percent-decoded. A decoded '/' or NUL is kept, for the handler to
 * judge. */
RN_API struct rn_slice rnet_http_param(const struct rnet_http_request *req, const char *name);
/* The first such parameter of the query, percent-decoded ('+' is a space). Or by number, from 0:
 * false past the last. */
RN_API struct rn_slice rnet_http_query(const struct rnet_http_request *req, const char *name);
RN_API bool            rnet_http_query_at(const struct rnet_http_request *req, size_t i,
                                          struct rn_slice *ret_name, struct rn_slice *ret_value);
/* The first field of that name (letter case is ignored), trimmed. */
RN_API struct rn_slice rnet_http_field(const struct rnet_http_request *req, const char *name);
/* Complete; empty in `before`. */
RN_API struct rn_slice rnet_http_body(const struct rnet_http_request *req);
/* "127.0.0.1:51022". It costs a system call on the connection's loop, so it is asked for only when
 * wanted; a handler task that may run elsewhere has it only if `before` asked, else "". */
RN_API const char *rnet_http_peer(struct rnet_http_request *req);

/* ---- answering: exactly once ---- */
/* The answer leaves when the handler returns; one that returns without is a 500, and counted. When
 * the connection dies the handler's task is cancelled. */

/* An extra field of the coming answer. 0, -EINVAL (not a token, or CR, LF, NUL in the value; or a
 * field that the server writes itself: Content-Length, Connection, Date, Transfer-Encoding),
 * -EALREADY (answered), -ENOSPC. */
RN_API int rnet_http_header(struct rnet_http_request *req, const char *name, const char *value);

/* Answer. `body` is copied; content_type may be NULL when it is empty. A late answer to a
 * connection that has gone is dropped and counted (and still 0). Suspends: no. 0, -EALREADY,
 * -EINVAL (status outside of 200..599, a content type with CR, LF or NUL), -ENOMEM (the client gets
 * a 500). */
RN_API int rnet_http_respond(struct rnet_http_request *req, unsigned status,
                             const char *content_type, struct rn_slice body);

/* Answer with a problem (RFC 9457): {"type":"about:blank","title":...,"status":...,"detail":...}.
 * `detail` may be NULL; `members`, NULL or JSON text such as "\"errors\":[...]", is set in as it
 * is. */
RN_API int rnet_http_problem(struct rnet_http_request *req, unsigned status, const char *detail,
                             const char *members);

/* Answer piece by piece, for what is long or has no end: the head leaves now (chunked; to HTTP/1.0 the
 * end is the connection's), and the answer is complete when the handler returns. Needs a route with
 * RNET_HTTP_STREAM. 0, -EALREADY, -EINVAL (as above), -EPERM (another route), -ENOSPC, -ENOMEM,
 * -EPIPE (the connection has gone). */
RN_API int rnet_http_stream(struct rnet_http_request *req, unsigned status,
                            const char *content_type);
/* The next piece (copied). The pieces of one turn leave together. Suspends while the client doesn't
 * read. After an error the connection is cut when the handler returns, so that nobody takes a part for
 * the whole. 0, -EPIPE (the connection has gone), -ETIMEDOUT, -ECANCELED, -ENOMEM. */
RN_API int rnet_http_stream_write(struct rnet_http_request *req, struct rn_slice bytes,
                                  rn_time deadline);
/* What remains of such an answer cannot be made: as after an error the connection is cut. Before its
 * beginning nothing happens. */
RN_API void rnet_http_stream_fail(struct rnet_http_request *req);

/* The same without waiting. 0; 1: better rnet_http_stream_wait() while rnet_http_stream_is_behind();
 * -EPIPE, -ENOMEM. */
RN_API int rnet_http_stream_push(struct rnet_http_request *req, struct rn_slice bytes);
/* Has the client so much still to take that more should wait? */
RN_API bool rnet_http_stream_is_behind(const struct rnet_http_request *req);

/* Wait, between two pieces, for rnet_http_wake(), or for a client that was behind to catch up; it may
 * also come back for nothing. Suspends. 0, -ETIMEDOUT (nothing is broken by that), -EPIPE,
 * -ECANCELED. */
RN_API int rnet_http_stream_wait(struct rnet_http_request *req, rn_time deadline);

/* The connection's name. */
RN_API struct rnet_conn rnet_http_conn(const struct rnet_http_request *req);
/* Wake the handler that waits, or will wait next, in rnet_http_stream_wait(). From any thread, also
 * when the request or the connection has gone. 0, -ENOMEM, -ESHUTDOWN. */
RN_API int rnet_http_wake(struct rnet_conn conn);

/* "Not Found", or "Unknown". */
RN_API const char *rnet_http_reason(unsigned status);
