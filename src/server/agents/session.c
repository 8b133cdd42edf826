/* A session's messages: judge, bind, take, answer.
 *
 * The common message, a compressed heartbeat perhaps with metrics, is read by the hand-made decoder
 * and costs no allocation but the batch of its samples. Everything else goes through the scan and
 * the generated decoder.
 */
#include "agents/session.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <base/cleanup.h>
#include <base/log.h>

#include <proto/frame.h>
#include <proto/names.h>

#define TAKEOVERS_MAX 2 /* the third within TAKEOVER_WINDOW is a clone */
#define TAKEOVER_WINDOW (60 * RN_S)
#define CONFIG_WAIT (5 * RN_S)          /* for the answer to ReportFullState */
#define FULL_STATE_INTERVAL (2 * RN_MS) /* 500 a second */
#define RETRY_SHORT_NS UINT64_C(5000000000)
#define RETRY_DRAIN_NS UINT64_C(2000000000)
#define FIRST_MESSAGE_NS (5 * RN_S)

static void count(struct ft_session *s, enum ft_message_kind kind)
{
    atomic_fetch_add_explicit(&s->owner->messages[s->transport][kind], 1, memory_order_relaxed);
}

static void refuse_message(struct ft_session *s, const char *why)
{
    count(s, FT_KIND_malformed);
    ft_session_refuse(s,
                      OPAMP__PROTO__SERVER_ERROR_RESPONSE_TYPE__ServerErrorResponseType_BadRequest,
                      why, 0, RNET_REASON_PROTOCOL);
}

static void refuse_for_now(struct ft_session *s, const char *why, uint64_t retry_ns,
                           enum rnet_reason reason)
{
    ft_session_refuse(s,
                      OPAMP__PROTO__SERVER_ERROR_RESPONSE_TYPE__ServerErrorResponseType_Unavailable,
                      why, retry_ns, reason);
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

static void arm(struct ft_session *s)
{
    rn_time when = RN_FOREVER;

    if (s->bits & FT_SESSION_FULL_WANTED)
        when = s->full_at;
    if (s->config_by && s->config_by < when)
        when = s->config_by;
    (void)rnet_server_timer(s->conn, when);
}

static void want_full_state(struct ft_session *s)
{
    if ((s->bits & FT_SESSION_FULL_WANTED) && !s->full_at)
        s->full_at = reserve_token(s->owner);
}

/* ---- sending what is due ---- */

/* After the outbox was gathered: the answer to ReportFullState is awaited from the moment it
 * leaves. */
static void note_sent(struct ft_session *s, const struct ft_outgoing *out)
{
    if (out->flags & FT_SERVER_FLAG_REPORT_FULL_STATE) {
        s->full_at = 0;
        s->config_by = rn_loop_now() + CONFIG_WAIT;
    }
    arm(s);
}

/* A message of its own, if anything is due. */
static void push(struct ft_session *s)
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
    if (!ours || ft_outgoing_is_empty(&out))
        return;
    ft_outbox_send(s, &out);
    note_sent(s, &out);
}

static void on_poke(struct rnet_conn conn, void *data, void *arg)
{
    (void)conn;
    (void)arg;
    push(data);
}

static void poke(void *arg, struct rnet_conn conn)
{
    (void)arg;
    (void)rnet_conn_call(conn, on_poke, NULL,
                         NULL); /* a lost poke is healed by the next heartbeat */
}

/* ---- binding a connection to an agent ---- */

/* Is this uid being taken over too often, so that two instances must share it? */
static bool is_clone_locked(struct ft_agent *a)
{
    rn_time now = rn_loop_now();

    if (now - a->takeover_since > TAKEOVER_WINDOW) {
        a->takeover_since = now;
        a->takeovers = 0;
    }
    return ++a->takeovers > TAKEOVERS_MAX;
}

