/* RN_DEBUG=memtrace=1: a change is noted, and the line is written when the turn ends.
 * RN_DEBUG=trim=1: what is given back is not kept warm. Both are read once. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <runnel/memtrace.h>

#include "core.h"

static pthread_once_t once = PTHREAD_ONCE_INIT;
static _Atomic bool on, trims;
static rn_time begun;

/* `name=1` among the words of `env`, which commas part. */
static bool is_set(const char *env, const char *name)
{
    const size_t n = strlen(name);
    const char *word = strstr(env, name);

    return word && (word == env || word[-1] == ',') && word[n] == '=' && word[n + 1] != '0' &&
           word[n + 1] != 0;
}

static void read_env(void)
{
    const char *env = getenv("RN_DEBUG");

    begun = rn__clock();
    atomic_store(&on, env && is_set(env, "memtrace"));
    atomic_store(&trims, env && is_set(env, "trim"));
}

void rn__memtrace_from_env(void)
{
    pthread_once(&once, read_env);
}

static void print(struct rn_defer *defer)
{
    struct rn_memtrace *t = LIST_ENTRY(defer, struct rn_memtrace, defer);
    char state[128] = "", line[320];
    int n;

    t->describe(t, state, sizeof(state));
    n = snprintf(line, sizeof(line), "memtrace @%.3fs %s: %s: +%llu -%llu, %s\n",
                 (double)(rn__clock() - begun) / RN_S, rn__rt()->name, t->name,
                 (unsigned long long)t->grown, (unsigned long long)t->trimmed, state);
    t->grown = t->trimmed = 0;
    (void)!write(STDERR_FILENO, line, n < (int)sizeof(line) ? (size_t)n : sizeof(line) - 1);
}

static bool traced(struct rn_memtrace *t)
{
    if (!atomic_load_explicit(&on, memory_order_relaxed) || !t->describe || !rn__worker_self())
        return false;
    t->defer.fn = print;
    rn_loop_defer(&t->defer);
    return true;
}

void rn_memtrace_grown(struct rn_memtrace *t, uint64_t n)
{
    if (traced(t))
        t->grown += n;
}

void rn_memtrace_trimmed(struct rn_memtrace *t, uint64_t n)
{
    if (traced(t))
        t->trimmed += n;
}

bool rn_memtrace_trims(void)
{
    return atomic_load_explicit(&trims, memory_order_relaxed);
}
