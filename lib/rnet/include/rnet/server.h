/* Face A, the reactor: frames in, bytes out, no stack per connection.
 *
 *     static int on_frame(struct rnet_conn conn, void *data, struct rn_slice frame)
 *     {
 *         rnet_server_write_frame(conn, frame);   // echo
 *         return 0;
 *     }
 *     static const struct rnet_handler echo = {.on_frame = on_frame};
 *     ...
 *     struct rnet_server_options o = {.name = "echo", .addrs = addrs, .n_addrs = 1,
 *                                     .codec = &rnet_codec_length_prefixed, .handler = &echo,
 *                                     .frame_max = 65536};
 *     r = rnet_server_open(&o, &server, NULL);
 *
 * Handlers run on the connection's loop and must not wait; writes from elsewhere go by
 * rnet_conn_send() or rnet_conn_call().
 */
#pragma once

#include <rnet/conn.h>
#include <rnet/listener.h>

/* How bytes become frames. Pure: no state but the bytes. */
struct rnet_codec {
    const char *name;
    /* The first frame of `in`. Returns the bytes it takes, its frame being a part of them; 0:
     * incomplete; -EMSGSIZE (the payload is larger than frame_max), -EBADMSG. */
    ssize_t (*next)(struct rn_slice in, size_t frame_max, struct rn_slice *ret_frame);
    /* The length that the incomplete frame in `in` announces; 0: not told yet. NULL: never told. */
    size_t (*announced)(struct rn_slice in);
};
/* A 4-byte big-endian length, then that many bytes. Zero length is a frame. */
RN_API extern const struct rnet_codec rnet_codec_length_prefixed;
/* Up to \n; a \r before it is not part of the frame. */
RN_API extern const struct rnet_codec rnet_codec_line;

/* What the user does. Each may be NULL but on_frame. `data` as in conn.h: at first the server's
 * `data`. */
struct rnet_handler {
    /* < 0 refuses the connection. */
    int  (*on_open)(struct rnet_conn conn, void *data);
    /* < 0 closes with HANDLER, after the flush. */
    int  (*on_frame)(struct rnet_conn conn, void *data, struct rn_slice frame);
    void (*on_drain)(struct rnet_conn conn, void *data);
    void (*on_end)(struct rnet_conn conn, void *data);   /* NULL: flush and close, PEER */
    void (*on_timer)(struct rnet_conn conn, void *data); /* of rnet_server_timer() */
    void (*on_stop)(struct rnet_conn conn, void *data);  /* NULL: flush and close, DRAIN */
    /* The codec refused (-EMSGSIZE, -EBADMSG), a frame came too slowly (-ETIMEDOUT), or the peer
     * ended in the middle of one (-EPIPE); the last chance to say so. Then the connection is
     * flushed and closed, with PROTOCOL or the timeout. */
    void (*on_malformed)(struct rnet_conn conn, void *data, int error);
    void (*on_close)(struct rnet_conn conn, void *data, enum rnet_reason reason);
};

struct rnet_server_options {
    const char                *name;
    const char *const         *addrs;
    size_t                     n_addrs;
    const struct rnet_codec   *codec;
    const struct rnet_handler *handler;
    void                      *data;
    size_t                     frame_max;       /* payload; 0: 1 MiB */
    uint32_t                   connections_max; /* 0: no bound */
    int                        backlog;
    struct rnet_limits         limits;          /* output and flush; input follows from frame_max */

    rn_time first_ns; /* from the accept to the first whole frame; 0: 10 s; RN_FOREVER: none */
    rn_time frame_ns;          /* from a later frame's first byte to its last ... ; 0: 5 s */
    rn_time frame_ns_per_256k; /* ... and this for each 256 KiB of its length; 0: 1 s */

    /* As in listener.h. */
    void (*on_lost)(void *arg, const char *name, const char *address, const char *why);
    void *on_lost_arg;
};

struct rnet_server;

/* As rnet_listener_open(). codec and handler are borrowed. */
RN_API int rnet_server_open(const struct rnet_server_options *options,
                            struct rnet_server **ret_server, size_t *reterr_index);
RN_API struct rnet_listener *rnet_server_listener(struct rnet_server *server);
RN_API const char           *rnet_server_address(const struct rnet_server *server, size_t i);
/* The protocol, for a connection that comes from elsewhere (first bytes, Upgrade):
 * rnet_conn_switch(conn, it, data). */
RN_API const struct rnet_protocol *rnet_server_protocol(struct rnet_server *server);
/* As rnet_listener_drain() and rnet_listener_close(). */
RN_API int  rnet_server_drain(struct rnet_server *server, rn_time deadline);
RN_API void rnet_server_close(struct rnet_server *server);
RN_API void rnet_server_closep(struct rnet_server **server);

/* A timer of the handler's own (on_timer), beside the frame deadlines. 0, -EBADF. */
RN_API int rnet_server_timer(struct rnet_conn conn, rn_time when);

/* A 4-byte length and the payload. As rnet_conn_write(). */
RN_API int rnet_server_write_frame(struct rnet_conn conn, struct rn_slice payload);