static void bind_locked(struct ft_session *s, struct ft_agent *a, int64_t now_ms)
{
    char address[64] = "";

    s->agent = a;
    a->conn = s->conn;
    a->transport = (uint8_t)s->transport;
    a->connected_since_ms = now_ms;
    a->offered = 0;
    a->bits &= ~(uint32_t)(FT_AGENT_CONFIG_KNOWN | FT_AGENT_SAYS_GOODBYE);
    (void)rnet_conn_peer(s->conn, address, sizeof(address));
    (void)ft_agent_set_blob(s->owner->registry, &a->remote_address, rn_slice_str(address));
}

static int64_t wall_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* Give the newcomer a uid of its own. Its next message comes with that one. */
static int rename_agent(struct ft_session *s, const struct ft_incoming *in)
{
    struct ft_uuid uid;
    char old_text[FT_UUID_TEXT_SIZE], new_text[FT_UUID_TEXT_SIZE];

    if (ft_uuid_new(&uid) < 0) {
        refuse_for_now(s, "no new instance_uid could be made", RETRY_SHORT_NS, RNET_REASON_REFUSED);
        return -EAGAIN;
    }
    struct ft_outgoing out = {.uid = in->uid, .new_uid = &uid};
    ft_outbox_send(s, &out);
    ft_uuid_format(&in->uid, old_text);
    ft_uuid_format(&uid, new_text);
    log_info("agent got a new instance_uid", LOG_STR("old", old_text), LOG_STR("new", new_text));
    return 1;
}

/* Bind. 0; 1: it was sent away with another uid; < 0: refused. */
static int bind_agent(struct ft_session *s, const struct ft_incoming *in, bool *ret_new)
{
    struct ft_registry *r = s->owner->registry;
    struct rnet_conn old = RNET_CONN_NONE;
    struct ft_agent *a;

    if (in->full && (in->full->flags & FT_AGENT_FLAG_REQUEST_INSTANCE_UID))
        return rename_agent(s, in);
    if (ft_agent_lock_or_new(r, &in->uid, &a, ret_new) < 0) {
        refuse_for_now(s, "the server is out of memory", RETRY_SHORT_NS, RNET_REASON_MEMORY);
        return -ENOMEM;
    }
    bool taken = a->conn.gen && !rnet_conn_eq(a->conn, s->conn);
    bool clone = taken && is_clone_locked(a);
    if (taken && !clone)
        old = a->conn;
    if (!clone)
        bind_locked(s, a, wall_ms());
    if (*ret_new)
        a->interval = 30 * RN_S;
    ft_agent_unlock(r, a);
    if (clone)
        return rename_agent(s, in);
    if (old.gen)
        (void)rnet_conn_send_close(old, RNET_REASON_REPLACED);
    return 0;
}

/* ---- reading ---- */

/* The bytes of the effective configuration, and its hash by the contract's formula. `arena` holds
 * them. */
