#include <errno.h>
#include <pthread.h>

#include <harness/task_test.h>

#include <runnel/runnel.h>

enum { VALUES = 200 };

struct plain {
    struct rn_thread *th;
    struct rn_tx tx;
    struct rn_rx rx;
    int sum, r;
    _Atomic bool done;
    pthread_t id;
};

/* On the thread: send what is asked for, take the answers. */
static void *talks(void *arg)
{
    struct plain *p = arg;

    for (int i = 1, answer; i <= VALUES; i++) {
        OK(rn_thread_send(p->th, p->tx, &i, RN_FOREVER));
        OK(rn_thread_recv(p->th, p->rx, &answer, RN_FOREVER));
        p->sum += answer;
    }
    OK(rn_thread_detach(p->th));
    p->done = true;
    return NULL;
}

TASK_TEST(a_plain_thread_sends_and_receives_as_a_task_does)
{
    struct plain p = {0};
    struct rn_scope s;
    struct rn_tx answers;
    struct rn_rx asked;
    int n, r;

    OK(rn_scope_open(0, &s));
    OK(rn_chan_open(sizeof(int), 0, &p.tx, &asked));
    OK(rn_chan_open(sizeof(int), 0, &answers, &p.rx));
    const struct rn_end ends[] = {rn_end_tx(p.tx), rn_end_rx(p.rx)};
    OK(rn_thread_attach(s, ends, 2, &p.th));
    ERR(rn_tx_try_send(p.tx, &n), EPERM); /* the thread's now */
    EQ(pthread_create(&p.id, NULL, talks, &p), 0);
    while ((r = rn_rx_recv(asked, &n, RN_FOREVER)) == 0) {
        n *= 2;
        OK(rn_tx_send(answers, &n, RN_FOREVER));
    }
    EQ(r, -EPIPE); /* it has detached: its end-points are closed */
    TASK_UNTIL(p.done);
    EQ(pthread_join(p.id, NULL), 0);
    EQ(p.sum, VALUES * (VALUES + 1));
    OK(rn_scope_close(s));
}

static void *waits_in_vain(void *arg)
{
    struct plain *p = arg;
    int n;

    p->r = rn_thread_recv(p->th, p->rx, &n, RN_FOREVER);
    while (rn_thread_recv(p->th, p->rx, &n, RN_FOREVER) == -ECANCELED)
        ;
    ERR(rn_thread_recv(p->th, p->rx, &n, RN_FOREVER), ESHUTDOWN);
    OK(rn_thread_detach(p->th));
    p->done = true;
    return NULL;
}

TASK_TEST(the_scope_of_an_attached_thread_cancels_what_it_waits_for)
{
    struct plain p = {0};
    struct rn_scope s;
    struct rn_stats stats;
    struct rn_tx tx;

    OK(rn_scope_open(0, &s));
    OK(rn_chan_open(sizeof(int), 0, &tx, &p.rx));
    const struct rn_end end = rn_end_rx(p.rx);
    OK(rn_thread_attach(s, &end, 1, &p.th));
    EQ(pthread_create(&p.id, NULL, waits_in_vain, &p), 0);
    TASK_UNTIL((rn_stats(rn_runtime_self(), &stats), stats.parks_chan > 0));
    OK(rn_scope_cancel(s));
    TASK_UNTIL(p.done);
    EQ(pthread_join(p.id, NULL), 0);
    EQ(p.r, -ECANCELED);
    OK(rn_scope_close(s));
}

static int asks_the_runtime(void *arg)
{
    struct rn_runtime **rt = arg;

    *rt = rn_runtime_self();
    return rn_task_id() > 0 ? 17 : -1;
}

static struct plain outlives;

static int attaches(void *arg)
{
    (void)arg;
    return rn_thread_attach(rn_scope_self(), NULL, 0, &outlives.th);
}

static void *calls_late(void *arg)
{
    struct rn_runtime *rt = NULL;

    (void)arg;
    EQ(rn_thread_call(outlives.th, asks_the_runtime, &rt), 17);
    TRUE(rt != NULL);
    outlives.done = true;
    OK(rn_thread_detach(outlives.th));
    return NULL;
}

