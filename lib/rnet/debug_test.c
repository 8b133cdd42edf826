#include <rnet/debug.h>

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <harness/task_test.h>

#include <base/cleanup.h>
#include <rnet/http.h>
#include <rnet/listener.h>
#include <rnet/metrics.h>
#include <rnet/stream.h>
#include <runnel/chan.h>
#include <runnel/sys.h>

static const char *const addrs[] = {"127.0.0.1:0"};

/* Take the lengths out from between the pieces; the last one, of 0, stays. */
static void join_chunks(char *text)
{
    char *from = strstr(text, "\r\n\r\n"), *to, *data;
    size_t n;

    if (!from || !strstr(text, "\r\nTransfer-Encoding: chunked\r\n"))
        return;
    for (from = to = from + 4; (n = strtoul(from, &data, 16)) > 0; from = data + 2 + n + 2, to += n)
        memmove(to, data + 2, n);
    memmove(to, from, strlen(from) + 1);
}

/* GET `path` from the window; the whole answer as text, to be freed. */
static char *get(const struct rnet_debug *debug, const char *path)
{
    CLEANUP(rnet_stream_closep) struct rnet_stream *s = NULL;
    char request[256], *text = NULL;
    size_t len = 0;
    ssize_t n;

    OK(rnet_dial(rnet_debug_address(debug, 0), rn_after(10 * RN_S), &s));
    snprintf(request, sizeof(request), "GET %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
             path);
    OK(rnet_stream_write(s, request, strlen(request), rn_after(10 * RN_S)));
    do {
        text = realloc(text, len + 65536);
        n = rnet_stream_read(s, text + len, 65535, rn_after(20 * RN_S));
        OK(n);
        len += (size_t)n;
        text[len] = 0;
    } while (n > 0);
    join_chunks(text);
    return text;
}

static void put_a_family(void *arg, struct rnet_metrics *out)
{
    rnet_metrics_gauge(out, "test_answer", "From a collector.", *(int *)arg);
}

static int answer = 42;

static struct rnet_debug *serve(struct rn_runtime *observed)
{
    static const struct rnet_collector collectors[] = {{put_a_family, &answer}};
    const struct rnet_debug_options o = {.addrs = addrs,
                                         .n_addrs = 1,
                                         .observed = observed,
                                         .collectors = collectors,
                                         .n_collectors = 1};
    struct rnet_debug *debug = NULL;

    OK(rnet_debug_serve(&o, &debug));
    return debug;
}

static ssize_t swallow(struct rnet_conn conn, void *data, struct rn_slice in)
{
    (void)conn, (void)data;
    return (ssize_t)in.len;
}

static struct rnet_listener *listen_somewhere(const char *name)
{
    static const struct rnet_protocol protocol = {.name = "test", .on_bytes = swallow};
    const struct rnet_listener_options o = {
        .name = name ? name : "test", .addrs = addrs, .n_addrs = 1, .protocol = &protocol};
    struct rnet_listener *listener = NULL;

    OK(rnet_listener_open(&o, &listener, NULL));
    return listener;
}

/* "name 1.5" or "name{labels} 1.5" at the beginning of a line. */
static bool has_series(const char *text, const char *name)
{
    size_t n = strlen(name);

    for (const char *at = text; (at = strstr(at, name)); at += n)
        if (at[-1] == '\n' && (at[n] == ' ' || at[n] == '{'))
            return true;
    return false;
}

