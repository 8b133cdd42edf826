#include <errno.h>

#include <harness/task_test.h>

#include <runnel/runnel.h>

struct room {
    struct rn_sem sem;
    _Atomic int inside, most;
};

static int visits(void *arg)
{
    struct room *room = arg;

    for (int i = 0; i < 5; i++) {
        OK(rn_sem_take(room->sem, 1, RN_FOREVER));
        if (++room->inside > room->most)
            room->most = room->inside;
        OK(rn_yield());
        room->inside--;
        OK(rn_sem_give(room->sem, 1));
    }
    return 0;
}

SIM_TEST(never_more_than_its_units_are_inside_a_semaphore, 200)
{
    struct room room = {0};
    struct rn_scope s;

    OK(rn_scope_open(0, &s));
    OK(rn_sem_open(s, 3, &room.sem));
    for (int i = 0; i < 8; i++)
        OK(rn_go(s, visits, &room, NULL, 0));
    OK(rn_scope_wait(s));
    LE(room.most, 3);
    GT(room.most, 1);
    OK(rn_sem_take(room.sem, 3, 0)); /* all came back */
    ERR(rn_sem_take(room.sem, 1, 0), ETIMEDOUT);
    OK(rn_scope_close(s));
}

struct taker {
    struct rn_sem sem;
    uint32_t units;
    rn_time deadline;
    _Atomic int *order, *n;
    int name;
};

static int takes(void *arg)
{
    struct taker *t = arg;
    int r = rn_sem_take(t->sem, t->units, t->deadline);

    if (r == 0)
        t->order[(*t->n)++] = t->name;
    return r;
}

TASK_TEST(who_wants_much_is_not_overtaken_by_who_wants_little)
{
    _Atomic int order[3] = {0}, n = 0;
    struct rn_scope s;
    struct rn_sem sem;

    OK(rn_scope_open(0, &s));
    OK(rn_sem_open(s, 2, &sem));
    struct taker big = {sem, 5, RN_FOREVER, order, &n, 1};
    struct taker small = {sem, 1, RN_FOREVER, order, &n, 2};
    OK(rn_go(s, takes, &big, NULL, 0));
    OK(rn_yield());
    OK(rn_go(s, takes, &small, NULL, 0));
    OK(rn_yield());
    EQ(n, 0);                               /* two are free, but not for who comes second */
    ERR(rn_sem_take(sem, 1, 0), ETIMEDOUT); /* nor for who doesn't wait */
    OK(rn_sem_give(sem, 2));
    OK(rn_yield());
    EQ(n, 0);
    OK(rn_sem_give(sem, 1));
    OK(rn_yield());
    EQ(n, 1);
    OK(rn_sem_give(sem, 1));
    OK(rn_scope_wait(s));
    EQ(order[0], 1);
    EQ(order[1], 2);
    OK(rn_scope_close(s));
}

TASK_TEST(who_gives_up_lets_those_behind_it_have_what_is_free)
{
    _Atomic int order[3] = {0}, n = 0;
    struct rn_scope s;
    struct rn_sem sem;

    OK(rn_scope_open(0, &s));
    OK(rn_sem_open(s, 1, &sem));
    struct taker big = {sem, 2, rn_after(RN_MS), order, &n, 1};
    struct taker small = {sem, 1, RN_FOREVER, order, &n, 2};
    OK(rn_go(s, takes, &big, NULL, 0));
    OK(rn_yield());
    OK(rn_go(s, takes, &small, NULL, 0));
    ERR(rn_scope_wait(s), ETIMEDOUT);
    EQ(n, 1);
    EQ(order[0], 2);
    ERR(rn_scope_close(s), ETIMEDOUT);
}

static int takes_one(void *arg)
{
    const struct rn_sem *sem = arg;

    return rn_sem_take(*sem, 1, RN_FOREVER);
}

TASK_TEST(misuse_of_a_semaphore_is_an_error)
{
    struct rn_scope s;
    struct rn_sem sem;

    OK(rn_scope_open(0, &s));
    OK(rn_sem_open(s, UINT32_MAX, &sem));
    ERR(rn_sem_give(sem, 1), EOVERFLOW);
    ERR(rn_sem_take(sem, 0, RN_FOREVER), EINVAL);
    OK(rn_sem_take(sem, UINT32_MAX, 0));
    OK(rn_go(s, takes_one, &sem, NULL, 0));
    OK(rn_yield());
    OK(rn_sem_close(sem));
    ERR(rn_scope_wait(s), EBADF);
    ERR(rn_sem_give(sem, 1), EBADF);
    ERR(rn_sem_close(sem), EBADF);
    ERR(rn_scope_close(s), EBADF);
}

/* A cancel that comes together with a unit: either it was taken, or it is there for the next. */
SIM_TEST(no_order_of_cancel_and_give_loses_a_unit, 300)
{
    struct rn_scope s;
    struct rn_sem sem;
    int r;

    OK(rn_sem_open(rn_scope_self(), 0, &sem));
    OK(rn_scope_open(0, &s));
    OK(rn_go(s, takes_one, &sem, NULL, 0));
    OK(rn_yield());
    if (seed & 1)
        OK(rn_scope_cancel(s));
    OK(rn_sem_give(sem, 1));
    OK(rn_scope_cancel(s));
    r = rn_scope_wait(s);
    TRUE(r == 0 || r == -ECANCELED);
    EQ(rn_sem_take(sem, 1, 0), r == 0 ? -ETIMEDOUT : 0);
    OK(rn_scope_close(s));
}
