/* The parts, in the order in which each needs the ones before it:
 *
 *     data folder, token -> events, store -> catalog -> registry (loaded) -> pipeline -> rollout,
 * liveness, write-behind
 *         -> API -> agents' listener -> debug window -> what a HUP changes (reload.h)
 *
 * Everything that runs is born in one scope; a stop takes the parts down from the far end. A second
 * signal during the stop cuts the waiting short, nothing that is on disk is lost by that.
 */
#include "server.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <rnet/debug.h>

#include <runnel/runnel.h>

#include <base/cleanup.h>
#include <base/log.h>

#include "agents/liveness.h"
#include "agents/persist.h"
#include "agents/sessions.h"
#include "api/api.h"
#include "changes.h"
#include "config/rollout.h"
#include "pipeline.h"
#include "reload.h"

struct ft_server {
    const struct ft_settings *settings; /* at the start */
    char token_path[4096];
    struct rn_class *files;  /* where a reload reads */
    struct ft_reload reload; /* settings and token in force */
    struct rn_fd signals;
    struct rn_rx hups; /* the task that reloads */
    struct rn_scope scope;
    struct ft_budget budget;
    struct ft_events *events;
    struct ft_store *store;
    struct rn_tx changes;
    struct rn_rx changes_rx;
    struct ft_catalog *catalog;
    struct ft_registry *registry;
    struct ft_renderer *renderer;
    struct ft_intake *intake;
    struct ft_api *api;
    struct ft_sessions *sessions;
    struct rnet_debug *debug;
    bool hurry; /* a second signal came */
};

/* ---- starting ---- */

static int fail(struct ft_text_error *reterr, int r, const char *what)
{
    ft_text_error_set(reterr, "%s: %s", what, strerror(-r));
    return r;
}

static int prepare_data(struct ft_server *s, struct ft_text_error *reterr)
{
    const char *data = s->settings->data;

    if (mkdir(data, 0750) < 0 && errno != EEXIST) {
        ft_text_error_set(reterr, "cannot make the data folder %s: %s: name another with --data",
                          data, strerror(errno));
        return -errno;
    }
    if (snprintf(s->token_path, sizeof(s->token_path), "%s/admin-token", data) >=
        (int)sizeof(s->token_path))
        return fail(reterr, -ENAMETOOLONG, data);
    return ft_api_token(s->token_path, s->reload.token, reterr);
}

/* The channel from whoever changes something to the rollout. Its sending end is the scope's: API
 * tasks are born in it. Sessions, which are callbacks of the loop, have one of their own. */
static int open_changes(struct ft_server *s)
{
    struct rn_tx of_loop;

    int r = rn_chan_open(sizeof(struct ft_uuid), FT_CHANGES_MAX, &s->changes, &s->changes_rx);
    if (r == 0)
        r = rn_tx_dup(s->changes, &of_loop);
    if (r == 0)
        r = rn_end_to_loop((struct rn_end[]){rn_end_tx(of_loop)}, 1, rn_loop_self());
    if (r == 0)
        r = rn_end_to_scope((struct rn_end[]){rn_end_tx(s->changes)}, 1, s->scope);
    if (r == 0)
        ft_registry_on_change(s->registry, of_loop);
    return r;
}

static int start_store(struct ft_server *s, struct ft_text_error *reterr)
{
    int r = ft_store_open(s->settings->data, &s->store, reterr);
    if (r < 0)
        return r;
    r = ft_events_new(NULL, &s->events);
    if (r == 0)
        r = ft_registry_new(&s->registry);
    if (r == 0)
        r = ft_persist_load(s->registry, s->store);
    if (r == 0)
        r = open_changes(s);
    if (r == 0)
        ft_registry_set_events(s->registry, s->events);
    if (r == 0)
        r = ft_catalog_open(
            &(struct ft_catalog_options){.store = s->store,
                                         .message_max = (size_t)s->settings->agents.message_max,
                                         .changes = s->changes,
                                         .events = s->events},
            &s->catalog);
    return r < 0 ? fail(reterr, r, "cannot load what is stored") : 0;
}

static int start_pipeline(struct ft_server *s, struct ft_text_error *reterr)
{
    CLEANUP(ft_pipeline_fini) struct ft_pipeline pipeline = {0};

    int r = ft_pipeline_read(s->settings, &pipeline, reterr);
    if (r < 0)
        return r;
    struct ft_fanout_options options = ft_pipeline_options(&pipeline, s->settings);

    options.events = s->events;
    r = ft_intake_new(&options, ft_sessions_ack, s->registry, &s->intake);
    return r < 0 ? fail(reterr, r, "cannot start the exporters") : 0;
}