TASK_TEST(every_promised_name_is_there_from_the_start)
{
    static const char *const names[] = {"runnel_tasks{state=\"parked\"}",
                                        "runnel_tasks_leaked",
                                        "runnel_endpoints_unowned",
                                        "runnel_channels",
                                        "runnel_timers",
                                        "runnel_worker_stalls_total",
                                        "runnel_parks_total{reason=\"chan\"}",
                                        "rnet_connections{listener=\"debug\"}",
                                        "rnet_accept_pauses_total{reason=\"emfile\"}",
                                        "rnet_listener_up{listener=\"debug\"}",
                                        "rnet_stale_events_total",
                                        "rnet_syscalls_total{call=\"recv\",result=\"ok\"}",
                                        "process_cpu_seconds_total",
                                        "process_resident_memory_bytes",
                                        "process_virtual_memory_bytes",
                                        "process_open_fds",
                                        "process_max_fds",
                                        "process_start_time_seconds",
                                        "test_answer"};
    CLEANUP(rnet_debug_stopp) struct rnet_debug *debug = serve(rn_runtime_self());
    CLEANUP(freep) char *text = get(debug, "/metrics");

    TRUE(strstr(text, "\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n"));
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        test_note("%s", names[i]);
        TRUE(has_series(text, names[i]));
    }
    TRUE(strstr(text, "\nrunnel_tasks_leaked 0\n"));
    TRUE(strstr(text, "\nrunnel_endpoints_unowned 0\n"));
    TRUE(strstr(text, "\nrnet_listener_up{listener=\"debug\"} 1\n"));
    TRUE(strstr(text, "\ntest_answer 42\n"));
}

static int wait_on(void *arg)
{
    struct rn_rx rx = *(struct rn_rx *)arg;
    int value;

    return rn_rx_recv(rx, &value, RN_FOREVER) == -EPIPE ? 0 : 1;
}

TASK_TEST(tasks_are_listed_with_what_they_wait_for)
{
    CLEANUP(rnet_debug_stopp) struct rnet_debug *debug = serve(rn_runtime_self());
    CLEANUP(rn_tx_closep) struct rn_tx tx = {0};
    struct rn_rx rx = {0};
    struct rn_scope scope;

    OK(rn_scope_open(RN_SCOPE_WAIT_ALL, &scope));
    OK(rn_chan_open(sizeof(int), 0, &tx, &rx));
    OK(rn_go(scope, wait_on, &rx, (struct rn_end[]){rn_end_rx(rx)}, 1));
    OK(rn_yield());
    {
        CLEANUP(freep) char *text = get(debug, "/debug/tasks");
        CLEANUP(freep) char *json = get(debug, "/debug/tasks?format=json");
        CLEANUP(freep) char *one = get(debug, "/debug/tasks?limit=1");

        TRUE(strstr(text, ": wait_on\n"));
        TRUE(strstr(text, "debug_test.c"));
        TRUE(strstr(json, "\"name\":\"wait_on\",\"state\":\"parked\""));
        TRUE(strstr(json, "\"total\":"));
        TRUE(strstr(one, "the first 1 shown"));
    }
    rn_tx_closep(&tx);
    OK(rn_scope_close(scope));
}

/* Each of the two holds the sender that the other waits for: neither can ever wake. */
struct stuck {
    struct rn_tx tx;
    struct rn_rx rx;
};

static int wait_for_each_other(void *arg)
{
    const struct stuck *s = arg;
    int value;

    (void)rn_rx_recv(s->rx, &value, RN_FOREVER);
    return 0;
}

static int leaks_found(const char *text)
{
    const char *at = strstr(text, " tasks can never wake");

    while (at && at[-1] >= '0' && at[-1] <= '9')
        at--;
    return at ? atoi(at) : -1;
}

static int leaking_app(void *arg)
{
    CLEANUP(rnet_debug_stopp) struct rnet_debug *debug = serve(rn_runtime_self());
    struct stuck a, b;
    struct rn_scope scope;

    (void)arg;
    OK(rn_scope_open(RN_SCOPE_WAIT_ALL, &scope));
    OK(rn_chan_open(sizeof(int), 0, &a.tx, &b.rx));
    OK(rn_chan_open(sizeof(int), 0, &b.tx, &a.rx));
    OK(rn_go(scope, wait_for_each_other, &a, ((struct rn_end[]){rn_end_tx(a.tx), rn_end_rx(a.rx)}),
             2));
    OK(rn_go(scope, wait_for_each_other, &b, ((struct rn_end[]){rn_end_tx(b.tx), rn_end_rx(b.rx)}),
             2));
    OK(rn_yield());
    {
        CLEANUP(freep) char *leaks = get(debug, "/debug/leaks");
        CLEANUP(freep) char *metrics = get(debug, "/metrics");

        EQ(leaks_found(leaks), 2);
        TRUE(strstr(leaks, "debug_test.c"));
        TRUE(strstr(metrics, "\nrunnel_tasks_leaked 2\n"));
    }
    OK(rn_scope_close(scope)); /* cancelled, they do wake */
    return 0;
}

