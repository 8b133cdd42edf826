/* Wait for whatever comes first: a value, a word to stop, or the time. */
#include <errno.h>
#include <stdio.h>

#include <runnel/runnel.h>

struct ends {
    struct rn_tx values, stop;
};

static int feeds(void *arg)
{
    const struct ends *e = arg;
    int r = 0;

    for (int i = 0; i < 3 && r == 0; i++) {
        r = rn_tx_send(e->values, &i, RN_FOREVER);
        if (r == 0)
            r = rn_sleep(rn_after(5 * RN_MS));
    }
    return r == 0 ? rn_tx_send(e->stop, NULL, RN_FOREVER) : r;
}

static int listens(struct rn_rx values, struct rn_rx stop)
{
    struct rn_rx none = {0}; /* a case with no end-point is ignored */

    for (;;) {
        int n;
        struct rn_case cases[] = {
            RN_CASE_RECV(values, &n),
            RN_CASE_RECV(stop, NULL),
            RN_CASE_RECV(none, NULL),
        };
        int chosen = rn_select(cases, 3, rn_after(RN_S));

        if (chosen == -ETIMEDOUT)
            puts("nothing for a second");
        if (chosen < 0)
            return chosen;
        if (cases[chosen].result < 0)
            values = none; /* the sender has gone: from now on only the word to stop counts */
        else if (chosen == 1)
            return 0;
        else
            printf("value %d\n", n);
    }
}

static int app(void *arg)
{
    struct ends e;
    struct rn_rx values, stop;
    int n, r = rn_chan_open(sizeof(int), 0, &e.values, &values);

    (void)arg;
    if (r == 0)
        r = rn_chan_open(0, 0, &e.stop, &stop); /* values without a size */
    if (r == 0) {
        struct rn_case look[] = {RN_CASE_RECV(values, &n)};
        const struct rn_end given[] = {rn_end_tx(e.values), rn_end_tx(e.stop)};

        if (rn_select(look, 1, 0) == -ETIMEDOUT) /* a deadline that has passed: a default case */
            puts("nothing there yet");
        r = rn_go(rn_scope_self(), feeds, &e, given, 2);
    }
    if (r == 0)
        r = listens(values, stop);
    puts("stopped");
    return r;
}

int main(void)
{
    return rn_run(NULL, app, NULL) < 0;
}