static int start_tasks(struct ft_server *s, struct ft_text_error *reterr)
{
    struct ft_rollout_options rollout = {.catalog = s->catalog, .registry = s->registry};

    int r = ft_renderer_new((size_t)s->settings->agents.message_max, &s->renderer);
    rollout.renderer = s->renderer;
    if (r == 0)
        r = ft_rollout_start(s->scope, &rollout, s->changes_rx);
    if (r == 0)
        r = ft_liveness_start(s->scope,
                              &(struct ft_liveness_options){s->registry, &s->reload.apply_timeout});
    if (r == 0)
        r = ft_persist_start(s->scope, s->registry, s->store);
    return r < 0 ? fail(reterr, r, "cannot start") : 0;
}

static int fail_listen(struct ft_text_error *reterr, int r, const char *section,
                       const struct ft_strings *listen, size_t index)
{
    ft_text_error_set(reterr, "cannot listen on %s (%s): %s: is another server running there?",
                      listen->items[index < listen->n ? index : 0], section, strerror(-r));
    return r;
}

static int start_api(struct ft_server *s, struct ft_text_error *reterr)
{
    const struct ft_settings *o = s->settings;
    struct ft_api_options api = {
        .addrs = o->api.listen.items,
        .n_addrs = o->api.listen.n,
        .scope = s->scope,
        .token = s->reload.token,
        .catalog = s->catalog,
        .registry = s->registry,
        .fanout = ft_intake_fanout(s->intake),
        .latest = ft_intake_latest(s->intake),
        .store = s->store,
        .events = s->events,
        .body_max = (size_t)o->api.body_max,
        .apply_timeout = &s->reload.apply_timeout,
    };

    int r = ft_api_open(&api, &s->api);
    return r < 0 ? fail_listen(reterr, r, "api", &o->api.listen, 0) : 0;
}

static int start_sessions(struct ft_server *s, struct ft_text_error *reterr)
{
    const struct ft_settings *o = s->settings;
    size_t index = 0;
    struct ft_sessions_options sessions = {
        .registry = s->registry,
        .intake = s->intake,
        .budget = &s->budget,
        .message_max = (size_t)o->agents.message_max,
        .heartbeat_s = (uint32_t)(o->agents.heartbeat / RN_S),
        .addrs = o->agents.listen.items,
        .n_addrs = o->agents.listen.n,
    };

    if (ft_settings_agents_beyond_loopback(o))
        log_warn("agents beyond loopback are accepted without enrolment and without encryption");
    int r = ft_sessions_open(&sessions, &s->sessions, &index);
    return r < 0 ? fail_listen(reterr, r, "agents", &o->agents.listen, index) : 0;
}

static void collect(void *arg, struct rnet_metrics *out)
{
    struct ft_server *s = arg;

    ft_sessions_collect(s->sessions, out);
    ft_fanout_collect(ft_intake_fanout(s->intake), out);
    ft_events_collect(s->events, out);
    rnet_metrics_family(out, "fettle_store_seconds", RNET_HISTOGRAM, "Transactions of the store.");
    rnet_metrics_histogram(out, NULL, 0, ft_store_seconds(s->store));
}

static int start_debug(struct ft_server *s, struct ft_text_error *reterr)
{
    const struct ft_settings *o = s->settings;
    struct rnet_collector collector = {collect, s};
    struct rnet_debug_options debug = {
        .addrs = o->debug.listen.items,
        .n_addrs = o->debug.listen.n,
        .observed = rn_runtime_self(),
        .collectors = &collector,
        .n_collectors = 1,
    };

    int r = rnet_debug_serve(&debug, &s->debug);
    return r < 0 ? fail_listen(reterr, r, "debug", &o->debug.listen, 0) : 0;
}

static int open_signals(struct ft_server *s, struct ft_text_error *reterr)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    int r = rn_signals_open(&set, &s->signals);
    return r < 0 ? fail(reterr, r, "cannot wait for signals") : 0;
}

static int start_reload(struct ft_server *s, struct ft_text_error *reterr)
{
    s->reload.token_path = s->token_path;
    s->reload.sessions = s->sessions;
    s->reload.api = s->api;
    s->reload.intake = s->intake;
    int r = rn_class_open("settings", 1, &s->files);
    s->reload.files = s->files;
    return r < 0 ? fail(reterr, r, "cannot start") : 0;
}

static int start_all(struct ft_server *s, struct ft_text_error *reterr)
{
    static int (*const steps[])(struct ft_server * s, struct ft_text_error * reterr) = {
        prepare_data, open_signals,   start_store, start_pipeline, start_tasks,
        start_api,    start_sessions, start_debug, start_reload};
    int r = rn_scope_open(RN_SCOPE_WAIT_ALL, &s->scope);

    if (r < 0)
        return fail(reterr, r, "cannot start");
    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
        r = steps[i](s, reterr);
        if (r < 0)
            return r;
    }
    return 0;
}

/* ---- taking down; each part may be missing ---- */

static void take_down(struct ft_server *s)
{
    rnet_debug_stop(s->debug);
    ft_sessions_close(s->sessions);
    ft_api_close(s->api);
    rn_scope_closep(&s->scope);
    ft_intake_free(s->intake);
    ft_renderer_free(s->renderer);
    ft_catalog_close(s->catalog);
    ft_registry_free(s->registry);
    ft_store_close(s->store);
    rn_class_closep(&s->files);
    ft_events_free(s->events);
    rn_fd_closep(&s->signals);
    ft_reload_fini(&s->reload);
    free(s);
}

