#include <base/assert.h>

#include <stddef.h>

#include <harness/test.h>

struct thing {
    RN_MAGIC;
};

TEST(a_true_assert_does_nothing)
{
    struct thing thing = {.magic = 0x7417};
    int evaluated = 0;

    rn_assert(++evaluated == 1);
    RN_CHECK(&thing, 0x7417u);
    EQ(evaluated, 1);
}

ABORT_TEST(a_false_assert_aborts_and_says_what, SIGABRT, "assertion failed: 1 + 1 == 3")
{
    rn_assert(1 + 1 == 3);
}

ABORT_TEST(a_wrong_magic_aborts, SIGABRT, "assertion failed: (&thing)->magic == (2u)")
{
    struct thing thing = {.magic = 1};

    RN_CHECK(&thing, 2u);
}

ABORT_TEST(no_object_at_all_aborts, SIGABRT, "!= NULL")
{
    struct thing *thing = NULL;

    RN_CHECK(thing, 2u);
}

#ifndef RN_DEBUG
TEST(a_slow_assert_costs_nothing_in_release)
{
    int evaluated = 0;

    rn_assert_slow(++evaluated);
    EQ(evaluated, 0);
}
#endif
