#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/epoll.h>

#include <harness/task_test.h>

#include "core.h"

/* ---- posts ----------------------------------------------------------------------------------- */

enum { POSTS = 1000 };

struct numbered {
    struct rn_post post;
    int n;
};
static struct numbered posts[2][POSTS];
static int next_of[2];

static void post_ran(struct rn_post *post)
{
    struct numbered *p = LIST_ENTRY(post, struct numbered, post);
    int poster = p >= &posts[1][0];

    EQ(p->n, next_of[poster]);
    next_of[poster]++;
}

static void *posts_all(void *arg)
{
    struct rn_loop *loop = *(void **)arg;
    struct numbered *mine = ((struct numbered **)arg)[1];

    for (int i = 0; i < POSTS; i++) {
        mine[i] = (struct numbered){.post.fn = post_ran, .n = i};
        OK(rn_loop_post(loop, &mine[i].post));
    }
    return NULL;
}

TASK_TEST(posts_run_in_the_order_of_each_poster_and_wake_a_sleeper)
{
    void *args[2][2];
    pthread_t threads[2];

    for (int i = 0; i < 2; i++) {
        args[i][0] = rn_loop_self();
        args[i][1] = posts[i];
        EQ(pthread_create(&threads[i], NULL, posts_all, args[i]), 0);
    }
    TASK_UNTIL(next_of[0] == POSTS && next_of[1] == POSTS);
    for (int i = 0; i < 2; i++)
        EQ(pthread_join(threads[i], NULL), 0);
}

static struct rn_fd sleeper_fd;

static void closes_it(struct rn_post *post)
{
    (void)post;
    OK(rn_fd_close(sleeper_fd));
}

static void *posts_once(void *arg)
{
    static struct rn_post post = {.fn = closes_it};
    struct rn_loop *loop = arg;

    while (!atomic_load(&loop->asleep))
        ;
    OK(rn_loop_post(loop, &post));
    return NULL;
}

TASK_TEST(a_post_wakes_a_loop_that_sleeps_in_epoll)
{
    int fds[2];
    char c;
    pthread_t thread;

    OK(rn_sys_pipe2(fds, 0));
    OK(rn_fd_adopt(fds[0], RN_FD_PIPE, &sleeper_fd));
    EQ(pthread_create(&thread, NULL, posts_once, rn_loop_self()), 0);
    ERR(rn_fd_read(sleeper_fd, &c, 1, RN_FOREVER), EBADF);
    EQ(pthread_join(thread, NULL), 0);
    OK(rn_sys_close(fds[1]));
}

/* ---- deferred work --------------------------------------------------------------------------- */

static struct rn_defer defers[2];
static int defers_ran;

static void defer_ran(struct rn_defer *defer)
{
    defers_ran++;
    if (defer == &defers[0] && defers_ran < 100)
        rn_loop_defer(defer);
}

TASK_TEST(deferred_work_runs_once_at_the_end_of_the_turn)
{
    defers[1].fn = defer_ran;
    for (int i = 0; i < 5; i++)
        rn_loop_defer(&defers[1]);
    EQ(defers_ran, 0);
    OK(rn_sleep(rn_after(RN_MS)));
    EQ(defers_ran, 1);
    defers[0].fn = defer_ran; /* defers itself: bounded in a turn, and never forgotten by a loop
                                 about to sleep */
    rn_loop_defer(&defers[0]);
    TASK_UNTIL(defers_ran == 100);
}

/* ---- watches --------------------------------------------------------------------------------- */

struct watched {
    struct rn_fd fd, victim;
    uint32_t seen;
    int calls;
};

static void watch_ran(void *arg, uint32_t events)
{
    struct watched *w = arg;

    EQ(rn_task_id(), 0u);
    w->seen |= events;
    w->calls++;
    if (w->victim.gen)
        OK(rn_fd_close(w->victim));
}

