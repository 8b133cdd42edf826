/* One connection's session, as the files of agents/ see it. Only its loop's thread touches it.
 *
 *     session.c   what comes: judged, bound, taken, answered; timers and ends
 *     bind.c      which agent a connection speaks for: take-over, clones, new uids
 *     state.c     what a message changes in the record
 *     outbox.c    what is due, and how it is written
 *     sessions.c  the listener, and what the rest of the server sees
 */
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
#define X(name) FT_KIND_##name,
enum ft_message_kind { FT_MESSAGE_KINDS(X) FT_KIND_COUNT };
#undef X

struct ft_sessions {
    /* set once */
    struct ft_registry *registry;
    struct ft_intake *intake;
    struct ft_limits limits;
    struct rnet_server *server;

    /* any thread */
    _Atomic uint32_t heartbeat_s;    /* what we offer; a reload changes it */
    _Atomic rn_time full_state_next; /* when the token bucket has its next token */
    _Atomic uint64_t messages[FT_TRANSPORT_COUNT][FT_KIND_COUNT];
    _Atomic uint64_t pushes;
};

/* The answer to ReportFullState is awaited so long; who does not tell its remote_config_status in
 * that time has never had one. */
#define FT_CONFIG_WAIT (5 * RN_S)
/* A configuration is offered only while less than this is unsent: who reads slowly gets the newest
 * one when it has read, and not each that there was meanwhile. */
#define FT_OUTPUT_HIGH ((uint32_t)256 << 10)

#define FT_RETRY_SHORT_NS UINT64_C(5000000000)
#define FT_RETRY_DRAIN_NS UINT64_C(2000000000)

enum ft_session_bits {
    FT_SESSION_GREETED = 1 << 0,     /* our capabilities were told */
    FT_SESSION_FULL_WANTED = 1 << 1, /* ReportFullState is to be sent at full_at */
    FT_SESSION_FULL_ASKED = 1 << 2,  /* it was sent, and the state has not come yet */
    FT_SESSION_ENDING = 1 << 3,
    FT_SESSION_ANNOUNCED = 1 << 4, /* that the agent is on this connection is an event already */
};

struct ft_session {
    struct ft_sessions *owner;
    struct rnet_conn conn;
    struct ft_agent *agent; /* NULL before the first message, and after one that got a new uid */
    uint32_t bits;
    enum ft_transport transport;
    uint32_t settings_offered; /* heartbeat, s, that was offered on this connection; 0: none */
    rn_time full_at;           /* when the token for ReportFullState is ours; 0: none is reserved */
    /* Until when we wait for a remote_config_status; without an agent: for a message. 0: we don't.
     */
    rn_time waits_until;
};

/* What came, in either of its two shapes. What is to be kept of it is made into blobs before the
 * record is locked; taking them exchanges them for the old ones, which go with the message. */
struct ft_incoming {
    struct ft_uuid uid;
    struct ft_heartbeat head;                /* uid, number, capabilities, custom message */
    const Opamp__Proto__AgentToServer *full; /* NULL: nothing else came */
    struct ft_blob *description, *health, *effective, *status_error;
    struct ft_hash effective_hash;
};

/* What goes out in one ServerToAgent. */
struct ft_outgoing {
    struct ft_uuid uid;
    uint64_t flags;
    bool greet, ack;
    uint32_t settings_s;          /* heartbeat to offer; 0: none */
    struct ft_rendered *rendered; /* counted; NULL: no offer */
    struct ft_uuid ack_boot;
    uint64_t ack_seq;
    const struct ft_uuid *new_uid;
};

/* session.c */
extern const struct rnet_handler ft_session_handler; /* `data` at first: the struct ft_sessions */
/* Send what is due in a message of its own. */
void ft_session_push(struct ft_session *s);

/* bind.c: bind the connection to the agent of its message. 0; 1: it was answered with another uid;
 * < 0: refused. */
int ft_session_bind(struct ft_session *s, const struct ft_incoming *in, bool *ret_new);
/* Does this connection (still) speak for its agent? */
bool ft_session_is_bound(struct ft_session *s);
/* Let go of the agent, which is stale then unless it said goodbye. */
void ft_session_unbind(struct ft_session *s);

/* state.c: take what the message says into the record, which the caller settles then. Returns true
 * when the description is new. */
bool ft_session_take_state_locked(struct ft_session *s, struct ft_incoming *in);
/* It did not tell its remote_config_status in time: it has never had a configuration. */
void ft_session_assume_unconfigured_locked(struct ft_session *s);

/* outbox.c: gather what is due for the agent (under its lock), and send it. */
void ft_outbox_gather_locked(struct ft_session *s, struct ft_outgoing *out);
bool ft_outgoing_is_empty(const struct ft_outgoing *out);
void ft_outbox_send(struct ft_session *s, struct ft_outgoing *out); /* drops out->rendered */
void ft_outbox_settings_hash(uint32_t heartbeat_s, struct ft_hash *ret);

/* An error_response, alone; then the connection is flushed and closed. Unavailable comes with
 * `retry_ns`. */
void ft_session_refuse_message(struct ft_session *s, const char *why);
void ft_session_refuse_for_now(struct ft_session *s, const char *why, uint64_t retry_ns,
                               enum rnet_reason reason);
