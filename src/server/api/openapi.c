/* GET /openapi.json: made once from the table of routes and that of schemas, then served as it is. */
#include "api/routes.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <base/cleanup.h>

#include "api/schemas.h"

static json_t *json_content(const char *type, json_t *schema)
{
    return json_pack("{s:{s:o}}", type, "schema", schema);
}

/* ---- parameters ---- */

static void add_parameter(json_t **list, struct rn_slice name, const char *in, bool required,
                          json_t *schema, const char *text)
{
    ft_json_add(list, json_pack("{s:s#, s:s, s:b, s:o, s:s*}", "name", (const char *)name.data,
                                (int)name.len, "in", in, "required", required, "schema", schema,
                                "description", text));
}

static void add_path_parameters(json_t **list, const char *pattern)
{
    for (const char *at = pattern; (at = strchr(at, '{')); at++) {
        struct rn_slice name = rn_slice(at + 1, (size_t)(strchr(at, '}') - at) - 1);
        const char *type = rn_slice_eq_str(name, "uid") ? "uuid"
                           : rn_slice_eq_str(name, "n") ? "integer"
                                                        : "string";

        add_parameter(list, name, "path", true, ft_schema_type(rn_slice_str(type)), NULL);
    }
}

/* "name type: text", `name*` if it is required */
static void add_words(json_t **list, const char *in, const char *words)
{
    const char *space = strchr(words, ' '), *colon = strchr(words, ':');
    struct rn_slice name = rn_slice(words, (size_t)(space - words));
    bool required = name.data[name.len - 1] == '*';

    name.len -= required;
    add_parameter(list, name, in, required,
                  ft_schema_type(rn_slice(space + 1, (size_t)(colon - space) - 1)), colon + 2);
}

static json_t *json_parameters(const struct ft_route *route)
{
    json_t *list = json_array();

    add_path_parameters(&list, route->pattern);
    for (size_t i = 0; i < FT_ROUTE_QUERY_MAX && route->query[i]; i++)
        add_words(&list, "query", route->query[i]);
    if (route->header)
        add_words(&list, "header", route->header);
    if (route->if_match)
        add_parameter(&list, RN_SLICE_LITERAL("If-Match"), "header", false,
                      ft_schema_type(RN_SLICE_LITERAL("string")),
                      "the ETag that was read, or *; 412 when it does not hold");
    return list;
}

/* ---- operations ---- */

static json_t *json_body(const struct ft_route *route)
{
    if (strcmp(route->body, FT_BODY_RAW) != 0)
        return json_pack("{s:b, s:o}", "required", 1, "content",
                         json_content("application/json",
                                      ft_schema_type(rn_slice_str(route->body))));
    return json_pack("{s:b, s:s, s:o}", "required", 1, "description", route->body_text, "content",
                     json_content("*/*", json_object()));
}

static void add_answer(json_t **responses, unsigned status, const char *text, json_t *content)
{
    char key[16];

    snprintf(key, sizeof(key), "%u", status);
    json_t *j = json_pack("{s:s}", "description", text);
    if (content)
        ft_json_set(&j, RN_SLICE_LITERAL("content"), content);
    ft_json_set(responses, rn_slice_str(key), j);
}

static void add_problem(json_t **responses, unsigned status)
{
    add_answer(responses, status, rnet_http_reason(status),
               json_content("application/problem+json", ft_schema_type(rn_slice_str("Problem"))));
}

static bool needs_token(const struct ft_route *route)
{
    return strncmp(route->pattern, "/api/", 5) == 0;
}

static json_t *json_responses(const struct ft_route *route)
{
    json_t *j = json_object();

    for (size_t i = 0; i < FT_ROUTE_ANSWERS_MAX && route->answers[i].status; i++) {
        const struct ft_route_answer *a = &route->answers[i];
        add_answer(&j, a->status, a->text,
                   a->schema ? json_content(a->type ? a->type : "application/json",
                                            ft_schema_type(rn_slice_str(a->schema)))
                             : NULL);
    }
    if (needs_token(route))
        add_problem(&j, 401);
    for (const char *at = route->problems; at && *at;) {
        char *end;
        add_problem(&j, (unsigned)strtoul(at, &end, 10));
        at = end;
    }
    return j;
}

static json_t *json_operation(const struct ft_route *route)
{
    json_t *j = json_pack("{s:s, s:s, s:o, s:o}", "operationId", route->id, "summary",
                          route->summary, "parameters", json_parameters(route), "responses",
                          json_responses(route));

    if (route->body)
        ft_json_set(&j, RN_SLICE_LITERAL("requestBody"), json_body(route));
    if (!needs_token(route))
        ft_json_set(&j, RN_SLICE_LITERAL("security"), json_array());
    return j;
}

/* ---- the document ---- */

static json_t *json_paths(void)
{
    json_t *paths = json_object();

    for (size_t i = 0; paths && i < ft_routes_count; i++) {
        const struct ft_route *route = &ft_routes[i];
        json_t *path = json_object_get(paths, route->pattern);
        char method[16] = "";

        for (size_t c = 0; route->method[c] && c + 1 < sizeof(method); c++)
            method[c] = (char)(route->method[c] | 0x20);
        if (!path) {
            ft_json_set(&paths, rn_slice_str(route->pattern), json_object());
            path = json_object_get(paths, route->pattern);
        }
        if (path && json_object_set_new(path, method, json_operation(route)) < 0) {
            json_decref(paths);
            paths = NULL;
        }
    }
    return paths;
}

static json_t *json_schemas(void)
{
    json_t *j = json_object();

    for (size_t i = 0; j && i < ft_schemas_count; i++)
        ft_json_set(&j, rn_slice_str(ft_schemas[i].name), ft_schema_json(&ft_schemas[i]));
    return j;
}

json_t *ft_openapi(void)
{
    return json_pack("{s:s, s:{s:s, s:s}, s:[{s:[]}], s:o, s:{s:{s:{s:s, s:s}}, s:o}}", "openapi",
                     "3.1.0", "info", "title", "fettled", "version", FETTLE_VERSION, "security",
                     "token", "paths", json_paths(), "components", "securitySchemes", "token",
                     "type", "http", "scheme", "bearer", "schemas", json_schemas());
}

void ft_handle_openapi(void *arg, struct rnet_http_request *req)
{
    const struct ft_api *api = arg;

    (void)rnet_http_respond(req, 200, "application/json", rn_slice_str(api->openapi));
}