TASK_TEST(a_watch_tells_of_events_and_tells_again_when_asked)
{
    struct watched w = {0};
    int fds[2];

    OK(rn_sys_pipe2(fds, 0));
    OK(rn_loop_watch(fds[0], RN_FD_PIPE, watch_ran, &w, &w.fd));
    EQ(rn_sys_write(fds[1], "x", 1), 1);
    TASK_UNTIL(w.seen & EPOLLIN);
    w.calls = 0;
    w.seen = 0;
    rn_loop_again(w.fd, EPOLLIN);
    rn_loop_again(w.fd, EPOLLPRI);
    TASK_UNTIL(w.calls == 1);
    EQ(w.seen, (uint32_t)(EPOLLIN | EPOLLPRI));
    rn_loop_again(w.fd, EPOLLIN);
    OK(rn_fd_close(w.fd));
    ERR(rn_fd_close(w.fd), EBADF);
    OK(rn_sleep(rn_after(RN_MS)));
    EQ(w.calls, 1);
    OK(rn_sys_close(fds[1]));
}

/* Two descriptors become ready in one batch and each callback closes the other: one runs. */
TASK_TEST(a_watch_closed_in_the_same_batch_is_not_called)
{
    struct watched a = {0}, b = {0};
    int fa[2], fb[2];

    OK(rn_sys_pipe2(fa, 0));
    OK(rn_sys_pipe2(fb, 0));
    OK(rn_loop_watch(fa[0], RN_FD_PIPE, watch_ran, &a, &a.fd));
    OK(rn_loop_watch(fb[0], RN_FD_PIPE, watch_ran, &b, &b.fd));
    a.victim = b.fd;
    b.victim = a.fd;
    EQ(rn_sys_write(fa[1], "x", 1), 1);
    EQ(rn_sys_write(fb[1], "x", 1), 1);
    TASK_UNTIL(a.calls + b.calls > 0);
    OK(rn_sleep(rn_after(2 * RN_MS)));
    EQ(a.calls + b.calls, 1);
    OK(rn_sys_close(fa[1]));
    OK(rn_sys_close(fb[1]));
}

TASK_TEST(what_a_loop_holds_is_closed_with_it)
{
    static struct watched w;
    int fds[2];
    char c;

    OK(rn_sys_pipe2(fds, 0));
    OK(rn_loop_watch(fds[0], RN_FD_PIPE, watch_ran, &w, &w.fd));
    ERR(rn_fd_read(w.fd, &c, 1, 0), EBADF); /* a watch is not for reading by tasks */
    OK(rn_sys_close(fds[1]));
}

/* ---- pauses ---------------------------------------------------------------------------------- */

static int pause_wakes;

static void pause_woken(struct rn_pause *pause)
{
    pause_wakes++;
    rn_pause_end(pause);
}

TASK_TEST(a_paused_listener_hears_of_the_next_close)
{
    struct rn_pause pause = {0};
    struct rn_stats stats;
    int fds[2];

    OK(rn_sys_pipe2(fds, 0));
    rn_pause_begin(&pause, pause_woken);
    rn_pause_begin(&pause, pause_woken);
    rn_stats(rn_runtime_self(), &stats);
    EQ(stats.listeners_paused, 1u);
    OK(rn_sleep(rn_after(RN_MS)));
    EQ(pause_wakes, 0);
    OK(rn_sys_close(fds[0]));
    TASK_UNTIL(pause_wakes == 1);
    OK(rn_sys_close(fds[1]));
    OK(rn_sleep(rn_after(RN_MS)));
    EQ(pause_wakes, 1);
}

/* ---- who may what ---------------------------------------------------------------------------- */

static int results[4];

static void calls_what_suspends(struct rn_post *post)
{
    struct rn_scope s;

    (void)post;
    results[0] = rn_sleep(RN_FOREVER);
    results[1] = rn_scope_open(0, &s);
    results[2] = rn_yield();
    results[3] = (int)rn_task_id();
}

TASK_TEST(a_callback_cannot_suspend)
{
    struct rn_post post = {.fn = calls_what_suspends};

    OK(rn_loop_post(rn_loop_self(), &post));
    OK(rn_yield());
    OK(rn_sleep(rn_after(RN_MS)));
    for (int i = 0; i < 3; i++)
        ERR(results[i], EPERM);
    EQ(results[3], 0);
}

TEST(a_plain_thread_is_no_task)
{
    struct rn_scope s = {1, 1};

    ERR(rn_sleep(RN_FOREVER), EPERM);
    ERR(rn_scope_cancel(s), EBADF);
    EQ(rn_task_id(), 0u);
    TRUE(rn_loop_self() == NULL);
    TRUE(rn_runtime_self() == NULL);
    GT(rn_now(), 0);
}
