/* runnel-random: programs by the thousand, each compared with the model after every step.
 *
 *     runnel-random [N]          seeds 1 to N (20,000, or as SEEDS says), as tests; then each
 * seeded fault of the model must be found runnel-random --seed S     that one, with its steps if it
 * fails
 *
 * A program that fails, crashes or hangs is shrunk and printed with its seed: programs run in child
 * processes, which tell how far they are in a page that is shared.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "random/random.h"

enum { FAULT_SEEDS = 500, HANG_S = 60, SHRUNK_MAX = 12, FAILURES_MAX = 3 };

static const char *const faults[N_FAULTS] = {
    NULL,
    "waiters are served last in, first out",
    "a receive from a full buffer lets nobody in",
    "a close wakes nobody",
    "a deadline comes five milliseconds late",
    "a cancelled task goes on waiting",
    "what is buffered at the end isn't destroyed",
};

struct progress {
    uint64_t seed; /* at work, or the one that failed */
    struct program_counts total;
};
static struct progress *progress;

/* ---- In a child ------------------------------------------------------------------------------ */

static void seeds_run(uint64_t last, enum fault fault)
{
    for (; progress->seed <= last; progress->seed++) {
        struct program_counts counts;
        struct random_program p;

        alarm(HANG_S);
        program_make(&p, progress->seed);
        if (program_try(&p, fault, &counts))
            _exit(1);
        progress->total.operations += counts.operations;
        progress->total.given_up += counts.given_up;
    }
}

/* 0, or how a child failed that did this. */
static int child_do(const struct random_program *p, uint64_t last, enum fault fault)
{
    int status = 0;
    const pid_t pid = fork();

    if (pid == 0) {
        alarm(HANG_S);
        if (p)
            _exit(program_try(p, fault, NULL) != NULL);
        seeds_run(last, fault);
        _exit(0);
    }
    if (pid < 0 || waitpid(pid, &status, 0) != pid)
        exit(2);
    return status;
}

bool program_fails(const struct random_program *p, enum fault fault)
{
    return child_do(p, 0, fault) != 0;
}

/* ---- What failed ----------------------------------------------------------------------------- */

static void tell(int status)
{
    const unsigned long long seed = progress->seed;
    struct random_program p;

    printf("# seed %llu %s; runnel-random --seed %llu runs it alone; shrunk:\n", seed,
           !WIFSIGNALED(status)          ? "fails: no order of the last steps explains what is seen"
           : WTERMSIG(status) == SIGALRM ? "hangs"
                                         : strsignal(WTERMSIG(status)),
           seed);
    program_make(&p, seed);
    program_shrink(&p, FAULT_NONE);
    program_print(&p);
}

static bool seeds_pass(uint64_t first, uint64_t last)
{
    unsigned failures = 0;

    for (progress->seed = first; progress->seed <= last && failures < FAILURES_MAX;) {
        const int status = child_do(NULL, last, FAULT_NONE);
        if (status) {
            failures++;
            tell(status);
            progress->seed++;
        }
    }
    return failures == 0;
}

/* The first seed that shows the fault, and how small its program can be made. */
static bool fault_found(enum fault fault, char *text, size_t n)
{
    struct random_program p;
    int status;

    progress->seed = 1;
    status = child_do(NULL, FAULT_SEEDS, fault);
    if (status == 0) {
        snprintf(text, n, "not found by %d seeds", FAULT_SEEDS);
        return false;
    }
    if (!WIFEXITED(status)) { /* it must be the comparison that finds it */
        snprintf(text, n, "seed %llu ends by signal %d", (unsigned long long)progress->seed, WTERMSIG(status));
        return false;
    }
    program_make(&p, progress->seed);
    program_shrink(&p, fault);
    snprintf(text, n, "seed %llu, shrunk to %zu steps", (unsigned long long)progress->seed, p.n);
    return p.n <= SHRUNK_MAX;
}

static uint64_t seeds_wanted(int argc, char **argv)
{
    const char *seeds = getenv("SEEDS"), *scale = getenv("TEST_TASKS");

    if (argc > 1)
        return strtoull(argv[1], NULL, 10);
    if (seeds)
        return strtoull(seeds, NULL, 10);
    return scale ? (uint64_t)(20000 * atof(scale)) + 1 : 20000;
}

int main(int argc, char **argv)
{
    const uint64_t n = seeds_wanted(argc, argv);
    char text[128];
    bool good;

    progress =
        mmap(NULL, sizeof(*progress), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (progress == MAP_FAILED)
        return 2;
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (argc == 3 && strcmp(argv[1], "--seed") == 0) {
        const uint64_t seed = strtoull(argv[2], NULL, 10);
        return !seeds_pass(seed, seed);
    }
    printf("1..%d\n", N_FAULTS);
    good = seeds_pass(1, n);
    printf("%s 1 - %llu random programs do what the model says\n", good ? "ok" : "not ok",
           (unsigned long long)n);
    printf("# %llu operations; %llu programs given up, since too many orders explained them\n",
           (unsigned long long)progress->total.operations,
           (unsigned long long)progress->total.given_up);
    for (int f = 1; f < N_FAULTS; f++) {
        const bool found = fault_found((enum fault)f, text, sizeof(text));
        printf("%s %d - a model in which %s is found out\n# %s\n", found ? "ok" : "not ok", f + 1,
               faults[f], text);
        good = good && found;
    }
    return !good;
}
