/* Connections on a loop, for those who write protocols. (Who serves frames uses server.h, tasks use
 * stream.h.)
 *
 * A connection is a slot of one loop for life, and only that loop's thread touches it: callbacks,
 * and tasks while they run on that worker. Everybody else goes through rnet_conn_call(). A struct
 * rnet_conn is a name: a stale one is refused, and never reaches another connection.
 *
 *     open --(end)--> flushing --(all sent)--> lingering --(peer's end, 64 KiB, 2 s)--> closed
 *       \--------------(close, error, reset)------------------------------------------/
 *
 * on_close comes once, from the loop and never from inside a call: when lingering begins, or at the
 * close. The handle is stale after it. An idle connection has no buffers: bytes are read into the
 * loop's shared buffer, and only what a protocol leaves is kept.
 */
#pragma once

#include <sys/types.h>

#include <runnel/base.h>
#include <runnel/slice.h>

struct rnet_conn {
    uint32_t slot; /* loop << 24 | index */
    uint32_t gen;  /* all zero: none */
};
#define RNET_CONN_NONE ((struct rnet_conn){0, 0})

static inline bool rnet_conn_eq(struct rnet_conn a, struct rnet_conn b)
{
    return a.slot == b.slot && a.gen == b.gen;
}

enum rnet_reason {
#define X(name, text) RNET_REASON_##name,
#include <rnet/close_reasons.tbl>
#undef X
    RNET_REASON_MAX
};
RN_API const char *rnet_reason_name(enum rnet_reason reason);
/* Connections that ended so, in this process; from any thread. */
RN_API uint64_t rnet_reason_count(enum rnet_reason reason);

/* Bounds of a connection. Zero fields mean the default. */
struct rnet_limits {
    uint32_t input_max;   /* kept bytes that the protocol could not yet consume; 64 KiB */
    uint32_t output_high; /* rnet_conn_write() returns 1 at and above this; 256 KiB */
    uint32_t output_low;  /* on_drain when it has fallen to this; 64 KiB */
    uint32_t output_max;  /* more is a close, OUTPUT_LIMIT; 4 MiB */
    rn_time  flush_ns;    /* the time that rnet_conn_end() gives the rest of the output; 10 s */
};

/* What a protocol is. Each callback may be NULL but on_bytes. They run on the connection's loop,
 * must not wait; each may use all calls below. `data` is what rnet_conn_data_set() set, at first
 * the argument given with the protocol.
 */
struct rnet_protocol {
    const char        *name;
    struct rnet_limits limits;

    /* The connection is there. < 0 closes it with REFUSED. Not called for a protocol that came by
     * rnet_conn_switch(). */
    int (*on_open)(struct rnet_conn conn, void *data);

    /* Bytes came; `in` is all that is unconsumed, valid until the callback returns. Returns how
     * many were consumed; the rest is kept and comes again with what follows (at once, if some were
     * consumed: so one frame a call is fine). 0 wants more. < 0 closes with PROTOCOL, after the
     * flush of what was written. Consumed must be <= in.len. Not called while reading is paused. */
    ssize_t (*on_bytes)(struct rnet_conn conn, void *data, struct rn_slice in);

    /* The output fell to the low mark after it had been above the high one. */
    void (*on_drain)(struct rnet_conn conn, void *data);

    /* The peer sent its end; nothing will be read any more, writing goes on. NULL:
     * rnet_conn_end(PEER). */
    void (*on_end)(struct rnet_conn conn, void *data);

    /* The deadline of rnet_conn_timer() passed. */
    void (*on_timer)(struct rnet_conn conn, void *data);

    /* The listener drains: finish and close. NULL: rnet_conn_end(DRAIN). */
    void (*on_stop)(struct rnet_conn conn, void *data);

    /* It is over. The last callback; `conn` becomes stale with its return, nothing can be written
     * any more. */
    void (*on_close)(struct rnet_conn conn, void *data, enum rnet_reason reason);
};

/* Take over a connected socket on the calling loop. Made non-blocking; on error the caller still
 * owns the number. The protocol is borrowed for the life of the connection. on_open comes before
 * this returns. `ret_conn` may be NULL. 0, -ENOMEM, -EMFILE (2^24 connections on this loop),
 * -ECANCELED (on_open refused; closed), or from epoll. From a loop's thread. */
RN_API int rnet_conn_adopt(int number, const struct rnet_protocol *protocol, void *data,
                           struct rnet_conn *ret_conn);

