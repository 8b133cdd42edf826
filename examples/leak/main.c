/* A program that leaks tasks, to be looked at: the second story in three forms.
 *
 * A server with agents: each heartbeat starts a task that sends its metrics into a bounded channel,
 * from which an exporter should receive. No exporter was configured. What happens to the tasks
 * depends on who has the receiver:
 *
 *      holder   main keeps it, alive on a timer, and never receives: after 1,000 values each
 * heartbeat leaves a task that waits. Somebody could wake them, so they are only suspect. dead a
 * task has it that waits, itself, for something that only it could send: nobody can ever wake it,
 * nor the senders. That is proved, and told with the chain. moved    as the library wants it: the
 * receiver moved to the exporter's task, and was closed when that ended. Every send is an error at
 * once (-EPIPE), and no task is left.
 *
 * The debug window is served on 127.0.0.1:4399. A ticker shows that the program goes on meanwhile.
 */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rnet/debug.h>
#include <runnel/runnel.h>
#include <runnel/trace.h>

#define BUFFERED 1000
#define TICK (100 * RN_MS)
#define BATCH 1000 /* heartbeats between two turns of the others */

enum form { FORM_HOLDER, FORM_DEAD, FORM_MOVED };
static const char *const forms[] = {"holder", "dead", "moved"};

static enum form arg_form;
static unsigned long arg_tasks = 130000;
static const char *arg_debug = "127.0.0.1:4399";

static unsigned long refused, ticks;

struct heartbeat {
    int agent;
};

/* ---- the product ----------------------------------------------------------------------------- */

static struct rn_tx metrics; /* main's; each heartbeat has one of its own */

static int send_metrics(void *arg)
{
    struct rn_tx tx = *(struct rn_tx *)arg;
    const struct heartbeat h = {.agent = 1};
    int r = rn_tx_send(tx, &h, RN_FOREVER);

    free(arg);
    refused += r == -EPIPE;
    return 0;
}

static int heartbeat(struct rn_scope scope)
{
    static const struct rn_task_options options = {.name = "send_metrics", .stack = RN_STACK_16K};
    struct rn_tx *tx = malloc(sizeof(*tx));
    int r = tx ? rn_tx_dup(metrics, tx) : -ENOMEM;

    if (r == 0)
        r = rn_go_with(&options, scope, send_metrics, tx, (struct rn_end[]){rn_end_tx(*tx)}, 1);
    if (r < 0)
        free(tx);
    return r;
}

static int all_heartbeats(struct rn_scope scope)
{
    int r = 0;

    for (unsigned long i = 0; r == 0 && i < arg_tasks + BUFFERED; i++) {
        r = heartbeat(scope);
        if (r == 0 && i % BATCH == 0)
            r = rn_yield();
    }
    return r;
}

/* ---- who has the receiver -------------------------------------------------------------------- */

/* Waits for a configuration that only this task itself could send. */
struct exporter {
    struct rn_rx metrics, configuration;
    struct rn_tx configure;
};

static int wait_for_configuration(void *arg)
{
    const struct exporter *e = arg;
    struct heartbeat h;
    int r = rn_rx_recv(e->configuration, &h, RN_FOREVER);

    return r == 0 ? rn_rx_recv(e->metrics, &h, RN_FOREVER) : r;
}

static int end_at_once(void *arg)
{
    (void)arg;
    return 0; /* "no exporter configured": what it holds is closed */
}

static int receiver_place(struct rn_scope scope, struct exporter *e)
{
    int r;

    switch (arg_form) {
    case FORM_HOLDER:
        return 0;
    case FORM_MOVED:
        return rn_go(scope, end_at_once, NULL, (struct rn_end[]){rn_end_rx(e->metrics)}, 1);
    case FORM_DEAD:
        break;
    }
    r = rn_chan_open(sizeof(struct heartbeat), 0, &e->configure, &e->configuration);
    if (r < 0)
        return r;
    const struct rn_end ends[] = {rn_end_rx(e->metrics), rn_end_rx(e->configuration),
                                  rn_end_tx(e->configure)};
    return rn_go(scope, wait_for_configuration, e, ends, 3);
}

/* ---- the program ----------------------------------------------------------------------------- */

