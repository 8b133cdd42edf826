/* Looking from outside while everything that is looked at comes and goes: tasks on stacks that are
 * used again or given back, channels, descriptors, and a task that runs.
 *
 * What a dump says of such a moment cannot be known; it has to be well formed and to end, and
 * nothing may be read that isn't there.
 */
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <harness/task_test.h>

#include <base/cleanup.h>
#include <runnel/fd.h>
#include <runnel/leak.h>
#include <runnel/trace.h>

#include "chan_testing.h"

#define CROWD 600 /* more than the warm stacks that are kept: the rest is given back */

struct churn {
    _Atomic(struct rn_runtime *) rt;
    _Atomic bool stop;
    _Atomic uint64_t rounds;
};

static int one_of_the_crowd(void *arg)
{
    const struct rn_rx rx = *(struct rn_rx *)arg;
    int value, r;
    struct rn_case c[] = {RN_CASE_RECV(rx, &value), RN_CASE_RECV(rx, &value)};

    r = rn_select(c, 2, RN_FOREVER);
    return r < 0 ? r : 0;
}

static int pipes_come_and_go(void *arg)
{
    int ends[2], r;

    (void)arg;
    for (int i = 0; i < 4; i++) {
        CLEANUP(rn_fd_closep) struct rn_fd fd = {0};
        r = rn_sys_pipe2(ends, 0);
        if (r < 0)
            return r;
        r = rn_fd_adopt(ends[0], RN_FD_PIPE, &fd);
        (void)rn_sys_close(ends[1]);
        if (r == 0)
            r = rn_yield();
        if (r < 0)
            return r;
    }
    return 0;
}

/* A crowd that waits on one channel, and is let go. */
static void churn_once(void)
{
    struct rn_tx tx;
    struct rn_rx rx, more[CROWD];
    struct rn_scope s;

    OK(rn_scope_open(RN_SCOPE_WAIT_ALL, &s));
    OK(rn_chan_open(sizeof(int), 1, &tx, &rx));
    for (int i = 0; i < CROWD; i++) {
        OK(rn_rx_dup(rx, &more[i]));
        OK(rn_go(s, one_of_the_crowd, &more[i], (struct rn_end[]){rn_end_rx(more[i])}, 1));
    }
    OK(rn_go(s, pipes_come_and_go, NULL, NULL, 0));
    OK(rn_yield());
    rn_rx_closep(&rx);
    rn_tx_closep(&tx);
    OK(rn_scope_wait(s));
    OK(rn_scope_close(s));
}

static int churn_main(void *arg)
{
    struct churn *c = arg;

    atomic_store(&c->rt, rn_runtime_self());
    while (!atomic_load(&c->stop)) {
        churn_once();
        atomic_fetch_add(&c->rounds, 1);
    }
    return 0;
}

static void *churn_thread(void *arg)
{
    return (void *)(intptr_t)rn_run(&(const struct rn_options){.name = "churn"}, churn_main, arg);
}

/* The last two bytes that were written, and how much. */
struct tail {
    uint64_t n;
    char last;
};

static int tail_add(void *arg, const void *bytes, size_t n)
{
    struct tail *t = arg;

    t->n += n;
    t->last = ((const char *)bytes)[n - 1];
    return 0;
}

static void look_at_everything(struct rn_runtime *rt)
{
    struct tail tail = {0};
    const struct rn_sink sink = {tail_add, &tail};

    OK(rn_dump_tasks(rt, 0, &sink));
    TRUE(tail.n > 0 && tail.last == '\n');
    OK(rn_dump_chans(rt, 0, &sink));
    OK(rn_dump_fds(rt, 0, &sink));
    TRUE(tail.last == '\n');
    OK(rn_leak_check(rt, NULL));
}

static void churn_and_look(unsigned rounds)
{
    struct churn c = {.rounds = 0};
    pthread_t thread;
    void *result;

    test_heap_allow(4 << 20);
    OK(pthread_create(&thread, NULL, churn_thread, &c));
    UNTIL(atomic_load(&c.rounds) > 0);
    for (unsigned i = 0; i < rounds; i++) {
        uint64_t before = atomic_load(&c.rounds);
        look_at_everything(atomic_load(&c.rt));
        UNTIL(atomic_load(&c.rounds) > before);
    }
    atomic_store(&c.stop, true);
    OK(pthread_join(thread, &result));
    EQ((intptr_t)result, 0);
}

TEST(dumps_and_checks_hold_while_tasks_channels_and_descriptors_come_and_go)
{
    churn_and_look(test_tasks(100));
}

/* As in a container that forbids reading memory as from a stranger. */
static void forbid_process_vm_readv(void)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_process_vm_readv, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    const struct sock_fprog program = {sizeof(code) / sizeof(code[0]), code};
    char byte = 0, copy;
    struct iovec from = {&byte, 1}, to = {&copy, 1};

    OK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
    if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0)
        SKIP("no seccomp here");
    EQ(process_vm_readv(getpid(), &to, 1, &from, 1, 0), -1);
    EQ(errno, EPERM);
}

TEST(dumps_hold_where_a_process_may_not_read_its_own_memory_as_a_stranger)
{
    forbid_process_vm_readv();
    churn_and_look(test_tasks(300));
}
