/* What the files of the API share: the service, replies, pages. */
#pragma once

#include <stdatomic.h>

#include <jansson.h>

#include <runnel/blocking.h>
#include <runnel/lock.h>

#include "api/api.h"

struct ft_api {
    /* set once */
    struct ft_api_options o;
    struct rnet_http *http;
    struct rnet_http_route *routes; /* ft_routes, as the server wants them */
    char *openapi;                  /* the document */
    struct rn_class *diffs;         /* one thread: one diff at a time */

    /* any thread */
    _Atomic(const char *) unready; /* why; NULL: ready */

    /* token_lock */
    struct rn_lock token_lock;
    char token[FT_TOKEN_SIZE]; /* a reload changes it */
};

#define FT_EVENTS_ALIVE (15 * RN_S)

/* Does the request bear the token of this moment? From any task. */
bool ft_api_admits(struct ft_api *api, const struct rnet_http_request *req);

/* ---- reply.c ---- */

/* Answer with JSON (the reference is taken; NULL, from failed building, is a 500 that tells of
 * memory). */
void ft_reply_json(struct rnet_http_request *req, unsigned status, json_t *body);
/* The same with an ETag. */
void ft_reply_json_tagged(struct rnet_http_request *req, unsigned status, json_t *body,
                          uint64_t revision);
/* A problem without fields, printf-like. */
__attribute__((format(printf, 3, 4))) void
ft_reply_problem(struct rnet_http_request *req, unsigned status, const char *format, ...);
/* A problem with one field at fault. */
void ft_reply_field(struct rnet_http_request *req, unsigned status, const char *pointer,
                    const char *detail);
/* What a catalog or store call returned as an error: `what` names the thing for 404 and 409. */
void ft_reply_error(struct ft_api *api, struct rnet_http_request *req, int error,
                    const struct ft_problem *problem, const char *what);

/* Building: NULL, for want of memory anywhere, makes the whole NULL. The reference is taken. */
void ft_json_add(json_t **array, json_t *item);
void ft_json_set(json_t **object, struct rn_slice key, json_t *value);

/* A number up to the largest that JSON integers have here. */
json_t *ft_json_u64(uint64_t n);
/* Time in ms as RFC 3339 with ms; 0 is null. */
json_t *ft_json_time(int64_t ms);
json_t *ft_json_slice(struct rn_slice s); /* invalid UTF-8 is made valid */
json_t *ft_json_hash(const struct ft_hash *h, bool present);
/* {"content_type", "body" or "body_base64", "template" if set} */
json_t *ft_json_object(const struct ft_object *o, bool with_template);
json_t *ft_json_objects(const struct ft_objects *objects, bool with_template);

/* ---- request.c ---- */

bool ft_json_depth_fits(struct rn_slice text);
/* A decimal number and nothing else. */
bool ft_slice_int(struct rn_slice text, int64_t *ret);
/* The body as a JSON object, or false after a 400. The parser recurses: how deep the text may be is
 * judged before. */
#define FT_JSON_DEPTH_MAX 32
bool ft_request_json(struct rnet_http_request *req, json_t **ret);
/* If-Match as a revision, FT_MATCH_ALWAYS, FT_MATCH_EXISTS, or FT_MATCH_NEVER for a tag that is
 * none of ours; false after a 400. */
#define FT_MATCH_NEVER (UINT64_MAX - 1)
bool ft_request_if_match(struct rnet_http_request *req, uint64_t *ret);
/* Only these keys may stand in `object`: false after a 400 that names another. */
bool ft_request_known_keys(struct rnet_http_request *req, const json_t *object,
                           const char *const keys[]);

#define FT_PAGE_DEFAULT 100
#define FT_PAGE_MAX 1000
#define FT_CURSOR_MAX 512
struct ft_page {
    size_t limit;
    char after[FT_CURSOR_MAX]; /* the last key of the page before; empty: the first page */
};
/* `limit` and `cursor`; false after a 400. */
bool ft_request_page(struct rnet_http_request *req, struct ft_page *ret);
/* {"items": items, "next": cursor of `last_key`, or null when it is NULL}; the reference is taken.
 */
json_t *ft_page_json(json_t *items, const char *last_key);

/* The version with this number of the configuration that the path names, or false after an error.
 */
bool ft_request_version(struct ft_api *api, struct rnet_http_request *req, struct rn_slice number,
                        struct ft_version **ret);

/* ---- handlers; `arg` is the struct ft_api ---- */
#define FT_HANDLERS(X)                                                                             \
    X(agents_list)                                                                                 \
    X(agent_get)                                                                                   \
    X(agent_effective)                                                                             \
    X(agent_metrics)                                                                               \
    X(exporters_list)                                                                              \
    X(exporter_get)                                                                                \
    X(configurations_list)                                                                         \
    X(configurations_post)                                                                         \
    X(configuration_get)                                                                           \
    X(versions_list)                                                                               \
    X(versions_post)                                                                               \
    X(version_get)                                                                                 \
    X(version_diff)                                                                                \
    X(groups_list)                                                                                 \
    X(group_get)                                                                                   \
    X(group_put)                                                                                   \
    X(group_delete)                                                                                \
    X(group_configuration_put)                                                                     \
    X(events)                                                                                      \
    X(openapi)                                                                                     \
    X(healthz)                                                                                     \
    X(readyz)
#define X(name) void ft_handle_##name(void *arg, struct rnet_http_request *req);
FT_HANDLERS(X)
#undef X

/* agent_json.c: an agent as the contract shows it. NULL without memory. */
json_t *ft_json_agent(struct ft_api *api, const struct ft_agent_snapshot *s);
/* Why a configuration FAILED that was APPLYING for too long. */
json_t *ft_json_timed_out(const struct ft_api *api);
