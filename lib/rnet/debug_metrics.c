/* /metrics: what runnel, rnet and the kernel know about this process.
 *
 * Everything is read without a lock. Every family is there from the first page on; series with
 * labels appear for what exists.
 */
#include <rnet/debug.h>

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <base/cleanup.h>
#include <rnet/conn.h>
#include <rnet/http.h>
#include <rnet/listener.h>
#include <rnet/metrics.h>
#include <rnet/stats.h>
#include <runnel/sys.h>

#define LISTENERS_MAX 64

static void put(struct rnet_metrics *m, const char *label, const char *value, uint64_t n)
{
    rnet_metrics_count(m, &(struct rnet_label){label, value}, 1, n);
}

/* ---- runnel ---- */

static void collect_tasks(const struct rn_stats *s, struct rnet_metrics *m)
{
    rnet_metrics_family(m, "runnel_tasks", RNET_GAUGE, "Tasks that exist, by state.");
    put(m, "state", "running", s->tasks_running);
    put(m, "state", "runnable", s->tasks_runnable);
    put(m, "state", "parked", s->tasks_parked);
    rnet_metrics_counter(m, "runnel_tasks_started_total", "Tasks started.", s->tasks_started);
    rnet_metrics_gauge(m, "runnel_tasks_leaked",
                       "Tasks that can never wake (the dead of the last leak check).",
                       (double)s->tasks_leaked);
    rnet_metrics_gauge(m, "runnel_tasks_suspect",
                       "Tasks that wait for somebody who doesn't come (of the last leak check).",
                       (double)s->tasks_suspect);
    rnet_metrics_family(m, "runnel_parks_total", RNET_COUNTER,
                        "Times that a task went to wait, by what for.");
    put(m, "reason", "chan", s->parks_chan);
    put(m, "reason", "select", s->parks_select);
    put(m, "reason", "sleep", s->parks_sleep);
    put(m, "reason", "fd", s->parks_fd);
    put(m, "reason", "scope", s->parks_scope);
    put(m, "reason", "sync", s->parks_sync);
    put(m, "reason", "blocking", s->parks_blocking);
}

static void collect_runtime(const struct rn_runtime *rt, struct rnet_metrics *m)
{
    struct rn_stats s;

    rn_stats(rt, &s);
    collect_tasks(&s, m);
    rnet_metrics_gauge(m, "runnel_endpoints", "Open channel end-points.", (double)s.endpoints);
    rnet_metrics_gauge(m, "runnel_endpoints_unowned",
                       "Open channel end-points without an owner; reads 0.",
                       (double)s.endpoints_unowned);
    rnet_metrics_gauge(m, "runnel_channels", "Open channels.", (double)s.channels);
    rnet_metrics_gauge(m, "runnel_scopes", "Open scopes.", (double)s.scopes);
    rnet_metrics_gauge(m, "runnel_fds", "Descriptors that the runtime owns.", (double)s.fds);
    rnet_metrics_gauge(m, "runnel_timers", "Armed timers.", (double)s.timers);
    rnet_metrics_gauge(m, "runnel_stack_bytes", "Address space of the stacks of tasks.",
                       (double)s.stack_bytes);
    rnet_metrics_gauge(m, "runnel_blocking_threads", "Threads of the blocking pool.",
                       (double)s.blocking_threads);
    rnet_metrics_gauge(m, "runnel_blocking_queued",
                       "Jobs that wait for a thread of the blocking pool.",
                       (double)s.blocking_queued);
    rnet_metrics_counter(m, "runnel_worker_stalls_total",
                         "Times that a worker stood still while it had work.", s.worker_stalls);
    rnet_metrics_counter(m, "rnet_stale_events_total",
                         "Events for descriptors that had been closed, dropped.", s.stale_events);
}

/* ---- rnet ---- */

/* Listeners by name: two of one name are one line. */
struct by_name {
    char name[RNET_LISTENER_NAME_MAX];
    bool up;
    uint64_t connections, accepted, refused;
};