TEST(a_leak_is_counted_and_named)
{
    const struct rn_options o = {.workers = 1, .leaks = RN_LEAKS_IGNORE};

    OK(rn_run(&o, leaking_app, NULL));
}

TASK_TEST(the_window_answers_while_the_program_hangs)
{
    CLEANUP(rnet_debug_stopp) struct rnet_debug *debug = serve(rn_runtime_self());
    char command[512];

    /* this task, and with it the only worker, stands still in system() */
    snprintf(command, sizeof(command),
             "python3 -c \"import urllib.request as u; t=u.urlopen('http://%s/debug/tasks', "
             "timeout=10).read(); "
             "assert b'[running' in t, t\"",
             rnet_debug_address(debug, 0));
    EQ(system(command), 0);
}

/* ---- profiles ---- */

static __attribute__((noinline)) int blocked_here(struct rn_rx rx)
{
    int value, r = rn_rx_recv(rx, &value, RN_FOREVER);

    __asm__ volatile("" : "+r"(r)); /* a frame of its own */
    return r;
}

static int block(void *arg)
{
    int r = blocked_here(*(struct rn_rx *)arg);

    __asm__ volatile("" : "+r"(r));
    return r == -EPIPE ? 0 : 1;
}

/* `n` tasks that wait at one place, until the sender is closed. */
struct blocked {
    struct rn_scope scope;
    struct rn_tx tx;
    struct rn_rx *rx;
};

static uint64_t tasks_parked(void)
{
    struct rn_stats stats;

    rn_stats(rn_runtime_self(), &stats);
    return stats.tasks_parked;
}

static void blocked_begin(struct blocked *b, size_t n)
{
    struct rn_rx first;

    b->rx = calloc(n, sizeof(*b->rx));
    OK(rn_scope_open(RN_SCOPE_WAIT_ALL, &b->scope));
    OK(rn_chan_open(sizeof(int), 0, &b->tx, &first));
    for (size_t i = 0; i < n; i++) {
        OK(rn_rx_dup(first, &b->rx[i]));
        OK(rn_go(b->scope, block, &b->rx[i], (struct rn_end[]){rn_end_rx(b->rx[i])}, 1));
    }
    rn_rx_closep(&first);
    while (tasks_parked() < n)
        OK(rn_sleep(rn_after(RN_MS)));
}

static void blocked_end(struct blocked *b)
{
    rn_tx_closep(&b->tx);
    OK(rn_scope_close(b->scope));
    free(b->rx);
}

static size_t times(const char *text, const char *word)
{
    size_t n = 0;

    for (const char *at = text; (at = strstr(at, word)); at += strlen(word))
        n++;
    return n;
}

TASK_TEST(stacks_are_served_in_the_formats_of_go)
{
    CLEANUP(rnet_debug_stopp) struct rnet_debug *debug = serve(rn_runtime_self());
    struct blocked b;

    test_heap_allow(1 << 20);
    blocked_begin(&b, 100);
    {
        CLEANUP(freep) char *index = get(debug, "/debug/pprof/");
        CLEANUP(freep) char *all = get(debug, "/debug/pprof/goroutine?debug=2");
        CLEANUP(freep) char *some = get(debug, "/debug/pprof/goroutine?debug=2&limit=3");
        CLEANUP(freep) char *groups = get(debug, "/debug/pprof/goroutine?debug=1");
        CLEANUP(freep) char *unknown = get(debug, "/debug/pprof/heap");
        const char *group = strstr(groups, "\n100 @ 0x");

        TRUE(strstr(index, "<a href='goroutine?debug=1'>goroutine</a>"));
        TRUE(strstr(all, "\r\nContent-Type: text/plain; charset=utf-8\r\n"));
        TRUE(strstr(all, "\r\nTransfer-Encoding: chunked\r\n"));
        EQ(times(all, "\nblocked_here(...)\n\t"), 100u);
        EQ(times(all, ", name=block]:\n"), 100u);
        TRUE(strstr(all, "\n\n0\r\n\r\n"));
        TRUE(strstr(some, "the first 3 shown"));
        TRUE(strstr(groups, "goroutine profile: total 101\n"));
        TRUE(group &&
             strstr(group, "\n# labels: {\"name\":\"block\", \"wait\":\"chan receive\"}\n#\t0x"));
        TRUE(strstr(group, "\tblocked_here+0x"));
        TRUE(strncmp(unknown, "HTTP/1.1 404", 12) == 0);
        TRUE(strstr(unknown, "\r\nX-Go-Pprof: 1\r\n"));
    }
    blocked_end(&b);
}

