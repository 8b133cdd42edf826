/* Composing messages. The structures that protobuf-c encodes lie in an arena for the length of the
 * call; texts are borrowed. */
#include "compose.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>

#include <base/cleanup.h>
#include <proto/message.h>
#include <proto/names.h>
#include <proto/utf8.h>

#include "effective.h"

#define SCRATCH_MAX FT_MIB
#define METRICS_BYTES_MAX (512 * FT_KIB) /* of one message, well under what any server takes */

#define CAPABILITIES                                                                               \
    (FT_AGENT_REPORTS_STATUS | FT_AGENT_ACCEPTS_REMOTE_CONFIG |                                    \
     FT_AGENT_REPORTS_EFFECTIVE_CONFIG | FT_AGENT_REPORTS_REMOTE_CONFIG |                          \
     FT_AGENT_REPORTS_HEALTH | FT_AGENT_REPORTS_HEARTBEAT |                                        \
     FT_AGENT_ACCEPTS_OPAMP_CONNECTION_SETTINGS | FT_AGENT_REPORTS_CONNECTION_SETTINGS_STATUS)

/* ---- texts and attributes ---- */

static char *text_copy(struct ft_arena *arena, const char *text)
{
    size_t size = strnlen(text, FT_TEXT_MAX) * 3 + 1;
    char *out = ft_arena_alloc(arena, size);

    if (out)
        (void)ft_text_clean(rn_slice_str(text), out, size);
    return out;
}

/* A growing list of key and text. */
struct attributes {
    struct ft_arena *arena;
    Opamp__Proto__KeyValue **items;
    size_t n, max;
};

static void attribute_add(struct attributes *a, const char *prefix, const char *key,
                          const char *value)
{
    Opamp__Proto__KeyValue *kv = ft_arena_alloc(a->arena, sizeof(*kv));
    Opamp__Proto__AnyValue *v = ft_arena_alloc(a->arena, sizeof(*v));
    char name[FT_TEXT_MAX];

    if (!kv || !v || a->n == a->max)
        return;
    (void)snprintf(name, sizeof(name), "%s%.1024s", prefix, key);
    opamp__proto__key_value__init(kv);
    opamp__proto__any_value__init(v);
    v->value_case = OPAMP__PROTO__ANY_VALUE__VALUE_STRING_VALUE;
    v->string_value = text_copy(a->arena, value);
    kv->key = text_copy(a->arena, name);
    kv->value = v;
    a->items[a->n++] = kv;
}

static int attributes_begin(struct attributes *a, struct ft_arena *arena, size_t max)
{
    *a = (struct attributes){.arena = arena, .max = max};
    a->items = ft_arena_alloc(arena, max * sizeof(*a->items));
    return a->items ? 0 : -ENOMEM;
}

/* What it is called: the process if there is just one, else the agent. */
static const char *service_name(const struct ft_agent *a)
{
    return a->supervisor.n == 1 ? a->supervisor.processes[0]->settings->name : "fettle-agent";
}

static int description_add(struct ft_agent *a, struct ft_arena *arena,
                           Opamp__Proto__AgentToServer *msg)
{
    Opamp__Proto__AgentDescription *d = ft_arena_alloc(arena, sizeof(*d));
    struct attributes identifying, other;
    struct utsname uts = {0};
    char uid[FT_UUID_TEXT_SIZE];

    if (!d || attributes_begin(&identifying, arena, 3) < 0 ||
        attributes_begin(&other, arena, 5 + a->settings->labels.n) < 0)
        return -ENOMEM;
    (void)uname(&uts);
    ft_uuid_format(&a->uid, uid);
    attribute_add(&identifying, "", "service.name", service_name(a));
    attribute_add(&identifying, "", "service.instance.id", uid);
    attribute_add(&identifying, "", "service.version", FETTLE_VERSION);
    attribute_add(&other, "", "host.name", a->host_name);
    attribute_add(&other, "", "host.arch", uts.machine);
    attribute_add(&other, "", "os.type", "linux");
    attribute_add(&other, "", "os.version", uts.release);
    for (size_t i = 0; i < a->settings->labels.n; i++)
        attribute_add(&other, "fettle.label.", a->settings->labels.items[i].key,
                      a->settings->labels.items[i].value);
    opamp__proto__agent_description__init(d);
    d->n_identifying_attributes = identifying.n;
    d->identifying_attributes = identifying.items;
    d->n_non_identifying_attributes = other.n;
    d->non_identifying_attributes = other.items;
    msg->agent_description = d;
    return 0;
}

/* ---- health ---- */

static const char *process_status(const struct ft_process *p)
{
    switch (p->state) {
    case FT_PROCESS_RUNNING:
        return "running";
    case FT_PROCESS_WAITING:
        return p->life == 0 ? "starting" : "restarting";
    default:
        return "stopped";
    }
}

