/* The child: runs one test and looks for what it left behind.
 *
 * Descriptors and threads are compared with the state before the body. Heap: LeakSanitizer where there is one; without
 * sanitizers the bytes in use by malloc, with an allowance (test_heap_allow()); main() has restarted the program with malloc's
 * per-thread caches off, which would count freed blocks as used. ThreadSanitizer's allocator tells nothing, so there the heap
 * is not looked at.
 */
#include "internal.h"

#include <dirent.h>
#include <malloc.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#ifdef HARNESS_ASAN
#include <sanitizer/lsan_interface.h>
#endif

enum { FDS_MAX = 4096, HEAP_ALLOWANCE_BYTES = 4096 };

/* What is there before the body runs. Static: must not disturb the heap it measures. */
static struct {
    bool   fds[FDS_MAX];
    int    threads;
    size_t heap_bytes;
} before;

static size_t heap_bytes(void)
{
#if defined(HARNESS_ASAN) || defined(HARNESS_TSAN)
    return 0;
#else
    const struct mallinfo2 info = mallinfo2();

    return info.uordblks + info.hblkhd;
#endif
}

/* Calls fn for each open descriptor but the one that reads the list. Sum of the results. */
static int fds_each(int (*fn)(int fd))
{
    DIR *dir = opendir("/proc/self/fd");
    int n = 0;

    if (!dir)
        return 0;
    for (const struct dirent *e; (e = readdir(dir));)
        if (e->d_name[0] != '.' && atoi(e->d_name) != dirfd(dir) && atoi(e->d_name) < FDS_MAX)
            n += fn(atoi(e->d_name));
    closedir(dir);
    return n;
}

static int fd_remember(int fd)
{
    before.fds[fd] = true;
    return 0;
}

static int fd_judge(int fd)
{
    char link[64], target[256];
    ssize_t n;

    if (before.fds[fd])
        return 0;
    snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    n = readlink(link, target, sizeof(target) - 1);
    target[n < 0 ? 0 : n] = '\0';
    fprintf(stderr, "leak: descriptor %d (%s) is open\n", fd, target);
    return 1;
}

static int threads_count(void)
{
    DIR *dir = opendir("/proc/self/task");
    int n = 0;

    if (!dir)
        return 0;
    for (const struct dirent *e; (e = readdir(dir));)
        n += e->d_name[0] != '.';
    closedir(dir);
    return n;
}

/* A joined thread stays visible for a moment, so look for up to a second. */
static int threads_judge(void)
{
    int n = threads_count();

    for (int i = 0; i < 1000 && n > before.threads; i++) {
        usleep(1000);
        n = threads_count();
    }
    if (n <= before.threads)
        return 0;
    n -= before.threads;
    fprintf(stderr, "leak: %d thread%s running\n", n, n > 1 ? "s are" : " is");
    return 1;
}

static int children_judge(void)
{
    int status;
    pid_t pid = waitpid(-1, &status, WNOHANG);

    if (pid < 0)
        return 0;
    fprintf(stderr, "leak: a child process %s\n", pid ? "was not waited for" : "is running");
    return 1;
}

static int heap_judge(size_t now_bytes)
{
#ifdef HARNESS_ASAN
    (void)now_bytes;
    if (!__lsan_do_recoverable_leak_check())
        return 0;
    fputs("leak: heap (see above)\n", stderr);
    return 1;
#else
    if (now_bytes <= before.heap_bytes + harness_shared->heap_allowance)
        return 0;
    fprintf(stderr, "leak: %zu bytes of heap (%zu are allowed)\n", now_bytes - before.heap_bytes,
            harness_shared->heap_allowance);
    return 1;
#endif
}

#ifdef HARNESS_TSAN
static void *nothing(void *arg)
{
    return arg;
}

/* The first thread after a fork makes the sanitizer start one of its own; have that before counting. */
static void sanitizer_settle(void)
{
    pthread_t thread;

    if (pthread_create(&thread, NULL, nothing, NULL) == 0)
        pthread_join(thread, NULL);
}
#else
static void sanitizer_settle(void)
{
}
#endif

void child_run(const struct test *test)
{
    static char out_buf[BUFSIZ];
    size_t now_bytes;
    int leaks;

    setvbuf(stdout, out_buf, _IOLBF, sizeof(out_buf));
    harness_shared->heap_allowance = HEAP_ALLOWANCE_BYTES;
    sanitizer_settle();
    fds_each(fd_remember);
    before.threads = threads_count();
    before.heap_bytes = heap_bytes();

    test->fn();

    now_bytes = heap_bytes();
    harness_shared->body_done = true;
    leaks = fds_each(fd_judge) + threads_judge() + children_judge() + heap_judge(now_bytes);
    fflush(stdout);
    _exit(leaks ? CHILD_FAILED : 0);
}

void test_skip(const char *why)
{
    snprintf(harness_shared->skip, sizeof(harness_shared->skip), "%s", why);
    _exit(CHILD_SKIPPED);
}

void test_waiting(const char *file, int line, const char *cond)
{
    char *to = harness_shared->waiting;

    if (!file)
        *to = '\0';
    else
        snprintf(to, sizeof(harness_shared->waiting), "%s:%d: %s", file, line, cond);
}

void test_note(const char *format, ...)
{
    va_list ap;

    harness_shared->note[0] = '\0';
    if (!format)
        return;
    va_start(ap, format);
    vsnprintf(harness_shared->note, sizeof(harness_shared->note), format, ap);
    va_end(ap);
}

void test_nap(void)
{
    usleep(1000);
}

void test_heap_allow(size_t bytes)
{
    harness_shared->heap_allowance = bytes;
}

bool test_sanitized(void)
{
#if defined(HARNESS_ASAN) || defined(HARNESS_TSAN)
    return true;
#else
    return false;
#endif
}

size_t test_tasks(size_t n)
{
    const char *factor = getenv("TEST_TASKS");
    const double scaled = factor && atof(factor) > 0 ? (double)n * atof(factor) : (double)n;

    return scaled < 1 ? 1 : (size_t)scaled;
}

const char *test_dir(void)
{
    const char *tmp = getenv("TMPDIR");
    char *dir = harness_shared->dir;

    if (*dir)
        return dir;
    snprintf(dir, sizeof(harness_shared->dir), "%s/test-XXXXXX", tmp && *tmp ? tmp : "/tmp");
    if (!mkdtemp(dir))
        FAIL("mkdtemp %s: %s", dir, strerrorname_np(errno));
    return dir;
}
