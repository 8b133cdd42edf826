/* Answers piece by piece: chunks that a handler writes to the connection of its own loop.
 *
 * The handler is a task that never leaves the connection's worker (the route says so), so it may
 * write directly. It waits on a channel of one token, which the loop puts in when the output has
 * fallen from above its high mark to the low one, and when somebody wakes the handler. So a token
 * says only that it is time to look. A connection that dies cancels the handler. An answer that
 * could not be written to its end is never ended as if it were whole.
 */
#include "http_internal.h"

#include <errno.h>
#include <stdio.h>

#include <runnel/task.h>

static bool chunked(const struct rnet_http_request *req)
{
    return req->minor > 0;
}

bool rnet__stream_keeps(const struct rnet_http_request *req)
{
    return chunked(req) && !req->stream_failed;
}

void rnet__stream_drained(struct rnet_http_request *req)
{
    if (req->drained.gen)
        (void)rn_tx_try_send(req->drained, NULL);
}

static int fail(struct rnet_http_request *req, int r)
{
    req->stream_failed = true;
    return r == -EBADF ? -EPIPE : r;
}

/* The loop's end for tokens, and ours to wait for them. */
static int drain_open(struct rnet_http_request *req)
{
    struct rn_tx tx;
    int r = rn_chan_open(0, 1, &tx, &req->drain);

    if (r < 0)
        return r;
    r = rn_end_to_loop((struct rn_end[]){rn_end_tx(tx)}, 1, rn_loop_self());
    if (r == 0)
        req->drained = tx;
    return r;
}

int rnet_http_stream(struct rnet_http_request *req, unsigned status, const char *content_type)
{
    int r;

    if (!req->route || !(req->route->flags & RNET_HTTP_STREAM))
        return -EPERM;
    r = rnet__response_begin(req, status, content_type);
    if (r < 0)
        return r;
    req->streaming = true;
    r = drain_open(req);
    if (r == 0)
        r = rnet__response_write_head(req, req->keep_alive && chunked(req) &&
                                               !atomic_load(&req->server->stopping));
    return r < 0 ? fail(req, r) : 0;
}

int rnet_http_stream_push(struct rnet_http_request *req, struct rn_slice bytes)
{
    char size[24];
    int n, r;

    if (!req->streaming || req->stream_failed)
        return -EPIPE;
    if (bytes.len == 0 || req->is_head)
        return 0;
    n = snprintf(size, sizeof(size), "%zx\r\n", bytes.len);
    const struct rn_slice parts[] = {rn_slice(size, chunked(req) ? (size_t)n : 0), bytes,
                                     rn_slice("\r\n", chunked(req) ? 2 : 0)};

    r = rnet_conn_writev(req->conn, parts, 3);
    return r < 0 ? fail(req, r) : r;
}

bool rnet_http_stream_is_behind(const struct rnet_http_request *req)
{
    return rnet_conn_unsent(req->conn) > RNET__HTTP_OUTPUT_LOW;
}

int rnet_http_stream_wait(struct rnet_http_request *req, rn_time deadline)
{
    int r;

    if (!req->streaming || req->stream_failed)
        return -EPIPE;
    r = rn_rx_recv_at(RN_WAIT_IDLE(), req->drain, NULL, deadline);
    return r < 0 && r != -ETIMEDOUT ? fail(req, r) : r;
}

int rnet_http_stream_write(struct rnet_http_request *req, struct rn_slice bytes, rn_time deadline)
{
    int r = rnet_http_stream_push(req, bytes);

    if (r != 1)
        return r;
    do
        r = rn_rx_recv(req->drain, NULL, deadline);
    while (r == 0 && rnet_http_stream_is_behind(req));
    return r < 0 ? fail(req, r) : 0;
}

void rnet_http_stream_fail(struct rnet_http_request *req)
{
    if (req->streaming)
        req->stream_failed = true;
}

int rnet__stream_end(struct rnet_http_request *req)
{
    if (req->stream_failed)
        return -EPIPE;
    if (!chunked(req) || req->is_head)
        return 0;
    return rnet_conn_write(req->conn, RN_SLICE_LITERAL("0\r\n\r\n"));
}
