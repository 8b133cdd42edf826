/* Power series as pipelines of tasks: exact results out of hundreds of tasks and channels.
 *
 * A series is a channel of its coefficients, modulo a prime so that they stay whole. Each operation
 * is a task between channels; a product splits its factors and contains a product of what is left
 * of them, so there are more tasks with each coefficient. Whoever has enough closes its receiver,
 * and that ends the lot.
 */
#include "conformance/conformance_testing.h"

enum { PRIME = 1000003, TERMS = 12, AHEAD = 4, NODES = 1000 };

struct node {
    struct rn_rx a, b;
    struct rn_tx to, to2;
    int64_t n;
};
static struct node nodes[NODES];
static _Atomic size_t n_nodes;
static struct rn_scope series;

static struct node *node_new(struct node n)
{
    const size_t i = n_nodes++;

    LT(i, NODES);
    nodes[i] = n;
    return &nodes[i];
}

static int64_t power(int64_t base, int64_t exponent)
{
    int64_t r = 1;

    for (; exponent > 0; exponent >>= 1, base = base * base % PRIME) {
        if (exponent & 1)
            r = r * base % PRIME;
    }
    return r;
}

static bool take(struct rn_rx rx, int64_t *ret)
{
    return rn_rx_recv(rx, ret, RN_FOREVER) == 0;
}

static bool give(struct rn_tx tx, int64_t v)
{
    return rn_tx_send(tx, &v, RN_FOREVER) == 0;
}

/* ---- Operations ------------------------------------------------------------------------------ */

/* 1/(1-x): all ones. */
static int ones(void *arg)
{
    const struct node *n = arg;

    while (give(n->to, n->n))
        ;
    return 0;
}

static int split(void *arg)
{
    const struct node *n = arg;
    int64_t v;
    bool first = true, second = true;

    while ((first || second) && take(n->a, &v)) {
        first = first && give(n->to, v);
        second = second && give(n->to2, v);
    }
    return 0;
}

static int add(void *arg)
{
    const struct node *n = arg;
    int64_t v, w;

    while (take(n->a, &v) && take(n->b, &w) && give(n->to, (v + w) % PRIME))
        ;
    return 0;
}

/* Every coefficient times n. */
static int scale(void *arg)
{
    const struct node *n = arg;
    int64_t v;

    while (take(n->a, &v) && give(n->to, v * n->n % PRIME))
        ;
    return 0;
}

/* n + the integral of a. */
static int integrate(void *arg)
{
    const struct node *n = arg;
    int64_t v;

    if (!give(n->to, n->n))
        return 0;
    for (int64_t i = 1; take(n->a, &v) && give(n->to, v * power(i, PRIME - 2) % PRIME); i++)
        ;
    return 0;
}

static struct rn_rx start_one(int (*fn)(void *), struct node n)
{
    struct chan c = chan_open(sizeof(int64_t), 0); /* so nobody computes what nobody asked for */
    struct node *node;

    n.to = c.tx;
    node = node_new(n);
    const struct rn_end ends[] = {rn_end_tx(c.tx), rn_end_rx(n.a), rn_end_rx(n.b)};
    OK(rn_go(series, fn, node, ends, n.b.gen ? 3 : n.a.gen ? 2 : 1));
    return c.rx;
}

static void start_split(struct rn_rx from, struct rn_rx *ret_a, struct rn_rx *ret_b)
{
    /* One side may run ahead of the other. */
    struct chan a = chan_open(sizeof(int64_t), AHEAD), b = chan_open(sizeof(int64_t), AHEAD);
    struct node *n = node_new((struct node){.a = from, .to = a.tx, .to2 = b.tx});

    OK(GO(series, split, n, rn_end_rx(from), rn_end_tx(a.tx), rn_end_tx(b.tx)));
    *ret_a = a.rx;
    *ret_b = b.rx;
}

static int multiply(void *arg);

static struct rn_rx start_product(struct rn_rx a, struct rn_rx b, int64_t terms)
{
    return start_one(multiply, (struct node){.a = a, .b = b, .n = terms});
}

static struct rn_rx sum(struct rn_rx a, struct rn_rx b)
{
    return start_one(add, (struct node){.a = a, .b = b});
}

/* (a + xA)(b + xB) = ab + x(aB + bA) + x^2 AB, where the rest is again a product, of n - 2 terms:
 * every stage works one value ahead, so without a number each product would start the next one for
 * ever. */
static int multiply(void *arg)
{
    const struct node *n = arg;
    struct rn_rx a1, a2, b1, b2, rest;
    int64_t a, b, v;

    if (!take(n->a, &a) || !take(n->b, &b) || !give(n->to, a * b % PRIME))
        return 0;
    start_split(n->a, &a1, &a2);
    start_split(n->b, &b1, &b2);
    rest = sum(start_one(scale, (struct node){.a = b1, .n = a}),
               start_one(scale, (struct node){.a = a1, .n = b}));
    if (!take(rest, &v) || !give(n->to, v) || n->n <= 2)
        return 0;
    rest = sum(rest, start_product(a2, b2, n->n - 2));
    while (take(rest, &v) && give(n->to, v))
        ;
    return 0;
}

/* ---- Results --------------------------------------------------------------------------------- */

/* The first terms have to be these; then whoever made them ends. */
static void expect(struct rn_rx rx, int64_t (*want)(int64_t i))
{
    int64_t v;

    for (int64_t i = 0; i < TERMS; i++) {
        OK(rn_rx_recv(rx, &v, RN_FOREVER));
        EQ(v, want(i));
    }
    OK(rn_rx_close(rx));
    OK(rn_scope_wait(series));
    EQ(ends_open(), 0);
    n_nodes = 0;
}

static int64_t next(int64_t i)
{
    return i + 1;
}

static int64_t triangular(int64_t i)
{
    return (i + 1) * (i + 2) / 2;
}

static int64_t inverse(int64_t i)
{
    return i == 0 ? 0 : power(i, PRIME - 2);
}

/* The square of -log(1-x) has the coefficients 2 H(i-1) / i. */
static int64_t log_squared(int64_t i)
{
    int64_t harmonic = 0;

    for (int64_t k = 1; k < i; k++)
        harmonic = (harmonic + power(k, PRIME - 2)) % PRIME;
    return i == 0 ? 0 : 2 * harmonic % PRIME * power(i, PRIME - 2) % PRIME;
}

static struct rn_rx ones_series(void)
{
    return start_one(ones, (struct node){.n = 1});
}

static struct rn_rx log_series(void)
{
    return start_one(integrate, (struct node){.a = ones_series()});
}

static struct rn_rx square(void)
{
    return start_product(ones_series(), ones_series(), TERMS);
}

SIM_TEST(power_series_give_exact_results_and_end_by_one_close, 20)
{
    SCOPE(s);

    series = s;
    expect(square(), next);
    expect(start_product(square(), ones_series(), TERMS), triangular);
    expect(log_series(), inverse);
    expect(start_product(log_series(), log_series(), TERMS), log_squared);
}
