/* One connection's session, as the files of agents/ see it. Only its loop's thread touches it. */
#pragma once

#include <stdatomic.h>

#include <rnet/server.h>

#include <runnel/loop.h>

#include <proto/heartbeat.h>
#include <proto/message.h>

#include "agents/agent.h"
#include "agents/sessions.h"

/* X(name): kinds of messages, as the label `type` of fettle_agent_messages_total */
#define FT_MESSAGE_KINDS(X) X(heartbeat) X(metrics) X(status) X(disconnect) X(malformed)
enum ft_message_kind {
#define X(name) FT_KIND_##name,
    FT_MESSAGE_KINDS(X)
#undef X
        FT_KIND_COUNT
};

struct ft_sessions {
    /* set once */
    struct ft_registry *registry;
    struct ft_intake *intake;
    struct ft_limits limits;
    uint32_t heartbeat_s;
    struct ft_hash settings_hash; /* of what connection settings we offer */
    struct rnet_server *server;

    /* any thread */
    _Atomic rn_time full_state_next; /* when the token bucket has its next token */
    _Atomic uint64_t messages[FT_TRANSPORT_COUNT][FT_KIND_COUNT];
    _Atomic uint64_t pushes;
};

enum ft_session_bits {
    FT_SESSION_GREETED = 1 << 0,          /* our capabilities were told */
    FT_SESSION_FULL_WANTED = 1 << 1,      /* ReportFullState is to be sent at full_at */
    FT_SESSION_FULL_ASKED = 1 << 2,       /* it was sent, and the state has not come yet */
    FT_SESSION_SETTINGS_OFFERED = 1 << 3, /* on this connection */
    FT_SESSION_ENDING = 1 << 4,
};

struct ft_session {
    struct ft_sessions *owner;
    struct rnet_conn conn;
    struct ft_agent *agent; /* NULL before the first message */
    uint32_t bits;
    enum ft_transport transport;
    rn_time full_at;   /* when the token for ReportFullState is ours */
    rn_time config_by; /* until when we wait to be told a remote_config_status; 0: we don't */
};

/* What came, in either of its two shapes. */
struct ft_incoming {
    struct ft_uuid uid;
    struct ft_heartbeat head;                /* uid, number, capabilities, custom message */
    const Opamp__Proto__AgentToServer *full; /* NULL: nothing else came */
    struct rn_slice effective;               /* the AgentConfigMap, encoded; empty: none came */
    struct ft_hash effective_hash;
};

/* What goes out in one ServerToAgent. */
struct ft_outgoing {
    struct ft_uuid uid;
    uint64_t flags;
    bool greet, settings, ack;
    struct ft_rendered *rendered; /* counted; NULL: no offer */
    struct ft_uuid ack_boot;
    uint64_t ack_seq;
    const struct ft_uuid *new_uid;
};

/* state.c: take what the message says into the record. Returns true when the description is new. */
bool ft_session_take_state_locked(struct ft_session *s, const struct ft_incoming *in);

/* outbox.c: gather what is due for the agent (under its lock), and send it. */
void ft_outbox_gather_locked(struct ft_session *s, struct ft_outgoing *out);
bool ft_outgoing_is_empty(const struct ft_outgoing *out);
void ft_outbox_send(struct ft_session *s, struct ft_outgoing *out); /* drops out->rendered */
void ft_outbox_settings_hash(uint32_t heartbeat_s, struct ft_hash *ret);

/* An error_response, alone; then the connection is flushed and closed. `retry_ns` 0: none is told.
 */
void ft_session_refuse(struct ft_session *s, Opamp__Proto__ServerErrorResponseType type,
                       const char *why, uint64_t retry_ns, enum rnet_reason reason);
