/* The corpus itself can fail: what is expected wrongly is noticed. */
#include <harness/test.h>

#include <string.h>

#include "corpus/corpus.h"

static struct outcome outcome_of(const char *tasks, const char *expected)
{
    const struct program p = {NULL, "a seeded fault", NULL, tasks, expected};
    struct outcome o;

    program_run(&p, 1, &o);
    return o;
}

TEST(a_leak_that_is_not_found_counts_as_missed)
{
    EQ(outcome_of("?c | k>c z1 @", "dw").missed > 0, true);
    EQ(outcome_of("i?c | k>c zF", "sw").missed, 1);
}

TEST(a_task_that_is_called_dead_or_suspect_without_reason_is_a_false_alarm)
{
    EQ(outcome_of("k>a ?a", "w").false_alarms > 0, true);
    EQ(outcome_of("?c | k>c zF", "ww").false_alarms, 1);
    EQ(outcome_of("k>a ?a", "s").false_alarms > 0, true); /* dead is not suspect */
}

TEST(a_task_that_ends_or_does_not_against_expectation_is_wrong)
{
    EQ(outcome_of("z1", "w").wrong, 1);
    EQ(outcome_of("zF", "e").wrong, 1);
    EQ(outcome_of("!c | *c", "ee").wrong, 0);
}

TEST(the_report_of_the_dead_has_their_chain)
{
    const struct outcome o = outcome_of("?a !b | ?b !a", "dd");

    EQ(o.dead, 2);
    TRUE(strstr(o.says, "can never wake: chan receive at machine.c"));
    TRUE(strstr(o.says, "<- sender of the channel opened at machine.c"));
    TRUE(strstr(o.says, " again"));
}

TEST(the_report_of_who_waits_for_a_mutex_names_its_holder)
{
    const struct outcome dead = outcome_of("+a z1 +b | +b z1 +a", "dd"),
                         suspect = outcome_of("z1 +m zF | z2 +m -m", "ws");

    EQ(dead.dead, 2);
    TRUE(strstr(dead.says, "<- what was opened at machine.c"));
    TRUE(strstr(dead.says, " again"));
    EQ(suspect.suspect, 1);
    TRUE(strstr(suspect.says, "1 task is suspect"));
    TRUE(strstr(suspect.says, "<- what was opened at machine.c"));
    TRUE(strstr(suspect.says, ", held by task "));
    TRUE(strstr(suspect.says, "(last used "));
}
