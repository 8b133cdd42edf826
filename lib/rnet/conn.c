/* A connection's life: beginning, calls, timer, end. Reading is in conn_read.c, output in
 * conn_write.c.
 *
 * Nothing is finished inside a call: a close only marks the slot and queues it; the end of the turn
 * sends what was written, calls on_close, closes. So a protocol may close any connection, its own
 * too, from any callback.
 */
#include "internal.h"

#include <errno.h>

#include <runnel/sys.h>

#define FLUSH_NS_DEFAULT (10 * RN_S)
#define LINGER_NS        (2 * RN_S)

static struct rnet__conn *conn_get(struct rnet_conn conn, struct rnet__loop **ret_loop)
{
    struct rnet__conn *c = rnet__conn_find(conn, ret_loop);

    if (!c)
        rnet_count(RNET_COUNTER_HANDLES_STALE);
    return c;
}

/* ---- the beginning ---- */

/* It is over, and nobody reads now who would learn of it. HUP after the peer's end: that has closed
 * its other direction too (an AF_UNIX peer says so without ERR). */
static bool died_unread(const struct rnet__conn *c, uint32_t events)
{
    if (c->flags & RNET__EOF)
        return events & (EPOLLERR | EPOLLHUP);
    return events & EPOLLERR && (c->flags & RNET__PAUSED || c->state == RNET__FLUSHING);
}

static void on_event(void *arg, uint32_t events)
{
    struct rnet__conn *c = arg;
    struct rnet__loop *l = rnet__loop_self();

    if (c->state == RNET__FREE || c->state == RNET__CLOSING)
        return;
    if (events & (EPOLLIN | EPOLLPRI | EPOLLRDHUP | EPOLLHUP | EPOLLERR))
        c->flags |= RNET__READABLE;
    if (events & (EPOLLPRI | EPOLLRDHUP | EPOLLHUP | EPOLLERR))
        c->flags |= RNET__TO_END;
    if (events & (EPOLLOUT | EPOLLERR | EPOLLHUP) && c->flags & RNET__BLOCKED) {
        c->flags &= (uint16_t)~RNET__BLOCKED;
        rnet__conn_queue(l, c);
    }
    if (died_unread(c, events))
        rnet__conn_abort(l, c, RNET_REASON_RESET);
    else
        rnet__conn_read(l, c);
}

int rnet__conn_open(struct rnet__loop *l, int number, const struct rnet_protocol *protocol,
                    void *data, struct rnet_listener *listener, struct rnet_conn *ret_conn)
{
    struct rnet__conn *c;
    int r = rnet__slot_new(l, &c);

    if (r < 0)
        return r;
    c->protocol = protocol;
    c->data = data;
    c->number = number;
    r = rn_loop_watch(number, RN_FD_STREAM, on_event, c, &c->fd);
    if (r < 0) {
        rnet__slot_free(l, c);
        return r;
    }
    c->listener = listener;
    c->state = RNET__OPEN;
    rnet_count(RNET_COUNTER_CONNS_OPENED);
    if (ret_conn)
        *ret_conn = rnet__handle(l, c);
    if (protocol->on_open && protocol->on_open(rnet__handle(l, c), data) < 0) {
        rnet__conn_abort(l, c, RNET_REASON_REFUSED);
        return -ECANCELED;
    }
    return 0;
}

int rnet_conn_adopt(int number, const struct rnet_protocol *protocol, void *data,
                    struct rnet_conn *ret_conn)
{
    struct rnet__loop *l;
    int r = rnet__loop_get(&l);

    if (r == 0)
        r = rn_fd_prepare(number);
    return r < 0 ? r : rnet__conn_open(l, number, protocol, data, NULL, ret_conn);
}

/* ---- the end ---- */

static void conn_tell_closed(struct rnet__loop *l, struct rnet__conn *c)
{
    if (c->flags & RNET__TOLD)
        return;
    c->flags |= RNET__TOLD;
    rnet__reason_count(c->reason);
    if (c->protocol->on_close)
        c->protocol->on_close(rnet__handle(l, c), c->data, c->reason);
    c->gen = 0;
    rnet__buf_free(l, &c->in);
}

/* Closed by the end of this turn, whatever was under way. The first reason stays. */
void rnet__conn_abort(struct rnet__loop *l, struct rnet__conn *c, enum rnet_reason reason)
{
    if (c->state == RNET__FREE || c->state == RNET__CLOSING)
        return;
    c->state = RNET__CLOSING;
    if (c->reason == RNET_REASON_NONE)
        c->reason = (uint8_t)reason;
    rnet__conn_queue(l, c);
}

