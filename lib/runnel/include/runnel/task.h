/* Tasks and scopes.
 *
 * A task is a function on a stack of its own. It is born in a scope, and a scope cannot be left before its tasks have
 * ended, so no task outlives whoever is responsible for it.
 *
 *     struct rn_scope s = {0};
 *     OK(rn_scope_open(RN_SCOPE_FAIL_FAST, &s));
 *     rn_go(s, worker, &job, (struct rn_end[]){rn_end_tx(tx)}, 1);
 *     int r = rn_scope_wait(s);          // first error of a task, or 0
 *     rn_scope_close(s);                 // cancel what runs, wait, free
 *
 * Cancellation is level-triggered: once a scope is cancelled, every call that could park in it (or in a scope inside
 * it) returns -ECANCELED; -ETIMEDOUT only ever means the deadline argument of the call itself. An operation that had
 * already completed reports success.
 *
 * Unless said otherwise:
 * Suspends: no.
 * Owner:    of a scope, the task that opened it.
 * From:     a task.
 */
#pragma once

#include <runnel/base.h>
#include <runnel/chan.h>

struct rn_scope {
    uint32_t slot, gen; /* all zero: none */
};

enum rn_scope_flags {
    RN_SCOPE_WAIT_ALL = 0,
    RN_SCOPE_FAIL_FAST = 1, /* the first task that returns < 0 cancels the rest */
};

/* Open a scope inside the caller's current one.
 * Returns: 0, -ENOMEM, -EINVAL (flags), -EPERM (no task).
 * Owner:   the calling task, which must close it (what it leaves open is closed when it ends). */
#define rn_scope_open(flags, ret) rn_scope_open_at(RN_SITE(), flags, ret)
RN_API int rn_scope_open_at(const struct rn_site *site, unsigned flags, struct rn_scope *ret_scope);

/* Returns: the scope in which the calling task was born; none outside of a task. */
RN_API struct rn_scope rn_scope_self(void);

/* Cancel the scope when `deadline` passes (at once if it has); a later call replaces the earlier one, RN_FOREVER takes it back.
 * Returns: 0, -EBADF.
 * From:    a task or callback of the same runtime. */
RN_API int rn_scope_deadline(struct rn_scope s, rn_time deadline);

/* Ask all tasks of the scope, and of the scopes inside it, to end; nobody is born into them any more.
 * Returns: 0, -EBADF.
 * From:    a task or callback of the same runtime, on any worker. */
RN_API int rn_scope_cancel(struct rn_scope s);

/* Has the calling task been cancelled?
 * Returns: 0, -ECANCELED. */
RN_API int rn_cancelled(void);

/* Wait until the scope has no task.
 * Suspends: until then.
 * Returns:  the first negative result of a task, else 0; -ECANCELED if the caller itself was cancelled meanwhile (the scope is still
 *           open then); -EBADF; -EPERM (only who opened it may wait). */
#define rn_scope_wait(s) rn_scope_wait_at(RN_SITE(), s)
RN_API int rn_scope_wait_at(const struct rn_site *site, struct rn_scope s);

/* Cancel, wait for every task (not a cancellation point), close the end-points that the scope owns, free.
 * Suspends: until its tasks have ended; not a cancellation point.
 * Returns:  the first negative result of a task other than -ECANCELED, else 0; -EBADF; -EPERM (only who opened it may close). */
#define rn_scope_close(s) rn_scope_close_at(RN_SITE(), s)
RN_API int  rn_scope_close_at(const struct rn_site *site, struct rn_scope s);
RN_API void rn_scope_closep(struct rn_scope *s); /* for cleanup attributes; {0} is fine */

/* A section that cancellation does not interrupt, until `deadline`. Shields nest, up to 8; the longest counts.
 * Returns: 0, -EINVAL (RN_FOREVER, or too many), -EPERM (no task). */
RN_API int  rn_shield_begin(rn_time deadline);
RN_API void rn_shield_end(void);

enum rn_stack_class { RN_STACK_64K, RN_STACK_16K, RN_STACK_256K, RN_STACK_1M };

/* A name of one task, for whoever started it; stale once it has ended. */
struct rn_task {
    uint32_t id, gen; /* all zero: none */
};

struct rn_task_options {
    const char         *name;  /* static text; NULL: the function's spelling at the call */
    enum rn_stack_class stack;
    bool                pinned; /* never leaves the worker it was started on */
    struct rn_task     *ret_task; /* where to put its name; may be NULL */
};

/* Start a task in `scope`. The end-points in `ends` move to the task; if the call fails nothing has moved.
 *
 * Returns:  0, -ENOMEM, -EBADF (scope closed), -ECANCELED (scope cancelled), -EPERM (an end that isn't the caller's).
 * Owner:    of `arg`, whoever it was: it has to live as long as the task, or to be given to it.
 * From:     a task, or a callback of a loop.
 */
#define rn_go(scope, fn, arg, ends, n) rn_go_at(RN_SITE(), #fn, NULL, scope, fn, arg, ends, n)
#define rn_go_with(options, scope, fn, arg, ends, n) rn_go_at(RN_SITE(), #fn, options, scope, fn, arg, ends, n)
RN_API int rn_go_at(const struct rn_site *site, const char *name, const struct rn_task_options *options,
                    struct rn_scope scope, int (*fn)(void *arg), void *arg, const struct rn_end ends[], size_t n);

/* Ask this one task to end, as a cancelled scope would ask all of its tasks. Scopes that it opened are its own to close.
 * Returns: 0, -EBADF (it has ended).
 * From:    a task or callback of the same runtime. */
RN_API int rn_task_cancel(struct rn_task task);

/* Let others run.
 * Suspends: for a turn.
 * Returns:  0, -ECANCELED, -EPERM (no task). */
RN_API int rn_yield(void);

/* Wait until `deadline`.
 * Suspends: until then.
 * Returns:  0, -ECANCELED, -EPERM (no task). */
#define rn_sleep(deadline) rn_sleep_at(RN_SITE(), deadline)
RN_API int rn_sleep_at(const struct rn_site *site, rn_time deadline);

/* Returns: the number of the calling task, 0 outside of one. Numbers are used again after a task has ended.
 * From:    anywhere. */
RN_API uint32_t rn_task_id(void);

/* The clock that deadlines are measured by, and the time a span from now. Costs a clock_gettime.
 * Returns: a time; RN_FOREVER where the span reaches beyond its end.
 * From:    anywhere. */
RN_API rn_time rn_now(void);
static inline rn_time rn_after(rn_time span)
{
    rn_time when;

    return __builtin_add_overflow(rn_now(), span, &when) ? RN_FOREVER : when;
}
