#include <errno.h>

#include <harness/task_test.h>

#include <runnel/runnel.h>

static _Atomic int destroyed, last;

static void notes(void *value)
{
    destroyed++;
    last = *(int *)value;
}

static const struct rn_local noted = {.destroy = notes};
static const struct rn_local plain = {0};
static int one = 1, two = 2;

static int begins_with_none(void *arg)
{
    (void)arg;
    TRUE(rn_local_get(&noted) == NULL);
    OK(rn_local_set(&noted, &two));
    OK(rn_yield());
    TRUE(rn_local_get(&noted) == &two);
    return 0;
}

SIM_TEST(each_task_has_values_of_its_own_until_it_ends, 50)
{
    struct rn_scope s;

    destroyed = last = 0;
    OK(rn_local_set(&noted, &one));
    OK(rn_local_set(&plain, &two));
    OK(rn_scope_open(0, &s));
    OK(rn_go(s, begins_with_none, NULL, NULL, 0));
    OK(rn_go(s, begins_with_none, NULL, NULL, 0));
    OK(rn_scope_wait(s));
    EQ(destroyed, 2);
    TRUE(rn_local_get(&noted) == &one);
    TRUE(rn_local_get(&plain) == &two);
    OK(rn_local_set(&noted, &one)); /* the same: nothing happens */
    EQ(destroyed, 2);
    OK(rn_local_set(&noted, &two));
    EQ(destroyed, 3);
    EQ(last, 1);
    TRUE(rn_local_take(&noted) == &two);
    EQ(destroyed, 3);
    TRUE(rn_local_take(&noted) == NULL);
    OK(rn_local_set(&plain, NULL));
    TRUE(rn_local_get(&plain) == NULL);
    OK(rn_scope_close(s));
}

static void opens(void *value)
{
    struct rn_scope s;

    OK(rn_scope_open(0, &s));
    OK(rn_local_set(&noted, value));
}

static const struct rn_local opening = {.destroy = opens};

static int has_one_that_opens(void *arg)
{
    (void)arg;
    return rn_local_set(&opening, &one);
}

SIM_TEST(what_a_destructor_opens_and_sets_is_taken_down_too, 10)
{
    struct rn_scope s;

    destroyed = last = 0;
    OK(rn_scope_open(0, &s));
    OK(rn_go(s, has_one_that_opens, NULL, NULL, 0));
    OK(rn_scope_close(s));
    EQ(destroyed, 1);
    EQ(last, 1);
}

static _Atomic int order;

static void ends_late(void *value)
{
    order = order * 10 + *(int *)value;
}
static const struct rn_local late = {.destroy = ends_late};

/* A destructor may wait, and set: what it sets is destroyed, too. */
static void ends_first(void *value)
{
    order = order * 10 + *(int *)value;
    OK(rn_yield());
    OK(rn_local_set(&late, &two));
}
static const struct rn_local first = {.destroy = ends_first};

static int sets(void *arg)
{
    (void)arg;
    OK(rn_local_set(&late, &one));
    return rn_local_set(&first, &one);
}

TASK_TEST(locals_are_destroyed_in_reverse_and_a_destructor_may_wait_and_set)
{
    struct rn_scope s;

    OK(rn_scope_open(0, &s));
    OK(rn_go(s, sets, NULL, NULL, 0));
    OK(rn_scope_wait(s));
    OK(rn_scope_close(s));
    EQ(order, 112); /* first; the old value of late, replaced by first; late */
}

TEST(a_plain_thread_has_no_locals)
{
    ERR(rn_local_set(&plain, &one), EPERM);
    TRUE(rn_local_get(&plain) == NULL);
    TRUE(rn_local_take(&plain) == NULL);
}