int ft_server_start(const struct ft_settings *settings, const struct ft_settings_source *source,
                    struct ft_server **ret, struct ft_text_error *reterr)
{
    struct ft_server *s = calloc(1, sizeof(*s));

    if (!s)
        return fail(reterr, -ENOMEM, "cannot start");
    s->settings = settings;
    s->reload.source = source;
    ft_reload_init(&s->reload, settings);
    s->budget = (struct ft_budget)FT_BUDGET_INIT(FT_DECODE_BUDGET_DEFAULT);
    int r = start_all(s, reterr);
    if (r < 0) {
        take_down(s);
        return r;
    }
    *ret = s;
    return 0;
}

static void say_addresses(const char *name, const char *(*address)(const void *part, size_t i),
                          const void *part)
{
    const char *a;

    printf(" %s=", name);
    for (size_t i = 0; (a = address(part, i)); i++)
        printf("%s%s", i ? "," : "", a);
}

static const char *sessions_address(const void *part, size_t i)
{
    return ft_sessions_address(part, i);
}

static const char *api_address(const void *part, size_t i)
{
    return ft_api_address(part, i);
}

static const char *debug_address(const void *part, size_t i)
{
    return rnet_debug_address(part, i);
}

void ft_server_say_listening(const struct ft_server *s)
{
    printf("listening");
    say_addresses("agents", sessions_address, s->sessions);
    say_addresses("api", api_address, s->api);
    say_addresses("debug", debug_address, s->debug);
    printf("\n");
    fflush(stdout);
}

/* One after the other. HUPs that come meanwhile cost one more. */
static int reload_task(void *arg)
{
    struct ft_server *s = arg;

    while (rn_rx_recv_at(RN_WAIT_IDLE(), s->hups, NULL, RN_FOREVER) == 0)
        (void)ft_reload(&s->reload);
    return 0;
}

/* In a task of its own, so that a reading that hangs holds up no stop. */
static int start_reloading(struct ft_server *s, struct rn_scope scope, struct rn_tx *ret_hups)
{
    int r = rn_chan_open(0, 1, ret_hups, &s->hups);

    return r < 0 ? r : rn_go(scope, reload_task, s, (struct rn_end[]){rn_end_rx(s->hups)}, 1);
}

int ft_server_wait(struct ft_server *s)
{
    CLEANUP(rn_scope_closep) struct rn_scope reloading = {0};
    CLEANUP(rn_tx_closep) struct rn_tx hups = {0};
    int r = rn_scope_open(RN_SCOPE_WAIT_ALL, &reloading);

    if (r == 0)
        r = start_reloading(s, reloading, &hups);
    while (r >= 0 && (r = rn_signals_wait(s->signals, RN_FOREVER)) == SIGHUP)
        (void)rn_tx_try_send(hups, NULL);
    if (r > 0)
        log_info("stopping", LOG_STR("signal", strsignal(r)));
    return r < 0 ? r : 0;
}

/* ---- the stop ---- */

/* A second signal ends the process where it stands. What is on disk is whole at every moment: the
 * store commits, files are renamed. */
static int watch_for_hurry(void *arg)
{
    struct ft_server *s = arg;

    int r;

    do
        r = rn_signals_wait(s->signals, RN_FOREVER);
    while (r == SIGHUP); /* nothing is reloaded any more */
    if (r > 0) {
        log_warn("second signal: stopping at once");
        _exit(0);
    }
    return 0;
}

/* The part of the stop that waits for others. Agents and clients that do not take their leave may
 * use up half of the time; the rest is for the samples that are here already. */
static int drain(struct ft_server *s)
{
    rn_time span = s->reload.current.stop_timeout, deadline = rn_after(span);

    ft_api_set_unready(s->api, "the server is stopping");
    (void)ft_sessions_drain(s->sessions, deadline - span / 2);
    (void)ft_api_stop(s->api, deadline - span / 4);
    return ft_intake_stop(s->intake, deadline);
}

int ft_server_stop(struct ft_server *s)
{
    (void)rn_go(s->scope, watch_for_hurry, s, NULL, 0); /* without it a second signal waits */
    int r = drain(s);
    int e = ft_persist_stop(s->registry, s->store);

    if (e < 0)
        log_error("agents could not be saved: the next start asks them for their full state",
                  LOG_ERR(e));
    if (r == -ETIMEDOUT || atomic_load(&s->reload.readings) > 0) {
        /* A call hangs, so its thread cannot be joined. What had to be kept is on disk. */
        log_warn(r == -ETIMEDOUT ? "an exporter hangs: leaving without it"
                                 : "a reading of the settings hangs: leaving without it");
        return -ETIMEDOUT;
    }
    take_down(s);
    return 0;
}
