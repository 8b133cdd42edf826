/* A session's messages: judge, bind, take, answer.
 *
 * The common message, a compressed heartbeat perhaps with metrics, is read by the hand-made decoder
 * and costs no allocation but the batch of its samples. Everything else goes through the scan and
 * the generated decoder.
 */
#include "agents/session.h"

#include <errno.h>
#include <stdlib.h>

#include <base/cleanup.h>
#include <base/log.h>

#include <proto/frame.h>
#include <proto/names.h>

#define FULL_STATE_INTERVAL (2 * RN_MS) /* 500 a second */

static void count(struct ft_session *s, enum ft_message_kind kind)
{
    atomic_fetch_add_explicit(&s->owner->messages[s->transport][kind], 1, memory_order_relaxed);
}

static void refuse(struct ft_session *s, const char *why)
{
    count(s, FT_KIND_malformed);
    ft_session_refuse_message(s, why);
}

/* ---- the token bucket of ReportFullState: whoever asks gets the next free moment, first come,
 * first served ---- */

static rn_time reserve_token(struct ft_sessions *owner)
{
    rn_time now = rn_loop_now(), next = atomic_load(&owner->full_state_next), at;

    do
        at = next > now ? next : now;
    while (!atomic_compare_exchange_weak(&owner->full_state_next, &next, at + FULL_STATE_INTERVAL));
    return at;
}

static void want_full_state(struct ft_session *s)
{
    if ((s->bits & FT_SESSION_FULL_WANTED) && !s->full_at)
        s->full_at = reserve_token(s->owner);
}

static void arm(struct ft_session *s)
{
    rn_time when = RN_FOREVER;

    if (s->bits & FT_SESSION_FULL_WANTED)
        when = s->full_at;
    if (s->waits_until && s->waits_until < when)
        when = s->waits_until;
    (void)rnet_server_timer(s->conn, when);
}

/* ---- sending what is due ---- */

/* After the outbox was gathered: the answer to ReportFullState is awaited from the moment it
 * leaves. */
static void send_gathered(struct ft_session *s, struct ft_outgoing *out)
{
    if (out->flags & FT_SERVER_FLAG_REPORT_FULL_STATE) {
        s->full_at = 0;
        s->waits_until = rn_loop_now() + FT_CONFIG_WAIT;
    }
    ft_outbox_send(s, out);
    arm(s);
}

void ft_session_push(struct ft_session *s)
{
    struct ft_registry *r = s->owner->registry;
    struct ft_outgoing out;

    if (!s->agent || (s->bits & FT_SESSION_ENDING))
        return;
    ft_agent_relock(r, s->agent);
    bool ours = rnet_conn_eq(s->agent->conn, s->conn);
    if (ours)
        ft_outbox_gather_locked(s, &out);
    ft_agent_unlock(r, s->agent);
    if (ours && !ft_outgoing_is_empty(&out))
        send_gathered(s, &out);
}

/* ---- reading ---- */

static void incoming_fini(struct ft_incoming *in)
{
    ft_blob_unref(in->description);
    ft_blob_unref(in->health);
    ft_blob_unref(in->effective);
    ft_blob_unref(in->status_error);
}

static void read_head(struct ft_incoming *in)
{
    const Opamp__Proto__AgentToServer *m = in->full;

    in->head =
        (struct ft_heartbeat){.instance_uid = rn_slice(m->instance_uid.data, m->instance_uid.len),
                              .sequence_num = m->sequence_num,
                              .capabilities = m->capabilities};
    if (m->custom_message) {
        in->head.has_custom = true;
        in->head.custom_capability = rn_slice_str(m->custom_message->capability);
        in->head.custom_type = rn_slice_str(m->custom_message->type);
        in->head.custom_data = rn_slice(m->custom_message->data.data, m->custom_message->data.len);
    }
}

/* A sub-message as its bytes, one more than none so that even an empty one was there. */
static int read_part(struct ft_session *s, const ProtobufCMessage *m, struct ft_blob **ret)
{
    size_t len = protobuf_c_message_get_packed_size(m);
    CLEANUP(freep) uint8_t *bytes = malloc(len + 1);

    if (!bytes)
        return -ENOMEM;
    return ft_blob_intern(ft_registry_blobs(s->owner->registry),
                          rn_slice(bytes, protobuf_c_message_pack(m, bytes)), ret);
}

/* The effective configuration, and its hash by the contract's formula. */
static int read_effective(struct ft_session *s, const Opamp__Proto__AgentConfigMap *map,
                          struct ft_incoming *in)
{
    CLEANUP(ft_objects_fini) struct ft_objects objects = {0};

