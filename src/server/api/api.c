#include "api/internal.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>

#include <base/cleanup.h>

#define V1 "/api/v1"

static const struct {
    const char *method, *pattern;
    rnet_http_handler_fn *handler;
    unsigned flags;
    bool takes_body;
} table[] = {
    {"GET", V1 "/agents", ft_handle_agents_list, 0, false},
    {"GET", V1 "/agents/{uid}", ft_handle_agent_get, RNET_HTTP_ON_LOOP, false},
    {"GET", V1 "/agents/{uid}/effective-config", ft_handle_agent_effective, 0, false},
    {"GET", V1 "/agents/{uid}/metrics", ft_handle_agent_metrics, 0, false},
    {"GET", V1 "/exporters", ft_handle_exporters_list, 0, false},
    {"GET", V1 "/exporters/{name}", ft_handle_exporter_get, 0, false},
    {"GET", V1 "/configurations", ft_handle_configurations_list, 0, false},
    {"POST", V1 "/configurations", ft_handle_configurations_post, 0, true},
    {"GET", V1 "/configurations/{name}", ft_handle_configuration_get, 0, false},
    {"GET", V1 "/configurations/{name}/versions", ft_handle_versions_list, 0, false},
    {"POST", V1 "/configurations/{name}/versions", ft_handle_versions_post, 0, true},
    {"GET", V1 "/configurations/{name}/versions/{n}", ft_handle_version_get, 0, false},
    {"GET", V1 "/configurations/{name}/versions/{n}/diff", ft_handle_version_diff, 0, false},
    {"GET", V1 "/agent-groups", ft_handle_groups_list, 0, false},
    {"GET", V1 "/agent-groups/{group}", ft_handle_group_get, 0, false},
    {"PUT", V1 "/agent-groups/{group}", ft_handle_group_put, 0, true},
    {"DELETE", V1 "/agent-groups/{group}", ft_handle_group_delete, 0, false},
    {"PUT", V1 "/agent-groups/{group}/configuration", ft_handle_group_configuration_put, 0, true},
    {"GET", "/healthz", ft_handle_healthz, RNET_HTTP_ON_LOOP, false},
    {"GET", "/readyz", ft_handle_readyz, RNET_HTTP_ON_LOOP, false},
};
#define N_ROUTES (sizeof(table) / sizeof(table[0]))

static bool token_fits(const struct ft_api *api, struct rn_slice field)
{
    static const char scheme[] = "Bearer ";
    size_t scheme_len = sizeof(scheme) - 1, len = strlen(api->o.token);

    if (field.len != scheme_len + len ||
        strncasecmp((const char *)field.data, scheme, scheme_len) != 0)
        return false;
    return CRYPTO_memcmp(field.data + scheme_len, api->o.token, len) == 0;
}

static int hex_digit(uint8_t c)
{
    return isdigit(c) ? c - '0' : isxdigit(c) ? tolower(c) - 'a' + 10 : -1;
}

/* Does the path begin with `/api`, as the router will read it: each segment percent-decoded? */
static bool is_under_api(struct rn_slice path)
{
    static const char wanted[] = "api";
    size_t at = 1;

    if (path.len == 0 || path.data[0] != '/')
        return false;
    for (size_t i = 0; wanted[i]; i++) {
        if (at >= path.len)
            return false;
        int c = path.data[at++];
        if (c == '%' && at + 2 <= path.len) {
            c = hex_digit(path.data[at]) * 16 + hex_digit(path.data[at + 1]);
            at += 2;
        }
        if (c != wanted[i])
            return false;
    }
    return true;
}

/* Every call under /api needs the token, also one that no route knows. */
static int authenticate(void *arg, struct rnet_http_request *req)
{
    if (!is_under_api(rnet_http_path(req)) ||
        token_fits(arg, rnet_http_field(req, "authorization")))
        return 0;
    (void)rnet_http_header(req, "WWW-Authenticate", "Bearer realm=\"fettle\"");
    ft_reply_problem(req, 401,
                     "send the token of DATA/admin-token as `Authorization: Bearer TOKEN`");
    return 1;
}

int ft_api_open(const struct ft_api_options *options, struct ft_api **ret)
{
    struct {
        struct ft_api api;
        struct rnet_http_route routes[N_ROUTES];
    } *both = calloc(1, sizeof(*both));

    if (!both)
        return -ENOMEM;
    CLEANUP(ft_api_closep) struct ft_api *api = &both->api;
    api->o = *options;
    for (size_t i = 0; i < N_ROUTES; i++)
        both->routes[i] =
            (struct rnet_http_route){.method = table[i].method,
                                     .pattern = table[i].pattern,
                                     .handler = table[i].handler,
                                     .arg = api,
                                     .flags = table[i].flags,
                                     .body_max = table[i].takes_body ? options->body_max : 0};
    struct rnet_http_options o = {.name = "api",
                                  .addrs = options->addrs,
                                  .n_addrs = options->n_addrs,
                                  .routes = both->routes,
                                  .n_routes = N_ROUTES,
                                  .before = authenticate,
                                  .before_arg = api,
                                  .scope = options->scope,
                                  .body_max = options->body_max};
    int r = rn_class_open("diffs", 1, &api->diffs);
    if (r == 0)
        r = rnet_http_open(&o, &api->http);
    if (r < 0)
        return r;
    *ret = TAKE(api);
    return 0;
}

const char *ft_api_address(const struct ft_api *api, size_t i)
{
    return rnet_http_address(api->http, i);
}

void ft_api_set_unready(struct ft_api *api, const char *why)
{
    atomic_store(&api->unready, why);
}

int ft_api_stop(struct ft_api *api, rn_time deadline)
{
    return rnet_http_stop(api->http, deadline);
}

void ft_api_close(struct ft_api *api)
{
    if (!api)
        return;
    rnet_http_close(api->http);
    rn_class_close(api->diffs);
    free(api);
}

void ft_api_closep(struct ft_api **api)
{
    ft_api_close(*api);
    *api = NULL;
}
