/* The server: opening, draining, closing.
 *
 * Handlers are born in a scope of the server's own, inside the one that the user named. Only a task
 * inside that can open it: the keeper, which holds the scope, waits for the end of the server, and
 * closes it. It speaks through one channel: the scope's name comes out of it once, and its end says
 * that no handler is left.
 */
#include "http_conn.h"

#include <errno.h>
#include <stdlib.h>

#include <base/cleanup.h>
#include <runnel/loop.h>
#include <runnel/runtime.h>

#define CLOSE_NS_MAX (60 * RN_S)

/* ---- the keeper ---- */

struct keeper {
    struct rn_tx name;
    struct rn_rx stop;
};

static int keep_scope(void *arg)
{
    struct keeper k = *(struct keeper *)arg;
    struct rn_scope scope;
    int r;

    free(arg);
    r = rn_scope_open(RN_SCOPE_WAIT_ALL, &scope);
    if (r < 0)
        return r;
    r = rn_tx_send(k.name, &scope, RN_FOREVER);
    if (r == 0)
        /* -EPIPE, or cancelled with the user's scope */
        (void)rn_rx_recv_at(RN_WAIT_IDLE(), k.stop, NULL, RN_FOREVER);
    rn_scope_close(scope);
    return 0;
}

static int keeper_start(struct rnet_http *server)
{
    CLEANUP(freep) struct keeper *k = malloc(sizeof(*k));
    CLEANUP(rn_tx_closep) struct rn_tx name = {0};
    CLEANUP(rn_rx_closep) struct rn_rx stop = {0};
    struct rn_scope scope = server->options.scope.gen ? server->options.scope : rn_scope_self();
    int r;

    if (!k)
        return -ENOMEM;
    r = rn_chan_open(sizeof(struct rn_scope), 1, &name, &server->keeper_done);
    if (r < 0)
        return r;
    r = rn_chan_open(0, 0, &server->keeper_stop, &stop);
    if (r < 0)
        return r;
    *k = (struct keeper){name, stop};
    r = rn_go(scope, keep_scope, k, ((struct rn_end[]){rn_end_tx(name), rn_end_rx(stop)}), 2);
    if (r < 0)
        return r;
    (void)TAKE(k);
    name = (struct rn_tx){0};
    stop = (struct rn_rx){0};
    r = rn_rx_recv(server->keeper_done, &server->handlers, RN_FOREVER);
    return r == -EPIPE ? -ENOMEM : r;
}

/* Cancel the handlers and wait for them, and for their records to come home. Not cut short by a
 * cancellation of the caller: the server's memory is still in use. */
static void keeper_stop(struct rnet_http *server)
{
    bool shielded = rn_shield_begin(rn_after(CLOSE_NS_MAX)) == 0;
    struct rn_scope none;

    rn_tx_closep(&server->keeper_stop);
    if (server->keeper_done.gen)
        (void)rn_rx_recv(server->keeper_done, &none, RN_FOREVER);
    rn_rx_closep(&server->keeper_done);
    while (atomic_load(&server->active) > 0 && rn_sleep(rn_after(RN_MS)) == 0)
        ;
    if (shielded)
        rn_shield_end();
}

/* ---- the server ---- */

static void options_fill(struct rnet_http_options *o)
{
    o->body_max = o->body_max ? o->body_max : 1 << 20;
    o->connections_max = o->connections_max ? o->connections_max : 10000;
    o->head_ns = o->head_ns ? o->head_ns : 10 * RN_S;
    o->body_ns = o->body_ns ? o->body_ns : 30 * RN_S;
    o->idle_ns = o->idle_ns ? o->idle_ns : 60 * RN_S;
    o->write_ns = o->write_ns ? o->write_ns : 30 * RN_S;
}

static int listen_on(struct rnet_http *server)
{
    const struct rnet_http_options *o = &server->options;
    const struct rnet_listener_options options = {
        .name = o->name,
        .addrs = o->addrs,
        .n_addrs = o->n_addrs,
        .protocol = &rnet__http_protocol,
        .data = server,
        .connections_max = o->connections_max,
        .on_lost = o->on_lost,
        .on_lost_arg = o->on_lost_arg,
    };

    return rnet_listener_open(&options, &server->listener, o->reterr_index);
}

int rnet_http_open(const struct rnet_http_options *options, struct rnet_http **ret_server)
{
    CLEANUP(rnet_http_closep) struct rnet_http *server = calloc(1, sizeof(*server));
    int r;

    if (!server)
        return -ENOMEM;
    server->magic = RNET__HTTP_MAGIC;
    server->options = *options;
    server->rt = rn_runtime_self();
    options_fill(&server->options);
    r = rnet__router_new(options->routes, options->n_routes, &server->router);
    if (r < 0)
        return r;
    r = keeper_start(server);
    if (r < 0)
        return r;
    r = listen_on(server);
    if (r < 0)
        return r;
    *ret_server = TAKE(server);
    return 0;
}

const char *rnet_http_address(const struct rnet_http *server, size_t i)
{
    return rnet_listener_address(server->listener, i);
}

int rnet_http_stop(struct rnet_http *server, rn_time deadline)
{
    atomic_store(&server->stopping, true);
    return rnet_listener_drain(server->listener, deadline);
}

void rnet_http_close(struct rnet_http *server)
{
    if (!server)
        return;
    RN_CHECK(server, RNET__HTTP_MAGIC);
    atomic_store(&server->stopping, true);
    rnet_listener_close(server->listener);
    keeper_stop(server);
    if (atomic_load(&server->active) > 0)
        return; /* a handler doesn't end for a minute: what it uses must stay */
    for (size_t i = 0; i < RNET__HTTP_LOOPS_MAX; i++)
        rnet__http_loop_free(server->loops[i]);
    rnet__router_free(server->router);
    server->magic = 0;
    free(server);
}

void rnet_http_closep(struct rnet_http **server)
{
    rnet_http_close(*server);
    *server = NULL;
}
