/* The lanes' metrics, from atomics and seqlocks: the debug server asks, on a thread of its own
 * runtime, while ours may hang. */
#include "metrics/internal.h"

#define OUTCOMES(X) X(offered) X(replayed) X(delivered) X(duplicate) X(dead_lettered)

static const char *item_name(const struct ft_fanout *f, size_t i)
{
    return f->n ? ft_lane_name(f->lanes[i]) : "none";
}

/* One moment of each ledger, for all of the families below. */
static void views_refresh(struct ft_fanout *f)
{
    if (f->n == 0)
        ft_ledger_read(&f->none, &f->seen[0]);
    for (size_t i = 0; i < f->n; i++)
        ft_lane_ledger(f->lanes[i], &f->seen[i]);
}

static void sample_outcome(struct rnet_metrics *out, const char *exporter, const char *label,
                           const char *value, uint64_t n)
{
    const struct rnet_label labels[] = {{"exporter", exporter}, {label, value}};

    rnet_metrics_count(out, labels, 2, n);
}

static void collect_outcomes(struct rnet_metrics *out, const char *exporter,
                             const struct ft_ledger_view *v)
{
#define X(name) sample_outcome(out, exporter, "outcome", #name, v->columns[FT_COLUMN_##name]);
    OUTCOMES(X)
#undef X
    sample_outcome(out, exporter, "outcome", "dropped", ft_ledger_dropped(v));
}

static void collect_reasons(struct rnet_metrics *out, const char *exporter,
                            const struct ft_ledger_view *v)
{
    for (int c = FT_DROPPED_FIRST; c < FT_COLUMN_COUNT; c++)
        sample_outcome(out, exporter, "reason", ft_column_name((enum ft_column)c), v->columns[c]);
}

static void collect_value(struct rnet_metrics *out, const char *exporter, double value)
{
    const struct rnet_label label = {"exporter", exporter};

    rnet_metrics_value(out, &label, 1, value);
}

static bool item_up(const struct ft_fanout *f, size_t i)
{
    return f->n == 0 || ft_lane_state(f->lanes[i]) == FT_LANE_ok;
}

void ft_fanout_collect(struct ft_fanout *f, struct rnet_metrics *out)
{
    const size_t n = ft_fanout_count(f);

    views_refresh(f);
    rnet_metrics_family(out, "fettle_samples_total", RNET_COUNTER,
                        "Samples that came in (offered, replayed), and what became of them.");
    for (size_t i = 0; i < n; i++)
        collect_outcomes(out, item_name(f, i), &f->seen[i]);
    rnet_metrics_family(out, "fettle_samples_dropped_total", RNET_COUNTER,
                        "Dropped samples by reason.");
    for (size_t i = 0; i < n; i++)
        collect_reasons(out, item_name(f, i), &f->seen[i]);
    rnet_metrics_family(out, "fettle_samples_imbalance", RNET_GAUGE,
                        "What the books are out by; reads 0.");
    for (size_t i = 0; i < n; i++)
        collect_value(out, item_name(f, i), (double)ft_ledger_imbalance(&f->seen[i]));
    rnet_metrics_family(out, "fettle_lane_queued", RNET_GAUGE,
                        "Batches that wait for an exporter.");
    for (size_t i = 0; i < n; i++)
        collect_value(out, item_name(f, i), f->n ? (double)ft_lane_queued(f->lanes[i]) : 0);
    rnet_metrics_family(out, "fettle_exporter_up", RNET_GAUGE,
                        "1 while the last call of an exporter went well.");
    for (size_t i = 0; i < n; i++)
        collect_value(out, item_name(f, i), item_up(f, i));
}
