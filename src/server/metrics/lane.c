/* A lane from outside: offers, life, questions.
 *
 * Who counts a sample where: offer() puts it into `queued` before it pushes, so that the task never
 * finds one that was not counted. The task moves it to `in_flight` when it takes it from the
 * channel (so what is queued has the channel's bounds), and by its verdict out of there. Whatever
 * leaves the channel in another way (evicted, refused, or still there when the task ends) passes
 * through item_drop().
 */
#include "metrics/lane_internal.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <base/assert.h>
#include <base/cleanup.h>

#include <runnel/loop.h>


static const char *const state_names[] = {
#define X(name) [FT_LANE_##name] = #name,
    FT_LANE_STATES(X)
#undef X
};

static const char *const overflow_names[] = {"drop-oldest", "drop-newest", NULL};

const struct ft_option ft_lane_options[] = {
    {"batches_max", FT_INT, offsetof(struct ft_lane_settings, batches_max), .def = "1000", .min = 1,
     .max = 1000000, .help = "batches that wait for one exporter"},
    {"bytes_max", FT_SIZE, offsetof(struct ft_lane_settings, bytes_max), .def = "64MiB",
     .min = 1024, .help = "their size, all together"},
    {"overflow", FT_ENUM, offsetof(struct ft_lane_settings, overflow), .def = "drop-oldest",
     .names = overflow_names, .help = "what goes when a lane is full"},
    {0},
};

const struct ft_lane_settings ft_lane_settings_default = {
    .batches_max = 1000, .bytes_max = INT64_C(64) << 20, .overflow = FT_DROP_OLDEST};

const char *ft_lane_state_name(enum ft_lane_state s)
{
    return state_names[s];
}

/* ---- Offering: any task or callback --------------------------------------------------------- */

/* Required lanes decide once about each batch. What a shutdown throws away is not decided: the
 * agent keeps it and sends it to the next server. */
void ft_lane_decide(struct ft_lane *l, struct ft_batch *batch, bool required)
{
    if (required && ft_batch_decide(batch))
        l->decided(l->decided_arg, batch);
}

void ft_lane_uncount(struct ft_lane *l, const struct ft_batch *batch)
{
    atomic_fetch_sub_explicit(&l->queued_bytes, batch->bytes, memory_order_relaxed);
    atomic_fetch_sub_explicit(&l->queued_batches, 1, memory_order_relaxed);
}

static void item_drop(const struct ft_lane_item *it, enum ft_column reason)
{
    struct ft_lane *l = it->lane;

    RN_CHECK(l, FT_LANE_MAGIC);
    ft_lane_uncount(l, it->batch);
    ft_ledger_move(&l->ledger, FT_COLUMN_queued, reason, it->batch->count);
    if (reason != FT_DROPPED_shutdown || atomic_load_explicit(&l->draining, memory_order_relaxed))
        ft_lane_decide(l, it->batch, it->required);
    (void)ft_batch_unref(it->batch);
}

/* The channel's destructor: the task has ended, nobody will take it. */
static void item_destroy(void *value)
{
    item_drop(value, FT_DROPPED_shutdown);
}

static bool lane_over_bytes(const struct ft_lane *l)
{
    return atomic_load_explicit(&l->queued_bytes, memory_order_relaxed) >
           (uint64_t)atomic_load_explicit(&l->bytes_max, memory_order_relaxed);
}

static void push_dropping_newest(struct ft_lane *l, const struct ft_lane_item *it)
{
    int r = lane_over_bytes(l) ? -EAGAIN : rn_tx_try_send(ft_door_tx(l->door), it);

    if (r < 0)
        item_drop(it, r == -EAGAIN ? FT_DROPPED_overflow : FT_DROPPED_shutdown);
}

static void push_dropping_oldest(struct ft_lane *l, const struct ft_lane_item *it)
{
    const struct rn_tx tx = ft_door_tx(l->door);
    struct ft_lane_item old;
    int r = rn_tx_push(tx, it, &old);

    if (r > 0)
        item_drop(&old, FT_DROPPED_overflow);
    else if (r < 0)
        item_drop(it, FT_DROPPED_shutdown);
    /* each round drops one that is in the channel, perhaps the one just pushed */
    while (lane_over_bytes(l) && rn_tx_evict(tx, &old) == 0)
        item_drop(&old, FT_DROPPED_overflow);
}

void ft_lane_offer(struct ft_lane *l, struct ft_batch *batch, bool required)
{
    const struct ft_lane_item it = {
        .lane = l, .batch = ft_batch_ref(batch), .since = rn_loop_now(), .required = required};

    ft_ledger_move(&l->ledger, FT_COLUMN_offered, FT_COLUMN_queued, batch->count);
    atomic_fetch_add_explicit(&l->queued_batches, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&l->queued_bytes, batch->bytes, memory_order_relaxed);
    if (atomic_load_explicit(&l->overflow, memory_order_relaxed) == FT_DROP_NEWEST)
        push_dropping_newest(l, &it);
    else
        push_dropping_oldest(l, &it);
}

/* ---- Life: the maker's task ----------------------------------------------------------------- */

static void lane_freep(struct ft_lane **l)
{
    *l = ft_lane_free(*l);
}

static int lane_channels(struct ft_lane *l, size_t batches_max)
{
    const struct rn_elem elem = {.size = sizeof(struct ft_lane_item), .destroy = item_destroy};
    struct rn_tx tx;
    int r = rn_chan_open_elem(&elem, batches_max, &tx, &l->rx);

    if (r < 0)
        return r;
    r = ft_door_new(tx, &l->door);
    if (r < 0)
        return r;
    r = rn_chan_open(0, 1, &l->order_tx, &l->order_rx);
    return r < 0 ? r : rn_chan_open(0, 0, &l->ended_tx, &l->ended_rx);
}

