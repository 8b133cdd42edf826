/* Mutexes, semaphores, wait groups and once, as Go's sync tests and sema_test.go know them. What
 * they guard is plain memory, so that under TSan a missing order is a race; what they don't is
 * atomic. */
#include "conformance/conformance_testing.h"

/* ---- Mutexes --------------------------------------------------------------------------------- */

struct hammered {
    struct rn_mutex mutex;
    int inside, locked;
    _Atomic int refused;
};

static int hammers(void *arg)
{
    struct hammered *h = arg;

    for (int i = 0; i < 60; i++) {
        const int r = rn_mutex_lock(h->mutex, i % 3 ? RN_FOREVER : 0);
        if (r == -ETIMEDOUT && i % 3 == 0) {
            h->refused++;
            OK(rn_yield());
            continue;
        }
        OK(r);
        EQ(h->inside++, 0);
        OK(i % 4 ? rn_yield() : rn_sleep(rn_after(RN_US)));
        EQ(--h->inside, 0);
        h->locked++;
        OK(rn_mutex_unlock(h->mutex));
    }
    return 0;
}

SIM_TEST(locks_and_tries_of_many_never_meet_inside_a_mutex, SEEDS)
{
    enum { N = 10 };
    struct hammered h = {0};
    SCOPE(s);

    OK(rn_mutex_open(s, &h.mutex));
    OK(rn_mutex_lock(h.mutex, 0));
    ERR(rn_mutex_lock(h.mutex, 0), EDEADLK);
    OK(rn_mutex_unlock(h.mutex));
    for (int i = 0; i < N; i++)
        OK(GO0(s, hammers, &h));
    OK(rn_scope_wait(s));
    EQ(h.locked + h.refused, N * 60);
    GE(h.locked, N * 40);
    GT(h.refused, 0);
    OK(rn_mutex_lock(h.mutex, 0)); /* nobody has it any more */
}

struct fair {
    struct rn_mutex mutex;
    _Atomic bool stop;
    _Atomic int turns;
};

static int keeps_it_long(void *arg)
{
    struct fair *f = arg;

    while (!f->stop) {
        OK(rn_mutex_lock(f->mutex, RN_FOREVER));
        OK(rn_sleep(rn_after(100 * RN_US)));
        OK(rn_mutex_unlock(f->mutex));
        f->turns++;
    }
    return 0;
}

SIM_TEST(who_comes_now_and_then_is_not_starved_by_one_that_keeps_a_mutex, SEEDS)
{
    struct fair f = {0};
    SCOPE(s);

    OK(rn_mutex_open(s, &f.mutex));
    OK(GO0(s, keeps_it_long, &f));
    for (int i = 0; i < 10; i++) {
        OK(rn_sleep(rn_after((rn_time)(1 + dice(&seed, 300)) * RN_US)));
        const int before = f.turns;
        const rn_time when = rn_now();
        OK(rn_mutex_lock(f.mutex, RN_FOREVER));
        LE(f.turns - before, 1);
        LE(rn_now() - when, 200 * RN_US);
        OK(rn_mutex_unlock(f.mutex));
    }
    f.stop = true;
    OK(rn_scope_wait(s));
}

/* ---- Semaphores ------------------------------------------------------------------------------ */

struct taker {
    struct rn_sem sem;
    _Atomic bool has;
};

static int takes(void *arg)
{
    struct taker *t = arg;

    OK(rn_sem_take(t->sem, 1, RN_FOREVER));
    t->has = true;
    return 0;
}

SIM_TEST(a_unit_goes_to_who_waits_and_not_back_to_who_gives_it, SEEDS)
{
    struct taker first = {0}, second = {0};
    SCOPE(s);

    OK(rn_sem_open(s, 1, &first.sem));
    second.sem = first.sem;
    for (int round = 0; round < 5; round++) {
        first.has = second.has = false;
        OK(rn_sem_take(first.sem, 1, RN_FOREVER));
        OK(GO0(s, takes, &first));
        TASK_UNTIL(tasks_parked() == 1);
        OK(rn_sem_give(first.sem, 1));
        ERR(rn_sem_take(first.sem, 1, 0), ETIMEDOUT); /* although the other didn't run yet */
        OK(GO0(s, takes, &second));                   /* nor does anybody else get it */
        TASK_UNTIL(first.has && tasks_parked() == 1);
        FALSE(second.has);
        OK(rn_sem_give(first.sem, 1)); /* as `first` would */
        OK(rn_scope_wait(s));
        TRUE(second.has);
        OK(rn_sem_give(first.sem, 1)); /* and as `second` */
    }
}

/* What a lock for readers and writers is here: a reader takes one unit, a writer all. */
enum { READERS = 8 };

struct shelf {
    struct rn_sem sem;
    struct rn_group all_in;
    int writers, writes;
    _Atomic int readers, most, reads;
};

static int reads(void *arg)
{
    struct shelf *l = arg;

    for (int i = 0; i < 20; i++) {
        OK(rn_sem_take(l->sem, 1, RN_FOREVER));
        l->most = ++l->readers > l->most ? l->readers : l->most;
        EQ(l->writers, 0);
        OK(rn_yield());
        l->readers--;
        l->reads++;
        OK(rn_sem_give(l->sem, 1));
    }
    return 0;
}

