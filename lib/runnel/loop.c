/* The loop of a worker: inbox, events, callbacks, deferred work, and the only place to sleep.
 *
 * Waking a sleeper: the sleeper stores `asleep` (seq_cst), looks at the inbox again, then enters
 * epoll. A poster pushes, then swaps `asleep` to false, and only who found it true writes the
 * eventfd. That is registered edge-triggered and never read: each write is a new edge. So a post to
 * a worker that is awake costs no system call.
 *
 * All events of a batch are sorted before the first callback runs (tasks become runnable, watches
 * are queued), so a callback that closes another descriptor of the same batch meets a queue that
 * knows it.
 */
#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>

#include "core.h"

#define WAKE_DATA UINT64_MAX
/* How old the coarse clock may be: a tick of a kernel with HZ=100, and some. */
#define COARSE_LAG (12 * RN_MS)
/* After this time asleep the leak check looks at what was parked. */
#define IDLE_CHECK RN_S

int rn__loop_open(struct rn_loop *loop, struct rn__worker *w)
{
    struct epoll_event ev = {.events = EPOLLIN | EPOLLET, .data.u64 = WAKE_DATA};
    int r;

    loop->worker = w;
    loop->index = w->index;
    loop->wakefd = -1;
    loop->defers_tail = &loop->defers;
    rn__wheel_init(&loop->wheel, w->rt->sim, w->rt->sim ? 0 : rn__clock());
    atomic_store(&loop->coarse, w->rt->sim ? 0 : rn__clock_coarse());
    loop->epoll = r = rn__sys_epoll_create1(EPOLL_CLOEXEC);
    if (r < 0)
        return r;
    loop->wakefd = r = rn__sys_eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (r < 0)
        return r;
    return rn__sys_epoll_ctl(loop->epoll, EPOLL_CTL_ADD, loop->wakefd, &ev);
}

void rn__loop_close(struct rn_loop *loop)
{
    if (loop->wakefd >= 0)
        (void)rn_sys_close(loop->wakefd);
    if (loop->epoll >= 0)
        (void)rn_sys_close(loop->epoll);
}

/* Callbacks act as their loop: what tasks handed to it before is theirs to see, and the tasks that
 * run later see what they did. */
static void callbacks_begin(struct rn_loop *loop)
{
    rn__san_acquire(loop);
    loop->in_callback = true;
}

static void callbacks_end(struct rn_loop *loop)
{
    loop->in_callback = false;
    rn__san_release(&loop->coarse);
}

/* ---- inbox ----------------------------------------------------------------------------------- */

static void loop_wake(struct rn_loop *loop)
{
    const uint64_t one = 1;

    if (atomic_load(&loop->asleep) && atomic_exchange(&loop->asleep, false))
        (void)rn_sys_write(loop->wakefd, &one, sizeof(one));
}

void rn__loop_push(struct rn_loop *loop, struct rn_post *post)
{
    struct rn_post *head = atomic_load_explicit(&loop->inbox, memory_order_relaxed);

    rn__san_release(post);
    do
        post->next = head;
    while (!atomic_compare_exchange_weak(&loop->inbox, &head, post));
    loop_wake(loop);
}

static void inbox_run(struct rn_loop *loop)
{
    struct rn_post *post, *next, *list = NULL;

    if (!atomic_load_explicit(&loop->inbox, memory_order_relaxed))
        return;
    /* newest first: turn it round */
    for (post = atomic_exchange(&loop->inbox, NULL); post; post = next) {
        next = post->next;
        post->next = list;
        list = post;
    }
    callbacks_begin(loop);
    for (post = list; post; post = next) {
        next = post->next; /* it may be posted again, or gone, once fn has run */
        rn__san_acquire(post);
        post->fn(post);
    }
    callbacks_end(loop);
}

int rn_loop_post(struct rn_loop *loop, struct rn_post *post)
{
    if (atomic_load(&loop->worker->rt->ending))
        return -ESHUTDOWN;
    rn__loop_push(loop, post);
    return 0;
}

/* ---- deferred work, pauses ------------------------------------------------------------------- */

void rn_loop_defer(struct rn_defer *defer)
{
    struct rn__worker *w = rn__worker_self();

    rn_assert(w != NULL);
    if (defer->queued)
        return;
    rn__san_release(&w->loop);
    defer->queued = true;
    defer->next = NULL;
    *w->loop.defers_tail = defer;
    w->loop.defers_tail = &defer->next;
}

