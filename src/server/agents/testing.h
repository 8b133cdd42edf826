/* A listener for agents with everything behind it but the store, and peers that speak OpAMP to it
 * as the test wants. */
#pragma once

#include <harness/task_test.h>

#include <rnet/stream.h>

#include <base/cleanup.h>

#include <proto/message.h>
#include <proto/metrics.h>
#include <proto/names.h>

#include "agents/agent.h"
#include "agents/liveness.h"
#include "agents/session.h"

#define S(text) rn_slice_str(text)
#define HEARTBEAT_S 10 /* what the server offers */

struct server {
    struct ft_registry *registry;
    struct ft_intake *intake;
    struct ft_budget budget;
    struct ft_sessions *sessions;
    struct rn_scope scope;
    struct rn_tx changes;
    struct rn_rx changed;
};

/* On a unix socket in test_dir(), so that nothing is left to the network's timing; an APPLYING may
 * take a minute. */
void server_open(struct server *s);
void server_close(struct server *s);
#define SERVER(s)                                                                                  \
    CLEANUP(server_close) struct server s;                                                         \
    server_open(&s)

/* What all of these agents can do; ALL: what fettle's own announces. */
#define CAPS_MIN                                                                                   \
    ((uint64_t)FT_AGENT_REPORTS_STATUS | FT_AGENT_ACCEPTS_REMOTE_CONFIG |                          \
     FT_AGENT_REPORTS_REMOTE_CONFIG)
#define CAPS_BEAT                                                                                  \
    (CAPS_MIN | FT_AGENT_REPORTS_HEARTBEAT | FT_AGENT_ACCEPTS_OPAMP_CONNECTION_SETTINGS)
#define CAPS_ALL                                                                                   \
    (CAPS_BEAT | FT_AGENT_REPORTS_CONNECTION_SETTINGS_STATUS | FT_AGENT_REPORTS_HEALTH |           \
     FT_AGENT_REPORTS_EFFECTIVE_CONFIG)

typedef Opamp__Proto__AgentToServer message;

struct peer {
    struct rnet_stream *stream;
    struct ft_uuid uid;
    uint64_t seq; /* of the next message */
    uint64_t capabilities;
    struct ft_server_message got; /* the last */
};

struct ft_uuid uuid_of(unsigned n);

/* Connect as agent number `n`. */
void peer_open(struct peer *p, struct server *s, unsigned n);
void peer_close(struct peer *p); /* hangs up */
#define PEER(p, s, n)                                                                              \
    CLEANUP(peer_close) struct peer p = {0};                                                       \
    peer_open(&p, s, n)

/* Send, with uid, number and capabilities of the peer filled in. */
void peer_send(struct peer *p, const message *m);
void peer_send_raw(struct peer *p, const void *bytes, size_t n);
/* The next message, valid until the one after it; NULL: the server hung up. */
const Opamp__Proto__ServerToAgent *peer_next(struct peer *p);
/* Both: the reply. */
const Opamp__Proto__ServerToAgent *peer_ask(struct peer *p, const message *m);
const Opamp__Proto__ServerToAgent *peer_beat(struct peer *p);
/* Fails if anything comes within `span`. */
void peer_hears_nothing(struct peer *p, rn_time span);
bool peer_is_cut(struct peer *p);

/* A message with everything that there can be: `hash` NULL: no remote_config_status. */
struct report {
    message m;
    Opamp__Proto__AgentDescription description;
    Opamp__Proto__KeyValue kv, *kvs[1];
    Opamp__Proto__AnyValue value;
    Opamp__Proto__ComponentHealth health;
    Opamp__Proto__EffectiveConfig effective;
    Opamp__Proto__AgentConfigMap map;
    Opamp__Proto__RemoteConfigStatus config;
    Opamp__Proto__ConnectionSettingsStatus settings;
};
/* Everything but statuses. */
message *report_whole(struct report *r, const char *host);
/* Set (in a whole report) or send (alone, in an empty one) what became of `hash`. */
message *report_config(struct report *r, const struct ft_hash *hash, enum ft_status status,
                       const char *error);
message *report_settings(struct report *r, struct rn_slice hash, enum ft_status status);
/* A whole report with an empty remote_config_status, as from an agent that never had one. */
message *report_first(struct report *r, const char *host);

/* What the agent should have from now on: one object with this body. */
struct ft_hash server_desires(struct server *s, unsigned n, uint64_t assignment, const char *body);
/* A copy of the record's state. */
struct ft_agent_snapshot server_snapshot(struct server *s, unsigned n);
enum ft_liveness server_liveness(struct server *s, unsigned n);
enum ft_status server_status(struct server *s, unsigned n);

/* Is the configuration in this message, and the one with this hash? */
bool offers(const Opamp__Proto__ServerToAgent *m, const struct ft_hash *hash);
/* Nothing but uid, capabilities and flags? */
bool is_plain(const Opamp__Proto__ServerToAgent *m);
