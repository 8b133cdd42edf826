/* Tests that go wrong on purpose; harness_test.c runs them and reads the verdicts. */
#include "internal.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

TEST(good_one)
{
    EQ(OK(3), 3);
    ERR(-EPIPE, EPIPE);
    STREQ("a", "a");
    MEMEQ("abc", "abd", 2);
    TRUE(1 < 2);
    FALSE(2 < 1);
    NE(1, 2);
}

TEST(bad_eq)
{
    EQ(1 + 1, 3);
}

TEST(bad_ok)
{
    OK(-EPIPE);
}

TEST(bad_err)
{
    ERR(-EBADF, EPIPE);
}

TEST(bad_memeq)
{
    MEMEQ("abcd", "abXd", 4);
}

TEST(bad_crash)
{
    raise(SIGSEGV);
}

TEST(bad_exit)
{
    _exit(0);
}

TEST(bad_note)
{
    test_note("seed %d", 7);
    FAIL("no good");
}

TEST(hang_until)
{
    static volatile int never;

    UNTIL(never);
}

TEST(leak_fd)
{
    OK(open("/dev/null", O_RDONLY | O_CLOEXEC));
}

TEST(leak_heap)
{
    static void *volatile lost;

    lost = malloc(100000);
    TRUE(lost != NULL);
    lost = NULL;
}

TEST(fine_heap)
{
    for (int i = 1; i < 2000; i++)
        free(malloc((size_t)i));
}

static void *wait_for_ever(void *arg)
{
    for (;;)
        pause();
    return arg;
}

TEST(leak_thread)
{
    pthread_t thread;

    EQ(pthread_create(&thread, NULL, wait_for_ever, NULL), 0);
    pthread_detach(thread);
}

TEST(leak_process)
{
    pid_t pid = fork();

    if (pid == 0)
        for (;;)
            pause();
    OK(pid);
}

TEST(skipped_one)
{
    SKIP("not today");
}

ABORT_TEST(abort_good, SIGABRT, "the reason")
{
    FAIL("the reason");
}

ABORT_TEST(abort_silent, SIGABRT, "another reason")
{
    FAIL("the reason");
}

ABORT_TEST(abort_alive, SIGABRT, "the reason")
{
}

TEST(dir_writes)
{
    char path[256];

    STREQ(test_dir(), test_dir());
    snprintf(path, sizeof(path), "%s/sub", test_dir());
    OK(mkdir(path, 0700));
    FAIL("dir=%s", test_dir());
}

#ifdef HARNESS_TSAN
static int raced;

static void *race(void *arg)
{
    raced++;
    return arg;
}

TEST(sanitizer_report)
{
    pthread_t thread;

    EQ(pthread_create(&thread, NULL, race, NULL), 0);
    raced++;
    EQ(pthread_join(thread, NULL), 0);
}
#else
TEST(sanitizer_report)
{
    volatile int overflown = INT_MAX;

    overflown++;
}
#endif
