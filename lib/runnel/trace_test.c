/* Stacks, names, channels and descriptors of a runtime, seen from a thread that isn't one of its.
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <harness/task_test.h>

#include <base/cleanup.h>
#include <runnel/fd.h>
#include <runnel/signal.h>
#include <runnel/trace.h>

#include "chan_testing.h"
#include "channel.h"

struct text {
    char *bytes;
    size_t len;
};

static int text_add(void *arg, const void *bytes, size_t n)
{
    struct text *t = arg;

    t->bytes = realloc(t->bytes, t->len + n + 1);
    memcpy(t->bytes + t->len, bytes, n);
    t->len += n;
    t->bytes[t->len] = 0;
    return 0;
}

static char *dump(const struct rn_runtime *rt, uint64_t limit)
{
    struct text t = {0};
    const struct rn_sink sink = {text_add, &t};

    test_heap_allow(1 << 20); /* tables of stdio and of the loader */
    OK(rn_dump_tasks(rt, limit, &sink));
    return t.bytes;
}

static size_t times(const char *text, const char *word)
{
    size_t n = 0;

    for (const char *at = text; (at = strstr(at, word)); at += strlen(word))
        n++;
    return n;
}

/* ---- parked ---------------------------------------------------------------------------------- */

static __attribute__((noinline)) int waits_in_a_static_function(struct rn_rx rx)
{
    int value, r = rn_rx_recv(rx, &value, RN_FOREVER);

    __asm__ volatile("" : "+r"(r)); /* a frame of its own: no tail call */
    return r;
}

static int waiter(void *arg)
{
    int r = waits_in_a_static_function(*(struct rn_rx *)arg);

    __asm__ volatile("" : "+r"(r));
    return r == -EPIPE ? 0 : r;
}

TASK_TEST(a_parked_stack_has_the_names_of_static_functions)
{
    CLEANUP(rn_tx_closep) struct rn_tx tx = {0};
    struct rn_rx rx;
    SCOPE(s);

    OK(rn_chan_open(sizeof(int), 3, &tx, &rx));
    OK(rn_go(s, waiter, &rx, (struct rn_end[]){rn_end_rx(rx)}, 1));
    TASK_UNTIL(tasks_parked() == 1);

    CLEANUP(freep) char *text = dump(rn_runtime_self(), 0);
    const char *at = strstr(text, "[chan receive, age=");
    TRUE(at != NULL);
    TRUE(strstr(at, ", chan=") && strstr(at, "at=trace_test.c:") &&
         strstr(at, ", name=waiter]:\n"));
    TRUE(strncmp(strchr(at, '\n'), "\nrn_rx_recv_at(...)\n\t", 20) == 0);
    TRUE(strstr(at, "\nwaits_in_a_static_function(...)\n\t"));
    TRUE(strstr(at, "\nwaiter(...)\n\t"));
    TRUE(strstr(at, "lib/runnel/trace_test.c:"));
    TRUE(strstr(at, "\ncreated by task_body_a_parked_stack_has_the_names_of_static_functions\n\t"));
    FALSE(strstr(at, "switch_entry"));
    FALSE(strstr(text, "stack unavailable"));
    rn_tx_closep(&tx);
}

static int never_runs(void *arg)
{
    (void)arg;
    return 0;
}

TASK_TEST(a_task_that_never_ran_shows_its_function_and_the_caller_itself)
{
    SCOPE(s);

    OK(rn_go(s, never_runs, NULL, NULL, 0));
    CLEANUP(freep) char *text = dump(rn_runtime_self(), 0);
    const char *self = strstr(text, "[running");
    TRUE(self && strstr(self, "rn_traces_each(...)"));
    TRUE(strstr(text, "[runnable, name=never_runs]:\nnever_runs(...)\n"));
}

