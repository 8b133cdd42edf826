/* The listener for agents, and what the rest of the server sees of the sessions. */
#include "agents/session.h"

#include <errno.h>
#include <stdlib.h>

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
    s->heartbeat_s = o->heartbeat_s;
    ft_outbox_settings_hash(o->heartbeat_s, &s->settings_hash);
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
