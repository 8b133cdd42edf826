/* A lane's task: open, then gather and deliver by turns until stop is said and nothing is left. */
#include "metrics/lane_internal.h"

#include <errno.h>

#include <base/assert.h>
#include <base/clock.h>
#include <base/log.h>

#include <runnel/loop.h>

#include "events.h"

#define FAILURES_OPEN 5 /* in a row; then the lane is `open` */
#define LOG_PERIOD (60 * RN_S)
#define RETRY_AFTER_MAX (600 * RN_S)
#define STOP_RETRY_MAX (500 * RN_MS) /* between two tries while the server waits for us */
#define CLOSE_TIME_MAX (5 * RN_S)

/* ---- State and words ------------------------------------------------------------------------ */

static void lane_set_error(struct ft_lane *l, const char *prefix, const char *text)
{
    rn_lock_acquire(&l->lock);
    ft_text_error_set(&l->last_error, "%s%s", prefix, text);
    rn_lock_release(&l->lock);
}

/* One line when it begins, then one a minute. */
static bool log_is_due(rn_time *at)
{
    const rn_time now = rn_loop_now();

    if (*at && now < *at)
        return false;
    *at = now + LOG_PERIOD;
    return true;
}

static void lane_publish(const struct ft_lane *l, enum ft_lane_state state, const char *why)
{
    ft_events_publish(l->events, &(struct ft_event){.change = FT_EVENT_exporter_state,
                                                    .name = rn_slice_str(l->name),
                                                    .state = (uint8_t)state,
                                                    .text = rn_slice_str(why)});
}

static void lane_set_state(struct ft_lane *l, enum ft_lane_state to, const char *why)
{
    const enum ft_lane_state from =
        (enum ft_lane_state)atomic_exchange_explicit(&l->state, to, memory_order_relaxed);

    if (from != to)
        lane_publish(l, to, why);
    if (to == FT_LANE_ok) {
        if (from != FT_LANE_ok && from != FT_LANE_degraded) {
            log_info("exporter is up", LOG_STR("exporter", l->name),
                     LOG_STR("was", ft_lane_state_name(from)));
            l->log_trouble_at = 0;
        }
        return;
    }
    if ((from != to && to != FT_LANE_degraded) || log_is_due(&l->log_trouble_at)) {
        l->log_trouble_at = rn_loop_now() + LOG_PERIOD;
        log_warn("exporter has trouble", LOG_STR("exporter", l->name),
                 LOG_STR("state", ft_lane_state_name(to)), LOG_STR("why", why));
    }
}

static void lane_failed(struct ft_lane *l, bool hold, const char *why)
{
    l->failures++;
    lane_set_error(l, "", why);
    lane_set_state(l,
                   hold                           ? FT_LANE_holding
                   : l->failures >= FAILURES_OPEN ? FT_LANE_open
                                                  : FT_LANE_degraded,
                   why);
}

static void lane_tell_rejected(struct ft_lane *l, uint64_t n, const char *why)
{
    if (n == 0)
        return;
    lane_set_error(l, "rejected: ", why);
    l->rejected_unlogged += n;
    if (!log_is_due(&l->log_rejected_at))
        return;
    log_warn("exporter rejects samples", LOG_STR("exporter", l->name),
             LOG_UINT("samples", l->rejected_unlogged), LOG_STR("why", why));
    l->rejected_unlogged = 0;
}

/* ---- Waiting -------------------------------------------------------------------------------- */

