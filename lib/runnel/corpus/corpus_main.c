/* runnel-corpus: run all programs of the leak corpus and compare.
 *
 *     runnel-corpus              the table, and the totals
 *     runnel-corpus --tap        the same as tests
 *     runnel-corpus --list       name, Go's name, kind and verdict, for tools/leak-corpus
 *     runnel-corpus -v NAME      the reports of the programs with this in their name
 *
 * SEEDS=n runs each in the order of n seeds (10). Ends with 1 if anything was missed, or called
 * without reason.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "corpus/corpus.h"

enum kind { DEAD, SUSPECT, ENDS, HEALTHY, N_KINDS };
static const char *const kinds[N_KINDS] = {"dead", "suspect", "ends", "healthy"};

struct totals {
    unsigned programs, right, missed, false_alarms, wrong;
};

static enum kind kind_of(const struct program *p)
{
    if (strchr(p->expected, 'd'))
        return DEAD;
    if (strchr(p->expected, 's'))
        return SUSPECT;
    return p->like ? ENDS : HEALTHY;
}

/* The worst of all seeds. */
static struct outcome judge(const struct program *p, unsigned long seeds)
{
    struct outcome worst = {0};

    for (unsigned long seed = 1; seed <= seeds; seed++) {
        struct outcome o;
        program_run(p, seed, &o);
        o.missed += seed > 1 ? worst.missed : 0;
        o.false_alarms += seed > 1 ? worst.false_alarms : 0;
        o.wrong += seed > 1 ? worst.wrong : 0;
        worst = o;
    }
    return worst;
}

static bool count(struct totals *t, const struct outcome *o)
{
    const bool right = !o->missed && !o->false_alarms && !o->wrong;

    t->programs++;
    t->right += right;
    t->missed += o->missed > 0;
    t->false_alarms += o->false_alarms > 0;
    t->wrong += o->wrong > 0;
    return right;
}

static const char *verdict(const struct outcome *o)
{
    return o->false_alarms ? "FALSE ALARM"
           : o->missed     ? "MISSED"
           : o->wrong      ? "WRONG"
                           : "as expected";
}

static void tap(size_t i, const struct program *p, const struct outcome *o, bool right)
{
    printf("%sok %zu - %s: %s%s%s\n", right ? "" : "not ", i + 1, kinds[kind_of(p)], p->name,
           p->like ? ", as " : "", p->like ? p->like : "");
    if (!right)
        printf("# %s: expected %s of \"%s\"; %s\n", verdict(o), p->expected, p->tasks, o->says);
}

static void row(const struct program *p, const struct outcome *o)
{
    char found[64] = "nothing";

    if (o->dead || o->suspect)
        snprintf(found, sizeof(found), "%u dead, %u suspect", o->dead, o->suspect);
    printf("%-8s %-24s %-52s %-22s %s\n", kinds[kind_of(p)], p->like ? p->like : "", p->name, found,
           verdict(o));
}

static int totals_print(const struct totals totals[N_KINDS])
{
    int bad = 0;

    printf("\n%-8s %9s %9s %9s %13s %6s\n", "", "programs", "right", "missed", "false alarms",
           "wrong");
    for (int k = 0; k < N_KINDS; k++) {
        const struct totals *t = &totals[k];
        printf("%-8s %9u %9u %9u %13u %6u\n", kinds[k], t->programs, t->right, t->missed,
               t->false_alarms, t->wrong);
        bad |= t->right != t->programs || t->programs == 0;
    }
    return bad;
}

int main(int argc, char **argv)
{
    const char *mode = argc > 1 ? argv[1] : "", *only = argc > 2 ? argv[2] : "";
    const bool taps = strcmp(mode, "--tap") == 0, lists = strcmp(mode, "--list") == 0,
               speaks = strcmp(mode, "-v") == 0;
    const char *seeds = getenv("SEEDS");
    struct totals totals[N_KINDS] = {0};
    const unsigned long n_seeds = seeds ? strtoul(seeds, NULL, 10) : 10;
    int bad = 0;

    if (n_seeds == 0) {
        fprintf(stderr, "SEEDS must be a number from 1 on\n");
        return 2;
    }
    if (taps)
        printf("1..%zu\n", n_programs);
    for (size_t i = 0; i < n_programs; i++) {
        const struct program *p = &programs[i];
        if (!strstr(p->name, only))
            continue;
        const struct outcome o = judge(p, n_seeds);
        const bool right = count(&totals[kind_of(p)], &o);
        bad |= !right;
        if (taps)
            tap(i, p, &o, right);
        else if (lists)
            printf("%s\t%s\t%s\t%s\n", kinds[kind_of(p)], p->like ? p->like : "-", p->name,
                   verdict(&o));
        else
            row(p, &o);
        if (speaks)
            printf("%s\n%s", p->tasks, o.says);
    }
    if (!taps && !lists && !*only)
        bad |= totals_print(totals);
    return bad;
}
