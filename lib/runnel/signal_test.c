#include <errno.h>
#include <signal.h>
#include <unistd.h>

#include <harness/task_test.h>

#include <runnel/runnel.h>

TASK_TEST(a_task_waits_for_signals_one_at_a_time)
{
    struct rn_fd fd;
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigaddset(&set, SIGUSR2);
    OK(rn_signals_block(&set));
    OK(rn_signals_open(&set, &fd));
    ERR(rn_signals_wait(fd, rn_after(RN_MS)), ETIMEDOUT);
    OK(kill(getpid(), SIGUSR2));
    OK(kill(getpid(), SIGUSR1));
    EQ(rn_signals_wait(fd, RN_FOREVER) + rn_signals_wait(fd, RN_FOREVER), SIGUSR1 + SIGUSR2);
    ERR(rn_signals_wait(fd, 0), ETIMEDOUT);
    OK(rn_fd_close(fd));
    ERR(rn_signals_wait(fd, RN_FOREVER), EBADF);
}

static int waits(void *arg)
{
    struct rn_fd *fd = arg;

    return rn_signals_wait(*fd, RN_FOREVER);
}

TASK_TEST(a_cancel_ends_the_wait_for_a_signal)
{
    struct rn_scope s;
    struct rn_fd fd;
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    OK(rn_signals_block(&set));
    OK(rn_signals_open(&set, &fd));
    OK(rn_scope_open(0, &s));
    OK(rn_go(s, waits, &fd, NULL, 0));
    OK(rn_yield());
    OK(rn_scope_cancel(s));
    ERR(rn_scope_wait(s), ECANCELED);
    OK(rn_scope_close(s));
}

/* ---- as a channel ---------------------------------------------------------------------------- */

static void set_of(sigset_t *set, int a, int b)
{
    sigemptyset(set);
    sigaddset(set, a);
    sigaddset(set, b);
}

TASK_TEST(signals_come_from_a_channel_beside_other_things)
{
    struct rn_signal sig = {0};
    struct rn_scope s;
    struct rn_tx tx;
    struct rn_rx signals, other;
    sigset_t set;
    int n = 0, seen = 0;

    set_of(&set, SIGUSR1, SIGUSR2);
    OK(rn_signals_block(&set));
    OK(rn_scope_open(0, &s));
    OK(rn_signal_open(s, &set, &signals));
    OK(rn_chan_open(sizeof(int), 1, &tx, &other));
    OK(rn_tx_try_send(tx, &n));
    OK(kill(getpid(), SIGUSR1));
    OK(kill(getpid(), SIGUSR2));
    for (int i = 0; i < 3; i++) {
        struct rn_case c[] = {RN_CASE_RECV(signals, &sig), RN_CASE_RECV(other, &n)};
        int chosen = rn_select(c, 2, RN_FOREVER);
        OK(chosen);
        OK(c[chosen].result);
        seen += chosen == 0 ? sig.number : 1000;
        if (chosen == 0)
            EQ(sig.pid, getpid());
    }
    EQ(seen, SIGUSR1 + SIGUSR2 + 1000);
    OK(rn_scope_close(s));
    ERR(rn_rx_recv(signals, &sig, RN_FOREVER), EPIPE);
}

TASK_TEST(a_signal_has_one_reader_in_the_process)
{
    struct rn_scope s, t;
    struct rn_rx a, b;
    sigset_t set, other;

    set_of(&set, SIGUSR1, SIGUSR2);
    set_of(&other, SIGUSR2, SIGHUP);
    ERR(rn_signal_open(rn_scope_self(), &set, &a), EINVAL); /* not blocked */
    OK(rn_signals_block(&set));
    OK(rn_signals_block(&other));
    OK(rn_scope_open(0, &s));
    OK(rn_scope_open(0, &t));
    OK(rn_signal_open(s, &set, &a));
    ERR(rn_signal_open(t, &other, &b), EBUSY);
    OK(rn_scope_close(s)); /* gives them back */
    OK(rn_signal_open(t, &other, &b));
    OK(rn_scope_close(t));
    ERR(rn_signal_open(t, &set, &a), EBADF);
    OK(rn_scope_open(0, &s)); /* and a failure has claimed nothing */
    OK(rn_signal_open(s, &set, &a));
    sigemptyset(&set);
    ERR(rn_signal_open(s, &set, &b), EINVAL);
    OK(rn_scope_close(s));
}

TASK_TEST(a_reader_of_signals_that_fails_claims_nothing)
{
    struct rn_rx rx;
    struct rn_scope s;
    sigset_t set;

    set_of(&set, SIGUSR1, SIGUSR2);
    OK(rn_signals_block(&set));
    OK(rn_scope_open(0, &s));
    rn_fault_set(RN_SYS_signalfd, EMFILE, 1);
    ERR(rn_signal_open(s, &set, &rx), EMFILE);
    OK(rn_signal_open(s, &set, &rx));
    OK(rn_rx_close(rx));
    OK(kill(getpid(), SIGUSR1)); /* the reader finds nobody to tell, and ends */
    OK(rn_scope_wait(s));
    OK(rn_signal_open(s, &set, &rx));
    OK(rn_scope_close(s));
}
