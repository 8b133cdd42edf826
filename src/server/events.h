/* What happened, for those who follow it: a ring of short records (GET /api/v1/events).
 *
 *     registry, catalog, lanes -> ft_events_publish() -> [ring] -> ft_events_read() -> a follower's
 * task
 *
 * Publishing never waits and never allocates: the newest records are kept, bounded by their number
 * and their bytes, whether or not somebody follows. Each has a number, from 1, in the order in
 * which it was published; who publishes under the lock of what changed has the order of the
 * changes.
 *
 * A follower holds a place, of which there are so many, and the number that it reads next. What it
 * did not read in time is gone (-ESTALE), and nobody waits for it. A follower that has read all is
 * woken through its connection, once, by who publishes next.
 *
 * Numbers of different starts of a server are told apart by ft_events_boot().
 */
#pragma once

#include <rnet/conn.h>
#include <rnet/metrics.h>

#include <model/hash.h>
#include <model/uuid.h>

struct ft_events;

/* X(name): types of events, as the API names them. No rollout is published yet. */
#define FT_EVENT_TYPES(X) X(agent) X(config) X(rollout) X(exporter)
enum ft_event_type {
#define X(name) FT_EVENT_TYPE_##name,
    FT_EVENT_TYPES(X)
#undef X
        FT_EVENT_TYPE_COUNT
};
const char *ft_event_type_name(enum ft_event_type t);

/* X(type, name): what happened, as the API names it. */
#define FT_EVENT_CHANGES(X)                                                                        \
    X(agent, appeared)  /* it was not known before; agent, state: its liveness */                  \
    X(agent, connected) /* the same, of one that was known */                                      \
    X(agent, status)    /* its liveness changed; agent, state */                                   \
    X(agent, goodbye)   /* it took its leave; agent, state */                                      \
    X(config, status)   /* of what an agent should have: agent, state: enum ft_status, name */     \
                        /* and version, hash unless rendering failed, text: why it failed */       \
    X(config, version)  /* a new one: name, version, hash */                                       \
    X(config, group)    /* a group was made or changed: name; text, version: what it runs */       \
    X(config, group_deleted) /* name */                                                            \
    X(exporter, state)       /* name, state: enum ft_lane_state, text: the last error */           \
    X(exporter, removed)     /* a reload's, and it has drained: name */
enum ft_event_change {
#define X(type, name) FT_EVENT_##type##_##name,
    FT_EVENT_CHANGES(X)
#undef X
        FT_EVENT_CHANGE_COUNT
};

struct ft_event {
    enum ft_event_change change;
    uint8_t state;            /* of the thing, a number of its owner's */
    bool has_hash, timed_out; /* timed_out: failed for that, text is empty */
    uint32_t version;
    struct ft_uuid agent;
    struct ft_hash hash;
    struct rn_slice name, text; /* cut to the bounds below */

    /* set by ft_events_publish() */
    uint64_t number;
    int64_t time_ms; /* wall clock */
};
enum ft_event_type ft_event_type(const struct ft_event *e);
const char *ft_event_change_name(enum ft_event_change c);

#define FT_EVENT_NAME_MAX 128
#define FT_EVENT_TEXT_MAX 512

/* A field that is 0 means the default. */
struct ft_events_bounds {
    size_t records;   /* kept; 8192 */
    size_t bytes;     /* of those; 1 MiB */
    size_t followers; /* 64 */
};

/* `bounds` may be NULL. 0, -ENOMEM. */
int ft_events_new(const struct ft_events_bounds *bounds, struct ft_events **ret);
/* Nobody may publish or follow any more. NULL is fine. Returns NULL. */
struct ft_events *ft_events_free(struct ft_events *e);
void ft_events_freep(struct ft_events **e);

/* ---- publishing; from any thread; `e` NULL: nobody wants to know ---- */

/* Add a record (copied) and wake who waits for it. Not under a lock. */
void ft_events_publish(struct ft_events *e, const struct ft_event *event);
/* The two halves of that, for who publishes under a short lock: add under it, tell after it. */
void ft_events_add(struct ft_events *e, const struct ft_event *event);
void ft_events_tell(struct ft_events *e);

/* ---- following; from any thread ---- */

/* A record with its texts. */
struct ft_event_copy {
    struct ft_event event;
    char texts[FT_EVENT_NAME_MAX + FT_EVENT_TEXT_MAX];
};

/* Of this start of the server: random. */
uint64_t ft_events_boot(const struct ft_events *e);
/* The number of the newest record; 0: none yet. */
uint64_t ft_events_last(struct ft_events *e);

/* Take a place, for the connection of an HTTP request (rnet_http_conn()). 0, -EBUSY (all are
 * taken), -ESHUTDOWN. */
int ft_events_join(struct ft_events *e, struct rnet_conn conn, size_t *ret_place);
void ft_events_leave(struct ft_events *e, size_t place);

/* Read record `number`. 1: here it is; 0: it has not happened yet, and the follower will be woken
 * (rnet_http_wake()); -ESTALE: it is gone; -ESHUTDOWN: it will not happen. */
int ft_events_read(struct ft_events *e, size_t place, uint64_t number, struct ft_event_copy *ret);

/* Wake all followers: there is something else to look at. */
void ft_events_rouse(struct ft_events *e);
/* No more followers: wakes all, who get -ESHUTDOWN once they have read what there is. */
void ft_events_end(struct ft_events *e);
bool ft_events_ended(const struct ft_events *e);

/* fettle_event_followers, fettle_events_total. From any thread. */
void ft_events_collect(struct ft_events *e, struct rnet_metrics *out);
