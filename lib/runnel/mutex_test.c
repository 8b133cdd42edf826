#include <errno.h>

#include <harness/task_test.h>

#include <runnel/runnel.h>

struct work {
    struct rn_mutex m;
    int inside, most, turns[4], rounds;
};

struct worker {
    struct work *work;
    int index;
};

static int works(void *arg)
{
    struct worker *w = arg;
    struct work *k = w->work;

    for (int i = 0; i < k->rounds; i++) {
        OK(rn_mutex_lock(k->m, RN_FOREVER));
        if (++k->inside > k->most)
            k->most = k->inside;
        OK(rn_yield());
        k->inside--;
        k->turns[w->index]++;
        OK(rn_mutex_unlock(k->m));
    }
    return 0;
}

static void work_together(int rounds)
{
    struct work k = {.rounds = rounds};
    struct worker w[4];
    struct rn_scope s;

    OK(rn_scope_open(0, &s));
    OK(rn_mutex_open(s, &k.m));
    for (int i = 0; i < 4; i++) {
        w[i] = (struct worker){&k, i};
        OK(rn_go(s, works, &w[i], NULL, 0));
    }
    OK(rn_scope_wait(s));
    EQ(k.most, 1);
    for (int i = 0; i < 4; i++)
        EQ(k.turns[i], rounds);
    OK(rn_scope_close(s));
    ERR(rn_mutex_lock(k.m, 0), EBADF);
}

TASK_TEST(one_task_at_a_time_is_inside_a_mutex)
{
    work_together(100);
}

SIM_TEST(no_order_lets_two_tasks_into_a_mutex, 200)
{
    work_together(5);
}

struct hog {
    struct rn_mutex m;
    _Atomic bool stop;
    _Atomic uint64_t locks;
    uint64_t locks_at_wait, locks_at_turn;
};

static int hogs(void *arg)
{
    struct hog *h = arg;

    while (!h->stop) {
        OK(rn_mutex_lock(h->m, RN_FOREVER));
        h->locks++;
        OK(rn_yield()); /* the others run, while it is locked */
        OK(rn_mutex_unlock(h->m));
    }
    return 0;
}

static int waits_its_turn(void *arg)
{
    struct hog *h = arg;

    h->locks_at_wait = h->locks;
    OK(rn_mutex_lock(h->m, RN_FOREVER));
    h->locks_at_turn = h->locks;
    OK(rn_mutex_unlock(h->m));
    h->stop = true;
    return 0;
}

static void beside_a_hog(void)
{
    struct hog h = {0};
    struct rn_scope s;

    OK(rn_scope_open(0, &s));
    OK(rn_mutex_open(s, &h.m));
    OK(rn_go(s, hogs, &h, NULL, 0));
    while (h.locks <= 10)
        OK(rn_yield());
    OK(rn_go(s, waits_its_turn, &h, NULL, 0));
    OK(rn_scope_wait(s));
    LE(h.locks_at_turn - h.locks_at_wait, 1); /* at the unlock that comes next */
    OK(rn_scope_close(s));
}

TASK_TEST(a_hog_that_locks_again_at_once_holds_nobody_up)
{
    beside_a_hog();
}

SIM_TEST(no_order_lets_a_hog_pass_a_waiter, 200)
{
    beside_a_hog();
}

static int locks_until(void *arg)
{
    struct rn_mutex *m = arg;
    int r = rn_mutex_lock(*m, rn_after(RN_MS));

    return r == 0 ? rn_mutex_unlock(*m) : r;
}

static int locks_for_ever(void *arg)
{
    struct rn_mutex *m = arg;
    int r = rn_mutex_lock(*m, RN_FOREVER);

    return r == 0 ? rn_mutex_unlock(*m) : r;
}