void rnet__conn_finish(struct rnet__loop *l, struct rnet__conn *c)
{
    struct rnet_listener *listener = c->listener;

    c->state = RNET__CLOSING; /* so on_close may call anything */
    conn_tell_closed(l, c);
    if (c->flags & RNET__ARMED)
        rn_timer_disarm(&c->timer);
    (void)rn_fd_close(c->fd);
    rnet__buf_free(l, &c->in);
    rnet__buf_free(l, &c->out);
    rnet__slot_free(l, c);
    if (listener)
        rnet__listener_conn_gone(listener);
}

/* All is sent. Say so to the peer, and read what it still has on the way: closing with unread bytes
 * would be a reset, which destroys our last answer in the peer's buffer. */
static void conn_linger(struct rnet__loop *l, struct rnet__conn *c)
{
    if (c->flags & RNET__EOF || rn_sys_shutdown(c->number, SHUT_WR) < 0) {
        rnet__conn_finish(l, c);
        return;
    }
    c->state = RNET__LINGERING;
    conn_tell_closed(l, c);
    rnet__conn_arm(c, rn_after(LINGER_NS));
    if (c->flags & RNET__READABLE)
        rn_loop_again(c->fd, EPOLLIN);
}

void rnet__conn_turn_end(struct rnet__loop *l, struct rnet__conn *c)
{
    if ((c->state == RNET__OPEN || c->state == RNET__FLUSHING) && c->out &&
        !(c->flags & RNET__BLOCKED))
        rnet__conn_flush(l, c);
    if (c->flags & RNET__QUEUED) /* on_drain wants something: in the next round */
        return;
    if (c->state == RNET__FLUSHING && !c->out)
        conn_linger(l, c);
    else if (c->state == RNET__CLOSING)
        rnet__conn_finish(l, c);
}

int rnet_conn_close(struct rnet_conn conn, enum rnet_reason reason)
{
    struct rnet__loop *l;
    struct rnet__conn *c = conn_get(conn, &l);

    if (!c)
        return -EBADF;
    rnet__conn_abort(l, c, reason);
    return 0;
}

int rnet_conn_end(struct rnet_conn conn, enum rnet_reason reason)
{
    struct rnet__loop *l;
    struct rnet__conn *c = conn_get(conn, &l);
    rn_time flush_ns;

    if (!c)
        return -EBADF;
    if (c->state != RNET__OPEN)
        return 0;
    flush_ns = c->protocol->limits.flush_ns;
    c->state = RNET__FLUSHING;
    c->reason = (uint8_t)reason;
    /* Most have nothing left by the end of the turn: they need no deadline, but the clock was read
     * for nothing. So take the coarse one. */
    rnet__conn_arm(c, rn_loop_now() + (flush_ns ? flush_ns : FLUSH_NS_DEFAULT));
    rnet__conn_queue(l, c);
    return 0;
}

/* ---- the timer: a later deadline leaves the node where it is, and is looked at when that fires
 * ---- */

static void on_timer(struct rn_timer *timer)
{
    struct rnet__conn *c =
        (struct rnet__conn *)(void *)((char *)timer - offsetof(struct rnet__conn, timer));
    struct rnet__loop *l = rnet__loop_self();
    const rn_time when = c->when;

    c->flags &= (uint16_t)~RNET__ARMED;
    if (when == RN_FOREVER || c->state == RNET__CLOSING)
        return;
    if (when > timer->when && when > rn_now()) {
        rnet__conn_arm(c, when);
        return;
    }
    c->when = RN_FOREVER;
    switch (c->state) {
    case RNET__OPEN:
        if (c->protocol->on_timer)
            c->protocol->on_timer(rnet__handle(l, c), c->data);
        break;
    case RNET__FLUSHING:
        c->reason = RNET_REASON_WRITE_TIMEOUT;
        rnet__conn_abort(l, c, RNET_REASON_WRITE_TIMEOUT);
        break;
    default:
        rnet_count(RNET_COUNTER_LINGERS_CUT);
        rnet__conn_abort(l, c, RNET_REASON_LOCAL);
    }
}