TASK_TEST(a_dump_is_bounded_and_says_so)
{
    CLEANUP(rn_tx_closep) struct rn_tx tx = {0};
    struct rn_rx rx, more;
    SCOPE(s);

    OK(rn_chan_open(sizeof(int), 0, &tx, &rx));
    for (int i = 0; i < 20; i++) {
        OK(rn_rx_dup(rx, &more));
        OK(rn_go(s, waiter, &more, (struct rn_end[]){rn_end_rx(more)}, 1));
        TASK_UNTIL(tasks_parked() == (uint64_t)i + 1);
    }
    CLEANUP(freep) char *text = dump(rn_runtime_self(), 5);
    EQ(times(text, "\n\ngoroutine ") + 1, 5u);
    TRUE(strstr(text, "... 21 tasks, the first 5 shown\n"));
    CLEANUP(freep) char *all = dump(rn_runtime_self(), 0);
    EQ(times(all, "\nwaiter(...)\n"), 20u);
    rn_rx_closep(&rx);
    rn_tx_closep(&tx);
}

/* ---- running --------------------------------------------------------------------------------- */

struct hang {
    _Atomic(struct rn_runtime *) rt;
    _Atomic bool hanging, go_on;
    struct rn_tx tx;
};

static __attribute__((noinline)) void the_culprit(struct hang *h)
{
    atomic_store(&h->hanging, true);
    while (!atomic_load_explicit(&h->go_on, memory_order_acquire))
        __asm__ volatile("");
}

/* In a call of libc's: a worker that sleeps on its own account. */
static int sleep_main(void *arg)
{
    struct hang *h = arg;

    atomic_store(&h->rt, rn_runtime_self());
    atomic_store(&h->hanging, true);
    while (!atomic_load(&h->go_on))
        usleep(20000);
    return 0;
}

static void *sleep_thread(void *arg)
{
    return (void *)(intptr_t)rn_run(&(const struct rn_options){.name = "sleep"}, sleep_main, arg);
}

TEST(a_worker_that_blocks_inside_of_libc_shows_who_called)
{
    struct hang h = {.hanging = false};
    pthread_t thread;

    OK(pthread_create(&thread, NULL, sleep_thread, &h));
    UNTIL(atomic_load(&h.hanging));
    CLEANUP(freep) char *text = dump(atomic_load(&h.rt), 0);
    test_note("%s", text);
    atomic_store(&h.go_on, true);
    OK(pthread_join(thread, NULL));
    TRUE(strstr(text, "[running, name=main]:\n") && strstr(text, "\nsleep_main(...)\n\t"));
}

/* Every worker stands still, and one of them inside of a channel's lock. */
static int hang_main(void *arg)
{
    struct hang *h = arg;
    struct rn__end_rec *rec;
    struct rn_rx rx;

    OK(rn_chan_open(sizeof(int), 4, &h->tx, &rx));
    OK(rn_tx_send(h->tx, &(int){1}, RN_FOREVER));
    OK(rn__end_lock(rn__chans_self(), rn_end_tx(h->tx), RN__TX, rn__owner_self(), &rec));
    atomic_store(&h->rt, rn_runtime_self());
    the_culprit(h);
    rn_lock_release(&atomic_load(&rec->chan)->lock);
    return 0;
}

static void *hang_thread(void *arg)
{
    return (void *)(intptr_t)rn_run(&(const struct rn_options){.name = "hang"}, hang_main, arg);
}

TEST(a_runtime_that_hangs_inside_a_lock_shows_its_culprit)
{
    struct hang h = {.hanging = false};
    struct text chans = {0};
    const struct rn_sink sink = {text_add, &chans};
    pthread_t thread;

    OK(pthread_create(&thread, NULL, hang_thread, &h));
    UNTIL(atomic_load(&h.hanging));
    CLEANUP(freep) char *text = dump(atomic_load(&h.rt), 0);
    OK(rn_dump_chans(atomic_load(&h.rt), 0, &sink));
    OK(rn_leak_check(atomic_load(&h.rt), NULL));
    atomic_store(&h.go_on, true);
    OK(pthread_join(thread, NULL));

    const char *at = strstr(text, "[running, name=main]:\n");
    test_note("%s", text);
    TRUE(at && strstr(at, "\nthe_culprit(...)\n\t") && strstr(at, "\nhang_main(...)\n\t"));
    TRUE(strstr(chans.bytes, "len 1 cap 4, senders 1, receivers 1"));
    TRUE(strstr(chans.bytes, "senders held by task 1 \"main\""));
    free(chans.bytes);
}

