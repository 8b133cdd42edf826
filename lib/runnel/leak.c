/* Leaks: checks on demand and by policy, and the verdicts of the last one.
 *
 * A check is two passes (leak_pass.c), the second of which confirms the candidates of the first;
 * when the first finds none, which is the rule, it is the only one. What was found dead is kept by
 * task and epoch for the census: a task whose epoch has moved on isn't the one that was meant.
 */
#include "leak_internal.h"

#include <errno.h>
#include <stdlib.h>

struct found {
    uint32_t id;
    uint64_t epoch;
};
struct told {
    const struct rn_site *site, *born;
};

struct rn__leaks {
    _Atomic uint64_t count;
    pthread_mutex_t  lock; /* a check; and what follows */
    struct found    *found; /* by id */
    size_t           n_found;
    struct told     *told; /* groups that were printed by policy */
    size_t           n_told;
};

struct rn__leaks *rn__leaks_open(void)
{
    struct rn__leaks *leaks = calloc(1, sizeof(*leaks));
    if (leaks)
        pthread_mutex_init(&leaks->lock, NULL);
    return leaks;
}

void rn__leaks_close(struct rn__leaks *leaks)
{
    if (!leaks)
        return;
    pthread_mutex_destroy(&leaks->lock);
    free(leaks->found);
    free(leaks->told);
    free(leaks);
}

uint64_t rn__leaks_count(const struct rn__leaks *leaks)
{
    return atomic_load_explicit(&leaks->count, memory_order_relaxed);
}

bool rn__leaks_dead(struct rn__leaks *leaks, uint32_t id, uint64_t epoch)
{
    bool dead = false;

    pthread_mutex_lock(&leaks->lock);
    for (size_t low = 0, high = leaks->n_found; low < high;) {
        size_t mid = low + (high - low) / 2;
        if (leaks->found[mid].id == id) {
            dead = leaks->found[mid].epoch == epoch;
            break;
        }
        if (leaks->found[mid].id < id)
            low = mid + 1;
        else
            high = mid;
    }
    pthread_mutex_unlock(&leaks->lock);
    return dead;
}

/* ---- Doors ----------------------------------------------------------------------------------- */

static int result_keep(struct rn__leaks *leaks, const struct rn__leak_pass *p)
{
    size_t n = 0;
    for (uint32_t i = 0; i < p->n_tasks; i++)
        n += rn__leak_dead(&p->tasks[i]);

    struct found *found = n > 0 ? calloc(n, sizeof(*found)) : NULL;
    if (n > 0 && !found)
        return -ENOMEM;
    free(leaks->found);
    leaks->found = found;
    leaks->n_found = 0;
    for (uint32_t i = 0; i < p->n_tasks; i++) {
        if (rn__leak_dead(&p->tasks[i]))
            found[leaks->n_found++] = (struct found){i, p->tasks[i].epoch};
    }
    atomic_store_explicit(&leaks->count, n, memory_order_relaxed);
    return (int)n;
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
    for (size_t i = 0; i < leaks->n_told; i++) {
        if (leaks->told[i].site == t->site && leaks->told[i].born == t->born)
            return true;
    }
    struct told *told = realloc(leaks->told, (leaks->n_told + 1) * sizeof(*told));
    if (told) {
        leaks->told = told;
        leaks->told[leaks->n_told++] = (struct told){t->site, t->born};
    }
    return false;
}

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
        r = result_keep(leaks, last);
    for (uint32_t i = 0; r > 0 && out && i < last->n_tasks; i++) {
        const struct rn__leak_task *t = &last->tasks[i];
        if (!rn__leak_dead(t) || t->told)
            continue;
        if (once && group_told(leaks, t))
            rn__leak_mark(last, i);
        else
            rn__leak_print(last, i, out);
    }
    rn__leak_pass_free(&first);
    rn__leak_pass_free(&second);
    return r;
}

static int check(const struct rn_runtime *rt, bool once, FILE *out)
{
    struct rn__leaks *leaks = rn__chans_of(rt)->leaks;

    pthread_mutex_lock(&leaks->lock);
    int r = check_locked(leaks, rt, once, out);
    pthread_mutex_unlock(&leaks->lock);
    return r;
}

int rn_leak_check(struct rn_runtime *rt, FILE *out)
{
    return check(rt, false, out);
}

void rn__leak_idle(struct rn_runtime *rt)
{
    enum rn_leak_policy policy = rn__leak_policy(rt);

    if (policy == RN_LEAKS_IGNORE)
        return;
    if (check(rt, true, stderr) > 0 && policy == RN_LEAKS_ABORT)
        abort();
}
