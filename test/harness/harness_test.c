/* The harness finds what it has to find: runs the tests of fixture.c that go wrong on purpose. */
#include <harness/test.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static char said[64 * 1024];

/* Run the fixture's tests that match `wanted`; what it printed is in `said`. Returns its exit code. */
static int run(const char *wanted)
{
    const char *fixture = getenv("FIXTURE");
    char command[512];
    FILE *out;
    int status;

    if (!fixture)
        SKIP("FIXTURE is not set");
    snprintf(command, sizeof(command), "TEST_VERBOSE= TEST_TIMEOUT=%d exec %s %s", strstr(wanted, "hang") ? 1 : 10, fixture,
             wanted);
    unsetenv("TEST_VERBOSE");
    out = popen(command, "r");
    TRUE(out != NULL);
    said[fread(said, 1, sizeof(said) - 1, out)] = '\0';
    status = pclose(out);
    TRUE(WIFEXITED(status));
    return WEXITSTATUS(status);
}

#define SAID(text) (strstr(said, text) ? (void)0 : FAIL("\"%s\" is missing in:\n%s", text, said))

TEST(a_good_test_is_ok)
{
    EQ(run("good_one"), 0);
    STREQ(said, "1..1\nok 1 - good one\n");
}

TEST(a_failed_check_prints_its_values)
{
    EQ(run("bad_eq bad_ok bad_err bad_memeq"), 1);
    SAID("1..4");
    SAID("not ok 1 - bad eq");
    SAID("1 + 1 == 3: 2, 3");
    SAID("-EPIPE: -32 (EPIPE)");
    SAID("-EBADF: -9 (-EBADF), not -EPIPE");
    SAID("differ from byte 2 of 4");
    SAID("died of SIGABRT");
}

TEST(a_crash_is_named)
{
    EQ(run("bad_crash"), 1);
    SAID("not ok 1 - bad crash");
    SAID("SEGV");
}

TEST(a_test_that_exits_has_failed)
{
    EQ(run("bad_exit"), 1);
    SAID("exited with 0");
}

TEST(a_note_is_printed_on_failure)
{
    EQ(run("bad_note"), 1);
    SAID("# seed 7");
}

TEST(a_hanging_test_is_killed)
{
    EQ(run("hang_until"), 1);
    SAID("not ok 1 - hang until");
    SAID(": killed after");
    SAID("it waited at");
    SAID(": never");
}

TEST(a_leaked_descriptor_is_found)
{
    EQ(run("leak_fd"), 1);
    SAID("(/dev/null) is open");
    SAID("left something behind");
}

TEST(leaked_heap_is_found)
{
    if (run("leak_heap") == 0)
        SKIP("this sanitizer does not look at the heap");
    SAID("# leak: ");
    SAID("heap");
}

TEST(freed_heap_is_no_leak)
{
    EQ(run("fine_heap"), 0);
}

TEST(a_leaked_thread_is_found)
{
    EQ(run("leak_thread"), 1);
    SAID("1 thread is running");
}

TEST(a_leaked_process_is_found)
{
    EQ(run("leak_process"), 1);
    SAID("a child process is running");
}

TEST(a_report_of_a_sanitizer_fails_the_test)
{
    if (!test_sanitized())
        SKIP("built without a sanitizer");
    EQ(run("sanitizer_report"), 1);
    SAID("not ok 1 - sanitizer report");
}

TEST(a_skipped_test_says_why)
{
    EQ(run("skipped"), 0);
    SAID("ok 1 - skipped one # SKIP not today");
}

TEST(a_test_that_must_abort_is_judged)
{
    EQ(run("abort_good"), 0);
    EQ(run("abort_silent"), 1);
    SAID("did not say \"another reason\"");
    EQ(run("abort_alive"), 1);
    SAID("should have died of SIGABRT, but ended");
}

TEST(the_directory_of_a_test_is_removed)
{
    char *dir;

    EQ(run("dir_writes"), 1);
    dir = strstr(said, "dir=");
    TRUE(dir != NULL);
    dir += 4;
    dir[strcspn(dir, "\n")] = '\0';
    EQ(access(dir, F_OK), -1);
}

TEST(a_run_that_executed_nothing_fails)
{
    EQ(run("no_such_test"), 1);
    SAID("Bail out! no test was executed");
}

TEST(the_list_names_the_tests)
{
    EQ(run("--list good"), 0);
    STREQ(said, "good_one\nabort_good\n");
}

TEST(counts_are_scaled_and_never_zero)
{
    setenv("TEST_TASKS", "0.1", 1);
    EQ(test_tasks(1000), 100);
    EQ(test_tasks(1), 1);
}
