/* Tickers: arithmetic on deadlines. A task that waits has a timer of its own anyway. */
#include <runnel/ticker.h>

#include <errno.h>

int rn_ticker_start(struct rn_ticker *ticker, rn_time period)
{
    if (period <= 0)
        return -EINVAL;
    *ticker = (struct rn_ticker){rn_after(period), period};
    return 0;
}

int64_t rn_ticker_step(struct rn_ticker *ticker)
{
    rn_time now = rn_now();
    int64_t dropped;

    if (ticker->period <= 0)
        return -EINVAL;
    dropped = now > ticker->next ? (now - ticker->next) / ticker->period : 0;
    if (__builtin_mul_overflow(dropped + 1, ticker->period, &now) ||
        __builtin_add_overflow(ticker->next, now, &ticker->next))
        ticker->next = RN_FOREVER;
    return dropped;
}

int rn_ticker_wait_at(const struct rn_site *site, struct rn_ticker *ticker)
{
    int r = ticker->period > 0 ? rn_sleep_at(site, ticker->next) : -EINVAL;

    if (r == 0)
        (void)rn_ticker_step(ticker);
    return r;
}
