/* The agent as a whole, see agent.h. */
#include "agent.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <base/cleanup.h>
#include <base/log.h>
#include <proto/utf8.h>
#include <runnel/signal.h>

#include "survivors.h"

static int identity_note(struct ft_agent *a)
{
    char raw[sizeof(a->host_name)] = "";
    struct timespec now;

    (void)gethostname(raw, sizeof(raw) - 1);
    (void)ft_text_clean(rn_slice_str(raw), a->host_name, sizeof(a->host_name));
    (void)clock_gettime(CLOCK_REALTIME, &now);
    a->started_unix_ns = (int64_t)now.tv_sec * RN_S + now.tv_nsec;
    return ft_uuid_new(&a->boot);
}

int ft_agent_open(const struct ft_settings_source *source, const struct ft_settings *settings,
                  struct ft_agent *a, struct ft_text_error *reterr)
{
    int r;

    *a = (struct ft_agent){.store = {.lock = -1}, .pulse.interval_ns = FT_HEARTBEAT_NS_DEFAULT};
    ft_reload_init(&a->reload, source, settings);
    a->settings = settings = &a->reload.current;
    r = ft_store_open(settings->state, &a->store, reterr);
    if (r < 0)
        return r;
    r = identity_note(a);
    if (r == 0)
        r = ft_buffer_init(&a->samples, FT_BUFFER_SAMPLES_MAX, FT_BUFFER_BYTES_MAX);
    if (r == 0)
        r = ft_survivors_kill(settings->state);
    if (r < 0) {
        ft_text_error_set(reterr, "%s: %s: repair the state folder or free memory", settings->state,
                          strerror(-r));
        return r;
    }
    a->uid = a->store.uid;
    a->apply.monitor = &a->monitor;
    a->apply.settings = settings;
    a->apply.store = &a->store;
    a->apply.report = &a->report;
    a->apply.supervisor = &a->supervisor;
    a->apply.between = ft_reload_if_asked;
    a->apply.between_arg = a;
    if (a->store.applied)
        r = ft_outcome_set(&a->apply.applied, a->store.applied->hash, FT_STATUS_APPLIED, "");
    else
        r = 0;
    if (r == 0)
        r = ft_outcome_set(&a->report.status, ft_outcome_hash(&a->store.outcome),
                           a->store.outcome.status, a->store.outcome.error);
    if (r < 0) {
        ft_text_error_set(reterr, "out of memory: free some");
        return r;
    }
    return ft_apply_recover(&a->apply, reterr);
}

void ft_agent_close(struct ft_agent *a)
{
    ft_apply_fini(&a->apply);
    ft_buffer_fini(&a->samples);
    ft_outcome_fini(&a->report.status);
    ft_outcome_fini(&a->report.settings);
    ft_store_close(&a->store);
    ft_reload_fini(&a->reload);
}

/* ---- tasks ---- */

static void stop(struct ft_agent *a, int signal)
{
    if (a->stopping) {
        log_warn("stopping at once");
        ft_supervisor_kill(&a->supervisor);
        _exit(1); /* what is on disk is whole at every moment */
    }
    a->stopping = true;
    log_info("stopping", LOG_STR("signal", sigabbrev_np(signal)));
    (void)rn_scope_cancel(a->work);
}

static int signals_task(void *arg)
{
    struct ft_agent *a = arg;
    struct rn_fd fd = {0};
    sigset_t set;
    int r;

    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGTERM);
    (void)sigaddset(&set, SIGINT);
    (void)sigaddset(&set, SIGCHLD);
    (void)sigaddset(&set, SIGHUP);
    r = rn_signals_open(&set, &fd);
    ft_enter(&a->monitor);
    while (r >= 0) {
        r = FT_OUTSIDE(&a->monitor, rn_signals_wait(fd, RN_FOREVER));
        if (r == SIGCHLD)
            ft_supervisor_child(&a->supervisor);
        else if (r == SIGHUP)
            ft_reload_ask(a);
        else if (r > 0)
            stop(a, r);
    }
    rn_fd_closep(&fd);
    ft_leave(&a->monitor);
    if (r != -ECANCELED)
        (void)rn_scope_cancel(a->work); /* without ears there is no going on */
    return r == -ECANCELED ? 0 : r;
}

static void process_changed(void *arg)
{
    struct ft_agent *a = arg;

    ft_report_mark(&a->report, FT_PART_HEALTH);
}

static int bells_open(struct ft_agent *a)
{
    int r = ft_bell_open(&a->report.bell, &a->monitor);

    if (r == 0)
        r = ft_bell_open(&a->apply.bell, &a->monitor);
    if (r == 0)
        r = ft_bell_open(&a->pulse.bell, &a->monitor);
    return r;
}

static int tasks_start(struct ft_agent *a)
{
    const struct rn_task_options link = {.name = "link", .stack = RN_STACK_256K};
    int r = ft_supervisor_start(&a->supervisor, a->work);

    if (r == 0)
        r = rn_go(a->work, ft_apply_task, &a->apply, NULL, 0);
    if (r == 0)
        r = rn_go(a->work, ft_pulse_task, a, NULL, 0);
    if (r == 0)
        r = rn_go_with(&link, a->work, ft_link_task, a, NULL, 0);
    return r;
}

static int agent_run(struct ft_agent *a)
{
    CLEANUP(rn_scope_closep) struct rn_scope life = {0};
    int r = rn_scope_open(RN_SCOPE_WAIT_ALL, &life);

    if (r == 0)
        r = rn_scope_open(RN_SCOPE_FAIL_FAST, &a->work);
    if (r == 0)
        r = rn_go(life, signals_task, a, NULL, 0);
    if (r == 0)
        r = tasks_start(a);
    if (r == 0)
        r = rn_scope_wait(a->work);
    (void)rn_scope_close(a->work);
    return FT_INSIDE(&a->monitor, a->stopping) ? 0 : r;
}

int ft_agent_main(void *agent)
{
    struct ft_agent *a = agent;
    int r = bells_open(a);

    if (r == 0)
        r = rn_class_open("files", 1, &a->files);
    a->apply.files = a->files;
    if (r == 0)
        r = ft_supervisor_open(a->settings, &a->monitor, &a->supervisor);
    if (r == 0) {
        a->supervisor.on_change = process_changed;
        a->supervisor.on_change_arg = a;
        r = agent_run(a);
        ft_supervisor_close(&a->supervisor);
    }
    rn_class_closep(&a->files);
    if (!ft_reload_hangs(&a->reload))
        rn_class_closep(&a->reload.pool);
    return r;
}