/* All below, but where they say otherwise: from the thread of the connection's loop; -EBADF when
 * the handle is stale or another loop's. */

/* Is it still there, and open for writing? */
RN_API bool rnet_conn_alive(struct rnet_conn conn);

RN_API void *rnet_conn_data(struct rnet_conn conn); /* NULL when stale */
RN_API int   rnet_conn_data_set(struct rnet_conn conn, void *data);
RN_API const struct rnet_protocol *rnet_conn_protocol(struct rnet_conn conn); /* NULL when stale */

/* Two words in the slot for the protocol itself (not for its user), zero at the start and after a
 * switch. NULL when stale. */
struct rnet_conn_scratch {
    uint64_t word[2];
};
RN_API struct rnet_conn_scratch *rnet_conn_scratch(struct rnet_conn conn);

/* Another protocol from now on; unread bytes go to it, right after the callback that called this
 * (the count which that one returns is consumed first). on_close of the old one doesn't come. Its
 * limits apply. 0, -EBADF. */
RN_API int rnet_conn_switch(struct rnet_conn conn, const struct rnet_protocol *protocol,
                            void *data);

/* Append to the output (copied). All that was written in one turn leaves in one send at its end.
 * 0, or 1: at or above the high mark, better wait for on_drain; -EPIPE (ending), -ENOBUFS (above
 * the cap: it is being closed with OUTPUT_LIMIT), -ENOMEM (it is being closed), -EBADF. */
RN_API int rnet_conn_write(struct rnet_conn conn, struct rn_slice bytes);
RN_API int rnet_conn_writev(struct rnet_conn conn, const struct rn_slice parts[], size_t n);
/* Bytes written and not yet sent. 0 when stale. */
RN_API size_t rnet_conn_unsent(struct rnet_conn conn);

/* Close at once; what is unsent is lost. 0, -EBADF. */
RN_API int rnet_conn_close(struct rnet_conn conn, enum rnet_reason reason);
/* Close when all is sent (within limits.flush_ns), then linger, so that the peer gets the last
 * answer rather than a reset. Nothing is read or written any more. 0, -EBADF. */
RN_API int rnet_conn_end(struct rnet_conn conn, enum rnet_reason reason);
/* Is rnet_conn_end() under way? */
RN_API bool rnet_conn_ending(struct rnet_conn conn);

/* Stop and go on reading. Kept bytes come again after the resume, in the next turn. 0, -EBADF. */
RN_API int  rnet_conn_pause(struct rnet_conn conn);
RN_API int  rnet_conn_resume(struct rnet_conn conn);
RN_API bool rnet_conn_paused(struct rnet_conn conn);
/* Bytes that came and were not consumed. 0 when stale. */
RN_API size_t rnet_conn_kept(struct rnet_conn conn);

/* The one timer: on_timer at or after `when`; RN_FOREVER disarms. Moving it on costs two stores. 0,
 * -EBADF. */
RN_API int     rnet_conn_timer(struct rnet_conn conn, rn_time when);
RN_API rn_time rnet_conn_timer_when(struct rnet_conn conn);

/* "127.0.0.1:51022"; ends buf. Costs a system call. 0, -EBADF, -ENOTCONN. */
RN_API int rnet_conn_peer(struct rnet_conn conn, char *buf, size_t n);
/* The number of the descriptor, borrowed. -EBADF. */
RN_API int rnet_conn_number(struct rnet_conn conn);

/* From any thread and any runtime: run fn on the connection's loop, FIFO per caller. When the
 * connection has gone by then, `drop` (may be NULL) gets arg instead, on that loop, and it is
 * counted. 0; -ENOMEM, -ESHUTDOWN (that loop has ended): neither will run. */
typedef void rnet_call_fn(struct rnet_conn conn, void *data, void *arg);
RN_API int rnet_conn_call(struct rnet_conn conn, rnet_call_fn *fn, void *arg,
                          void (*drop)(void *arg));

/* Also from any thread: write (copied; directly when on the loop's own thread), end, close. 0 says
 * that it was handed over. */
RN_API int rnet_conn_send(struct rnet_conn conn, struct rn_slice bytes);
RN_API int rnet_conn_send_end(struct rnet_conn conn, enum rnet_reason reason);
RN_API int rnet_conn_send_close(struct rnet_conn conn, enum rnet_reason reason);
