#include "fleet.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>

#include <base/cleanup.h>

#include <runnel/chan.h>
#include <runnel/sys.h>

#include <proto/limits.h>

#include "dial.h"

#define TICK_NS        (2 * RN_MS)
#define DIALLING_MAX   256 /* connections on their way at once */
#define DIAL_NS        (10 * RN_S)
#define BACKOFF_NS     (100 * RN_MS)
#define BACKOFF_MAX_NS (5 * RN_S)
#define GOODBYE_NS     (5 * RN_S)

static uint64_t random_below(uint64_t n)
{
    uint64_t v = 0;

    return getrandom(&v, sizeof(v), 0) == sizeof(v) && n ? v % n : 0;
}

static bool stopped(const struct ft_fleet *f)
{
    return f->stop && atomic_load(f->stop);
}

static void usage_take(const struct ft_fleet *f, struct ft_usage *ret)
{
    if (f->options.pid)
        (void)ft_usage_read(f->options.pid, ret);
}

/* ---- what a sim tells ---- */

/* Its first heartbeat: at a random moment of the interval, so that they spread. */
static void start_beating(struct ft_fleet *f, struct ft_sim *sim)
{
    const rn_time interval = f->options.interval;

    if (interval == 0) {
        ft_sim_heartbeat(sim, rn_now());
        return;
    }
    sim->due = rn_now() + (rn_time)random_below((uint64_t)interval);
    (void)rnet_conn_timer(sim->conn, sim->due);
}

void ft_fleet_on_greeted(struct ft_fleet *f, struct ft_sim *sim)
{
    f->n_greeted++;
    if (f->storm_began && f->n_greeted == f->options.agents) {
        const rn_time took = rn_now() - f->storm_began;

        f->storm_began = 0;
        ft_spread_add(&f->storm, took);
        ft_report_storm(f, took);
    }
    if (f->beating)
        start_beating(f, sim);
}

void ft_fleet_on_lost(struct ft_fleet *f, struct ft_sim *sim, bool greeted)
{
    const rn_time step = BACKOFF_NS << (sim->failures < 6 ? sim->failures : 6);
    const rn_time until =
        rn_now() + (rn_time)random_below((uint64_t)(step < BACKOFF_MAX_NS ? step : BACKOFF_MAX_NS));

    f->n_open--;
    f->n_greeted -= greeted;
    f->n_idle++;
    if (f->phase <= FT_FLEET_WORKING && !f->storm_began)
        f->counts.lost++;
    if (sim->failures < UINT8_MAX)
        sim->failures++;
    if (sim->due < until)
        sim->due = until;
}

void ft_fleet_on_beat_answered(struct ft_fleet *f)
{
    f->counts.beats_answered++;
    if (f->options.progress && f->counts.beats_answered % f->options.progress == 0)
        ft_report_progress(f);
}

void ft_fleet_on_applied(struct ft_fleet *f, struct ft_sim *sim)
{
    f->counts.configs_applied++;
    sim->configs++;
    if (sim->config == f->newest && ++f->n_configured == f->options.agents)
        f->applied_ns = rn_now() - f->newest_at;
}

/* ---- dialling ---- */

static void dial_failed(struct ft_fleet *f, struct ft_sim *sim, int error)
{
    f->counts.connect_errors++;
    if (f->error == 0)
        f->error = error;
    f->n_open++; /* as if it had been open */
    sim->state = FT_SIM_IDLE;
    ft_fleet_on_lost(f, sim, false);
}

static void dial_some(struct ft_fleet *f);

/* On the loop: the dial task has a number, or an error. */
static void on_dialled(struct rn_post *post)
{
    struct ft_sim *sim =
        (struct ft_sim *)(void *)((char *)post - offsetof(struct ft_sim, dialled));
    struct ft_fleet *f = sim->fleet;
    int r = sim->number;

    f->n_dialling--;
    if (r >= 0) {
        f->n_open++;
        r = rnet_conn_adopt(sim->number, &ft_sim_protocol, sim, NULL);
        if (r < 0) {
            (void)rn_sys_close(sim->number);
            f->n_open--;
        }
    }
    if (r < 0) {
        dial_failed(f, sim, r);
    } else {
        f->counts.connects++;
        ft_spread_add(&f->connect, rn_now() - sim->dial_began);
    }
    if (f->options.connect_rate == 0 && f->phase <= FT_FLEET_WORKING)
        dial_some(f);
}

static int dial_task(void *arg)
{
    struct ft_sim *sim = arg;

    sim->number =
        ft_dial(&sim->fleet->options.server, sim->source, sim->dial_began + DIAL_NS);
    return rn_loop_post(sim->fleet->loop, &sim->dialled);
}