int ft_lane_new(const struct ft_lane_setup *options, struct rn_scope scope, struct ft_lane **ret)
{
    CLEANUP(lane_freep) struct ft_lane *l = calloc(1, sizeof(*l));
    int r;

    if (!l)
        return -ENOMEM;
    l->magic = FT_LANE_MAGIC;
    atomic_init(&l->type, options->spec.type);
    (void)snprintf(l->name, sizeof(l->name), "%s", ft_exporter_spec_head(&options->spec)->name);
    atomic_init(&l->required, ft_exporter_spec_head(&options->spec)->required);
    ft_lane_tune(l, options->settings);
    l->tuning = *options->tuning;
    l->decided = options->decided;
    l->decided_arg = options->decided_arg;
    l->events = options->events;
    l->random = options->tuning->seed;

    r = ft_outlet_new(&options->spec, options->data_dir, &l->outlet);
    if (r < 0)
        return r;
    r = ft_shipment_new(&options->spec.type->pace, &l->shipment);
    if (r < 0)
        return r;
    r = lane_channels(l, (size_t)options->settings->batches_max);
    if (r < 0)
        return r;
    const struct rn_task_options named = {.name = "lane", .ret_task = &l->task};
    const struct rn_end ends[] = {rn_end_rx(l->rx), rn_end_rx(l->order_rx), rn_end_tx(l->ended_tx)};
    r = rn_go_with(&named, scope, ft_lane_main, l, ends, 3);
    if (r < 0)
        return r;
    *ret = TAKE(l);
    return 0;
}

void ft_lane_stop(struct ft_lane *l)
{
    rn_tx_closep(&l->order_tx);
}

void ft_lane_replace(struct ft_lane *l, struct ft_outlet *next, bool required)
{
    atomic_store_explicit(&l->required, required, memory_order_relaxed);
    (void)ft_outlet_free(atomic_exchange(&l->next, next)); /* one that was never taken */
    (void)rn_tx_try_send(l->order_tx, NULL);               /* -EAGAIN: it rings already */
}

void ft_lane_tune(struct ft_lane *l, const struct ft_lane_settings *settings)
{
    atomic_store_explicit(&l->bytes_max, settings->bytes_max, memory_order_relaxed);
    atomic_store_explicit(&l->overflow, settings->overflow, memory_order_relaxed);
}

void ft_lane_drain(struct ft_lane *l)
{
    atomic_store_explicit(&l->draining, true, memory_order_relaxed);
    ft_lane_stop(l);
}

struct rn_rx ft_lane_ended(const struct ft_lane *l)
{
    return l->ended_rx;
}

void ft_lane_cut(struct ft_lane *l)
{
    (void)rn_task_cancel(l->task);
}

struct ft_lane *ft_lane_free(struct ft_lane *l)
{
    if (!l)
        return NULL;
    ft_lane_stop(l);
    (void)ft_door_free(l->door);
    rn_rx_closep(&l->rx);
    rn_rx_closep(&l->order_rx);
    rn_tx_closep(&l->ended_tx);
    rn_rx_closep(&l->ended_rx);
    (void)ft_shipment_unref(l->shipment);
    (void)ft_outlet_free(atomic_load(&l->next));
    (void)ft_outlet_free(l->outlet);
    free(l);
    return NULL;
}

/* ---- Questions ------------------------------------------------------------------------------ */

bool ft_lane_hangs(const struct ft_lane *l)
{
    return ft_outlet_hangs(l->outlet) || atomic_load(&l->left_hanging);
}

const char *ft_lane_name(const struct ft_lane *l)
{
    return l->name;
}

bool ft_lane_required(const struct ft_lane *l)
{
    return atomic_load_explicit(&l->required, memory_order_relaxed);
}

/* For how long a send has been under way that should have ended by itself; 0: there is none. */
static rn_time lane_hanging(const struct ft_lane *l)
{
    const rn_time since = atomic_load_explicit(&l->sending_since, memory_order_relaxed);
    const rn_time took = since ? rn_now() - since : 0;

    const rn_time longest = ft_lane_type(l)->pace.send_max;

    return took > longest + longest / 6 ? took : 0;
}

/* A task whose send does not come back cannot tell so; whoever asks sees it by the clock. */
enum ft_lane_state ft_lane_state(const struct ft_lane *l)
{
    return lane_hanging(l) ? FT_LANE_open
                        : (enum ft_lane_state)atomic_load_explicit(&l->state, memory_order_relaxed);
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
    const rn_time hanging = lane_hanging(l);

    *ret = (struct ft_lane_info){
        .type = ft_lane_type(l)->name,
        .required = ft_lane_required(l),
        .draining = atomic_load_explicit(&l->draining, memory_order_relaxed),
        .state = ft_lane_state(l),
        .queued_batches = ft_lane_queued(l),
        .in_flight_batches = atomic_load_explicit(&l->in_flight_batches, memory_order_relaxed),
        .last_success_ms = atomic_load_explicit(&l->last_success_ms, memory_order_relaxed),
    };
    memcpy(ret->name, l->name, sizeof(ret->name));
    rn_lock_acquire(&l->lock);
    ret->last_error = l->last_error;
    ft_ledger_read(&l->ledger, &l->shown);
    ret->ledger = l->shown;
    rn_lock_release(&l->lock);
    if (hanging)
        ft_text_error_set(&ret->last_error, "a send has not come back for %" PRId64 " s",
                          hanging / RN_S);
}
