/* What every header of runnel shares: time, sites, visibility.
 *
 * Errors are 0 (or a count) or a negative errno value; results come back through `ret_...`, written only on
 * success. Nothing in the library keeps errno or a thread-local across a suspension.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
#define RN_API extern "C" __attribute__((visibility("default")))
#else
#define RN_API __attribute__((visibility("default")))
#endif

/* Nanoseconds of CLOCK_MONOTONIC (of the virtual clock in `sim`). A deadline is absolute: RN_FOREVER waits without
 * end, 0 and anything in the past only looks. */
typedef int64_t rn_time;
#define RN_FOREVER INT64_MAX
#define RN_US      INT64_C(1000)
#define RN_MS      INT64_C(1000000)
#define RN_S       INT64_C(1000000000)

/* A place in the source: where a task was started, a channel opened, a wait began. One static object per place. */
struct rn_site {
    const char *file;
    const char *func;
    int         line;
    bool        idle; /* a wait that is idle by design (RN_WAIT_IDLE) */
};

#define RN_SITE()                                                                                   \
    __extension__({                                                                                 \
        static const struct rn_site rn_site_here = {__FILE__, __func__, __LINE__, false};           \
        &rn_site_here;                                                                              \
    })

/* The site of a wait that is idle by design, for the ..._at() calls: however long it takes, it is no sign of a leak. */
#define RN_WAIT_IDLE()                                                                              \
    __extension__({                                                                                 \
        static const struct rn_site rn_site_here = {__FILE__, __func__, __LINE__, true};            \
        &rn_site_here;                                                                              \
    })
