/* Supervised processes, see process.h. */
#include "process.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <base/assert.h>
#include <base/cleanup.h>
#include <base/log.h>

#include "child.h"
#include "survivors.h"

#define STOP_NS (3 * RN_S)     /* between TERM and KILL */
#define KILL_NS (2 * RN_S)     /* for the kernel to carry out a KILL */
#define DRAIN_NS (500 * RN_MS) /* for the last words to come out of the pipes */
#define BACKOFF_NS (500 * RN_MS)
#define BACKOFF_NS_MAX (30 * RN_S)
#define STEADY_NS (10 * RN_S) /* a life as long as this forgives earlier failures */

/* ---- asks ---- */

void ft_process_restart(struct ft_process *p)
{
    p->restart_asked = true;
    ft_bell_ring(&p->bell);
}

void ft_process_start(struct ft_process *p)
{
    p->start_asked = true;
    ft_bell_ring(&p->bell);
}

int ft_process_signal(struct ft_process *p, int signal)
{
    if (p->state != FT_PROCESS_RUNNING)
        return -ESRCH;
    return kill(p->pid, signal) < 0
               ? -errno
               : 0; /* not reaped while RUNNING, so the number is still its own */
}

void ft_process_end_text(const struct ft_process *p, char *out, size_t size)
{
    int n;

    out[0] = '\0';
    if (p->start_error < 0) {
        (void)snprintf(out, size, "cannot be started: %s", strerror(-p->start_error));
        return;
    }
    if (WIFSIGNALED(p->ended_status)) {
        const char *name = sigabbrev_np(WTERMSIG(p->ended_status));
        n = snprintf(out, size, "was killed by SIG%s", name ? name : "?");
    } else {
        n = snprintf(out, size, "exited with code %d", WEXITSTATUS(p->ended_status));
    }
    if (p->last_words[0] && !p->stopping && n > 0 && (size_t)n < size)
        (void)snprintf(out + n, size - (size_t)n, ": %s", p->last_words);
}

/* ---- one life ---- */

static void changed(struct ft_process *p)
{
    ft_bell_ring(&p->supervisor->changed);
    if (p->supervisor->on_change)
        p->supervisor->on_change(p->supervisor->on_change_arg);
}

static void children_journal(const struct ft_supervisor *s)
{
    CLEANUP(freep) struct ft_child_record *records = calloc(s->n + 1, sizeof(*records));
    size_t n = 0;
    int r = records ? 0 : -ENOMEM;

    for (size_t i = 0; r == 0 && i < s->n; i++) {
        const struct ft_process *p = s->processes[i];

        if (p->state == FT_PROCESS_RUNNING)
            records[n++] = (struct ft_child_record){p->settings->name, p->pid, p->start_ticks};
    }
    if (r == 0)
        r = ft_survivors_journal(s->state_folder, records, n);
    if (r < 0)
        log_warn("the journal of processes cannot be written: free or repair the state folder",
                 LOG_ERR(r));
}

static int64_t unix_now_ns(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * RN_S + t.tv_nsec;
}

/* A new life begins; what happened before it is no concern of whoever watches it. */
static int life_begin(struct ft_process *p, struct rn_scope scope)
{
    const struct ft_spawn spawn = {.argv = p->settings->command.items,
                                   .folder = p->supervisor->folder,
                                   .mark = p->supervisor->mark};
    struct ft_proc_stat stat = {0};
    int out, err, r;

    ft_output_reset(&p->output, p->settings);
    p->restart_asked = p->start_asked = p->stopping = false;
    p->start_error = 0;
    p->life++;
    r = ft_spawn(&spawn, &p->pid, &out, &err);
    if (r < 0)
        return r;
    p->state = FT_PROCESS_RUNNING;
    p->started_at = rn_now();
    p->started_unix_ns = unix_now_ns();
    (void)ft_proc_stat(p->pid, &stat);
    p->start_ticks = stat.start_ticks;
    children_journal(p->supervisor);
    log_info("process started", LOG_STR("process", p->settings->name), LOG_INT("pid", p->pid));
    changed(p);
    r = ft_output_start(&p->output, scope, out, err, &p->bell);
    if (r < 0)
        (void)kill(-p->pid, SIGKILL);
    return 0;
}

