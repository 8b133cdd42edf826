#include "agents/testing.h"

#include <stdlib.h>
#include <string.h>

#include <proto/frame.h>

#include "changes.h"
#include "metrics/fanout.h"

static struct rn_tx tx_of_loop(struct server *s)
{
    struct rn_tx tx;

    OK(rn_chan_open(sizeof(struct ft_uuid), FT_CHANGES_MAX, &tx, &s->changed));
    OK(rn_end_to_loop((struct rn_end[]){rn_end_tx(tx)}, 1, rn_loop_self()));
    return tx;
}

void server_open(struct server *s)
{
    static char address[200];
    const char *const addrs[] = {address};

    test_heap_allow(160 * 1024); /* libcrypto's tables */
    *s = (struct server){.budget = FT_BUDGET_INIT(FT_DECODE_BUDGET_DEFAULT)};
    snprintf(address, sizeof(address), "unix:%s/agents", test_dir());
    OK(ft_registry_new(&s->registry));
    s->changes = tx_of_loop(s);
    ft_registry_on_change(s->registry, s->changes);
    OK(ft_intake_new(
        &(struct ft_fanout_options){.data_dir = test_dir(), .lane = ft_lane_settings_default},
        ft_sessions_ack, s->registry, &s->intake));
    OK(ft_sessions_open(&(struct ft_sessions_options){.registry = s->registry,
                                                      .intake = s->intake,
                                                      .budget = &s->budget,
                                                      .message_max = 65536,
                                                      .heartbeat_s = HEARTBEAT_S,
                                                      .addrs = addrs,
                                                      .n_addrs = 1},
                        &s->sessions, NULL));
    OK(rn_scope_open(RN_SCOPE_WAIT_ALL, &s->scope));
    static const _Atomic rn_time apply_timeout = 60 * RN_S;
    OK(ft_liveness_start(s->scope, &(struct ft_liveness_options){s->registry, &apply_timeout}));
    OK(rn_sleep(rn_after(RN_MS))); /* a virtual clock begins with 0, which means "never" */
}

void server_close(struct server *s)
{
    OK(rn_scope_close(s->scope));
    ft_sessions_close(s->sessions);
    OK(ft_intake_stop(s->intake, rn_after(5 * RN_S)));
    ft_intake_free(s->intake);
    ft_registry_free(s->registry);
    rn_rx_closep(&s->changed);
}

/* ---- peers ---- */

struct ft_uuid uuid_of(unsigned n)
{
    struct ft_uuid u = {{1}};

    memcpy(u.bytes + 4, &n, sizeof(n));
    return u;
}

void peer_open(struct peer *p, struct server *s, unsigned n)
{
    OK(rnet_dial(ft_sessions_address(s->sessions, 0), rn_after(10 * RN_S), &p->stream));
    p->uid = uuid_of(n);
    if (!p->capabilities)
        p->capabilities = CAPS_MIN;
}

void peer_close(struct peer *p)
{
    ft_server_message_fini(&p->got);
    rnet_stream_closep(&p->stream);
}

void peer_send_raw(struct peer *p, const void *bytes, size_t n)
{
    OK(rnet_stream_write(p->stream, bytes, n, rn_after(20 * RN_S)));
}

void peer_send(struct peer *p, const message *m)
{
    CLEANUP(ft_buf_fini) struct ft_buf frame = FT_BUF_INIT(1 << 20);
    message with = *m;

    with.instance_uid = (ProtobufCBinaryData){sizeof(p->uid.bytes), p->uid.bytes};
    with.sequence_num = p->seq++;
    with.capabilities = p->capabilities;
    OK(ft_message_encode_frame(&with.base, 1 << 20, &frame));
    peer_send_raw(p, frame.data, frame.len);
}

const Opamp__Proto__ServerToAgent *peer_next(struct peer *p)
{
    struct ft_limits limits = {.message_max = 1 << 20};
    CLEANUP(freep) uint8_t *payload = NULL;
    struct rn_slice bytes;
    size_t len;

    ft_server_message_fini(&p->got);
    p->got = (struct ft_server_message){0};
    int r = rnet_stream_read_frame(p->stream, 1 << 20, rn_after(20 * RN_S), &payload, &len);
    if (r == 0 || r == -ECONNRESET)
        return NULL;
    OK(r);
    OK(ft_envelope_decode(rn_slice(payload, len), &bytes));
    OK(ft_opamp_decode_server(bytes, &limits, &p->got, NULL));
    return p->got.msg;
}

const Opamp__Proto__ServerToAgent *peer_ask(struct peer *p, const message *m)
{
    peer_send(p, m);
    const Opamp__Proto__ServerToAgent *reply = peer_next(p);
    if (!reply)
        FAIL("the server hung up instead of answering");
    return reply;
}

const Opamp__Proto__ServerToAgent *peer_beat(struct peer *p)
{
    message m = OPAMP__PROTO__AGENT_TO_SERVER__INIT;

    return peer_ask(p, &m);
}

