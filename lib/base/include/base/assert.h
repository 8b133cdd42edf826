/* Asserts: for what cannot happen unless this program itself is wrong. Input from a peer is never asserted.
 *
 *   rn_assert(x)         cheap, stays on in release
 *   rn_assert_slow(x)    whole-structure checks; compiled in when RN_DEBUG is defined, never evaluated otherwise
 *   RN_MAGIC             first member of a struct that crosses a `void *`; set it to a constant of the type's own
 *   RN_CHECK(obj, M)     at every `void *` door: not NULL, and the magic is M
 *
 * A failed assert writes one line to stderr, without stdio (it may be on a small task stack), and calls abort().
 */
#pragma once

#include <stdint.h>

__attribute__((noreturn, cold, noinline)) void rn_assert_failed(const char *file, int line,
                                                                const char *func, const char *what);

#define rn_assert(x)                                                                               \
    ((void)(__builtin_expect(!!(x), 1) || (rn_assert_failed(__FILE__, __LINE__, __func__, #x), 0)))

#ifdef RN_DEBUG
#define rn_assert_slow(x) rn_assert(x)
#else
#define rn_assert_slow(x) ((void)sizeof(!!(x)))
#endif

/* For the end of a switch over an enum and its like. */
#define rn_unreachable(why) rn_assert_failed(__FILE__, __LINE__, __func__, why)

#define RN_MAGIC uint32_t magic

#define RN_CHECK(obj, want)                                                                        \
    do {                                                                                           \
        rn_assert((obj) != NULL);                                                                  \
        rn_assert((obj)->magic == (want));                                                         \
    } while (0)