void rnet__conn_arm(struct rnet__conn *c, rn_time when)
{
    c->when = when;
    if (when == RN_FOREVER || (c->flags & RNET__ARMED && c->timer.when <= when))
        return;
    c->flags |= RNET__ARMED;
    rn_timer_arm(&c->timer, when, on_timer);
}

int rnet_conn_timer(struct rnet_conn conn, rn_time when)
{
    struct rnet__conn *c = conn_get(conn, NULL);

    if (!c)
        return -EBADF;
    if (c->state == RNET__OPEN) /* else the core's own deadline runs */
        rnet__conn_arm(c, when);
    return 0;
}

rn_time rnet_conn_timer_when(struct rnet_conn conn)
{
    const struct rnet__conn *c = conn_get(conn, NULL);

    return c ? c->when : RN_FOREVER;
}

/* ---- questions and small calls ---- */

bool rnet_conn_alive(struct rnet_conn conn)
{
    const struct rnet__conn *c = rnet__conn_find(conn, NULL);

    return c && c->state == RNET__OPEN;
}

void *rnet_conn_data(struct rnet_conn conn)
{
    const struct rnet__conn *c = conn_get(conn, NULL);

    return c ? c->data : NULL;
}

int rnet_conn_data_set(struct rnet_conn conn, void *data)
{
    struct rnet__conn *c = conn_get(conn, NULL);

    if (!c)
        return -EBADF;
    c->data = data;
    return 0;
}

const struct rnet_protocol *rnet_conn_protocol(struct rnet_conn conn)
{
    const struct rnet__conn *c = conn_get(conn, NULL);

    return c ? c->protocol : NULL;
}

struct rnet_conn_scratch *rnet_conn_scratch(struct rnet_conn conn)
{
    struct rnet__conn *c = conn_get(conn, NULL);

    return c ? &c->scratch : NULL;
}

int rnet_conn_switch(struct rnet_conn conn, const struct rnet_protocol *protocol, void *data)
{
    struct rnet__loop *l;
    struct rnet__conn *c = conn_get(conn, &l);

    if (!c)
        return -EBADF;
    c->protocol = protocol;
    c->data = data;
    c->scratch = (struct rnet_conn_scratch){{0, 0}};
    c->flags |= RNET__SWITCHED;
    if (c->in) { /* from elsewhere than on_bytes: the new one hasn't seen them */
        c->flags |= RNET__AGAIN;
        rn_loop_again(c->fd, RNET__EVENT_AGAIN);
    }
    return 0;
}

bool rnet_conn_ending(struct rnet_conn conn)
{
    const struct rnet__conn *c = conn_get(conn, NULL);

    return c && c->state != RNET__OPEN;
}

int rnet_conn_pause(struct rnet_conn conn)
{
    struct rnet__conn *c = conn_get(conn, NULL);

    if (!c)
        return -EBADF;
    c->flags |= RNET__PAUSED;
    return 0;
}

int rnet_conn_resume(struct rnet_conn conn)
{
    struct rnet__conn *c = conn_get(conn, NULL);

    if (!c)
        return -EBADF;
    if (!(c->flags & RNET__PAUSED))
        return 0;
    c->flags &= (uint16_t)~RNET__PAUSED;
    if (c->in)
        c->flags |= RNET__AGAIN;
    if (c->flags & (RNET__READABLE | RNET__AGAIN))
        rn_loop_again(c->fd, c->flags & RNET__READABLE ? EPOLLIN : RNET__EVENT_AGAIN);
    return 0;
}

bool rnet_conn_paused(struct rnet_conn conn)
{
    const struct rnet__conn *c = conn_get(conn, NULL);

    return c && c->flags & RNET__PAUSED;
}

size_t rnet_conn_kept(struct rnet_conn conn)
{
    const struct rnet__conn *c = conn_get(conn, NULL);

    return c ? rnet__buf_len(c->in) : 0;
}

int rnet_conn_number(struct rnet_conn conn)
{
    const struct rnet__conn *c = conn_get(conn, NULL);

    return c ? c->number : -EBADF;
}

int rnet_conn_peer(struct rnet_conn conn, char *buf, size_t n)
{
    const struct rnet__conn *c = conn_get(conn, NULL);
    struct rnet_addr addr = {.len = sizeof(addr.sa)};
    int r;

    if (!c)
        return -EBADF;
    r = rn_sys_getpeername(c->number, &addr.sa.any, &addr.len);
    if (r < 0)
        return r;
    rnet_addr_format(&addr, buf, n);
    return 0;
}
