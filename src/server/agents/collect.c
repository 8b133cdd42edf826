/* What the sessions and the registry show at /metrics. Atomics only: read on the debug thread. */
#include "agents/session.h"

#include <proto/names.h>

static void collect_agents(const struct ft_sessions *s, struct rnet_metrics *out)
{
    struct ft_registry_counts counts;

    ft_registry_counts(s->registry, &counts);
    rnet_metrics_family(out, "fettle_agents", RNET_GAUGE, "Agents that are known, by status.");
    for (unsigned i = 0; i < FT_LIVENESS_COUNT; i++)
        rnet_metrics_count(out, &(struct rnet_label){"status", ft_liveness_name(i)}, 1,
                           counts.agents[i]);
    rnet_metrics_family(out, "fettle_config_status", RNET_GAUGE,
                        "Agents by the status of their configuration.");
    for (unsigned i = 0; i < 4; i++)
        rnet_metrics_count(out, &(struct rnet_label){"status", ft_status_name((int)i)}, 1,
                           counts.status[i]);
}

static void collect_messages(const struct ft_sessions *s, struct rnet_metrics *out)
{
    static const char *const kinds[] = {
#define X(name) #name,
        FT_MESSAGE_KINDS(X)
#undef X
    };

    rnet_metrics_family(out, "fettle_agent_messages_total", RNET_COUNTER, "Messages from agents.");
    for (unsigned k = 0; k < FT_KIND_COUNT; k++) {
        struct rnet_label labels[] = {{"transport", ft_transport_name(FT_TRANSPORT_TCP)},
                                      {"type", kinds[k]}};
        rnet_metrics_count(out, labels, 2, atomic_load(&s->messages[FT_TRANSPORT_TCP][k]));
    }
}

void ft_sessions_collect(const struct ft_sessions *s, struct rnet_metrics *out)
{
    collect_agents(s, out);
    collect_messages(s, out);
    rnet_metrics_counter(out, "fettle_config_pushes_total", "Configurations offered to agents.",
                         atomic_load(&s->pushes));
    rnet_metrics_family(out, "fettle_config_apply_seconds", RNET_HISTOGRAM,
                        "From the assignment to APPLIED.");
    rnet_metrics_histogram(out, NULL, 0, ft_registry_apply_seconds(s->registry));
}
