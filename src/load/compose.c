/* What a simulated agent says. The heartbeat is encoded by hand, everything else by the general
 * encoder from structures on the stack. */
#include "sim.h"

#include <errno.h>
#include <stdio.h>

#include <base/clock.h>

#include <proto/frame.h>
#include <proto/heartbeat.h>
#include <proto/metrics.h>
#include <proto/names.h>

#include "fleet.h"

#define ATTRIBUTES_MAX (FT_FLEET_LABELS_MAX + 3)
#define FRAME_HEAD (FT_FRAME_PREFIX_LEN + 1)
#define CAPABILITIES                                                                               \
    (FT_AGENT_REPORTS_STATUS | FT_AGENT_ACCEPTS_REMOTE_CONFIG |                                    \
     FT_AGENT_REPORTS_EFFECTIVE_CONFIG | FT_AGENT_REPORTS_REMOTE_CONFIG |                          \
     FT_AGENT_REPORTS_HEALTH | FT_AGENT_REPORTS_HEARTBEAT)

/* ---- attributes ---- */

struct attributes {
    Opamp__Proto__KeyValue items[ATTRIBUTES_MAX];
    Opamp__Proto__AnyValue values[ATTRIBUTES_MAX];
    Opamp__Proto__KeyValue *list[ATTRIBUTES_MAX];
    size_t n;
};

static void attribute_add(struct attributes *a, const char *key, const char *value)
{
    Opamp__Proto__KeyValue *kv = &a->items[a->n];
    Opamp__Proto__AnyValue *v = &a->values[a->n];

    opamp__proto__key_value__init(kv);
    opamp__proto__any_value__init(v);
    v->value_case = OPAMP__PROTO__ANY_VALUE__VALUE_STRING_VALUE;
    v->string_value = (char *)value;
    kv->key = (char *)key;
    kv->value = v;
    a->list[a->n++] = kv;
}

/* ---- messages ---- */

static int send_message(struct ft_sim *sim, Opamp__Proto__AgentToServer *m, struct ft_buf *out)
{
    m->instance_uid = (ProtobufCBinaryData){sizeof(sim->uid.bytes), sim->uid.bytes};
    m->sequence_num = ++sim->sequence;
    m->capabilities = CAPABILITIES;
    return ft_message_encode_frame(&m->base, FT_MESSAGE_MAX_AGENT, out);
}

static void status_fill(const struct ft_sim *sim, int status, Opamp__Proto__RemoteConfigStatus *s)
{
    opamp__proto__remote_config_status__init(s);
    s->status = (Opamp__Proto__RemoteConfigStatuses)status;
    if (sim->config)
        s->last_remote_config_hash = sim->config->message.msg->remote_config->config_hash;
}

/* What goes with the first message of each connection. */
static void common_fill(const struct ft_sim *sim, Opamp__Proto__RemoteConfigStatus *status,
                        Opamp__Proto__CustomCapabilities *custom, Opamp__Proto__AgentToServer *m)
{
    static char *names[] = {FT_CAPABILITY_PROCESS_METRICS};

    status_fill(sim, sim->config ? FT_STATUS_APPLIED : FT_STATUS_UNSET, status);
    opamp__proto__custom_capabilities__init(custom);
    custom->n_capabilities = 1;
    custom->capabilities = names;
    m->remote_config_status = status;
    m->custom_capabilities = custom;
}

int ft_compose_return(struct ft_sim *sim, struct ft_buf *out)
{
    Opamp__Proto__AgentToServer m = OPAMP__PROTO__AGENT_TO_SERVER__INIT;
    Opamp__Proto__CustomCapabilities custom;
    Opamp__Proto__RemoteConfigStatus status;

    common_fill(sim, &status, &custom, &m);
    return send_message(sim, &m, out);
}

