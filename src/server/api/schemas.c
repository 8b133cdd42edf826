#include "api/schemas.h"

#include <string.h>

#include "api/internal.h"

const struct ft_schema ft_schemas[] = {
    {"Problem", "type string, title string, status integer, detail? string, errors? FieldError[]",
     NULL},
    {"FieldError", "pointer string, detail string, line? integer", NULL},
    {"State", "status string", NULL},

    {"Agent",
     "instance_uid uuid, status Liveness, transport Transport, remote_address string, group "
     "string, labels string{}, identifying_attributes any{}, non_identifying_attributes any{}, "
     "capabilities string[], sequence_num integer, last_seen time|null, connected_since time|null, "
     "health Health|null, config AgentConfig",
     NULL},
    {"Liveness", NULL, "online stale offline"},
    {"Transport", NULL, "tcp websocket http"},
    {"Health", "healthy boolean, status string, last_error? string, components Health{}", NULL},
    {"AgentConfig",
     "name string|null, version integer|null, desired_hash hash|null, applied_hash hash|null, "
     "effective_hash hash|null, status ConfigStatus, error string",
     NULL},
    {"ConfigStatus", NULL, "UNSET APPLYING APPLIED FAILED"},
    {"AgentPage", "items Agent[], next string|null", NULL},
    {"Object", "content_type string, body? string, body_base64? string", NULL},
    {"EffectiveConfig", "objects Object{}", NULL},
    {"Sample",
     "agent_id uuid, boot_id uuid, seq integer, timestamp integer, host_name string, ip string, "
     "pid integer, process_name string, cmd string, cpu_usage_rate number|null, mem_usage integer, "
     "send_lines integer",
     NULL},
    {"SamplePage", "items Sample[], next string|null", NULL},

    {"Exporter",
     "name string, type string, required boolean, draining boolean, state ExporterState, "
     "queued_batches integer, "
     "in_flight_batches integer, last_error string|null, last_success time|null, ledger Ledger",
     NULL},
    {"ExporterState", NULL, "starting ok degraded holding open"},
    {"Ledger",
     "offered integer, replayed integer, delivered integer, duplicate integer, dead_lettered "
     "integer, queued integer, in_flight integer, on_disk integer, dropped integer{}",
     NULL},
    {"ExporterPage", "items Exporter[], next string|null", NULL},

    {"Configuration",
     "name string, comment string, latest integer, created time|null, updated time|null", NULL},
    {"ConfigurationDraft", "name string, comment? string|null", NULL},
    {"ConfigurationPage", "items Configuration[], next string|null", NULL},
    {"VersionHead",
     "configuration string, version integer, hash hash, comment string, created time|null", NULL},
    {"VersionPage", "items VersionHead[], next string|null", NULL},
    {"VersionObject", "content_type? string, body? string, body_base64? string, template? boolean",
     NULL},
    {"Version",
     "configuration string, version integer, hash hash, comment string, created time|null, objects "
     "VersionObject{}",
     NULL},
    {"VersionDraft", "objects VersionObject{}, comment? string|null", NULL},
    {"VersionDiff", "configuration string, version integer, against integer, objects string{}",
     NULL},

    {"Group",
     "name string, selector string, priority integer, configuration VersionName|null, variables "
     "string{}, assigned time|null, updated time|null",
     NULL},
    {"GroupDraft",
     "selector string, priority integer, configuration? VersionName|null, variables? "
     "string{}|null",
     NULL},
    {"GroupPage", "items Group[], next string|null", NULL},
    {"VersionName", "name string, version integer", NULL},
    {"Assigned", "configuration string, version integer, hash hash", NULL},

    {"AgentEvent", "time time, change AgentChange, instance_uid uuid, status Liveness", NULL},
    {"AgentChange", NULL, "appeared connected status goodbye"},
    {"ConfigEvent",
     "time time, change ConfigChange, group? string, instance_uid? uuid, configuration? string|null, "
     "version? integer|null, hash? hash|null, status? ConfigStatus, error? string",
     NULL},
    {"ConfigChange", NULL, "status version group group_deleted"},
    {"ExporterEvent",
     "time time, change ExporterChange, exporter string, state? ExporterState, last_error? "
     "string|null",
     NULL},
    {"ExporterChange", NULL, "state removed"},
    {"ResetEvent", "reason ResetReason, lost integer|null, detail string", NULL},
    {"ResetReason", NULL, "lost restarted unknown"},
};
const size_t ft_schemas_count = sizeof(ft_schemas) / sizeof(ft_schemas[0]);

