/* Cleanup attributes: nothing to remember on the way out.
 *
 *     CLEANUP(ft_lane_freep) struct ft_lane *lane = NULL;
 *     ...
 *     *ret_lane = TAKE(lane);   // handed over: the local is NULL now and its cleanup does nothing
 *
 * Scopes have to end normally (return, break, fall through): a longjmp() skips the cleanups.
 */
#pragma once

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define CLEANUP(fn) __attribute__((cleanup(fn)))

/* The pointer's value; the pointer itself becomes NULL. */
#define TAKE(p)                                                                                    \
    __extension__({                                                                                \
        __typeof__(p) *take_from_ = &(p);                                                          \
        __typeof__(p)  take_value_ = *take_from_;                                                  \
        *take_from_ = NULL;                                                                        \
        take_value_;                                                                               \
    })

/* The descriptor's number; the variable becomes -1. */
#define TAKE_FD(fd)                                                                                \
    __extension__({                                                                                \
        int *take_from_ = &(fd);                                                                   \
        int  take_value_ = *take_from_;                                                            \
        *take_from_ = -1;                                                                          \
        take_value_;                                                                               \
    })

/* Define fn##p(type *) that calls fn on the variable unless it is NULL. `type` is a pointer type. */
#define DEFINE_TRIVIAL_CLEANUP(type, fn)                                                           \
    __attribute__((unused)) static inline void fn##p(type *p)                                      \
    {                                                                                              \
        if (*p)                                                                                    \
            fn(*p);                                                                                \
    }                                                                                              \
    struct cleanup_needs_a_semicolon_

static inline void freep(void *p)
{
    free(*(void **)p);
}

static inline void closep(int *fd)
{
    if (*fd >= 0)
        (void)close(*fd);
}

DEFINE_TRIVIAL_CLEANUP(FILE *, fclose);