struct listeners {
    size_t n;
    struct by_name items[LISTENERS_MAX];
    uint64_t paused[RNET_PAUSE_MAX];
};

static struct by_name *listener_entry(struct listeners *all, const char *name)
{
    for (size_t i = 0; i < all->n; i++)
        if (strcmp(all->items[i].name, name) == 0)
            return &all->items[i];
    if (all->n == LISTENERS_MAX)
        return NULL;
    struct by_name *e = &all->items[all->n++];
    *e = (struct by_name){.up = true};
    snprintf(e->name, sizeof(e->name), "%s", name);
    return e;
}

static void read_listeners(struct listeners *all)
{
    struct rnet_listener_info info;

    for (size_t index = 0; rnet_listener_info(&index, &info);) {
        struct by_name *e = listener_entry(all, info.name);

        for (int i = 0; i < RNET_PAUSE_MAX; i++)
            all->paused[i] += info.paused[i];
        if (!e)
            continue;
        e->up &= info.up;
        e->connections += info.connections;
        e->accepted += info.accepted;
        e->refused += info.refused;
    }
}

static void collect_listeners(struct rnet_metrics *m)
{
    CLEANUP(freep) struct listeners *all = calloc(1, sizeof(*all));

    if (!all)
        return;
    read_listeners(all);
    rnet_metrics_family(m, "rnet_connections", RNET_GAUGE, "Open connections.");
    for (size_t i = 0; i < all->n; i++)
        put(m, "listener", all->items[i].name, all->items[i].connections);
    rnet_metrics_family(m, "rnet_listener_up", RNET_GAUGE,
                        "1 while every socket of the listener is proved to listen.");
    for (size_t i = 0; i < all->n; i++)
        put(m, "listener", all->items[i].name, all->items[i].up);
    rnet_metrics_family(m, "rnet_accepts_total", RNET_COUNTER, "Connections accepted.");
    for (size_t i = 0; i < all->n; i++)
        put(m, "listener", all->items[i].name, all->items[i].accepted);
    rnet_metrics_family(m, "rnet_refused_total", RNET_COUNTER,
                        "Connections closed at once: over the listener's bound.");
    for (size_t i = 0; i < all->n; i++)
        put(m, "listener", all->items[i].name, all->items[i].refused);
    rnet_metrics_family(m, "rnet_accept_pauses_total", RNET_COUNTER,
                        "Times that accepting paused for want of something.");
    for (int i = 0; i < RNET_PAUSE_MAX; i++)
        put(m, "reason", rnet_accept_pause_name(i), all->paused[i]);
}

static void collect_syscalls(struct rnet_metrics *m)
{
    CLEANUP(freep) struct rn_sys_count *counts = calloc(RN_SYS_MAX, sizeof(*counts));

    if (!counts)
        return;
    rn_sys_counts(counts);
    rnet_metrics_family(m, "rnet_syscalls_total", RNET_COUNTER,
                        "System calls of runnel and rnet, by result.");
    for (int call = 0; call < RN_SYS_MAX; call++) {
        struct rnet_label labels[] = {{"call", rn_sys_name(call)}, {"result", "ok"}};
        uint64_t ok = counts[call].calls;

        for (int e = 1; e < RN_SYS_ERRNO_MAX; e++)
            ok -= counts[call].errors[e] < ok ? counts[call].errors[e] : ok;
        rnet_metrics_count(m, labels, 2, ok);
        for (int e = 1; e < RN_SYS_ERRNO_MAX; e++) {
            if (!counts[call].errors[e])
                continue;
            labels[1].value = strerrorname_np(e) ? strerrorname_np(e) : "unknown";
            rnet_metrics_count(m, labels, 2, counts[call].errors[e]);
        }
    }
}

