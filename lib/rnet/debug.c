/* The debug window: a thread, a runtime of one worker, an HTTP server, three pages.
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
#include <rnet/addr.h>
#include <rnet/http.h>
#include <rnet/listener.h>
#include <rnet/metrics.h>
#include <runnel/fd.h>
#include <runnel/leak.h>
#include <runnel/sys.h>

#define TASKS_LIMIT 10000

struct rnet_debug {
    /* set once in rnet_debug_serve() */
    struct rn_runtime *observed;
    const char *const *addrs; /* the caller's; used before it returns only */
    size_t n_addrs;
    struct rnet_collector *collectors;
    size_t n_collectors;
    pthread_t thread;
    int stop[2]; /* a pipe: the window's task takes [0] and reads, rnet_debug_stop() writes */

    /* lock */
    pthread_mutex_t lock;
    pthread_cond_t told;
    bool started;
    int result; /* of binding */
    char bound[RNET_LISTENER_ADDRS_MAX][RNET_ADDR_TEXT_MAX];
};

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

/* ---- /debug/tasks ---- */

struct page {
    FILE *out;
    char *text;
    size_t len;
    uint64_t seen, limit;
    bool json;
};

static const char *state_name(enum rn_task_state state)
{
    static const char *const names[] = {"free", "running", "runnable", "parked"};

    return (unsigned)state < 4 ? names[state] : "unknown";
}

static void put_site_text(FILE *out, const char *what, const struct rn_site *site)
{
    if (site)
        fprintf(out, "\t%s %s:%d (%s)\n", what, site->file, site->line, site->func);
}

/* As Go heads its stacks: "task 7 [chan recv, 12s]: name". */
static void put_task_text(struct page *p, const struct rn_task_info *t)
{
    fprintf(p->out, "task %" PRIu32 " [%s", t->id,
            t->state == RN_TASK_PARKED ? rn_wait_name(t->wait) : state_name(t->state));
    if (t->state == RN_TASK_PARKED && t->wait_ns >= RN_S)
        fprintf(p->out, ", %" PRId64 "s", t->wait_ns / RN_S);
    fprintf(p->out, "%s]: %s\n", t->dead ? ", leaked" : "", t->name);
    put_site_text(p->out, "waits at", t->wait_site);
    put_site_text(p->out, "started at", t->born);
}

/* Names and paths of source files: nothing else can be in them, so this is all the escaping there
 * is. */
static void put_string(FILE *out, const char *text)
{
    fputc('"', out);
    for (; *text; text++) {
        if (*text == '"' || *text == '\\')
            fputc('\\', out);
        fputc((unsigned char)*text < ' ' ? ' ' : *text, out);
    }
    fputc('"', out);
}

static void put_site_json(FILE *out, const char *key, const struct rn_site *site)
{
    fprintf(out, ",\"%s\":", key);
    if (!site) {
        fputs("null", out);
        return;
    }
    fputs("{\"file\":", out);
    put_string(out, site->file);
    fprintf(out, ",\"line\":%d,\"func\":", site->line);
    put_string(out, site->func);
    fputc('}', out);
}

static void put_task_json(struct page *p, const struct rn_task_info *t)
{
    fprintf(p->out, "%s{\"id\":%" PRIu32 ",\"name\":", p->seen > 1 ? "," : "", t->id);
    put_string(p->out, t->name);
    fprintf(p->out, ",\"state\":\"%s\",\"wait\":", state_name(t->state));
    if (t->state == RN_TASK_PARKED)
        put_string(p->out, rn_wait_name(t->wait));
    else
        fputs("null", p->out);
    fprintf(p->out, ",\"wait_ns\":%" PRId64 ",\"leaked\":%s", t->wait_ns,
            t->dead ? "true" : "false");
    put_site_json(p->out, "waits_at", t->wait_site);
    put_site_json(p->out, "started_at", t->born);
    fputc('}', p->out);
}

static bool put_task(void *arg, const struct rn_task_info *t)
{
    struct page *p = arg;

    if (++p->seen > p->limit)
        return true; /* only counted */
    if (p->json)
        put_task_json(p, t);
    else
        put_task_text(p, t);
    return true;
}

static uint64_t limit_of(const struct rnet_http_request *req)
{
    struct rn_slice s = rnet_http_query(req, "limit");
    uint64_t n = 0;

    for (size_t i = 0; i < s.len && i < 9 && s.data[i] >= '0' && s.data[i] <= '9'; i++)
        n = n * 10 + (s.data[i] - '0');
    return n ? n : TASKS_LIMIT;
}

static void send_page(struct rnet_http_request *req, struct page *p, const char *type)
{
    if (fclose(p->out) == 0)
        (void)rnet_http_respond(req, 200, type, rn_slice(p->text, p->len));
    else
        (void)rnet_http_problem(req, 503, "no memory", NULL);
    free(p->text);
}

static void serve_tasks(void *arg, struct rnet_http_request *req)
{
    struct rnet_debug *d = arg;
    struct page p = {.limit = limit_of(req),
                     .json = rn_slice_eq_str(rnet_http_query(req, "format"), "json")};

    p.out = open_memstream(&p.text, &p.len);
    if (!p.out) {
        (void)rnet_http_problem(req, 503, "no memory", NULL);
        return;
    }
    if (p.json)
        fputs("{\"tasks\":[", p.out);
    rn_tasks_each(d->observed, put_task, &p);
    if (p.json)
        fprintf(p.out, "],\"total\":%" PRIu64 "}\n", p.seen);
    else if (p.seen > p.limit)
        fprintf(p.out, "%" PRIu64 " tasks, the first %" PRIu64 " shown (?limit=N)\n", p.seen,
                p.limit);
    else
        fprintf(p.out, "%" PRIu64 " tasks\n", p.seen);
    send_page(req, &p, p.json ? "application/json" : "text/plain; charset=utf-8");
}

/* ---- /debug/leaks ---- */

static void serve_leaks(void *arg, struct rnet_http_request *req)
{
    struct rnet_debug *d = arg;
    struct page p = {0};
    int n;

    p.out = open_memstream(&p.text, &p.len);
    if (!p.out) {
        (void)rnet_http_problem(req, 503, "no memory", NULL);
        return;
    }
    n = rn_leak_check(d->observed, p.out);
    if (n >= 0)
        fprintf(p.out, "%d tasks can never wake\n", n);
    else
        fprintf(p.out, "the check could not be made: %s\n", strerror(-n));
    send_page(req, &p, "text/plain; charset=utf-8");
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

static int window(void *arg)
{
    CLEANUP(rnet_http_closep) struct rnet_http *server = NULL;
    struct rnet_debug *d = arg;
    const struct rnet_http_route routes[] = {
        {.method = "GET",
         .pattern = "/metrics",
         .handler = serve_metrics,
         .arg = d,
         .stack = RN_STACK_256K},
        {.method = "GET",
         .pattern = "/debug/tasks",
         .handler = serve_tasks,
         .arg = d,
         .stack = RN_STACK_256K},
        {.method = "GET",
         .pattern = "/debug/leaks",
         .handler = serve_leaks,
         .arg = d,
         .stack = RN_STACK_256K},
    };
    const struct rnet_http_options options = {
        .name = "debug",
        .addrs = d->addrs,
        .n_addrs = d->n_addrs,
        .routes = routes,
        .n_routes = sizeof(routes) / sizeof(routes[0]),
        .connections_max = 64,
        .body_max = 1,
    };
    int r = rnet_http_open(&options, &server);

    if (r == 0)
        remember_addresses(d, server);
    tell(d, r);
    if (r < 0)
        return r;
    (void)wait_for_stop(d);
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
