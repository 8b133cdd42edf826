/* A task that nobody can ever wake is found, with the line where it waits. */
#include <stdio.h>

#include <runnel/runnel.h>

static int sends(void *arg)
{
    const struct rn_tx *tx = arg;
    int n = 1;

    return rn_tx_send(*tx, &n, RN_FOREVER);
}

static int receives(void *arg)
{
    const struct rn_rx *rx = arg;
    int n;

    return rn_rx_recv(*rx, &n, RN_FOREVER);
}

static int app(void *arg)
{
    struct rn_runtime *rt = rn_runtime_self();
    struct rn_scope scope;
    struct rn_tx tx;
    struct rn_rx rx;
    int r = rn_chan_open(sizeof(int), 0, &tx, &rx);

    (void)arg;
    if (r == 0)
        r = rn_scope_open(RN_SCOPE_WAIT_ALL, &scope);
    if (r < 0)
        return r;
    /* The sender gets its end, and with it the only one that could receive from it: a mistake. */
    const struct rn_end both[] = {rn_end_tx(tx), rn_end_rx(rx)};
    r = rn_go(scope, sends, &tx, both, 2);
    while (r == 0 && rn_leak_check(rt, NULL) == 0)
        r = rn_yield(); /* until it waits */
    if (r == 0)
        printf("%d can never wake\n", rn_leak_check(rt, NULL));

    /* Waiting for the rest of the program is fine: somebody who lives holds the other end. */
    struct rn_tx mine;
    struct rn_rx its;
    if (r == 0)
        r = rn_chan_open(sizeof(int), 0, &mine, &its);
    if (r == 0) {
        const struct rn_end one[] = {rn_end_rx(its)};
        r = rn_go(scope, receives, &its, one, 1);
    }
    if (r == 0)
        printf("still %d\n", rn_leak_check(rt, stdout)); /* one line for each place */
    return rn_scope_close(scope);
}

int main(void)
{
    const struct rn_options options = {.leaks = RN_LEAKS_IGNORE}; /* the program asks by itself */

    return rn_run(&options, app, NULL) < 0;
}