TASK_TEST(a_long_list_of_tasks_leaves_in_parts_and_whole)
{
    CLEANUP(rnet_debug_stopp) struct rnet_debug *debug = serve(rn_runtime_self());
    struct blocked b;

    test_heap_allow(1 << 20);
    blocked_begin(&b, 600);
    {
        CLEANUP(freep) char *text = get(debug, "/debug/tasks");
        CLEANUP(freep) char *json = get(debug, "/debug/tasks?format=json");
        CLEANUP(freep) char *some = get(debug, "/debug/tasks?limit=500");
        CLEANUP(freep) char *few = get(debug, "/debug/tasks?format=json&limit=2");

        TRUE(strstr(text, "\r\nTransfer-Encoding: chunked\r\n"));
        EQ(times(text, " [chan receive]: block\n"), 600u);
        TRUE(strstr(text, "\n601 tasks\n0\r\n\r\n"));
        TRUE(strstr(json, "\r\nContent-Type: application/json\r\n"));
        EQ(times(json, "{\"id\":"), 601u);
        EQ(times(json, "},{\"id\":"), 600u);
        TRUE(strstr(json, "}],\"total\":601}\n0\r\n\r\n"));
        TRUE(strstr(some, "\n601 tasks, the first 500 shown (?limit=N)\n0\r\n\r\n"));
        TRUE(strstr(few, "\r\nContent-Length: "));
        TRUE(strstr(few, "}],\"total\":601}\n"));
    }
    blocked_end(&b);
}

struct command {
    char text[512];
    char *output;
};

static void run_command(void *arg)
{
    struct command *c = arg;
    FILE *f = popen(c->text, "r");
    size_t n;

    c->output = calloc(1, 1 << 16);
    n = f ? fread(c->output, 1, (1 << 16) - 1, f) : 0;
    c->output[n] = 0;
    if (f)
        (void)pclose(f);
}

TASK_TEST(go_tool_pprof_names_the_blocked_function_and_the_count)
{
    CLEANUP(rnet_debug_stopp) struct rnet_debug *debug = serve(rn_runtime_self());
    struct command c = {.output = NULL};
    struct blocked b;

    /* the first use on a machine compiles the tool */
    if (system("timeout 15 go tool pprof -h >/dev/null 2>&1; test $? != 127 -a $? != 124") != 0)
        SKIP("no go tool pprof here");
    test_heap_allow(1 << 20);
    blocked_begin(&b, 100);
    snprintf(c.text, sizeof(c.text),
             "PPROF_TMPDIR=%s go tool pprof -top 'http://%s/debug/pprof/goroutine' 2>&1",
             test_dir(), rnet_debug_address(debug, 0));
    run_command(&c);
    test_note("%s", c.output);
    TRUE(strstr(c.output, "Type: goroutine\n"));
    TRUE(strstr(c.output, " 100 "));
    TRUE(strstr(c.output, "  blocked_here\n"));
    TRUE(strstr(c.output, "  rn_rx_recv_at\n"));
    free(c.output);
    blocked_end(&b);
}

/* ---- while it hangs ---- */

/* lib/runnel/hold_testing.c */
extern void rn__testing_lock(struct rn_tx tx, bool hold);

struct hang {
    _Atomic(struct rn_runtime *) rt;
    _Atomic bool hanging, go_on;
    bool deaf; /* to the signal that asks for its stack */
};