/* ---- one type ---- */

static json_t *base_type(struct rn_slice name)
{
    static const struct {
        const char *name, *type, *format, *pattern;
    } bases[] = {
        {"string", "string", NULL, NULL},      {"integer", "integer", NULL, NULL},
        {"number", "number", NULL, NULL},      {"boolean", "boolean", NULL, NULL},
        {"time", "string", "date-time", NULL}, {"uuid", "string", "uuid", NULL},
        {"hash", "string", NULL, "^[0-9a-f]{64}$"},
    };
    char ref[128];

    if (rn_slice_eq_str(name, "any"))
        return json_object();
    for (size_t i = 0; i < sizeof(bases) / sizeof(bases[0]); i++) {
        if (!rn_slice_eq_str(name, bases[i].name))
            continue;
        return json_pack("{s:s, s:s*, s:s*}", "type", bases[i].type, "format", bases[i].format,
                         "pattern", bases[i].pattern);
    }
    snprintf(ref, sizeof(ref), "#/components/schemas/%.*s", (int)name.len, name.data);
    return json_pack("{s:s}", "$ref", ref);
}

static bool cut_suffix(struct rn_slice *s, const char *suffix)
{
    size_t n = strlen(suffix);

    if (s->len <= n || memcmp(s->data + s->len - n, suffix, n) != 0)
        return false;
    s->len -= n;
    return true;
}

json_t *ft_schema_type(struct rn_slice type)
{
    bool nullable = cut_suffix(&type, "|null"), map = cut_suffix(&type, "{}"),
         list = !map && cut_suffix(&type, "[]");
    json_t *j = base_type(type);

    if (map)
        j = json_pack("{s:s, s:o}", "type", "object", "additionalProperties", j);
    if (list)
        j = json_pack("{s:s, s:o}", "type", "array", "items", j);
    return nullable ? json_pack("{s:[o, {s:s}]}", "anyOf", j, "type", "null") : j;
}

/* ---- schemas ---- */

/* The part before `end`, without the blanks around it; *left goes on behind it. */
static struct rn_slice take_until(struct rn_slice *left, char end)
{
    const uint8_t *at = memchr(left->data, end, left->len);
    size_t n = at ? (size_t)(at - left->data) : left->len;
    struct rn_slice part = rn_slice(left->data, n);

    *left = rn_slice_from(*left, at ? n + 1 : n);
    while (part.len && part.data[0] == ' ')
        part = rn_slice_from(part, 1);
    return part;
}

static json_t *schema_enum(const char *values)
{
    struct rn_slice left = rn_slice_str(values);
    json_t *list = json_array();

    while (left.len)
        ft_json_add(&list, ft_json_slice(take_until(&left, ' ')));
    return json_pack("{s:s, s:o}", "type", "string", "enum", list);
}

json_t *ft_schema_json(const struct ft_schema *s)
{
    struct rn_slice left = rn_slice_str(s->fields ? s->fields : "");
    json_t *properties = json_object(), *required = json_array();

    if (s->values) {
        json_decref(properties);
        json_decref(required);
        return schema_enum(s->values);
    }
    while (left.len) {
        struct rn_slice type = take_until(&left, ','), key = take_until(&type, ' ');

        if (key.data[key.len - 1] == '?')
            key.len--;
        else
            ft_json_add(&required, ft_json_slice(key));
        ft_json_set(&properties, key, ft_schema_type(type));
    }
    return json_pack("{s:s, s:o, s:o, s:b}", "type", "object", "properties", properties, "required",
                     required, "additionalProperties", 0);
}