static Opamp__Proto__ComponentHealth *process_health(const struct ft_process *p,
                                                     struct ft_arena *arena)
{
    Opamp__Proto__ComponentHealth *h = ft_arena_alloc(arena, sizeof(*h));
    char end[640];

    if (!h)
        return NULL;
    opamp__proto__component_health__init(h);
    h->healthy = p->state == FT_PROCESS_RUNNING;
    h->status = (char *)process_status(p);
    h->start_time_unix_nano = h->healthy ? (uint64_t)p->started_unix_ns : 0;
    if (!h->healthy && p->ended_life > 0) {
        ft_process_end_text(p, end, sizeof(end));
        h->last_error = text_copy(arena, end);
    }
    return h;
}

static int health_add(struct ft_agent *a, struct ft_arena *arena, Opamp__Proto__AgentToServer *msg)
{
    typedef Opamp__Proto__ComponentHealth__ComponentHealthMapEntry entry_type;
    size_t n = a->supervisor.n;
    Opamp__Proto__ComponentHealth *h = ft_arena_alloc(arena, sizeof(*h));
    entry_type **entries = ft_arena_alloc(arena, (n + 1) * sizeof(*entries));

    if (!h || !entries)
        return -ENOMEM;
    opamp__proto__component_health__init(h);
    h->healthy = true;
    for (size_t i = 0; i < n; i++) {
        const struct ft_process *p = a->supervisor.processes[i];

        entries[i] = ft_arena_alloc(arena, sizeof(**entries));
        if (!entries[i])
            return -ENOMEM;
        opamp__proto__component_health__component_health_map_entry__init(entries[i]);
        entries[i]->key = text_copy(arena, p->settings->name);
        entries[i]->value = process_health(p, arena);
        h->healthy &= p->state == FT_PROCESS_RUNNING;
    }
    h->status = h->healthy ? "running" : "degraded";
    h->start_time_unix_nano = (uint64_t)a->started_unix_ns;
    h->n_component_health_map = n;
    h->component_health_map = entries;
    msg->health = h;
    return 0;
}

/* ---- configuration ---- */

struct effective_job {
    const struct ft_agent *agent;
    struct ft_settings settings; /* held: a reload may exchange the agent's meanwhile */
    struct ft_effective effective;
};

static int effective_job(void *arg)
{
    struct effective_job *j = arg;

    return ft_effective_read(&j->settings, &j->agent->store, &j->effective);
}

static int effective_add(const struct ft_effective *e, struct ft_arena *arena,
                         Opamp__Proto__AgentToServer *msg)
{
    typedef Opamp__Proto__AgentConfigMap__ConfigMapEntry entry_type;
    Opamp__Proto__EffectiveConfig *c = ft_arena_alloc(arena, sizeof(*c));
    Opamp__Proto__AgentConfigMap *map = ft_arena_alloc(arena, sizeof(*map));
    entry_type **entries = ft_arena_alloc(arena, (e->n + 1) * sizeof(*entries));

    if (!c || !map || !entries)
        return -ENOMEM;
    opamp__proto__effective_config__init(c);
    opamp__proto__agent_config_map__init(map);
    for (size_t i = 0; i < e->n; i++) {
        Opamp__Proto__AgentConfigObject *o = ft_arena_alloc(arena, sizeof(*o));

        entries[i] = ft_arena_alloc(arena, sizeof(**entries));
        if (!o || !entries[i])
            return -ENOMEM;
        opamp__proto__agent_config_object__init(o);
        opamp__proto__agent_config_map__config_map_entry__init(entries[i]);
        o->body = (ProtobufCBinaryData){e->files[i].body.len, e->files[i].body.data};
        o->content_type = e->files[i].content_type;
        entries[i]->key = (char *)e->files[i].name;
        entries[i]->value = o;
    }
    map->n_config_map = e->n;
    map->config_map = entries;
    c->config_map = map;
    msg->effective_config = c;
    return 0;
}

static int status_add(struct ft_agent *a, struct ft_arena *arena, Opamp__Proto__AgentToServer *msg)
{
    Opamp__Proto__RemoteConfigStatus *s = ft_arena_alloc(arena, sizeof(*s));

    if (!s)
        return -ENOMEM;
    opamp__proto__remote_config_status__init(s);
    s->last_remote_config_hash =
        (ProtobufCBinaryData){a->report.status.hash_len, a->report.status.hash};
    s->status = (Opamp__Proto__RemoteConfigStatuses)a->report.status.status;
    s->error_message = a->report.status.error;
    msg->remote_config_status = s;
    return 0;
}

