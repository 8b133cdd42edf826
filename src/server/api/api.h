/* The HTTP API: `/api/v1/...`, `/healthz`, `/readyz` (CONTRACT section 3).
 *
 * An API handler knows the catalog, the registry's snapshots and the fanout's books; it knows no
 * session. Handlers are tasks, since whatever changes something waits for the store.
 */
#pragma once

#include <stdatomic.h>

#include <rnet/http.h>

#include <model/text_error.h>

#include "agents/registry.h"
#include "config/catalog.h"
#include "events.h"
#include "metrics/fanout.h"
#include "metrics/latest.h"
#include "store/store.h"

struct ft_api;

struct ft_api_options {
    const char *const *addrs;
    size_t n_addrs;
    struct rn_scope scope;      /* of handler tasks; outlives the API */
    const char *token;          /* copied */
    struct ft_catalog *catalog; /* borrowed, here and below */
    struct ft_registry *registry;
    struct ft_fanout *fanout;
    struct ft_latest *latest;
    struct ft_store *store;
    struct ft_events *events;
    size_t body_max;
    const _Atomic rn_time *apply_timeout; /* for the words of an agent that timed out */
    rn_time events_alive;                 /* who follows events hears at least so often; 0: 15 s */
};

/* Listen and serve. From a task. */
int ft_api_open(const struct ft_api_options *options, struct ft_api **ret);
const char *ft_api_address(const struct ft_api *api, size_t i);
/* From now on /readyz says 503 with `why` (static text); NULL: ready. */
void ft_api_set_unready(struct ft_api *api, const char *why);
/* Another token from now on; streams of events that were asked for with the old one end. Never
 * waits. */
void ft_api_set_token(struct ft_api *api, const char *token);
/* Events end for good; the rest as rnet_http_stop(). Suspends. */
int ft_api_stop(struct ft_api *api, rn_time deadline);
void ft_api_close(struct ft_api *api); /* Suspends. NULL is fine. */
void ft_api_closep(struct ft_api **api);

/* The admin token in `path`: read, or made at the first start (mode 0600, 256 random bits). `token`
 * takes FT_TOKEN_SIZE bytes. */
#define FT_TOKEN_SIZE 128
int ft_api_token(const char *path, char token[FT_TOKEN_SIZE], struct ft_text_error *reterr);
