#include <harness/test.h>

#include <pthread.h>

#include "metrics/ledger.h"

TEST(a_move_takes_from_one_column_and_puts_into_another)
{
    struct ft_ledger l = {0};
    struct ft_ledger_view v = {0};

    ft_ledger_move(&l, FT_COLUMN_offered, FT_COLUMN_queued, 10);
    ft_ledger_move(&l, FT_COLUMN_queued, FT_COLUMN_in_flight, 6);
    ft_ledger_move(&l, FT_COLUMN_in_flight, FT_COLUMN_delivered, 5);
    ft_ledger_move(&l, FT_COLUMN_in_flight, FT_DROPPED_rejected, 1);
    ft_ledger_move(&l, FT_COLUMN_queued, FT_DROPPED_overflow, 4);
    ft_ledger_read(&l, &v);
    EQ(v.columns[FT_COLUMN_offered], 10);
    EQ(v.columns[FT_COLUMN_queued], 0);
    EQ(v.columns[FT_COLUMN_in_flight], 0);
    EQ(v.columns[FT_COLUMN_delivered], 5);
    EQ(ft_ledger_dropped(&v), 5);
    EQ(ft_ledger_imbalance(&v), 0);
    STREQ(ft_column_name(FT_COLUMN_dead_lettered), "dead_lettered");
    STREQ(ft_column_name(FT_DROPPED_no_exporter), "no_exporter");
}

ABORT_TEST(taking_more_than_a_column_has_is_a_programming_error, SIGABRT, "assert")
{
    struct ft_ledger l = {0};

    ft_ledger_move(&l, FT_COLUMN_offered, FT_COLUMN_queued, 1);
    ft_ledger_move(&l, FT_COLUMN_queued, FT_COLUMN_delivered, 2);
}

TEST(a_reader_that_finds_the_books_open_for_too_long_shows_the_moment_before)
{
    struct ft_ledger l = {0};
    struct ft_ledger_view v = {0};

    ft_ledger_move(&l, FT_COLUMN_offered, FT_COLUMN_queued, 3);
    ft_ledger_read(&l, &v);
    FALSE(v.stale);
    atomic_fetch_add(&l.version, 1); /* as a writer that stands still in the middle of its work */
    atomic_fetch_add(&l.columns[FT_COLUMN_offered], 1);
    ft_ledger_read(&l, &v);
    TRUE(v.stale);
    EQ(v.columns[FT_COLUMN_offered], 3);
    EQ(ft_ledger_imbalance(&v), 0);
}

struct writer {
    struct ft_ledger *ledger;
    size_t rounds;
};

static void *write_books(void *arg)
{
    struct writer *w = arg;

    for (size_t i = 0; i < w->rounds; i++) {
        ft_ledger_move(w->ledger, FT_COLUMN_offered, FT_COLUMN_queued, 1 + i % 7);
        ft_ledger_move(w->ledger, FT_COLUMN_queued, FT_COLUMN_in_flight, 1 + i % 7);
        ft_ledger_move(w->ledger, FT_COLUMN_in_flight, FT_COLUMN_delivered, 1 + i % 7);
    }
    return NULL;
}

TEST(a_reader_never_sees_a_move_half_done)
{
    struct ft_ledger l = {0};
    struct ft_ledger_view v = {0};
    struct writer w = {&l, test_tasks(200000)};
    pthread_t threads[2];
    uint64_t before = 0;

    for (int i = 0; i < 2; i++)
        EQ(pthread_create(&threads[i], NULL, write_books, &w), 0);
    for (size_t i = 0; i < w.rounds; i++) {
        ft_ledger_read(&l, &v);
        EQ(ft_ledger_imbalance(&v), 0);
        GE(v.columns[FT_COLUMN_delivered], before);
        before = v.columns[FT_COLUMN_delivered];
    }
    for (int i = 0; i < 2; i++)
        EQ(pthread_join(threads[i], NULL), 0);
    ft_ledger_read(&l, &v);
    EQ(v.columns[FT_COLUMN_delivered], v.columns[FT_COLUMN_offered]);
}
