/* A lane's books: every sample stands in exactly one column, at every moment.
 *
 *     offered, replayed --> queued --> in_flight --> delivered | duplicate | dead_lettered
 *                               |          |
 *                               +----------+-------> dropped{reason}
 *
 * ft_ledger_move() is the only function that changes them: it takes n from one column and puts n
 * into another. The two sources only grow: taking from a source means that n more came in. So the
 * sum of the sources is always the sum of the rest; ft_ledger_imbalance() shows the difference all
 * the same.
 *
 * A seqlock: writers exclude one another by a short lock, readers take none (also from another
 * runtime) and see one moment.
 */
#pragma once

#include <runnel/base.h>
#include <runnel/lock.h>

/* X(name): a column of its own, in samples */
#define FT_LEDGER_COLUMNS(X)                                                                       \
    X(offered) X(replayed) X(delivered) X(duplicate)                                               \
    X(dead_lettered) X(queued) X(in_flight) X(on_disk)

/* X(name): why samples were dropped */
#define FT_DROP_REASONS(X)                                                                         \
    X(overflow)    /* the lane was full */                                                         \
    X(expired)     /* older than the lane's age_max before the other side took it */               \
    X(rejected)    /* the exporter will never take it */                                           \
    X(shutdown)    /* the server stopped before it was sent; the agent still keeps it */           \
    X(no_exporter) /* nobody wanted it */

enum ft_column {
#define X(name) FT_COLUMN_##name,
    FT_LEDGER_COLUMNS(X)
#undef X
#define X(name) FT_DROPPED_##name,
    FT_DROP_REASONS(X)
#undef X
    FT_COLUMN_COUNT,
};
#define FT_DROPPED_FIRST FT_DROPPED_overflow

struct ft_ledger {
    struct rn_lock lock;      /* of the writers */
    _Atomic uint64_t version; /* odd: being changed */
    _Atomic uint64_t columns[FT_COLUMN_COUNT];
};

/* One moment of a ledger. Zero-initialise it; it keeps the last one that could be read. */
struct ft_ledger_view {
    uint64_t columns[FT_COLUMN_COUNT];
    bool stale; /* the last read gave up: this is an older moment */
};

/* All zero is an empty ledger. From any task or callback; a column that has fewer than n is an
 * assertion. */
void ft_ledger_move(struct ft_ledger *l, enum ft_column from, enum ft_column to, uint64_t n);

/* Bring the view up to date. After 1,000 tries in vain it stays as it was and is marked stale. From
 * any thread, lock-free. */
void ft_ledger_read(const struct ft_ledger *l, struct ft_ledger_view *view);

uint64_t ft_ledger_dropped(const struct ft_ledger_view *v);  /* for all reasons */
int64_t ft_ledger_imbalance(const struct ft_ledger_view *v); /* sources - the rest */
const char *
ft_column_name(enum ft_column c); /* "delivered"; of the dropped the reason: "overflow" */
