/* runnel-random: programs by the thousand, each compared with the model after every step.
 *
 *     runnel-random [N]          seeds 1 to N (20,000, or as SEEDS says), as tests; then each
 * seeded fault of the model must be found runnel-random --seed S     that one, with its steps if it
 * fails
 *
 * A failing program is shrunk, and printed with its seed.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "random/random.h"

enum { FAULT_SEEDS = 500 };

static const char *const faults[N_FAULTS] = {
    NULL,
    "waiters are served last in, first out",
    "a receive from a full buffer lets nobody in",
    "a close wakes nobody",
    "a deadline comes five milliseconds late",
    "a cancelled task goes on waiting",
    "what is buffered at the end isn't destroyed",
};

static struct program_counts total;

static const char *fail(uint64_t seed, enum fault fault, bool tell)
{
    struct program_counts counts;
    struct random_program p;
    const char *why;

    program_make(&p, seed);
    why = program_try(&p, fault, &counts);
    total.operations += counts.operations;
    total.given_up += counts.given_up;
    if (!why || !tell)
        return why;
    printf("# seed %llu fails: %s; runnel-random --seed %llu runs it alone; shrunk:\n",
           (unsigned long long)seed, why, (unsigned long long)seed);
    program_shrink(&p, fault);
    program_print(&p);
    return why;
}

/* The first seed that shows the fault, and how small its program can be made. */
static bool fault_found(enum fault fault, char *text, size_t n)
{
    struct random_program p;

    for (uint64_t seed = 1; seed <= FAULT_SEEDS; seed++) {
        if (!fail(seed, fault, false))
            continue;
        program_make(&p, seed);
        program_shrink(&p, fault);
        snprintf(text, n, "seed %llu, shrunk to %zu steps", (unsigned long long)seed, p.n);
        return program_try(&p, fault, NULL) && p.n <= 12;
    }
    snprintf(text, n, "not found by %d seeds", FAULT_SEEDS);
    return false;
}

int main(int argc, char **argv)
{
    const char *seeds = getenv("SEEDS"), *scale = getenv("TEST_TASKS");
    char text[128];
    int bad = 0;

    if (argc == 3 && strcmp(argv[1], "--seed") == 0)
        return fail(strtoull(argv[2], NULL, 10), FAULT_NONE, true) != NULL;
    const uint64_t wanted = strtoull(argc > 1 ? argv[1] : seeds ? seeds : "20000", NULL, 10);
    const uint64_t n =
        argc > 1 || seeds || !scale ? wanted : (uint64_t)((double)wanted * atof(scale)) + 1;
    uint64_t failed = 0;

    printf("1..%d\n", N_FAULTS);
    for (uint64_t seed = 1; seed <= n && failed < 3; seed++)
        failed += fail(seed, FAULT_NONE, true) != NULL;
    printf("%s 1 - %llu random programs do what the model says\n", failed ? "not ok" : "ok",
           (unsigned long long)n);
    printf("# %llu operations; %llu programs given up, since too many orders explained them\n",
           (unsigned long long)total.operations, (unsigned long long)total.given_up);
    bad |= failed > 0;
    for (int f = 1; f < N_FAULTS; f++) {
        const bool found = fault_found((enum fault)f, text, sizeof(text));
        printf("%s %d - a model in which %s is found out\n# %s\n", found ? "ok" : "not ok", f + 1,
               faults[f], text);
        bad |= !found;
    }
    return bad;
}
