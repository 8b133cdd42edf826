/* The debug window: a thread, a runtime of one worker, an HTTP server, its pages.
 *
 *     rnet_debug_serve() --thread--> rn_run(window) --bound--> serving --a byte in the pipe-->
 * stopped --> joined
 *
 * Nothing here waits for the observed runtime: tasks, numbers and listeners are read from memory
 * that is never unmapped.
 */
#include <rnet/debug.h>

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <base/cleanup.h>
#include <rnet/metrics.h>
#include <runnel/fd.h>
#include <runnel/leak.h>
#include <runnel/sys.h>

#include "debug_internal.h"

/* How often the leak check looks at the observed runtime. */
#define WATCH_PERIOD (5 * RN_S)

/* ---- /metrics ---- */

static void serve_metrics(void *arg, struct rnet_http_request *req)
{
    CLEANUP(rnet_metrics_freep) struct rnet_metrics *m = NULL;
    struct rnet_debug *d = arg;

    if (rnet_metrics_new(&m) < 0) {
        (void)rnet_http_problem(req, 503, "no memory", NULL);
        return;
    }
    rnet_debug_collect(d->observed, m);
    for (size_t i = 0; i < d->n_collectors; i++)
        d->collectors[i].collect(d->collectors[i].arg, m);
    if (rnet_metrics_error(m) < 0)
        (void)rnet_http_problem(req, 500, "a collector wrote what no reader would understand",
                                NULL);
    else
        (void)rnet_http_respond(req, 200, "text/plain; version=0.0.4; charset=utf-8",
                                rnet_metrics_text(m));
}

/* ---- the thread ---- */

static void tell(struct rnet_debug *d, int result)
{
    pthread_mutex_lock(&d->lock);
    if (!d->started) {
        d->started = true;
        d->result = result;
        pthread_cond_signal(&d->told);
    }
    pthread_mutex_unlock(&d->lock);
}

static void remember_addresses(struct rnet_debug *d, const struct rnet_http *server)
{
    const char *address;

    for (size_t i = 0; i < RNET_LISTENER_ADDRS_MAX && (address = rnet_http_address(server, i)); i++)
        snprintf(d->bound[i], sizeof(d->bound[i]), "%s", address);
}

static int wait_for_stop(struct rnet_debug *d)
{
    CLEANUP(rn_fd_closep) struct rn_fd pipe = {0};
    char byte;
    int r = rn_fd_adopt(d->stop[0], RN_FD_PIPE, &pipe);

    if (r < 0)
        return r;
    d->stop[0] = -1; /* the record's now */
    return (int)rn_fd_read(pipe, &byte, 1, RN_FOREVER);
}

/* So that the numbers in /metrics are of now, whether anybody asks for the leaks or not. */
static int watch_leaks(void *arg)
{
    const struct rnet_debug *d = arg;
    int r = 0;

    while (r == 0) {
        r = rn_sleep(rn_after(WATCH_PERIOD));
        if (r == 0)
            (void)rn_leak_watch(d->observed);
    }
    return 0;
}

static const struct {
    const char *path;
    rnet_http_handler_fn *serve;
} pages[] = {
    {"/metrics", serve_metrics},
    {"/debug/tasks", rnet__debug_tasks},
    {"/debug/leaks", rnet__debug_leaks},
    {"/debug/objects", rnet__debug_objects},
    {"/debug/fds", rnet__debug_fds},
    {"/debug/listeners", rnet__debug_listeners},
    {"/debug/syscalls", rnet__debug_syscalls},
    {"/debug/pprof/", rnet__debug_pprof},
    {"/debug/pprof/goroutine", rnet__debug_goroutine},
    {"/debug/pprof/{profile}", rnet__debug_no_profile},
};
#define N_PAGES (sizeof(pages) / sizeof(pages[0]))

