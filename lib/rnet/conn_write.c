/* Output: appended during the turn, sent once at its end, without asking whether the socket is
 * writable.
 *
 * A short send means a full socket: the rest waits for the edge of OUT. Between the high and the
 * low mark the writer is asked to wait; at the cap the connection is closed, since its peer doesn't
 * read.
 */
#include "internal.h"

#include <errno.h>

#include <runnel/sys.h>

#define HIGH_DEFAULT (256u * 1024u)
#define LOW_DEFAULT  (64u * 1024u)
#define MAX_DEFAULT  (4u * 1024u * 1024u)

int rnet_conn_writev(struct rnet_conn conn, const struct rn_slice parts[], size_t n)
{
    struct rnet__loop *l;
    struct rnet__conn *c = rnet__conn_find(conn, &l);
    const struct rnet_limits *limits;
    size_t sum = 0;

    if (!c) {
        rnet_count(RNET_COUNTER_HANDLES_STALE);
        return -EBADF;
    }
    if (c->state != RNET__OPEN)
        return -EPIPE;
    limits = &c->protocol->limits;
    for (size_t i = 0; i < n; i++)
        sum += parts[i].len;
    if (rnet__buf_len(c->out) + sum > rnet__or(limits->output_max, MAX_DEFAULT)) {
        rnet__conn_abort(l, c, RNET_REASON_OUTPUT_LIMIT);
        return -ENOBUFS;
    }
    for (size_t i = 0; i < n; i++) {
        if (rnet__buf_append(l, &c->out, parts[i].data, parts[i].len) < 0) {
            rnet__conn_abort(l, c, RNET_REASON_MEMORY);
            return -ENOMEM;
        }
    }
    if (c->out && !(c->flags & RNET__BLOCKED))
        rnet__conn_queue(l, c);
    if (rnet__buf_len(c->out) < rnet__or(limits->output_high, HIGH_DEFAULT))
        return 0;
    c->flags |= RNET__HIGH;
    return 1;
}

int rnet_conn_write(struct rnet_conn conn, struct rn_slice bytes)
{
    return rnet_conn_writev(conn, &bytes, 1);
}

size_t rnet_conn_unsent(struct rnet_conn conn)
{
    const struct rnet__conn *c = rnet__conn_find(conn, NULL);

    return c ? rnet__buf_len(c->out) : 0;
}

/* Send until all is gone or the socket is full. */
static void send_all(struct rnet__loop *l, struct rnet__conn *c)
{
    while (c->out) {
        const size_t want = rnet__buf_len(c->out);
        const ssize_t n = rn_sys_send(c->number, c->out->bytes + c->out->head, want, MSG_DONTWAIT);

        if (n == -EINTR)
            continue;
        if (n < 0 && n != -EAGAIN) {
            c->reason = RNET_REASON_NONE; /* whatever was planned, this is why it ends */
            rnet__conn_abort(l, c, rnet__reason_of((int)n));
            return;
        }
        if (n > 0)
            rnet__buf_consume(l, &c->out, (size_t)n);
        if (n < (ssize_t)want) {
            rnet_count(RNET_COUNTER_SENDS_SHORT);
            c->flags |= RNET__BLOCKED;
            return;
        }
    }
}

void rnet__conn_flush(struct rnet__loop *l, struct rnet__conn *c)
{
    send_all(l, c);
    if (!(c->flags & RNET__HIGH) || c->state != RNET__OPEN ||
        rnet__buf_len(c->out) > rnet__or(c->protocol->limits.output_low, LOW_DEFAULT))
        return;
    c->flags &= (uint16_t)~RNET__HIGH;
    if (c->protocol->on_drain)
        c->protocol->on_drain(rnet__handle(l, c), c->data);
}
