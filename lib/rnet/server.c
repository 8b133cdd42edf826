/* Face A: a codec and a handler over the connection core.
 *
 * A peer that sends a frame byte by byte is judged by the frame's whole time, not by each read:
 * word[0] of the slot's scratch is when the wait began (its lowest bit: it began with the accept),
 * 0 while no frame is under way; word[1] is the handler's own deadline. The timer of the connection
 * stands on the earlier of the two.
 */
#include <rnet/server.h>

#include <errno.h>
#include <stdlib.h>

#include <base/assert.h>
#include <rnet/stats.h>
#include <runnel/loop.h>
#include <runnel/task.h>

#define FRAME_MAX_DEFAULT (1024u * 1024u)
#define HEADER_MAX 8u /* what a codec may add to the payload */
#define FIRST_NS_DEFAULT (10 * RN_S)
#define FRAME_NS_DEFAULT (5 * RN_S)
#define PER_256K_DEFAULT RN_S

struct rnet_server {
    /* set once in rnet_server_open() */
    struct rnet_protocol
        protocol; /* each server has its own: the way from a connection to its server */
    const struct rnet_codec *codec;
    const struct rnet_handler *handler;
    struct rnet_listener *listener;
    size_t frame_max;
    rn_time first_ns, frame_ns, per_256k_ns;
};

static const struct rnet_server *server_of(struct rnet_conn conn)
{
    const struct rnet_protocol *p = rnet_conn_protocol(conn);

    return (const struct rnet_server *)(const void *)((const char *)p -
                                                      offsetof(struct rnet_server, protocol));
}

/* ---- deadlines ---- */

/* word[0] of the scratch: until when what is awaited must be whole, with these in its low bits; 0:
 * nothing is awaited. */
enum {
    WAIT_FIRST = 1, /* the first frame of the connection */
    WAIT_SIZED = 2, /* the frame's length is known, and the time for it is in */
    WAIT_BITS = 3,
};

static rn_time frame_deadline(const struct rnet_conn_scratch *s)
{
    return s->word[0] ? (rn_time)(s->word[0] & ~(uint64_t)WAIT_BITS) : RN_FOREVER;
}

static void wait_until(struct rnet_conn_scratch *s, rn_time when, unsigned bits)
{
    s->word[0] = (((uint64_t)when + WAIT_BITS) & ~(uint64_t)WAIT_BITS) | bits;
}

static void wait_begin(const struct rnet_server *srv, struct rnet_conn_scratch *s, bool first)
{
    const rn_time span = first ? srv->first_ns : srv->frame_ns;

    s->word[0] = 0;
    if (span != RN_FOREVER)
        wait_until(s, rn_loop_now() + span, first ? WAIT_FIRST : 0);
}

/* The length came: a frame has time by its size, the first one has not. */
static void wait_size(const struct rnet_server *srv, struct rnet_conn_scratch *s,
                      struct rn_slice in)
{
    const size_t len = srv->codec->announced ? srv->codec->announced(in) : 0;
    const rn_time more = (rn_time)(len / (256 * 1024)) * srv->per_256k_ns;

    if (len > 0 && s->word[0] && !(s->word[0] & WAIT_BITS))
        wait_until(s, frame_deadline(s) + more, WAIT_SIZED);
}

static void timer_set(struct rnet_conn conn, const struct rnet_conn_scratch *s)
{
    const rn_time frame = frame_deadline(s);
    const rn_time user = s->word[1] ? (rn_time)s->word[1] : RN_FOREVER;

    (void)rnet_conn_timer(conn, frame < user ? frame : user);
}

int rnet_server_timer(struct rnet_conn conn, rn_time when)
{
    struct rnet_conn_scratch *s = rnet_conn_scratch(conn);

    if (!s)
        return -EBADF;
    s->word[1] = when == RN_FOREVER ? 0 : when < 1 ? 1 : (uint64_t)when;
    timer_set(conn, s);
    return 0;
}

/* ---- the protocol ---- */

static int on_open(struct rnet_conn conn, void *data)
{
    const struct rnet_server *srv = server_of(conn);
    struct rnet_conn_scratch *s = rnet_conn_scratch(conn);

    if (srv->first_ns != RN_FOREVER) {
        wait_begin(srv, s, true);
        timer_set(conn, s);
    }
    return srv->handler->on_open ? srv->handler->on_open(conn, data) : 0;
}

static void malformed(const struct rnet_server *srv, struct rnet_conn conn, void *data, int error,
                      enum rnet_reason reason)
{
    if (srv->handler->on_malformed)
        srv->handler->on_malformed(conn, data, error);
    (void)rnet_conn_end(conn, reason);
}

/* One frame a call: the core comes again with the rest. */
static ssize_t on_bytes(struct rnet_conn conn, void *data, struct rn_slice in)
{
    const struct rnet_server *srv = server_of(conn);
    struct rnet_conn_scratch *s = rnet_conn_scratch(conn);
    struct rn_slice frame = {0};
    const ssize_t n = srv->codec->next(in, srv->frame_max, &frame);

    if (n < 0) {
        malformed(srv, conn, data, (int)n, RNET_REASON_PROTOCOL);
        return (ssize_t)in.len;
    }
    if (n == 0) {
        if (!s->word[0])
            wait_begin(srv, s, false);
        wait_size(srv, s, in);
        timer_set(conn, s);
        return 0;
    }
    rn_assert((size_t)n <= in.len);
    if (s->word[0]) {
        s->word[0] = 0;
        timer_set(conn, s);
    }
    if (srv->handler->on_frame(conn, data, frame) < 0)
        (void)rnet_conn_end(conn, RNET_REASON_HANDLER);
    return n;
}