    int r = ft_objects_from_opamp(map, &objects);
    if (r == 0)
        r = ft_hash_objects(&objects, &in->effective_hash);
    return r < 0 || !map ? r : read_part(s, &map->base, &in->effective);
}

/* 0; -E2BIG: too many objects; -ENOMEM. */
static int read_parts(struct ft_session *s, struct ft_incoming *in)
{
    const Opamp__Proto__AgentToServer *m = in->full;
    int r = 0;

    if (m->agent_description)
        r = read_part(s, &m->agent_description->base, &in->description);
    if (r == 0 && m->health)
        r = read_part(s, &m->health->base, &in->health);
    if (r == 0 && m->remote_config_status)
        r = ft_blob_intern(ft_registry_blobs(s->owner->registry),
                           rn_slice_str(m->remote_config_status->error_message), &in->status_error);
    if (r == 0 && m->effective_config)
        r = read_effective(s, m->effective_config->config_map, in);
    return r;
}

static bool speaks_of_metrics(const struct ft_incoming *in)
{
    return in->head.has_custom &&
           rn_slice_eq_str(in->head.custom_capability, FT_CAPABILITY_PROCESS_METRICS);
}

/* False: they could not be taken, for want of memory. The agent resends in order on its next
 * connection. */
static bool take_metrics(struct ft_session *s, const struct ft_incoming *in)
{
    struct ft_fault fault = {0};

    if (!speaks_of_metrics(in) || !rn_slice_eq_str(in->head.custom_type, FT_TYPE_PROCESS_METRICS))
        return true;
    int r = ft_intake_offer(s->owner->intake, &in->uid, in->head.custom_data, &fault);
    if (r == -EBADMSG)
        log_debug("process metrics make no sense", LOG_STR("why", ft_fault_text(fault.kind)));
    return r != -ENOMEM;
}

static enum ft_message_kind kind_of(const struct ft_incoming *in)
{
    if (in->full && in->full->agent_disconnect)
        return FT_KIND_disconnect;
    if (in->full)
        return FT_KIND_status;
    return in->head.has_custom ? FT_KIND_metrics : FT_KIND_heartbeat;
}

/* What the message changed about the agent being there, as events. */
static void announce_locked(struct ft_session *s, enum ft_liveness was, bool is_new)
{
    struct ft_registry *r = s->owner->registry;
    const struct ft_agent *a = s->agent;
    bool announced = s->bits & FT_SESSION_ANNOUNCED;

    s->bits |= FT_SESSION_ANNOUNCED;
    if (!announced)
        ft_agent_publish_locked(r, a, is_new ? FT_EVENT_agent_appeared : FT_EVENT_agent_connected);
    if (a->bits & FT_AGENT_SAYS_GOODBYE)
        ft_agent_publish_locked(r, a, FT_EVENT_agent_goodbye);
    else if (announced && a->liveness != was)
        ft_agent_publish_locked(r, a, FT_EVENT_agent_status);
}

/* Take the message into the record and answer it. */
static void take(struct ft_session *s, struct ft_incoming *in, bool is_new)
{
    struct ft_registry *r = s->owner->registry;
    struct ft_outgoing out;

    ft_agent_relock(r, s->agent);
    if (!rnet_conn_eq(s->agent->conn, s->conn)) {
        /* Taken over this very moment: the close is coming. */
        ft_agent_unlock(r, s->agent);
        return;
    }
    enum ft_liveness was = s->agent->liveness;
    bool changed = ft_session_take_state_locked(s, in) || is_new;
    announce_locked(s, was, is_new);
    ft_agent_settle_locked(r, s->agent); /* who is there is told before what it has */
    if (speaks_of_metrics(in))
        s->agent->bits |= FT_AGENT_TAKES_ACKS;
    if (s->agent->bits & FT_AGENT_CONFIG_KNOWN)
        s->waits_until = 0;
    want_full_state(s);
    ft_outbox_gather_locked(s, &out);
    bool goodbye = s->agent->bits & FT_AGENT_SAYS_GOODBYE;
    ft_agent_unlock(r, s->agent);

    if (changed)
        ft_registry_changed(r, &s->agent->uid);
    send_gathered(s, &out);
    if (goodbye) {
        /* Who comes back at once takes nothing over. */
        ft_session_unbind(s);
        s->bits |= FT_SESSION_ENDING;
        (void)rnet_conn_end(s->conn, RNET_REASON_PEER);
    }
}

