/* Channels carry values between tasks.
 *
 * A channel has `cap` slots of `size` bytes and two kinds of end-points, each counted. With cap 0 a send meets a
 * receive. Senders and receivers are served first in, first out. Senders and receivers never wait at once, but for one
 * task that selects on both ends.
 *
 * When the last rn_tx closes, receivers take what is left, then get -EPIPE; when the last rn_rx closes, senders get
 * -EPIPE at once, and what is still buffered goes to the element's destructor.
 *
 * Every end-point has one owner: a task, a scope, a connection or a loop. The owner may use it; so may the tasks of an
 * owning scope (and of scopes inside it), and the callbacks of an owning loop (try_ and push only). Anyone else gets
 * -EPERM and needs a rn_tx_dup(). What an owner still holds when it ends is closed.
 *
 * Unless said otherwise:
 * Suspends: no.
 * Owner:    stays the same.
 * From:     a task or a callback of the runtime whose channel it is; elsewhere -EBADF, and on a plain thread -EPERM.
 */
#pragma once

#include <runnel/base.h>

struct rn_tx {
    uint32_t slot, gen; /* all zero: none */
};
struct rn_rx {
    uint32_t slot, gen;
};
struct rn_end { /* either of the two; the slot tells which */
    uint32_t slot, gen;
};
struct rn_scope;
struct rn_loop;

/* The same end-point without its kind.
 * Returns: it.
 * From:    anywhere. */
static inline struct rn_end rn_end_tx(struct rn_tx tx)
{
    struct rn_end end = {tx.slot, tx.gen};

    return end;
}
/* As rn_end_tx().
 * Returns: it.
 * From:    anywhere. */
static inline struct rn_end rn_end_rx(struct rn_rx rx)
{
    struct rn_end end = {rx.slot, rx.gen};

    return end;
}

#define RN_ELEM_ENDS_MAX 4
struct rn_elem {
    size_t   size;                   /* of a value; 0 is fine (it only counts), < 64 KiB */
    void   (*destroy)(void *value);  /* for values that nobody will receive; runs unlocked in the task that closed */
    uint8_t  n_ends;                 /* end-points inside a value: they travel with it */
    uint16_t ends[RN_ELEM_ENDS_MAX]; /* offsets of their struct rn_end, rn_tx or rn_rx */
};

/* Open a channel. In C++ take rn_chan_open_elem() with an object of your own.
 * Returns:  0, -EINVAL (size or cap out of range), -ENOMEM, -EPERM.
 * Owner:    of both ends the caller: the task, or the loop in a callback. */
#define rn_chan_open(size_, cap, ret_tx, ret_rx) \
    rn_chan_open_at(RN_SITE(), &(const struct rn_elem){.size = (size_)}, cap, ret_tx, ret_rx)
#define rn_chan_open_elem(elem, cap, ret_tx, ret_rx) rn_chan_open_at(RN_SITE(), elem, cap, ret_tx, ret_rx)
RN_API int rn_chan_open_at(const struct rn_site *site, const struct rn_elem *elem, size_t cap, struct rn_tx *ret_tx,
                           struct rn_rx *ret_rx);

/* Send one value (copied).
 * Suspends: until a receiver or a slot takes it, the last receiver closes, or `deadline` passes.
 * Returns:  0, -EPIPE, -ETIMEDOUT, -ECANCELED, -EPERM, -EBADF (closed, also meanwhile).
 * Owner:    end-points inside the value go with it; when the call fails nothing has moved.
 * From:     a task; in a callback only with a deadline of 0. */
#define rn_tx_send(tx, value, deadline) rn_tx_send_at(RN_SITE(), tx, value, deadline)
RN_API int rn_tx_send_at(const struct rn_site *site, struct rn_tx tx, const void *value, rn_time deadline);

/* Receive one value.
 * Suspends: until there is one, the last sender closes, or `deadline` passes.
 * Returns:  0, -EPIPE (every sender is gone and the buffer is empty), -ETIMEDOUT, -ECANCELED, -EPERM, -EBADF (closed, also meanwhile).
 * Owner:    of end-points inside the value, the caller.
 * From:     a task; in a callback only with a deadline of 0. */