static void on_timer(struct rnet_conn conn, void *data)
{
    const struct rnet_server *srv = server_of(conn);
    struct rnet_conn_scratch *s = rnet_conn_scratch(conn);
    const rn_time now = rn_now();
    const bool first = s->word[0] & WAIT_FIRST;

    if (s->word[0] && rnet_conn_paused(conn)) /* we don't read: the peer cannot help it */
        wait_begin(srv, s, first);
    if (frame_deadline(s) <= now) {
        malformed(srv, conn, data, -ETIMEDOUT,
                  first ? RNET_REASON_FIRST_TIMEOUT : RNET_REASON_FRAME_TIMEOUT);
        return;
    }
    if (s->word[1] && (rn_time)s->word[1] <= now) {
        s->word[1] = 0;
        timer_set(conn, s);
        if (srv->handler->on_timer)
            srv->handler->on_timer(conn, data);
        return;
    }
    timer_set(conn, s);
}

/* The peer will send no more. What it left behind is the beginning of a frame that never comes. */
static void on_end(struct rnet_conn conn, void *data)
{
    const struct rnet_server *srv = server_of(conn);

    if (rnet_conn_kept(conn) > 0)
        malformed(srv, conn, data, -EPIPE, RNET_REASON_PROTOCOL);
    else if (srv->handler->on_end)
        srv->handler->on_end(conn, data);
    else
        (void)rnet_conn_end(conn, RNET_REASON_PEER);
}

/* ---- the server ---- */

static rn_time or_default(rn_time ns, rn_time fallback)
{
    return ns ? ns : fallback;
}

static void server_init(struct rnet_server *srv, const struct rnet_server_options *o)
{
    const struct rnet_handler *h = o->handler;

    srv->codec = o->codec;
    srv->handler = h;
    srv->frame_max = o->frame_max ? o->frame_max : FRAME_MAX_DEFAULT;
    srv->first_ns = or_default(o->first_ns, FIRST_NS_DEFAULT);
    srv->frame_ns = or_default(o->frame_ns, FRAME_NS_DEFAULT);
    srv->per_256k_ns = or_default(o->frame_ns_per_256k, PER_256K_DEFAULT);
    srv->protocol = (struct rnet_protocol){
        .name = o->name,
        .limits = o->limits,
        .on_open = on_open,
        .on_bytes = on_bytes,
        .on_drain = h->on_drain,
        .on_end = on_end,
        .on_timer = on_timer,
        .on_stop = h->on_stop,
        .on_close = h->on_close,
    };
    srv->protocol.limits.input_max = (uint32_t)srv->frame_max + HEADER_MAX;
}

int rnet_server_open(const struct rnet_server_options *o, struct rnet_server **ret_server,
                     size_t *reterr_index)
{
    struct rnet_listener_options lo;
    struct rnet_server *srv;
    int r;

    if (!o->codec || !o->handler || !o->handler->on_frame || o->frame_max > UINT32_MAX / 8)
        return -EINVAL;
    srv = calloc(1, sizeof(*srv));
    if (!srv)
        return -ENOMEM;
    server_init(srv, o);
    lo = (struct rnet_listener_options){
        .name = o->name,
        .addrs = o->addrs,
        .n_addrs = o->n_addrs,
        .protocol = &srv->protocol,
        .data = o->data,
        .backlog = o->backlog,
        .connections_max = o->connections_max,
        .on_lost = o->on_lost,
        .on_lost_arg = o->on_lost_arg,
    };
    r = rnet_listener_open(&lo, &srv->listener, reterr_index);
    if (r < 0) {
        free(srv);
        return r;
    }
    *ret_server = srv;
    return 0;
}

struct rnet_listener *rnet_server_listener(struct rnet_server *srv)
{
    return srv->listener;
}

const char *rnet_server_address(const struct rnet_server *srv, size_t i)
{
    return rnet_listener_address(srv->listener, i);
}

const struct rnet_protocol *rnet_server_protocol(struct rnet_server *srv)
{
    return &srv->protocol;
}

int rnet_server_drain(struct rnet_server *srv, rn_time deadline)
{
    return rnet_listener_drain(srv->listener, deadline);
}

void rnet_server_close(struct rnet_server *srv)
{
    if (!srv)
        return;
    rnet_listener_close(srv->listener);
    free(srv);
}

void rnet_server_closep(struct rnet_server **server)
{
    rnet_server_close(*server);
    *server = NULL;
}

int rnet_server_write_frame(struct rnet_conn conn, struct rn_slice payload)
{
    const uint32_t n = (uint32_t)payload.len;
    const uint8_t header[4] = {(uint8_t)(n >> 24), (uint8_t)(n >> 16), (uint8_t)(n >> 8),
                               (uint8_t)n};

    if (payload.len > UINT32_MAX)
        return -EMSGSIZE;
    return rnet_conn_writev(conn, (struct rn_slice[]){rn_slice(header, 4), payload}, 2);
}
