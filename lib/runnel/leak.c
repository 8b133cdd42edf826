/* Leaks: checks on demand and by policy, and the verdicts of the last one.
 *
 * A check is two passes (leak_pass.c), the second of which confirms the candidates of the first;
 * when the first finds none, which is the rule, it is the only one. Then the suspects are counted
 * among the living (leak_suspect.c). What was found is kept by task and epoch in one word each, for
 * the census: a task whose epoch has moved on isn't the one that was meant.
 *
 * The lock is for checks alone, and nothing that could wait is done under it: what is to be told is
 * gathered in memory and written after the release. Whoever can't have it in a second gives up.
 */
#include "leak_internal.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define LOCK_TRIES 1000 /* of a millisecond */

struct told {
    const struct rn_site *site, *born;
    enum rn__leak_verdict verdict;
};

struct rn__leaks {
    _Atomic uint64_t dead, suspect;
    _Atomic uint64_t *verdicts; /* by task id: epoch << 2 | verdict */

    pthread_mutex_t lock; /* a check; and what follows */
    struct told    *told; /* groups that were printed by policy */
    size_t          n_told;
    struct rn__leak_history history;
};

struct rn__leaks *rn__leaks_open(void)
{
    struct rn__leaks *leaks = calloc(1, sizeof(*leaks));
    if (!leaks)
        return NULL;

    pthread_mutex_init(&leaks->lock, NULL);
    leaks->verdicts = rn__reserve(RN__LEAK_TASKS * sizeof(*leaks->verdicts));
    if (!leaks->verdicts) {
        rn__leaks_close(leaks);
        return NULL;
    }
    return leaks;
}

void rn__leaks_close(struct rn__leaks *leaks)
{
    if (!leaks)
        return;
    pthread_mutex_destroy(&leaks->lock);
    rn__unreserve(leaks->verdicts, RN__LEAK_TASKS * sizeof(*leaks->verdicts));
    rn__leak_history_free(&leaks->history);
    free(leaks->told);
    free(leaks);
}

uint64_t rn__leaks_count(const struct rn__leaks *leaks, enum rn__leak_verdict verdict)
{
    return atomic_load_explicit(verdict == RN__LEAK_DEAD ? &leaks->dead : &leaks->suspect,
                                memory_order_relaxed);
}

enum rn__leak_verdict rn__leaks_verdict(const struct rn__leaks *leaks, uint32_t id, uint64_t epoch)
{
    uint64_t v = id < RN__LEAK_TASKS
                     ? atomic_load_explicit(&leaks->verdicts[id], memory_order_relaxed)
                     : 0;
    return v >> 2 == epoch ? (enum rn__leak_verdict)(v & 3) : RN__LEAK_NONE;
}

/* ---- Doors ----------------------------------------------------------------------------------- */

static int lock(struct rn__leaks *leaks)
{
    const struct timespec ms = {.tv_nsec = 1000000};

    for (unsigned i = 0; i < LOCK_TRIES; i++) {
        if (pthread_mutex_trylock(&leaks->lock) == 0)
            return 0;
        (void)nanosleep(&ms, NULL);
    }
    return -EBUSY;
}

static void result_keep(struct rn__leaks *leaks, const struct rn__leak_pass *p)
{
    uint64_t n[RN__LEAK_SUSPECT + 1] = {0};

    for (uint32_t i = 0; i < p->n_tasks && i < RN__LEAK_TASKS; i++) {
        const struct rn__leak_task *t = &p->tasks[i];
        enum rn__leak_verdict verdict = rn__leak_verdict(t);
        uint64_t word = verdict == RN__LEAK_NONE ? 0 : t->epoch << 2 | verdict;

        n[verdict]++;
        if (atomic_load_explicit(&leaks->verdicts[i], memory_order_relaxed) != word)
            atomic_store_explicit(&leaks->verdicts[i], word, memory_order_relaxed);
    }
    atomic_store_explicit(&leaks->dead, n[RN__LEAK_DEAD], memory_order_relaxed);
    atomic_store_explicit(&leaks->suspect, n[RN__LEAK_SUSPECT], memory_order_relaxed);
}

