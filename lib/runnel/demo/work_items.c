/* The program of the README: what leaks in Go (work_items.go beside it) ends here. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <base/cleanup.h>
#include <runnel/runnel.h>

struct result {
    int value, error;
};
struct work {
    int item;
    struct rn_tx results;
    int sent; /* how it went, once the task has ended */
};

static int process_work_item(void *arg)
{
    struct work *w = arg;
    struct result r = {.value = w->item * w->item, .error = w->item == 1 ? -EIO : 0};

    if (r.error == 0)
        rn_sleep(rn_after(10 * RN_MS));
    w->sent = rn_tx_send(w->results, &r, RN_FOREVER);
    return 0;
}

static int process_work_items(struct work *work, size_t n, int *ret_sum)
{
    CLEANUP(rn_scope_closep) struct rn_scope scope = {0};
    CLEANUP(rn_tx_closep) struct rn_tx tx = {0};
    CLEANUP(rn_rx_closep) struct rn_rx rx = {0};
    struct result result;
    int sum = 0, r = rn_scope_open(RN_SCOPE_WAIT_ALL, &scope);

    if (r == 0)
        r = rn_chan_open(sizeof(struct result), 0, &tx, &rx);
    for (size_t i = 0; r == 0 && i < n; i++) {
        r = rn_tx_dup(tx, &work[i].results);
        if (r == 0) /* the task gets a sender of its own */
            r = rn_go(scope, process_work_item, &work[i],
                      (struct rn_end[]){rn_end_tx(work[i].results)}, 1);
    }
    for (size_t i = 0; r == 0 && i < n; i++) {
        r = rn_rx_recv(rx, &result, RN_FOREVER);
        if (r == 0)
            r = result.error; /* returns early, as in Go */
        sum += r == 0 ? result.value : 0;
    }
    rn_rx_closep(&rx); /* whoever has not sent by now is told: -EPIPE */
    rn_scope_wait(scope);
    *ret_sum = sum;
    return r;
}

static int demo(void *arg)
{
    struct work work[] = {{.item = 1}, {.item = 2}, {.item = 3}, {.item = 4}, {.item = 5}};
    struct rn_stats stats;
    int sum;

    (void)arg;
    printf("error: %s\n", strerror(-process_work_items(work, 5, &sum)));
    for (int i = 0; i < 5; i++)
        printf("item %d: %s\n", work[i].item, work[i].sent < 0 ? strerror(-work[i].sent) : "sent");
    rn_stats(rn_runtime_self(), &stats);
    printf("tasks: %d leaked: %d\n",
           (int)(stats.tasks_running + stats.tasks_runnable + stats.tasks_parked),
           rn_leak_check(rn_runtime_self(), NULL));
    return 0;
}

int main(void)
{
    return rn_run(NULL, demo, NULL) < 0;
}
