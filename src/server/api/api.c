#include "api/routes.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>

#include <base/cleanup.h>

static bool token_fits(struct ft_api *api, struct rn_slice field)
{
    static const char scheme[] = "Bearer ";
    char token[FT_TOKEN_SIZE];

    rn_lock_acquire(&api->token_lock);
    memcpy(token, api->token, sizeof(token));
    rn_lock_release(&api->token_lock);
    size_t scheme_len = sizeof(scheme) - 1, len = strlen(token);

    if (field.len != scheme_len + len ||
        strncasecmp((const char *)field.data, scheme, scheme_len) != 0)
        return false;
    return CRYPTO_memcmp(field.data + scheme_len, token, len) == 0;
}

bool ft_api_admits(struct ft_api *api, const struct rnet_http_request *req)
{
    return token_fits(api, rnet_http_field(req, "authorization"));
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
    if (!is_under_api(rnet_http_path(req)) || ft_api_admits(arg, req))
        return 0;
    (void)rnet_http_header(req, "WWW-Authenticate", "Bearer realm=\"fettle\"");
    ft_reply_problem(req, 401,
                     "send the token of DATA/admin-token as `Authorization: Bearer TOKEN`");
    return 1;
}

static int open_server(struct ft_api *api)
{
    struct rnet_http_options o = {.name = "api",
                                  .addrs = api->o.addrs,
                                  .n_addrs = api->o.n_addrs,
                                  .routes = api->routes,
                                  .n_routes = ft_routes_count,
                                  .before = authenticate,
                                  .before_arg = api,
                                  .scope = api->o.scope,
                                  .body_max = api->o.body_max};

    for (size_t i = 0; i < ft_routes_count; i++)
        api->routes[i] =
            (struct rnet_http_route){.method = ft_routes[i].method,
                                     .pattern = ft_routes[i].pattern,
                                     .handler = ft_routes[i].handler,
                                     .arg = api,
                                     .flags = ft_routes[i].flags,
                                     .body_max = ft_routes[i].body ? api->o.body_max : 0};
    return rnet_http_open(&o, &api->http);
}

static char *openapi_text(void)
{
    json_t *j = ft_openapi();
    char *text = j ? json_dumps(j, JSON_COMPACT) : NULL;

    json_decref(j);
    return text;
}

static void set_token(struct ft_api *api, const char *token)
{
    rn_lock_acquire(&api->token_lock);
    (void)snprintf(api->token, sizeof(api->token), "%s", token);
    rn_lock_release(&api->token_lock);
}

int ft_api_open(const struct ft_api_options *options, struct ft_api **ret)
{
    CLEANUP(ft_api_closep) struct ft_api *api = calloc(1, sizeof(*api));

    if (!api)
        return -ENOMEM;
    api->o = *options;
    set_token(api, options->token);
    api->o.events_alive = api->o.events_alive ? api->o.events_alive : FT_EVENTS_ALIVE;
    api->openapi = openapi_text();
    api->routes = calloc(ft_routes_count, sizeof(*api->routes));
    if (!api->openapi || !api->routes)
        return -ENOMEM;
    int r = rn_class_open("diffs", 1, &api->diffs);
    if (r == 0)
        r = open_server(api);
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

void ft_api_set_token(struct ft_api *api, const char *token)
{
    set_token(api, token);
    ft_events_rouse(api->o.events); /* who came with the old one has to go */
}

int ft_api_stop(struct ft_api *api, rn_time deadline)
{
    ft_events_end(api->o.events);
    return rnet_http_stop(api->http, deadline);
}

void ft_api_close(struct ft_api *api)
{
    if (!api)
        return;
    rnet_http_close(api->http);
    rn_class_close(api->diffs);
    free(api->routes);
    free(api->openapi);
    free(api);
}

void ft_api_closep(struct ft_api **api)
{
    ft_api_close(*api);
    *api = NULL;
}
