#include <errno.h>

#include <harness/task_test.h>

#include "core.h"

TEST(words_of_neighbours_lie_in_different_cache_lines)
{
    bool seen[256] = {false};

    for (uint32_t id = 0; id < 256; id++) {
        LT(rn__word_index(id), 256u);
        FALSE(seen[rn__word_index(id)]);
        seen[rn__word_index(id)] = true;
        NE(rn__word_index(id) / 8, rn__word_index(id + 1) / 8);
    }
}

TASK_TEST(a_wait_has_one_winner)
{
    struct rn__key key = rn__wait_begin();

    TRUE(rn__open(key));
    TRUE(rn__claim(key, 3));
    FALSE(rn__claim(key, 4));
    FALSE(rn__open(key));
    rn__ready(key.id);
    EQ(rn__park(&(struct rn__wait){.kind = RN_WAIT_SLEEP}, RN_FOREVER, false), 3u);
}

TASK_TEST(a_key_of_an_earlier_wait_is_dead)
{
    struct rn__key old = rn__wait_begin(), new;

    rn__wait_abandon();
    FALSE(rn__claim(old, 1));
    new = rn__wait_begin();
    FALSE(rn__claim(old, 1));
    TRUE(rn__claim(new, 2));
    rn__ready(new.id);
    EQ(rn__park(&(struct rn__wait){.kind = RN_WAIT_SLEEP}, RN_FOREVER, false), 2u);
}

static _Atomic uint32_t parked_id, parked_winner;
static _Atomic uint64_t parked_epoch;

static struct rn__key parked_key(void)
{
    return (struct rn__key){parked_id, parked_epoch};
}

static int park_for_ever(void *arg)
{
    struct rn__key key = rn__wait_begin();

    parked_id = key.id;
    parked_epoch = key.epoch;
    parked_winner = rn__park(&(struct rn__wait){.kind = RN_WAIT_SLEEP}, RN_FOREVER, arg != NULL);
    return 0;
}

TASK_TEST(a_parked_task_runs_again_with_the_winner_of_its_wait)
{
    struct rn_scope s;
    struct rn_stats stats;

    OK(rn_scope_open(0, &s));
    OK(rn_go(s, park_for_ever, NULL, NULL, 0));
    OK(rn_yield());
    rn_stats(rn_runtime_self(), &stats);
    EQ(stats.tasks_parked, 1u);
    TRUE(rn__claim(parked_key(), 77));
    FALSE(rn__claim(parked_key(), 78));
    rn__ready(parked_id);
    OK(rn_scope_close(s));
    EQ(parked_winner, 77u);
}

TASK_TEST(a_cancel_wins_unless_the_wait_is_uncancellable)
{
    struct rn_scope s;

    OK(rn_scope_open(0, &s));
    OK(rn_go(s, park_for_ever, NULL, NULL, 0));
    OK(rn_yield());
    OK(rn_scope_close(s));
    EQ(parked_winner, (unsigned)RN__WIN_CANCEL);

    OK(rn_scope_open(0, &s));
    OK(rn_go(s, park_for_ever, &s, NULL, 0));
    OK(rn_yield());
    OK(rn_scope_cancel(s));
    OK(rn_yield());
    TRUE(rn__open(parked_key()));
    TRUE(rn__claim(parked_key(), 5));
    rn__ready(parked_id);
    OK(rn_scope_close(s));
    EQ(parked_winner, 5u);
}

TASK_TEST(a_park_in_a_cancelled_scope_returns_at_once_every_time)
{
    OK(rn_scope_cancel(rn_scope_self()));
    for (int i = 0; i < 3; i++)
        ERR(rn_sleep(RN_FOREVER), ECANCELED);
    ERR(rn_cancelled(), ECANCELED);
    ERR(rn_yield(), ECANCELED);
}
