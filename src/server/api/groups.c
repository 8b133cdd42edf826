/* /agent-groups, and PUT .../configuration */
#include "api/internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <base/cleanup.h>

static json_t *json_variables(const struct ft_attrs *variables)
{
    json_t *j = json_object();

    for (uint32_t i = 0; variables && i < variables->count; i++)
        ft_json_set(&j, variables->items[i].key, ft_json_slice(variables->items[i].text));
    return j;
}

static json_t *json_group(const struct ft_group *g)
{
    json_t *configuration = g->version
                                ? json_pack("{s:s, s:I}", "name", g->version->head.configuration,
                                            "version", (json_int_t)g->version->head.number)
                                : json_null();

    return json_pack("{s:s, s:o, s:I, s:o, s:o, s:o, s:o}", "name", g->name, "selector",
                     ft_json_slice(ft_selector_text(g->selector)), "priority",
                     (json_int_t)g->priority, "configuration", configuration, "variables",
                     json_variables(g->variables), "assigned", ft_json_time(g->assigned_ms),
                     "updated", ft_json_time(g->updated_ms));
}

static int by_name(const void *a, const void *b)
{
    return strcmp((*(struct ft_group *const *)a)->name, (*(struct ft_group *const *)b)->name);
}

void ft_handle_groups_list(void *arg, struct rnet_http_request *req)
{
    struct ft_api *api = arg;
    struct ft_page page;

    if (!ft_request_page(req, &page))
        return;
    CLEANUP(ft_groups_unrefp) struct ft_groups *table = ft_catalog_groups(api->o.catalog);
    CLEANUP(freep) struct ft_group **sorted = malloc((table->count + 1) * sizeof(*sorted));
    if (!sorted) {
        ft_reply_problem(req, 503, "the server is out of memory");
        return;
    }
    memcpy(sorted, table->items, table->count * sizeof(*sorted));
    qsort(sorted, table->count, sizeof(*sorted), by_name);

    json_t *items = json_array();
    const char *last = NULL;
    size_t i = 0;
    while (i < table->count && page.after[0] && strcmp(sorted[i]->name, page.after) <= 0)
        i++;
    for (; i < table->count && items && json_array_size(items) < page.limit; i++) {
        ft_json_add(&items, json_group(sorted[i]));
        last = sorted[i]->name;
    }
    ft_reply_json(req, 200, ft_page_json(items, i < table->count ? last : NULL));
}

void ft_handle_group_get(void *arg, struct rnet_http_request *req)
{
    struct ft_api *api = arg;
    CLEANUP(ft_groups_unrefp) struct ft_groups *table = ft_catalog_groups(api->o.catalog);
    struct ft_group *g = ft_groups_get(table, rnet_http_param(req, "group"));

    if (g)
        ft_reply_json_tagged(req, 200, json_group(g), g->revision);
    else
        ft_reply_problem(req, 404, "there is no such group: GET /api/v1/agent-groups lists them");
}

void ft_handle_group_delete(void *arg, struct rnet_http_request *req)
{
    struct ft_api *api = arg;
    uint64_t if_match;

    if (!ft_request_if_match(req, &if_match))
        return;
    int r = ft_catalog_group_delete(api->o.catalog, rnet_http_param(req, "group"), if_match);
    if (r == -EPERM)
        ft_reply_problem(req, 409, "the group `default` always exists: it cannot be deleted");
    else if (r < 0)
        ft_reply_error(api, req, r, NULL, "group");
    else
        (void)rnet_http_respond(req, 204, NULL, (struct rn_slice){0});
}

/* ---- PUT /agent-groups/{group} ---- */

static const char *read_variables(const json_t *j, struct ft_attrs **ret)
{
    struct ft_attr items[FT_ATTRS_MAX];
    size_t n = 0;
    const char *key;
    json_t *value;

    if (!j || json_is_null(j))
        return NULL;
    if (!json_is_object(j) || json_object_size(j) > FT_ATTRS_MAX)
        return "must be an object of at most 256 strings";
    json_object_foreach((json_t *)j, key, value)
    {
        if (!json_is_string(value))
            return "each variable must be a string";
        items[n++] = (struct ft_attr){rn_slice_str(key),
                                      rn_slice(json_string_value(value), json_string_length(value)),
                                      FT_ATTR_STRING};
    }
    return ft_attrs_new(items, n, ret) < 0 ? "is too large: 64 KiB in all" : NULL;
}

