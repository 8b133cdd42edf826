/* Three workers take jobs from one channel; the first that fails ends them all. */
#include <errno.h>
#include <stdio.h>

#include <runnel/runnel.h>

struct lane {
    struct rn_rx jobs;
};

static int works(void *arg)
{
    const struct lane *lane = arg;
    int job, r;

    while ((r = rn_rx_recv(lane->jobs, &job, RN_FOREVER)) == 0) {
        if (job == 7)
            return -EPROTO; /* cancels the others: the scope fails fast */
        r = rn_sleep(rn_after(RN_MS));
        if (r < 0)
            return r;
    }
    return r == -EPIPE ? 0 : r;
}

static int workers_start(struct rn_scope scope, struct rn_rx jobs, struct lane lanes[], int n)
{
    int r = 0;

    for (int i = 0; i < n && r == 0; i++) {
        r = rn_rx_dup(jobs, &lanes[i].jobs); /* each has its own, and its end closes it */
        if (r == 0) {
            const struct rn_end given[] = {rn_end_rx(lanes[i].jobs)};
            r = rn_go(scope, works, &lanes[i], given, 1);
        }
    }
    return r;
}

static int app(void *arg)
{
    struct lane lanes[3];
    struct rn_scope scope;
    struct rn_tx tx;
    struct rn_rx jobs;
    int sent = 0, r = rn_chan_open(sizeof(int), 4, &tx, &jobs);

    (void)arg;
    if (r == 0)
        r = rn_scope_open(RN_SCOPE_FAIL_FAST, &scope);
    if (r < 0)
        return r;
    r = workers_start(scope, jobs, lanes, 3);
    rn_rx_closep(&jobs); /* ours; from now on only the workers receive */
    while (r == 0 && (r = rn_tx_send(tx, &sent, RN_FOREVER)) == 0)
        sent++;
    printf("sending ended with %s\n", r == -EPIPE ? "EPIPE: nobody works any more" : "?");
    r = rn_scope_close(scope);
    printf("the workers ended with %s\n", r == -EPROTO ? "EPROTO" : "?");
    return r == -EPROTO ? 0 : r;
}

int main(void)
{
    return rn_run(NULL, app, NULL) < 0;
}
