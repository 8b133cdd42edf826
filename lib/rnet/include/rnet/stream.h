/* Face B, for tasks: a stream of bytes in two directions, read and written as if it blocked.
 *
 *     CLEANUP(rnet_stream_closep) struct rnet_stream *s = NULL;
 *     r = rnet_dial("localhost:4320", rn_after(5 * RN_S), &s);
 *     ...
 *     r = rnet_stream_write(s, "hello\n", 6, deadline);
 *
 * Streams are tcp, unix, or memory (a pair, for tests and inside a program). One task may read
 * while another writes. A stream belongs to the task that got it, and is closed when that task
 * ends; the tasks of scopes inside may use it.
 *
 * Deadlines are absolute. Every call that says "suspends" is a cancellation point (-ECANCELED).
 */
#pragma once

#include <sys/uio.h>

#include <rnet/addr.h>
#include <runnel/fd.h>
#include <runnel/slice.h>

struct rnet_stream;

/* What a kind of stream is, for those who add one. Each suspends until `deadline`; read and write
 * may be short. */
struct rnet_stream_type {
    const char *name;
    size_t      size; /* of the record, which begins with struct rnet_stream */
    /* 0: the peer's end. */
    ssize_t (*readv)(struct rnet_stream *s, const struct iovec *iov, int n, rn_time deadline);
    /* -EPIPE: nobody will read it. */
    ssize_t (*writev)(struct rnet_stream *s, const struct iovec *iov, int n, rn_time deadline);
    int     (*end)(struct rnet_stream *s); /* half-close */
    int     (*addr)(struct rnet_stream *s, bool peer, struct rnet_addr *ret_addr);
    void    (*close)(struct rnet_stream *s); /* not the record */
};
struct rnet_stream {
    const struct rnet_stream_type *type;
};

/* Some bytes, at least one. Returns the count, 0 at the peer's end, -ETIMEDOUT, -ECONNRESET, -EBADF
 * (closed meanwhile), ... Suspends. */
RN_API ssize_t rnet_stream_read(struct rnet_stream *s, void *buf, size_t n, rn_time deadline);
RN_API ssize_t rnet_stream_readv(struct rnet_stream *s, const struct iovec *iov, int n,
                                 rn_time deadline);
/* All n. 0, -ENODATA: the end came first. Suspends. */
RN_API int rnet_stream_read_full(struct rnet_stream *s, void *buf, size_t n, rn_time deadline);
/* All of it, or an error (then a part may be out). 0, -EPIPE, -ETIMEDOUT, -ECONNRESET, ...
 * Suspends. */
RN_API int rnet_stream_write(struct rnet_stream *s, const void *buf, size_t n, rn_time deadline);
RN_API int rnet_stream_writev(struct rnet_stream *s, const struct iovec *iov, int n,
                              rn_time deadline);
/* No more will be written: the peer reads its end. 0, -ENOTCONN. */
RN_API int rnet_stream_end(struct rnet_stream *s);
/* Close both directions; whoever waits on it gets -EBADF. NULL is fine. Doesn't suspend. No task
 * may be about to use it. */
RN_API void rnet_stream_close(struct rnet_stream *s);
RN_API void rnet_stream_closep(struct rnet_stream **s);

RN_API int rnet_stream_peer(struct rnet_stream *s,
                            struct rnet_addr *ret_addr); /* -ENOTSUP in memory */
RN_API int rnet_stream_local(struct rnet_stream *s, struct rnet_addr *ret_addr);

/* Connect to an address of addr.h or to `name:port`. A name is looked up by the system (on a thread
 * of the class `dns`), and its addresses are tried in turn, a new one every 250 ms, until one
 * answers. Suspends. 0; -ETIMEDOUT, -ECONNREFUSED and the like, -ENXIO (no such name), -EINVAL,
 * -EMFILE. */
RN_API int rnet_dial(const char *address, rn_time deadline, struct rnet_stream **ret_stream);

/* Listen and accept in tasks. */
struct rnet_acceptor;
RN_API int rnet_listen(const char *address, int backlog, struct rnet_acceptor **ret_acceptor);
RN_API const char *rnet_acceptor_address(const struct rnet_acceptor *a);
/* The next connection, the calling task's. Errors of single connections are passed over; out of
 * descriptors it waits 100 ms and tries again. 0, -ETIMEDOUT, -ECANCELED, -EBADF (closed).
 * Suspends. */
RN_API int rnet_accept(struct rnet_acceptor *a, rn_time deadline, struct rnet_stream **ret_stream);
/* The same, but only the number: for a task yet to be started, which calls rnet_stream_adopt(). */
RN_API int  rnet_accept_number(struct rnet_acceptor *a, rn_time deadline, int *ret_number);
RN_API void rnet_acceptor_close(struct rnet_acceptor *a);
RN_API void rnet_acceptor_closep(struct rnet_acceptor **a);

/* A stream over a connected socket. On error the caller still owns the number. */
RN_API int rnet_stream_adopt(int number, struct rnet_stream **ret_stream);

/* Two ends in memory, of the scope in which the calling task was born. 16 writes of at most 16 KiB
 * fit between them. */
RN_API int rnet_stream_pair(struct rnet_stream **ret_a, struct rnet_stream **ret_b);

/* Frames of a stream. The reader keeps what it has read too much; its buffer is freed when empty.
 * Zero bytes and `stream`, `codec`, `frame_max` are its init. */
struct rnet_codec;
struct rnet_frame_reader {
    struct rnet_stream      *stream;    /* borrowed */
    const struct rnet_codec *codec;     /* rnet_codec_length_prefixed, ... */
    size_t                   frame_max; /* of the payload */

    /* its own */
    uint8_t *buf;
    size_t   cap, begin, end;
};
/* The next frame, valid until the next call. After -ETIMEDOUT and -ECANCELED the call may be made
 * again, nothing is lost. 1: a frame; 0: the stream ended between two frames; -ENODATA: inside of
 * one; -EMSGSIZE, -EBADMSG: of the codec, -ENOMEM. Suspends. */
RN_API int rnet_frame_reader_next(struct rnet_frame_reader *fr, struct rn_slice *ret_frame,
                                  rn_time deadline);
RN_API void rnet_frame_reader_fini(struct rnet_frame_reader *fr);
/* A 4-byte length and the payload, in one call. As rnet_stream_write(). */
RN_API int rnet_stream_write_frame(struct rnet_stream *s, struct rn_slice payload,
                                   rn_time deadline);
/* One frame, length-prefixed, into memory that the caller frees; reads not a byte more. 1, 0,
 * -ENODATA, -EMSGSIZE, -ENOMEM ... Suspends. */
RN_API int rnet_stream_read_frame(struct rnet_stream *s, size_t frame_max, rn_time deadline,
                                  uint8_t **ret_payload, size_t *ret_len);