static const char *read_configuration(const json_t *j, struct ft_group_draft *draft)
{
    const json_t *name = json_object_get(j, "name"), *version = json_object_get(j, "version");

    if (!j || json_is_null(j))
        return NULL;
    if (!json_is_string(name) || !json_is_integer(version) || json_object_size(j) != 2 ||
        json_integer_value(version) < 1 || json_integer_value(version) > UINT32_MAX)
        return "must be {\"name\": NAME, \"version\": NUMBER}";
    draft->configuration = rn_slice_str(json_string_value(name));
    draft->version = (uint32_t)json_integer_value(version);
    return NULL;
}

/* False after a 400. */
static bool read_draft(struct rnet_http_request *req, const json_t *body,
                       struct ft_group_draft *draft, struct ft_attrs **variables)
{
    static const char *const keys[] = {"selector", "priority", "configuration", "variables", NULL};
    const json_t *selector = json_object_get(body, "selector"),
                 *priority = json_object_get(body, "priority");
    const char *wrong;

    if (!ft_request_known_keys(req, body, keys))
        return false;
    if (!json_is_string(selector)) {
        ft_reply_field(req, 400, "/selector",
                       "must be a string, like env=prod,region!=eu; empty matches all");
        return false;
    }
    if (!json_is_integer(priority)) {
        ft_reply_field(req, 400, "/priority", "must be a whole number; the higher one wins");
        return false;
    }
    draft->selector = rn_slice(json_string_value(selector), json_string_length(selector));
    draft->priority = json_integer_value(priority);
    if ((wrong = read_configuration(json_object_get(body, "configuration"), draft))) {
        ft_reply_field(req, 400, "/configuration", wrong);
        return false;
    }
    if ((wrong = read_variables(json_object_get(body, "variables"), variables))) {
        ft_reply_field(req, 400, "/variables", wrong);
        return false;
    }
    draft->variables = *variables;
    return true;
}

static void put_group(struct ft_api *api, struct rnet_http_request *req, const json_t *body)
{
    CLEANUP(ft_attrs_freep) struct ft_attrs *variables = NULL;
    CLEANUP(ft_group_unrefp) struct ft_group *g = NULL;
    struct ft_group_draft draft = {.name = rnet_http_param(req, "group")};
    struct ft_problem problem = {0};
    bool created = false;

    if (!ft_request_if_match(req, &draft.if_match) || !read_draft(req, body, &draft, &variables))
        return;
    int r = ft_catalog_group_put(api->o.catalog, &draft, &g, &created, &problem);
    if (r < 0)
        ft_reply_error(api, req, r, &problem, "group");
    else
        ft_reply_json_tagged(req, created ? 201 : 200, json_group(g), g->revision);
}

void ft_handle_group_put(void *arg, struct rnet_http_request *req)
{
    json_t *body;

    if (!ft_request_json(req, &body))
        return;
    put_group(arg, req, body);
    json_decref(body);
}

void ft_handle_group_configuration_put(void *arg, struct rnet_http_request *req)
{
    struct ft_api *api = arg;
    struct ft_object_put_result result;
    struct ft_problem problem = {0};
    struct rn_slice object = rnet_http_query(req, "object");
    uint64_t if_match;

    if (!ft_request_if_match(req, &if_match))
        return;
    if (object.data && object.len == 0) {
        ft_reply_problem(req, 400,
                         "object is empty: name it, or leave the parameter out for config.yaml");
        return;
    }
    int r = ft_catalog_put_object(api->o.catalog, rnet_http_param(req, "group"), object,
                                  rnet_http_field(req, "content-type"), rnet_http_body(req),
                                  if_match, &result, &problem);
    if (r < 0)
        ft_reply_error(api, req, r, &problem, "group");
    else
        ft_reply_json(req, 202,
                      json_pack("{s:s, s:I, s:o}", "configuration", result.head.configuration,
                                "version", (json_int_t)result.head.number, "hash",
                                ft_json_hash(&result.head.hash, true)));
}
