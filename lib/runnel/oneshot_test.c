#include <errno.h>

#include <harness/task_test.h>

#include <runnel/runnel.h>

static int waits(void *arg)
{
    const struct rn_oneshot *shot = arg;

    return rn_oneshot_wait(*shot, RN_FOREVER);
}

SIM_TEST(a_one_shot_wakes_all_and_stays, 200)
{
    struct rn_oneshot shot;
    struct rn_scope s;

    OK(rn_scope_open(0, &s));
    OK(rn_oneshot_open(s, &shot));
    ERR(rn_oneshot_wait(shot, 0), ETIMEDOUT);
    for (int i = 0; i < 5; i++)
        OK(rn_go(s, waits, &shot, NULL, 0));
    if (seed & 1)
        OK(rn_yield());
    OK(rn_oneshot_set(shot));
    OK(rn_scope_wait(s));
    OK(rn_oneshot_wait(shot, 0));
    ERR(rn_oneshot_set(shot), EALREADY);
    OK(rn_scope_close(s));
}

TASK_TEST(misuse_of_a_one_shot_is_an_error)
{
    struct rn_oneshot shot;
    struct rn_scope s;

    OK(rn_scope_open(0, &s));
    OK(rn_oneshot_open(s, &shot));
    ERR(rn_oneshot_wait(shot, rn_after(RN_MS)), ETIMEDOUT);
    OK(rn_go(s, waits, &shot, NULL, 0));
    OK(rn_yield());
    OK(rn_oneshot_close(shot));
    ERR(rn_scope_wait(s), EBADF);
    ERR(rn_oneshot_set(shot), EBADF);
    ERR(rn_oneshot_wait(shot, RN_FOREVER), EBADF);
    ERR(rn_scope_close(s), EBADF);
}