/* ---- channels and descriptors ---------------------------------------------------------------- */

TASK_TEST(channels_are_told_with_who_holds_and_who_waits)
{
    CLEANUP(rn_tx_closep) struct rn_tx tx = {0};
    CLEANUP(freep) struct text t = {0};
    const struct rn_sink sink = {text_add, &t};
    struct rn_rx rx;
    SCOPE(s);

    OK(rn_chan_open(sizeof(int), 0, &tx, &rx));
    OK(rn_go(s, waiter, &rx, (struct rn_end[]){rn_end_rx(rx)}, 1));
    TASK_UNTIL(tasks_parked() == 1);
    OK(rn_dump_chans(rn_runtime_self(), 0, &sink));
    TRUE(strstr(t.bytes, "len 0 cap 0, senders 1, receivers 1, waiting to send 0, to receive 1"));
    TRUE(strstr(t.bytes, "trace_test.c:"));
    TRUE(strstr(t.bytes, "    senders held by task 1 \"main\"\n"));
    TRUE(strstr(t.bytes, "    receivers held by task 2 \"waiter\"\n"));
    TRUE(strstr(t.bytes, "    waiting: task 2 \"waiter\"\n"));
    rn_tx_closep(&tx);
}

static bool find_fd(void *arg, const struct rn_fd_info *info)
{
    struct rn_fd_info *want = arg;

    if (info->number != want->number)
        return true;
    *want = *info;
    return false;
}

TASK_TEST(descriptors_are_told_with_owner_and_site)
{
    CLEANUP(rn_fd_closep) struct rn_fd fd = {0};
    struct rn_fd_info info = {0};
    int pipe[2];

    OK(rn_sys_pipe2(pipe, 0));
    OK(rn_fd_adopt(pipe[0], RN_FD_PIPE, &fd));
    info.number = pipe[0];
    rn_fds_each(rn_runtime_self(), find_fd, &info);
    TRUE(info.site && strstr(info.site->file, "trace_test.c"));
    EQ(info.kind, RN_FD_PIPE);
    FALSE(info.reader);
    STREQ(info.owner, "task 1 \"main\"");
    OK(rn_sys_close(pipe[1]));
}

/* ---- SIGQUIT --------------------------------------------------------------------------------- */

/* Stderr is a pipe of which nobody reads. */
TEST(a_dump_that_nobody_reads_does_not_hold_up_the_end)
{
    struct hang h = {.hanging = false};
    int pipe[2], saved = dup(STDERR_FILENO);
    char page[4096] = "";
    pthread_t thread;
    sigset_t set;

    test_heap_allow(1 << 20);
    sigemptyset(&set);
    sigaddset(&set, SIGQUIT);
    OK(rn_signals_block(&set));
    OK(rn_sys_pipe2(pipe, O_NONBLOCK));
    OK(pthread_create(&thread, NULL, hang_thread, &h));
    UNTIL(atomic_load(&h.hanging));
    OK(rn_quit_dump_start(atomic_load(&h.rt)));
    while (write(pipe[1], page, sizeof(page)) > 0)
        ;
    EQ(read(pipe[0], page, sizeof(page)), (ssize_t)sizeof(page));
    EQ(write(pipe[1], page, sizeof(page) - 100), (ssize_t)sizeof(page) - 100); /* not quite full */
    OK(fcntl(pipe[1], F_SETFL, 0));
    OK(dup2(pipe[1], STDERR_FILENO));
    OK(kill(getpid(), SIGQUIT));
    UNTIL(sigpending(&set) == 0 && !sigismember(&set, SIGQUIT));
    rn_quit_dump_stop();
    OK(dup2(saved, STDERR_FILENO));
    atomic_store(&h.go_on, true);
    OK(pthread_join(thread, NULL));
    (void)rn_sys_close(saved);
    (void)rn_sys_close(pipe[0]);
    (void)rn_sys_close(pipe[1]);
}

