/* Reading: into the loop's shared buffer, on to the protocol, and only what it leaves is kept.
 *
 * A stream socket that gave less than was asked for is empty, and what comes later is a new edge,
 * so the read that would say EAGAIN is saved. Not so once RDHUP, HUP or ERR was seen: the edge for
 * the end may have been merged with the data's, so then it is read to the end; and not after PRI,
 * since a read stops at the urgent mark even if urgent data is in line. A connection that goes on
 * and on yields after its budget, and is delivered again in the next turn.
 */
#include "internal.h"

#include <errno.h>

#include <base/assert.h>
#include <runnel/sys.h>

#define READS_PER_TURN   4
#define INPUT_DEFAULT    (64u * 1024u)
#define LINGER_BYTES_MAX (64u * 1024u)

enum rnet_reason rnet__reason_of(int error)
{
    switch (error) {
    case -ECONNRESET:
    case -EPIPE:
    case -ETIMEDOUT:
    case -ECONNABORTED:
        return RNET_REASON_RESET;
    case -ENOMEM:
    case -ENOBUFS:
        return RNET_REASON_MEMORY;
    default:
        return RNET_REASON_ERROR;
    }
}

static bool wants_bytes(const struct rnet__conn *c)
{
    return c->state == RNET__OPEN && !(c->flags & RNET__PAUSED);
}

/* Offer `in` until the protocol wants no more of it; what is left. A protocol that came by a switch
 * sees the rest at once. */
static struct rn_slice offer(struct rnet__loop *l, struct rnet__conn *c, struct rn_slice in)
{
    while (in.len > 0 && wants_bytes(c)) {
        ssize_t n;

        c->flags &= (uint16_t)~RNET__SWITCHED;
        n = c->protocol->on_bytes(rnet__handle(l, c), c->data, in);
        if (n < 0) {
            (void)rnet_conn_end(rnet__handle(l, c), RNET_REASON_PROTOCOL);
            break;
        }
        rn_assert((size_t)n <= in.len);
        in = rn_slice_from(in, (size_t)n);
        if (n == 0 && !(c->flags & RNET__SWITCHED))
            break;
    }
    return in;
}

/* After an offer: more waits for its continuation than the protocol can ever want. */
static void judge_kept(struct rnet__loop *l, struct rnet__conn *c)
{
    const uint32_t limit = rnet__or(c->protocol->limits.input_max, INPUT_DEFAULT);

    if (wants_bytes(c) && rnet__buf_len(c->in) >= limit)
        (void)rnet_conn_end(rnet__handle(l, c), RNET_REASON_INPUT_LIMIT);
}

static void deliver_kept(struct rnet__loop *l, struct rnet__conn *c)
{
    const size_t len = rnet__buf_len(c->in);
    struct rn_slice rest;

    c->flags &= (uint16_t)~RNET__AGAIN;
    if (len == 0)
        return;
    rest = offer(l, c, rn_slice(c->in->bytes + c->in->head, len));
    rnet__buf_consume(l, &c->in, len - rest.len);
    judge_kept(l, c);
}

static void deliver(struct rnet__loop *l, struct rnet__conn *c, struct rn_slice in)
{
    const bool had = c->in != NULL;

    if (!had)
        in = offer(l, c, in);
    if (c->state != RNET__OPEN)
        return;
    if (rnet__buf_append(l, &c->in, in.data, in.len) < 0) {
        rnet__conn_abort(l, c, RNET_REASON_MEMORY);
        return;
    }
    if (had)
        deliver_kept(l, c);
    else
        judge_kept(l, c);
}

static void peer_ended(struct rnet__loop *l, struct rnet__conn *c)
{
    c->flags |= RNET__EOF;
    c->flags &= (uint16_t)~RNET__READABLE;
    if (c->protocol->on_end)
        c->protocol->on_end(rnet__handle(l, c), c->data);
    else
        (void)rnet_conn_end(rnet__handle(l, c), RNET_REASON_PEER);
}

/* One recv. True: look again. */
static bool read_once(struct rnet__loop *l, struct rnet__conn *c)
{
    const ssize_t n = rn_sys_recv(c->number, l->shared, RNET__SHARED_BYTES, MSG_DONTWAIT);

    if (n > 0) {
        if ((size_t)n < RNET__SHARED_BYTES && !(c->flags & RNET__TO_END)) {
            c->flags &= (uint16_t)~RNET__READABLE;
            rnet_count(RNET_COUNTER_READS_SHORT_ENDED);
        }
        deliver(l, c, rn_slice(l->shared, (size_t)n));
        return wants_bytes(c) && c->flags & RNET__READABLE;
    }
    if (n == 0)
        peer_ended(l, c);
    else if (n == -EAGAIN)
        c->flags &= (uint16_t)~RNET__READABLE;
    else if (n == -EINTR)
        return true;
    else
        rnet__conn_abort(l, c, rnet__reason_of((int)n));
    return false;
}

static void linger_read(struct rnet__loop *l, struct rnet__conn *c)
{
    for (unsigned i = 0; i < READS_PER_TURN; i++) {
        const ssize_t n = rn_sys_recv(c->number, l->shared, RNET__SHARED_BYTES, MSG_DONTWAIT);

        if (n == -EINTR)
            continue;
        if (n == -EAGAIN)
            return;
        c->lingered += n > 0 ? (uint32_t)n : 0;
        if (n <= 0 || c->lingered > LINGER_BYTES_MAX) {
            if (n > 0)
                rnet_count(RNET_COUNTER_LINGERS_CUT);
            rnet__conn_abort(l, c, RNET_REASON_LOCAL);
            return;
        }
    }
    rn_loop_again(c->fd, EPOLLIN);
}

void rnet__conn_read(struct rnet__loop *l, struct rnet__conn *c)
{
    bool more;

    if (c->state == RNET__LINGERING) {
        linger_read(l, c);
        return;
    }
    if (!wants_bytes(c))
        return;
    if (c->flags & RNET__AGAIN)
        deliver_kept(l, c);
    more = wants_bytes(c) && c->flags & RNET__READABLE && !(c->flags & RNET__EOF);
    for (unsigned i = 0; more && i < READS_PER_TURN; i++)
        more = read_once(l, c);
    if (more) {
        rnet_count(RNET_COUNTER_TURNS_CUT);
        rn_loop_again(c->fd, EPOLLIN);
    }
}
