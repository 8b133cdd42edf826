/* All simulated agents of a run, and what was counted of them.
 *
 *     connect at a rate -> wait for the answers -> heartbeats, configurations, storms -> goodbye
 *
 * Everything here belongs to one loop: its callbacks for connections, and a timer that dials,
 * watches the bounds of the run and goes from phase to phase. A connection on its way is a small
 * task, which posts its result to the loop; the task that began the run waits for its end.
 */
#pragma once

#include <stdatomic.h>

#include <runnel/loop.h>
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

/* In this order. */
enum ft_fleet_phase { FT_FLEET_CONNECTING, FT_FLEET_WORKING, FT_FLEET_ANSWERING, FT_FLEET_LEAVING };

struct ft_fleet {
    /* set once */
    struct ft_fleet_options options;
    struct ft_sim *sims;
    struct ft_uuid boot; /* of all agents of the run */
    const atomic_bool *stop; /* set by a signal */
    struct rn_loop *loop;
    struct rn_scope dials;   /* of the dial tasks */

    /* scratch of the callback that runs */
    struct ft_buf    out, data;
    struct ft_sample samples[FT_FLEET_SAMPLES_MAX];

    /* the state of the run */
    enum ft_fleet_phase phase;
    rn_time  phase_until;
    int      result;     /* of the run */
    struct rn_timer tick;
    struct rn_post  start;
    struct rn_tx    end; /* the loop's; its close tells the task that waits */
    rn_time  credited;   /* until when the rate has given credit ... */
    double   credit;     /* ... for so many connections */
    uint64_t storms;     /* so far */
    uint64_t n_open, n_greeted, n_dialling, n_idle, n_configured;
    uint64_t dial_next;  /* where the search for an idle one goes on */
    uint64_t beats_left; /* UINT64_MAX: without end */
    bool     beating;    /* heartbeats are on */
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
