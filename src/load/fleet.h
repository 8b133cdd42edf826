/* All simulated agents of a run, and what was counted of them.
 *
 *     connect at a rate -> wait for the answers -> heartbeats, configurations, storms -> goodbye
 *
 * One task dials (a small task for each connection on its way), wakes the idle ones, watches the
 * bounds of the run; everything else happens in callbacks. One worker, so nothing is locked.
 */
#pragma once

#include <runnel/task.h>

#include <rnet/addr.h>

#include <proto/metrics.h>

#include "sim.h"
#include "spread.h"
#include "usage.h"

#define FT_FLEET_LABELS_MAX 16
#define FT_FLEET_AGENTS_MAX 1000000
#define FT_FLEET_SAMPLES_MAX 64

struct ft_fleet_label {
    char key[128], value[128]; /* the key as an attribute */
};

struct ft_fleet_options {
    struct rnet_addr server;
    uint64_t agents;
    uint64_t connect_rate; /* a second; 0: as fast as they are accepted */
    uint64_t samples;      /* with each heartbeat */
    uint64_t heartbeats;   /* in all; 0: no such bound */
    uint64_t configs;      /* end when every agent has applied so many; 0: no such bound */
    uint64_t storms;
    uint64_t progress;     /* an event after each so many answered heartbeats; 0: none */
    uint64_t sources;      /* addresses; 0: as many as the ports need */
    rn_time  interval;     /* 0: as fast as answered */
    rn_time  duration;     /* from the moment when all are connected */
    rn_time  connect_timeout;
    int      pid;          /* of the server; 0: none is watched */
    bool     json;
    struct ft_fleet_label labels[FT_FLEET_LABELS_MAX];
    size_t   n_labels;
};

struct ft_fleet_counts {
    uint64_t connects, connect_errors, lost, refused; /* connections */
    uint64_t sent, answered;                          /* messages */
    uint64_t beats_sent, beats_answered, beats_skipped;
    uint64_t samples_sent, acks;
    uint64_t configs_received, configs_applied;
    uint64_t full_asked;
};

struct ft_fleet {
    /* set once */
    struct ft_fleet_options options;
    struct ft_sim *sims;
    struct ft_uuid boot; /* of all agents of the run */
    const volatile bool *stop; /* set by a signal */

    /* scratch of the callback that runs */
    struct ft_buf    out, data;
    struct ft_sample samples[FT_FLEET_SAMPLES_MAX];

    /* the state of the run */
    struct rn_scope dials;
    uint64_t n_open, n_greeted, n_dialling, n_idle, n_configured;
    uint64_t dial_next;  /* where the search for an idle one goes on */
    uint64_t beats_left; /* UINT64_MAX: without end */
    bool     beating;    /* heartbeats are on */
    bool     ending;
    int      error;      /* the first connect that failed, for the report */

    /* what was counted */
    struct ft_fleet_counts counts;
    struct ft_spread connect, beat, storm;
    struct ft_sim_config *newest; /* the configuration that came last ... */
    rn_time  newest_at;           /* ... first, and the time until all had applied it */
    rn_time  applied_ns;
    rn_time  began, connected, ended;
    rn_time  storm_began;
    struct ft_usage usage_before, usage_connected, usage_ended;
};

/* Run it. 0; -ETIMEDOUT: not all could be connected; -ECANCELED: stopped by a signal before that;
 * -ENOMEM. From a task; suspends. */
int  ft_fleet_run(struct ft_fleet *f);
void ft_fleet_fini(struct ft_fleet *f);

/* ---- what a sim tells its fleet ---- */
void ft_fleet_on_greeted(struct ft_fleet *f, struct ft_sim *sim);
void ft_fleet_on_lost(struct ft_fleet *f, struct ft_sim *sim, bool greeted);
void ft_fleet_on_beat_answered(struct ft_fleet *f);
void ft_fleet_on_applied(struct ft_fleet *f, struct ft_sim *sim);

/* ---- report.c ---- */
void ft_report_connected(const struct ft_fleet *f);
void ft_report_progress(const struct ft_fleet *f);
void ft_report_storm(const struct ft_fleet *f, rn_time took);
void ft_report_end(const struct ft_fleet *f);
