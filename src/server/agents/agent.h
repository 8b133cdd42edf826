/* The record of one agent, as the files of agents/ see it. Everything in it is under the lock of
 * its shard, but for `uid` and `next` (set once) and what is said to be otherwise. */
#pragma once

#include "agents/registry.h"
#include "events.h"

enum ft_agent_bits {
    /* the server has this agent's whole state, and it followed unbroken */
    FT_AGENT_STATE_KNOWN = 1 << 0,
    /* sequence_num continues from a live session or a clean stop */
    FT_AGENT_SEQ_VALID = 1 << 1,
    /* its remote_config_status is known on this connection: configuration may be offered */
    FT_AGENT_CONFIG_KNOWN = 1 << 2,
    /* effective_hash is set; likewise the two below */
    FT_AGENT_HAS_EFFECTIVE = 1 << 3,
    FT_AGENT_HAS_REPORTED = 1 << 4,
    FT_AGENT_HAS_APPLIED = 1 << 5,
    FT_AGENT_SAYS_GOODBYE = 1 << 6,
    /* the store has an older copy */
    FT_AGENT_DIRTY = 1 << 7,
    FT_AGENT_ACK_DUE = 1 << 8,
    /* APPLYING for too long: reads FAILED */
    FT_AGENT_TIMED_OUT = 1 << 9,
    /* announced the process-metrics capability or sent metrics */
    FT_AGENT_TAKES_ACKS = 1 << 10,
    /* `offered` went out on this connection, and still means the same content */
    FT_AGENT_OFFERED = 1 << 11,
};

#define FT_INTERVAL_DEFAULT (30 * RN_S) /* of who was offered no other heartbeat */
#define FT_INTERVAL_MAX (86400 * RN_S)  /* no heartbeat is offered that is slower */

struct ft_agent {
    /* set once */
    struct ft_agent *next; /* in its bucket */
    struct ft_uuid uid;

    /* what it is */
    uint32_t bits;
    uint8_t liveness, transport, status, shown_status; /* shown: what the API says, and counts */
    uint64_t capabilities;
    uint64_t sequence_num;
    struct ft_blob *description, *health, *effective, *status_error, *remote_address;
    struct ft_hash effective_hash, reported_hash, applied_hash;

    /* its connection; none: gen 0 */
    struct rnet_conn conn;
    int64_t connected_since_ms, last_seen_ms;
    rn_time last_seen, interval; /* monotonic; a span of 1 s or more */
    rn_time takeovers[2];        /* when the last two were, the newer first; 0: never */

    /* what it should have, and how far that went */
    uint64_t assignment;   /* of the desired state */
    uint64_t offered;      /* assignment that was offered last, be it on an earlier connection */
    uint64_t failed;       /* newest assignment whose offer it reported FAILED */
    rn_time desired_since; /* 0: before this process */
    rn_time applying_since;
    struct ft_rendered *rendered;
    struct ft_version *version; /* that it was rendered from */
    struct ft_blob *render_error;

    /* the newest ack that it has not been told */
    struct ft_uuid ack_boot;
    uint64_t ack_seq;

    /* the heartbeat interval that it was offered, or says that it has taken; 0: none */
    uint32_t settings_s;
};
_Static_assert(sizeof(struct ft_agent) <= 344, "a million agents are a million of these");

/* Find, or make (*ret_new). The record comes with its shard locked: ft_agent_unlock(). 0, -ENOMEM.
 */
int ft_agent_lock_or_new(struct ft_registry *r, const struct ft_uuid *uid,
                         struct ft_agent **ret_agent, bool *ret_new);
/* The record locked, or NULL. */
struct ft_agent *ft_agent_lock(struct ft_registry *r, const struct ft_uuid *uid);
void ft_agent_relock(struct ft_registry *r, struct ft_agent *a);
void ft_agent_unlock(struct ft_registry *r, struct ft_agent *a);

/* Call `fn` for the records of one shard, with the shard locked, until it returns false; fn must be
 * short. Between two shards a task may let others run. */
#define FT_REGISTRY_SHARDS 64
void ft_agents_each_locked(struct ft_registry *r, unsigned shard,
                           bool (*fn)(void *arg, struct ft_agent *a), void *arg);

/* Bring the counts in line after any change to hashes, status or desired state; a status that the API
 * shows now, and did not before, is an event. */
void ft_agent_settle_locked(struct ft_registry *r, struct ft_agent *a);
/* The same for liveness, without an event. */
void ft_agent_set_liveness_locked(struct ft_registry *r, struct ft_agent *a, enum ft_liveness l);
/* Publish an event about the agent. */
void ft_agent_publish_locked(struct ft_registry *r, const struct ft_agent *a,
                             enum ft_event_change change);

/* Is what it reported last about the very content that it should have? */
bool ft_agent_reports_desired_locked(const struct ft_agent *a);
/* Does what it has differ from what it should have, so that an offer is due on its connection? */
bool ft_agent_offer_due_locked(const struct ft_agent *a);

/* Does it let the server set its heartbeat interval? */
bool ft_agent_takes_settings(const struct ft_agent *a);

/* Tell the rollout that the agent is new or describes itself anew. Not under the lock. */
void ft_registry_changed(struct ft_registry *r, const struct ft_uuid *uid);

/* The blobs of this registry. */
struct ft_blobs *ft_registry_blobs(struct ft_registry *r);

/* Replace a blob of a record by one with these bytes. Returns 1 (changed), 0 (equal), -ENOMEM,
 * -E2BIG. For few bytes, or records that nobody else sees: it copies. */
int ft_agent_set_blob(struct ft_registry *r, struct ft_blob **slot, struct rn_slice bytes);

/* Who carries out what the registry wants of a connection: the sessions. Set once before the first
 * agent. */
struct ft_poke {
    /* look at your outbox; from any thread of the runtime */
    void (*poke)(void *arg, struct rnet_conn conn);
    void *arg;
};
void ft_registry_set_poke(struct ft_registry *r, struct ft_poke poke);
struct rnet_histogram;
/* How long it took from the assignment to APPLIED. */
struct rnet_histogram *ft_registry_apply_seconds(struct ft_registry *r);