/* What deferred work defers itself still belongs to this turn (an answer is written, then sent),
 * but not without end. */
#define DEFER_ROUNDS 3

void rn__loop_defers_run(struct rn_loop *loop)
{
    struct rn_defer *list, *defer;

    for (int round = 0; loop->defers && round < DEFER_ROUNDS; round++) {
        list = loop->defers;
        loop->defers = NULL;
        loop->defers_tail = &loop->defers;
        callbacks_begin(loop);
        while ((defer = list)) {
            list = defer->next;
            defer->queued = false;
            defer->fn(defer);
        }
        callbacks_end(loop);
    }
}

void rn_pause_begin(struct rn_pause *pause, void (*wake)(struct rn_pause *pause))
{
    struct rn__worker *w = rn__worker_self();

    rn_assert(w != NULL);
    if (pause->listed)
        return;
    rn__lock(w->rt, &w->rt->fd_lock);
    *pause =
        (struct rn_pause){.next = w->rt->pauses, .loop = &w->loop, .wake = wake, .listed = true};
    w->rt->pauses = pause;
    atomic_fetch_add(&w->rt->n_pauses, 1);
    rn__unlock(w->rt, &w->rt->fd_lock);
}

void rn_pause_end(struct rn_pause *pause)
{
    struct rn_runtime *rt;
    struct rn_pause **p;

    if (!pause->listed)
        return;
    rt = pause->loop->worker->rt;
    rn__lock(rt, &rt->fd_lock);
    for (p = &rt->pauses; *p != pause; p = &(*p)->next)
        ;
    *p = pause->next;
    pause->listed = false;
    atomic_fetch_sub(&rt->n_pauses, 1);
    rn__unlock(rt, &rt->fd_lock);
}

/* Every pause of this loop hears of the close once; its wake function may end that pause. */
static void pauses_run(struct rn_loop *loop)
{
    struct rn_runtime *rt = loop->worker->rt;
    struct rn_pause *pause, *next;

    if (!loop->pauses_due)
        return;
    loop->pauses_due = false;
    callbacks_begin(loop);
    for (pause = rt->pauses; pause; pause = next) {
        next = pause->next;
        if (pause->loop == loop)
            pause->wake(pause);
    }
    callbacks_end(loop);
}

/* ---- a turn ---------------------------------------------------------------------------------- */

static void timers_run(struct rn_loop *loop)
{
    struct rn_runtime *rt = loop->worker->rt;
    rn_time next;

    if (!atomic_load_explicit(&loop->wheel.armed, memory_order_relaxed))
        return;
    next = rn__wheel_next(&loop->wheel);
    if (!rt->sim && next > atomic_load_explicit(&loop->coarse, memory_order_relaxed) + COARSE_LAG)
        return; /* nothing can be due: no need to read the real clock */
    callbacks_begin(loop);
    rn__wheel_advance(&loop->wheel, rt->sim ? rt->sim_now : rn__clock());
    callbacks_end(loop);
}

void rn__loop_inputs(struct rn_loop *loop)
{
    if (!loop->worker->rt->sim)
        atomic_store_explicit(&loop->coarse, rn__clock_coarse(), memory_order_relaxed);
    timers_run(loop);
    inbox_run(loop);
    for (int i = 0; i < loop->n_events; i++)
        if (loop->events[i].data.u64 != WAKE_DATA)
            rn__fd_event(loop, loop->events[i].data.u64, loop->events[i].events);
    loop->n_events = 0;
    if (loop->ready) {
        callbacks_begin(loop);
        rn__loop_ready_run(loop);
        callbacks_end(loop);
    }
    pauses_run(loop);
}

bool rn__loop_busy(const struct rn_loop *loop)
{
    return loop->ready || loop->defers || loop->pauses_due ||
           atomic_load_explicit(&loop->inbox, memory_order_relaxed);
}

static void poll_for(struct rn_loop *loop, rn_time timeout)
{
    int n = rn__sys_epoll_wait(loop->epoll, loop->events, RN__EVENTS_MAX, timeout);

    loop->n_events = n > 0 ? n : 0; /* -EINTR: the next turn looks again */
}