static int read_effective(struct ft_incoming *in, struct ft_arena *arena)
{
    const Opamp__Proto__AgentConfigMap *map =
        in->full->effective_config ? in->full->effective_config->config_map : NULL;
    CLEANUP(ft_objects_fini) struct ft_objects objects = {0};

    if (!in->full->effective_config)
        return 0;
    int r = ft_objects_from_opamp(map, &objects);
    if (r == 0)
        r = ft_hash_objects(&objects, &in->effective_hash);
    if (r < 0 || !map)
        return r;
    uint8_t *bytes = ft_arena_alloc(arena, protobuf_c_message_get_packed_size(&map->base));
    if (!bytes)
        return arena->err;
    in->effective = rn_slice(bytes, protobuf_c_message_pack(&map->base, bytes));
    return 0;
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

/* False: they could not be taken, for want of memory. The agent resends in order on its next
 * connection. */
static bool take_metrics(struct ft_session *s, const struct ft_incoming *in)
{
    struct ft_fault fault = {0};

    if (!in->head.has_custom ||
        !rn_slice_eq_str(in->head.custom_capability, FT_CAPABILITY_PROCESS_METRICS) ||
        !rn_slice_eq_str(in->head.custom_type, FT_TYPE_PROCESS_METRICS))
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

/* Take the message into the record and answer it. */
static void take(struct ft_session *s, const struct ft_incoming *in, bool is_new)
{
    struct ft_registry *r = s->owner->registry;
    struct ft_outgoing out;
    bool custom = in->head.has_custom &&
                  rn_slice_eq_str(in->head.custom_capability, FT_CAPABILITY_PROCESS_METRICS);

    ft_agent_relock(r, s->agent);
    if (!rnet_conn_eq(s->agent->conn, s->conn)) {
        /* Taken over while this message was on its way: the close is coming. */
        ft_agent_unlock(r, s->agent);
        return;
    }
    bool changed = ft_session_take_state_locked(s, in) || is_new;
    if (custom)
        s->agent->bits |= FT_AGENT_TAKES_ACKS;
    want_full_state(s);
    ft_outbox_gather_locked(s, &out);
    if (s->agent->bits & FT_AGENT_CONFIG_KNOWN)
        s->config_by = 0;
    bool goodbye = s->agent->bits & FT_AGENT_SAYS_GOODBYE;
    ft_agent_unlock(r, s->agent);

    if (changed)
        ft_registry_changed(r, &s->agent->uid);
    ft_outbox_send(s, &out);
    note_sent(s, &out);
    if (goodbye) {
        s->bits |= FT_SESSION_ENDING;
        (void)rnet_conn_end(s->conn, RNET_REASON_PEER);
    }
}

/* A decoded message: bind on the first, refuse a second uid, take the rest. */
static void handle(struct ft_session *s, struct ft_incoming *in)
{
    bool is_new = false;

    if (ft_uuid_from_bytes(in->head.instance_uid, &in->uid) < 0) {
        refuse_message(s, "instance_uid must have 16 bytes");
        return;
    }
    if (s->agent && !ft_uuid_eq(&s->agent->uid, &in->uid)) {
        refuse_message(s, "framed TCP carries one agent a connection: use another connection for "
                          "another instance_uid");
        return;
    }
    count(s, kind_of(in));
    if (!s->agent && bind_agent(s, in, &is_new) != 0)
        return;
    if (take_metrics(s, in))
        take(s, in, is_new);
    else
        refuse_for_now(s, "the server has no memory for these metrics at the moment",
                       RETRY_SHORT_NS, RNET_REASON_MEMORY);
}

static void handle_full(struct ft_session *s, struct rn_slice message)
{
    CLEANUP(ft_agent_message_fini) struct ft_agent_message m = {0};
    struct ft_incoming in = {0};
    struct ft_fault fault = {0};

    int r = ft_opamp_decode_agent(message, &s->owner->limits, &m, &fault);
    if (r == 0) {
        in.full = m.msg;
        r = read_effective(&in, &m.arena);
    }
    if (r == -EBADMSG || r == -E2BIG) {
        refuse_message(s, fault.kind ? ft_fault_text(fault.kind)
                                     : "the effective configuration has too many objects");
    } else if (r < 0) {
        refuse_for_now(s, "the server has no memory for this message at the moment", RETRY_SHORT_NS,
                       RNET_REASON_MEMORY);
    } else {
        read_head(&in);
        handle(s, &in);
    }
}

/* ---- the handler of the listener ---- */

static int on_open(struct rnet_conn conn, void *data)
{
    struct ft_session *s = calloc(1, sizeof(*s));

    if (!s)
        return -ENOMEM;
    s->owner = data;
    s->conn = conn;
    s->transport = FT_TRANSPORT_TCP;
    return rnet_conn_data_set(conn, s);
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
        refuse_message(s, "the frame has no valid header: it must be the varint 0");
    else if (ft_heartbeat_decode(message, &in.head))
        handle(s, &in);
    else
        handle_full(s, message);
    return 0;
}

static void on_malformed(struct rnet_conn conn, void *data, int error)
{
    struct ft_session *s = data;

    (void)conn;
    refuse_message(s, error == -EMSGSIZE    ? "the frame is larger than message_max"
                      : error == -ETIMEDOUT ? "the message did not arrive in time"
                                            : "this is no frame");
}

static void on_timer(struct rnet_conn conn, void *data)
{
    struct ft_session *s = data;
    struct ft_registry *r = s->owner->registry;

    (void)conn;
    if (s->agent && s->config_by && rn_loop_now() >= s->config_by) {
        /* It did not tell, so it has never had one. */
        s->config_by = 0;
        ft_agent_relock(r, s->agent);
        s->agent->bits |= FT_AGENT_CONFIG_KNOWN;
        ft_agent_unlock(r, s->agent);
    }
    push(s);
    arm(s);
}

static void on_stop(struct rnet_conn conn, void *data)
{
    (void)conn;
    refuse_for_now(data, "the server is stopping", RETRY_DRAIN_NS, RNET_REASON_DRAIN);
}

static void on_close(struct rnet_conn conn, void *data, enum rnet_reason reason)
{
    struct ft_session *s = data;
    struct ft_registry *r = s->owner->registry;

    (void)reason;
    if (s->agent) {
        ft_agent_relock(r, s->agent);
        if (rnet_conn_eq(s->agent->conn, conn)) {
            s->agent->conn = RNET_CONN_NONE;
            if (s->agent->liveness == FT_LIVENESS_ONLINE)
                ft_agent_set_liveness_locked(r, s->agent, FT_LIVENESS_STALE);
        }
        ft_agent_unlock(r, s->agent);
    }
    free(s);
}

static const struct rnet_handler handler = {
    .on_open = on_open,
    .on_frame = on_frame,
    .on_timer = on_timer,
    .on_stop = on_stop,
    .on_malformed = on_malformed,
    .on_close = on_close,
};

/* ---- the service ---- */

static void say_lost(void *arg, const char *name, const char *address, const char *why)
{
    (void)arg;
    log_error("a listener is lost", LOG_STR("listener", name), LOG_STR("address", address),
              LOG_STR("why", why));
}

int ft_sessions_open(const struct ft_sessions_options *o, struct ft_sessions **ret,
                     size_t *reterr_index)
{
    CLEANUP(ft_sessions_closep) struct ft_sessions *s = calloc(1, sizeof(*s));

    if (!s)
        return -ENOMEM;
    s->registry = o->registry;
    s->intake = o->intake;
    s->limits = (struct ft_limits){.message_max = o->message_max, .budget = o->budget};
    s->heartbeat_s = o->heartbeat_s;
    ft_outbox_settings_hash(o->heartbeat_s, &s->settings_hash);
    ft_registry_set_poke(o->registry, (struct ft_poke){poke, s});

    struct rnet_server_options server = {
        .name = "agents",
        .addrs = o->addrs,
        .n_addrs = o->n_addrs,
        .codec = &rnet_codec_length_prefixed,
        .handler = &handler,
        .data = s,
        .frame_max = o->message_max,
        .limits = {.output_max = (uint32_t)(2 * o->message_max + FT_MIB)},
        .first_ns = FIRST_MESSAGE_NS,
        .on_lost = say_lost,
    };
    int r = rnet_server_open(&server, &s->server, reterr_index);
    if (r < 0)
        return r;
    *ret = TAKE(s);
    return 0;
}

const char *ft_sessions_address(const struct ft_sessions *s, size_t i)
{
    return rnet_server_address(s->server, i);
}

int ft_sessions_drain(struct ft_sessions *s, rn_time deadline)
{
    return rnet_server_drain(s->server, deadline);
}

void ft_sessions_close(struct ft_sessions *s)
{
    if (!s)
        return;
    rnet_server_close(s->server);
    free(s);
}

void ft_sessions_closep(struct ft_sessions **s)
{
    ft_sessions_close(*s);
    *s = NULL;
}

void ft_sessions_ack(void *arg, const struct ft_uuid *agent, const struct ft_uuid *boot,
                     uint64_t seq)
{
    struct ft_registry *r = arg;
    struct ft_agent *a = ft_agent_lock(r, agent);

    if (!a)
        return;
    a->ack_boot = *boot;
    a->ack_seq = seq;
    a->bits |= FT_AGENT_ACK_DUE;
    ft_agent_unlock(r, a);
}
