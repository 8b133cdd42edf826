/* A lane's insides, for lane.c (its life, offers and questions) and lane_task.c (its task). */
#pragma once

#include <base/assert.h>

#include <runnel/lock.h>

#include "metrics/door.h"
#include "metrics/lane.h"
#include "metrics/outlet.h"
#include "metrics/shipment.h"

#define FT_LANE_MAGIC 0x6c616e65

/* What the channel carries. */
struct ft_lane_item {
    struct ft_lane *lane;
    struct ft_batch *batch; /* a reference */
    rn_time since;
    bool required;
};

struct ft_lane {
    RN_MAGIC;

    /* set once */
    char name[FT_EXPORTER_NAME_MAX + 1];
    struct ft_lane_tuning tuning;
    ft_lane_decided_fn *decided;
    void *decided_arg;
    struct ft_events *events;
    struct ft_door *door;
    struct rn_task task;
    struct rn_tx
        order_tx; /* the maker's task; a ring: there is an exporter in `next`; closed: stop */
    struct rn_rx ended_rx; /* the maker's task; closed when the lane's task ends */

    /* the lane's task */
    struct rn_rx rx, order_rx;
    struct rn_tx ended_tx;
    struct ft_outlet *outlet;
    struct ft_shipment *shipment;
    bool opened;
    bool stopping;
    unsigned failures; /* in a row */
    uint64_t random;
    rn_time tend_at; /* when the exporter's chores are due */
    rn_time log_trouble_at, log_rejected_at, log_chores_at; /* not before */
    uint64_t rejected_unlogged;

    /* any thread, lock-free */
    struct ft_ledger ledger; /* a seqlock of its own */
    _Atomic uint64_t queued_batches, queued_bytes, in_flight_batches;
    _Atomic int state;
    _Atomic(const struct ft_exporter_type *) type;
    _Atomic(struct ft_outlet *) next; /* to take the place of `outlet` */
    _Atomic bool required, draining;
    _Atomic bool left_hanging; /* an earlier exporter was still in a call when it was replaced */
    _Atomic int64_t bytes_max;
    _Atomic int overflow;
    _Atomic rn_time sending_since; /* 0: no send is under way */
    _Atomic int64_t last_success_ms;

    /* lock */
    struct rn_lock lock;
    struct ft_text_error last_error;
    struct ft_ledger_view shown; /* what describe() read last */
};

/* The task: `arg` is the lane, which outlives it. */
int ft_lane_main(void *arg);

/* Take it out of the numbers of what is queued: its sample counts are moved by the caller. */
void ft_lane_uncount(struct ft_lane *l, const struct ft_batch *batch);
/* This lane has decided about all of the batch, for good; `required` as it was offered. */
void ft_lane_decide(struct ft_lane *l, struct ft_batch *batch, bool required);

static inline const struct ft_exporter_type *ft_lane_type(const struct ft_lane *l)
{
    return atomic_load_explicit(&l->type, memory_order_relaxed);
}