static int window(void *arg)
{
    CLEANUP(rnet_http_closep) struct rnet_http *server = NULL;
    struct rnet_debug *d = arg;
    struct rnet_http_route routes[N_PAGES];
    const struct rnet_http_options options = {
        .name = "debug",
        .addrs = d->addrs,
        .n_addrs = d->n_addrs,
        .routes = routes,
        .n_routes = N_PAGES,
        .connections_max = 64,
        .body_max = 1,
    };
    struct rn_scope scope;
    int r;

    for (size_t i = 0; i < N_PAGES; i++)
        routes[i] = (struct rnet_http_route){.method = "GET",
                                             .pattern = pages[i].path,
                                             .handler = pages[i].serve,
                                             .arg = d,
                                             .flags = RNET_HTTP_STREAM,
                                             .stack = RN_STACK_256K};
    r = rn_scope_open(RN_SCOPE_WAIT_ALL, &scope);
    if (r == 0)
        r = rnet_http_open(&options, &server);
    if (r == 0)
        remember_addresses(d, server);
    tell(d, r);
    if (r < 0)
        return r;
    (void)rn_go(scope, watch_leaks, d, NULL, 0);
    (void)wait_for_stop(d);
    (void)rn_scope_close(scope);
    return rnet_http_stop(server, rn_after(RN_S));
}

static void *thread_main(void *arg)
{
    const struct rn_options options = {.name = "debug", .workers = 1, .leaks = RN_LEAKS_IGNORE};
    int r = rn_run(&options, window, arg);

    tell(arg, r < 0 ? r : -EIO); /* only heard when the runtime did not even start */
    return NULL;
}

/* ---- the caller's side ---- */

static void debug_free(struct rnet_debug *d)
{
    for (int i = 0; i < 2; i++)
        if (d->stop[i] >= 0)
            (void)rn_sys_close(d->stop[i]);
    pthread_cond_destroy(&d->told);
    pthread_mutex_destroy(&d->lock);
    free(d->collectors);
    free(d);
}
DEFINE_TRIVIAL_CLEANUP(struct rnet_debug *, debug_free);

static int debug_new(const struct rnet_debug_options *options, struct rnet_debug **ret_debug)
{
    CLEANUP(debug_freep) struct rnet_debug *d = calloc(1, sizeof(*d));
    int r;

    if (!d)
        return -ENOMEM;
    d->stop[0] = d->stop[1] = -1;
    pthread_mutex_init(&d->lock, NULL);
    pthread_cond_init(&d->told, NULL);
    d->observed = options->observed;
    d->addrs = options->addrs;
    d->n_addrs = options->n_addrs;
    d->n_collectors = options->n_collectors;
    d->collectors = calloc(options->n_collectors + 1, sizeof(*d->collectors));
    if (!d->collectors)
        return -ENOMEM;
    for (size_t i = 0; i < options->n_collectors; i++)
        d->collectors[i] = options->collectors[i];
    r = rn_sys_pipe2(d->stop, O_CLOEXEC);
    if (r < 0)
        return r;
    *ret_debug = TAKE(d);
    return 0;
}

/* Signals are the program's: this thread takes none. */
static int thread_start(struct rnet_debug *d)
{
    sigset_t all, before;
    int r;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    r = pthread_create(&d->thread, NULL, thread_main, d);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return -r;
}

int rnet_debug_serve(const struct rnet_debug_options *options, struct rnet_debug **ret_debug)
{
    CLEANUP(debug_freep) struct rnet_debug *d = NULL;
    int r;

    r = debug_new(options, &d);
    if (r < 0)
        return r;
    r = thread_start(d);
    if (r < 0)
        return r;
    pthread_mutex_lock(&d->lock);
    while (!d->started)
        pthread_cond_wait(&d->told, &d->lock);
    r = d->result;
    pthread_mutex_unlock(&d->lock);
    if (r < 0) {
        pthread_join(d->thread, NULL);
        return r;
    }
    *ret_debug = TAKE(d);
    return 0;
}

const char *rnet_debug_address(const struct rnet_debug *debug, size_t i)
{
    return i < RNET_LISTENER_ADDRS_MAX && debug->bound[i][0] ? debug->bound[i] : NULL;
}

void rnet_debug_stop(struct rnet_debug *debug)
{
    if (!debug)
        return;
    (void)rn_sys_write(debug->stop[1], "", 1);
    pthread_join(debug->thread, NULL);
    debug_free(debug);
}

void rnet_debug_stopp(struct rnet_debug **debug)
{
    rnet_debug_stop(*debug);
    *debug = NULL;
}
