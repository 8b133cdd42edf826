/* What a message changes in the record: OpAMP's compressed status, piece by piece. A piece that is
 * absent is unchanged. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <proto/names.h>

#include "agents/session.h"

/* Does the message hold everything that an agent with these capabilities has to report? */
static bool is_full(const struct ft_incoming *in)
{
    const Opamp__Proto__AgentToServer *m = in->full;
    uint64_t caps = in->head.capabilities;

    return m && m->agent_description &&
           (m->effective_config || !(caps & FT_AGENT_REPORTS_EFFECTIVE_CONFIG)) &&
           (m->remote_config_status || !(caps & FT_AGENT_REPORTS_REMOTE_CONFIG)) &&
           (m->health || !(caps & FT_AGENT_REPORTS_HEALTH));
}

/* sequence_num grows by one with each message; anything else, or an agent whose state we lost, asks
 * for the full state. */
static void take_sequence_locked(struct ft_session *s, const struct ft_incoming *in)
{
    struct ft_agent *a = s->agent;
    bool unbroken = (a->bits & FT_AGENT_SEQ_VALID) && in->head.sequence_num == a->sequence_num + 1;

    if (is_full(in)) {
        a->bits |= FT_AGENT_STATE_KNOWN | FT_AGENT_CONFIG_KNOWN;
        s->bits &= ~(uint32_t)(FT_SESSION_FULL_WANTED | FT_SESSION_FULL_ASKED);
    } else if (!unbroken) {
        a->bits &= ~(uint32_t)FT_AGENT_STATE_KNOWN;
    } else if (a->bits & FT_AGENT_STATE_KNOWN) {
        a->bits |= FT_AGENT_CONFIG_KNOWN;
    }
    if (!(a->bits & FT_AGENT_STATE_KNOWN) && !(s->bits & FT_SESSION_FULL_ASKED))
        s->bits |= FT_SESSION_FULL_WANTED;
    a->sequence_num = in->head.sequence_num;
    a->bits |= FT_AGENT_SEQ_VALID;
}

static struct rn_slice packed(const ProtobufCMessage *m, uint8_t *out)
{
    return rn_slice(out, protobuf_c_message_pack(m, out));
}

/* Keep a sub-message as its bytes. Without memory the old one stays, and the state counts as
 * unknown, so it is asked for again. */
static bool take_message_locked(struct ft_session *s, struct ft_blob **slot,
                                const ProtobufCMessage *m)
{
    uint8_t *bytes = malloc(protobuf_c_message_get_packed_size(m) + 1);
    int r = bytes ? ft_agent_set_blob(s->owner->registry, slot, packed(m, bytes)) : -ENOMEM;

    free(bytes);
    if (r < 0)
        s->agent->bits &= ~(uint32_t)FT_AGENT_STATE_KNOWN;
    if (r > 0)
        s->agent->bits |= FT_AGENT_DIRTY;
    return r > 0;
}

static void take_effective_locked(struct ft_session *s, const struct ft_incoming *in)
{
    struct ft_agent *a = s->agent;

    if (ft_agent_set_blob(s->owner->registry, &a->effective, in->effective) > 0)
        a->bits |= FT_AGENT_DIRTY;
    a->effective_hash = in->effective_hash;
    a->bits |= FT_AGENT_HAS_EFFECTIVE;
}

static bool reports_desired_locked(const struct ft_agent *a)
{
    return a->rendered && (a->bits & FT_AGENT_HAS_REPORTED) &&
           ft_hash_eq(&a->reported_hash, &a->rendered->hash);
}

static void take_applied_locked(struct ft_session *s)
{
    struct ft_agent *a = s->agent;
    bool was_shown = a->shown_status == FT_STATUS_APPLIED;

    a->applied_hash = a->reported_hash;
    a->bits |= FT_AGENT_HAS_APPLIED;
    if (!was_shown && a->desired_since && reports_desired_locked(a))
        rnet_histogram_observe(ft_registry_apply_seconds(s->owner->registry),
                               rn_loop_now() - a->desired_since);
}