/* No task has run for IDLE_CHECK (timers of callbacks may have): look whether one of those that
 * wait can never wake. */
static void idle_check(struct rn__worker *w)
{
    if (!w->parked_since_check || rn__clock() - w->idle_since < IDLE_CHECK)
        return;
    w->parked_since_check = false;
    rn__leak_idle(w->rt);
}

static void sleep_until_event(struct rn_loop *loop)
{
    struct rn__worker *w = loop->worker;
    rn_time next = rn__wheel_next(&loop->wheel);
    rn_time now = next != RN_FOREVER || w->parked_since_check ? rn__clock() : 0;
    rn_time timeout = -1;

    if (w->parked_since_check) {
        if (!w->idle_since)
            w->idle_since = now;
        if (next > w->idle_since + IDLE_CHECK)
            next = w->idle_since + IDLE_CHECK;
    }
    if (next != RN_FOREVER)
        timeout = next > now ? next - now : 0;

    atomic_store(&loop->asleep, true);
    if (!atomic_load(&loop->inbox))
        poll_for(loop, timeout);
    atomic_store(&loop->asleep, false);
    if (loop->n_events == 0 && !atomic_load(&loop->inbox))
        idle_check(w);
}

/* `sim`: nothing can run. Real descriptors come first, then the clock jumps to the next timer. When
 * neither can wake anybody, the run is dead: the root scope is cancelled, so that it ends and
 * rn_run() can say -EDEADLK. */
static void sim_idle(struct rn_loop *loop)
{
    struct rn__worker *w = loop->worker;
    rn_time next = rn__wheel_next(&loop->wheel);

    if (loop->registered) {
        poll_for(loop, 0);
        if (loop->n_events)
            return;
    }
    if (w->parked_since_check) {
        w->parked_since_check = false;
        rn__leak_idle(w->rt);
    }
    if (next != RN_FOREVER) {
        w->rt->sim_now = next > w->rt->sim_now ? next : w->rt->sim_now;
        atomic_store_explicit(&loop->coarse, w->rt->sim_now, memory_order_relaxed);
    } else if (loop->registered || rn__pool_busy(w->rt->pool)) {
        sleep_until_event(loop);
    } else {
        rn_assert(!w->rt->deadlocked); /* tasks wait, uncancellable, for what nobody can do */
        w->rt->deadlocked = true;
        rn__scope_cancel(w->rt->root);
    }
}

void rn__loop_poll(struct rn_loop *loop, bool may_sleep)
{
    if (!may_sleep) {
        if (loop->registered)
            poll_for(loop, 0);
    } else if (loop->worker->rt->sim) {
        sim_idle(loop);
    } else {
        sleep_until_event(loop);
    }
}

/* The runtime ends: what was posted before still runs, then the library above closes what it holds
 * here. */
void rn__loop_drain(struct rn_loop *loop)
{
    void (*fini)(void *local) = loop->local_fini;

    inbox_run(loop);
    rn__loop_defers_run(loop);
    loop->local_fini = NULL;
    if (fini) {
        callbacks_begin(loop);
        fini(loop->local);
        callbacks_end(loop);
    }
    loop->local = NULL;
    loop->defers = NULL; /* what fini deferred lay in what it freed */
    loop->defers_tail = &loop->defers;
    inbox_run(loop); /* posted by threads that saw us alive; the library lets in nobody any more */
}

void *rn_loop_local(struct rn_loop *loop)
{
    return loop->local;
}

void rn_loop_local_set(struct rn_loop *loop, void *value, void (*fini)(void *value))
{
    loop->local = value;
    loop->local_fini = fini;
}

/* ---- who am I -------------------------------------------------------------------------------- */

struct rn_loop *rn_loop_self(void)
{
    struct rn__worker *w = rn__worker_self();

    return w ? &w->loop : NULL;
}

uint32_t rn_loop_index(const struct rn_loop *loop)
{
    return loop->index;
}

struct rn_loop *rn_loop_at(struct rn_runtime *rt, uint32_t i)
{
    return i < rt->n_workers ? &rt->workers[i].loop : NULL;
}

uint64_t rn__loop_owner(const struct rn_loop *loop)
{
    return rn__owner(RN__OWNER_LOOP, loop->index, 1);
}
