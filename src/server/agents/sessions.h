/* Sessions: OpAMP over framed TCP (DESIGN section 6).
 *
 *     accept -> first message: bind to a record -> message, reply, message, reply ... -> goodbye,
 * loss or silence
 *
 * A session is bound to the agent of its first message. Every AgentToServer gets exactly one reply;
 * what else the agent should be told goes in a message of its own. The outbox is no queue: it is
 * what the record says at the moment of sending.
 */
#pragma once

#include <rnet/metrics.h>
#include <rnet/server.h>

#include <proto/message.h>

#include "agents/registry.h"
#include "metrics/intake.h"

struct ft_sessions;

struct ft_sessions_options {
    struct ft_registry *registry; /* borrowed, here and below */
    struct ft_intake *intake;
    struct ft_budget *budget; /* of decoded messages */
    size_t message_max;
    uint32_t heartbeat_s; /* offered to agents */
    const char *const *addrs;
    size_t n_addrs;
};

/* Listen for agents. From a task. `reterr_index`: the address at fault. */
int ft_sessions_open(const struct ft_sessions_options *options, struct ft_sessions **ret,
                     size_t *reterr_index);
/* The bound address `i`; NULL past the last. */
const char *ft_sessions_address(const struct ft_sessions *s, size_t i);
/* Offer another heartbeat from now on, and to who is connected at once. Suspends. 0; -ENOMEM,
 * -ECANCELED: the rest is offered it with its next message. */
int ft_sessions_set_heartbeat(struct ft_sessions *s, uint32_t heartbeat_s);
/* Stop accepting, tell every agent Unavailable with retry_info, close. Suspends until all are gone
 * or cut at `deadline`. */
int ft_sessions_drain(struct ft_sessions *s, rn_time deadline);
void ft_sessions_close(struct ft_sessions *s); /* Suspends. NULL is fine. */
void ft_sessions_closep(struct ft_sessions **s);

/* For the intake: the newest ack of an agent, told with its next reply. `arg` is the registry. */
void ft_sessions_ack(void *arg, const struct ft_uuid *agent, const struct ft_uuid *boot,
                     uint64_t seq);

/* fettle_agents, fettle_agent_messages_total, fettle_config_pushes_total, fettle_config_status,
 * fettle_config_apply_seconds. From any thread. */
void ft_sessions_collect(const struct ft_sessions *s, struct rnet_metrics *out);
