/* Driving transactions, see apply.h and transaction.h. File work runs on the blocking pool, in one
 * class with one thread. */
#include "apply.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <base/cleanup.h>
#include <base/log.h>
#include <model/hash.h>

#include "fault.h"
#include "takeup.h"

#define RESTORE_RETRY_NS RN_S

/* ---- jobs on the pool ---- */

struct job {
    struct ft_apply *apply;
    struct ft_offer **offer;
    const char *text;
    struct ft_text_error err;
};

static int begin_job(void *arg)
{
    struct job *j = arg;

    return ft_txn_begin(j->apply->store, j->apply->settings, j->offer, &j->apply->txn, &j->err);
}

static int write_job(void *arg)
{
    struct job *j = arg;

    return ft_txn_write(&j->apply->txn, &j->err);
}

static int fail_job(void *arg)
{
    struct job *j = arg;

    return ft_txn_fail(&j->apply->txn, j->text);
}

static int restore_job(void *arg)
{
    struct job *j = arg;

    return ft_txn_restore(&j->apply->txn, &j->err);
}

static int end_job(void *arg)
{
    struct job *j = arg;

    return ft_txn_end(&j->apply->txn);
}

static int record_job(void *arg)
{
    struct job *j = arg;

    return ft_store_set_outcome(j->apply->store, (*j->offer)->hash,
                                j->text ? FT_STATUS_FAILED : FT_STATUS_APPLIED,
                                j->text ? j->text : "");
}

static int run_job(struct ft_apply *a, int (*fn)(void *), struct job *j)
{
    j->apply = a;
    return FT_OUTSIDE(a->monitor, rn_blocking(a->files, fn, j));
}

/* ---- answers ---- */

static void answer(struct ft_apply *a, struct rn_slice hash, enum ft_status status,
                   const char *error)
{
    char hex[129];

    if (ft_outcome_set(&a->report->status, hash, status, error) < 0)
        return;
    ft_hex_format(rn_slice(hash.data, hash.len > 64 ? 64 : hash.len), hex);
    if (status == FT_STATUS_FAILED)
        log_warn("configuration FAILED", LOG_STR("hash", hex), LOG_STR("error", error));
    else
        log_info(status == FT_STATUS_APPLIED ? "configuration APPLIED" : "configuration APPLYING",
                 LOG_STR("hash", hex));
    ft_report_mark(a->report, status == FT_STATUS_APPLYING
                                  ? FT_PART_STATUS
                                  : FT_PART_STATUS | FT_PART_EFFECTIVE | FT_PART_HEALTH);
}

static bool is_hash(const struct ft_outcome *o, enum ft_status status, struct rn_slice hash)
{
    return o->status == status && rn_slice_eq(ft_outcome_hash(o), hash);
}

void ft_apply_offer(struct ft_apply *a, struct ft_offer *offer)
{
    a->next = ft_offer_free(a->next);
    if (is_hash(&a->current, FT_STATUS_APPLYING, offer->hash)) {
        answer(a, offer->hash, FT_STATUS_APPLYING, "");
        (void)ft_offer_free(offer);
    } else {
        a->next = offer;
        ft_bell_ring(&a->bell);
    }
}

/* ---- one transaction ---- */

static int forwards(struct ft_apply *a, bool fresh, char *why, size_t size)
{
    struct job j = {.err.text = ""};
    int r = fresh ? 0 : run_job(a, write_job, &j);

    if (r == -ECANCELED)
        return r;
    if (r < 0) {
        (void)snprintf(why, size, "%s", j.err.text);
        return r;
    }
    r = ft_take_up(a->supervisor, &a->txn.plan, fresh, why, size);
    if (r < 0)
        return r;
    r = run_job(a, end_job, &j);
    if (r < 0 && r != -ECANCELED)
        (void)snprintf(why, size, "the outcome cannot be recorded in %s: %s", a->settings->state,
                       strerror(-r));
    return r;
}

/* Files back, come what may. */
static int restore(struct ft_apply *a)
{
    bool told = false;

    for (;;) {
        struct job j = {.err.text = ""};
        char text[FT_TEXT_MAX];
        int r = run_job(a, restore_job, &j);

        if (r == 0 || r == -ECANCELED)
            return r;
        if (!told) {
            (void)snprintf(text, sizeof(text), "%.1200s; %s, tried again each second",
                           a->txn.reason, j.err.text);
            answer(a, a->txn.offer->hash, FT_STATUS_FAILED, text);
            told = true;
        }
        r = FT_OUTSIDE(a->monitor, rn_sleep(rn_after(RESTORE_RETRY_NS)));
        if (r < 0)
            return r;
    }
}

static int backwards(struct ft_apply *a, bool fresh)
{
    struct job j = {.err.text = ""};
    char why[1024] = "";
    int r = restore(a);

    if (r == 0)
        r = ft_take_up(a->supervisor, &a->txn.plan, fresh, why, sizeof(why));
    if (r == -ECANCELED)
        return r;
    if (r < 0) {
        size_t n = strnlen(a->txn.reason, 1000);
        (void)snprintf(a->txn.reason + n, sizeof(a->txn.reason) - n,
                       "; the last good configuration fails too: %s", why);
    }
    FT_FAULT_POINT(ROLLED_BACK);
    return run_job(a, end_job, &j);
}