TASK_TEST(a_wait_for_a_mutex_ends_by_deadline_cancel_or_close_and_the_next_in_line_gets_it)
{
    struct rn_scope s;
    struct rn_mutex m;
    struct rn_task task;

    OK(rn_scope_open(0, &s));
    OK(rn_mutex_open(s, &m));
    OK(rn_mutex_lock(m, RN_FOREVER));
    OK(rn_go(s, locks_until, &m, NULL, 0));
    ERR(rn_scope_wait(s), ETIMEDOUT);

    OK(rn_go_with((&(struct rn_task_options){.ret_task = &task}), s, locks_for_ever, &m, NULL, 0));
    OK(rn_go(s, locks_for_ever, &m, NULL, 0)); /* stands behind the one that goes */
    OK(rn_yield());
    OK(rn_task_cancel(task));
    OK(rn_mutex_unlock(m));
    ERR(rn_scope_wait(s), ETIMEDOUT); /* still the first error */
    OK(rn_mutex_lock(m, 0));

    OK(rn_go(s, locks_for_ever, &m, NULL, 0));
    OK(rn_yield());
    OK(rn_mutex_close(m));
    ERR(rn_mutex_unlock(m), EBADF);
    ERR(rn_scope_close(s), ETIMEDOUT);
}

static int locks_and_leaves(void *arg)
{
    struct rn_mutex *m = arg;

    return rn_mutex_lock(*m, RN_FOREVER);
}

static int finds_it_abandoned(void *arg)
{
    struct rn_mutex *m = arg;

    ERR(rn_mutex_lock(*m, RN_FOREVER), EOWNERDEAD);
    return 0;
}

TASK_TEST(a_mutex_whose_holder_has_ended_says_so_to_who_waits_and_who_comes)
{
    struct rn_scope s;
    struct rn_mutex m;

    OK(rn_scope_open(0, &s));
    OK(rn_mutex_open(s, &m));
    OK(rn_go(s, locks_and_leaves, &m, NULL, 0));
    OK(rn_go(s, finds_it_abandoned, &m, NULL, 0));
    OK(rn_scope_wait(s));
    ERR(rn_mutex_lock(m, 0), EOWNERDEAD);
    ERR(rn_mutex_unlock(m), EPERM);
    OK(rn_mutex_close(m));
    OK(rn_scope_close(s));
}

static int may_not(void *arg)
{
    struct rn_mutex *m = arg;

    ERR(rn_mutex_lock(*m, RN_FOREVER), EPERM);
    ERR(rn_mutex_unlock(*m), EPERM);
    ERR(rn_mutex_close(*m), EPERM);
    return 0;
}

static int is_not_holder(void *arg)
{
    struct rn_mutex *m = arg;

    ERR(rn_mutex_unlock(*m), EPERM);
    ERR(rn_mutex_lock(*m, 0), ETIMEDOUT);
    ERR(rn_mutex_lock(*m, 1), ETIMEDOUT);
    return 0;
}

TASK_TEST(misuse_of_a_mutex_is_an_error)
{
    struct rn_scope s, other;
    struct rn_mutex m, none = {0}, again, alien;
    struct rn_group group;

    OK(rn_scope_open(0, &s));
    OK(rn_scope_open(0, &other));
    OK(rn_mutex_open(s, &m));
    ERR(rn_mutex_unlock(m), EPERM);
    OK(rn_mutex_lock(m, 0));
    ERR(rn_mutex_lock(m, RN_FOREVER), EDEADLK);
    OK(rn_go(s, is_not_holder, &m, NULL, 0));
    OK(rn_go(other, may_not, &m, NULL, 0));
    OK(rn_scope_wait(s));
    OK(rn_scope_wait(other));
    OK(rn_mutex_unlock(m));

    ERR(rn_mutex_lock(none, RN_FOREVER), EBADF);
    OK(rn_group_open(s, 0, &group));
    alien = (struct rn_mutex){group.slot, group.gen};
    ERR(rn_mutex_lock(alien, 0), EBADF);
    OK(rn_mutex_close(m));
    ERR(rn_mutex_close(m), EBADF);
    OK(rn_mutex_open(s, &again)); /* perhaps in the same slot */
    ERR(rn_mutex_lock(m, 0), EBADF);
    OK(rn_scope_close(other));
    ERR(rn_mutex_open(other, &m), EBADF);
    OK(rn_scope_close(s));
    ERR(rn_mutex_lock(again, 0), EBADF);
}

TEST(a_plain_thread_gets_no_mutex)
{
    struct rn_mutex m = {1, 1};
    struct rn_scope s = {1, 1};

    ERR(rn_mutex_open(s, &m), EPERM);
    ERR(rn_mutex_lock(m, RN_FOREVER), EPERM);
    ERR(rn_mutex_unlock(m), EPERM);
}
