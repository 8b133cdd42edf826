/* The listener for agents, and what the rest of the server sees of the sessions. */
#include "agents/session.h"

#include <errno.h>
#include <stdlib.h>

#include <runnel/task.h>

#include <base/cleanup.h>
#include <base/log.h>

#define FIRST_MESSAGE_NS (5 * RN_S)

static void on_poke(struct rnet_conn conn, void *data, void *arg)
{
    (void)conn;
    (void)arg;
    ft_session_push(data);
}

static void poke(void *arg, struct rnet_conn conn)
{
    (void)arg;
    /* A lost poke is healed by the next heartbeat. */
    (void)rnet_conn_call(conn, on_poke, NULL, NULL);
}

static void say_lost(void *arg, const char *name, const char *address, const char *why)
{
    (void)arg;
    log_error("a listener is lost", LOG_STR("listener", name), LOG_STR("address", address),
              LOG_STR("why", why));
}

int ft_sessions_open(const struct ft_sessions_options *o, struct ft_sessions **ret,
                     size_t *reterr_index)
{
    CLEANUP(ft_sessions_closep) struct ft_sessions *s = calloc(1, sizeof(*s));

    if (!s)
        return -ENOMEM;
    s->registry = o->registry;
    s->intake = o->intake;
    s->limits = (struct ft_limits){.message_max = o->message_max, .budget = o->budget};
    atomic_init(&s->heartbeat_s, o->heartbeat_s);
    ft_registry_set_poke(o->registry, (struct ft_poke){poke, s});

    struct rnet_server_options server = {
        .name = "agents",
        .addrs = o->addrs,
        .n_addrs = o->n_addrs,
        .codec = &rnet_codec_length_prefixed,
        .handler = &ft_session_handler,
        .data = s,
        .frame_max = o->message_max,
        .limits = {.output_high = FT_OUTPUT_HIGH,
                   .output_max = (uint32_t)(2 * o->message_max + FT_MIB)},
        .first_ns = FIRST_MESSAGE_NS,
        .on_lost = say_lost,
    };
    int r = rnet_server_open(&server, &s->server, reterr_index);
    if (r < 0)
        return r;
    *ret = TAKE(s);
    return 0;
}

const char *ft_sessions_address(const struct ft_sessions *s, size_t i)
{
    return rnet_server_address(s->server, i);
}

#define POKES_IN_A_ROW 256

int ft_sessions_set_heartbeat(struct ft_sessions *s, uint32_t heartbeat_s)
{
    CLEANUP(freep) struct ft_uuid *uids = NULL;
    size_t n = 0;

    atomic_store_explicit(&s->heartbeat_s, heartbeat_s, memory_order_relaxed);
    int r = ft_registry_uids(s->registry, &uids, &n);
    for (size_t i = 0; r == 0 && i < n; i++) {
        struct ft_agent *a = ft_agent_lock(s->registry, &uids[i]);
        struct rnet_conn conn = a ? a->conn : (struct rnet_conn){0};

        if (a)
            ft_agent_unlock(s->registry, a);
        if (conn.gen)
            poke(s, conn);
        if (i % POKES_IN_A_ROW == POKES_IN_A_ROW - 1)
            r = rn_yield();
    }
    return r;
}

int ft_sessions_drain(struct ft_sessions *s, rn_time deadline)
{
    return rnet_server_drain(s->server, deadline);
}

void ft_sessions_close(struct ft_sessions *s)
{
    if (!s)
        return;
    rnet_server_close(s->server);
    free(s);
}

void ft_sessions_closep(struct ft_sessions **s)
{
    ft_sessions_close(*s);
    *s = NULL;
}

void ft_sessions_ack(void *arg, const struct ft_uuid *agent, const struct ft_uuid *boot,
                     uint64_t seq)
{
    struct ft_registry *r = arg;
    struct ft_agent *a = ft_agent_lock(r, agent);

    if (!a)
        return;
    a->ack_boot = *boot;
    a->ack_seq = seq;
    a->bits |= FT_AGENT_ACK_DUE;
    ft_agent_unlock(r, a);
}
