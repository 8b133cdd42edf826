/* A protocol that keeps book of what it is told, for the tests of the connection core and of
 * listeners. */
#pragma once

#include <string.h>

#include <harness/task_test.h>
#include <harness/test.h>

#include <base/cleanup.h>
#include <rnet/conn.h>
#include <rnet/listener.h>
#include <rnet/stats.h>
#include <rnet/stream.h>
#include <runnel/loop.h>
#include <runnel/sys.h>
#include <runnel/task.h>

#define SOON rn_after(20 * RN_S)

struct probe {
    struct rnet_conn conn; /* the last that was opened */
    unsigned         opened, ended, drained, timers, stopped, closed;
    enum rnet_reason reason; /* of the last close */
    size_t           bytes;
    uint8_t          last[64]; /* the first bytes of the last slice */
    size_t           last_len;
    size_t           calls; /* of on_bytes */
    bool             refuse;
    /* what to do with bytes; NULL: consume and drop */
    ssize_t (*act)(struct probe *p, struct rnet_conn conn, struct rn_slice in);
};

static inline int probe_open(struct rnet_conn conn, void *data)
{
    struct probe *p = data;

    p->conn = conn;
    p->opened++;
    return p->refuse ? -EPERM : 0;
}

static inline ssize_t probe_bytes(struct rnet_conn conn, void *data, struct rn_slice in)
{
    struct probe *p = data;
    ssize_t n;

    p->calls++;
    p->last_len = in.len < sizeof(p->last) ? in.len : sizeof(p->last);
    memcpy(p->last, in.data, p->last_len);
    n = p->act ? p->act(p, conn, in) : (ssize_t)in.len;
    p->bytes += n > 0 ? (size_t)n : 0;
    return n;
}

static inline void probe_drain(struct rnet_conn conn, void *data)
{
    (void)conn;
    ((struct probe *)data)->drained++;
}

static inline void probe_timer(struct rnet_conn conn, void *data)
{
    (void)conn;
    ((struct probe *)data)->timers++;
}

static inline void probe_close(struct rnet_conn conn, void *data, enum rnet_reason reason)
{
    struct probe *p = data;

    ERR(rnet_conn_write(conn, RN_SLICE_LITERAL("late")), EPIPE);
    p->closed++;
    p->reason = reason;
}

static inline ssize_t probe_echo(struct probe *p, struct rnet_conn conn, struct rn_slice in)
{
    (void)p;
    (void)rnet_conn_write(conn, in);
    return (ssize_t)in.len;
}

static const struct rnet_protocol probe_protocol = {
    .name = "probe",
    .on_open = probe_open,
    .on_bytes = probe_bytes,
    .on_drain = probe_drain,
    .on_timer = probe_timer,
    .on_close = probe_close,
};

static inline struct rnet_listener *
probe_listen_on(const char *address, const struct rnet_protocol *protocol, struct probe *p)
{
    const struct rnet_listener_options o = {
        .name = "probe", .addrs = &address, .n_addrs = 1, .protocol = protocol, .data = p};
    struct rnet_listener *ln = NULL;

    OK(rnet_listener_open(&o, &ln, NULL));
    return ln;
}

static inline struct rnet_listener *probe_listen(struct probe *p)
{
    return probe_listen_on("127.0.0.1:0", &probe_protocol, p);
}

static inline struct rnet_stream *probe_dial(const struct rnet_listener *ln)
{
    struct rnet_stream *s = NULL;

    OK(rnet_dial(rnet_listener_address(ln, 0), SOON, &s));
    return s;
}
