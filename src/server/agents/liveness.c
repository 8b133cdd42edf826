#include "agents/liveness.h"

#include <errno.h>
#include <stdlib.h>

#include <base/cleanup.h>

#include <proto/names.h>

#include "agents/agent.h"

#define LOOK_EVERY (RN_S / 2)
#define GRACE_MIN (2 * RN_S)
#define CLOSES_MAX 256 /* connections closed in one look at a shard; the rest goes with the next   \
                        */

struct look {
    const struct ft_liveness_options *o;
    rn_time now;
    size_t n_closes;
    struct rnet_conn closes[CLOSES_MAX];
};

unsigned ft_heartbeats_missed(rn_time silent, rn_time interval)
{
    rn_time grace = interval / 2 > GRACE_MIN ? interval / 2 : GRACE_MIN;

    return silent < interval + grace ? 0 : (unsigned)((silent - grace) / interval);
}

static void change(struct look *l, struct ft_agent *a, enum ft_liveness to)
{
    ft_agent_set_liveness_locked(l->o->registry, a, to);
    ft_agent_publish_locked(l->o->registry, a, FT_EVENT_agent_status);
}

static void look_at_silence(struct look *l, struct ft_agent *a)
{
    if (a->liveness == FT_LIVENESS_OFFLINE)
        return;
    unsigned missed = ft_heartbeats_missed(l->now - a->last_seen, a->interval);
    if (missed == 0)
        return;
    if (missed < 3) {
        if (a->liveness == FT_LIVENESS_ONLINE)
            change(l, a, FT_LIVENESS_STALE);
        return;
    }
    if (a->conn.gen && l->n_closes == CLOSES_MAX)
        return;
    if (a->conn.gen)
        l->closes[l->n_closes++] = a->conn;
    change(l, a, FT_LIVENESS_OFFLINE);
    a->bits |= FT_AGENT_DIRTY;
}

static void look_at_applying(struct look *l, struct ft_agent *a)
{
    if (a->status != FT_STATUS_APPLYING || (a->bits & FT_AGENT_TIMED_OUT) ||
        l->now - a->applying_since <
            atomic_load_explicit(l->o->apply_timeout, memory_order_relaxed))
        return;
    a->bits |= FT_AGENT_TIMED_OUT | FT_AGENT_DIRTY;
    if (ft_agent_reports_desired_locked(a))
        a->failed = a->offered ? a->offered : a->assignment;
    ft_agent_settle_locked(l->o->registry, a);
}

static bool look_at(void *arg, struct ft_agent *a)
{
    look_at_silence(arg, a);
    look_at_applying(arg, a);
    return true;
}

/* Everybody once; between two shards others get their turn. */
static int look_at_all(struct look *l)
{
    int r = 0;

    for (unsigned shard = 0; r == 0 && shard < FT_REGISTRY_SHARDS; shard++) {
        l->now = rn_now();
        l->n_closes = 0;
        ft_agents_each_locked(l->o->registry, shard, look_at, l);
        for (size_t i = 0; i < l->n_closes; i++)
            (void)rnet_conn_send_close(l->closes[i], RNET_REASON_IDLE_TIMEOUT);
        r = rn_yield();
    }
    return r;
}

static int liveness_task(void *arg)
{
    CLEANUP(freep) struct look *l = arg;
    int r = 0;

    while (r == 0) {
        r = look_at_all(l);
        if (r == 0)
            r = rn_sleep(rn_after(LOOK_EVERY));
    }
    return r == -ECANCELED ? 0 : r;
}

int ft_liveness_start(struct rn_scope scope, const struct ft_liveness_options *options)
{
    struct {
        struct look look;
        struct ft_liveness_options options;
    } *both = calloc(1, sizeof(*both));

    if (!both)
        return -ENOMEM;
    both->options = *options;
    both->look.o = &both->options;
    int r = rn_go(scope, liveness_task, &both->look, NULL, 0);
    if (r < 0)
        free(both);
    return r;
}
