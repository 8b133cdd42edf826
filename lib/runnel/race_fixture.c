/* Two tasks of one worker, one plain counter. `race`: nothing orders them, and TSan has to say so
 * although they never run at the same time. `ordered`: a channel does, and TSan has to keep quiet.
 */
#include <stdio.h>
#include <string.h>

#include <runnel/runnel.h>

static int counter;

static int racer(void *arg)
{
    (void)arg;
    for (int i = 0; i < 10; i++) {
        counter++;
        if (rn_yield() < 0)
            return -1;
    }
    return 0;
}

static int race(void)
{
    struct rn_scope s;
    int r = rn_scope_open(0, &s);

    if (r == 0)
        r = rn_go(s, racer, NULL, NULL, 0);
    if (r == 0)
        r = rn_go(s, racer, NULL, NULL, 0);
    return rn_scope_wait(s) < 0 ? -1 : r;
}

struct ends {
    struct rn_tx tx;
    struct rn_rx rx;
};

static int passes_on(void *arg)
{
    struct ends *e = arg;
    int v;

    for (int i = 0; i < 10; i++) {
        if (rn_rx_recv(e->rx, &v, RN_FOREVER) < 0)
            return -1;
        counter++;
        if (rn_tx_send(e->tx, &v, RN_FOREVER) < 0)
            return -1;
    }
    return 0;
}

static int ordered(void)
{
    struct ends here, there;
    struct rn_scope s;
    int v = 0;

    if (rn_scope_open(0, &s) < 0 || rn_chan_open(sizeof(int), 0, &here.tx, &there.rx) < 0 ||
        rn_chan_open(sizeof(int), 1, &there.tx, &here.rx) < 0 ||
        rn_go(s, passes_on, &there, ((struct rn_end[]){rn_end_tx(there.tx), rn_end_rx(there.rx)}),
              2) < 0)
        return -1;
    for (int i = 0; i < 10; i++) {
        counter++;
        if (rn_tx_send(here.tx, &v, RN_FOREVER) < 0 || rn_rx_recv(here.rx, &v, RN_FOREVER) < 0)
            return -1;
    }
    counter++;
    return rn_scope_wait(s);
}

static int app(void *arg)
{
    return strcmp(arg, "race") == 0 ? race() : ordered();
}

int main(int argc, char **argv)
{
    if (argc != 2)
        return 2;
    return rn_run(NULL, app, argv[1]) < 0;
}
