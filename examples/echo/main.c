/* echo: a reactor server as small as one gets.
 *
 * Options, a handler that takes a frame and gives an answer, run. The loop owns its listener, and
 * says so if somebody takes it away; a debug window tells what it does.
 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <rnet/debug.h>
#include <rnet/server.h>

#include <runnel/runtime.h>
#include <runnel/signal.h>
#include <runnel/task.h>
#include <runnel/trace.h>

#include <base/cleanup.h>
#include <base/log.h>

#define FRAME_MAX   (64 * 1024)
#define DRAIN_NS    (5 * RN_S)
#define CHURN_TASKS 256 /* more than the runtime keeps warm, so that stacks are given back */

static const char usage[] =
    "usage: echo [OPTION]...\n"
    "\n"
    "Answers each frame (a length of 4 bytes, big-endian, and a payload) by the frame `receive success`\n"
    "and the payload.\n"
    "\n"
    "  --listen ADDR:PORT  where (default 127.0.0.1:10101)\n"
    "  --debug ADDR:PORT   /metrics and /debug (default 127.0.0.1:10102)\n"
    "  --churn DURATION    start many short tasks in this interval, so that stacks come and go\n"
    "  --lose DURATION     after this, close the listening socket behind the library's back\n"
    "  --help              this text\n"
    "  --version           print the version\n";

struct options {
    const char *listen, *debug;
    int64_t     churn, lose; /* ns; 0: don't */
};

/* ---- the server ---- */

/* in -> out */
static int on_frame(struct rnet_conn conn, void *data, struct rn_slice in)
{
    static const struct rn_slice praise = {(const uint8_t *)"receive success", 15};
    const size_t len = praise.len + in.len;
    const uint8_t prefix[] = {(uint8_t)(len >> 24), (uint8_t)(len >> 16), (uint8_t)(len >> 8),
                              (uint8_t)len};
    const struct rn_slice out[] = {{prefix, sizeof(prefix)}, praise, in};

    (void)data;
    return rnet_conn_writev(conn, out, 3);
}

static const struct rnet_handler handler = {.on_frame = on_frame};

static void on_lost(void *arg, const char *name, const char *address, const char *why)
{
    (void)arg;
    log_error("a listener is lost", LOG_STR("listener", name), LOG_STR("address", address),
              LOG_STR("why", why));
}

static int server_open(const char *const *address, struct rnet_server **ret_server)
{
    const struct rnet_server_options o = {.name = "echo",
                                          .addrs = address,
                                          .n_addrs = 1,
                                          .codec = &rnet_codec_length_prefixed,
                                          .handler = &handler,
                                          .frame_max = FRAME_MAX,
                                          .first_ns = RN_FOREVER,
                                          .on_lost = on_lost};

    return rnet_server_open(&o, ret_server, NULL);
}

/* ---- what the first story needs beside it ---- */

static int nothing(void *arg)
{
    (void)arg;
    return rn_yield();
}

static int churn_task(void *arg)
{
    const struct options *o = arg;
    int r = 0;

    while (r == 0) {
        CLEANUP(rn_scope_closep) struct rn_scope scope = {0};

        r = rn_scope_open(RN_SCOPE_WAIT_ALL, &scope);
        for (unsigned i = 0; r == 0 && i < CHURN_TASKS; i++)
            r = rn_go(scope, nothing, NULL, NULL, 0);
        if (r == 0)
            r = rn_scope_wait(scope);
        if (r == 0)
            r = rn_sleep(rn_after(o->churn));
    }
    return r;
}

/* A number that is closed by somebody who does not own it: the accident itself. It is found as an
 * outsider would find it, by its port. */
static void close_behind_back(uint16_t port)
{
    for (int number = 3; number < 1024; number++) {
        struct rnet_addr addr = {.len = sizeof(addr.sa)};
        int listens = 0;
        socklen_t n = sizeof(listens);

        if (getsockopt(number, SOL_SOCKET, SO_ACCEPTCONN, &listens, &n) == 0 && listens &&
            getsockname(number, &addr.sa.any, &addr.len) == 0 && rnet_addr_port(&addr) == port) {
            log_warn("closing the listener's number", LOG_INT("number", number));
            (void)close(number);
            return;
        }
    }
}