void peer_hears_nothing(struct peer *p, rn_time span)
{
    uint8_t byte;

    ERR(rnet_stream_read(p->stream, &byte, 1, rn_after(span)), ETIMEDOUT);
}

bool peer_is_cut(struct peer *p)
{
    return peer_next(p) == NULL;
}

/* ---- reports ---- */

static void set_bytes(ProtobufCBinaryData *to, struct rn_slice bytes)
{
    *to = (ProtobufCBinaryData){bytes.len, (uint8_t *)(uintptr_t)bytes.data};
}

message *report_whole(struct report *r, const char *host)
{
    opamp__proto__agent_to_server__init(&r->m);
    opamp__proto__agent_description__init(&r->description);
    opamp__proto__key_value__init(&r->kv);
    opamp__proto__any_value__init(&r->value);
    opamp__proto__component_health__init(&r->health);
    opamp__proto__effective_config__init(&r->effective);
    opamp__proto__agent_config_map__init(&r->map);
    r->kv.key = (char *)(uintptr_t) "host.name";
    r->kv.value = &r->value;
    r->value.value_case = OPAMP__PROTO__ANY_VALUE__VALUE_STRING_VALUE;
    r->value.string_value = (char *)(uintptr_t)host;
    r->kvs[0] = &r->kv;
    r->description.n_non_identifying_attributes = 1;
    r->description.non_identifying_attributes = r->kvs;
    r->effective.config_map = &r->map;
    r->m.agent_description = &r->description;
    r->m.health = &r->health;
    r->m.effective_config = &r->effective;
    return &r->m;
}

static void begin_if_new(struct report *r)
{
    if (!r->m.base.descriptor)
        opamp__proto__agent_to_server__init(&r->m);
}

message *report_config(struct report *r, const struct ft_hash *hash, enum ft_status status,
                       const char *error)
{
    begin_if_new(r);
    opamp__proto__remote_config_status__init(&r->config);
    set_bytes(&r->config.last_remote_config_hash, ft_hash_slice(hash));
    r->config.status = (Opamp__Proto__RemoteConfigStatuses)status;
    r->config.error_message = (char *)(uintptr_t)error;
    r->m.remote_config_status = &r->config;
    return &r->m;
}

message *report_settings(struct report *r, struct rn_slice hash, enum ft_status status)
{
    begin_if_new(r);
    opamp__proto__connection_settings_status__init(&r->settings);
    set_bytes(&r->settings.last_connection_settings_hash, hash);
    r->settings.status = (Opamp__Proto__ConnectionSettingsStatuses)status;
    r->m.connection_settings_status = &r->settings;
    return &r->m;
}

message *report_first(struct report *r, const char *host)
{
    report_whole(r, host);
    opamp__proto__remote_config_status__init(&r->config);
    r->m.remote_config_status = &r->config;
    return &r->m;
}

/* ---- the other side ---- */

struct ft_hash server_desires(struct server *s, unsigned n, uint64_t assignment, const char *body)
{
    struct ft_object object = {.name = S("a"), .content_type = S("text/plain"), .body = S(body)};
    struct ft_objects objects = {&object, 1};
    struct ft_desired desired = {.assignment = assignment, .since = rn_now()};
    struct ft_uuid uid = uuid_of(n);

    OK(ft_rendered_new(&objects, &desired.rendered));
    struct ft_hash hash = desired.rendered->hash;
    OK(ft_registry_desire(s->registry, &uid, &desired));
    return hash;
}

struct ft_agent_snapshot server_snapshot(struct server *s, unsigned n)
{
    struct ft_agent_snapshot snapshot;
    struct ft_uuid uid = uuid_of(n);

    OK(ft_registry_snapshot(s->registry, &uid, &snapshot));
    return snapshot;
}

enum ft_liveness server_liveness(struct server *s, unsigned n)
{
    CLEANUP(ft_agent_snapshot_fini) struct ft_agent_snapshot snapshot = server_snapshot(s, n);

    return snapshot.liveness;
}

enum ft_status server_status(struct server *s, unsigned n)
{
    CLEANUP(ft_agent_snapshot_fini) struct ft_agent_snapshot snapshot = server_snapshot(s, n);

    return (enum ft_status)snapshot.status;
}

bool offers(const Opamp__Proto__ServerToAgent *m, const struct ft_hash *hash)
{
    if (!m->remote_config)
        return false;
    EQ(m->remote_config->config_hash.len, FT_HASH_LEN);
    MEMEQ(m->remote_config->config_hash.data, hash->bytes, FT_HASH_LEN);
    return true;
}

bool is_plain(const Opamp__Proto__ServerToAgent *m)
{
    return !m->error_response && !m->remote_config && !m->connection_settings &&
           !m->packages_available && !m->agent_identification && !m->command && !m->custom_message;
}