static int writes(void *arg)
{
    struct shelf *l = arg;

    for (int i = 0; i < 20; i++) {
        OK(rn_sem_take(l->sem, READERS, RN_FOREVER));
        EQ(++l->writers, 1);
        EQ(l->readers, 0);
        OK(rn_yield());
        l->writers--;
        l->writes++;
        OK(rn_sem_give(l->sem, READERS));
    }
    return 0;
}

SIM_TEST(readers_share_a_semaphore_and_a_writer_has_it_alone, SEEDS)
{
    struct shelf l = {0};
    SCOPE(s);

    OK(rn_sem_open(s, READERS, &l.sem));
    for (int i = 0; i < READERS; i++)
        OK(GO0(s, reads, &l));
    OK(GO0(s, writes, &l));
    OK(GO0(s, writes, &l));
    OK(rn_scope_wait(s));
    EQ(l.reads, READERS * 20);
    EQ(l.writes, 2 * 20);
    GT(l.most, 1);
}

static int reads_with_all_others(void *arg)
{
    struct shelf *l = arg;

    OK(rn_sem_take(l->sem, 1, RN_FOREVER));
    OK(rn_group_done(l->all_in));
    OK(rn_group_wait(l->all_in, RN_FOREVER)); /* ends only if all can be inside at once */
    return rn_sem_give(l->sem, 1);
}

SIM_TEST(all_readers_are_inside_at_once, SEEDS)
{
    struct shelf l = {0};
    SCOPE(s);

    OK(rn_sem_open(s, READERS, &l.sem));
    OK(rn_group_open(s, READERS, &l.all_in));
    for (int i = 0; i < READERS; i++)
        OK(GO0(s, reads_with_all_others, &l));
    OK(rn_scope_wait(s));
}

/* ---- Wait groups ----------------------------------------------------------------------------- */

enum { WORKERS = 16 };

struct rounds {
    struct rn_group begin, end;
    _Atomic int exited;
};

static int meets_the_others(void *arg)
{
    struct rounds *r = arg;

    OK(rn_group_done(r->begin));
    OK(rn_group_wait(r->end, RN_FOREVER));
    r->exited++;
    return 0;
}

SIM_TEST(a_wait_group_holds_all_until_the_last_and_serves_again, SEEDS)
{
    struct rounds r = {0};
    SCOPE(s);

    OK(rn_group_open(s, 0, &r.begin));
    OK(rn_group_open(s, 0, &r.end));
    for (int round = 0; round < 8; round++) {
        r.exited = 0;
        OK(rn_group_add(r.begin, WORKERS));
        OK(rn_group_add(r.end, WORKERS));
        for (int i = 0; i < WORKERS; i++)
            OK(GO0(s, meets_the_others, &r));
        OK(rn_group_wait(r.begin, RN_FOREVER));
        for (int i = 0; i < WORKERS; i++) {
            EQ(r.exited, 0);
            OK(rn_group_done(r.end));
            if (i < WORKERS - 1) /* there's time for who goes too early */
                OK(rn_sleep(rn_after(RN_US)));
        }
        OK(rn_scope_wait(s));
        EQ(r.exited, WORKERS);
    }
}

struct part {
    struct rn_group group;
    int *mine;
};

static int does_its_part(void *arg)
{
    struct part *p = arg;

    *p->mine = 1;
    return rn_group_done(p->group);
}

SIM_TEST(what_was_done_before_is_seen_after_the_wait_for_it, SEEDS)
{
    SCOPE(s);

    for (int i = 0; i < 50; i++) {
        int done[2] = {0};
        struct part a = {.mine = &done[0]}, b;
        OK(rn_group_open(s, 0, &a.group));
        b = (struct part){a.group, &done[1]};
        OK(rn_group_add(a.group, 1));
        OK(GO0(s, does_its_part, &a));
        OK(rn_group_add(a.group, 1));
        OK(GO0(s, does_its_part, &b));
        OK(rn_group_wait(a.group, RN_FOREVER));
        EQ(done[0] + done[1], 2);
        OK(rn_group_close(a.group));
    }
    OK(rn_scope_wait(s));
}

/* ---- Once ------------------------------------------------------------------------------------ */

struct thing {
    struct rn_once once;
    _Atomic int tries, told;
};

static int is_long_at_it(void *arg)
{
    struct thing *t = arg;

    t->tries++;
    return rn_sleep(rn_after(RN_S)); /* succeeds, unless it is cancelled */
}

static int needs(void *arg)
{
    struct thing *t = arg;

    t->told += rn_once_do(t->once, is_long_at_it, t, RN_FOREVER) == -ECANCELED;
    return 0;
}

SIM_TEST(a_once_whose_task_is_cancelled_inside_is_not_tried_again, SEEDS)
{
    struct thing t = {0};
    SCOPE(first);
    SCOPE(others);

    OK(rn_once_open(rn_scope_self(), &t.once));
    OK(GO0(first, needs, &t));
    TASK_UNTIL(t.tries == 1);
    for (int i = 0; i < 9; i++)
        OK(GO0(others, needs, &t));
    OK(rn_yield());
    OK(rn_scope_cancel(first)); /* in the middle of its function */
    OK(rn_scope_wait(others));
    EQ(t.tries, 1);
    EQ(t.told, 10);
    ERR(rn_once_do(t.once, is_long_at_it, &t, 0), ECANCELED); /* what it returned is kept */
    EQ(t.tries, 1);
}
