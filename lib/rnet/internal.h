/* What the files of rnet share: a loop's state, the slots of its connections, buffers, sockets.
 *
 * Everything in struct rnet__loop and struct rnet__conn belongs to the loop's thread, but for what
 * is marked. A slot's life:
 *
 *     FREE -> OPEN -> FLUSHING -> LINGERING -> CLOSING -> FREE      (from each state to CLOSING by
 * error, reset, close)
 *
 * CLOSING slots are finished at the end of the turn, so nobody's slot vanishes under a callback.
 * The gen of a slot comes from one counter of the process: no handle is ever used twice, not even
 * by two runtimes one after the other.
 */
#pragma once

#include <pthread.h>
#include <stdatomic.h>
#include <sys/epoll.h>

#include <rnet/addr.h>
#include <rnet/conn.h>
#include <rnet/listener.h>
#include <rnet/stats.h>
#include <runnel/blocking.h>
#include <runnel/fd.h>
#include <runnel/loop.h>
#include <runnel/memtrace.h>
#include <runnel/runtime.h>
#include <runnel/task.h>

#define RNET__LOOPS_MAX    256           /* 8 bits of a handle */
#define RNET__CONNS_MAX    (1u << 24)    /* of a loop: the other 24 */
#define RNET__CHUNK_CONNS  128u          /* slots allocated at once */
#define RNET__SHARED_BYTES (64u * 1024u) /* the read buffer of a loop */

/* ---- buffers: bytes[head, len) are live. The smallest size is cached per loop. ---- */
struct rnet__buf {
    uint32_t head, len, cap;
    uint8_t  bytes[];
};
struct rnet__loop;
/* Append to *buf, which may be NULL. 0, -ENOMEM (nothing changed). */
int  rnet__buf_append(struct rnet__loop *l, struct rnet__buf **buf, const void *data, size_t n);
/* Drop n bytes from the front; an empty buffer is freed and *buf becomes NULL. */
void rnet__buf_consume(struct rnet__loop *l, struct rnet__buf **buf, size_t n);
void rnet__buf_describe(struct rn_memtrace *trace, char *buf, size_t n);
void rnet__buf_free(struct rnet__loop *l, struct rnet__buf **buf);
static inline size_t rnet__buf_len(const struct rnet__buf *b)
{
    return b ? b->len - b->head : 0;
}

/* ---- a slot: 128 bytes; with runnel's descriptor record at most 192. ---- */
enum rnet__state { RNET__FREE, RNET__OPEN, RNET__FLUSHING, RNET__LINGERING, RNET__CLOSING };
enum rnet__flags {
    RNET__READABLE = 1 << 0, /* there may be something to read */
    RNET__TO_END = 1 << 1, /* RDHUP, HUP, ERR or PRI was seen: a short read ends nothing any more */
    RNET__EOF = 1 << 2,    /* the peer's end was read */
    RNET__PAUSED = 1 << 3,
    RNET__BLOCKED = 1 << 4,  /* a send was short: wait for OUT */
    RNET__HIGH = 1 << 5,     /* the output was above the high mark */
    RNET__QUEUED = 1 << 6,   /* in the loop's list of this turn */
    RNET__SWITCHED = 1 << 7, /* the protocol has just changed */
    RNET__ARMED = 1 << 8,    /* the timer is in the wheel, at timer.when */
    RNET__TOLD = 1 << 9,     /* on_close was called */
    RNET__AGAIN = 1 << 10,   /* kept bytes are to be delivered again */
};

/* For rn_loop_again() when only kept bytes are to be delivered: a bit that sockets never report. */
#define RNET__EVENT_AGAIN EPOLLMSG

struct rnet__conn {
    const struct rnet_protocol *protocol;
    void                       *data;
    struct rn_fd                fd;
    int                         number;
    uint32_t                    gen; /* 0: no handle names it */
    struct rnet__buf           *in, *out;
    struct rnet_listener       *listener; /* or NULL; counts us */
    struct rn_timer             timer;
    rn_time                     when; /* the deadline in force */
    struct rnet_conn_scratch    scratch;
    uint32_t                    index;
    uint32_t                    next; /* in the free list or this turn's list: index + 1 */
    uint16_t                    flags;
    uint8_t                     state, reason;
    uint32_t                    lingered; /* bytes read and dropped */
};
_Static_assert(sizeof(struct rnet__conn) <= 128,
               "64 more are runnel's: 192 for an idle connection");

struct rnet__loop {
    /* set once */
    struct rn_loop *rn;
    uint32_t        id;