/* splitmix64 */
static uint64_t lane_random(struct ft_lane *l)
{
    uint64_t z = l->random += UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

/* Full jitter: anything from 0 to base * 2^(failures - 1), but not more than the type's retry_max.
 */
static rn_time retry_pause(struct ft_lane *l, rn_time retry_after)
{
    const rn_time longest = l->stopping ? STOP_RETRY_MAX : ft_lane_type(l)->pace.retry_max;
    unsigned doublings = l->failures > 1 ? l->failures - 1 : 0;
    rn_time top = doublings < 20 ? l->tuning.retry_base << doublings : longest;
    rn_time pause;

    if (top > longest)
        top = longest;
    pause = (rn_time)(lane_random(l) % (uint64_t)(top + 1));
    if (retry_after > RETRY_AFTER_MAX)
        retry_after = RETRY_AFTER_MAX;
    return retry_after > pause && !l->stopping ? retry_after : pause;
}

/* Until the pause is over, stop is said or another exporter is there. 0, -ECANCELED. */
static int lane_pause(struct ft_lane *l, rn_time pause)
{
    int r;

    if (l->stopping)
        return rn_sleep(rn_after(pause));
    r = rn_rx_recv(l->order_rx, NULL, rn_after(pause));
    if (r == -EPIPE)
        l->stopping = true;
    return r == -ECANCELED ? r : 0;
}

/* ---- The exporter --------------------------------------------------------------------------- */

/* Close the exporter that we have; one that hangs is left behind. */
static void outlet_drop(struct ft_lane *l)
{
    if (l->opened && ft_outlet_close(l->outlet, rn_after(CLOSE_TIME_MAX)) < 0 &&
        ft_outlet_hangs(l->outlet))
        atomic_store(&l->left_hanging, true);
    l->outlet = ft_outlet_free(l->outlet);
    l->opened = false;
}

/* It waits for a better moment, unless there is a newer one already. */
static void outlet_put_back(struct ft_lane *l, struct ft_outlet *next)
{
    struct ft_outlet *none = NULL;

    if (!atomic_compare_exchange_strong(&l->next, &none, next))
        (void)ft_outlet_free(next);
}

/* Let the exporter that was ordered take the place of ours, between two sends. */
static void outlet_change(struct ft_lane *l)
{
    struct ft_outlet *next = atomic_exchange(&l->next, NULL);

    if (!next)
        return;
    if (ft_shipment_fit(l->shipment, &next->type->pace) < 0) {
        lane_set_error(l, "", "no memory for the changed exporter yet: free some");
        outlet_put_back(l, next);
        return;
    }
    outlet_drop(l);
    l->outlet = next;
    l->failures = 0;
    l->tend_at = 0;
    atomic_store_explicit(&l->type, next->type, memory_order_relaxed);
    if (atomic_exchange_explicit(&l->state, FT_LANE_starting, memory_order_relaxed) !=
        FT_LANE_starting)
        lane_publish(l, FT_LANE_starting, "");
}

static bool lane_is_empty(const struct ft_lane *l)
{
    return l->shipment->n_items == 0 &&
           atomic_load_explicit(&l->queued_batches, memory_order_relaxed) == 0;
}

/* Until the exporter that we shall have is open. 0; -EPIPE: stop was said, and there is nothing to
 * open it for; -ECANCELED. */
static int lane_ready(struct ft_lane *l)
{
    struct ft_text_error why = {0};
    int r = 0;

    while (r == 0) {
        outlet_change(l);
        if (l->opened)
            return 0;
        if (l->stopping && lane_is_empty(l))
            return -EPIPE;
        r = ft_outlet_open(l->outlet, &why);
        if (r == 0) {
            l->opened = true;
            l->failures = 0;
            lane_set_state(l, FT_LANE_ok, "");
        } else if (r != -ECANCELED) {
            lane_failed(l, r == -EACCES, r == -ENOMEM ? "no memory" : why.text);
            r = lane_pause(l, retry_pause(l, 0));
        }
    }
    return r;
}

/* ---- Chores --------------------------------------------------------------------------------- */

/* Do the exporter's chores if they are due. 0, -ECANCELED. */
static int lane_tend(struct ft_lane *l)
{
    struct ft_text_error why = {0};
    rn_time pause;

    if (l->stopping || rn_loop_now() < l->tend_at)
        return 0;
    int r = ft_outlet_tend(l->outlet, &pause, &why);
    if (r == -ECANCELED)
        return r;
    l->tend_at = pause == RN_FOREVER ? RN_FOREVER : rn_after(pause);
    if (r < 0 && log_is_due(&l->log_chores_at))
        log_warn("exporter cannot tidy up", LOG_STR("exporter", l->name), LOG_STR("why", why.text));
    return 0;
}

/* ---- Gathering ------------------------------------------------------------------------------ */

static void gather_item(struct ft_lane *l, const struct ft_lane_item *it)
{
    /* first here, then gone there: whoever sums up the two in between counts too many rather than
     * too few */
    atomic_fetch_add_explicit(&l->in_flight_batches, 1, memory_order_relaxed);
    ft_lane_uncount(l, it->batch);
    ft_ledger_move(&l->ledger, FT_COLUMN_queued, FT_COLUMN_in_flight, it->batch->count);
    ft_shipment_add(l->shipment, it->batch, it->since, it->required);
}

/* Wait for one more. 1: there is one; 2: look again; 0: no more is to be waited for; -ECANCELED. */
static int gather_wait(struct ft_lane *l, struct ft_lane_item *it, rn_time deadline)
{
    struct rn_case c[] = {RN_CASE_RECV(l->rx, it), RN_CASE_RECV(l->order_rx, NULL)};
    int r = rn_rx_try_recv(l->rx, it);

    if (r == 0)
        return 1;
    if (r != -EAGAIN || l->stopping)
        return 0;
    const bool chores_first = l->tend_at < deadline;
    r = rn_select_at(RN_WAIT_IDLE(), c, 2, chores_first ? l->tend_at : deadline);
    if (r == -ETIMEDOUT && chores_first) {
        r = lane_tend(l);
        return r < 0 ? r : 2;
    }
    if (r == 0 && c[0].result == 0)
        return 1;
    if (r >= 0 && c[r].result < 0)
        l->stopping = true;
    return r == -ECANCELED ? r : r == -ETIMEDOUT ? 0 : 2;
}

/* Fill the shipment. 0: it is due; -EPIPE: stop was said and there is nothing left; -ECANCELED. */
static int lane_gather(struct ft_lane *l)
{
    rn_time deadline = RN_FOREVER;
    struct ft_lane_item it;

    while (!ft_shipment_is_due(l->shipment, &ft_lane_type(l)->pace)) {
        int r = gather_wait(l, &it, deadline);

        if (r < 0)
            return r;
        if (r == 0)
            break;
        if (r == 1)
            gather_item(l, &it);
        if (r == 2)
            r = lane_ready(l);
        if (r < 0)
            return r;
        if (r == 1 && deadline == RN_FOREVER)
            deadline = rn_after(ft_lane_type(l)->pace.age_max);
    }
    return l->shipment->n_items ? 0 : -EPIPE;
}

/* ---- Delivering ----------------------------------------------------------------------------- */

static void batch_decided(void *arg, const struct ft_shipment_item *item)
{
    struct ft_lane *l = arg;

    atomic_fetch_sub_explicit(&l->in_flight_batches, 1, memory_order_relaxed);
    ft_lane_decide(l, item->batch, item->required);
    (void)ft_batch_unref(item->batch);
}

static void shipment_expire(struct ft_lane *l)
{
    const rn_time limit = rn_loop_now() - l->tuning.age_max;
    const uint64_t n = ft_shipment_remove(l->shipment, ft_row_is_older, limit, batch_decided, l);

    ft_ledger_move(&l->ledger, FT_COLUMN_in_flight, FT_DROPPED_expired, n);
}

/* Put every sample where its verdict says. */
static void shipment_judge(struct ft_lane *l)
{
    struct ft_shipment *s = l->shipment;
    struct ft_shipment_news news;
    const char *why;

    ft_shipment_count(s, &news);
    why = news.troubled_row == SIZE_MAX ? "no reason given"
                                        : ft_answer_reason(&s->answer, news.troubled_row);
    lane_tell_rejected(l, news.rejected, why);
    if (news.delivered + news.duplicate + news.rejected > 0)
        l->failures = 0;
    if (news.delivered + news.duplicate > 0)
        atomic_store_explicit(&l->last_success_ms, wall_ms(), memory_order_relaxed);
    if (news.retry + news.hold > 0)
        lane_failed(l, news.hold > 0, why);
    else
        lane_set_state(l, FT_LANE_ok, "");

    ft_ledger_move(&l->ledger, FT_COLUMN_in_flight, FT_COLUMN_delivered, news.delivered);
    ft_ledger_move(&l->ledger, FT_COLUMN_in_flight, FT_COLUMN_duplicate, news.duplicate);
    ft_ledger_move(&l->ledger, FT_COLUMN_in_flight, FT_DROPPED_rejected, news.rejected);
    (void)ft_shipment_remove(s, ft_row_is_decided, 0, batch_decided, l);
}

static int shipment_send(struct ft_lane *l)
{
    int r;

    atomic_store_explicit(&l->sending_since, rn_now(), memory_order_relaxed);
    r = ft_outlet_send(l->outlet, l->shipment, rn_after(ft_lane_type(l)->pace.send_max));
    atomic_store_explicit(&l->sending_since, 0, memory_order_relaxed);
    return r;
}

/* Send until every sample of the shipment is decided. 0, -ECANCELED. */
static int lane_deliver(struct ft_lane *l)
{
    struct ft_shipment *s = l->shipment;
    int r;

    for (;;) {
        shipment_expire(l);
        if (s->n_rows == 0)
            return 0;
        r = shipment_send(l);
        if (r < 0)
            return r;
        const rn_time retry_after = s->answer.retry_after;
        shipment_judge(l);
        if (s->n_rows == 0)
            return 0;
        r = lane_pause(l, retry_pause(l, retry_after));
        if (r == 0)
            r = lane_ready(l);
        if (r < 0)
            return r;
    }
}

/* ---- The task ------------------------------------------------------------------------------- */

/* What we had when the deadline cancelled us. A call that hangs may still read the shipment: it
 * lets go of the batches when it comes back. */
static void shipment_abandon(struct ft_lane *l)
{
    atomic_fetch_sub_explicit(&l->in_flight_batches, l->shipment->n_items, memory_order_relaxed);
    ft_ledger_move(&l->ledger, FT_COLUMN_in_flight, FT_DROPPED_shutdown, l->shipment->n_rows);
    if (atomic_load_explicit(&l->draining, memory_order_relaxed))
        for (size_t i = 0; i < l->shipment->n_items; i++)
            ft_lane_decide(l, l->shipment->items[i].batch, l->shipment->items[i].required);
    l->shipment = ft_shipment_unref(l->shipment);
}

int ft_lane_main(void *arg)
{
    struct ft_lane *l = arg;
    int r = 0;

    RN_CHECK(l, FT_LANE_MAGIC);
    while (r == 0) {
        r = lane_ready(l);
        if (r == 0)
            r = lane_gather(l);
        if (r == 0)
            r = lane_deliver(l);
        if (r == 0)
            r = lane_tend(l);
    }
    shipment_abandon(l);
    rn_rx_closep(&l->rx); /* its destructor drops what is still in the channel */
    rn_rx_closep(&l->order_rx);
    if (!ft_outlet_hangs(l->outlet) && rn_shield_begin(rn_after(CLOSE_TIME_MAX)) == 0) {
        (void)ft_outlet_close(l->outlet, rn_after(CLOSE_TIME_MAX));
        rn_shield_end();
    }
    return 0;
}