static void collect_net(struct rnet_metrics *m)
{
    struct rnet_http_stats http;

    collect_listeners(m);
    rnet_metrics_family(m, "rnet_connection_ends_total", RNET_COUNTER,
                        "Connections that ended, by reason.");
    for (int i = RNET_REASON_NONE + 1; i < RNET_REASON_MAX; i++)
        put(m, "reason", rnet_reason_name(i), rnet_reason_count(i));
    rnet_metrics_family(m, "rnet_events_total", RNET_COUNTER, "Events of the network library.");
    for (int i = 0; i < RNET_COUNTER_MAX; i++)
        put(m, "event", rnet_counter_name(i), rnet_counter(i));
    rnet_http_stats(&http);
    rnet_metrics_counter(m, "rnet_http_requests_total", "Requests with a complete head.",
                         http.requests);
    rnet_metrics_counter(m, "rnet_http_responses_dropped_total",
                         "Answers to connections that had gone.", http.responses_dropped);
    rnet_metrics_counter(m, "rnet_http_handlers_silent_total",
                         "Handlers that returned without an answer.", http.handlers_silent);
    rnet_metrics_counter(m, "rnet_http_handlers_cancelled_total",
                         "Handlers cancelled because their connection died.",
                         http.handlers_cancelled);
    collect_syscalls(m);
}

/* ---- the process ---- */

/* Fields 14, 15, 22, 23 and 24 of /proc/self/stat, behind a name that may hold anything. */
struct proc_stat {
    unsigned long long utime, stime, start, vsize, rss;
};

static int read_proc_stat(struct proc_stat *ret)
{
    CLEANUP(fclosep) FILE *f = fopen("/proc/self/stat", "re");
    char line[1024];
    const char *at;

    if (!f || !fgets(line, sizeof(line), f))
        return -EIO;
    at = strrchr(line, ')');
    if (!at || sscanf(at + 1,
                      " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu %*d %*d %*d %*d %*d "
                      "%*d %llu %llu %llu",
                      &ret->utime, &ret->stime, &ret->start, &ret->vsize, &ret->rss) != 5)
        return -EIO;
    return 0;
}

static double boot_time(void)
{
    CLEANUP(fclosep) FILE *f = fopen("/proc/stat", "re");
    unsigned long long seconds = 0;
    char line[256];

    while (f && fgets(line, sizeof(line), f))
        if (sscanf(line, "btime %llu", &seconds) == 1)
            break;
    return (double)seconds;
}

static double open_fds(void)
{
    DIR *dir = opendir("/proc/self/fd");
    double n = -3; /* ".", "..", and the one of this look */

    if (!dir)
        return 0;
    while (readdir(dir))
        n++;
    closedir(dir);
    return n;
}

static void collect_process(struct rnet_metrics *m)
{
    const double hz = (double)sysconf(_SC_CLK_TCK);
    struct rlimit files = {0};
    struct proc_stat s = {0};

    (void)read_proc_stat(&s);
    (void)getrlimit(RLIMIT_NOFILE, &files);
    rnet_metrics_family(m, "process_cpu_seconds_total", RNET_COUNTER, "CPU time, user and system.");
    rnet_metrics_value(m, NULL, 0, (double)(s.utime + s.stime) / hz);
    rnet_metrics_gauge(m, "process_resident_memory_bytes", "Resident memory.",
                       (double)s.rss * (double)sysconf(_SC_PAGESIZE));
    rnet_metrics_gauge(m, "process_virtual_memory_bytes", "Virtual memory.", (double)s.vsize);
    rnet_metrics_gauge(m, "process_open_fds", "Open file descriptors.", open_fds());
    rnet_metrics_gauge(m, "process_max_fds", "The most that may be open.", (double)files.rlim_cur);
    rnet_metrics_gauge(m, "process_start_time_seconds", "Start of the process, since the epoch.",
                       boot_time() + (double)s.start / hz);
}

void rnet_debug_collect(struct rn_runtime *observed, struct rnet_metrics *out)
{
    collect_runtime(observed, out);
    collect_net(out);
    collect_process(out);
}