int ft_compose_full(struct ft_sim *sim, struct ft_buf *out)
{
    const struct ft_fleet_options *o = &sim->fleet->options;
    Opamp__Proto__AgentToServer m = OPAMP__PROTO__AGENT_TO_SERVER__INIT;
    Opamp__Proto__AgentDescription description = OPAMP__PROTO__AGENT_DESCRIPTION__INIT;
    Opamp__Proto__ComponentHealth health = OPAMP__PROTO__COMPONENT_HEALTH__INIT;
    Opamp__Proto__EffectiveConfig effective = OPAMP__PROTO__EFFECTIVE_CONFIG__INIT;
    Opamp__Proto__CustomCapabilities custom;
    Opamp__Proto__RemoteConfigStatus status;
    struct attributes who = {.n = 0}, other = {.n = 0};
    char host[32];

    (void)snprintf(host, sizeof(host), "load-%zu", (size_t)(sim - sim->fleet->sims));
    attribute_add(&who, "service.name", "fettle-load");
    attribute_add(&other, "host.name", host);
    attribute_add(&other, "os.type", "linux");
    for (size_t i = 0; i < o->n_labels; i++)
        attribute_add(&other, o->labels[i].key, o->labels[i].value);
    description.n_identifying_attributes = who.n;
    description.identifying_attributes = who.list;
    description.n_non_identifying_attributes = other.n;
    description.non_identifying_attributes = other.list;
    health.healthy = true;
    health.status = "running";
    common_fill(sim, &status, &custom, &m);
    m.agent_description = &description;
    m.health = &health;
    if (sim->config) {
        effective.config_map = sim->config->message.msg->remote_config->config;
        m.effective_config = &effective;
    }
    return send_message(sim, &m, out);
}

int ft_compose_status(struct ft_sim *sim, int status, struct ft_buf *out)
{
    Opamp__Proto__AgentToServer m = OPAMP__PROTO__AGENT_TO_SERVER__INIT;
    Opamp__Proto__EffectiveConfig effective = OPAMP__PROTO__EFFECTIVE_CONFIG__INIT;
    Opamp__Proto__RemoteConfigStatus s;

    status_fill(sim, status, &s);
    m.remote_config_status = &s;
    if (status == FT_STATUS_APPLIED) {
        effective.config_map = sim->config->message.msg->remote_config->config;
        m.effective_config = &effective;
    }
    return send_message(sim, &m, out);
}

int ft_compose_goodbye(struct ft_sim *sim, struct ft_buf *out)
{
    Opamp__Proto__AgentToServer m = OPAMP__PROTO__AGENT_TO_SERVER__INIT;
    Opamp__Proto__AgentDisconnect goodbye = OPAMP__PROTO__AGENT_DISCONNECT__INIT;

    m.agent_disconnect = &goodbye;
    return send_message(sim, &m, out);
}

/* ---- the heartbeat ---- */

/* The next samples into the fleet's scratch: one process each, and numbers that move. */
static int samples_encode(struct ft_sim *sim)
{
    struct ft_fleet *f = sim->fleet;
    const int64_t now = wall_ms();

    for (uint64_t i = 0; i < f->options.samples; i++) {
        const uint64_t n = ++sim->sample;

        f->samples[i].seq = n;
        f->samples[i].timestamp_ms = now;
        f->samples[i].has_cpu_usage_rate = n > f->options.samples; /* null in each's first */
        f->samples[i].cpu_usage_rate = (double)(n % 100) / 100.0;
        f->samples[i].mem_usage = (uint64_t)(8 + n % 64) << 20;
        f->samples[i].send_lines = n * 10;
    }
    ft_buf_clear(&f->data);
    return ft_metrics_encode(f->boot.bytes, f->samples, f->options.samples, &f->data);
}

static void prefix_put(uint8_t *frame, size_t message_len)
{
    const uint32_t len = (uint32_t)message_len + 1;

    for (unsigned i = 0; i < FT_FRAME_PREFIX_LEN; i++)
        frame[i] = (uint8_t)(len >> (24 - 8 * i));
    frame[FT_FRAME_PREFIX_LEN] = 0;
}

int ft_compose_heartbeat(struct ft_sim *sim, struct ft_buf *out)
{
    struct ft_heartbeat h = {.instance_uid = ft_uuid_slice(&sim->uid),
                             .sequence_num = ++sim->sequence,
                             .capabilities = CAPABILITIES};
    const size_t at = out->len;
    int r = 0;

    if (sim->fleet->options.samples > 0 && sim->bits & FT_SIM_METRICS) {
        r = samples_encode(sim);
        h.has_custom = true;
        h.custom_capability = RN_SLICE_LITERAL(FT_CAPABILITY_PROCESS_METRICS);
        h.custom_type = RN_SLICE_LITERAL(FT_TYPE_PROCESS_METRICS);
        h.custom_data = ft_buf_slice(&sim->fleet->data);
    }
    if (r == 0)
        r = ft_buf_add(out, "\0\0\0\0", FRAME_HEAD);
    if (r == 0)
        r = ft_heartbeat_encode(&h, out);
    if (r == 0)
        prefix_put(out->data + at, out->len - at - FRAME_HEAD);
    return r;
}