static bool has_ended(const struct ft_process *p)
{
    siginfo_t info = {0};

    return waitid(P_PID, (id_t)p->pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
           info.si_pid == p->pid;
}

/* Wait until it has ended, or `deadline`. True: it has. */
static bool await_end(struct ft_process *p, rn_time deadline)
{
    while (!has_ended(p))
        if (ft_bell_wait(&p->bell, deadline) < 0)
            return has_ended(p);
    return true;
}

/* TERM, then KILL, to the whole group. Goes on when cancelled: that is when it is needed most. */
static void life_stop(struct ft_process *p)
{
    bool ended;

    p->stopping = true;
    if (rn_shield_begin(rn_after(STOP_NS + KILL_NS + RN_S)) < 0)
        return;
    (void)kill(-p->pid, SIGTERM);
    (void)kill(-p->pid, SIGCONT); /* a stopped one can't hear TERM */
    ended = await_end(p, rn_after(STOP_NS));
    if (!ended) {
        log_warn("process does not end: killing it", LOG_STR("process", p->settings->name),
                 LOG_INT("pid", p->pid));
        (void)kill(-p->pid, SIGKILL);
        (void)await_end(p, rn_after(KILL_NS));
    }
    rn_shield_end();
}

/* The program is over: end what is left of its group, take the last words, reap. */
static void life_end(struct ft_process *p)
{
    rn_time until = rn_after(DRAIN_NS);
    bool shielded = rn_shield_begin(until + RN_S) == 0;

    (void)kill(-p->pid, SIGKILL); /* before the reaping, while the number is still ours */
    while (p->output.open > 0 && ft_bell_wait(&p->bell, until) == 0)
        ;
    ft_output_cut(&p->output);
    if (shielded)
        rn_shield_end();
    if (waitpid(p->pid, &p->ended_status, 0) != p->pid)
        p->ended_status = 0;
    (void)ft_output_last_words(&p->output, p->last_words, sizeof(p->last_words));
}

static void life_log(const struct ft_process *p)
{
    char text[640];

    ft_process_end_text(p, text, sizeof(text));
    if (p->stopping)
        log_info("process stopped", LOG_STR("process", p->settings->name), LOG_STR("end", text));
    else
        log_warn("process ended", LOG_STR("process", p->settings->name), LOG_STR("end", text));
}

/* From spawn to reaping. 0, or -ECANCELED: it has been stopped for good. */
static int life_run(struct ft_process *p)
{
    struct rn_scope scope = {0};
    int r = rn_scope_open(RN_SCOPE_WAIT_ALL, &scope);

    if (r == 0)
        r = life_begin(p, scope);
    p->start_error = r;
    while (r == 0 && !has_ended(p) && !p->restart_asked && !p->leaving)
        r = ft_bell_wait(&p->bell, RN_FOREVER);
    if (p->state == FT_PROCESS_RUNNING) {
        if (!has_ended(p))
            life_stop(p);
        life_end(p);
        p->state = FT_PROCESS_WAITING;
    }
    (void)FT_OUTSIDE(p->supervisor->monitor, rn_scope_close(scope));
    life_log(p);
    ft_output_close(&p->output);
    p->ended_life = p->life;
    children_journal(p->supervisor);
    changed(p);
    return r == -ECANCELED ? r : 0;
}

static rn_time backoff_ns(unsigned failures)
{
    rn_time ns = BACKOFF_NS;

    while (failures-- > 1 && ns < BACKOFF_NS_MAX)
        ns *= 2;
    return ns < BACKOFF_NS_MAX ? ns : BACKOFF_NS_MAX;
}

/* Between two lives. */
static int life_await(struct ft_process *p)
{
    rn_time until;
    int r = rn_cancelled();

    if (p->stopping || rn_now() - p->started_at > STEADY_NS)
        p->failures = 0;
    if (!p->stopping)
        p->failures++;
    until = p->stopping ? 0 : rn_after(backoff_ns(p->failures));
    while (r == 0 && !p->start_asked && !p->restart_asked && !p->leaving && rn_now() < until)
        r = ft_bell_wait(&p->bell, until);
    return r == -ETIMEDOUT ? 0 : r;
}

static int process_task(void *arg)
{
    struct ft_process *p = arg;
    int r;

    ft_enter(p->supervisor->monitor);
    do {
        r = life_run(p);
        if (r == 0)
            r = life_await(p);
    } while (r == 0 && !p->leaving);
    p->state = FT_PROCESS_STOPPED;
    changed(p);
    ft_leave(p->supervisor->monitor); /* who leaves may be freed from here on */
    return r == -ECANCELED ? 0 : r;
}

/* ---- all of them ---- */

static int mark_make(const char *state_folder, char **ret)
{
    return asprintf(ret, FT_STATE_ENV "=%s", state_folder) < 0 ? -ENOMEM : 0;
}

static void process_free(struct ft_process *p)
{
    rn_tx_closep(&p->bell.tx);
    rn_rx_closep(&p->bell.rx);
    free(p);
}

static int process_new(struct ft_supervisor *s, const struct ft_process_settings *settings,
                       struct ft_process **ret)
{
    struct ft_process *p = calloc(1, sizeof(*p));

    if (!p)
        return -ENOMEM;
    p->settings = settings;
    p->supervisor = s;
    ft_output_reset(&p->output, settings);
    ft_output_close(&p->output);
    int r = ft_bell_open_in(&p->bell, s->monitor, s->ringers);
    if (r < 0)
        process_free(p);
    else
        *ret = p;
    return r;
}

static int process_start(struct ft_supervisor *s, struct ft_process *p)
{
    const struct rn_task_options options = {.name = "process", .pinned = true};

    return rn_go_with(&options, s->tasks, process_task, p, NULL, 0);
}

int ft_supervisor_open(const struct ft_settings *settings, struct ft_monitor *monitor,
                       struct ft_supervisor *ret)
{
    const struct ft_process_settings *all;
    int r;

    *ret = (struct ft_supervisor){
        .monitor = monitor, .ringers = rn_scope_self()};
    const size_t n = ft_settings_processes(settings, &all);
    ret->processes = calloc(n + 1, sizeof(*ret->processes));
    ret->folder = strdup(settings->folder);
    ret->state_folder = strdup(settings->state);
    if (!ret->folder || !ret->state_folder) {
        ft_supervisor_close(ret);
        return -ENOMEM;
    }
    r = ret->processes ? mark_make(settings->state, &ret->mark) : -ENOMEM;
    if (r == 0)
        r = ft_bell_open(&ret->changed, monitor);
    for (size_t i = 0; i < n && r == 0; i++) {
        r = process_new(ret, &all[i], &ret->processes[i]);
        ret->n += r == 0;
    }
    if (r < 0)
        ft_supervisor_close(ret);
    return r;
}

void ft_supervisor_close(struct ft_supervisor *s)
{
    for (size_t i = 0; i < s->n; i++)
        process_free(s->processes[i]);
    free(s->processes);
    free(s->folder);
    free(s->state_folder);
    free(s->mark);
    *s = (struct ft_supervisor){0};
}

int ft_supervisor_start(struct ft_supervisor *s, struct rn_scope scope)
{
    int r = 0;

    s->tasks = scope;
    for (size_t i = 0; i < s->n && r == 0; i++)
        r = process_start(s, s->processes[i]);
    return r;
}

/* ---- other processes ---- */

static struct ft_process *process_find(const struct ft_supervisor *s, const char *name)
{
    for (size_t i = 0; i < s->n; i++)
        if (strcmp(s->processes[i]->settings->name, name) == 0)
            return s->processes[i];
    return NULL;
}

static bool is_named(const struct ft_settings *settings, const char *name)
{
    const struct ft_process_settings *all;
    size_t n = ft_settings_processes(settings, &all);

    for (size_t i = 0; i < n; i++)
        if (strcmp(all[i].name, name) == 0)
            return true;
    return false;
}

/* Stop those that `settings` does not name, all at once, and wait for their ends. */
static int processes_leave(struct ft_supervisor *s, const struct ft_settings *settings)
{
    size_t kept = 0;
    int r = 0;

    for (size_t i = 0; i < s->n; i++) {
        struct ft_process *p = s->processes[i];

        p->leaving = !is_named(settings, p->settings->name);
        if (p->leaving)
            ft_bell_ring(&p->bell);
    }
    for (size_t i = 0; i < s->n && r == 0; i++)
        while (r == 0 && s->processes[i]->leaving && s->processes[i]->state != FT_PROCESS_STOPPED)
            r = ft_bell_wait(&s->changed, RN_FOREVER);
    if (r < 0)
        return r;
    for (size_t i = 0; i < s->n; i++) {
        struct ft_process *p = s->processes[i];

        if (p->leaving)
            process_free(p);
        else
            s->processes[kept++] = p;
    }
    s->n = kept;
    return 0;
}

/* One that stays: by its new settings from now on. */
static void process_keep(struct ft_process *p, const struct ft_process_settings *settings)
{
    const bool other_life = ft_process_settings_need_life(p->settings, settings);

    p->settings = settings;
    if (other_life) {
        log_info("process is restarted: its definition changed",
                 LOG_STR("process", settings->name));
        ft_process_restart(p);
    }
}

int ft_supervisor_follow(struct ft_supervisor *s, const struct ft_settings *settings)
{
    const struct ft_process_settings *all;
    const size_t n = ft_settings_processes(settings, &all);
    CLEANUP(freep) struct ft_process **list = calloc(n + s->n + 1, sizeof(*list));
    int r = list ? processes_leave(s, settings) : -EAGAIN, failed = 0;
    size_t there = 0;

    if (r < 0)
        return r;
    for (size_t i = 0; i < n; i++) {
        struct ft_process *p = process_find(s, all[i].name);

        if (p) {
            process_keep(p, &all[i]);
        } else {
            r = process_new(s, &all[i], &p);
            if (r == 0 && (r = process_start(s, p)) < 0)
                process_free(p);
            failed = failed < 0 ? failed : r;
            if (r < 0)
                continue;
        }
        list[there++] = p;
    }
    struct ft_process **old = s->processes;
    s->processes = TAKE(list);
    s->n = there;
    free(old);
    return failed;
}

void ft_supervisor_child(struct ft_supervisor *s)
{
    for (size_t i = 0; i < s->n; i++)
        ft_bell_ring(&s->processes[i]->bell);
}

void ft_supervisor_kill(struct ft_supervisor *s)
{
    for (size_t i = 0; i < s->n; i++)
        if (s->processes[i]->state == FT_PROCESS_RUNNING)
            (void)kill(-s->processes[i]->pid, SIGKILL);
}
