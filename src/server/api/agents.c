/* GET /agents, /agents/{uid}, .../effective-config, .../metrics */
#include "api/internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <base/cleanup.h>

#include <proto/message.h>

#include "config/subject.h"

#define YIELD_EVERY 64 /* agents of a list between two turns of everybody else */

/* The agent that the path names, or false after a 404. */
static bool find_agent(struct ft_api *api, struct rnet_http_request *req,
                       struct ft_agent_snapshot *ret)
{
    struct ft_uuid uid;

    if (ft_uuid_parse(rnet_http_param(req, "uid"), &uid) == 0 &&
        ft_registry_snapshot(api->o.registry, &uid, ret) == 0)
        return true;
    ft_reply_problem(req, 404,
                     "there is no agent with this instance_uid: GET /api/v1/agents lists them");
    return false;
}

void ft_handle_agent_get(void *arg, struct rnet_http_request *req)
{
    CLEANUP(ft_agent_snapshot_fini) struct ft_agent_snapshot s = {0};

    if (find_agent(arg, req, &s))
        ft_reply_json(req, 200, ft_json_agent(arg, &s));
}

void ft_handle_agent_effective(void *arg, struct rnet_http_request *req)
{
    CLEANUP(ft_agent_snapshot_fini) struct ft_agent_snapshot s = {0};
    CLEANUP(ft_arena_fini) struct ft_arena arena = {0};
    CLEANUP(ft_objects_fini) struct ft_objects objects = {0};
    struct ft_limits limits = {.message_max = FT_MESSAGE_MAX_LIMIT};
    ProtobufCMessage *m;

    if (!find_agent(arg, req, &s))
        return;
    int r =
        ft_message_decode(ft_blob_slice(s.effective), &opamp__proto__agent_config_map__descriptor,
                          &limits, &arena, &m, NULL);
    if (r == 0)
        r = ft_objects_from_opamp((const Opamp__Proto__AgentConfigMap *)m, &objects);
    if (r == -ENOMEM)
        ft_reply_problem(req, 503, "the server is out of memory");
    else if (r < 0)
        ft_reply_problem(req, 500, "the effective configuration cannot be read: %s", strerror(-r));
    else
        ft_reply_json(req, 200, json_pack("{s:o}", "objects", ft_json_objects(&objects, false)));
}

/* ---- the list ---- */

struct filter {
    struct ft_selector *selector;
    struct rn_slice group;
    int liveness; /* -1: any */
};

static void filter_fini(struct filter *f)
{
    ft_selector_free(f->selector);
}

static bool parse_filter(struct rnet_http_request *req, struct filter *f)
{
    struct rn_slice selector = rnet_http_query(req, "selector"),
                    status = rnet_http_query(req, "status");
    struct ft_syntax_error error;

    f->group = rnet_http_query(req, "group");
    f->liveness = -1;
    for (int i = 0; i < FT_LIVENESS_COUNT; i++)
        if (rn_slice_eq_str(status, ft_liveness_name((enum ft_liveness)i)))
            f->liveness = i;
    if (status.data && f->liveness < 0) {
        ft_reply_problem(req, 400, "status must be online, stale or offline");
        return false;
    }
    if (selector.data && ft_selector_parse(selector, &f->selector, &error) < 0) {
        ft_reply_problem(req, 400, "selector, column %u: %s", error.column, error.text);
        return false;
    }
    return true;
}

static bool matches(struct ft_api *api, const struct filter *f, const struct ft_agent_snapshot *s)
{
    CLEANUP(ft_subject_fini) struct ft_subject subject = {0};
    CLEANUP(ft_group_unrefp) struct ft_group *group = NULL;

    if (f->liveness >= 0 && (int)s->liveness != f->liveness)
        return false;
    if (!f->selector && !f->group.data)
        return true;
    if (ft_subject_init(&subject, &s->uid, ft_blob_slice(s->description)) < 0)
        subject = (struct ft_subject){.uid = s->uid};
    if (!ft_selector_match(f->selector, ft_subject_lookup, &subject))
        return false;
    group = ft_catalog_resolve(api->o.catalog, ft_subject_lookup, &subject);
    return !f->group.data || rn_slice_eq_str(f->group, group->name);
}