/* And one that reads slowly from a pipe that doesn't block gets all of it. */
TEST(a_dump_waits_for_a_slow_reader_also_where_stderr_does_not_block)
{
    struct hang h = {.hanging = false};
    int pipe[2], saved = dup(STDERR_FILENO), full = 0;
    struct text t = {0};
    char page[4096];
    pthread_t thread;
    sigset_t set;
    ssize_t n;

    memset(page, '.', sizeof(page));
    test_heap_allow(1 << 20);
    sigemptyset(&set);
    sigaddset(&set, SIGQUIT);
    OK(rn_signals_block(&set));
    OK(rn_sys_pipe2(pipe, O_NONBLOCK));
    OK(fcntl(pipe[0], F_SETFL, 0));
    OK(pthread_create(&thread, NULL, hang_thread, &h));
    UNTIL(atomic_load(&h.hanging));
    OK(rn_quit_dump_start(atomic_load(&h.rt)));
    for (; (n = write(pipe[1], page, sizeof(page))) > 0; full += (int)n)
        ;
    OK(dup2(pipe[1], STDERR_FILENO));
    OK(kill(getpid(), SIGQUIT));
    UNTIL(sigpending(&set) == 0 && !sigismember(&set, SIGQUIT));
    for (char c; full > 0; full--) /* byte by byte: the dump comes upon a full pipe */
        EQ(read(pipe[0], &c, 1), 1);
    while (!t.bytes || times(t.bytes, "the program goes on\n") < 1) {
        n = read(pipe[0], page, sizeof(page));
        OK(n);
        text_add(&t, page, (size_t)n);
    }
    OK(dup2(saved, STDERR_FILENO));
    rn_quit_dump_stop();
    atomic_store(&h.go_on, true);
    OK(pthread_join(thread, NULL));
    TRUE(strstr(t.bytes, "SIGQUIT: tasks") && strstr(t.bytes, "the_culprit(...)"));
    free(t.bytes);
    (void)rn_sys_close(saved);
    (void)rn_sys_close(pipe[0]);
    (void)rn_sys_close(pipe[1]);
}

TEST(sigquit_dumps_while_the_worker_hangs_and_the_program_goes_on)
{
    struct hang h = {.hanging = false};
    pthread_t thread;
    sigset_t set;
    int pipe[2], saved = dup(STDERR_FILENO);
    struct text t = {0};

    test_heap_allow(1 << 20);
    sigemptyset(&set);
    sigaddset(&set, SIGQUIT);
    OK(rn_signals_block(&set));
    OK(rn_sys_pipe2(pipe, 0));
    OK(pthread_create(&thread, NULL, hang_thread, &h));
    UNTIL(atomic_load(&h.hanging));
    OK(rn_quit_dump_start(atomic_load(&h.rt)));
    ERR(rn_quit_dump_start(atomic_load(&h.rt)), EBUSY);
    OK(dup2(pipe[1], STDERR_FILENO));
    for (int round = 1; round <= 2; round++) { /* it goes on, and does it again */
        char buf[4096];
        OK(kill(getpid(), SIGQUIT));
        while (!t.bytes || times(t.bytes, "the program goes on\n") < (size_t)round) {
            ssize_t n = read(pipe[0], buf, sizeof(buf));
            OK(n);
            text_add(&t, buf, (size_t)n);
        }
    }
    OK(dup2(saved, STDERR_FILENO));
    rn_quit_dump_stop();
    atomic_store(&h.go_on, true);
    OK(pthread_join(thread, NULL));
    TRUE(strstr(t.bytes, "the_culprit(...)"));
    TRUE(strstr(t.bytes, "runnel: channels"));
    TRUE(strstr(t.bytes, "runnel: descriptors"));
    free(t.bytes);
    (void)rn_sys_close(saved);
    (void)rn_sys_close(pipe[0]);
    (void)rn_sys_close(pipe[1]);
}
