/* The outbox: level bits and the newest revision, composed when they are sent.
 *
 * A ServerToAgent is written straight into a small buffer on the stack; the configuration, which
 * was encoded once for all agents that share it, follows as a slice. Nothing is allocated for a
 * heartbeat's answer.
 */
#include <stdio.h>
#include <string.h>

#include <base/assert.h>

#include <proto/frame.h>
#include <proto/metrics.h>
#include <proto/names.h>

#include "agents/session.h"

#define OUR_CAPABILITIES                                                                           \
    (FT_SERVER_ACCEPTS_STATUS | FT_SERVER_OFFERS_REMOTE_CONFIG |                                   \
     FT_SERVER_ACCEPTS_EFFECTIVE_CONFIG | FT_SERVER_OFFERS_CONNECTION_SETTINGS)

#define PREFIX_LEN 5 /* frame length and header */
#define HEAD_MAX 512 /* everything but a configuration */

/* The field numbers of ServerToAgent and below that are written by hand here. */
enum {
    REMOTE_CONFIG = 3,
    CONNECTION_SETTINGS = 4,
    AGENT_IDENTIFICATION = 8,
    CUSTOM_CAPABILITIES = 10
};
enum {
    OFFERS_HASH = 1,
    OFFERS_OPAMP = 2,
    OPAMP_HEARTBEAT = 4,
    IDENTIFICATION_NEW_UID = 1,
    CAPABILITIES_ITEM = 1
};
enum { WIRE_VARINT = 0, WIRE_BYTES = 2 };

void ft_outbox_settings_hash(uint32_t heartbeat_s, struct ft_hash *ret)
{
    char text[64];
    int n =
        snprintf(text, sizeof(text), "fettle connection settings 1: heartbeat %u s", heartbeat_s);

    if (ft_hash_bytes(rn_slice(text, (size_t)n), ret) < 0)
        *ret = (struct ft_hash){{1}};
}

/* ---- gathering ---- */

static void gather_full_state_locked(struct ft_session *s, struct ft_outgoing *out)
{
    if (!(s->bits & FT_SESSION_FULL_WANTED) || rn_loop_now() < s->full_at)
        return;
    out->flags |= FT_SERVER_FLAG_REPORT_FULL_STATE;
    s->bits &= ~(uint32_t)FT_SESSION_FULL_WANTED;
    s->bits |= FT_SESSION_FULL_ASKED;
}

/* Who reports on connection settings has them when it says so; for others the offer counts once it
 * is made. */
static void gather_settings_locked(struct ft_session *s, struct ft_outgoing *out)
{
    struct ft_agent *a = s->agent;
    uint32_t heartbeat_s = atomic_load_explicit(&s->owner->heartbeat_s, memory_order_relaxed);

    if (!ft_agent_takes_settings(a) || a->settings_s == heartbeat_s ||
        s->settings_offered == heartbeat_s || !(a->bits & FT_AGENT_STATE_KNOWN))
        return;
    out->settings_s = s->settings_offered = heartbeat_s;
    if (!(a->capabilities & FT_AGENT_REPORTS_CONNECTION_SETTINGS_STATUS)) {
        a->settings_s = heartbeat_s;
        a->interval = heartbeat_s * RN_S;
        a->bits |= FT_AGENT_DIRTY;
    }
}

static void gather_config_locked(struct ft_session *s, struct ft_outgoing *out)
{
    struct ft_agent *a = s->agent;

    if (!ft_agent_offer_due_locked(a) || rnet_conn_unsent(s->conn) >= FT_OUTPUT_HIGH)
        return;
    out->rendered = ft_rendered_ref(a->rendered);
    a->offered = a->assignment;
    a->bits |= FT_AGENT_OFFERED | FT_AGENT_DIRTY;
}

static void gather_ack_locked(struct ft_agent *a, struct ft_outgoing *out)
{
    if (!(a->bits & FT_AGENT_ACK_DUE) || !(a->bits & FT_AGENT_TAKES_ACKS))
        return;
    out->ack = true;
    out->ack_boot = a->ack_boot;
    out->ack_seq = a->ack_seq;
    a->bits &= ~(uint32_t)FT_AGENT_ACK_DUE;
}

