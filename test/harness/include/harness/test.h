/* Tests in C: each one a sentence, in a process of its own.
 *
 *     TEST(a_closed_channel_refuses_to_send)
 *     {
 *         OK(rn_pipe(fds));                    // >= 0, or fails with the errno's name
 *         EQ(n, 3);                            // integers and pointers; prints both
 *         ERR(rn_sys_write(fd, "x", 1), EPIPE); // == -EPIPE
 *     }
 *
 *     ABORT_TEST(a_second_close_aborts, SIGABRT, "assertion failed") { ... }   // must die so, with this on stderr
 *
 * A test runs in a forked child, under a limit of 30 s (TEST_TIMEOUT=seconds; six times as much under sanitizers). A failed
 * check prints its place and values and aborts. After the body the child looks for what was left behind: descriptors,
 * threads, child processes, heap; each is a failure. Tasks are looked after by TASK_TEST (harness/task_test.h).
 *
 * The executable speaks TAP. Its arguments select tests by a part of their name; --list names them. A run that executed
 * nothing fails.
 */
#pragma once

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct test {
    const char *name;
    const char *file;
    int         line;
    void      (*fn)(void);
    int         signal; /* 0: has to end well; else the signal it has to die of */
    const char *says;   /* what its output has to contain then */
};

/* A pointer per test in the linker section `harness_tests`, found by main() through __start_ and __stop_. */
#define TEST_REGISTER_(name_, signal_, says_)                                                      \
    static void               name_(void);                                                         \
    static const struct test  test_record_##name_ = {#name_, __FILE__, __LINE__, name_, signal_, says_}; \
    static const struct test *const test_entry_##name_                                             \
        __attribute__((used, section("harness_tests"))) = &test_record_##name_;                    \
    static void name_(void)

#define TEST(name)                     TEST_REGISTER_(name, 0, NULL)
#define FAIL_TEST(name, signal, says)  TEST_REGISTER_(name, signal, says)
#define ABORT_TEST(name, signal, says) TEST_REGISTER_(name, signal, says)

/* Fails unless the expression is >= 0, and is its value. */
#define OK(expr) test_ok_((long long)(expr), #expr, __FILE__, __LINE__)
/* Fails unless the expression is -error. */
#define ERR(expr, error) test_err_((long long)(expr), error, #expr, #error, __FILE__, __LINE__)
/* Integers and pointers, compared as 64 bits. */
#define EQ(a, b) TEST_COMPARE_(a, b, ==)
#define NE(a, b) TEST_COMPARE_(a, b, !=)
#define LT(a, b) TEST_COMPARE_(a, b, <)
#define LE(a, b) TEST_COMPARE_(a, b, <=)
#define GT(a, b) TEST_COMPARE_(a, b, >)
#define GE(a, b) TEST_COMPARE_(a, b, >=)
#define TRUE(x)  ((x) ? (void)0 : test_fail(__FILE__, __LINE__, "%s: is false", #x))
#define FALSE(x) ((x) ? test_fail(__FILE__, __LINE__, "%s: is true", #x) : (void)0)
#define STREQ(a, b)    test_streq_(a, b, #a, #b, __FILE__, __LINE__)
#define MEMEQ(a, b, n) test_memeq_(a, b, n, #a, #b, __FILE__, __LINE__)
#define FAIL(...)      test_fail(__FILE__, __LINE__, __VA_ARGS__)
/* End the test here; it counts as skipped. */
#define SKIP(why) test_skip(why)

/* Look every millisecond until the condition holds; the test's time limit ends a wait in vain and tells where it was.
 * Blocks the thread: in a task use TASK_UNTIL. */
#define UNTIL(cond)                                                                                \
    do {                                                                                           \
        test_waiting(__FILE__, __LINE__, #cond);                                                   \
        while (!(cond))                                                                            \
            test_nap();                                                                            \
        test_waiting(NULL, 0, NULL);                                                               \
    } while (0)

/* `n` scaled by the factor in TEST_TASKS (say 0.1 on a slow machine), at least 1. */
size_t test_tasks(size_t n);
/* A fresh directory for this test, removed after it. Static text, the same on each call. */
const char *test_dir(void);
/* From now on this test may leave up to `bytes` on the heap (without sanitizers; LeakSanitizer needs no allowance because it
 * sees what is reachable). For libraries that keep tables for the life of the process. The default is 4 KiB: what glibc
 * keeps for a handful of ended threads. */
void test_heap_allow(size_t bytes);
/* A line to print should this test fail: a seed, a case in a table. Replaces the earlier one; NULL clears it. */
__attribute__((format(printf, 1, 2))) void test_note(const char *format, ...);
/* True when built with a sanitizer. */
bool test_sanitized(void);

__attribute__((noreturn, cold, format(printf, 3, 4))) void test_fail(const char *file, int line, const char *format, ...);
__attribute__((noreturn)) void test_skip(const char *why);
void test_waiting(const char *file, int line, const char *cond);
void test_nap(void);

long long test_ok_(long long r, const char *expr, const char *file, int line);
void      test_err_(long long r, int error, const char *expr, const char *name, const char *file, int line);
void      test_streq_(const char *a, const char *b, const char *ta, const char *tb, const char *file, int line);
void      test_memeq_(const void *a, const void *b, size_t n, const char *ta, const char *tb, const char *file, int line);

#define TEST_IS_FLOAT_(x)                                                                          \
    (__builtin_types_compatible_p(__typeof__(x), double) || __builtin_types_compatible_p(__typeof__(x), float))
#define TEST_COMPARE_(a, b, op)                                                                    \
    do {                                                                                           \
        _Static_assert(!TEST_IS_FLOAT_(a) && !TEST_IS_FLOAT_(b), "compare floats with TRUE(a op b)"); \
        const long long test_a_ = (long long)(a), test_b_ = (long long)(b);                        \
        if (!(test_a_ op test_b_))                                                                 \
            test_fail(__FILE__, __LINE__, "%s %s %s: %lld, %lld", #a, #op, #b, test_a_, test_b_);  \
    } while (0)
