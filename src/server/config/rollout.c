/* One task computes everybody's desired state. A burst of changes is taken as a whole: when "every
 * agent" is among them, the single ones need no look of their own. A sweep gives way every few
 * agents, so that a large fleet does not hold the worker. What could not be computed for want of
 * memory is left to the next sweep, which then comes soon.
 */
#include "config/rollout.h"

#include <errno.h>
#include <string.h>

#include <base/assert.h>
#include <base/cleanup.h>
#include <base/clock.h>
#include <base/log.h>

#include "changes.h"

#define MAGIC 0x726f6c6cu
#define AGENTS_PER_TURN 32
#define SWEEP_RETRY (1 * RN_S)

struct rollout {
    RN_MAGIC;

    /* set once */
    struct ft_rollout_options options;
    struct rn_rx changes;
    int64_t started_ms; /* wall clock */

    /* the task only */
    rn_time next_sweep;
    bool short_of_memory;
};

/* When a group's assignment was made, on the clock of deadlines; 0: before this process. */
static rn_time assigned_since(const struct rollout *ro, const struct ft_group *group)
{
    const int64_t age_ms = wall_ms() - group->assigned_ms;

    if (group->assigned_ms < ro->started_ms)
        return 0;
    return rn_now() - (age_ms > 0 ? age_ms * RN_MS : 0);
}

static int render_for(const struct rollout *ro, const struct ft_group *group,
                      const struct ft_subject *subject, struct ft_desired *desired)
{
    struct ft_syntax_error e;
    const int r = ft_render(ro->options.renderer, group, subject, &desired->rendered, &e);

    if (r == 0 || r == -ENOMEM)
        return r;
    desired->error = strdup(e.text);
    return desired->error ? 0 : -ENOMEM;
}

static int desire(const struct rollout *ro, struct ft_subject *subject)
{
    CLEANUP(ft_group_unrefp)
    struct ft_group *group = ft_catalog_resolve(ro->options.catalog, ft_subject_lookup, subject);
    struct ft_desired desired = {.assignment = group->assignment};

    if (group->version) {
        const int r = render_for(ro, group, subject, &desired);

        if (r < 0)
            return r;
        desired.since = assigned_since(ro, group);
        desired.version = ft_version_ref(group->version);
    }
    return ft_registry_desire(ro->options.registry, &subject->uid, &desired);
}

static int describe(const struct rollout *ro, const struct ft_uuid *uid, struct ft_subject *ret)
{
    CLEANUP(ft_agent_snapshot_fini) struct ft_agent_snapshot snapshot = {0};
    int r = ft_registry_snapshot(ro->options.registry, uid, &snapshot);

    if (r < 0)
        return r;
    r = ft_subject_init(ret, uid, ft_blob_slice(snapshot.description));
    if (r == -EBADMSG || r == -E2BIG) {
        char text[FT_UUID_TEXT_SIZE];

        /* It is an agent all the same; only its attributes are out of reach. */
        ft_uuid_format(uid, text);
        log_warn("an agent's description is not usable: it counts as an agent without attributes",
                 LOG_STR("agent", text), LOG_ERR(r));
        r = ft_subject_init(ret, uid, rn_slice("", 0));
    }
    return r;
}

static void look_at(struct rollout *ro, const struct ft_uuid *uid)
{
    CLEANUP(ft_subject_fini) struct ft_subject subject = {0};
    int r = describe(ro, uid, &subject);

    if (r == 0)
        r = desire(ro, &subject);
    if (r == -ENOMEM)
        ro->short_of_memory = true;
}

static int sweep(struct rollout *ro)
{
    CLEANUP(freep) struct ft_uuid *uids = NULL;
    size_t n = 0;
    int r = ft_registry_uids(ro->options.registry, &uids, &n);

    ro->short_of_memory = r < 0;
    for (size_t i = 0; i < n; i++) {
        look_at(ro, &uids[i]);
        if (i % AGENTS_PER_TURN == AGENTS_PER_TURN - 1 && (r = rn_yield()) < 0)
            return r;
    }
    (void)ft_renderer_prune(ro->options.renderer);
    return 0;
}

/* Look at those who changed. Returns 1 when it has to be everybody. */
static int take_changes(struct rollout *ro, struct ft_uuid uid)
{
    for (size_t i = 0; i < FT_CHANGES_MAX; i++) {
        if (ft_uuid_is_zero(&uid))
            return 1;
        look_at(ro, &uid);
        if (rn_rx_try_recv(ro->changes, &uid) < 0)
            return 0;
    }
    return 1;
}

static int rollout_run(struct rollout *ro)
{
    struct ft_uuid uid;
    int r = 1; /* whoever is in the registry already */

    for (;;) {
        if (r == 1) {
            r = sweep(ro);
            if (r < 0)
                return r;
            ro->next_sweep = rn_after(ro->options.sweep);
        }
        if (ro->short_of_memory && ro->next_sweep > rn_after(SWEEP_RETRY))
            ro->next_sweep = rn_after(SWEEP_RETRY);

        r = rn_rx_recv(ro->changes, &uid, ro->next_sweep);
        if (r == 0)
            r = take_changes(ro, uid);
        else if (r == -ETIMEDOUT)
            r = 1;
        else
            return r;
    }
}

static int rollout_main(void *arg)
{
    struct rollout *ro = arg;
    int r;

    RN_CHECK(ro, MAGIC);
    r = rollout_run(ro);
    (void)rn_rx_close(ro->changes);
    free(ro);
    return r == -EPIPE ? 0 : r;
}

int ft_rollout_start(struct rn_scope scope, const struct ft_rollout_options *options,
                     struct rn_rx changes)
{
    static const struct rn_task_options task = {.name = "rollout", .stack = RN_STACK_64K};
    const struct rn_end ends[] = {rn_end_rx(changes)};
    struct rollout *ro = calloc(1, sizeof(*ro));
    int r;

    if (!ro)
        return -ENOMEM;
    ro->magic = MAGIC;
    ro->options = *options;
    if (!ro->options.sweep)
        ro->options.sweep = FT_ROLLOUT_SWEEP;
    ro->changes = changes;
    ro->started_ms = wall_ms();
    r = rn_go_with(&task, scope, rollout_main, ro, ends, 1);
    if (r < 0)
        free(ro);
    return r;
}