static int main_attaches(void *arg)
{
    int r = attaches(arg);

    if (r == 0)
        r = -pthread_create(&outlives.id, NULL, calls_late, NULL);
    return r; /* the root scope waits for the proxy, which waits for the thread */
}

TEST(a_runtime_waits_for_a_thread_that_is_attached_in_its_root_scope)
{
    OK(rn_run(NULL, main_attaches, NULL));
    EQ(pthread_join(outlives.id, NULL), 0);
    TRUE(outlives.done);
}

static int cancelled_scope(void *arg)
{
    struct rn_scope s;

    (void)arg;
    OK(rn_scope_open(0, &s));
    OK(rn_thread_attach(s, NULL, 0, &outlives.th));
    return rn_scope_close(s);
}

TEST(who_comes_when_the_runtime_has_gone_is_told)
{
    struct rn_runtime *rt;

    OK(rn_run(NULL, cancelled_scope, NULL));
    ERR(rn_thread_call(outlives.th, asks_the_runtime, &rt), ESHUTDOWN);
    OK(rn_thread_detach(outlives.th));
}

static void *rings_in_vain(void *arg)
{
    struct plain *p = arg;
    int n = 7;

    rn_fault_set(RN_SYS_write, EIO, 1);
    ERR(rn_thread_send(p->th, p->tx, &n, RN_FOREVER), EIO);
    rn_fault_set(RN_SYS_write, EIO, 1);
    ERR(rn_thread_detach(p->th), EIO);
    OK(rn_thread_send(p->th, p->tx, &n, RN_FOREVER)); /* it is as it was */
    OK(rn_thread_detach(p->th));
    p->done = true;
    return NULL;
}

TASK_TEST(a_thread_that_cannot_ring_is_told_and_does_not_wait)
{
    struct plain p = {0};
    struct rn_scope s;
    struct rn_rx rx;
    int n = 0;

    OK(rn_scope_open(0, &s));
    OK(rn_chan_open(sizeof(int), 1, &p.tx, &rx));
    const struct rn_end end = rn_end_tx(p.tx);
    OK(rn_thread_attach(s, &end, 1, &p.th));
    EQ(pthread_create(&p.id, NULL, rings_in_vain, &p), 0);
    OK(rn_rx_recv(rx, &n, RN_FOREVER));
    EQ(n, 7);
    TASK_UNTIL(p.done);
    EQ(pthread_join(p.id, NULL), 0);
    OK(rn_scope_close(s));
    OK(rn_rx_close(rx));
}

TASK_TEST(misuse_of_an_attached_thread_is_an_error)
{
    struct rn_scope s;
    struct rn_thread *th;
    struct rn_runtime *rt;
    const struct rn_end none = {1, 1};

    OK(rn_scope_open(0, &s));
    NE(rn_thread_attach(s, &none, 1, &th), 0);
    OK(rn_thread_attach(s, NULL, 0, &th));
    ERR(rn_thread_call(th, asks_the_runtime, &rt), EPERM); /* a task would hold up its worker */
    OK(rn_thread_detach(th));
    OK(rn_scope_wait(s));
    OK(rn_scope_close(s));
    ERR(rn_thread_attach(s, NULL, 0, &th), EBADF);
}

TASK_TEST(an_attach_that_fails_leaves_nothing_behind)
{
    struct rn_thread *th;
    struct rn_tx tx;
    struct rn_rx rx;

    OK(rn_chan_open(0, 1, &tx, &rx));
    const struct rn_end end = rn_end_tx(tx);
    rn_fault_set(RN_SYS_eventfd, EMFILE, 1);
    ERR(rn_thread_attach(rn_scope_self(), &end, 1, &th), EMFILE);
    OK(rn_tx_try_send(tx, NULL)); /* still ours */
}

SIM_TEST(a_simulated_runtime_has_no_threads, 1)
{
    struct rn_thread *th;

    ERR(rn_thread_attach(rn_scope_self(), NULL, 0, &th), EOPNOTSUPP);
}