void ft_outbox_gather_locked(struct ft_session *s, struct ft_outgoing *out)
{
    struct ft_agent *a = s->agent;

    *out = (struct ft_outgoing){.uid = a->uid};
    gather_ack_locked(a, out);
    if (a->bits & FT_AGENT_SAYS_GOODBYE) /* nothing is wanted of it any more */
        return;
    gather_full_state_locked(s, out);
    gather_settings_locked(s, out);
    gather_config_locked(s, out);
}

bool ft_outgoing_is_empty(const struct ft_outgoing *out)
{
    return !out->flags && !out->settings_s && !out->ack && !out->rendered && !out->new_uid;
}

/* ---- writing ---- */

static void add_varint(struct ft_buf *b, uint64_t v)
{
    for (; v >= 0x80; v >>= 7)
        ft_buf_add_byte(b, (uint8_t)(v | 0x80));
    ft_buf_add_byte(b, (uint8_t)v);
}

static void add_tag(struct ft_buf *b, unsigned field, unsigned wire, uint64_t value_or_len)
{
    add_varint(b, field << 3 | wire);
    add_varint(b, value_or_len);
}

static void add_bytes(struct ft_buf *b, unsigned field, struct rn_slice bytes)
{
    add_tag(b, field, WIRE_BYTES, bytes.len);
    ft_buf_add_slice(b, bytes);
}

static void add_custom_capabilities(struct ft_buf *b)
{
    struct rn_slice name = RN_SLICE_LITERAL(FT_CAPABILITY_PROCESS_METRICS);

    add_tag(b, CUSTOM_CAPABILITIES, WIRE_BYTES, 2 + name.len);
    add_bytes(b, CAPABILITIES_ITEM, name);
}

static void add_settings(struct ft_buf *b, uint32_t heartbeat_s)
{
    struct ft_hash hash;
    uint8_t interval_bytes[16];
    struct ft_buf interval = {
        .data = interval_bytes, .cap = sizeof(interval_bytes), .max = sizeof(interval_bytes)};

    add_tag(&interval, OPAMP_HEARTBEAT, WIRE_VARINT, heartbeat_s);
    ft_outbox_settings_hash(heartbeat_s, &hash);
    add_tag(b, CONNECTION_SETTINGS, WIRE_BYTES, 2 + FT_HASH_LEN + 2 + interval.len);
    add_bytes(b, OFFERS_HASH, ft_hash_slice(&hash));
    add_bytes(b, OFFERS_OPAMP, ft_buf_slice(&interval));
}

static void add_new_uid(struct ft_buf *b, const struct ft_uuid *uid)
{
    add_tag(b, AGENT_IDENTIFICATION, WIRE_BYTES, 2 + sizeof(uid->bytes));
    add_bytes(b, IDENTIFICATION_NEW_UID, ft_uuid_slice(uid));
}

static void add_plain(struct ft_buf *b, const struct ft_outgoing *out)
{
    uint8_t ack_bytes[FT_METRICS_ACK_LEN_MAX];
    struct ft_plain_reply reply = {.instance_uid = ft_uuid_slice(&out->uid),
                                   .flags = out->flags,
                                   .capabilities = out->greet ? OUR_CAPABILITIES : 0};

    if (out->ack) {
        struct ft_metrics_ack ack = {.seq = out->ack_seq};
        memcpy(ack.boot_id, out->ack_boot.bytes, sizeof(ack.boot_id));
        reply.has_custom = true;
        reply.custom_capability = RN_SLICE_LITERAL(FT_CAPABILITY_PROCESS_METRICS);
        reply.custom_type = RN_SLICE_LITERAL(FT_TYPE_METRICS_ACK);
        reply.custom_data = rn_slice(ack_bytes, ft_metrics_ack_encode(&ack, ack_bytes));
    }
    ft_plain_reply_encode(&reply, b);
}

