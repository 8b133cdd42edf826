/* A pair of streams in memory: each direction is a channel of pieces.
 *
 * Half-close is closing the sender, a peer that is gone is a closed receiver, back-pressure is the
 * channel's: a stream's meaning is a channel's meaning. A read that takes a part of a piece keeps
 * the rest in the record.
 */
#include <rnet/stream.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <base/cleanup.h>
#include <runnel/chan.h>
#include <runnel/task.h>

#define PIECES      16
#define PIECE_BYTES 16384u

struct piece {
    uint8_t *bytes; /* owned */
    size_t   len;
};

static void piece_destroy(void *value)
{
    free(((struct piece *)value)->bytes);
}

struct memory_stream {
    struct rnet_stream base;
    struct rn_tx       tx; /* the opener's scope's */
    struct rn_rx       rx;
    struct piece       rest; /* the reader's: what is left of a piece, from `at` on */
    size_t             at;
};

static struct memory_stream *memory_of(struct rnet_stream *s)
{
    return (struct memory_stream *)(void *)s;
}

static size_t rest_copy(struct memory_stream *m, const struct iovec *iov, int n)
{
    size_t sum = 0;

    for (int i = 0; i < n; i++) {
        const size_t left = m->rest.len - m->at;
        const size_t take = iov[i].iov_len < left ? iov[i].iov_len : left;

        if (take)
            memcpy(iov[i].iov_base, m->rest.bytes + m->at, take);
        m->at += take;
        sum += take;
    }
    if (m->at == m->rest.len) {
        free(m->rest.bytes);
        m->rest = (struct piece){0};
        m->at = 0;
    }
    return sum;
}

static ssize_t memory_readv(struct rnet_stream *s, const struct iovec *iov, int n, rn_time deadline)
{
    struct memory_stream *m = memory_of(s);
    int r;

    if (!m->rest.bytes) {
        r = rn_rx_recv(m->rx, &m->rest, deadline);
        if (r < 0)
            return r == -EPIPE ? 0 : r;
    }
    return (ssize_t)rest_copy(m, iov, n);
}

static ssize_t memory_writev(struct rnet_stream *s, const struct iovec *iov, int n,
                             rn_time deadline)
{
    struct memory_stream *m = memory_of(s);
    struct piece p = {0};
    int r;

    for (int i = 0; i < n; i++)
        p.len += iov[i].iov_len;
    if (p.len > PIECE_BYTES)
        p.len = PIECE_BYTES;
    if (p.len == 0)
        return 0;
    p.bytes = malloc(p.len);
    if (!p.bytes)
        return -ENOMEM;
    for (size_t at = 0; at < p.len; iov++) {
        const size_t take = iov->iov_len < p.len - at ? iov->iov_len : p.len - at;

        if (take)
            memcpy(p.bytes + at, iov->iov_base, take);
        at += take;
    }
    r = rn_tx_send(m->tx, &p, deadline);
    if (r < 0) {
        free(p.bytes);
        return r;
    }
    return (ssize_t)p.len;
}

static int memory_end(struct rnet_stream *s)
{
    rn_tx_closep(&memory_of(s)->tx);
    return 0;
}

static int memory_addr(struct rnet_stream *s, bool peer, struct rnet_addr *ret_addr)
{
    (void)s;
    (void)peer;
    (void)ret_addr;
    return -ENOTSUP;
}

static void memory_close(struct rnet_stream *s)
{
    struct memory_stream *m = memory_of(s);

    rn_tx_closep(&m->tx);
    rn_rx_closep(&m->rx);
    free(m->rest.bytes);
}

static const struct rnet_stream_type memory_type = {
    .name = "memory",
    .size = sizeof(struct memory_stream),
    .readv = memory_readv,
    .writev = memory_writev,
    .end = memory_end,
    .addr = memory_addr,
    .close = memory_close,
};

static const struct rn_elem piece_elem = {.size = sizeof(struct piece), .destroy = piece_destroy};

int rnet_stream_pair(struct rnet_stream **ret_a, struct rnet_stream **ret_b)
{
    struct memory_stream *a = calloc(1, sizeof(*a)), *b = calloc(1, sizeof(*b));
    int r = a && b ? 0 : -ENOMEM;

    if (r == 0)
        r = rn_chan_open_elem(&piece_elem, PIECES, &a->tx, &b->rx);
    if (r == 0)
        r = rn_chan_open_elem(&piece_elem, PIECES, &b->tx, &a->rx);
    if (r == 0) {
        const struct rn_end ends[] = {rn_end_tx(a->tx), rn_end_rx(a->rx), rn_end_tx(b->tx),
                                      rn_end_rx(b->rx)};

        r = rn_end_to_scope(ends, 4, rn_scope_self());
    }
    if (r < 0) {
        if (a)
            memory_close(&a->base);
        if (b)
            memory_close(&b->base);
        free(a);
        free(b);
        return r;
    }
    a->base.type = b->base.type = &memory_type;
    *ret_a = &a->base;
    *ret_b = &b->base;
    return 0;
}
