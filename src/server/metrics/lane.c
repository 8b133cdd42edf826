/* The lane's task, and what others may ask of a lane.
 *
 * Who counts a sample where: offer() puts it into `queued` before it pushes, so that the task never finds one that was not counted. The task moves
 * a whole shipment to `in_flight` when it begins to send it, and row by row out of it. Whatever leaves the channel in another
 * way (evicted, refused, or still there when the task ends) passes through item_drop().
 */
#include "metrics/lane.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <time.h>

#include <base/assert.h>
#include <base/cleanup.h>
#include <base/log.h>

#include <runnel/lock.h>
#include <runnel/loop.h>

#include "metrics/door.h"
#include "metrics/outlet.h"
#include "metrics/shipment.h"

#define LANE_MAGIC      0x6c616e65
#define FAILURES_OPEN   5            /* in a row; then the lane is `open` */
#define LOG_PERIOD      (60 * RN_S)
#define RETRY_AFTER_MAX (600 * RN_S)
#define STOP_RETRY_MAX  (500 * RN_MS) /* between two tries while the server waits for us */
#define CLOSE_TIME_MAX  (5 * RN_S)
#define HANG_GRACE      (5 * RN_S)   /* over its time-out a send is late, and then it hangs */

/* What the channel carries. */
struct item {
    struct ft_lane  *lane;
    struct ft_batch *batch; /* a reference */
    rn_time          since;
};

struct ft_lane {
    RN_MAGIC;

    /* set once */
    const struct ft_exporter_type *type;
    const char                    *name;
    bool                           required;
    struct ft_lane_settings        settings;
    struct ft_lane_tuning          tuning;
    ft_lane_decided_fn            *decided;
    void                          *decided_arg;
    struct ft_outlet              *outlet;
    struct ft_door                *door;
    struct rn_tx                   stop_tx; /* the maker's task; closing it says stop */

    /* the lane's task */
    struct rn_rx        rx, stop_rx;
    struct ft_shipment *shipment;
    bool                stopping;
    unsigned            failures; /* in a row */
    uint64_t            random;
    rn_time             log_trouble_at, log_rejected_at; /* not before */
    uint64_t            rejected_unlogged;

    /* any thread, lock-free */
    struct ft_ledger ledger; /* a seqlock of its own */
    _Atomic uint64_t queued_batches, queued_bytes, in_flight_batches; /* queued_bytes: of the channel alone */
    _Atomic int      state;
    _Atomic rn_time  sending_since; /* 0: no send is under way */
    _Atomic int64_t  last_success_ms;

    /* lock */
    struct rn_lock        lock;
    struct ft_text_error  last_error;
    struct ft_ledger_view shown; /* what describe() read last */
};

static const char *const state_names[] = {
#define X(name) [FT_LANE_##name] = #name,
    FT_LANE_STATES(X)
#undef X
};

static const char *const overflow_names[] = {"drop-oldest", "drop-newest", NULL};

const struct ft_option ft_lane_options[] = {
    {"batches_max", FT_INT, offsetof(struct ft_lane_settings, batches_max), .def = "1000", .min = 1, .max = 1000000,
     .help = "batches that wait for one exporter"},
    {"bytes_max", FT_SIZE, offsetof(struct ft_lane_settings, bytes_max), .def = "64MiB", .min = 1024,
     .help = "their size, all together"},
    {"overflow", FT_ENUM, offsetof(struct ft_lane_settings, overflow), .def = "drop-oldest", .names = overflow_names,
     .help = "what goes when a lane is full"},
    {0},
};

const struct ft_lane_settings ft_lane_settings_default = {.batches_max = 1000, .bytes_max = INT64_C(64) << 20, .overflow = FT_DROP_OLDEST};

const char *ft_lane_state_name(enum ft_lane_state s)
{
    return state_names[s];
}

/* ---- Offering: any task or callback ------------------------------------------------------------------------------------- */

/* Required lanes decide once about each batch. What a shutdown throws away is not decided: the agent keeps it and sends it to the next server. */
static void lane_decide(struct ft_lane *l, struct ft_batch *batch)
{
    if (l->required && ft_batch_decide(batch))
        l->decided(l->decided_arg, batch);
}

