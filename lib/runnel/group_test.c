#include <errno.h>

#include <harness/task_test.h>

#include <runnel/runnel.h>

struct job {
    struct rn_group group;
    _Atomic int done;
    int seen;
};

static int does(void *arg)
{
    struct job *job = arg;

    OK(rn_yield());
    job->done++;
    return rn_group_done(job->group);
}

static int waits(void *arg)
{
    struct job *job = arg;
    int r = rn_group_wait(job->group, RN_FOREVER);

    job->seen = job->done;
    return r;
}

SIM_TEST(a_wait_group_is_left_when_all_are_done, 200)
{
    struct job job = {0};
    struct rn_scope s;

    OK(rn_scope_open(0, &s));
    OK(rn_group_open(s, 1, &job.group));
    OK(rn_group_add(job.group, 9));
    OK(rn_go(s, waits, &job, NULL, 0));
    for (int i = 0; i < 10; i++)
        OK(rn_go(s, does, &job, NULL, 0));
    OK(rn_group_wait(job.group, RN_FOREVER));
    EQ(job.done, 10);
    OK(rn_scope_wait(s));
    EQ(job.seen, 10);

    OK(rn_group_add(job.group, 1)); /* another round */
    ERR(rn_group_wait(job.group, 0), ETIMEDOUT);
    OK(rn_group_done(job.group));
    OK(rn_group_wait(job.group, 0));
    OK(rn_scope_close(s));
}

TASK_TEST(misuse_of_a_wait_group_is_an_error)
{
    struct job job = {0};
    struct rn_scope s;

    OK(rn_scope_open(0, &s));
    OK(rn_group_open(s, 0, &job.group));
    ERR(rn_group_done(job.group), EINVAL);
    OK(rn_group_add(job.group, UINT32_MAX));
    ERR(rn_group_add(job.group, 1), EOVERFLOW);
    ERR(rn_group_wait(job.group, rn_after(RN_MS)), ETIMEDOUT);
    OK(rn_go(s, waits, &job, NULL, 0));
    OK(rn_yield());
    OK(rn_group_close(job.group));
    ERR(rn_scope_wait(s), EBADF);
    ERR(rn_group_add(job.group, 1), EBADF);
    ERR(rn_group_done(job.group), EBADF);
    ERR(rn_group_wait(job.group, 0), EBADF);
    ERR(rn_scope_close(s), EBADF);
}