/* The transaction in a->txn, to its end. 0, or -ECANCELED: the journal stays. */
static int transact(struct ft_apply *a, bool fresh)
{
    struct job j = {.err.text = ""};
    char why[1024] = "";
    int r;

    if (!a->txn.failed) {
        r = forwards(a, fresh, why, sizeof(why));
        if (r == -ECANCELED)
            return r;
        if (r == 0) {
            (void)ft_outcome_set(&a->applied, a->txn.offer->hash, FT_STATUS_APPLIED, "");
            answer(a, a->txn.offer->hash, FT_STATUS_APPLIED, "");
            return 0;
        }
        j.text = why;
        r = run_job(a, fail_job, &j);
        if (r == -ECANCELED)
            return r;
        if (r < 0)
            log_warn("a failure cannot be journalled: free or repair the state folder", LOG_ERR(r));
        fresh = false;
    }
    r = backwards(a, fresh);
    if (r != -ECANCELED)
        answer(a, a->txn.offer->hash, FT_STATUS_FAILED, a->txn.reason);
    return r == -ECANCELED ? r : 0;
}

/* An outcome without a transaction: FAILED with `why`, or APPLIED (NULL). */
static int outcome_tell(struct ft_apply *a, struct ft_offer **offer, const char *why)
{
    struct job j = {.offer = offer, .text = why};
    int r = run_job(a, record_job, &j);

    if (r == -ECANCELED)
        return r;
    if (r < 0)
        log_warn("an outcome cannot be recorded: free or repair the state folder", LOG_ERR(r));
    answer(a, (*offer)->hash, why ? FT_STATUS_FAILED : FT_STATUS_APPLIED, why ? why : "");
    return 0;
}

static int offer_apply(struct ft_apply *a, struct ft_offer **offer)
{
    struct job j = {.offer = offer, .err.text = ""};
    int r = ft_outcome_set(&a->current, (*offer)->hash, FT_STATUS_APPLYING, "");

    if (r < 0)
        return outcome_tell(a, offer, "out of memory");
    answer(a, (*offer)->hash, FT_STATUS_APPLYING, "");
    r = run_job(a, begin_job, &j);
    if (r == 0) {
        r = transact(a, false);
        ft_txn_fini(&a->txn);
    } else if (r != -ECANCELED) {
        r = outcome_tell(a, offer, j.err.text);
    }
    return r;
}

/* ---- the task ---- */

static int next_await(struct ft_apply *a, struct ft_offer **ret)
{
    int r = 0;

    while (!a->next && r == 0) {
        r = ft_bell_wait(&a->bell, RN_FOREVER);
        if (r == 0 && a->between)
            r = a->between(a->between_arg);
    }
    if (r < 0)
        return r;
    *ret = TAKE(a->next);
    return 0;
}

/* What runs already is not applied again, but answered: a worse one may have come and gone since.
 */
static int offer_take(struct ft_apply *a, struct ft_offer **offer)
{
    if (is_hash(&a->applied, FT_STATUS_APPLIED, (*offer)->hash))
        return outcome_tell(a, offer, NULL);
    return offer_apply(a, offer);
}

int ft_apply_task(void *arg)
{
    struct ft_apply *a = arg;
    int r = 0;

    ft_enter(a->monitor);
    if (a->pending) {
        r = transact(a, true);
        a->pending = false;
        ft_txn_fini(&a->txn);
    }
    while (r == 0) {
        CLEANUP(ft_offer_freep) struct ft_offer *offer = NULL;

        a->current.status = FT_STATUS_UNSET;
        r = next_await(a, &offer);
        if (r == 0)
            r = offer_take(a, &offer);
    }
    ft_leave(a->monitor);
    return r == -ECANCELED ? 0 : r;
}

int ft_apply_recover(struct ft_apply *a, struct ft_text_error *reterr)
{
    struct ft_text_error err = {""};
    int r = ft_txn_load(a->store, &a->txn, reterr);

    if (r <= 0)
        return r;
    a->pending = true;
    log_info("finishing an application that an earlier start left",
             LOG_STR("direction", a->txn.failed ? "backwards" : "forwards"));
    if (!a->txn.failed && !ft_plan_fits(&a->txn.plan, a->settings))
        (void)ft_txn_fail(&a->txn, "the agent's file changed during the application: push again");
    if (!a->txn.failed && ft_txn_write(&a->txn, &err) < 0)
        (void)ft_txn_fail(&a->txn, err.text);
    if (a->txn.failed && ft_txn_restore(&a->txn, &err) < 0)
        log_warn("files cannot be restored yet", LOG_STR("error", err.text));
    (void)ft_outcome_set(&a->current, a->txn.offer->hash, FT_STATUS_APPLYING, "");
    return ft_outcome_set(&a->report->status, a->txn.offer->hash, FT_STATUS_APPLYING, "");
}

void ft_apply_fini(struct ft_apply *a)
{
    a->next = ft_offer_free(a->next);
    ft_txn_fini(&a->txn);
    ft_outcome_fini(&a->applied);
    ft_outcome_fini(&a->current);
}
