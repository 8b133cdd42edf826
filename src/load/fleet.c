#include "fleet.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>

#include <base/log.h>

#include <runnel/loop.h>
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
    return f->stop && *f->stop;
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
    if (!f->ending && !f->storm_began)
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

static int dial_task(void *arg)
{
    struct ft_sim *sim = arg;
    struct ft_fleet *f = sim->fleet;
    const rn_time began = rn_now();
    int number = ft_dial(&f->options.server, sim->source, began + DIAL_NS);
    int r = number;

    f->n_dialling--;
    if (number >= 0) {
        f->n_open++;
        r = rnet_conn_adopt(number, &ft_sim_protocol, sim, NULL);
        if (r < 0) {
            (void)rn_sys_close(number);
            f->n_open--;
        }
    }
    if (r < 0) {
        dial_failed(f, sim, r);
        return 0;
    }
    f->counts.connects++;
    ft_spread_add(&f->connect, rn_now() - began);
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

/* Start as many as the rate allows by now; *credit is what it left over. */
static int dial_some(struct ft_fleet *f, double *credit)
{
    static const struct rn_task_options small = {.stack = RN_STACK_64K};
    const rn_time now = rn_now();

    while (f->n_idle > 0 && f->n_dialling < DIALLING_MAX && *credit >= 1.0) {
        struct ft_sim *sim = next_idle(f, now);
        int r;

        if (!sim)
            break;
        r = rn_go_with(&small, f->dials, dial_task, sim, NULL, 0);
        if (r < 0)
            return r;
        sim->state = FT_SIM_DIALLING;
        f->n_idle--;
        f->n_dialling++;
        *credit -= 1.0;
    }
    return 0;
}

/* One step of the run: dial, then let the loop work. */
static int tick(struct ft_fleet *f, double *credit, rn_time *last)
{
    const rn_time now = rn_now();
    const double rate = (double)f->options.connect_rate;
    int r;

    *credit += f->options.connect_rate ? rate * (double)(now - *last) / (double)RN_S : DIALLING_MAX;
    if (*credit > DIALLING_MAX)
        *credit = DIALLING_MAX;
    *last = now;
    r = dial_some(f, credit);
    if (r < 0)
        return r;
    return f->options.connect_rate == 0 && f->n_idle > 0 && f->n_dialling > 0 ? rn_yield()
                                                                             : rn_sleep(now + TICK_NS);
}

/* ---- the phases ---- */

static int connect_all(struct ft_fleet *f, double *credit, rn_time *last)
{
    const rn_time deadline = rn_after(f->options.connect_timeout);
    int r = 0;

    while (r == 0 && f->n_greeted < f->options.agents) {
        if (stopped(f))
            return -ECANCELED;
        if (rn_now() >= deadline)
            return -ETIMEDOUT;
        r = tick(f, credit, last);
    }
    return r;
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

    return stopped(f) || beats || all_configured(f) || rn_now() >= f->connected + f->options.duration;
}

static void storm(struct ft_fleet *f)
{
    f->storm_began = rn_now();
    for (uint64_t i = 0; i < f->options.agents; i++) {
        if (f->sims[i].state == FT_SIM_OPEN)
            ft_sim_drop(&f->sims[i]);
        f->sims[i].failures = 0;
    }
}

/* Heartbeats on; storms at equal distances. */
static int work(struct ft_fleet *f, double *credit, rn_time *last)
{
    const rn_time between = f->options.duration / (rn_time)(f->options.storms + 1);
    uint64_t storms = 0;
    int r = 0;

    f->beating = true;
    for (uint64_t i = 0; i < f->options.agents; i++)
        if (f->sims[i].state == FT_SIM_OPEN && f->sims[i].bits & FT_SIM_GREETED)
            start_beating(f, &f->sims[i]);
    while (r == 0 && !done(f)) {
        if (storms < f->options.storms &&
            rn_now() >= f->connected + between * (rn_time)(storms + 1) && !f->storm_began) {
            storms++;
            storm(f);
        }
        r = tick(f, credit, last);
    }
    f->beating = false;
    return r;
}

/* Let what is due be answered, say goodbye, wait until all are closed; not for ever. */
static void leave(struct ft_fleet *f)
{
    const rn_time deadline = rn_after(GOODBYE_NS);
    bool said = false;

    while (rn_now() < deadline && f->n_open > 0) {
        uint64_t due = 0;

        for (uint64_t i = 0; i < f->options.agents && !said; i++)
            due += f->sims[i].state == FT_SIM_OPEN && f->sims[i].unanswered > 0;
        if (!said && (due == 0 || rn_now() > deadline - GOODBYE_NS / 2)) {
            f->ending = said = true;
            for (uint64_t i = 0; i < f->options.agents; i++)
                if (f->sims[i].state == FT_SIM_OPEN)
                    ft_sim_leave(&f->sims[i]);
        }
        if (rn_sleep(rn_after(TICK_NS)) < 0)
            return;
    }
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

int ft_fleet_run(struct ft_fleet *f)
{
    double credit = 1.0;
    rn_time last;
    int r = prepare(f);

    if (r == 0)
        r = rn_scope_open(RN_SCOPE_WAIT_ALL, &f->dials);
    if (r < 0)
        return r;
    usage_take(f, &f->usage_before);
    f->began = last = rn_now();
    r = connect_all(f, &credit, &last);
    f->connected = rn_now();
    usage_take(f, &f->usage_connected);
    if (r == 0) {
        ft_report_connected(f);
        r = work(f, &credit, &last);
    }
    f->ended = rn_now();
    usage_take(f, &f->usage_ended);
    leave(f);
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
