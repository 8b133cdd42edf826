/* A task produces, another consumes; the end of the one ends the other. */
#include <errno.h>
#include <stdio.h>

#include <runnel/runnel.h>

static int counts(void *arg)
{
    const struct rn_tx *tx = arg;

    for (int i = 1; i <= 5; i++) {
        int r = rn_tx_send(*tx, &i, RN_FOREVER); /* waits while the channel is full */
        if (r < 0)
            return r; /* -EPIPE: nobody receives any more */
    }
    return 0; /* what a task holds is closed when it ends: here, the only sender */
}

static int app(void *arg)
{
    struct rn_tx tx;
    struct rn_rx rx;
    int n, sum = 0, r = rn_chan_open(sizeof(int), 2, &tx, &rx);

    (void)arg;
    if (r == 0) {
        const struct rn_end given[] = {rn_end_tx(tx)}; /* moves to the new task */
        r = rn_go(rn_scope_self(), counts, &tx, given, 1);
    }
    while (r == 0 && (r = rn_rx_recv(rx, &n, RN_FOREVER)) == 0) {
        printf("got %d\n", n);
        sum += n;
    }
    printf("sum %d, sending through what was given away: %s\n", sum,
           rn_tx_try_send(tx, &n) == -EBADF ? "refused" : "?");
    return r == -EPIPE ? 0 : r; /* -EPIPE: every sender is gone and the buffer is empty */
}

int main(void)
{
    return rn_run(NULL, app, NULL) < 0;
}