static __attribute__((noinline)) void the_culprit(struct hang *h)
{
    atomic_store(&h->hanging, true);
    for (; !atomic_load_explicit(&h->go_on, memory_order_acquire);)
        __asm__ volatile("");
}

/* Its only worker stands in for (;;), with the lock of a channel on which another task waits. */
static int hang_main(void *arg)
{
    struct hang *h = arg;
    struct blocked b;

    blocked_begin(&b, 3);
    rn__testing_lock(b.tx, true);
    atomic_store(&h->rt, rn_runtime_self());
    if (h->deaf) {
        sigset_t set;
        OK(sigemptyset(&set));
        OK(sigaddset(&set, SIGURG));
        OK(pthread_sigmask(SIG_BLOCK, &set, NULL));
    }
    the_culprit(h);
    rn__testing_lock(b.tx, false);
    blocked_end(&b);
    return 0;
}

static void *hang_thread(void *arg)
{
    return (void *)(intptr_t)rn_run(&(const struct rn_options){.name = "hang"}, hang_main, arg);
}

static void read_page(const struct rnet_debug *debug, const char *path, struct command *ret_page)
{
    snprintf(ret_page->text, sizeof(ret_page->text),
             "python3 -c \"import urllib.request as u; "
             "print(u.urlopen('http://%s%s', timeout=20).read().decode())\"",
             rnet_debug_address(debug, 0), path);
    run_command(ret_page);
}

TEST(a_program_that_hangs_inside_a_lock_still_shows_everything)
{
    static const char *const paths[] = {"/debug/pprof/goroutine?debug=2",
                                        "/debug/pprof/goroutine?debug=1",
                                        "/debug/objects",
                                        "/debug/fds",
                                        "/debug/tasks",
                                        "/debug/leaks",
                                        "/debug/listeners",
                                        "/metrics"};
    static const char *const says[] = {"\nthe_culprit(...)\n",
                                       "\tthe_culprit+0x",
                                       "to receive 3",
                                       "",
                                       "task 1 [running]: main",
                                       "0 tasks can never wake",
                                       "LISTEN",
                                       "runnel_tasks{state=\"running\"} 1"};
    struct hang h = {.hanging = false};
    struct rnet_debug *debug;
    pthread_t thread;

    test_heap_allow(1 << 20);
    OK(pthread_create(&thread, NULL, hang_thread, &h));
    UNTIL(atomic_load(&h.hanging));
    debug = serve(atomic_load(&h.rt));
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        struct command page = {.output = NULL};

        read_page(debug, paths[i], &page);
        test_note("%s: %s", paths[i], page.output);
        TRUE(strstr(page.output, says[i]));
        free(page.output);
    }
    rnet_debug_stop(debug);
    atomic_store(&h.go_on, true);
    OK(pthread_join(thread, NULL));
}

/* ---- objects ---- */

TEST(a_worker_that_does_not_answer_has_no_stack_in_formats_that_readers_still_take)
{
    struct command all = {.output = NULL}, groups = {.output = NULL};
    struct hang h = {.deaf = true};
    struct rnet_debug *debug;
    pthread_t thread;

    test_heap_allow(1 << 20);
    OK(pthread_create(&thread, NULL, hang_thread, &h));
    UNTIL(atomic_load(&h.hanging));
    debug = serve(atomic_load(&h.rt));
    read_page(debug, "/debug/pprof/goroutine?debug=2", &all);
    read_page(debug, "/debug/pprof/goroutine?debug=1", &groups);
    rnet_debug_stop(debug);
    atomic_store(&h.go_on, true);
    OK(pthread_join(thread, NULL));
    TRUE(strstr(all.output, "[running, name=main]:\n"
                            "\tgoroutine running on other thread; stack unavailable\n"
                            "created by rn_run\n"));
    TRUE(strstr(groups.output, "\n1 @ 0x1\n# labels: {\"name\":\"main\", \"wait\":\"running\"}\n"
                               "#\tstack unavailable\n"));
    free(all.output);
    free(groups.output);
}

