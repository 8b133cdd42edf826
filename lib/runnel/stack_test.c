#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <harness/task_test.h>

#include "core.h"

static const size_t sizes[RN__STACK_CLASSES] = {[RN_STACK_16K] = 16 << 10,
                                                [RN_STACK_64K] = 64 << 10,
                                                [RN_STACK_256K] = 256 << 10,
                                                [RN_STACK_1M] = 1 << 20};

TEST(a_stack_is_usable_to_its_guard_and_no_further)
{
    struct rn__stacks s;
    int pipe_fds[2];

    OK(rn__stacks_open(&s));
    OK(rn_sys_pipe2(pipe_fds, 0));
    for (unsigned class = 0; class < RN__STACK_CLASSES; class ++) {
        struct rn__stack st;

        OK(rn__stack_take(&s, (enum rn_stack_class) class, &st));
        LE((size_t)(st.top - st.bottom), sizes[class] - rn__page_size());
        memset(st.bottom, 1, (size_t)(st.top - st.bottom));
        ERR(rn_sys_write(pipe_fds[1], st.bottom - 1, 1), EFAULT);
        OK(rn_sys_write(pipe_fds[1], st.bottom, 1));
        rn__stack_give(&s, &st);
    }
    EQ(atomic_load(&s.bytes), 0u);
    OK(rn_sys_close(pipe_fds[0]));
    OK(rn_sys_close(pipe_fds[1]));
    rn__stacks_close(&s);
}

TEST(tops_of_neighbours_have_different_colours)
{
    struct rn__stacks s;
    struct rn__stack a, b;

    OK(rn__stacks_open(&s));
    OK(rn__stack_take(&s, RN_STACK_64K, &a));
    OK(rn__stack_take(&s, RN_STACK_64K, &b));
    NE((uintptr_t)a.top % rn__page_size(), (uintptr_t)b.top % rn__page_size());
    rn__stack_give(&s, &b);
    OK(rn__stack_take(&s, RN_STACK_64K, &b)); /* last in, first out */
    EQ(b.index, 1u);
    rn__stacks_close(&s);
}

TEST(a_stack_beyond_the_warm_ones_loses_its_pages_but_keeps_its_guard)
{
    enum { N = 300 };
    struct rn__stacks s;
    struct rn__stack st[N];
    int fds[2];

    OK(rn__stacks_open(&s));
    OK(rn_sys_pipe2(fds, 0));
    for (int i = 0; i < N; i++) {
        OK(rn__stack_take(&s, RN_STACK_16K, &st[i]));
        st[i].bottom[0] = 42;
    }
    for (int i = 0; i < N; i++)
        rn__stack_give(&s, &st[i]);
    EQ(st[0].bottom[0], 42);
    EQ(st[N - 1].bottom[0], 0);
    ERR(rn_sys_write(fds[1], st[N - 1].bottom - 1, 1), EFAULT);
    OK(rn_sys_close(fds[0]));
    OK(rn_sys_close(fds[1]));
    rn__stacks_close(&s);
}

TEST(without_guard_markers_mprotect_does_until_the_mappings_run_out)
{
    struct rn__stacks s;
    struct rn__stack st;
    int fds[2];

    OK(rn__stacks_open(&s));
    OK(rn_sys_pipe2(fds, 0));
    s.madvise_guards = false;
    s.mprotect_guards_max = 2;
    OK(rn__stack_take(&s, RN_STACK_64K, &st));
    ERR(rn_sys_write(fds[1], st.bottom - 1, 1), EFAULT);
    OK(rn__stack_take(&s, RN_STACK_16K, &st));
    ERR(rn__stack_take(&s, RN_STACK_16K, &st), ENOMEM);
    OK(rn_sys_close(fds[0]));
    OK(rn_sys_close(fds[1]));
    rn__stacks_close(&s);
}

