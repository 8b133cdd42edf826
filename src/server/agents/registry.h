/* The registry: what the server knows of each agent, in memory.
 *
 * Records are found by uid in shards, each with its own short lock. A record never goes away while
 * the server runs, so a pointer to one stays good; its fields are read and written under the lock
 * of its shard. What an agent said of itself lies in immutable blobs that are shared where they are
 * equal and counted, so a reader takes references under the lock and looks at them after it.
 * Nothing suspends or calls back under a lock.
 *
 * Desired state is level-triggered: the rollout stores what an agent should have, and the session
 * sends it when it may.
 */
#pragma once

#include <rnet/conn.h>

#include <runnel/chan.h>
#include <runnel/lock.h>

#include <model/configuration.h>
#include <model/hash.h>
#include <model/rendered.h>
#include <model/uuid.h>

#include "agents/blob.h"

struct ft_registry;
struct ft_agent;

enum ft_liveness {
    FT_LIVENESS_ONLINE,
    FT_LIVENESS_STALE,   /* connection lost without goodbye, or one heartbeat missed */
    FT_LIVENESS_OFFLINE, /* goodbye, or three missed */
    FT_LIVENESS_COUNT,
};
enum ft_transport {
    FT_TRANSPORT_NONE,
    FT_TRANSPORT_TCP,
    FT_TRANSPORT_WEBSOCKET,
    FT_TRANSPORT_HTTP,
    FT_TRANSPORT_COUNT
};

const char *ft_liveness_name(enum ft_liveness l);   /* "online" */
const char *ft_transport_name(enum ft_transport t); /* "tcp"; NONE is "" */

/* What an agent should have: made by the rollout, immutable once given to the registry. */
struct ft_desired {
    uint64_t assignment;          /* number of the group's assignment that it comes from */
    rn_time since;                /* when that was made; 0: before this process */
    struct ft_version *version;   /* what the group runs, counted; NULL: no configuration */
    struct ft_rendered *rendered; /* NULL: no configuration, or rendering failed */
    char *error;                  /* why rendering failed, else NULL */
};

/* A copy of a record at one moment; blobs and rendered are references of the caller. */
struct ft_agent_snapshot {
    struct ft_uuid uid;
    enum ft_liveness liveness;
    enum ft_transport transport;
    char remote_address[64];
    uint64_t capabilities, sequence_num;
    int64_t last_seen_ms, connected_since_ms; /* wall clock; 0: never */
    struct ft_blob *description; /* AgentDescription, encoded; may be NULL, as all blobs here */
    struct ft_blob *health;      /* ComponentHealth */
    struct ft_blob *effective;   /* AgentConfigMap */
    bool has_effective_hash, has_reported_hash, has_applied_hash;
    struct ft_hash effective_hash, reported_hash, applied_hash;
    int status;     /* enum ft_status, as CONTRACT section 3 shows it */
    bool timed_out; /* APPLYING for longer than apply_timeout: status is FAILED for that */
    struct ft_blob *status_error; /* text, as reported */
    uint64_t assignment;          /* of the desired state */
    struct ft_rendered *rendered; /* desired; NULL: none or failed */
    struct ft_blob *render_error; /* text */
};

int ft_registry_new(struct ft_registry **ret_registry);
struct ft_registry *ft_registry_free(struct ft_registry *r);
void ft_registry_freep(struct ft_registry **r);

/* Where the uid of each agent goes that is new or whose description changed (changes.h; pushed,
 * never waits). The registry borrows the end-point, which callbacks of every loop must be able to
 * use. */
void ft_registry_on_change(struct ft_registry *r, struct rn_tx changes);
/* Where events go from now on (borrowed; NULL: nowhere). Before any other thread knows the registry. */
struct ft_events;
void ft_registry_set_events(struct ft_registry *r, struct ft_events *events);

/* Copy one record. 0, -ENOENT. From any thread of the runtime; does not suspend. */
int ft_registry_snapshot(struct ft_registry *r, const struct ft_uuid *uid,
                         struct ft_agent_snapshot *ret);
void ft_agent_snapshot_fini(struct ft_agent_snapshot *s);

/* All uids in byte order, as one array of the caller: a list to walk with ft_registry_snapshot().
 * 0, -ENOMEM. */
int ft_registry_uids(struct ft_registry *r, struct ft_uuid **ret_uids, size_t *ret_n);

/* Store what the agent should have (takes over version, rendered and error in every case) and let its
 * session offer it if it differs from what the agent has. Does not wait. 0, -ENOENT, -ENOMEM. */
int ft_registry_desire(struct ft_registry *r, const struct ft_uuid *uid,
                       struct ft_desired *desired);

/* Counts, for metrics: from any thread. */
struct ft_registry_counts {
    uint64_t agents[FT_LIVENESS_COUNT];
    uint64_t status[4]; /* by enum ft_status, as the API shows it */
};
void ft_registry_counts(const struct ft_registry *r, struct ft_registry_counts *ret);
