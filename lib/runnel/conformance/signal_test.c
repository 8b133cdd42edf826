/* Signals, as Go's os/signal tests know them. */
#include <signal.h>
#include <unistd.h>

#include "conformance/conformance_testing.h"

static sigset_t blocked(int number)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, number);
    OK(rn_signals_block(&set));
    return set;
}

static int yields(void *arg)
{
    (void)arg;
    while (rn_yield() == 0)
        ;
    return 0;
}

TASK_TEST(signals_one_after_the_other_are_all_told_beside_tasks_that_yield)
{
    const sigset_t set = blocked(SIGUSR1);
    struct rn_signal sig;
    struct rn_rx signals;
    SCOPE(s);

    OK(rn_signal_open(s, &set, &signals));
    OK(GO0(s, yields, NULL));
    for (int i = 0; i < 200; i++) {
        OK(kill(getpid(), SIGUSR1));
        sig = (struct rn_signal){0};
        OK(rn_rx_recv(signals, &sig, RN_FOREVER));
        EQ(sig.number, SIGUSR1);
        EQ(sig.pid, getpid());
    }
    ERR(rn_rx_try_recv(signals, &sig), EAGAIN); /* and none is told twice */
    OK(rn_scope_cancel(s));
    OK(rn_scope_wait(s));
}

TASK_TEST(a_signal_that_comes_before_its_reader_is_kept_for_it)
{
    const sigset_t set = blocked(SIGUSR2);
    struct rn_signal sig;
    struct rn_rx signals;

    for (int i = 0; i < 20; i++) {
        SCOPE(s);
        OK(kill(getpid(), SIGUSR2)); /* nobody reads yet, and nobody dies of it */
        OK(rn_signal_open(s, &set, &signals));
        OK(rn_rx_recv(signals, &sig, RN_FOREVER));
        EQ(sig.number, SIGUSR2);
        OK(rn_scope_cancel(s));
        OK(rn_scope_wait(s));
        ERR(rn_rx_recv(signals, &sig, RN_FOREVER), EPIPE);
        OK(rn_rx_close(signals));
    }
}

struct notified {
    struct rn_scope scope;
    struct rn_rx signals;
};

static int cancels_at_a_signal(void *arg)
{
    struct notified *n = arg;
    struct rn_signal sig;

    OK(rn_rx_recv(n->signals, &sig, RN_FOREVER));
    return rn_scope_cancel(n->scope);
}

static int sleeps(void *arg)
{
    (void)arg;
    ERR(rn_sleep(RN_FOREVER), ECANCELED);
    return 0;
}

TASK_TEST(a_signal_cancels_all_that_a_scope_does)
{
    const sigset_t set = blocked(SIGTERM);
    struct notified n;
    SCOPE(readers);
    SCOPE(s);

    n.scope = s;
    OK(rn_signal_open(readers, &set, &n.signals));
    OK(GO(readers, cancels_at_a_signal, &n, rn_end_rx(n.signals)));
    for (int i = 0; i < 10; i++)
        OK(GO0(s, sleeps, NULL));
    TASK_UNTIL(tasks_parked() == 12);
    OK(kill(getpid(), SIGTERM));
    OK(rn_scope_wait(s));
    OK(rn_scope_cancel(readers));
    OK(rn_scope_wait(readers));
}
