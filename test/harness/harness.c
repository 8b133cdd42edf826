/* The parent: chooses tests, forks a child for each, watches its time, judges its end, speaks TAP.
 *
 * One thread, one child at a time. A child gets a process group of its own, which is killed after it, and its output goes to a
 * file in memory, shown when the test fails (TEST_VERBOSE=1: always).
 */
#include "internal.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { TIMEOUT_S = 30, SANITIZED_FACTOR = 6, OUTPUT_BYTES_MAX = 64 * 1024 };

/* Weak: an executable without tests still links, and then fails as one that executed nothing. */
extern const struct test *const __start_harness_tests[] __attribute__((weak));
extern const struct test *const __stop_harness_tests[] __attribute__((weak));

struct shared *harness_shared;

/* Sanitizers print and go on by default; here a report has to fail the test. Not weak: the runtimes have weak ones of their own,
 * which clang links first. */
const char *__ubsan_default_options(void);
__attribute__((no_sanitize("address", "undefined"))) const char *__ubsan_default_options(void)
{
    return "halt_on_error=1:print_stacktrace=1";
}
const char *__tsan_default_options(void);
const char *__tsan_default_options(void)
{
    return "halt_on_error=1";
}

static int by_place(const void *a, const void *b)
{
    const struct test *x = *(const struct test *const *)a, *y = *(const struct test *const *)b;
    const int files = strcmp(x->file, y->file);

    return files ? files : x->line - y->line;
}

static bool is_wanted(const struct test *t, char *const wanted[])
{
    for (char *const *w = wanted; *w; w++)
        if (strstr(t->name, *w))
            return true;
    return !*wanted;
}

/* The wanted tests in the order of the files; the caller frees. */
static size_t tests_choose(char *const wanted[], const struct test ***ret_tests)
{
    const size_t all = (size_t)(__stop_harness_tests - __start_harness_tests);
    const struct test **tests = calloc(all + 1, sizeof(*tests));
    size_t n = 0;

    if (!tests)
        abort();
    for (size_t i = 0; i < all; i++)
        if (is_wanted(__start_harness_tests[i], wanted))
            tests[n++] = __start_harness_tests[i];
    qsort(tests, n, sizeof(*tests), by_place);
    *ret_tests = tests;
    return n;
}

static unsigned timeout_s(void)
{
    const char *env = getenv("TEST_TIMEOUT");
    const unsigned s = env && atoi(env) > 0 ? (unsigned)atoi(env) : TIMEOUT_S;

    return test_sanitized() ? s * SANITIZED_FACTOR : s;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st, (void)type, (void)ftw;
    return remove(path);
}

/* How a child ended. */
struct end {
    int  status;
    bool timed_out;
};

/* Wait for the child with SIGCHLD blocked, so that none is missed between the look and the wait. */
static struct end child_wait(pid_t pid, const sigset_t *chld)
{
    struct timespec now;
    struct end end = {0};
    time_t until;

    clock_gettime(CLOCK_MONOTONIC, &now);
    until = now.tv_sec + (time_t)timeout_s();
    while (waitpid(pid, &end.status, WNOHANG) == 0) {
        clock_gettime(CLOCK_MONOTONIC, &now);
        if (now.tv_sec >= until) {
            end.timed_out = true;
            kill(-pid, SIGKILL);
            waitpid(pid, &end.status, 0);
            break;
        }
        sigtimedwait(chld, NULL, &(struct timespec){.tv_sec = until - now.tv_sec});
    }
    kill(-pid, SIGKILL); /* whatever else is left in its group */
    return end;
}

static struct end test_run(const struct test *t, int output_fd)
{
    sigset_t chld, before;
    struct end end;
    pid_t pid;

    memset(harness_shared, 0, sizeof(*harness_shared));
    fflush(stdout);
    sigemptyset(&chld);
    sigaddset(&chld, SIGCHLD);
    sigprocmask(SIG_BLOCK, &chld, &before);