/* Deeper with every call; the volatile reads keep the frames. */
__attribute__((noinline)) static int sink_deeper(volatile char *above, int left)
{
    volatile char frame[512];

    frame[0] = above[0];
    return left ? sink_deeper(frame, left - 1) + frame[0] : 0;
}

static int sinks(void *arg)
{
    volatile char c = 0;

    (void)arg;
    return sink_deeper(&c, 1 << 20);
}

TASK_ABORT_TEST(an_overflow_names_the_task, SIGSEGV, "stack overflow: task 2 \"sinks\", started at")
{
    struct rn_scope s;

    if (test_sanitized())
        SKIP("the sanitizer reports it in its own way");
    OK(rn_scope_open(0, &s));
    OK(rn_go(s, sinks, NULL, NULL, 0));
    OK(rn_scope_close(s));
}

static int touches_nothing(void *arg)
{
    (void)arg;
    return 0;
}

TASK_TEST(a_runtime_out_of_stacks_says_so_and_nothing_has_moved)
{
    struct rn__stacks *stacks = &rn_runtime_self()->stacks;
    uint32_t real_max = stacks->slabs[RN_STACK_256K].count_max;
    struct rn_scope s;

    OK(rn_scope_open(0, &s));
    stacks->slabs[RN_STACK_256K].count_max = stacks->slabs[RN_STACK_256K].count;
    ERR(rn_go_with(&(struct rn_task_options){.stack = RN_STACK_256K}, s, touches_nothing, NULL,
                   NULL, 0),
        ENOMEM);
    stacks->slabs[RN_STACK_256K].count_max = real_max;
    OK(rn_go_with(&(struct rn_task_options){.stack = RN_STACK_256K}, s, touches_nothing, NULL, NULL,
                  0));
    OK(rn_scope_close(s));
}

/* ---- RN_DEBUG=memtrace=1 --------------------------------------------------------------------- */

static int ends_at_once(void *arg)
{
    (void)arg;
    return 0;
}

static int burst(void *arg)
{
    struct rn_scope s;

    (void)arg;
    OK(rn_scope_open(RN_SCOPE_WAIT_ALL, &s));
    for (int i = 0; i < 300; i++)
        OK(rn_go(s, ends_at_once, NULL, NULL, 0));
    return rn_scope_close(s);
}

/* What a burst of tasks says on stderr under RN_DEBUG=`words`. */
static void burst_under(const char *words, char *text, size_t n)
{
    int fds[2], saved = dup(STDERR_FILENO);

    OK(setenv("RN_DEBUG", words, 1));
    OK(rn_sys_pipe2(fds, 0));
    OK(dup2(fds[1], STDERR_FILENO));
    OK(rn_run(&(const struct rn_options){.name = "burst"}, burst, NULL));
    OK(dup2(saved, STDERR_FILENO));
    OK(read(fds[0], text, n));
    (void)rn_sys_close(saved);
    (void)rn_sys_close(fds[0]);
    (void)rn_sys_close(fds[1]);
    test_note("%s", text);
}

TEST(a_pool_of_stacks_tells_how_it_grows_and_is_trimmed)
{
    char text[4096] = "";

    burst_under("memtrace=1", text, sizeof(text) - 1);
    TRUE(strstr(text, "memtrace @0."));
    TRUE(strstr(text, " burst: stacks 1M: +1 -0, 1 mapped, 1 in use, 0 warm, 1024 KiB in use\n"));
    TRUE(strstr(text, " burst: stacks 64K: +300 -0, 300 mapped, "));
    TRUE(strstr(text, " -44, 300 mapped, 0 in use, 256 warm, 0 KiB in use\n"));
}

TEST(a_pool_that_is_to_trim_keeps_no_stack_warm)
{
    char text[4096] = "";

    burst_under("memtrace=1,trim=1", text, sizeof(text) - 1);
    TRUE(strstr(text, ", 300 mapped, 0 in use, 0 warm, 0 KiB in use\n"));
}