struct loss {
    const struct options *options;
    uint16_t port;
};

static int lose_task(void *arg)
{
    const struct loss *l = arg;
    const int r = rn_sleep(rn_after(l->options->lose));

    if (r == 0)
        close_behind_back(l->port);
    return r;
}

/* ---- life ---- */

static int helpers_start(struct loss *loss, const char *address)
{
    struct rnet_addr addr;
    int r = rnet_addr_parse(address, &addr);

    if (r == 0 && loss->options->churn)
        r = rn_go(rn_scope_self(), churn_task, (void *)loss->options, NULL, 0);
    loss->port = r == 0 ? rnet_addr_port(&addr) : 0;
    if (r == 0 && loss->options->lose)
        r = rn_go(rn_scope_self(), lose_task, loss, NULL, 0);
    return r;
}

static int wait_for_signal(const sigset_t *set)
{
    CLEANUP(rn_fd_closep) struct rn_fd signals = {0};
    int r = rn_signals_open(set, &signals);

    if (r == 0)
        r = rn_signals_wait(signals, RN_FOREVER);
    return r < 0 ? r : 0;
}

struct program {
    struct options options;
    sigset_t       signals;
    struct loss    loss;
};

static int fail(const char *what, const char *address, int r)
{
    (void)fprintf(stderr, "echo: cannot %s %s: %s\n", what, address, strerror(-r));
    return r;
}

static int serve(void *arg)
{
    struct program *p = arg;
    CLEANUP(rnet_server_closep) struct rnet_server *server = NULL;
    CLEANUP(rnet_debug_stopp) struct rnet_debug *debug = NULL;
    const struct rnet_debug_options window = {
        .addrs = &p->options.debug, .n_addrs = 1, .observed = rn_runtime_self()};
    int r = server_open(&p->options.listen, &server);

    if (r < 0)
        return fail("listen on", p->options.listen, r);
    r = rnet_debug_serve(&window, &debug);
    if (r < 0)
        return fail("serve debug on", p->options.debug, r);
    p->loss.options = &p->options;
    r = helpers_start(&p->loss, rnet_server_address(server, 0));
    if (r < 0)
        return fail("start tasks beside", p->options.listen, r);
    (void)printf("listening echo=%s debug=%s\n", rnet_server_address(server, 0),
                 rnet_debug_address(debug, 0));
    (void)fflush(stdout);
    r = wait_for_signal(&p->signals);
    (void)rnet_server_drain(server, rn_after(DRAIN_NS));
    (void)rn_scope_cancel(rn_scope_self());
    return r;
}

static bool duration(const char *text, int64_t *ret_ns)
{
    char *end;
    const long long n = strtoll(text, &end, 10);

    *ret_ns = n * (strcmp(end, "s") == 0 ? RN_S : RN_MS);
    return end != text && n > 0 && (strcmp(end, "s") == 0 || strcmp(end, "ms") == 0);
}

/* -1: go on; else the exit status. */
static int parse(int argc, char *argv[], struct options *o)
{
    static const struct option longs[] = {
        {"listen", required_argument, NULL, 'l'}, {"debug", required_argument, NULL, 'd'},
        {"churn", required_argument, NULL, 'c'},  {"lose", required_argument, NULL, 'o'},
        {"help", no_argument, NULL, 'h'},         {"version", no_argument, NULL, 'v'},
        {0}};
    int c;

    while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
        if (c == 'h' || c == 'v') {
            (void)fputs(c == 'h' ? usage : "echo " FETTLE_VERSION "\n", stdout);
            return 0;
        }
        if (c == 'l')
            o->listen = optarg;
        else if (c == 'd')
            o->debug = optarg;
        else if (c == '?' || !duration(optarg, c == 'c' ? &o->churn : &o->lose))
            break;
    }
    if (c == -1 && optind == argc)
        return -1;
    (void)fputs("echo: an option is wrong: see echo --help\n", stderr);
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
    static struct program p = {.options = {.listen = "127.0.0.1:10101", .debug = "127.0.0.1:10102"}};
    sigset_t blocked;
    int r = parse(argc, argv, &p.options);

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
    r = rn_run(&(struct rn_options){.name = "echo"}, program_main, &p);
    return r < 0 && r != -ECANCELED ? 1 : 0;
}