TASK_TEST(channels_and_descriptors_have_pages)
{
    CLEANUP(rnet_debug_stopp) struct rnet_debug *debug = serve(rn_runtime_self());
    CLEANUP(rnet_listener_closep) struct rnet_listener *listener = listen_somewhere(NULL);
    struct blocked b;

    TRUE(rnet_listener_address(listener, 0) != NULL);
    blocked_begin(&b, 6);
    {
        CLEANUP(freep) char *objects = get(debug, "/debug/objects");
        CLEANUP(freep) char *fds = get(debug, "/debug/fds");

        TRUE(strstr(objects, "senders 1, receivers 6, waiting to send 0, to receive 6"));
        TRUE(strstr(objects, "senders held by task 1 \"main\"\n"));
        TRUE(strstr(objects, ", ... (6 in all)\n"));
        TRUE(strstr(fds, ": listener, owner loop 0, age "));
    }
    blocked_end(&b);
}

/* ---- listeners ---- */

static int number_of(const struct rnet_listener *listener)
{
    struct rnet_listener_info info;

    for (size_t i = 0; rnet_listener_info(&i, &info);)
        if (strcmp(info.sockets[0].address, rnet_listener_address(listener, 0)) == 0)
            return info.sockets[0].number;
    FAIL("it is not listed");
    return -1;
}

static char *line_of(const char *text, const char *word)
{
    const char *at = strstr(text, word), *end;

    TRUE(at != NULL);
    while (at[-1] != '\n')
        at--;
    end = strchr(at, '\n');
    return strndup(at, (size_t)(end - at));
}

TASK_TEST(a_listener_is_told_with_owner_and_queue_and_is_red_when_it_is_lost)
{
    CLEANUP(rnet_debug_stopp) struct rnet_debug *debug = serve(rn_runtime_self());
    CLEANUP(rnet_listener_closep) struct rnet_listener *listener = listen_somewhere("victim");
    CLEANUP(freep) char *before = get(debug, "/debug/listeners");
    CLEANUP(freep) char *line = line_of(before, rnet_listener_address(listener, 0));
    int number = number_of(listener);
    char port[16];

    TRUE(strstr(before, "Proto Recv-Q Send-Q Local Address"));
    TRUE(strstr(line, "LISTEN") && strstr(line, " victim ") && strstr(line, "loop 0 of "));
    TRUE(strcmp(line + strlen(line) - 4, "  ok") == 0);
    OK(rn_sys_close(number)); /* behind its back */
    CLEANUP(freep) char *json = get(debug, "/debug/listeners?format=json");
    CLEANUP(freep) char *after = get(debug, "/debug/listeners");
    CLEANUP(freep) char *red = line_of(after, rnet_listener_address(listener, 0));

    snprintf(port, sizeof(port), "%s", strrchr(rnet_listener_address(listener, 0), ':'));
    TRUE(strstr(red, " LOST ") && strstr(red, "RED: "));
    TRUE(strstr(json, port) && strstr(json, "\"state\":\"LOST\""));
}

/* ---- system calls ---- */

TASK_TEST(the_table_of_system_calls_is_a_difference_of_two_moments)
{
    CLEANUP(rnet_debug_stopp) struct rnet_debug *debug = serve(rn_runtime_self());
    CLEANUP(freep) char *all = get(debug, "/debug/syscalls");
    CLEANUP(freep) char *delta = get(debug, "/debug/syscalls?delta=1");
    CLEANUP(freep) char *bad = get(debug, "/debug/syscalls?delta=x");

    TRUE(strstr(all, "% time     seconds  usecs/call     calls    errors syscall\n"
                     "------ ----------- ----------- --------- --------- ----------------\n"));
    TRUE(strstr(all, " recvfrom\n") && strstr(all, " total\n"));
    TRUE(strstr(all, " socket\n"));
    FALSE(strstr(all, " listen\n")); /* only the window did that */
    FALSE(strstr(delta, " socket\n")); /* nobody dialled meanwhile */
    TRUE(strstr(delta, " total\n"));
    TRUE(strncmp(bad, "HTTP/1.1 400", 12) == 0);
}

/* ---- suspects ---- */