static int dial(struct ft_fleet *f, struct ft_sim *sim)
{
    int r;

    sim->dialled.fn = on_dialled;
    sim->dial_began = rn_now();
    r = rn_go(f->dials, dial_task, sim, NULL, 0);
    if (r < 0)
        return r;
    sim->state = FT_SIM_DIALLING;
    f->n_idle--;
    f->n_dialling++;
    return 0;
}

/* The next idle one whose time has come, from where the last search ended. */
static struct ft_sim *next_idle(struct ft_fleet *f, rn_time now)
{
    for (uint64_t i = 0; i < f->options.agents; i++) {
        struct ft_sim *sim = &f->sims[f->dial_next];

        f->dial_next = (f->dial_next + 1) % f->options.agents;
        if (sim->state == FT_SIM_IDLE && sim->due <= now)
            return sim;
    }
    return NULL;
}

/* Start as many as the rate allows by now. What cannot be started is tried again with the next
 * tick. */
static void dial_some(struct ft_fleet *f)
{
    const rn_time now = rn_now();
    const double rate = (double)f->options.connect_rate;

    f->credit += f->options.connect_rate ? rate * (double)(now - f->credited) / (double)RN_S
                                         : DIALLING_MAX;
    if (f->credit > DIALLING_MAX)
        f->credit = DIALLING_MAX;
    f->credited = now;
    while (f->n_idle > 0 && f->n_dialling < DIALLING_MAX && f->credit >= 1.0) {
        struct ft_sim *sim = next_idle(f, now);

        if (!sim || dial(f, sim) < 0)
            break;
        f->credit -= 1.0;
    }
}

/* ---- the phases ---- */

static void go_to(struct ft_fleet *f, enum ft_fleet_phase phase, rn_time span)
{
    f->phase = phase;
    f->phase_until = rn_now() + span;
}

/* The part that is measured is over, well or not. */
static void finish(struct ft_fleet *f, int result)
{
    f->beating = false;
    f->result = result;
    f->ended = rn_now();
    usage_take(f, &f->usage_ended);
    go_to(f, FT_FLEET_ANSWERING, GOODBYE_NS);
}

static void begin_work(struct ft_fleet *f)
{
    f->connected = rn_now();
    usage_take(f, &f->usage_connected);
    ft_report_connected(f);
    go_to(f, FT_FLEET_WORKING, f->options.duration);
    f->beating = true;
    for (uint64_t i = 0; i < f->options.agents; i++)
        if (f->sims[i].state == FT_SIM_OPEN && f->sims[i].bits & FT_SIM_GREETED)
            start_beating(f, &f->sims[i]);
}

static void while_connecting(struct ft_fleet *f)
{
    if (f->n_greeted == f->options.agents)
        begin_work(f);
    else if (stopped(f))
        finish(f, -ECANCELED);
    else if (rn_now() >= f->phase_until)
        finish(f, -ETIMEDOUT);
}

static bool all_configured(const struct ft_fleet *f)
{
    if (f->options.configs == 0 || f->counts.configs_applied < f->options.configs * f->options.agents)
        return false;
    for (uint64_t i = 0; i < f->options.agents; i++)
        if (f->sims[i].configs < f->options.configs)
            return false;
    return true;
}

static bool done(const struct ft_fleet *f)
{
    const bool beats = f->options.heartbeats && f->beats_left == 0 &&
                       f->counts.beats_answered == f->counts.beats_sent;

    return stopped(f) || beats || all_configured(f) || rn_now() >= f->phase_until;
}

static void storm(struct ft_fleet *f)
{
    f->storms++;
    f->storm_began = rn_now();
    for (uint64_t i = 0; i < f->options.agents; i++) {
        if (f->sims[i].state == FT_SIM_OPEN)
            ft_sim_drop(&f->sims[i]);
        f->sims[i].failures = 0;
    }
}

/* Storms come at equal distances, but not before all are back from the last one. */
static void while_working(struct ft_fleet *f)
{
    const rn_time between = f->options.duration / (rn_time)(f->options.storms + 1);

    if (done(f))
        finish(f, 0);
    else if (f->storms < f->options.storms && !f->storm_began &&
             rn_now() >= f->connected + between * (rn_time)(f->storms + 1))
        storm(f);
}

/* Let what is due be answered, but not for ever; then say goodbye. */
static void while_answering(struct ft_fleet *f)
{
    uint64_t due = 0;

    for (uint64_t i = 0; i < f->options.agents; i++)
        due += f->sims[i].state == FT_SIM_OPEN && f->sims[i].unanswered > 0;
    if (due > 0 && rn_now() < f->phase_until)
        return;
    go_to(f, FT_FLEET_LEAVING, GOODBYE_NS);
    for (uint64_t i = 0; i < f->options.agents; i++)
        if (f->sims[i].state == FT_SIM_OPEN)
            ft_sim_leave(&f->sims[i]);
}

