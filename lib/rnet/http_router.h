/* Patterns to handlers: pure, no sockets.
 *
 * At the start every pattern is cut into segments and the table is sorted, the most specific first,
 * so that finding is one walk whose first hit counts. A path is cut and percent-decoded once,
 * whatever the number of routes. */
#pragma once

#include <rnet/http.h>

#define RNET__SEGMENTS_MAX 16
#define RNET__ALLOW_MAX    64 /* "DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT, TRACE" is 51 */

struct rnet__router;

int  rnet__router_new(const struct rnet_http_route routes[], size_t n,
                      struct rnet__router **ret_router);
void rnet__router_free(struct rnet__router *router);

/* A path, cut at '/' and decoded. */
struct rnet__path {
    unsigned n;
    size_t   verb_at; /* of the last segment: where the ':' of a verb stands; SIZE_MAX: no ':' */
    struct rn_slice segments[RNET__SEGMENTS_MAX];
};

/* Cut `path` ("/..."), decoding into `room` of path.len bytes, which must outlive the result. 0,
 * -400 (a bad %XX), -404 (more segments than any pattern may have, or no leading '/'). */
int rnet__path_cut(struct rn_slice path, uint8_t *room, struct rnet__path *ret_path);

struct rnet__param {
    struct rn_slice name, value; /* name: inside the pattern */
};
struct rnet__match {
    const struct rnet_http_route *route;
    unsigned                      n_params;
    struct rnet__param            params[RNET__SEGMENTS_MAX];
    char                          allow[RNET__ALLOW_MAX]; /* with -405: the methods */
};

/* 0, -404, -405. HEAD finds GET where it has no route of its own. */
int rnet__router_find(const struct rnet__router *router, struct rn_slice method,
                      const struct rnet__path *path, struct rnet__match *ret_match);