    pid = fork();
    if (pid == 0) {
        setpgid(0, 0);
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
        sigprocmask(SIG_SETMASK, &before, NULL);
        dup2(output_fd, STDOUT_FILENO);
        dup2(output_fd, STDERR_FILENO);
        close(output_fd);
        child_run(t);
    }
    if (pid < 0) {
        perror("fork");
        exit(1);
    }
    setpgid(pid, pid); /* both sides do it: neither order loses */
    end = child_wait(pid, &chld);
    sigprocmask(SIG_SETMASK, &before, NULL);
    if (*harness_shared->dir)
        nftw(harness_shared->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    return end;
}

/* What the child said, from a file in memory, cut at the front; the caller frees. */
static char *output_read(int fd)
{
    const off_t size = lseek(fd, 0, SEEK_END);
    const off_t from = size > OUTPUT_BYTES_MAX ? size - OUTPUT_BYTES_MAX : 0;
    char *text = calloc(1, OUTPUT_BYTES_MAX + 1);

    if (!text)
        abort();
    if (pread(fd, text, OUTPUT_BYTES_MAX, from) < 0)
        perror("pread");
    for (char *p = text; p < text + size - from; p++) /* keep it one string */
        *p = *p ? *p : '?';
    return text;
}

static void diagnostics_print(const char *text)
{
    while (*text) {
        const size_t n = strcspn(text, "\n");

        printf("# %.*s\n", (int)n, text);
        text += n + (text[n] == '\n');
    }
}

/* Why the test failed, or NULL; the text is static. */
static const char *end_judge(const struct test *t, struct end end, const char *output)
{
    static char why[256];
    const int sig = WIFSIGNALED(end.status) ? WTERMSIG(end.status) : 0;

    if (end.timed_out)
        snprintf(why, sizeof(why), "killed after %u s", timeout_s());
    else if (t->signal && sig != t->signal)
        snprintf(why, sizeof(why), "should have died of SIG%s, but %s%s", sigabbrev_np(t->signal),
                 sig ? "died of SIG" : "ended", sig ? sigabbrev_np(sig) : "");
    else if (t->signal && t->says && !strstr(output, t->says))
        snprintf(why, sizeof(why), "died as it should, but did not say \"%s\"", t->says);
    else if (sig && sig != t->signal)
        snprintf(why, sizeof(why), "died of SIG%s", sigabbrev_np(sig));
    else if (!t->signal && WEXITSTATUS(end.status) == CHILD_FAILED && harness_shared->body_done)
        snprintf(why, sizeof(why), "left something behind");
    else if (!t->signal && (WEXITSTATUS(end.status) || !harness_shared->body_done))
        snprintf(why, sizeof(why), "exited with %d", WEXITSTATUS(end.status));
    else
        return NULL;
    return why;
}

static void sentence_print(const char *name)
{
    for (; *name; name++)
        putchar(*name == '_' ? ' ' : *name);
}

/* One test, one line of TAP. True unless it failed. */
static bool test_report(const struct test *t, size_t number)
{
    const int output_fd = memfd_create("output", MFD_CLOEXEC);
    const struct end end = test_run(t, output_fd);
    char *output = output_read(output_fd);
    const bool skipped = *harness_shared->skip && WIFEXITED(end.status) && WEXITSTATUS(end.status) == CHILD_SKIPPED;
    const char *why = skipped ? NULL : end_judge(t, end, output);

    printf("%s %zu - ", why ? "not ok" : "ok", number);
    sentence_print(t->name);
    printf("%s%s\n", skipped ? " # SKIP " : "", skipped ? harness_shared->skip : "");
    if (why || getenv("TEST_VERBOSE"))
        diagnostics_print(output);
    if (why) {
        printf("# %s:%d: %s\n", t->file, t->line, why);
        if (*harness_shared->waiting)
            printf("# it waited at %s\n", harness_shared->waiting);
        if (*harness_shared->note)
            printf("# %s\n", harness_shared->note);
    }
    fflush(stdout);
    free(output);
    close(output_fd);
    return !why;
}

/* malloc's per-thread caches would hide frees from the heap check: restart without them, once. */
static void restart_plain(char *argv[])
{
    if (test_sanitized())
        return;
    if (!getenv("HARNESS_RESTARTED")) {
        setenv("HARNESS_RESTARTED", "1", 1);
        setenv("GLIBC_TUNABLES", "glibc.malloc.tcache_count=0", 0);
        execv("/proc/self/exe", argv);
    }
    unsetenv("HARNESS_RESTARTED");
    unsetenv("GLIBC_TUNABLES");
}

int main(int argc, char *argv[])
{
    const struct test **tests = NULL;
    const bool list = argc > 1 && strcmp(argv[1], "--list") == 0;
    size_t n, failed = 0;

    restart_plain(argv);
    n = tests_choose(argv + 1 + list, &tests);
    for (size_t i = 0; list && i < n; i++)
        puts(tests[i]->name);
    if (list || n == 0) {
        if (!list)
            puts("Bail out! no test was executed");
        free(tests);
        return n == 0;
    }

    harness_shared = mmap(NULL, sizeof(*harness_shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (harness_shared == MAP_FAILED) {
        perror("mmap");
        return 1;
    }
    printf("1..%zu\n", n);
    for (size_t i = 0; i < n; i++)
        failed += !test_report(tests[i], i + 1);
    free(tests);
    return failed > 0;
}
