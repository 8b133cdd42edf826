/* What it takes of the machine: timers, memory, the way from a thread into an idle worker. */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <base/cleanup.h>

#include "bench.h"

static int fired;

static void fire(struct rn_timer *timer)
{
    (void)timer;
    fired++;
}

static uint64_t timers_armed(void)
{
    struct rn_stats stats;

    rn_stats(rn_runtime_self(), &stats);
    return stats.timers;
}

/* An hour from now, which is a look at the clock; it never comes. */
void work_timer(struct run *run)
{
    struct rn_timer timer = {0};
    const uint64_t before = timers_armed();

    for (uint64_t i = 0; i < run->n; i++) {
        rn_timer_arm(&timer, rn_after(3600 * RN_S), fire);
        if (i % 4096 == 0)
            CHECK(timers_armed() == before + 1);
        rn_timer_disarm(&timer);
        run->sum++;
    }
    CHECK(timers_armed() == before && fired == 0);
}

/* Bytes of this process that are its own: pages and what maps them. */
static int64_t resident(void)
{
    CLEANUP(fclosep) FILE *f = fopen("/proc/self/status", "re");
    char line[256];
    int64_t sum = 0;

    CHECK(f);
    while (fgets(line, sizeof(line), f))
        if (strncmp(line, "RssAnon:", 8) == 0 || strncmp(line, "VmPTE:", 6) == 0)
            sum += strtoll(strchr(line, ':') + 1, NULL, 10) * 1024;
    return sum;
}

struct parked {
    uint64_t n;
    _Atomic uint64_t started, woken;
    struct rn_rx rx;
    struct rn_tx all; /* have started */
};

static int parked(void *arg)
{
    struct parked *p = arg;

    if (atomic_fetch_add(&p->started, 1) + 1 == p->n)
        CHECK(rn_tx_send(p->all, NULL, RN_FOREVER) == 0);
    if (rn_rx_recv(p->rx, NULL, RN_FOREVER) == -EPIPE)
        atomic_fetch_add(&p->woken, 1);
    return 0;
}

/* A look at the states of all tasks takes long: the last one to start says when it pays. */
static void wait_parked(uint64_t n, struct rn_rx all)
{
    struct rn_stats stats;

    CHECK(rn_rx_recv(all, NULL, RN_FOREVER) == 0);
    for (;;) {
        rn_stats(rn_runtime_self(), &stats);
        if (stats.tasks_parked >= n)
            return;
        CHECK(rn_yield() == 0);
    }
}

/* `n` tasks wait for one channel, which nobody sends to: bytes of each. Its end wakes them all. */
void work_parked(struct run *run)
{
    CLEANUP(rn_scope_closep) struct rn_scope scope = {0};
    CLEANUP(rn_rx_closep) struct rn_rx all = {0};
    struct parked p = {.n = run->n};
    struct rn_tx tx;
    int64_t before;

    CHECK(rn_scope_open(RN_SCOPE_WAIT_ALL, &scope) == 0);
    CHECK(rn_chan_open(0, 0, &tx, &p.rx) == 0 && rn_chan_open(0, 1, &p.all, &all) == 0);
    const struct rn_end ends[] = {rn_end_rx(p.rx), rn_end_tx(p.all)};
    CHECK(rn_end_to_scope(ends, 2, scope) == 0); /* all its tasks may use them */
    before = resident();
    for (uint64_t i = 0; i < run->n; i++)
        CHECK(rn_go(scope, parked, &p, NULL, 0) == 0);
    wait_parked(run->n, all);
    run->measure = (double)(resident() - before) / (double)run->n;
    rn_tx_closep(&tx);
    CHECK(rn_scope_wait(scope) == 0);
    run->sum = atomic_load(&p.woken);
    CHECK(run->sum == run->n);
}

/* A thread wakes another, which sleeps in epoll_wait: how long after did that one see it? */
struct waking {
    struct run *run;
    struct rn_loop *loop;
    struct rn_post post;
    int there, back;
    int64_t seen;
};

static int ascending(const void *a, const void *b)
{
    const int64_t *x = a, *y = b;

    return (*x > *y) - (*x < *y);
}

static void seen(struct waking *w)
{
    w->seen = clock_ns();
    CHECK(eventfd_write(w->back, 1) == 0);
}

static void posted(struct rn_post *post)
{
    seen((struct waking *)((char *)post - offsetof(struct waking, post)));
}

/* On a thread of its own, with pauses so long that the other sleeps again. */
static int wake(void *arg)
{
    struct waking *w = arg;
    CLEANUP(freep) int64_t *took = calloc(w->run->n, sizeof(*took));
    const struct timespec pause = {.tv_nsec = 100000};
    eventfd_t v;

    CHECK(took);
    for (uint64_t i = 0; i < w->run->n; i++) {
        nanosleep(&pause, NULL);
        const int64_t start = clock_ns();
        if (w->loop)
            CHECK(rn_loop_post(w->loop, &w->post) == 0);
        else
            CHECK(eventfd_write(w->there, 1) == 0);
        CHECK(eventfd_read(w->back, &v) == 0 && v == 1);
        took[i] = w->seen - start;
        w->run->sum++;
    }
    qsort(took, w->run->n, sizeof(*took), ascending);
    w->run->measure = (double)took[w->run->n / 2];
    return 0;
}

void work_wake(struct run *run)
{
    CLEANUP(closep) int back = eventfd(0, EFD_CLOEXEC);
    CLEANUP(rn_class_closep) struct rn_class *class = NULL;
    struct waking w = {.run = run, .loop = rn_loop_self(), .post = {.fn = posted}, .back = back};

    CHECK(back >= 0 && rn_class_open("wake", 1, &class) == 0);
    CHECK(rn_blocking(class, wake, &w) == 0);
    CHECK(run->sum == run->n);
}

static void *sleeper(void *arg)
{
    struct waking *w = arg;
    CLEANUP(closep) int epoll = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event e = {.events = EPOLLIN | EPOLLET};

    CHECK(epoll >= 0 && epoll_ctl(epoll, EPOLL_CTL_ADD, w->there, &e) == 0);
    for (uint64_t i = 0; i < w->run->n; i++) {
        CHECK(epoll_wait(epoll, &e, 1, -1) == 1);
        seen(w);
    }
    return NULL;
}

/* The floor: the same between two threads without a runtime. */
void work_wake_bare(struct run *run)
{
    CLEANUP(closep) int there = eventfd(0, EFD_CLOEXEC);
    CLEANUP(closep) int back = eventfd(0, EFD_CLOEXEC);
    struct waking w = {.run = run, .there = there, .back = back};
    pthread_t thread;

    CHECK(there >= 0 && back >= 0 && pthread_create(&thread, NULL, sleeper, &w) == 0);
    CHECK(wake(&w) == 0);
    CHECK(pthread_join(thread, NULL) == 0);
    CHECK(run->sum == run->n);
}