static void item_uncount(struct ft_lane *l, const struct ft_batch *batch)
{
    atomic_fetch_sub_explicit(&l->queued_bytes, batch->bytes, memory_order_relaxed);
    atomic_fetch_sub_explicit(&l->queued_batches, 1, memory_order_relaxed);
}

static void item_drop(const struct item *it, enum ft_column reason)
{
    struct ft_lane *l = it->lane;

    RN_CHECK(l, LANE_MAGIC);
    item_uncount(l, it->batch);
    ft_ledger_move(&l->ledger, FT_COLUMN_queued, reason, it->batch->count);
    if (reason != FT_DROPPED_shutdown)
        lane_decide(l, it->batch);
    (void)ft_batch_unref(it->batch);
}

/* The channel's destructor: the task has ended, nobody will take it. */
static void item_destroy(void *value)
{
    item_drop(value, FT_DROPPED_shutdown);
}

static bool lane_over_bytes(const struct ft_lane *l)
{
    return atomic_load_explicit(&l->queued_bytes, memory_order_relaxed) > (uint64_t)l->settings.bytes_max;
}

static void push_dropping_newest(struct ft_lane *l, const struct item *it)
{
    int r = lane_over_bytes(l) ? -EAGAIN : rn_tx_try_send(ft_door_tx(l->door), it);

    if (r < 0)
        item_drop(it, r == -EAGAIN ? FT_DROPPED_overflow : FT_DROPPED_shutdown);
}

static void push_dropping_oldest(struct ft_lane *l, const struct item *it)
{
    const struct rn_tx tx = ft_door_tx(l->door);
    struct item        old;
    int                r = rn_tx_push(tx, it, &old);

    if (r > 0)
        item_drop(&old, FT_DROPPED_overflow);
    else if (r < 0)
        item_drop(it, FT_DROPPED_shutdown);
    /* each round drops one that is in the channel, perhaps the one just pushed */
    while (lane_over_bytes(l) && rn_tx_evict(tx, &old) == 0)
        item_drop(&old, FT_DROPPED_overflow);
}

void ft_lane_offer(struct ft_lane *l, struct ft_batch *batch)
{
    const struct item it = {.lane = l, .batch = ft_batch_ref(batch), .since = rn_loop_now()};

    ft_ledger_move(&l->ledger, FT_COLUMN_offered, FT_COLUMN_queued, batch->count);
    atomic_fetch_add_explicit(&l->queued_batches, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&l->queued_bytes, batch->bytes, memory_order_relaxed);
    if (l->settings.overflow == FT_DROP_NEWEST)
        push_dropping_newest(l, &it);
    else
        push_dropping_oldest(l, &it);
}

/* ---- State and words: the lane's task ----------------------------------------------------------------------------------- */

