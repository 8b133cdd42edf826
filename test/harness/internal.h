/* What the two processes of a test share, and the files of the harness. */
#pragma once

#include <limits.h>
#include <stdatomic.h>

#include <harness/test.h>

#if defined(__SANITIZE_ADDRESS__)
#define HARNESS_ASAN 1
#elif defined(__SANITIZE_THREAD__)
#define HARNESS_TSAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define HARNESS_ASAN 1
#elif __has_feature(thread_sanitizer)
#define HARNESS_TSAN 1
#endif
#endif

enum { CHILD_FAILED = 1, CHILD_SKIPPED = 77 };

/* A page mapped by parent and child: what the child has to say even when it dies. Cleared before each test; written by the
 * child, read by the parent once the child is gone. */
struct shared {
    char        dir[PATH_MAX]; /* test_dir(), removed by the parent */
    char        skip[256];     /* why */
    char        note[512];     /* test_note() */
    char        waiting[512];  /* where it waits for what */
    bool        body_done;
    size_t      heap_allowance;
};
extern struct shared *harness_shared;

/* Child: run the body, then look for what it left behind. Ends the process. */
__attribute__((noreturn)) void child_run(const struct test *test);
