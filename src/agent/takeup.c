/* How a process takes up new files.
 *
 *     running, on_change: signal      GRACE ---- start_grace over: signal ----> WINDOW ----> done
 *     running, on_change: restart     LIFE (the next one) --- it runs ---> WINDOW
 *     waiting for its back-off        LIFE, at once
 *
 * A life that ends in LIFE or WINDOW is a failure, with one exception: a process that dies of the
 * very signal that we sent it did not know the signal (or not yet), and is started once more with
 * the new files.
 *
 * A life that ends in GRACE ran with the old files: the next one is watched instead.
 */
#include "takeup.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>

#include <base/cleanup.h>
#include <base/log.h>

#include "fault.h"

enum stage { GRACE, LIFE, WINDOW, DONE };

struct watch {
    struct ft_process *p;
    enum stage stage;
    rn_time due;   /* of GRACE and WINDOW */
    uint64_t life; /* the one that is watched or awaited */
    bool signalled, retried;
};

static void window_open(struct watch *w, rn_time from)
{
    w->stage = WINDOW;
    w->life = w->p->life;
    w->due = from + w->p->settings->window_ns;
}

/* Watch the next life, and let it begin. */
static void life_await(struct watch *w)
{
    w->stage = LIFE;
    w->signalled = false;
    w->life = w->p->life + 1;
    if (w->p->state == FT_PROCESS_RUNNING)
        ft_process_restart(w->p);
    else
        ft_process_start(w->p);
}

static void watch_begin(struct watch *w, bool fresh)
{
    struct ft_process *p = w->p;

    if (fresh && p->life == 0) {
        w->stage = LIFE; /* its task has not run yet */
        w->life = 1;
    } else if (fresh && p->state == FT_PROCESS_RUNNING) {
        window_open(w, p->started_at);
    } else if (p->state != FT_PROCESS_RUNNING || p->settings->on_change.restart) {
        life_await(w);
    } else {
        w->stage = GRACE;
        w->life = p->life;
        w->due = p->started_at + p->settings->start_grace_ns;
        return;
    }
    FT_FAULT_POINT(PROCESS_TOLD);
}

static void step_grace(struct watch *w, rn_time now)
{
    struct ft_process *p = w->p;

    if (p->ended_life >= w->life || p->state != FT_PROCESS_RUNNING) {
        if (p->state == FT_PROCESS_RUNNING)
            window_open(w, p->started_at);
        else
            life_await(w);
        return;
    }
    if (now < w->due)
        return;
    if (ft_process_signal(p, p->settings->on_change.signal) < 0)
        return; /* gone this moment: its end will be seen */
    log_info("process told of new files", LOG_STR("process", p->settings->name),
             LOG_INT("signal", p->settings->on_change.signal));
    w->signalled = true;
    window_open(w, now);
    FT_FAULT_POINT(PROCESS_TOLD);
}

static bool died_of_our_signal(const struct watch *w)
{
    const struct ft_process *p = w->p;

    return w->signalled && !w->retried && p->ended_life == w->life && p->start_error == 0 &&
           WIFSIGNALED(p->ended_status) &&
           WTERMSIG(p->ended_status) == p->settings->on_change.signal;
}

/* 0, or -ECHILD. */
static int step(struct watch *w, rn_time now, char *why, size_t size)
{
    struct ft_process *p = w->p;

    if (w->stage == GRACE)
        step_grace(w, now);
    if ((w->stage == LIFE || w->stage == WINDOW) && p->ended_life >= w->life) {
        char end[640];

        if (died_of_our_signal(w)) {
            w->retried = true;
            life_await(w);
            return 0;
        }
        ft_process_end_text(p, end, sizeof(end));
        (void)snprintf(why, size, "process %s %s", p->settings->name, end);
        return -ECHILD;
    }
    if (w->stage == LIFE && p->state == FT_PROCESS_RUNNING && p->life >= w->life)
        window_open(w, p->started_at);
    if (w->stage == WINDOW && now >= w->due)
        w->stage = DONE;
    return 0;
}

static rn_time next_due(const struct watch *w, size_t n, bool *ret_done)
{
    rn_time due = RN_FOREVER;

    *ret_done = true;
    for (size_t i = 0; i < n; i++) {
        if (w[i].stage != DONE)
            *ret_done = false;
        if ((w[i].stage == GRACE || w[i].stage == WINDOW) && w[i].due < due)
            due = w[i].due;
    }
    return due;
}

static int watch_all(struct ft_supervisor *s, struct watch *w, size_t n, char *why, size_t size)
{
    for (;;) {
        bool done;
        rn_time due, now = rn_now();
        int r = rn_cancelled(); /* before any end is judged: a stop ends processes too */

        for (size_t i = 0; i < n && r == 0; i++)
            r = step(&w[i], now, why, size);
        if (r < 0)
            return r;
        due = next_due(w, n, &done);
        if (done)
            return 0;
        r = ft_bell_wait(&s->changed, due);
        if (r < 0 && r != -ETIMEDOUT)
            return r;
    }
}

int ft_take_up(struct ft_supervisor *s, const struct ft_plan *plan, bool fresh, char *why,
               size_t why_size)
{
    CLEANUP(freep) struct watch *w = calloc(s->n + 1, sizeof(*w));
    size_t n = 0;
    int r;

    if (!w) {
        (void)snprintf(why, why_size, "out of memory");
        return -ECHILD;
    }
    for (size_t i = 0; i < s->n; i++)
        if (ft_plan_touches(plan, s->processes[i]->settings))
            w[n++].p = s->processes[i];
    for (size_t i = 0; i < n; i++)
        watch_begin(&w[i], fresh);
    r = watch_all(s, w, n, why, why_size);
    if (r == 0)
        FT_FAULT_POINT(WINDOW_PASSED);
    return r;
}
