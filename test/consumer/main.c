/* Squares, from one task to another. */
#include <errno.h>
#include <stdio.h>

#include <runnel/runnel.h>

static int squares(void *arg)
{
    const struct rn_tx *tx = arg;
    int r = 0;

    for (int i = 1; i <= 4 && r == 0; i++) {
        int square = i * i;
        r = rn_tx_send(*tx, &square, RN_FOREVER);
    }
    return r;
}

static int app(void *arg)
{
    struct rn_tx tx;
    struct rn_rx rx;
    int n, r = rn_chan_open(sizeof(int), 0, &tx, &rx);

    (void)arg;
    if (r == 0) {
        const struct rn_end end = rn_end_tx(tx);
        r = rn_go(rn_scope_self(), squares, &tx, &end, 1);
    }
    while (r == 0 && (r = rn_rx_recv(rx, &n, RN_FOREVER)) == 0)
        printf("%d\n", n);
    return r == -EPIPE ? 0 : r;
}

int main(void)
{
    return rn_run(NULL, app, NULL) < 0;
}
