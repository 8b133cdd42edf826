/* The lanes' metrics, from atomics and seqlocks: the debug server asks, on a thread of its own
 * runtime, while ours may hang. */
#include "metrics/internal.h"

#define OUTCOMES(X) X(offered) X(replayed) X(delivered) X(duplicate) X(dead_lettered)

static const char *item_name(const struct ft_lane_set *s, size_t i)
{
    return i < s->n_all ? ft_lane_name(s->items[i].lane) : "none";
}

/* One moment of each ledger, for all of the families below. */
static void views_refresh(struct ft_fanout *f, struct ft_lane_set *s)
{
    if (s->n == 0)
        ft_ledger_read(&f->none, &s->seen[s->n_all]);
    for (size_t i = 0; i < s->n_all; i++)
        ft_lane_ledger(s->items[i].lane, &s->seen[i]);
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

static bool item_up(const struct ft_lane_set *s, size_t i)
{
    return i == s->n_all || ft_lane_state(s->items[i].lane) == FT_LANE_ok;
}

static double item_queued(const struct ft_lane_set *s, size_t i)
{
    return i < s->n_all ? (double)ft_lane_queued(s->items[i].lane) : 0;
}

void ft_fanout_collect(struct ft_fanout *f, struct rnet_metrics *out)
{
    struct ft_lane_set *s = ft_fanout_lanes(f);
    const size_t n = ft_lane_set_count(s);

    views_refresh(f, s);
    rnet_metrics_family(out, "fettle_samples_total", RNET_COUNTER,
                        "Samples that came in (offered, replayed), and what became of them.");
    for (size_t i = 0; i < n; i++)
        collect_outcomes(out, item_name(s, i), &s->seen[i]);
    rnet_metrics_family(out, "fettle_samples_dropped_total", RNET_COUNTER,
                        "Dropped samples by reason.");
    for (size_t i = 0; i < n; i++)
        collect_reasons(out, item_name(s, i), &s->seen[i]);
    rnet_metrics_family(out, "fettle_samples_imbalance", RNET_GAUGE,
                        "What the books are out by; reads 0.");
    for (size_t i = 0; i < n; i++)
        collect_value(out, item_name(s, i), (double)ft_ledger_imbalance(&s->seen[i]));
    rnet_metrics_family(out, "fettle_lane_queued", RNET_GAUGE,
                        "Batches that wait for an exporter.");
    for (size_t i = 0; i < n; i++)
        collect_value(out, item_name(s, i), item_queued(s, i));
    rnet_metrics_family(out, "fettle_exporter_up", RNET_GAUGE,
                        "1 while the last call of an exporter went well.");
    for (size_t i = 0; i < n; i++)
        collect_value(out, item_name(s, i), item_up(s, i));
    ft_lane_set_unref(s);
}