static bool pass_has_dead(const struct rn__leak_pass *p)
{
    for (uint32_t i = 0; i < p->n_tasks; i++) {
        if (rn__leak_dead(&p->tasks[i]))
            return true;
    }
    return false;
}

/* Was this group printed by policy before? If not it is remembered; without memory for that it is
 * printed again. */
static bool group_told(struct rn__leaks *leaks, const struct rn__leak_task *t)
{
    enum rn__leak_verdict verdict = rn__leak_verdict(t);

    for (size_t i = 0; i < leaks->n_told; i++) {
        const struct told *old = &leaks->told[i];
        if (old->site == t->site && old->born == t->born && old->verdict == verdict)
            return true;
    }
    struct told *told = realloc(leaks->told, (leaks->n_told + 1) * sizeof(*told));
    if (told) {
        leaks->told = told;
        leaks->told[leaks->n_told++] = (struct told){t->site, t->born, verdict};
    }
    return false;
}

static void tell_locked(struct rn__leaks *leaks, struct rn__leak_pass *p, bool once, FILE *out)
{
    for (uint32_t i = 0; i < p->n_tasks; i++) {
        const struct rn__leak_task *t = &p->tasks[i];
        if (rn__leak_verdict(t) == RN__LEAK_NONE || t->told)
            continue;
        if (once && group_told(leaks, t))
            rn__leak_mark(p, i);
        else
            rn__leak_print(p, i, &leaks->history, out);
    }
}

/* The number of the dead; *ret_suspects those of the others. */
static int check_locked(struct rn__leaks *leaks, const struct rn_runtime *rt, bool once, FILE *out)
{
    struct rn__leak_pass first = {0}, second = {0};
    struct rn__leak_pass *last = &first;
    int r = rn__leak_pass(&first, rt, NULL);

    if (r == 0 && pass_has_dead(&first)) {
        last = &second;
        r = rn__leak_pass(&second, rt, &first);
    }
    if (r == 0)
        r = rn__leak_suspects(last, &leaks->history);
    if (r == 0) {
        result_keep(leaks, last);
        r = (int)rn__leaks_count(leaks, RN__LEAK_DEAD);
        if (out)
            tell_locked(leaks, last, once, out);
    }
    rn__leak_pass_free(&first);
    rn__leak_pass_free(&second);
    return r;
}

static int check(const struct rn_runtime *rt, bool once, FILE *out)
{
    struct rn__leaks *leaks = rn__chans_of(rt)->leaks;
    char *text = NULL;
    size_t len = 0;
    FILE *memory = out ? open_memstream(&text, &len) : NULL;
    int r = out && !memory ? -ENOMEM : lock(leaks);

    if (r == 0) {
        r = check_locked(leaks, rt, once, memory);
        pthread_mutex_unlock(&leaks->lock);
    }
    if (memory && fclose(memory) == 0 && len > 0)
        fwrite(text, 1, len, out);
    free(text);
    return r;
}

int rn_leak_check(struct rn_runtime *rt, FILE *out)
{
    return check(rt, false, out);
}

int rn_leak_watch(struct rn_runtime *rt)
{
    enum rn_leak_policy policy = rn__leak_policy(rt);
    struct pollfd err = {.fd = STDERR_FILENO, .events = POLLOUT};
    int r;

    if (policy == RN_LEAKS_IGNORE)
        return check(rt, false, NULL);
    /* who watches must not hang where nobody reads what it says */
    r = check(rt, true, poll(&err, 1, 0) == 1 ? stderr : NULL);
    if (r > 0 && policy == RN_LEAKS_ABORT)
        abort();
    return r;
}

void rn__leak_idle(struct rn_runtime *rt)
{
    if (rn__leak_policy(rt) != RN_LEAKS_IGNORE)
        (void)rn_leak_watch(rt);
}
