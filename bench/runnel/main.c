/* runnel-bench [--workers N] WORK TIMES: do one work, first cold, then warm, and print what it
 * took.
 *
 * Exit 77: the runtime does not take so many workers. */
#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#include "bench.h"

enum { WARM = 3 };

static const struct work {
    const char *name;
    void (*run)(struct run *run);
    bool once; /* a second time in the same process would measure something else */
} works[] = {
    {"yield", work_yield, false},
    {"ping-pong", work_ping_pong, false},
    {"buffered", work_buffered, false},
    {"pipe", work_pipe, false},
    {"4x4", work_four_by_four, false},
    {"spawn", work_spawn, false},
    {"spawn-batch", work_spawn_batch, false},
    {"select", work_select, false},
    {"default-one", work_default_one, false},
    {"default-two", work_default_two, false},
    {"try", work_try, false},
    {"timer", work_timer, false},
    {"timer-again", work_timer, false}, /* a record of the caller's has no other way */
    {"sieve", work_sieve, false},
    {"fib", work_fib, false},
    {"skynet", work_skynet, false},
    {"parked", work_parked, true},
    {"wake", work_wake, false},
    {"wake-bare", work_wake_bare, false},
};

/* Nanoseconds of one on the wall, or what the work itself measured; and of the processor, all
 * threads. */
struct took {
    double wall, cpu;
};

struct bench {
    const struct work *work;
    uint64_t n, sum;
    struct took cold, warm;
};

static int ascending(const void *a, const void *b)
{
    const struct took *x = a, *y = b;

    return (x->wall > y->wall) - (x->wall < y->wall);
}

static struct took pass(struct bench *b)
{
    struct run run = {.n = b->n, .measure = -1};
    const int64_t start = clock_ns(), cpu = clock_of(CLOCK_PROCESS_CPUTIME_ID);

    b->work->run(&run);
    const int64_t used = clock_of(CLOCK_PROCESS_CPUTIME_ID) - cpu;
    if (run.measure < 0)
        run.measure = (double)(clock_ns() - start) / (double)b->n;
    b->sum = run.sum;
    return (struct took){.wall = run.measure, .cpu = (double)used / (double)b->n};
}

static int bench(void *arg)
{
    struct bench *b = arg;
    struct took warm[WARM];

    b->cold = b->warm = pass(b);
    if (b->work->once)
        return 0;
    for (int i = 0; i < WARM; i++)
        warm[i] = pass(b);
    qsort(warm, WARM, sizeof(warm[0]), ascending);
    b->warm = warm[WARM / 2];
    return 0;
}

static const struct work *find(const char *name)
{
    for (size_t i = 0; i < sizeof(works) / sizeof(works[0]); i++)
        if (strcmp(works[i].name, name) == 0)
            return &works[i];
    return NULL;
}

int main(int argc, char **argv)
{
    struct rn_options options = {.workers = 1};
    struct bench b = {0};
    int at = 1, r;

    if (argc > 3 && strcmp(argv[1], "--workers") == 0) {
        options.workers = (unsigned)strtoul(argv[2], NULL, 10);
        at = 3;
    }
    if (argc - at == 2) {
        b.work = find(argv[at]);
        b.n = strtoull(argv[at + 1], NULL, 10);
    }
    if (!b.work || b.n == 0) {
        fprintf(stderr, "usage: %s [--workers N] WORK TIMES\n", argv[0]);
        return 2;
    }
    r = rn_run(&options, bench, &b);
    if (r == -EINVAL && options.workers > 1) {
        fprintf(stderr, "the runtime takes no %u workers\n", options.workers);
        return 77;
    }
    CHECK(r == 0);
    printf("{\"work\": \"%s\", \"sum\": %" PRIu64
           ", \"cold\": %.2f, \"warm\": %.2f, \"cpu\": %.2f, "
           "\"by\": \"runnel\"}\n",
           b.work->name, b.sum, b.cold.wall, b.warm.wall, b.warm.cpu);
    return 0;
}