/* The end: no connection and no dial task is left that could still call. */
static bool gone(struct ft_fleet *f)
{
    if (f->phase != FT_FLEET_LEAVING)
        return false;
    if (rn_now() >= f->phase_until)
        for (uint64_t i = 0; i < f->options.agents; i++)
            if (f->sims[i].state == FT_SIM_OPEN)
                ft_sim_drop(&f->sims[i]);
    return f->n_open == 0 && f->n_dialling == 0;
}

static void on_tick(struct rn_timer *timer)
{
    struct ft_fleet *f =
        (struct ft_fleet *)(void *)((char *)timer - offsetof(struct ft_fleet, tick));

    if (f->phase <= FT_FLEET_WORKING)
        dial_some(f);
    if (f->phase == FT_FLEET_CONNECTING)
        while_connecting(f);
    else if (f->phase == FT_FLEET_WORKING)
        while_working(f);
    else if (f->phase == FT_FLEET_ANSWERING)
        while_answering(f);
    if (gone(f))
        rn_tx_closep(&f->end);
    else
        rn_timer_arm(timer, rn_now() + TICK_NS, on_tick);
}

static void on_start(struct rn_post *post)
{
    struct ft_fleet *f =
        (struct ft_fleet *)(void *)((char *)post - offsetof(struct ft_fleet, start));

    usage_take(f, &f->usage_before);
    f->began = f->credited = rn_now();
    f->credit = 1.0;
    go_to(f, FT_FLEET_CONNECTING, f->options.connect_timeout);
    on_tick(&f->tick);
}

static int prepare(struct ft_fleet *f)
{
    const uint64_t n = f->options.agents;
    const uint64_t sources = f->options.sources ? f->options.sources : n / FT_PER_SOURCE + 1;
    int r = ft_uuid_new(&f->boot);

    f->out = (struct ft_buf)FT_BUF_INIT(FT_MESSAGE_MAX_AGENT + 64);
    f->data = (struct ft_buf)FT_BUF_INIT(FT_MIB);
    f->sims = calloc(n, sizeof(*f->sims));
    if (!f->sims)
        return -ENOMEM;
    for (uint64_t i = 0; r == 0 && i < n; i++) {
        f->sims[i].fleet = f;
        f->sims[i].source = (uint32_t)(i % sources);
        r = ft_uuid_new(&f->sims[i].uid);
    }
    for (uint64_t i = 0; i < f->options.samples; i++)
        f->samples[i] = (struct ft_sample){.process_name = RN_SLICE_LITERAL("simulated"),
                                           .host_name = RN_SLICE_LITERAL("localhost"),
                                           .ip = RN_SLICE_LITERAL("127.0.0.1"),
                                           .cmd = RN_SLICE_LITERAL("/usr/bin/simulated --all"),
                                           .pid = 1000 + (uint32_t)i};
    f->n_idle = n;
    f->beats_left = f->options.heartbeats ? f->options.heartbeats : UINT64_MAX;
    return r < 0 ? r : ft_dial_limit(n);
}

/* Hand everything to the loop, and wait for its end. */
static int run_on_loop(struct ft_fleet *f)
{
    CLEANUP(rn_rx_closep) struct rn_rx rx = {0};
    CLEANUP(rn_tx_closep) struct rn_tx tx = {0};
    struct rn_end end;
    int r = rn_chan_open(0, 1, &tx, &rx);

    if (r < 0)
        return r;
    end = rn_end_tx(tx);
    r = rn_end_to_loop(&end, 1, f->loop);
    if (r < 0)
        return r;
    f->end = tx;
    tx = (struct rn_tx){0};
    f->start.fn = on_start;
    r = rn_loop_post(f->loop, &f->start);
    if (r == 0)
        r = rn_rx_recv_at(RN_WAIT_IDLE(), rx, NULL, RN_FOREVER);
    return r == -EPIPE ? f->result : r;
}

int ft_fleet_run(struct ft_fleet *f)
{
    int r = prepare(f);

    f->loop = rn_loop_self();
    if (r == 0)
        r = rn_scope_open(RN_SCOPE_WAIT_ALL, &f->dials);
    if (r < 0)
        return r;
    r = run_on_loop(f);
    (void)rn_scope_close(f->dials);
    return r;
}

void ft_fleet_fini(struct ft_fleet *f)
{
    for (uint64_t i = 0; f->sims && i < f->options.agents; i++)
        ft_sim_config_unref(f->sims[i].config);
    ft_sim_config_unref(f->newest);
    free(f->sims);
    ft_buf_fini(&f->out);
    ft_buf_fini(&f->data);
}
