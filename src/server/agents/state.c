/* What a message changes in the record: OpAMP's compressed status, piece by piece. A piece that is
 * absent is unchanged, but in a message that holds the whole state: there it does not exist. */
#include <string.h>

#include <base/clock.h>

#include <proto/names.h>

#include "agents/session.h"

/* The new one goes into the record, the old one with the message. */
static bool exchange(struct ft_blob **slot, struct ft_blob **in)
{
    struct ft_blob *old = *slot;
    bool changed = old != *in && !rn_slice_eq(ft_blob_slice(old), ft_blob_slice(*in));

    *slot = *in;
    *in = old;
    return changed;
}

/* ---- sequence ---- */

/* Everything that an agent with these capabilities has to report; or the answer to ReportFullState,
 * for which the agent sends whatever it has. */
static bool is_whole(const struct ft_session *s, const struct ft_incoming *in)
{
    const Opamp__Proto__AgentToServer *m = in->full;
    uint64_t caps = in->head.capabilities;

    if (!m || !m->agent_description)
        return false;
    if (s->bits & FT_SESSION_FULL_ASKED)
        return true;
    return (m->effective_config || !(caps & FT_AGENT_REPORTS_EFFECTIVE_CONFIG)) &&
           (m->remote_config_status || !(caps & FT_AGENT_REPORTS_REMOTE_CONFIG)) &&
           (m->health || !(caps & FT_AGENT_REPORTS_HEALTH));
}

/* A message is missing, perhaps with a status: what is known may be old. */
static void lose_state_locked(struct ft_session *s)
{
    s->agent->bits &= ~(uint32_t)(FT_AGENT_STATE_KNOWN | FT_AGENT_CONFIG_KNOWN);
    if (s->bits & FT_SESSION_FULL_ASKED) /* once per connection: then it may have never had one */
        s->waits_until = rn_loop_now() + FT_CONFIG_WAIT;
    else
        s->bits |= FT_SESSION_FULL_WANTED;
}

/* sequence_num grows by one with each message; anything else, or an agent whose state we don't
 * have, asks for the whole state. Returns whether this is it. */
static bool take_sequence_locked(struct ft_session *s, const struct ft_incoming *in)
{
    struct ft_agent *a = s->agent;
    bool unbroken = (a->bits & FT_AGENT_SEQ_VALID) && in->head.sequence_num == a->sequence_num + 1;
    bool whole = is_whole(s, in);

    a->sequence_num = in->head.sequence_num;
    a->bits |= FT_AGENT_SEQ_VALID;
    if (whole) {
        a->bits |= FT_AGENT_STATE_KNOWN | FT_AGENT_CONFIG_KNOWN;
        s->bits &= ~(uint32_t)(FT_SESSION_FULL_WANTED | FT_SESSION_FULL_ASKED);
        s->full_at = 0;
    } else if (!unbroken) {
        lose_state_locked(s);
    } else if (a->bits & FT_AGENT_STATE_KNOWN) {
        a->bits |= FT_AGENT_CONFIG_KNOWN;
    } else if (!(s->bits & FT_SESSION_FULL_ASKED)) {
        s->bits |= FT_SESSION_FULL_WANTED;
    }
    return whole;
}

/* ---- configuration ---- */

static void forget_config_status_locked(struct ft_agent *a)
{
    a->status = FT_STATUS_UNSET;
    a->bits &= ~(uint32_t)(FT_AGENT_HAS_REPORTED | FT_AGENT_TIMED_OUT);
    a->bits |= FT_AGENT_DIRTY;
}

void ft_session_assume_unconfigured_locked(struct ft_session *s)
{
    if (s->agent->bits & FT_AGENT_CONFIG_KNOWN)
        return;
    forget_config_status_locked(s->agent);
    s->agent->bits |= FT_AGENT_CONFIG_KNOWN;
    ft_agent_settle_locked(s->owner->registry, s->agent);
}

static void take_applied_locked(struct ft_session *s)
{
    struct ft_agent *a = s->agent;
    bool was_shown = a->shown_status == FT_STATUS_APPLIED;
    rn_time took = rn_loop_now() - a->desired_since;

    a->applied_hash = a->reported_hash;
    a->bits |= FT_AGENT_HAS_APPLIED;
    if (!was_shown && a->desired_since && ft_agent_reports_desired_locked(a))
        rnet_histogram_observe(ft_registry_apply_seconds(s->owner->registry), took > 0 ? took : 0);
}

static void take_config_status_locked(struct ft_session *s, struct ft_incoming *in)
{
    const Opamp__Proto__RemoteConfigStatus *m = in->full->remote_config_status;
    struct rn_slice hash =
        rn_slice(m->last_remote_config_hash.data, m->last_remote_config_hash.len);
    struct ft_agent *a = s->agent;

    forget_config_status_locked(a);
    a->bits |= FT_AGENT_CONFIG_KNOWN;
    if (ft_hash_from_bytes(hash, &a->reported_hash) == 0)
        a->bits |= FT_AGENT_HAS_REPORTED;
    /* An enumeration is open: any 32 bits may come. */
    if ((uint32_t)m->status <= FT_STATUS_FAILED)
        a->status = (uint8_t)m->status;
    (void)exchange(&a->status_error, &in->status_error);
    if (a->status == FT_STATUS_APPLYING)
        a->applying_since = rn_loop_now();
    else if (a->status == FT_STATUS_APPLIED && (a->bits & FT_AGENT_HAS_REPORTED))
        take_applied_locked(s);
    else if (a->status == FT_STATUS_FAILED && ft_agent_reports_desired_locked(a))
        a->failed = a->offered;
}