    /* the loop's thread */
    uint8_t              *shared; /* RNET__SHARED_BYTES, from the first connection on */
    struct rnet__conn   **chunks;
    uint32_t              n_chunks, free; /* index + 1 */
    uint32_t              turn_first, turn_last;
    struct rn_defer       defer;
    struct rn_post        more; /* the end of a turn left something to do */
    bool                  more_posted;
    struct rnet__buf     *cache; /* free small buffers, linked through their bytes */
    unsigned              n_cached;
    unsigned              n_bufs; /* that exist, cached ones too */
    size_t                buf_bytes;
    struct rn_memtrace    trace;  /* of the buffers */
    struct rn_class      *dns;
    struct rnet_listener *listeners;

    /* any thread */
    _Atomic uint32_t n_conns;
};

/* The state of the calling loop: made when there is none / NULL when there is none. NULL or -ENXIO
 * on a plain thread. */
int                rnet__loop_get(struct rnet__loop **ret_loop);
struct rnet__loop *rnet__loop_self(void);
/* Post to the loop of that id. 0, -ESHUTDOWN. Any thread. */
int  rnet__loop_post(uint32_t id, struct rn_post *post);
/* The state that belongs to a runnel loop, or NULL: for counting only. */
uint32_t rnet__loop_load(const struct rn_loop *rn);

/* Slots. */
int                rnet__slot_new(struct rnet__loop *l, struct rnet__conn **ret_conn);
void               rnet__slot_free(struct rnet__loop *l, struct rnet__conn *c);
struct rnet__conn *rnet__slot(struct rnet__loop *l, uint32_t index);
/* The slot that `conn` names, if it is one of the calling loop; else NULL. */
struct rnet__conn *rnet__conn_find(struct rnet_conn conn, struct rnet__loop **ret_loop);
/* Put it on this turn's list: output to send, or a state to act on. */
void rnet__conn_queue(struct rnet__loop *l, struct rnet__conn *c);
static inline struct rnet_conn rnet__handle(const struct rnet__loop *l, const struct rnet__conn *c)
{
    return (struct rnet_conn){l->id << 24 | c->index, c->gen};
}
static inline uint32_t rnet__or(uint32_t value, uint32_t fallback)
{
    return value ? value : fallback;
}

/* conn.c: a connection begins (the number is taken on success) and what the end of a turn does for
 * it. */
int rnet__conn_open(struct rnet__loop *l, int number, const struct rnet_protocol *protocol,
                    void *data, struct rnet_listener *listener, struct rnet_conn *ret_conn);
void rnet__conn_turn_end(struct rnet__loop *l, struct rnet__conn *c);
void rnet__conn_abort(struct rnet__loop *l, struct rnet__conn *c, enum rnet_reason reason);
void rnet__conn_finish(struct rnet__loop *l, struct rnet__conn *c);
void rnet__conn_arm(struct rnet__conn *c, rn_time when);

/* conn_read.c, conn_write.c */
void rnet__conn_read(struct rnet__loop *l, struct rnet__conn *c);
void rnet__conn_flush(struct rnet__loop *l, struct rnet__conn *c);
enum rnet_reason rnet__reason_of(int error);

void rnet__reason_count(enum rnet_reason reason);

/* listener.c: a connection of it is over; the loop of it ends. */
void rnet__listener_conn_gone(struct rnet_listener *listener);
void rnet__listener_abandon(struct rnet_listener *listener);

/* registry.c: a listener's entry in the table that any thread reads. Written by the listener's loop
 * only, but for the counts. */
struct rnet__entry;
int  rnet__entry_new(const char *name, struct rnet__entry **ret_entry);
void rnet__entry_free(struct rnet__entry *e);
void rnet__entry_sockets(struct rnet__entry *e, const struct rnet_listener_socket sockets[],
                         uint32_t n);
_Atomic uint32_t *rnet__entry_connections(struct rnet__entry *e);
enum rnet__entry_count {
    RNET__ACCEPTED,
    RNET__REFUSED,
    RNET__CHECKS,
    RNET__PAUSES,
    RNET__ENTRY_COUNTS = RNET__PAUSES + RNET_PAUSE_MAX
};
void rnet__entry_count(struct rnet__entry *e, unsigned which);
void rnet__entry_paused(struct rnet__entry *e, bool paused);

/* ---- sockets ---- */
struct rnet__bound {
    int              number;
    struct rnet_addr addr; /* with the real port */
    uint64_t         file_dev, file_ino; /* of a unix socket's file */
};
int  rnet__socket_listen(const char *address, int backlog, struct rnet__bound *ret_bound);
void rnet__socket_unlink(const struct rnet__bound *bound); /* the file, if it is still ours */
int  rnet__socket_options(int number, int family);
/* Errors of a connection that died in the queue (Linux also passes pending network errors on): the
 * next accept may do better. After any other error it would fail the same way. */
bool rnet__accept_passes(int error);
/* A stream over a connected descriptor, which is taken on success. */
struct rnet_stream;
int rnet__stream_of_fd(struct rn_fd fd, struct rnet_stream **ret_stream);
