/* Listeners: who owns them, how they accept, and proof each second that they still listen.
 *
 * A listener belongs to the loop of the worker that opened it. Connections go to the loop that has
 * the fewest. Out of descriptors or memory it pauses, and goes on after the next close of this
 * process's runtime or 100 ms; it never spins and never dies of it. Every second it is checked
 * (SO_ACCEPTCONN, address, cookie, inode): when a socket is no longer ours and listening, `on_lost`
 * is told once, `up` reads 0, and the number is only closed if it still is our socket.
 */
#pragma once

#include <rnet/addr.h>
#include <rnet/conn.h>

struct rnet_listener;

#define RNET_LISTENER_ADDRS_MAX 8
#define RNET_LISTENER_NAME_MAX  32
#define RNET_LISTENER_OWNER_MAX 48

enum rnet_accept_pause {
    RNET_PAUSE_EMFILE,
    RNET_PAUSE_ENFILE,
    RNET_PAUSE_ENOBUFS,
    RNET_PAUSE_ENOMEM,
    RNET_PAUSE_OTHER,
    RNET_PAUSE_MAX
};
RN_API const char *rnet_accept_pause_name(enum rnet_accept_pause reason); /* "emfile" */

struct rnet_listener_options {
    const char                 *name;            /* "agents": in metrics; copied */
    const char *const          *addrs;           /* one socket each, up to RNET_LISTENER_ADDRS_MAX */
    size_t                      n_addrs;
    const struct rnet_protocol *protocol;        /* borrowed until the listener is closed */
    void                       *data;            /* the first `data` of each connection */
    int                         backlog;         /* 0: SOMAXCONN */
    uint32_t                    connections_max; /* more are closed after the accept; 0: no bound */

    /* A socket of it is lost (once each; from the loop). `why`: static text. May be NULL. */
    void (*on_lost)(void *arg, const char *name, const char *address, const char *why);
    void *on_lost_arg;
};

/* Bind, listen and accept. A stale unix socket file is replaced; one that is served is -EADDRINUSE.
 * The file has mode 0660, less the umask.
 * From a task or callback. 0; -EINVAL, -EADDRINUSE, -EACCES, -ENOMEM, ... `reterr_index` (may be
 * NULL): the address at fault. */
RN_API int rnet_listener_open(const struct rnet_listener_options *options,
                              struct rnet_listener **ret_listener, size_t *reterr_index);

/* The bound address `i`, with its real port; NULL past the last. */
RN_API const char *rnet_listener_address(const struct rnet_listener *listener, size_t i);

/* Connections open now, lingering ones included. Any thread. */
RN_API uint32_t rnet_listener_connections(const struct rnet_listener *listener);

/* Stop accepting (the sockets close, socket files are unlinked), tell every connection on_stop,
 * wait until none is left or `deadline`; then cut the rest (CUT) and wait for their on_close.
 * Suspends; from a task on the listener's worker. 0, -ETIMEDOUT (some were cut), -ECANCELED (they
 * were cut too). Several tasks may drain; a deadline that has passed cuts at once. */
RN_API int rnet_listener_drain(struct rnet_listener *listener, rn_time deadline);

/* Drain with no patience, then free. Suspends. NULL is fine. */
RN_API void rnet_listener_close(struct rnet_listener *listener);
RN_API void rnet_listener_closep(struct rnet_listener **listener);

/* Call fn for each connection of the listener on the calling loop. From that thread. */
RN_API void rnet_listener_each(struct rnet_listener *listener,
                               void (*fn)(struct rnet_conn conn, void *data, void *arg), void *arg);

/* Run the check now (it runs each second by itself). 0, or -EBADF when a socket is lost. From the
 * listener's loop. */
RN_API int rnet_listener_check(struct rnet_listener *listener);

/* Every listener of the process, from any thread, without a lock. */
struct rnet_listener_socket {
    char     address[RNET_ADDR_TEXT_MAX];
    bool     up;
    int      number;     /* may be somebody else's when it isn't up */
    const char *why;     /* it was lost; static text, or NULL */
    uint64_t inode, cookie;
};
struct rnet_listener_info {
    char     name[RNET_LISTENER_NAME_MAX];
    bool     up; /* all its sockets */
    bool     paused_now;
    char     owner[RNET_LISTENER_OWNER_MAX]; /* "loop 0 of fettled" */
    uint32_t connections, n_sockets;
    uint64_t accepted, refused, checks;
    uint64_t paused[RNET_PAUSE_MAX];
    struct rnet_listener_socket sockets[RNET_LISTENER_ADDRS_MAX];
};
/* The first with an index >= *index; *index becomes the next to ask for (start with 0). False: no
 * more. */
RN_API bool rnet_listener_info(size_t *index, struct rnet_listener_info *ret_info);
