/* An agent as JSON. The record is a snapshot, its group comes from the catalog as it is now: so a
 * new assignment shows at once, with `desired_hash` null until it is rendered. */
#include "api/internal.h"

#include <string.h>

#include <base/cleanup.h>

#include <proto/message.h>
#include <proto/names.h>
#include <proto/utf8.h>

#include "config/subject.h"

#define COMPONENTS_DEPTH_MAX 8

static json_t *json_attr(const struct ft_attr *a)
{
    if (a->kind == FT_ATTR_STRING)
        return ft_json_slice(a->text);
    if (a->kind == FT_ATTR_NULL)
        return json_null();
    /* Its text is JSON already. Should it not parse all the same, it is shown as text; without
     * memory nothing is said about its syntax. */
    json_error_t error;
    json_t *j = json_loadb((const char *)a->text.data, a->text.len, JSON_DECODE_ANY, &error);
    return j || !error.text[0] ? j : ft_json_slice(a->text);
}

/* Attributes, but for those that are labels: these go to `labels`. */
static json_t *json_attrs(const struct ft_attrs *attrs, json_t **labels)
{
    json_t *j = json_object();
    struct rn_slice label;

    for (uint32_t i = 0; attrs && i < attrs->count; i++) {
        if (labels && ft_attr_is_label(&attrs->items[i], &label))
            ft_json_set(labels, label, ft_json_slice(attrs->items[i].text));
        else
            ft_json_set(&j, attrs->items[i].key, json_attr(&attrs->items[i]));
    }
    return j;
}

static json_t *json_capabilities(uint64_t capabilities)
{
    json_t *j = json_array();
    uint64_t bit = 0;

    for (const char *name; (name = ft_agent_capability_next(capabilities, &bit));)
        ft_json_add(&j, json_string(name));
    return j;
}

static json_t *json_component(const Opamp__Proto__ComponentHealth *h, unsigned depth)
{
    json_t *components = json_object();
    json_t *j = json_pack("{s:b, s:o}", "healthy", h->healthy, "status",
                          ft_json_slice(rn_slice_str(h->status)));

    if (h->last_error && *h->last_error)
        ft_json_set(&j, RN_SLICE_LITERAL("last_error"), ft_json_slice(rn_slice_str(h->last_error)));
    for (size_t i = 0; depth < COMPONENTS_DEPTH_MAX && i < h->n_component_health_map; i++) {
        const Opamp__Proto__ComponentHealth__ComponentHealthMapEntry *e =
            h->component_health_map[i];
        if (e->value)
            ft_json_set(&components, rn_slice_str(e->key), json_component(e->value, depth + 1));
    }
    ft_json_set(&j, RN_SLICE_LITERAL("components"), components);
    return j;
}

static json_t *json_health(const struct ft_blob *blob)
{
    CLEANUP(ft_arena_fini) struct ft_arena arena = {0};
    struct ft_limits limits = {.message_max = FT_MESSAGE_MAX_LIMIT};
    ProtobufCMessage *m;

    if (!blob || ft_message_decode(ft_blob_slice(blob), &opamp__proto__component_health__descriptor,
                                   &limits, &arena, &m, NULL) < 0)
        return json_null();
    return json_component((const Opamp__Proto__ComponentHealth *)m, 0);
}

json_t *ft_json_timed_out(const struct ft_api *api)
{
    char text[128];

    snprintf(text, sizeof(text), "APPLYING, and no news of it for %lld s",
             (long long)(atomic_load_explicit(api->o.apply_timeout, memory_order_relaxed) / RN_S));
    return json_string(text);
}

static json_t *json_error(const struct ft_api *api, const struct ft_agent_snapshot *s)
{
    if (s->render_error)
        return ft_json_slice(ft_blob_slice(s->render_error));
    if (s->status != FT_STATUS_FAILED)
        return json_string("");
    return s->timed_out ? ft_json_timed_out(api) : ft_json_slice(ft_blob_slice(s->status_error));
}

/* What it should have, as far as that is rendered. */
static json_t *json_config(const struct ft_api *api, const struct ft_agent_snapshot *s,
                           const struct ft_group *g)
{
    if (!g->version)
        return json_pack("{s:n, s:n, s:n, s:n, s:n, s:s, s:s}", "name", "version", "desired_hash",
                         "applied_hash", "effective_hash", "status", "UNSET", "error", "");
    bool current = s->assignment == g->assignment;
    return json_pack("{s:s, s:I, s:o, s:o, s:o, s:s, s:o}", "name", g->version->head.configuration,
                     "version", (json_int_t)g->version->head.number, "desired_hash",
                     current && s->rendered ? ft_json_hash(&s->rendered->hash, true) : json_null(),
                     "applied_hash", ft_json_hash(&s->applied_hash, s->has_applied_hash),
                     "effective_hash", ft_json_hash(&s->effective_hash, s->has_effective_hash),
                     "status", current ? ft_status_name(s->status) : "UNSET", "error",
                     current ? json_error(api, s) : json_string(""));
}

json_t *ft_json_agent(struct ft_api *api, const struct ft_agent_snapshot *s)
{
    CLEANUP(ft_subject_fini) struct ft_subject subject = {0};
    CLEANUP(ft_group_unrefp) struct ft_group *group = NULL;
    char uid[FT_UUID_TEXT_SIZE];
    json_t *labels = json_object();

    ft_uuid_format(&s->uid, uid);
    if (ft_subject_init(&subject, &s->uid, ft_blob_slice(s->description)) < 0)
        subject = (struct ft_subject){.uid = s->uid};
    group = ft_catalog_resolve(api->o.catalog, ft_subject_lookup, &subject);
    json_t *others = json_attrs(subject.non_identifying, &labels);
    return json_pack("{s:s, s:s, s:s, s:s, s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}",
                     "instance_uid", uid, "status", ft_liveness_name(s->liveness), "transport",
                     ft_transport_name(s->transport), "remote_address", s->remote_address, "group",
                     group->name, "labels", labels, "identifying_attributes",
                     json_attrs(subject.identifying, NULL), "non_identifying_attributes", others,
                     "capabilities", json_capabilities(s->capabilities), "sequence_num",
                     ft_json_u64(s->sequence_num), "last_seen", ft_json_time(s->last_seen_ms),
                     "connected_since", ft_json_time(s->connected_since_ms), "health",
                     json_health(s->health), "config", json_config(api, s, group));
}
