/* A ticker: every so often, at regular times, without drift.
 *
 *     struct rn_ticker t;
 *     OK(rn_ticker_start(&t, 10 * RN_S));
 *     while (rn_ticker_wait(&t) == 0)
 *         look_around();
 *
 * In a select its `next` is the deadline; after -ETIMEDOUT rn_ticker_step() goes on to the one after. Ticks that come while nobody waits are
 * dropped, all but the last; the next comes at its regular time. It holds nothing and has nothing to stop: who doesn't wait
 * any more has stopped it.
 *
 * Unless said otherwise:
 * Suspends: no.
 * Owner:    the caller's memory, for one task at a time.
 * From:     a task.
 */
#pragma once

#include <runnel/base.h>
#include <runnel/task.h>

struct rn_ticker {
    rn_time next, period;
};

/* The first tick comes a period from now. Starting it again begins anew.
 * Returns: 0, -EINVAL (the period isn't positive). */
RN_API int rn_ticker_start(struct rn_ticker *ticker, rn_time period);

/* Wait for the next tick; one that is past and wasn't waited for comes at once.
 * Suspends: until it.
 * Returns:  0, -ECANCELED, -EINVAL (never started), -EPERM (no task). */
#define rn_ticker_wait(ticker) rn_ticker_wait_at(RN_SITE(), ticker)
RN_API int rn_ticker_wait_at(const struct rn_site *site, struct rn_ticker *ticker);

/* The tick at `next` is used up: set `next` to the first regular time that is still to come.
 * Returns: how many ticks between were dropped; -EINVAL (never started). */
RN_API int64_t rn_ticker_step(struct rn_ticker *ticker);
