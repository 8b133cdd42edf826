/* Every route of the API with all that is known about it: the server routes by this table, and
 * openapi.c describes it. */
#pragma once

#include "api/internal.h"

struct ft_route_answer {
    unsigned status;
    const char *schema; /* of its JSON, by name (schemas.h); NULL: it has none */
    const char *text;   /* when */
    const char *type;   /* NULL: application/json */
};

#define FT_ROUTE_QUERY_MAX   8
#define FT_ROUTE_ANSWERS_MAX 4
struct ft_route {
    const char *method, *pattern;
    rnet_http_handler_fn *handler;
    unsigned flags; /* enum rnet_http_route_flags */

    const char *id, *summary;
    const char *body;       /* schema of the request's JSON; FT_BODY_RAW; NULL: it takes none */
    const char *body_text;  /* what a raw body is */
    bool if_match;          /* it honours If-Match */
    const char *query[FT_ROUTE_QUERY_MAX]; /* "name type: text"; `name*`: required */
    const char *header;     /* one that it honours, likewise */
    struct ft_route_answer answers[FT_ROUTE_ANSWERS_MAX]; /* the good ones */
    const char *problems;   /* statuses, "400 404"; 401 goes without saying */
};
#define FT_BODY_RAW "raw"

extern const struct ft_route ft_routes[];
extern const size_t ft_routes_count;

/* The OpenAPI 3.1 document of the table; NULL: no memory. */
json_t *ft_openapi(void);
