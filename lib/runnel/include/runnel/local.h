/* Task-locals: a value for each task, found by a key.
 *
 *     static const struct rn_local request_key = {.destroy = request_free};
 *     OK(rn_local_set(&request_key, request));
 *
 * The address of the key is what counts, so it is a static object. A new task begins with none.
 *
 * Unless said otherwise:
 * Suspends: no, but for what destroy() does.
 * From:     a task.
 */
#pragma once

#include <runnel/base.h>

struct rn_local {
    /* For what the task still has when it ends, the last set first, and for what is replaced. Runs in the task, may suspend, and
     * may set locals. NULL: nothing to do. */
    void (*destroy)(void *value);
};

/* Set the calling task's value; NULL takes it away.
 * Returns: 0, -ENOMEM, -EPERM (no task).
 * Owner:   of the value, the task; when the call fails, still the caller. */
RN_API int rn_local_set(const struct rn_local *key, void *value);

/* Returns: the calling task's value; NULL: none, or no task.
 * Owner:   the task: it is borrowed until it is set again or the task ends. */
RN_API void *rn_local_get(const struct rn_local *key);

/* Take the value out, without destroying it.
 * Returns: it, or NULL.
 * Owner:   of the value, the caller. */
RN_API void *rn_local_take(const struct rn_local *key);