static void take_effective_locked(struct ft_session *s, struct ft_incoming *in)
{
    struct ft_agent *a = s->agent;

    (void)exchange(&a->effective, &in->effective);
    a->effective_hash = in->effective_hash;
    a->bits |= FT_AGENT_HAS_EFFECTIVE | FT_AGENT_DIRTY;
}

/* ---- connection settings, custom capabilities ---- */

/* An agent that reports on connection settings has taken our offer when it says so; whatever else
 * it says, it has not. */
static void take_settings_status_locked(struct ft_session *s,
                                        const Opamp__Proto__ConnectionSettingsStatus *m)
{
    struct ft_agent *a = s->agent;
    struct rn_slice bytes =
        rn_slice(m->last_connection_settings_hash.data, m->last_connection_settings_hash.len);
    uint32_t heartbeat_s = atomic_load_explicit(&s->owner->heartbeat_s, memory_order_relaxed);
    struct ft_hash hash, wanted;

    ft_outbox_settings_hash(heartbeat_s, &wanted);
    bool ours = ft_hash_from_bytes(bytes, &hash) == 0 && ft_hash_eq(&hash, &wanted);
    a->bits |= FT_AGENT_DIRTY;
    a->settings_s = ours ? heartbeat_s : 0;
    if (ours && (uint32_t)m->status == FT_STATUS_APPLIED)
        a->interval = heartbeat_s * RN_S;
}

static void take_custom_capabilities_locked(struct ft_agent *a,
                                            const Opamp__Proto__CustomCapabilities *custom)
{
    a->bits &= ~(uint32_t)FT_AGENT_TAKES_ACKS;
    for (size_t i = 0; i < custom->n_capabilities; i++)
        if (strcmp(custom->capabilities[i], FT_CAPABILITY_PROCESS_METRICS) == 0)
            a->bits |= FT_AGENT_TAKES_ACKS;
}

/* Who takes no connection settings keeps the usual interval, also after it took some in an earlier
 * life. */
static void take_capabilities_locked(struct ft_agent *a, uint64_t capabilities)
{
    if (a->capabilities == capabilities)
        return;
    a->capabilities = capabilities;
    a->bits |= FT_AGENT_DIRTY;
    if (!ft_agent_takes_settings(a)) {
        a->settings_s = 0;
        a->interval = FT_INTERVAL_DEFAULT;
    }
}

/* ---- the message ---- */

/* The whole state came without these: the agent does not have them (any more). */
static void forget_absent_locked(struct ft_agent *a, struct ft_incoming *in)
{
    const Opamp__Proto__AgentToServer *m = in->full;

    if (!m->health)
        (void)exchange(&a->health, &in->health);
    if (!m->effective_config) {
        (void)exchange(&a->effective, &in->effective);
        a->bits &= ~(uint32_t)FT_AGENT_HAS_EFFECTIVE;
    }
    if (!m->remote_config_status) {
        forget_config_status_locked(a);
        (void)exchange(&a->status_error, &in->status_error);
    }
    if (!m->connection_settings_status &&
        (a->capabilities & FT_AGENT_REPORTS_CONNECTION_SETTINGS_STATUS))
        a->settings_s = 0;
}

static bool take_full_locked(struct ft_session *s, struct ft_incoming *in, bool whole)
{
    const Opamp__Proto__AgentToServer *m = in->full;
    struct ft_agent *a = s->agent;
    bool described = false;

    if (whole)
        forget_absent_locked(a, in);
    if (m->agent_description)
        described = exchange(&a->description, &in->description);
    if (m->health)
        (void)exchange(&a->health, &in->health);
    if (m->effective_config)
        take_effective_locked(s, in);
    if (m->remote_config_status)
        take_config_status_locked(s, in);
    if (m->connection_settings_status)
        take_settings_status_locked(s, m->connection_settings_status);
    if (m->custom_capabilities)
        take_custom_capabilities_locked(a, m->custom_capabilities);
    if (m->agent_disconnect)
        a->bits |= FT_AGENT_SAYS_GOODBYE;
    a->bits |= FT_AGENT_DIRTY;
    return described;
}

bool ft_session_take_state_locked(struct ft_session *s, struct ft_incoming *in)
{
    struct ft_registry *r = s->owner->registry;
    struct ft_agent *a = s->agent;

    take_capabilities_locked(a, in->head.capabilities);
    a->last_seen = rn_loop_now();
    a->last_seen_ms = wall_ms();
    bool whole = take_sequence_locked(s, in);
    bool described = in->full ? take_full_locked(s, in, whole) : false;

    enum ft_liveness now =
        a->bits & FT_AGENT_SAYS_GOODBYE ? FT_LIVENESS_OFFLINE : FT_LIVENESS_ONLINE;
    if (a->liveness != now)
        ft_agent_set_liveness_locked(r, a, now);
    return described;
}
