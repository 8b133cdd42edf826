/* A bell: "look again". Ringing twice before anybody looks is one ring; what there is to see lies
 * elsewhere.
 *
 * A channel of one empty value, owned by the scope in which the opening task was born, so that
 * every task in it may ring. One task waits.
 */
#pragma once

#include <errno.h>

#include <runnel/chan.h>
#include <runnel/task.h>

#include "monitor.h"

struct ft_bell {
    struct rn_tx tx;
    struct rn_rx rx;
    struct ft_monitor *monitor; /* left while one waits */
};

/* Every task in `scope` may ring, and wait. */
static inline int ft_bell_open_in(struct ft_bell *b, struct ft_monitor *monitor,
                                  struct rn_scope scope)
{
    int r = rn_chan_open(0, 1, &b->tx, &b->rx);

    if (r < 0)
        return r;
    b->monitor = monitor;
    return rn_end_to_scope((struct rn_end[]){rn_end_tx(b->tx), rn_end_rx(b->rx)}, 2, scope);
}

static inline int ft_bell_open(struct ft_bell *b, struct ft_monitor *monitor)
{
    return ft_bell_open_in(b, monitor, rn_scope_self());
}

static inline void ft_bell_ring(const struct ft_bell *b)
{
    (void)rn_tx_try_send(b->tx, NULL); /* -EAGAIN: it rings already */
}

/* 0, -ETIMEDOUT, -ECANCELED. Suspends. A bell that doesn't ring for hours is no sign of a leak. */
#define ft_bell_wait(b, deadline)                                                                  \
    FT_OUTSIDE((b)->monitor, rn_rx_recv_at(RN_WAIT_IDLE(), (b)->rx, NULL, deadline))
