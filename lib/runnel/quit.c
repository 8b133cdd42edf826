/* SIGQUIT: a thread of its own waits for it and writes the dump, so that a program whose workers
 * all hang still answers. It takes none of their locks, and allocates from an arena of its own. A
 * dump that nobody reads ends when the program does.
 */
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <runnel/trace.h>

#include "core.h"

#define SIGQUIT_BIT (UINT64_C(1) << (SIGQUIT - 1))

static struct {
    pthread_mutex_t lock; /* of start and stop */
    bool started;
    pthread_t thread;
    _Atomic bool stopping;
} quit = {.lock = PTHREAD_MUTEX_INITIALIZER};

#define LOOK_MS 100

/* Wait for room. Stderr may be a pipe of which nobody reads any more, or one that somebody else has
 * made non-blocking. */
static int wait_for_room(void)
{
    struct pollfd err = {.fd = STDERR_FILENO, .events = POLLOUT};
    int r;

    do {
        if (atomic_load(&quit.stopping))
            return -ECANCELED;
        r = poll(&err, 1, LOOK_MS);
    } while (r == 0 || (r < 0 && errno == EINTR));
    return r < 0 ? -errno : 0;
}

/* In pieces for which there is room in a pipe that is ready, so that no write blocks. */
static int to_stderr(void *arg, const void *bytes, size_t n)
{
    const char *at = bytes;

    (void)arg;
    while (n > 0) {
        int r = wait_for_room();
        ssize_t written = r < 0 ? -1 : write(STDERR_FILENO, at, n < PIPE_BUF ? n : PIPE_BUF);
        if (r < 0)
            return r;
        if (written < 0 && (errno == EINTR || errno == EAGAIN))
            continue;
        if (written < 0)
            return -errno;
        at += written;
        n -= (size_t)written;
    }
    return 0;
}

static const struct rn_sink err = {to_stderr, NULL};

static void title(const char *text)
{
    (void)to_stderr(NULL, text, strlen(text));
}

static void dump(const struct rn_runtime *rt)
{
    title("\nrunnel: SIGQUIT: tasks\n\n");
    (void)rn_dump_tasks(rt, 0, &err);
    title("runnel: channels\n\n");
    (void)rn_dump_chans(rt, 0, &err);
    title("\nrunnel: descriptors\n\n");
    (void)rn_dump_fds(rt, 0, &err);
    title("\nrunnel: end of the dump; the program goes on\n");
}

static void *quit_main(void *arg)
{
    sigset_t set;
    int sig;

    sigemptyset(&set);
    sigaddset(&set, SIGQUIT);
    (void)pthread_setname_np(pthread_self(), "quit-dump");
    while (sigwait(&set, &sig) == 0 && !atomic_load(&quit.stopping))
        dump(arg);
    return NULL;
}

int rn_quit_dump_start(const struct rn_runtime *rt)
{
    sigset_t all, before;
    int r = 0;

    pthread_mutex_lock(&quit.lock);
    if (quit.started || rn__signals_claim(SIGQUIT_BIT) < 0) {
        r = -EBUSY;
    } else {
        atomic_store(&quit.stopping, false);
        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &before);
        r = -pthread_create(&quit.thread, NULL, quit_main, (void *)(uintptr_t)rt);
        pthread_sigmask(SIG_SETMASK, &before, NULL);
        quit.started = r == 0;
        if (r < 0)
            rn__signals_yield(SIGQUIT_BIT);
    }
    pthread_mutex_unlock(&quit.lock);
    return r;
}

void rn_quit_dump_stop(void)
{
    pthread_mutex_lock(&quit.lock);
    if (quit.started) {
        atomic_store(&quit.stopping, true);
        pthread_kill(quit.thread, SIGQUIT);
        pthread_join(quit.thread, NULL);
        quit.started = false;
        rn__signals_yield(SIGQUIT_BIT);
    }
    pthread_mutex_unlock(&quit.lock);
}