static int settings_add(struct ft_agent *a, struct ft_arena *arena,
                        Opamp__Proto__AgentToServer *msg)
{
    Opamp__Proto__ConnectionSettingsStatus *s;

    if (a->report.settings.status == FT_STATUS_UNSET)
        return 0;
    s = ft_arena_alloc(arena, sizeof(*s));
    if (!s)
        return -ENOMEM;
    opamp__proto__connection_settings_status__init(s);
    s->last_connection_settings_hash =
        (ProtobufCBinaryData){a->report.settings.hash_len, a->report.settings.hash};
    s->status = (Opamp__Proto__ConnectionSettingsStatuses)a->report.settings.status;
    s->error_message = a->report.settings.error;
    msg->connection_settings_status = s;
    return 0;
}

/* ---- custom messages ---- */

static int custom_add(struct ft_arena *arena, Opamp__Proto__AgentToServer *msg)
{
    Opamp__Proto__CustomCapabilities *c = ft_arena_alloc(arena, sizeof(*c));
    char **names = ft_arena_alloc(arena, sizeof(*names));

    if (!c || !names)
        return -ENOMEM;
    opamp__proto__custom_capabilities__init(c);
    names[0] = FT_CAPABILITY_PROCESS_METRICS;
    c->n_capabilities = 1;
    c->capabilities = names;
    msg->custom_capabilities = c;
    return 0;
}

static int metrics_add(struct ft_agent *a, struct ft_arena *arena, struct ft_buf *data,
                       Opamp__Proto__AgentToServer *msg)
{
    Opamp__Proto__CustomMessage *c;
    int r = ft_buffer_encode_unsent(&a->samples, &a->boot, METRICS_BYTES_MAX, data);

    if (r <= 0)
        return r;
    c = ft_arena_alloc(arena, sizeof(*c));
    if (!c)
        return -ENOMEM;
    opamp__proto__custom_message__init(c);
    c->capability = FT_CAPABILITY_PROCESS_METRICS;
    c->type = FT_TYPE_PROCESS_METRICS;
    c->data = (ProtobufCBinaryData){data->len, data->data};
    msg->custom_message = c;
    return 0;
}

/* ---- the message ---- */

static int parts_add(struct ft_agent *a, unsigned parts, const struct ft_effective *effective,
                     struct ft_arena *arena, Opamp__Proto__AgentToServer *msg)
{
    int r = 0;

    if (parts & FT_PART_DESCRIPTION)
        r = description_add(a, arena, msg);
    if (r == 0 && (parts & FT_PART_HEALTH))
        r = health_add(a, arena, msg);
    if (r == 0 && (parts & FT_PART_EFFECTIVE))
        r = effective_add(effective, arena, msg);
    if (r == 0 && (parts & FT_PART_STATUS))
        r = status_add(a, arena, msg);
    if (r == 0 && (parts & FT_PART_SETTINGS))
        r = settings_add(a, arena, msg);
    if (r == 0 && (parts & FT_PART_CUSTOM))
        r = custom_add(arena, msg);
    return r;
}

int ft_compose(struct ft_agent *a, const struct ft_message_plan *plan, struct ft_buf *out)
{
    CLEANUP(ft_arena_fini) struct ft_arena arena = {0};
    CLEANUP(ft_buf_fini) struct ft_buf metrics = FT_BUF_INIT(METRICS_BYTES_MAX * 2);
    struct effective_job effective = {.agent = a};
    Opamp__Proto__AgentToServer msg = OPAMP__PROTO__AGENT_TO_SERVER__INIT;
    Opamp__Proto__AgentDisconnect goodbye = OPAMP__PROTO__AGENT_DISCONNECT__INIT;
    int r = 0;

    ft_arena_init(&arena, SCRATCH_MAX, NULL);
    if (plan->parts & FT_PART_EFFECTIVE) { /* first: it suspends, and the other parts should be as
                                              they are when it leaves */
        ft_settings_share(a->settings, &effective.settings);
        r = FT_OUTSIDE(&a->monitor, rn_blocking(a->files, effective_job, &effective));
    }
    if (r == 0)
        r = parts_add(a, plan->parts, &effective.effective, &arena, &msg);
    if (r == 0 && plan->metrics)
        r = metrics_add(a, &arena, &metrics, &msg);
    if (r == 0) {
        msg.instance_uid = (ProtobufCBinaryData){sizeof(a->uid.bytes), a->uid.bytes};
        msg.sequence_num = a->report.sequence + 1;
        msg.capabilities = CAPABILITIES;
        msg.agent_disconnect = plan->goodbye ? &goodbye : NULL;
        r = ft_message_encode_frame(&msg.base, FT_MESSAGE_MAX_AGENT, out);
    }
    if (r == 0)
        a->report.sequence++;
    ft_effective_fini(&effective.effective);
    ft_settings_fini(&effective.settings); /* last: the names of what was read lie in there */
    return r;
}