static uint64_t suspects_now(const struct rnet_debug *debug)
{
    CLEANUP(freep) char *leaks = get(debug, "/debug/leaks");
    const char *at = strstr(leaks, " tasks are suspect\n");

    while (at && at[-1] >= '0' && at[-1] <= '9')
        at--;
    return at ? strtoull(at, NULL, 10) : UINT64_MAX;
}

TASK_TEST(suspects_are_counted_in_metrics_and_named_in_leaks)
{
    CLEANUP(rnet_debug_stopp) struct rnet_debug *debug = serve(rn_runtime_self());
    struct blocked b;

    blocked_begin(&b, 150);
    TASK_UNTIL(suspects_now(debug) == 150);
    {
        CLEANUP(freep) char *leaks = get(debug, "/debug/leaks");
        CLEANUP(freep) char *metrics = get(debug, "/metrics");

        TRUE(strstr(leaks, "runnel: 150 tasks are suspect"));
        TRUE(strstr(leaks, "held by task 1 \"main\" (never used)"));
        TRUE(strstr(leaks, "\n0 tasks can never wake\n"));
        TRUE(strstr(metrics, "\nrunnel_tasks_suspect 150\n"));
    }
    blocked_end(&b);
}

TASK_TEST(an_address_that_cannot_be_bound_is_an_error)
{
    static const char *const bad[] = {"256.0.0.1:1"};
    const struct rnet_debug_options o = {.addrs = bad, .n_addrs = 1, .observed = rn_runtime_self()};
    struct rnet_debug *debug = NULL;

    LT(rnet_debug_serve(&o, &debug), 0);
}

TEST(the_writer_escapes_and_judges)
{
    CLEANUP(rnet_metrics_freep) struct rnet_metrics *m = NULL;
    CLEANUP(freep) char *text = NULL;
    struct rn_slice s;

    OK(rnet_metrics_new(&m));
    rnet_metrics_family(m, "a_total", RNET_COUNTER, "back\\slash and\nline");
    rnet_metrics_count(m, &(struct rnet_label){"l", "q\"b\\n\n"}, 1, UINT64_MAX);
    rnet_metrics_gauge(m, "b", "b", 0.1);
    EQ(rnet_metrics_error(m), 0);
    s = rnet_metrics_text(m);
    text = strndup((const char *)s.data, s.len);
    STREQ(
        text,
        "# HELP a_total back\\\\slash and\\nline\n# TYPE a_total counter\n"
        "a_total{l=\"q\\\"b\\\\n\\n\"} 18446744073709551615\n# HELP b b\n# TYPE b gauge\nb 0.1\n");
    rnet_metrics_gauge(m, "b", "again", 1);
    ERR(rnet_metrics_error(m), EINVAL);
}

TEST(a_histogram_counts_into_its_buckets)
{
    static const rn_time bounds[] = {RN_MS, RN_S};
    struct rnet_histogram h = {.bounds = bounds, .n = 2};
    CLEANUP(rnet_metrics_freep) struct rnet_metrics *m = NULL;
    CLEANUP(freep) char *text = NULL;
    struct rn_slice s;

    rnet_histogram_observe(&h, 0);
    rnet_histogram_observe(&h, RN_MS);
    rnet_histogram_observe(&h, RN_MS + 1);
    rnet_histogram_observe(&h, 2 * RN_S);
    OK(rnet_metrics_new(&m));
    rnet_metrics_family(m, "h_seconds", RNET_HISTOGRAM, "h");
    rnet_metrics_histogram(m, &(struct rnet_label){"x", "y"}, 1, &h);
    EQ(rnet_metrics_error(m), 0);
    s = rnet_metrics_text(m);
    text = strndup((const char *)s.data, s.len);
    TRUE(strstr(text,
                "h_seconds_bucket{x=\"y\",le=\"0.001\"} 2\nh_seconds_bucket{x=\"y\",le=\"1\"} 3\n"
                "h_seconds_bucket{x=\"y\",le=\"+Inf\"} 4\nh_seconds_sum{x=\"y\"} "
                "2.002000001\nh_seconds_count{x=\"y\"} 4\n"));
}
