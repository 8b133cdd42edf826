/* The seqlock without fences: the columns are stored with release and loaded with acquire, so
 * whoever sees a new value of one also sees the odd version that was stored before it. On x86-64
 * that costs nothing, and TSan understands it. */
#include "metrics/ledger.h"

#include <base/assert.h>

#define READ_TRIES 1000

static const char *const column_names[] = {
#define X(name) #name,
    FT_LEDGER_COLUMNS(X) FT_DROP_REASONS(X)
#undef X
};

static bool is_source(enum ft_column c)
{
    return c == FT_COLUMN_offered || c == FT_COLUMN_replayed;
}

static void column_set(struct ft_ledger *l, enum ft_column c, uint64_t value)
{
    atomic_store_explicit(&l->columns[c], value, memory_order_release);
}

void ft_ledger_move(struct ft_ledger *l, enum ft_column from, enum ft_column to, uint64_t n)
{
    rn_assert(from != to && !is_source(to));
    if (n == 0)
        return;

    rn_lock_acquire(&l->lock);
    uint64_t version = atomic_load_explicit(&l->version, memory_order_relaxed);
    uint64_t had = atomic_load_explicit(&l->columns[from], memory_order_relaxed);
    rn_assert(is_source(from) || had >= n);
    atomic_store_explicit(&l->version, version + 1, memory_order_relaxed);
    column_set(l, from, is_source(from) ? had + n : had - n);
    column_set(l, to, atomic_load_explicit(&l->columns[to], memory_order_relaxed) + n);
    atomic_store_explicit(&l->version, version + 2,
                          memory_order_release); /* pairs with the acquire in ft_ledger_read() */
    rn_lock_release(&l->lock);
}

void ft_ledger_read(const struct ft_ledger *l, struct ft_ledger_view *view)
{
    struct ft_ledger_view v = {0};

    for (int i = 0; i < READ_TRIES; i++) {
        uint64_t before = atomic_load_explicit(&l->version, memory_order_acquire);

        if (before & 1)
            continue;
        for (int c = 0; c < FT_COLUMN_COUNT; c++)
            v.columns[c] = atomic_load_explicit(&l->columns[c], memory_order_acquire);
        if (atomic_load_explicit(&l->version, memory_order_relaxed) != before)
            continue;
        *view = v;
        return;
    }
    view->stale = true;
}

uint64_t ft_ledger_dropped(const struct ft_ledger_view *v)
{
    uint64_t n = 0;

    for (int c = FT_DROPPED_FIRST; c < FT_COLUMN_COUNT; c++)
        n += v->columns[c];
    return n;
}

int64_t ft_ledger_imbalance(const struct ft_ledger_view *v)
{
    uint64_t difference = 0;

    for (int c = 0; c < FT_COLUMN_COUNT; c++)
        difference += is_source((enum ft_column)c) ? v->columns[c] : -v->columns[c];
    return (int64_t)difference;
}

const char *ft_column_name(enum ft_column c)
{
    return column_names[c];
}
