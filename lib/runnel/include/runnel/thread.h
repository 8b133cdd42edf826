/* Plain threads: a thread that is none of the runtime's does what a task can do.
 *
 *     OK(rn_thread_attach(scope, ends, n, &th));   // in a task; then the thread gets `th`
 *     ...
 *     r = rn_thread_send(th, tx, &value, RN_FOREVER);   // on the thread: it waits, the runtime doesn't
 *     rn_thread_detach(th);
 *
 * Each attached thread has a task in a scope, which acts for it: it owns the thread's end-points, its waits show up in dumps and in the
 * leak check, and its scope cancels what the thread waits for. A call costs a system call and two changes of threads; for many small values
 * take a buffer, or rn_loop_post().
 *
 * Unless said otherwise:
 * Suspends: no; the thread waits.
 * Owner:    of the handle, the thread, until it detaches. Its task ends then, or when the scope is cancelled.
 * From:     a plain thread; in a task or a callback -EPERM.
 */
#pragma once

#include <runnel/base.h>
#include <runnel/chan.h>
#include <runnel/task.h>

struct rn_thread;

/* Start the task for a thread. The end-points in `ends` move to it; if the call fails nothing has moved.
 * Returns: 0, -EOPNOTSUPP (in `sim`), -ENOMEM, -EMFILE, -ENFILE, and what rn_go() returns.
 * From:    a task. */
#define rn_thread_attach(scope, ends, n, ret) rn_thread_attach_at(RN_SITE(), scope, ends, n, ret)
RN_API int rn_thread_attach_at(const struct rn_site *site, struct rn_scope scope, const struct rn_end ends[], size_t n,
                               struct rn_thread **ret_thread);

/* The thread needs it no more; also after its scope or the runtime has ended. The task ends, and what it holds is closed.
 * Returns: 0; -EBUSY (another thread is inside of a call), or the error of an eventfd's write: nothing has changed then.
 * From:    anywhere. */
RN_API int rn_thread_detach(struct rn_thread *thread);

/* Run fn(arg) as the task of this thread: there it may do whatever a task may.
 * Returns: what fn returned; -EPERM, -EBUSY (another thread is inside of a call), -ESHUTDOWN (the task has ended), -ECANCELED (it ended before fn
 *          began), or the error of an eventfd's write.
 * Owner:   of `arg`, the thread, which waits. */
RN_API int rn_thread_call(struct rn_thread *thread, int (*fn)(void *arg), void *arg);

/* Send and receive, as rn_tx_send() and rn_rx_recv() do.
 * Returns: as they do, and as rn_thread_call().
 * Owner:   of end-points inside the value, the thread's task. */
#define rn_thread_send(thread, tx, value, deadline) rn_thread_send_at(RN_SITE(), thread, tx, value, deadline)
#define rn_thread_recv(thread, rx, ret_value, deadline) rn_thread_recv_at(RN_SITE(), thread, rx, ret_value, deadline)
RN_API int rn_thread_send_at(const struct rn_site *site, struct rn_thread *thread, struct rn_tx tx, const void *value,
                             rn_time deadline);
RN_API int rn_thread_recv_at(const struct rn_site *site, struct rn_thread *thread, struct rn_rx rx, void *ret_value,
                             rn_time deadline);
