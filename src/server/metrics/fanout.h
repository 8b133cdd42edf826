/* The fanout: one offer reaches every lane.
 *
 * offer() is O(1) per lane and never waits, whatever the exporters do; no waiting variant exists.
 * Without any exporter a batch is counted as dropped{no_exporter} in the books of an item called
 * `none`, and that is all that happens.
 */
#pragma once

#include <rnet/metrics.h>

#include "metrics/lane.h"

struct ft_fanout;

struct ft_fanout_options {
    const struct ft_exporter_spec *exporters; /* names differ (ft_exporter_specs()) */
    size_t n;                                 /* 0: a counted discard */
    const char *data_dir;
    struct ft_lane_settings lane;
    struct ft_lane_tuning tuning; /* all zero: the defaults, and a random seed */
    ft_lane_decided_fn *decided;  /* all required lanes have decided about the batch */
    void *decided_arg;
    struct ft_events *events; /* borrowed; NULL: none */
};

/* Make the lanes and start their tasks, in a scope of the calling task, which must call stop and
 * free. Opening the exporters is left to the lanes: one that cannot be opened now is tried again.
 * 0, -ENOMEM, ... */
int ft_fanout_new(const struct ft_fanout_options *options, struct ft_fanout **ret);

/* Offer a batch to every lane (each takes a reference of its own). If no lane is required the batch
 * is decided at once. From any callback, and any task in the scope of the task that made the
 * fanout, or inside it. */
void ft_fanout_offer(struct ft_fanout *f, struct ft_batch *batch);

/* Give it other exporters, from the task that made it. Exporters are told apart by their names: who
 * is new gets a lane; who changed is replaced in its lane, which keeps what it holds and its books;
 * who is gone drains until `drain_until`, shown as draining, and then goes. Bounds and policy of
 * all lanes follow options->lane, but for batches_max, which only new lanes take. The rest of
 * `options` stays as it was made. Each exporter succeeds or fails for itself.
 *
 * Suspends. Returns 0, or the first failure: -EBUSY (one of that name still drains), -ENOMEM; who
 * failed is as it was. *ret_news says in any case what was done and what was not: "added a, changed
 * b, removed c"; empty: nothing. */
int ft_fanout_change(struct ft_fanout *f, const struct ft_fanout_options *options,
                     rn_time drain_until, struct ft_text_list *ret_news);

/* Let the lanes send what they have, until `deadline`; what is left is dropped{shutdown}, and so is
 * what is offered from now on. Suspends. Returns 0, or -ETIMEDOUT when an exporter is still inside
 * a call that does not come back: then rn_run() would wait for its thread, and the process has to
 * leave by _exit(). */
int ft_fanout_stop(struct ft_fanout *f, rn_time deadline);

/* Stops at once if that has not been done. Suspends. Returns NULL. */
struct ft_fanout *ft_fanout_free(struct ft_fanout *f);

/* For the API: one item per exporter, in the order of the configuration; `none` alone without any.
 * From a task. */
size_t ft_fanout_count(struct ft_fanout *f);
int ft_fanout_describe(struct ft_fanout *f, size_t i, struct ft_lane_info *ret); /* 0, -ENOENT */
int ft_fanout_find(struct ft_fanout *f, struct rn_slice name, struct ft_lane_info *ret);

/* fettle_samples_total, fettle_samples_dropped_total, fettle_samples_imbalance, fettle_lane_queued,
 * fettle_exporter_up. Takes no lock that is held for longer than it takes to exchange a pointer;
 * from one thread at a time, which may be one of another runtime. */
void ft_fanout_collect(struct ft_fanout *f, struct rnet_metrics *out);