#define rn_rx_recv(rx, ret_value, deadline) rn_rx_recv_at(RN_SITE(), rx, ret_value, deadline)
RN_API int rn_rx_recv_at(const struct rn_site *site, struct rn_rx rx, void *ret_value, rn_time deadline);

/* The same without waiting.
 * Returns: as above, but -EAGAIN where it would have to wait.
 * Owner:   of end-points inside the value: as above. */
RN_API int rn_tx_try_send(struct rn_tx tx, const void *value);
RN_API int rn_rx_try_recv(struct rn_rx rx, void *ret_value);

/* Send without waiting; a full ring gives up its oldest value to the caller.
 * Returns: 0 (sent), 1 (sent, *ret_evicted holds the value that had to go), -EINVAL (the channel has no ring), -EPIPE, -EPERM, -EBADF.
 * Owner:   of end-points inside the evicted value, the caller. */
RN_API int rn_tx_push(struct rn_tx tx, const void *value, void *ret_evicted);

/* Take the oldest buffered value back without sending one: for queues that are also bounded by something else than their slots.
 * Returns: 0, -EAGAIN (nothing is buffered), -EPIPE, -EPERM, -EBADF.
 * Owner:   of end-points inside the value, the caller. */
RN_API int rn_tx_evict(struct rn_tx tx, void *ret_evicted);

/* One more end-point of the same kind, for whoever knows the handle.
 * Returns: 0, -EBADF, -ENOMEM.
 * Owner:   of the new one, the caller. */
RN_API int rn_tx_dup(struct rn_tx tx, struct rn_tx *ret_tx);
RN_API int rn_rx_dup(struct rn_rx rx, struct rn_rx *ret_rx);

/* Close. Wakes the tasks that use this very end-point with -EBADF.
 * Returns: 0, -EBADF, -EPERM.
 * Owner:   only it may. */
RN_API int  rn_tx_close(struct rn_tx tx);
RN_API int  rn_rx_close(struct rn_rx rx);
RN_API void rn_tx_closep(struct rn_tx *tx); /* closes and clears; {0} is fine */
RN_API void rn_rx_closep(struct rn_rx *rx);

/* Move end-points of the caller to a scope or a loop, all or none.
 * Returns: 0, -EBADF, -EPERM.
 * Owner:   afterwards the scope, the loop. */
RN_API int rn_end_to_scope(const struct rn_end ends[], size_t n, struct rn_scope scope);
RN_API int rn_end_to_loop(const struct rn_end ends[], size_t n, struct rn_loop *loop);

/* Queued values, and capacity, for whoever knows a handle; snapshots.
 * Returns: a number, -EBADF. */
RN_API int64_t rn_chan_len(struct rn_end end);
RN_API int64_t rn_chan_cap(struct rn_end end);

/* One operation of a select. */
enum rn_case_op { RN_OP_SEND, RN_OP_RECV };
struct rn_case {
    enum rn_case_op op;
    struct rn_end   end;
    void           *value; /* sent from, or received into; NULL with size 0, or to drop what is received */
    int             result;
};
#define RN_CASE_SEND(tx, value_) {RN_OP_SEND, rn_end_tx(tx), (void *)(value_), 0}
#define RN_CASE_RECV(rx, value_) {RN_OP_RECV, rn_end_rx(rx), (value_), 0}

/* Select: wait until one of several operations can go on, and do that one.
 *
 *     struct rn_case c[] = {RN_CASE_RECV(jobs, &job), RN_CASE_RECV(stop, NULL)};
 *     switch (rn_select(c, 2, RN_FOREVER)) { case 0: ...c[0].result... }
 *
 * Cases with an all-zero end-point are ignored. Among those that are ready one is chosen uniformly; its index is returned and
 * its `result` set: 0, -EPIPE, -EBADF or -EPERM (an end that is closed or not the caller's counts as ready).
 * Suspends: until one is ready or `deadline` passes (0: a default case).
 * Returns:  an index, -ETIMEDOUT, -ECANCELED, -EINVAL (more than 4080 cases), -ENOMEM, -EPERM (it would have to wait, outside of a task).
 * Owner:    of end-points inside values: as for a send or a receive. */
#define rn_select(cases, n, deadline) rn_select_at(RN_SITE(), cases, n, deadline)
RN_API int rn_select_at(const struct rn_site *site, struct rn_case cases[], size_t n, rn_time deadline);