static void take_config_status_locked(struct ft_session *s,
                                      const Opamp__Proto__RemoteConfigStatus *status)
{
    struct ft_agent *a = s->agent;
    struct rn_slice hash =
        rn_slice(status->last_remote_config_hash.data, status->last_remote_config_hash.len);
    int r = ft_hash_from_bytes(hash, &a->reported_hash);

    a->bits |= FT_AGENT_CONFIG_KNOWN | FT_AGENT_DIRTY;
    a->bits &= ~(uint32_t)(FT_AGENT_TIMED_OUT | FT_AGENT_HAS_REPORTED);
    a->bits |= r == 0 ? FT_AGENT_HAS_REPORTED : 0;
    a->status = (int)status->status <= FT_STATUS_FAILED ? (uint8_t)status->status : FT_STATUS_UNSET;
    (void)ft_agent_set_blob(s->owner->registry, &a->status_error,
                            rn_slice_str(status->error_message));
    if (a->status == FT_STATUS_APPLYING)
        a->applying_since = rn_loop_now();
    else if (a->status == FT_STATUS_APPLIED && r == 0)
        take_applied_locked(s);
    else if (a->status == FT_STATUS_FAILED && a->offered)
        a->failed = a->offered;
}

/* An agent that reports on connection settings has taken our offer when it says so; whatever else
 * it says, it has not. */
static void take_settings_status_locked(struct ft_session *s,
                                        const Opamp__Proto__ConnectionSettingsStatus *status)
{
    struct ft_agent *a = s->agent;
    struct ft_hash hash;
    bool ours = ft_hash_from_bytes(rn_slice(status->last_connection_settings_hash.data,
                                            status->last_connection_settings_hash.len),
                                   &hash) == 0 &&
                ft_hash_eq(&hash, &s->owner->settings_hash);

    if (!ours) {
        a->bits &= ~(uint32_t)FT_AGENT_SETTINGS_SENT;
        return;
    }
    a->bits |= FT_AGENT_SETTINGS_SENT;
    if (status->status ==
        OPAMP__PROTO__CONNECTION_SETTINGS_STATUSES__ConnectionSettingsStatuses_APPLIED)
        a->interval = s->owner->heartbeat_s * RN_S;
}

static void take_custom_capabilities_locked(struct ft_agent *a,
                                            const Opamp__Proto__CustomCapabilities *custom)
{
    a->bits &= ~(uint32_t)FT_AGENT_TAKES_ACKS;
    for (size_t i = 0; i < custom->n_capabilities; i++)
        if (strcmp(custom->capabilities[i], FT_CAPABILITY_PROCESS_METRICS) == 0)
            a->bits |= FT_AGENT_TAKES_ACKS;
}

static bool take_full_locked(struct ft_session *s, const struct ft_incoming *in)
{
    const Opamp__Proto__AgentToServer *m = in->full;
    struct ft_agent *a = s->agent;
    bool described = false;

    if (m->agent_description)
        described = take_message_locked(s, &a->description, &m->agent_description->base);
    if (m->health)
        take_message_locked(s, &a->health, &m->health->base);
    if (m->effective_config)
        take_effective_locked(s, in);
    if (m->remote_config_status)
        take_config_status_locked(s, m->remote_config_status);
    if (m->connection_settings_status)
        take_settings_status_locked(s, m->connection_settings_status);
    if (m->custom_capabilities)
        take_custom_capabilities_locked(a, m->custom_capabilities);
    if (m->agent_disconnect)
        a->bits |= FT_AGENT_SAYS_GOODBYE;
    return described;
}

static int64_t wall_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

bool ft_session_take_state_locked(struct ft_session *s, const struct ft_incoming *in)
{
    struct ft_registry *r = s->owner->registry;
    struct ft_agent *a = s->agent;

    if (a->capabilities != in->head.capabilities)
        a->bits |= FT_AGENT_DIRTY;
    a->capabilities = in->head.capabilities;
    a->last_seen = rn_loop_now();
    a->last_seen_ms = wall_ms();
    take_sequence_locked(s, in);
    bool described = in->full ? take_full_locked(s, in) : false;

    enum ft_liveness now =
        a->bits & FT_AGENT_SAYS_GOODBYE ? FT_LIVENESS_OFFLINE : FT_LIVENESS_ONLINE;
    if (a->liveness != now)
        ft_agent_set_liveness_locked(r, a, now);
    ft_agent_settle_locked(r, a);
    return described;
}