static int tick(void *arg)
{
    (void)arg;
    while (rn_sleep(rn_after(TICK)) == 0) {
        printf("tick %lu\n", ++ticks);
        fflush(stdout);
    }
    return 0;
}

/* Until the last heartbeat waits, or has ended. */
static int settle(void)
{
    struct rn_stats stats;
    int r;

    do {
        r = rn_sleep(rn_after(TICK));
        rn_stats(rn_runtime_self(), &stats);
    } while (r == 0 && stats.tasks_runnable > 0);
    return r;
}

static int say_and_wait(void)
{
    struct rn_fd signals;
    struct rn_stats stats;
    sigset_t set;
    int r;

    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    rn_stats(rn_runtime_self(), &stats);
    printf("heartbeats %lu, refused %lu, tasks waiting %llu\n", arg_tasks + BUFFERED, refused,
           (unsigned long long)stats.tasks_parked);
    fflush(stdout);
    r = rn_signals_open(&set, &signals);
    return r < 0 ? r : rn_signals_wait(signals, RN_FOREVER);
}

static int leak(struct rn_scope scope)
{
    struct exporter exporter = {.metrics = {0, 0}};
    int r = rn_chan_open(sizeof(struct heartbeat), BUFFERED, &metrics, &exporter.metrics);

    if (r == 0)
        r = receiver_place(scope, &exporter);
    if (r == 0)
        r = rn_go(scope, tick, NULL, NULL, 0);
    if (r == 0)
        r = all_heartbeats(scope);
    if (r == 0)
        r = settle();
    if (r == 0)
        r = say_and_wait();
    (void)rn_scope_cancel(scope);
    (void)rn_scope_close(scope); /* `exporter` is this function's */
    return r;
}

static int app(void *arg)
{
    const struct rnet_debug_options options = {
        .addrs = &arg_debug, .n_addrs = 1, .observed = rn_runtime_self()};
    struct rnet_debug *debug = NULL;
    struct rn_scope scope;
    int r;

    (void)arg;
    r = rn_quit_dump_start(rn_runtime_self());
    if (r == 0)
        r = rnet_debug_serve(&options, &debug);
    if (r == 0)
        r = rn_scope_open(RN_SCOPE_WAIT_ALL, &scope);
    if (r == 0) {
        printf("listening debug=%s\n", rnet_debug_address(debug, 0));
        fflush(stdout);
        r = leak(scope);
    }
    rnet_debug_stop(debug);
    rn_quit_dump_stop();
    return r;
}

static int usage(FILE *out, int status)
{
    fprintf(out, "usage: leak [--form holder|dead|moved] [--tasks N] [--debug ADDRESS:PORT]\n"
                 "Leak N tasks (130000) and serve /debug/ on 127.0.0.1:4399.\n");
    return status;
}

static int parse(int argc, char **argv)
{
    static const struct option options[] = {{"form", required_argument, NULL, 'f'},
                                            {"tasks", required_argument, NULL, 'n'},
                                            {"debug", required_argument, NULL, 'd'},
                                            {"help", no_argument, NULL, 'h'},
                                            {NULL, 0, NULL, 0}};
    char *end;

    for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        switch (c) {
        case 'f':
            for (arg_form = FORM_HOLDER; strcmp(optarg, forms[arg_form]) != 0;)
                if (++arg_form > FORM_MOVED)
                    return usage(stderr, 2);
            break;
        case 'n':
            arg_tasks = strtoul(optarg, &end, 10);
            if (*end || !*optarg)
                return usage(stderr, 2);
            break;
        case 'd':
            arg_debug = optarg;
            break;
        default:
            return c == 'h' ? usage(stdout, 0) : usage(stderr, 2);
        }
    }
    return optind < argc ? usage(stderr, 2) : -1;
}

int main(int argc, char **argv)
{
    const struct rn_options options = {.name = "leak"};
    sigset_t set;
    int r = parse(argc, argv);

    if (r >= 0)
        return r;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGQUIT);
    if (rn_signals_block(&set) < 0)
        return 1;
    r = rn_run(&options, app, NULL);
    if (r < 0)
        fprintf(stderr, "leak: %s\n", strerror(-r));
    return r < 0;
}