/* Everything but the configuration itself, whose tag comes last. */
static void add_head(struct ft_buf *b, const struct ft_outgoing *out)
{
    add_plain(b, out);
    if (out->greet)
        add_custom_capabilities(b);
    if (out->settings_s)
        add_settings(b, out->settings_s);
    if (out->new_uid)
        add_new_uid(b, out->new_uid);
    if (out->rendered)
        add_tag(b, REMOTE_CONFIG, WIRE_BYTES, out->rendered->wire.len);
}

static void put_prefix(uint8_t *frame, size_t message_len)
{
    uint32_t len = (uint32_t)message_len + 1;

    frame[0] = (uint8_t)(len >> 24);
    frame[1] = (uint8_t)(len >> 16);
    frame[2] = (uint8_t)(len >> 8);
    frame[3] = (uint8_t)len;
    frame[4] = 0;
}

void ft_outbox_send(struct ft_session *s, struct ft_outgoing *out)
{
    uint8_t frame[HEAD_MAX];
    struct ft_buf head = {
        .data = frame + PREFIX_LEN, .cap = HEAD_MAX - PREFIX_LEN, .max = HEAD_MAX - PREFIX_LEN};
    struct rn_slice body = out->rendered ? out->rendered->wire : (struct rn_slice){0};

    out->greet = !(s->bits & FT_SESSION_GREETED);
    s->bits |= FT_SESSION_GREETED;
    add_head(&head, out);
    rn_assert(ft_buf_error(&head) == 0);
    put_prefix(frame, head.len + body.len);

    struct rn_slice parts[] = {rn_slice(frame, PREFIX_LEN + head.len), body};
    (void)rnet_conn_writev(s->conn, parts, body.len ? 2 : 1);
    if (out->rendered)
        atomic_fetch_add_explicit(&s->owner->pushes, 1, memory_order_relaxed);
    out->rendered = ft_rendered_unref(out->rendered);
}

static void refuse(struct ft_session *s, Opamp__Proto__ServerErrorResponseType type,
                   const char *why, uint64_t retry_ns, enum rnet_reason reason)
{
    struct ft_buf frame = FT_BUF_INIT(4096);
    Opamp__Proto__RetryInfo retry = OPAMP__PROTO__RETRY_INFO__INIT;
    Opamp__Proto__ServerErrorResponse error = OPAMP__PROTO__SERVER_ERROR_RESPONSE__INIT;
    Opamp__Proto__ServerToAgent message = OPAMP__PROTO__SERVER_TO_AGENT__INIT;

    error.type = type;
    error.error_message = (char *)why;
    if (retry_ns) {
        retry.retry_after_nanoseconds = retry_ns;
        error.details_case = OPAMP__PROTO__SERVER_ERROR_RESPONSE__DETAILS_RETRY_INFO;
        error.retry_info = &retry;
    }
    if (s->agent)
        message.instance_uid =
            (ProtobufCBinaryData){sizeof(s->agent->uid.bytes), s->agent->uid.bytes};
    message.error_response = &error;
    if (ft_message_encode_frame(&message.base, FT_MESSAGE_MAX_DEFAULT, &frame) == 0)
        (void)rnet_conn_write(s->conn, ft_buf_slice(&frame));
    ft_buf_fini(&frame);
    ft_session_unbind(s);
    s->bits |= FT_SESSION_ENDING;
    (void)rnet_conn_end(s->conn, reason);
}

void ft_session_refuse_message(struct ft_session *s, const char *why)
{
    refuse(s, OPAMP__PROTO__SERVER_ERROR_RESPONSE_TYPE__ServerErrorResponseType_BadRequest, why, 0,
           RNET_REASON_PROTOCOL);
}

void ft_session_refuse_for_now(struct ft_session *s, const char *why, uint64_t retry_ns,
                               enum rnet_reason reason)
{
    refuse(s, OPAMP__PROTO__SERVER_ERROR_RESPONSE_TYPE__ServerErrorResponseType_Unavailable, why,
           retry_ns, reason);
}