/* The uid that the cursor names; false after a 400. */
static bool parse_last(struct rnet_http_request *req, const struct ft_page *page,
                       struct ft_uuid *ret)
{
    *ret = (struct ft_uuid){0}; /* nobody has that one, and all come after it */
    if (!page->after[0] || ft_uuid_parse(rn_slice_str(page->after), ret) == 0)
        return true;
    ft_reply_problem(req, 400, "cursor must be a `next` of an earlier page");
    return false;
}

/* The first uid behind the cursor. */
static size_t first_behind(const struct ft_uuid *uids, size_t n, const struct ft_uuid *last)
{
    size_t lo = 0, hi = n;

    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (ft_uuid_cmp(&uids[mid], last) <= 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

/* One agent into the page, if it matches. False when the page is full already. */
static bool add_agent(struct ft_api *api, const struct filter *f, const struct ft_uuid *uid,
                      const struct ft_page *page, json_t **items)
{
    CLEANUP(ft_agent_snapshot_fini) struct ft_agent_snapshot s = {0};

    if (ft_registry_snapshot(api->o.registry, uid, &s) < 0 || !matches(api, f, &s))
        return true;
    if (!*items || json_array_size(*items) == page->limit)
        return false;
    ft_json_add(items, ft_json_agent(api, &s));
    return true;
}

void ft_handle_agents_list(void *arg, struct rnet_http_request *req)
{
    struct ft_api *api = arg;
    CLEANUP(filter_fini) struct filter f = {0};
    CLEANUP(freep) struct ft_uuid *uids = NULL;
    struct ft_page page;
    struct ft_uuid after;
    const char *last = NULL;
    size_t n, i;

    if (!ft_request_page(req, &page) || !parse_last(req, &page, &after) || !parse_filter(req, &f))
        return;
    if (ft_registry_uids(api->o.registry, &uids, &n) < 0) {
        ft_reply_problem(req, 503, "the server is out of memory");
        return;
    }
    json_t *items = json_array();
    size_t first = first_behind(uids, n, &after);
    for (i = first; i < n && add_agent(api, &f, &uids[i], &page, &items); i++)
        if ((i - first) % YIELD_EVERY == YIELD_EVERY - 1 && rn_yield() < 0)
            break;
    if (i < n && json_array_size(items) > 0)
        last = json_string_value(
            json_object_get(json_array_get(items, json_array_size(items) - 1), "instance_uid"));
    char key[FT_UUID_TEXT_SIZE];
    if (last)
        last = strcpy(key, last);
    ft_reply_json(req, 200, ft_page_json(items, last));
}

/* ---- metrics ---- */

static json_t *json_sample(const struct ft_latest_sample *s)
{
    return json_pack(
        "{s:s, s:s, s:o, s:I, s:o, s:o, s:I, s:o, s:o, s:o, s:o, s:o}", "agent_id", s->agent_id,
        "boot_id", s->boot_id, "seq", ft_json_u64(s->sample.seq), "timestamp",
        (json_int_t)s->sample.timestamp_ms, "host_name", ft_json_slice(s->sample.host_name), "ip",
        ft_json_slice(s->sample.ip), "pid", (json_int_t)s->sample.pid, "process_name",
        ft_json_slice(s->sample.process_name), "cmd", ft_json_slice(s->sample.cmd),
        "cpu_usage_rate",
        s->sample.has_cpu_usage_rate ? json_real(s->sample.cpu_usage_rate) : json_null(),
        "mem_usage", ft_json_u64(s->sample.mem_usage), "send_lines",
        ft_json_u64(s->sample.send_lines));
}

void ft_handle_agent_metrics(void *arg, struct rnet_http_request *req)
{
    struct ft_api *api = arg;
    CLEANUP(ft_agent_snapshot_fini) struct ft_agent_snapshot s = {0};
    CLEANUP(ft_latest_list_fini) struct ft_latest_list list = {0};

    if (!find_agent(api, req, &s))
        return;
    if (ft_latest_snapshot(api->o.latest, &s.uid, &list) < 0) {
        ft_reply_problem(req, 503, "the server is out of memory");
        return;
    }
    json_t *items = json_array();
    for (size_t i = 0; i < list.n; i++)
        ft_json_add(&items, json_sample(&list.items[i]));
    ft_reply_json(req, 200, ft_page_json(items, NULL));
}
