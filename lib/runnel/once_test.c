#include <errno.h>

#include <harness/task_test.h>

#include <runnel/runnel.h>

struct thing {
    struct rn_once once;
    int made, result;
};

static int makes(void *arg)
{
    struct thing *t = arg;

    t->made++;
    OK(rn_yield());
    OK(rn_sleep(rn_after(RN_MS)));
    return t->result;
}

static int needs(void *arg)
{
    struct thing *t = arg;

    EQ(rn_once_do(t->once, makes, t, RN_FOREVER), t->result);
    EQ(t->made, 1);
    return 0;
}

static void needed_by_many(int result)
{
    struct thing t = {.result = result};
    struct rn_scope s;

    OK(rn_scope_open(0, &s));
    OK(rn_once_open(s, &t.once));
    for (int i = 0; i < 6; i++)
        OK(rn_go(s, needs, &t, NULL, 0));
    OK(rn_scope_wait(s));
    EQ(rn_once_do(t.once, makes, &t, 0), result); /* done: no wait */
    OK(rn_scope_close(s));
    EQ(t.made, 1);
}

SIM_TEST(a_once_is_done_by_one_and_its_result_is_everybodys, 200)
{
    needed_by_many(seed & 1 ? 7 : -EIO);
}

static int comes_back(void *arg)
{
    struct thing *t = arg;

    return rn_once_do(t->once, makes, t, RN_FOREVER);
}

static int does_not_wait_long(void *arg)
{
    struct thing *t = arg;

    return rn_once_do(t->once, makes, t, rn_after(RN_US));
}

static int closes_itself(void *arg)
{
    struct thing *t = arg;

    OK(rn_yield()); /* somebody comes to wait */
    OK(rn_once_close(t->once));
    return 5;
}

TASK_TEST(misuse_of_a_once_is_an_error)
{
    struct thing t = {.result = 1};
    struct rn_scope s;

    OK(rn_scope_open(0, &s));
    OK(rn_once_open(s, &t.once));
    ERR(rn_once_do(t.once, comes_back, &t, RN_FOREVER), EDEADLK);
    OK(rn_once_close(t.once));

    OK(rn_once_open(s, &t.once));
    OK(rn_go(s, needs, &t, NULL, 0));
    OK(rn_go(s, does_not_wait_long, &t, NULL, 0));
    ERR(rn_scope_wait(s), ETIMEDOUT);
    OK(rn_once_close(t.once));

    OK(rn_once_open(s, &t.once));
    OK(rn_go(s, comes_back, &t, NULL, 0));
    EQ(rn_once_do(t.once, closes_itself, &t, RN_FOREVER), 5); /* its own result all the same */
    ERR(rn_once_do(t.once, makes, &t, 0), EBADF);
    ERR(rn_scope_close(s), ETIMEDOUT);
}