/* A decoded message: refuse a second uid, bind on the first, take the rest. */
static void handle(struct ft_session *s, struct ft_incoming *in)
{
    bool is_new;

    if (ft_uuid_from_bytes(in->head.instance_uid, &in->uid) < 0 || ft_uuid_is_zero(&in->uid)) {
        refuse(s, "instance_uid must have 16 bytes that are not all zero");
        return;
    }
    if (s->agent && !ft_uuid_eq(&s->agent->uid, &in->uid)) {
        refuse(s, "framed TCP carries one agent a connection: use another connection for another "
                  "instance_uid");
        return;
    }
    count(s, kind_of(in));
    if (ft_session_bind(s, in, &is_new) != 0)
        return;
    /* What comes late on a connection that was taken over must not overtake what is resent on the
     * new one: an ack would pass over it. */
    if (!ft_session_is_bound(s))
        return;
    if (take_metrics(s, in))
        take(s, in, is_new);
    else
        ft_session_refuse_for_now(s, "the server has no memory for these metrics at the moment",
                                  FT_RETRY_SHORT_NS, RNET_REASON_MEMORY);
}

static void handle_full(struct ft_session *s, struct rn_slice message)
{
    CLEANUP(ft_agent_message_fini) struct ft_agent_message m = {0};
    CLEANUP(incoming_fini) struct ft_incoming in = {0};
    struct ft_fault fault = {0};

    int r = ft_opamp_decode_agent(message, &s->owner->limits, &m, &fault);
    if (r == 0) {
        in.full = m.msg;
        r = read_parts(s, &in);
    }
    if (r == -EBADMSG || r == -E2BIG) {
        refuse(s, fault.kind ? ft_fault_text(fault.kind)
                             : "the effective configuration has too many objects");
    } else if (r < 0) {
        ft_session_refuse_for_now(s, "the server has no memory for this message at the moment",
                                  FT_RETRY_SHORT_NS, RNET_REASON_MEMORY);
    } else {
        read_head(&in);
        handle(s, &in);
    }
}

/* ---- the handler of the listener; `data` is NULL only for a connection that got no session ----
 */

static int on_open(struct rnet_conn conn, void *data)
{
    struct ft_session *s = calloc(1, sizeof(*s));

    (void)rnet_conn_data_set(conn, s);
    if (!s)
        return -ENOMEM;
    s->owner = data;
    s->conn = conn;
    s->transport = FT_TRANSPORT_TCP;
    return 0;
}

static int on_frame(struct rnet_conn conn, void *data, struct rn_slice frame)
{
    struct ft_session *s = data;
    struct rn_slice message;
    struct ft_incoming in = {0};

    (void)conn;
    if (s->bits & FT_SESSION_ENDING)
        return 0;
    if (ft_envelope_decode(frame, &message) < 0)
        refuse(s, "the frame has no valid header: it must be the varint 0");
    else if (ft_heartbeat_decode(message, &in.head))
        handle(s, &in);
    else
        handle_full(s, message);
    return 0;
}

static void on_malformed(struct rnet_conn conn, void *data, int error)
{
    (void)conn;
    refuse(data, error == -EMSGSIZE    ? "the frame is larger than message_max"
                 : error == -ETIMEDOUT ? "the message did not arrive in time"
                 : error == -EPIPE     ? "the message broke off"
                 : error == -EPIPE     ? "the frame broke off"
                                       : "this is no frame");
}

/* What was awaited until now did not come. */
static void stop_waiting(struct ft_session *s)
{
    struct ft_registry *r = s->owner->registry;

    s->waits_until = 0;
    if (!s->agent) {
        (void)rnet_conn_end(s->conn, RNET_REASON_IDLE_TIMEOUT);
        return;
    }
    ft_agent_relock(r, s->agent);
    if (rnet_conn_eq(s->agent->conn, s->conn))
        ft_session_assume_unconfigured_locked(s);
    ft_agent_unlock(r, s->agent);
}

static void on_timer(struct rnet_conn conn, void *data)
{
    struct ft_session *s = data;

    (void)conn;
    if (s->waits_until && rn_loop_now() >= s->waits_until)
        stop_waiting(s);
    ft_session_push(s);
    arm(s);
}

static void on_drain(struct rnet_conn conn, void *data)
{
    (void)conn;
    ft_session_push(data);
}

static void on_stop(struct rnet_conn conn, void *data)
{
    (void)conn;
    ft_session_refuse_for_now(data, "the server is stopping", FT_RETRY_DRAIN_NS, RNET_REASON_DRAIN);
}

static void on_close(struct rnet_conn conn, void *data, enum rnet_reason reason)
{
    struct ft_session *s = data;

    (void)conn;
    (void)reason;
    if (s)
        ft_session_unbind(s);
    free(s);
}

const struct rnet_handler ft_session_handler = {
    .on_open = on_open,
    .on_frame = on_frame,
    .on_drain = on_drain,
    .on_timer = on_timer,
    .on_stop = on_stop,
    .on_malformed = on_malformed,
    .on_close = on_close,
};
