/* A chain of filters that grows: each task keeps a prime and lets through what it doesn't divide.
 */
#include <stdio.h>

#include <runnel/runnel.h>

enum { PRIMES = 10 };

struct stage {
    struct rn_rx in;
    struct rn_tx out;
    int prime;
};

static int counts(void *arg)
{
    const struct stage *s = arg;
    int r = 0;

    for (int n = 2; r == 0; n++)
        r = rn_tx_send(s->out, &n, RN_FOREVER);
    return r;
}

static int filters(void *arg)
{
    const struct stage *s = arg;
    int n, r;

    while ((r = rn_rx_recv(s->in, &n, RN_FOREVER)) == 0)
        if (n % s->prime != 0 && (r = rn_tx_send(s->out, &n, RN_FOREVER)) < 0)
            break;
    return r;
}

/* Start a task that owns both of its ends; the next one reads from `*ret_rx`. */
static int stage_start(struct rn_scope scope, struct stage *s, int (*fn)(void *),
                       struct rn_rx *ret_rx)
{
    int r = rn_chan_open(sizeof(int), 0, &s->out, ret_rx);

    if (r == 0) {
        const struct rn_end ends[] = {rn_end_tx(s->out), rn_end_rx(s->in)};
        r = rn_go(scope, fn, s, ends, fn == counts ? 1 : 2);
    }
    return r;
}

static int app(void *arg)
{
    struct stage stages[PRIMES + 1] = {0};
    struct rn_scope scope;
    struct rn_rx rx;
    int prime, r = rn_scope_open(RN_SCOPE_WAIT_ALL, &scope);

    (void)arg;
    if (r == 0)
        r = stage_start(scope, &stages[0], counts, &rx);
    for (int i = 1; i <= PRIMES && r == 0; i++) {
        r = rn_rx_recv(rx, &prime, RN_FOREVER);
        printf("%d%s", prime, i == PRIMES ? "\n" : " ");
        stages[i] = (struct stage){.in = rx, .prime = prime};
        if (r == 0)
            r = stage_start(scope, &stages[i], filters, &rx);
    }
    rn_scope_closep(&scope); /* cancels the whole chain and waits for it */
    return r;
}

int main(void)
{
    return rn_run(NULL, app, NULL) < 0;
}
