/* Tasks that are born and joined, alone and in the three classic programs. */
#include <stdatomic.h>
#include <unistd.h>

#include <base/cleanup.h>

#include "bench.h"

enum { BATCH = 1000, FANOUT = 10, SIEVE_MAX = 4096 };

static struct rn_scope scope_open(void)
{
    struct rn_scope scope = {0};

    CHECK(rn_scope_open(RN_SCOPE_WAIT_ALL, &scope) == 0);
    return scope;
}

static int count(void *arg)
{
    _Atomic uint64_t *counter = arg;

    atomic_fetch_add(counter, 1);
    return 0;
}

static void spawn(struct run *run, uint64_t batch)
{
    CLEANUP(rn_scope_closep) struct rn_scope scope = scope_open();
    _Atomic uint64_t counter = 0;

    for (uint64_t done = 0; done < run->n; done += batch) {
        for (uint64_t i = 0; i < batch; i++)
            CHECK(rn_go(scope, count, &counter, NULL, 0) == 0);
        CHECK(rn_scope_wait(scope) == 0);
        CHECK(atomic_load(&counter) == done + batch);
    }
    run->sum = atomic_load(&counter);
}

void work_spawn(struct run *run)
{
    spawn(run, 1);
}

void work_spawn_batch(struct run *run)
{
    spawn(run, BATCH);
}

struct filter {
    struct rn_rx rx;
    struct rn_tx tx;
    uint64_t prime;
};

static int generate(void *arg)
{
    struct filter *f = arg;

    for (uint64_t i = 2; rn_tx_send(f->tx, &i, RN_FOREVER) == 0; i++)
        ;
    return 0;
}

static int filter(void *arg)
{
    struct filter *f = arg;
    uint64_t v;

    while (rn_rx_recv(f->rx, &v, RN_FOREVER) == 0)
        if (v % f->prime != 0 && rn_tx_send(f->tx, &v, RN_FOREVER) < 0)
            break;
    return 0;
}

/* The first `n` primes: a chain of filters. It falls down when its last
 * receiver is closed. */
void work_sieve(struct run *run)
{
    CLEANUP(rn_scope_closep) struct rn_scope scope = scope_open();
    CLEANUP(freep) struct filter *filters = calloc(run->n + 1, sizeof(*filters));
    struct rn_rx rx = {0};

    CHECK(filters && run->n <= SIEVE_MAX);
    CHECK(rn_chan_open(sizeof(uint64_t), 0, &filters[0].tx, &rx) == 0);
    CHECK(rn_go(scope, generate, &filters[0], (struct rn_end[]){rn_end_tx(filters[0].tx)}, 1) == 0);
    for (uint64_t i = 1; i <= run->n; i++) {
        struct filter *f = &filters[i];

        f->rx = rx;
        CHECK(rn_rx_recv(rx, &f->prime, RN_FOREVER) == 0);
        run->sum += f->prime;
        CHECK(rn_chan_open(sizeof(uint64_t), 0, &f->tx, &rx) == 0);
        const struct rn_end ends[] = {rn_end_rx(f->rx), rn_end_tx(f->tx)};
        CHECK(rn_go(scope, filter, f, ends, 2) == 0);
    }
    rn_rx_closep(&rx);
    CHECK(rn_scope_wait(scope) == 0);
    CHECK(run->n != 500 || filters[run->n].prime == 3571);
}

struct fib {
    uint64_t n, result;
};

static int fib_task(void *arg);

/* One half in a task, the other here. */
static uint64_t fib(uint64_t n)
{
    if (n < 2)
        return n;
    CLEANUP(rn_scope_closep) struct rn_scope scope = scope_open();
    struct fib left = {.n = n - 1};
    CHECK(rn_go(scope, fib_task, &left, NULL, 0) == 0);
    const uint64_t right = fib(n - 2);
    CHECK(rn_scope_wait(scope) == 0);
    return left.result + right;
}

static int fib_task(void *arg)
{
    struct fib *f = arg;

    f->result = fib(f->n);
    return 0;
}

void work_fib(struct run *run)
{
    run->sum = fib(run->n);
    CHECK(run->n != 22 || run->sum == 17711);
}

struct node {
    struct rn_tx tx;
    uint64_t first, size;
};

static int node(void *arg);

static uint64_t children_sum(const struct node *n)
{
    CLEANUP(rn_scope_closep) struct rn_scope scope = scope_open();
    CLEANUP(rn_rx_closep) struct rn_rx rx = {0};
    struct node children[FANOUT];
    struct rn_tx tx;
    uint64_t sum = 0, v;

    CHECK(rn_chan_open(sizeof(uint64_t), 0, &tx, &rx) == 0);
    CHECK(rn_end_to_scope((struct rn_end[]){rn_end_tx(tx)}, 1, scope) ==
          0); /* all its tasks may send */
    for (uint64_t i = 0; i < FANOUT; i++) {
        const uint64_t size = n->size / FANOUT;

        children[i] = (struct node){.tx = tx, .first = n->first + i * size, .size = size};
        CHECK(rn_go(scope, node, &children[i], NULL, 0) == 0);
    }
    for (uint64_t i = 0; i < FANOUT; i++) {
        CHECK(rn_rx_recv(rx, &v, RN_FOREVER) == 0);
        sum += v;
    }
    CHECK(rn_scope_wait(scope) == 0);
    return sum;
}

static int node(void *arg)
{
    const struct node *n = arg;
    const uint64_t sum = n->size == 1 ? n->first : children_sum(n);

    CHECK(rn_tx_send(n->tx, &sum, RN_FOREVER) == 0);
    return 0;
}

/* A tree of tasks with `n`, a power of ten, leaves; each leaf sends its number up, each node the
 * sum. */
void work_skynet(struct run *run)
{
    const struct node root = {.first = 0, .size = run->n};

    run->sum = children_sum(&root);
    CHECK(run->sum == run->n * (run->n - 1) / 2);
}