static int64_t wall_ms(void)
{
    struct timespec ts;

    (void)clock_gettime(CLOCK_REALTIME, &ts);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

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

static void lane_set_state(struct ft_lane *l, enum ft_lane_state to, const char *why)
{
    const enum ft_lane_state from = (enum ft_lane_state)atomic_exchange_explicit(&l->state, to, memory_order_relaxed);

    if (to == FT_LANE_ok) {
        if (from != FT_LANE_ok && from != FT_LANE_degraded) {
            log_info("exporter is up", LOG_STR("exporter", l->name), LOG_STR("was", state_names[from]));
            l->log_trouble_at = 0;
        }
        return;
    }
    if ((from != to && to != FT_LANE_degraded) || log_is_due(&l->log_trouble_at)) {
        l->log_trouble_at = rn_loop_now() + LOG_PERIOD;
        log_warn("exporter has trouble", LOG_STR("exporter", l->name), LOG_STR("state", state_names[to]), LOG_STR("why", why));
    }
}

static void lane_failed(struct ft_lane *l, bool hold, const char *why)
{
    l->failures++;
    lane_set_error(l, "", why);
    lane_set_state(l, hold ? FT_LANE_holding : l->failures >= FAILURES_OPEN ? FT_LANE_open : FT_LANE_degraded, why);
}

static void lane_tell_rejected(struct ft_lane *l, uint64_t n, const char *why)
{
    if (n == 0)
        return;
    lane_set_error(l, "rejected: ", why);
    l->rejected_unlogged += n;
    if (!log_is_due(&l->log_rejected_at))
        return;
    log_warn("exporter rejects samples", LOG_STR("exporter", l->name), LOG_UINT("samples", l->rejected_unlogged), LOG_STR("why", why));
    l->rejected_unlogged = 0;
}

/* ---- Waiting: the lane's task ------------------------------------------------------------------------------------------- */

/* splitmix64 */
static uint64_t lane_random(struct ft_lane *l)
{
    uint64_t z = l->random += UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

/* Full jitter: anything from 0 to base * 2^(failures - 1), but not more than the type's retry_max. */
static rn_time retry_pause(struct ft_lane *l, rn_time retry_after)
{
    const rn_time longest = l->stopping ? STOP_RETRY_MAX : l->type->pace.retry_max;
    unsigned      doublings = l->failures > 1 ? l->failures - 1 : 0;
    rn_time       top = doublings < 20 ? l->tuning.retry_base << doublings : longest;
    rn_time       pause;

    if (top > longest)
        top = longest;
    pause = (rn_time)(lane_random(l) % (uint64_t)(top + 1));
    if (retry_after > RETRY_AFTER_MAX)
        retry_after = RETRY_AFTER_MAX;
    return retry_after > pause && !l->stopping ? retry_after : pause;
}

/* Until the pause is over, or stop is said. 0, -ECANCELED. */
static int lane_pause(struct ft_lane *l, rn_time pause)
{
    int r;

    if (l->stopping)
        return rn_sleep(rn_after(pause));
    r = rn_rx_recv(l->stop_rx, NULL, rn_after(pause));
    if (r == -ETIMEDOUT)
        return 0;
    if (r == -ECANCELED)
        return r;
    l->stopping = true;
    return 0;
}

/* ---- Gathering: the lane's task ----------------------------------------------------------------------------------------- */

static void gather_item(struct ft_lane *l, const struct item *it)
{
    atomic_fetch_sub_explicit(&l->queued_bytes, it->batch->bytes, memory_order_relaxed);
    ft_shipment_add(l->shipment, it->batch, it->since);
}

/* Wait for one more. 1: there is one; 0: no more is to be waited for; -ECANCELED. */
static int gather_wait(struct ft_lane *l, struct item *it, rn_time deadline)
{
    struct rn_case c[] = {RN_CASE_RECV(l->rx, it), RN_CASE_RECV(l->stop_rx, NULL)};
    int            r = rn_rx_try_recv(l->rx, it);

    if (r == 0)
        return 1;
    if (r != -EAGAIN || l->stopping)
        return 0;
    r = rn_select_at(RN_WAIT_IDLE(), c, 2, deadline);
    if (r == 0 && c[0].result == 0)
        return 1;
    if (r >= 0)
        l->stopping = true;
    return r == -ECANCELED ? r : r == -ETIMEDOUT ? 0 : 2;
}

/* Fill the shipment. 0: it is due; -EPIPE: stop was said and there is nothing left; -ECANCELED. */
static int lane_gather(struct ft_lane *l)
{
    const struct ft_pace *pace = &l->type->pace;
    rn_time               deadline = RN_FOREVER;
    struct item           it;

    while (!ft_shipment_is_due(l->shipment, pace)) {
        int r = gather_wait(l, &it, deadline);

        if (r < 0)
            return r;
        if (r == 0)
            break;
        if (r == 1)
            gather_item(l, &it);
        if (r == 1 && deadline == RN_FOREVER)
            deadline = rn_after(pace->age_max);
    }
    return l->shipment->n_items ? 0 : -EPIPE;
}

/* ---- Delivering: the lane's task ---------------------------------------------------------------------------------------- */

static void batch_decided(void *arg, struct ft_batch *batch)
{
    struct ft_lane *l = arg;

    atomic_fetch_sub_explicit(&l->in_flight_batches, 1, memory_order_relaxed);
    lane_decide(l, batch);
    (void)ft_batch_unref(batch);
}

static void shipment_expire(struct ft_lane *l)
{
    const rn_time  limit = rn_loop_now() - l->tuning.age_max;
    const uint64_t n = ft_shipment_remove(l->shipment, ft_row_is_older, limit, batch_decided, l);

    ft_ledger_move(&l->ledger, FT_COLUMN_in_flight, FT_DROPPED_expired, n);
}

/* Put every sample where its verdict says. */
static void shipment_judge(struct ft_lane *l)
{
    struct ft_shipment     *s = l->shipment;
    struct ft_shipment_news news;
    const char             *why;

    ft_shipment_count(s, &news);
    why = news.troubled_row == SIZE_MAX ? "no reason given" : ft_answer_reason(&s->answer, news.troubled_row);
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
    r = ft_outlet_send(l->outlet, l->shipment, rn_after(l->type->pace.send_max));
    atomic_store_explicit(&l->sending_since, 0, memory_order_relaxed);
    return r;
}

/* Send until every sample of the shipment is decided. 0, -ECANCELED. */
static int lane_deliver(struct ft_lane *l)
{
    struct ft_shipment *s = l->shipment;
    int                 r;

    /* batches first: whoever sees the samples in flight sees their batches too */
    atomic_fetch_add_explicit(&l->in_flight_batches, s->n_items, memory_order_relaxed);
    atomic_fetch_sub_explicit(&l->queued_batches, s->n_items, memory_order_relaxed);
    ft_ledger_move(&l->ledger, FT_COLUMN_queued, FT_COLUMN_in_flight, s->n_rows);
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
        if (r < 0)
            return r;
    }
}

/* ---- The task ----------------------------------------------------------------------------------------------------------- */

static int lane_open(struct ft_lane *l)
{
    struct ft_text_error why = {0};
    int                  r;

    while ((r = ft_outlet_open(l->outlet, &why)) < 0) {
        if (r == -ECANCELED)
            return r;
        lane_failed(l, false, r == -ENOMEM ? "no memory" : why.text);
        r = lane_pause(l, retry_pause(l, 0));
        if (r < 0)
            return r;
    }
    l->failures = 0;
    lane_set_state(l, FT_LANE_ok, "");
    return 0;
}

/* What was gathered, or in flight, when the deadline cancelled us. A call that hangs may still read the shipment: it lets go of the batches
 * when it comes back. */
static void shipment_abandon(struct ft_lane *l, enum ft_column from)
{
    _Atomic uint64_t *batches = from == FT_COLUMN_queued ? &l->queued_batches : &l->in_flight_batches;

    atomic_fetch_sub_explicit(batches, l->shipment->n_items, memory_order_relaxed);
    ft_ledger_move(&l->ledger, from, FT_DROPPED_shutdown, l->shipment->n_rows);
    l->shipment = ft_shipment_unref(l->shipment);
}

static int lane_main(void *arg)
{
    struct ft_lane *l = arg;
    enum ft_column  where = FT_COLUMN_queued;
    int             r;

    RN_CHECK(l, LANE_MAGIC);
    r = lane_open(l);
    while (r == 0) {
        where = FT_COLUMN_queued;
        r = lane_gather(l);
        if (r < 0)
            break;
        where = FT_COLUMN_in_flight;
        r = lane_deliver(l);
    }
    shipment_abandon(l, where);
    rn_rx_closep(&l->rx); /* its destructor drops what is still in the channel */
    rn_rx_closep(&l->stop_rx);
    if (!ft_outlet_hangs(l->outlet) && rn_shield_begin(rn_after(CLOSE_TIME_MAX)) == 0) {
        (void)ft_outlet_close(l->outlet, rn_after(CLOSE_TIME_MAX));
        rn_shield_end();
    }
    return 0;
}

/* ---- Life: the maker's task --------------------------------------------------------------------------------------------- */

static void lane_freep(struct ft_lane **l)
{
    *l = ft_lane_free(*l);
}

static int lane_channels(struct ft_lane *l)
{
    const struct rn_elem elem = {.size = sizeof(struct item), .destroy = item_destroy};
    struct rn_tx         tx;
    int                  r = rn_chan_open_elem(&elem, (size_t)l->settings.batches_max, &tx, &l->rx);

    if (r < 0)
        return r;
    r = ft_door_new(tx, &l->door);
    if (r < 0)
        return r;
    return rn_chan_open(0, 0, &l->stop_tx, &l->stop_rx);
}

int ft_lane_new(const struct ft_lane_options_in *options, struct rn_scope scope, struct ft_lane **ret)
{
    CLEANUP(lane_freep) struct ft_lane *l = calloc(1, sizeof(*l));
    int r;

    if (!l)
        return -ENOMEM;
    l->magic = LANE_MAGIC;
    l->type = options->spec.type;
    l->name = ft_exporter_spec_head(&options->spec)->name;
    l->required = ft_exporter_spec_head(&options->spec)->required;
    l->settings = *options->settings;
    l->tuning = *options->tuning;
    l->decided = options->decided;
    l->decided_arg = options->decided_arg;
    l->random = options->tuning->seed;

    r = ft_outlet_new(&options->spec, options->data_dir, &l->outlet);
    if (r < 0)
        return r;
    r = ft_shipment_new(&l->type->pace, &l->shipment);
    if (r < 0)
        return r;
    r = lane_channels(l);
    if (r < 0)
        return r;
    r = rn_go(scope, lane_main, l, ((struct rn_end[]){rn_end_rx(l->rx), rn_end_rx(l->stop_rx)}), 2);
    if (r < 0)
        return r;
    *ret = TAKE(l);
    return 0;
}

void ft_lane_stop(struct ft_lane *l)
{
    rn_tx_closep(&l->stop_tx);
}

struct ft_lane *ft_lane_free(struct ft_lane *l)
{
    if (!l)
        return NULL;
    ft_lane_stop(l);
    (void)ft_door_free(l->door);
    rn_rx_closep(&l->rx);
    rn_rx_closep(&l->stop_rx);
    (void)ft_shipment_unref(l->shipment);
    (void)ft_outlet_free(l->outlet);
    free(l);
    return NULL;
}

/* ---- Questions ---------------------------------------------------------------------------------------------------------- */

bool ft_lane_hangs(const struct ft_lane *l)
{
    return ft_outlet_hangs(l->outlet);
}

const char *ft_lane_name(const struct ft_lane *l)
{
    return l->name;
}

bool ft_lane_required(const struct ft_lane *l)
{
    return l->required;
}

/* For how long a send is over its time; 0: it is not. */
static rn_time lane_late(const struct ft_lane *l)
{
    const rn_time since = atomic_load_explicit(&l->sending_since, memory_order_relaxed);
    const rn_time late = since ? rn_now() - since - l->type->pace.send_max - HANG_GRACE : 0;

    return late > 0 ? late : 0;
}

/* A task whose send does not come back cannot tell so; whoever asks sees it by the clock. */
enum ft_lane_state ft_lane_state(const struct ft_lane *l)
{
    return lane_late(l) ? FT_LANE_open : (enum ft_lane_state)atomic_load_explicit(&l->state, memory_order_relaxed);
}

uint64_t ft_lane_queued(const struct ft_lane *l)
{
    return atomic_load_explicit(&l->queued_batches, memory_order_relaxed);
}

void ft_lane_ledger(const struct ft_lane *l, struct ft_ledger_view *view)
{
    ft_ledger_read(&l->ledger, view);
}

void ft_lane_describe(struct ft_lane *l, struct ft_lane_info *ret)
{
    const rn_time late = lane_late(l);

    *ret = (struct ft_lane_info){
        .name = l->name,
        .type = l->type->name,
        .required = l->required,
        .state = ft_lane_state(l),
        .queued_batches = ft_lane_queued(l),
        .in_flight_batches = atomic_load_explicit(&l->in_flight_batches, memory_order_relaxed),
        .last_success_ms = atomic_load_explicit(&l->last_success_ms, memory_order_relaxed),
    };
    rn_lock_acquire(&l->lock);
    ret->last_error = l->last_error;
    ft_ledger_read(&l->ledger, &l->shown);
    ret->ledger = l->shown;
    rn_lock_release(&l->lock);
    if (late)
        ft_text_error_set(&ret->last_error, "a send has not come back for %" PRId64 " s",
                          (late + l->type->pace.send_max + HANG_GRACE) / RN_S);
}
