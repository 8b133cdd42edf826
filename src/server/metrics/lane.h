/* A lane: the way of samples to one exporter.
 *
 *     ft_lane_offer() ~> [channel: batches_max, bytes_max] ~> the lane's task
 *
 *     gather -> send -> judge -> (pause -> send -> judge ...) -> gather
 *                |
 *                a thread of the exporter's own class: open, encode, send, close
 *
 * Offering never waits: what does not fit is dropped by the policy and counted. `queued` is what
 * lies in the channel, `in flight` what the task has taken from it. It gathers until its exporter's
 * pace says that a send is due, and has one send under way; what has to be tried again stays in it,
 * with full jitter between the tries, until it is taken, rejected or older than age_max. Meanwhile
 * the channel fills up, and nothing else does.
 *
 *     starting --opened--> ok <--> degraded --5 failures--> open
 *                           |<---> holding (a person has to do something)
 *                           a success leads back to ok from everywhere
 *
 * Another exporter in its place, by ft_lane_replace(): between two sends the old one is closed and
 * the new one opened; channel, books and what has to be tried again stay. A lane that is removed
 * drains: it gets no more offers, and what is dropped at its end counts as decided, since nobody
 * will ask again.
 *
 * Stop: gather without waiting until the channel is empty, or the deadline cancels; what is left
 * then is dropped{shutdown}.
 */
#pragma once

#include <runnel/task.h>

#include <model/yaml.h>

#include "exporter/exporter.h"
#include "metrics/ledger.h"

enum ft_overflow { FT_DROP_OLDEST, FT_DROP_NEWEST };

/* `metrics.lane` of fettled.yaml, by ft_lane_options. */
struct ft_lane_settings {
    int64_t batches_max;
    int64_t bytes_max;
    int overflow; /* enum ft_overflow */
};
extern const struct ft_option ft_lane_options[];
extern const struct ft_lane_settings ft_lane_settings_default;

/* Tuning that no configuration file has. */
struct ft_lane_tuning {
    rn_time age_max;    /* of what is tried again */
    rn_time retry_base; /* the first pause is up to this long, then up to twice as long each time */
    uint64_t seed;      /* of the jitter */
};
#define FT_LANE_AGE_MAX (3600 * RN_S)
#define FT_LANE_RETRY_BASE (200 * RN_MS)

/* X(name): as the API shows them */
#define FT_LANE_STATES(X) X(starting) X(ok) X(degraded) X(holding) X(open)
enum ft_lane_state {
#define X(name) FT_LANE_##name,
    FT_LANE_STATES(X)
#undef X
};
const char *ft_lane_state_name(enum ft_lane_state s);

struct ft_lane;
struct ft_outlet;

/* A required lane has decided about every sample of `batch`, for good: called once per batch, from
 * any task or callback, without a lock. Not called for what is dropped by a shutdown: the agent
 * keeps that. */
typedef void ft_lane_decided_fn(void *arg, struct ft_batch *batch);

struct ft_lane_setup {
    struct ft_exporter_spec spec;
    const char *data_dir;
    const struct ft_lane_settings *settings;
    const struct ft_lane_tuning *tuning;
    ft_lane_decided_fn *decided;
    void *decided_arg;
    struct ft_events *events; /* where changes of state go; NULL: nowhere */
};

/* Make a lane and start its task in `scope`. From the task that will free it. Offers may come from
 * callbacks of every loop and from the tasks in the caller's own scope and inside it. 0, -ENOMEM,
 * ... */
int ft_lane_new(const struct ft_lane_setup *options, struct rn_scope scope, struct ft_lane **ret);

/* Queue one more reference of `batch`, or drop it and count that. `required`: this lane is one of
 * those that have to decide about it. O(1), never waits. */
void ft_lane_offer(struct ft_lane *l, struct ft_batch *batch, bool required);

/* Another exporter (same name, whatever type) from the next send on; takes `next` over. From the
 * maker's task. Suspends. */
void ft_lane_replace(struct ft_lane *l, struct ft_outlet *next, bool required);
/* Other bounds and another policy, for what is offered from now on; batches_max stays. */
void ft_lane_tune(struct ft_lane *l, const struct ft_lane_settings *settings);
/* No more offers will come: send what there is and end, and let what is dropped be decided. From
 * the maker's task; never waits. */
void ft_lane_drain(struct ft_lane *l);
/* Ends when the task does: a receiving end of the maker's. */
struct rn_rx ft_lane_ended(const struct ft_lane *l);
/* Cancel its task: what it has is dropped. */
void ft_lane_cut(struct ft_lane *l);

/* Ask the task to send what there is and to end. Never waits. */
void ft_lane_stop(struct ft_lane *l);

/* After the task has ended. Suspends for the exporter's thread, unless it hangs. Returns NULL. */
struct ft_lane *ft_lane_free(struct ft_lane *l);

/* Is a call of the exporter, which was given up, still running? Then its thread cannot be joined.
 */
bool ft_lane_hangs(const struct ft_lane *l);

struct ft_lane_info {
    char name[FT_EXPORTER_NAME_MAX + 1];
    const char *type;
    bool required, draining;
    enum ft_lane_state state;
    uint64_t queued_batches, in_flight_batches;
    int64_t last_success_ms;         /* wall clock, ms; 0: never */
    struct ft_text_error last_error; /* empty: none */
    struct ft_ledger_view ledger;
};
void ft_lane_describe(struct ft_lane *l, struct ft_lane_info *ret);

/* For metrics, lock-free, from any thread. */
const char *ft_lane_name(const struct ft_lane *l);
bool ft_lane_required(const struct ft_lane *l);
enum ft_lane_state ft_lane_state(const struct ft_lane *l);
uint64_t ft_lane_queued(const struct ft_lane *l); /* batches */
void ft_lane_ledger(const struct ft_lane *l, struct ft_ledger_view *view);
