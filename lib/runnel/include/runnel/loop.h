/* The loop of a worker, for those who write protocols on it (rnet). Applications use tasks.
 *
 * Callbacks run on the loop's own thread between two task turns, must not wait, and may not call anything that
 * suspends. One turn: due timers, inbox, events (all of a batch are sorted before the first callback), callbacks, tasks,
 * deferred work, epoll.
 *
 * Unless said otherwise:
 * Suspends: no.
 * Owner:    of records (post, defer, timer, pause) the caller, whose memory they lie in; of loops the runtime.
 * From:     the thread of the loop: its tasks and its callbacks.
 */
#pragma once

#include <runnel/base.h>
#include <runnel/fd.h>

struct rn_loop;
struct rn_runtime;

/* Returns: the loop of the calling task or callback; NULL on a plain thread.
 * From:    anywhere. */
RN_API struct rn_loop *rn_loop_self(void);

/* Returns: its index, from 0.
 * From:    anywhere. */
RN_API uint32_t rn_loop_index(const struct rn_loop *loop);

/* Returns: loop `i` of the runtime, NULL past the last.
 * From:    anywhere. */
RN_API struct rn_loop *rn_loop_at(struct rn_runtime *rt, uint32_t i);

typedef void rn_event_fn(void *arg, uint32_t events);

/* Loop watches: a descriptor whose events go to a callback. Edge-triggered, registered once for both directions. `events` are
 * EPOLL* bits. The number must be non-blocking already (accept4() and socket() can make it so): it is not looked at, unlike in
 * rn_fd_adopt(). rn_fd_close() from this loop only; after it no callback comes any more.
 * Returns: 0, -EPERM (a regular file, or a plain thread), -ENOMEM, -EEXIST.
 * Owner:   of the descriptor, the loop; on error still the caller. */
#define rn_loop_watch(fd, kind, fn, arg, ret) rn_loop_watch_at(RN_SITE(), fd, kind, fn, arg, ret)
RN_API int rn_loop_watch_at(const struct rn_site *site, int fd, enum rn_fd_kind kind, rn_event_fn *fn, void *arg,
                            struct rn_fd *ret_fd);

/* Deliver `events` once more in the next turn, although no edge came (a budget ran out). */
RN_API void rn_loop_again(struct rn_fd fd, uint32_t events);

struct rn_post {
    struct rn_post *next;
    void          (*fn)(struct rn_post *post);
};
/* Work posted to a loop from any thread (the inbox). The node must stay valid until `fn` runs, and may be posted
 * again from then on. FIFO per poster. The loop goes with rn_run(): a plain thread must be stopped before that returns.
 * Returns: 0, or -ESHUTDOWN after the runtime began to end (`fn` does not run).
 * From:    anywhere. */
RN_API int rn_loop_post(struct rn_loop *loop, struct rn_post *post);

struct rn_defer {
    struct rn_defer *next;
    void           (*fn)(struct rn_defer *defer);
    bool             queued;
};
/* Work for the end of this turn, before epoll: for output gathered during the turn. The same node is queued at most once. */
RN_API void rn_loop_defer(struct rn_defer *defer);

struct rn_timer {
    struct rn_timer *next, **prev; /* the wheel's */
    rn_time          when;
    void           (*fn)(struct rn_timer *timer);
};
/* Callback timers, embedded in the caller's record; zero-initialised is disarmed. Only from the thread of the loop that it was
 * armed on. Arm: O(1), replaces an earlier arming; the callback runs once, at or after `when`. Disarm is synchronous:
 * after it the callback does not come. */
RN_API void rn_timer_arm(struct rn_timer *timer, rn_time when, void (*fn)(struct rn_timer *timer));
RN_API void rn_timer_disarm(struct rn_timer *timer);

/* A coarse clock (refreshed once per turn; no system call), for ages and idle times.
 * Returns: its time.
 * From:    anywhere. */
RN_API rn_time rn_loop_now(void);

struct rn_pause {
    struct rn_pause *next;
    struct rn_loop  *loop;
    void           (*wake)(struct rn_pause *pause);
    bool             listed;
};
/* Listeners that are paused for want of descriptors: while the count isn't zero, every close in the runtime calls the wake
 * function of each pause, on its loop. */
RN_API void rn_pause_begin(struct rn_pause *pause, void (*wake)(struct rn_pause *pause));
RN_API void rn_pause_end(struct rn_pause *pause);

/* What a library on top (rnet) keeps for a loop: one word, NULL at first. `fini` (may be NULL) gets it when the loop ends, on the loop's
 * thread, before the loop's descriptors are closed.
 * Returns: the word.
 * Owner:   of the word, that library. */
RN_API void *rn_loop_local(struct rn_loop *loop);
RN_API void  rn_loop_local_set(struct rn_loop *loop, void *value, void (*fini)(void *value));
