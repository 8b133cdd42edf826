#include <errno.h>

#include <harness/task_test.h>

#include <runnel/runnel.h>

SIM_TEST(a_ticker_keeps_to_its_times_and_drops_what_nobody_waited_for, 20)
{
    rn_time begin = rn_now();
    struct rn_ticker t;

    OK(rn_ticker_start(&t, 10 * RN_MS));
    for (int i = 1; i <= 3; i++) {
        OK(rn_ticker_wait(&t));
        EQ(rn_now(), begin + i * 10 * RN_MS);
        OK(rn_sleep(rn_after(3 * RN_MS))); /* work takes no time from the next */
    }
    OK(rn_sleep(begin + 75 * RN_MS)); /* 40, 50, 60, 70: the first comes now, the rest is dropped */
    OK(rn_ticker_wait(&t));
    EQ(rn_now(), begin + 75 * RN_MS);
    OK(rn_ticker_wait(&t));
    EQ(rn_now(), begin + 80 * RN_MS);
}

SIM_TEST(a_ticker_is_the_deadline_of_a_select, 20)
{
    rn_time begin = rn_now();
    struct rn_ticker t;
    struct rn_tx tx;
    struct rn_rx rx;

    OK(rn_chan_open(0, 0, &tx, &rx));
    OK(rn_ticker_start(&t, RN_S));
    for (int i = 1; i <= 3; i++) {
        struct rn_case c[] = {RN_CASE_RECV(rx, NULL)};
        ERR(rn_select(c, 1, t.next), ETIMEDOUT);
        EQ(rn_ticker_step(&t), 0);
        EQ(rn_now(), begin + i * RN_S);
    }
    OK(rn_sleep(begin + 6 * RN_S));
    EQ(rn_ticker_step(&t), 2); /* 4 is used up; 5 and 6 are dropped */
    EQ(t.next, begin + 7 * RN_S);
}

static int ticks_for_ever(void *arg)
{
    struct rn_ticker t;
    int r;

    (void)arg;
    OK(rn_ticker_start(&t, RN_FOREVER / 2));
    while ((r = rn_ticker_wait(&t)) == 0)
        ;
    return r;
}

TASK_TEST(a_cancel_ends_the_wait_for_a_tick_and_misuse_is_an_error)
{
    struct rn_ticker t = {0};
    struct rn_scope s;

    ERR(rn_ticker_start(&t, 0), EINVAL);
    ERR(rn_ticker_start(&t, -RN_S), EINVAL);
    ERR(rn_ticker_wait(&t), EINVAL);
    ERR(rn_ticker_step(&t), EINVAL);
    OK(rn_scope_open(0, &s));
    OK(rn_go(s, ticks_for_ever, NULL, NULL, 0));
    OK(rn_yield());
    OK(rn_scope_cancel(s));
    ERR(rn_scope_wait(s), ECANCELED);
    OK(rn_scope_close(s));
}
