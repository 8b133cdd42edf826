/* http: an HTTP server with two handlers, `/` and `/test`.
 *
 * Both are callbacks of the loop, since they have nothing to wait for. A keep-alive request then
 * costs one recv, one send and a share of an epoll_wait: see it with strace, or on the debug address.
 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include <rnet/debug.h>
#include <rnet/http.h>

#include <runnel/runtime.h>
#include <runnel/signal.h>
#include <runnel/task.h>
#include <runnel/trace.h>

#include <base/cleanup.h>
#include <base/log.h>

#define STOP_NS (5 * RN_S)

static const char usage[] = "usage: http [OPTION]...\n"
                            "\n"
                            "  --listen ADDR:PORT  where (default 127.0.0.1:8080)\n"
                            "  --debug ADDR:PORT   /metrics and /debug (default 127.0.0.1:8081)\n"
                            "  --help              this text\n"
                            "  --version           print the version\n";

static void root(void *arg, struct rnet_http_request *req)
{
    (void)arg;
    (void)rnet_http_respond(req, 200, "text/plain", RN_SLICE_LITERAL("hello\n"));
}

static void test(void *arg, struct rnet_http_request *req)
{
    (void)arg;
    (void)rnet_http_respond(req, 200, "text/plain", RN_SLICE_LITERAL("test\n"));
}

static const struct rnet_http_route routes[] = {
    {.method = "GET", .pattern = "/", .handler = root, .flags = RNET_HTTP_ON_LOOP},
    {.method = "GET", .pattern = "/test", .handler = test, .flags = RNET_HTTP_ON_LOOP},
};

struct program {
    const char *listen, *debug;
    sigset_t    signals;
};

static int wait_for_signal(const sigset_t *set)
{
    CLEANUP(rn_fd_closep) struct rn_fd signals = {0};
    int r = rn_signals_open(set, &signals);

    if (r == 0)
        r = rn_signals_wait(signals, RN_FOREVER);
    return r < 0 ? r : 0;
}

static int fail(const char *address, int r)
{
    (void)fprintf(stderr, "http: cannot listen on %s: %s\n", address, strerror(-r));
    return r;
}

static int serve(void *arg)
{
    struct program *p = arg;
    CLEANUP(rnet_http_closep) struct rnet_http *server = NULL;
    CLEANUP(rnet_debug_stopp) struct rnet_debug *debug = NULL;
    const struct rnet_http_options o = {.name = "http",
                                        .addrs = (const char *const *)&p->listen,
                                        .n_addrs = 1,
                                        .routes = routes,
                                        .n_routes = sizeof(routes) / sizeof(routes[0])};
    const struct rnet_debug_options window = {
        .addrs = &p->debug, .n_addrs = 1, .observed = rn_runtime_self()};
    int r = rnet_http_open(&o, &server);

    if (r < 0)
        return fail(p->listen, r);
    r = rnet_debug_serve(&window, &debug);
    if (r < 0)
        return fail(p->debug, r);
    (void)printf("listening http=%s debug=%s\n", rnet_http_address(server, 0),
                 rnet_debug_address(debug, 0));
    (void)fflush(stdout);
    r = wait_for_signal(&p->signals);
    (void)rnet_http_stop(server, rn_after(STOP_NS));
    return r;
}

/* -1: go on; else the exit status. */
static int parse(int argc, char *argv[], struct program *p)
{
    static const struct option longs[] = {{"listen", required_argument, NULL, 'l'},
                                          {"debug", required_argument, NULL, 'd'},
                                          {"help", no_argument, NULL, 'h'},
                                          {"version", no_argument, NULL, 'v'},
                                          {0}};
    int c;

    while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
        if (c == 'h' || c == 'v') {
            (void)fputs(c == 'h' ? usage : "http " FETTLE_VERSION "\n", stdout);
            return 0;
        }
        if (c == '?')
            break;
        *(c == 'l' ? &p->listen : &p->debug) = optarg;
    }
    if (c == -1 && optind == argc)
        return -1;
    (void)fputs("http: an option is wrong: see http --help\n", stderr);
    return 2;
}

static int program_main(void *arg)
{
    int r = rn_quit_dump_start(rn_runtime_self());

    if (r == 0)
        r = serve(arg);
    rn_quit_dump_stop();
    return r;
}

int main(int argc, char *argv[])
{
    static struct program p = {.listen = "127.0.0.1:8080", .debug = "127.0.0.1:8081"};
    sigset_t blocked;
    int r = parse(argc, argv, &p);

    if (r >= 0)
        return r;
    log_setup(LOG_TEXT, LOG_INFO);
    (void)sigemptyset(&p.signals);
    (void)sigaddset(&p.signals, SIGTERM);
    (void)sigaddset(&p.signals, SIGINT);
    blocked = p.signals;
    (void)sigaddset(&blocked, SIGQUIT); /* dumps */
    if (rn_signals_block(&blocked) < 0)
        return 1;
    return rn_run(&(struct rn_options){.name = "http"}, program_main, &p) < 0 ? 1 : 0;
}
