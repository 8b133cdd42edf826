/* Runs a test's body as the first task of a runtime. */
#include <harness/task_test.h>

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static int plain_main(void *arg)
{
    void (*const *body)(void) = arg;

    (*body)();
    return 0;
}

void task_test_run(const struct rn_options *options, void (*body)(void))
{
    struct rn_options with = options ? *options : (struct rn_options){.workers = 1};
    int r;

    with.leaks = RN_LEAKS_ABORT;
    r = rn_run(&with, plain_main, &body);
    if (r < 0)
        FAIL("rn_run: %s (a task of the root scope failed, or the runtime could not start)", strerror(-r));
}

struct sim_case {
    void   (*body)(uint64_t seed);
    uint64_t seed;
};

static int sim_main(void *arg)
{
    const struct sim_case *c = arg;

    c->body(c->seed);
    return 0;
}

static void sim_run_one(struct sim_case *c)
{
    const struct rn_options options = {.workers = 1, .leaks = RN_LEAKS_ABORT, .sim = true, .seed = c->seed};
    int r;

    test_note("seed %" PRIu64 "; SIM_SEED=%" PRIu64 " runs it alone", c->seed, c->seed);
    r = rn_run(&options, sim_main, c);
    if (r < 0)
        FAIL("rn_run: %s", strerror(-r));
}

void sim_test_run(uint64_t n_seeds, void (*body)(uint64_t seed))
{
    const char *only = getenv("SIM_SEED");
    const uint64_t n = test_tasks(n_seeds);
    struct sim_case c = {.body = body};

    if (only) {
        c.seed = strtoull(only, NULL, 10);
        sim_run_one(&c);
        return;
    }
    for (c.seed = 1; c.seed <= n; c.seed++)
        sim_run_one(&c);
    test_note(NULL);
}

void task_test_nap(void)
{
    /* A cancelled body would spin here until the time limit; say what happened instead. */
    if (rn_yield() < 0 || rn_sleep(rn_after(RN_MS)) < 0)
        FAIL("cancelled while waiting");
}
