/* Attached threads: each has a proxy, a task that runs what the thread asks for.
 *
 *      IDLE --call: eventfd--> ASKED --the proxy takes it--> RUNNING --fn returned--> DONE --> IDLE
 *      any --the proxy ends--> ENDED
 *
 * The proxy waits for its eventfd, the thread for a condition. Both hold the record by a count, so
 * a thread may come back long after the runtime has gone and finds ENDED. The eventfd is the
 * proxy's; it is written under the lock and closed when ENDED has been set under it.
 */
#include <runnel/thread.h>

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>

#include <runnel/fd.h>
#include <runnel/loop.h>
#include <runnel/sys.h>

#include "core.h"

enum state { IDLE, ASKED, RUNNING, DONE, ENDED };

struct rn_thread {
    pthread_mutex_t lock;
    pthread_cond_t changed;

    /* lock */
    enum state state;
    bool detached;
    unsigned refs;
    int eventfd;
    int (*fn)(void *arg);
    void *arg;
    int result;
};

static void unref_unlock(struct rn_thread *th)
{
    bool last = --th->refs == 0;

    pthread_mutex_unlock(&th->lock);
    if (!last)
        return;
    pthread_cond_destroy(&th->changed);
    pthread_mutex_destroy(&th->lock);
    free(th);
}

static int ring_locked(const struct rn_thread *th)
{
    const uint64_t one = 1;
    ssize_t n = rn_sys_write(th->eventfd, &one, sizeof(one));

    return n < 0 ? (int)n : 0;
}

/* ---- the proxy ------------------------------------------------------------------------------- */

static void serve(struct rn_thread *th)
{
    int r;

    pthread_mutex_lock(&th->lock);
    if (th->state == ASKED) {
        th->state = RUNNING;
        pthread_mutex_unlock(&th->lock);
        r = th->fn(th->arg);
        pthread_mutex_lock(&th->lock);
        th->result = r;
        th->state = DONE;
        pthread_cond_signal(&th->changed);
    }
    pthread_mutex_unlock(&th->lock);
}

static bool is_detached(struct rn_thread *th)
{
    bool detached;

    pthread_mutex_lock(&th->lock);
    detached = th->detached;
    pthread_mutex_unlock(&th->lock);
    return detached;
}

static int proxy(void *arg)
{
    struct rn_thread *th = arg;
    struct rn_fd fd = {0};
    uint64_t rings;
    int r = rn_fd_adopt(th->eventfd, RN_FD_OTHER, &fd);
    bool adopted = r == 0;

    while (r == 0 && !is_detached(th)) {
        ssize_t n = rn_fd_read_at(RN_WAIT_IDLE(), fd, &rings, sizeof(rings), RN_FOREVER);

        r = n < 0 ? (int)n : 0;
        if (r == 0)
            serve(th);
    }
    pthread_mutex_lock(&th->lock);
    if (th->state == ASKED) /* if it is DONE, the thread still takes its result */
        th->result = -ECANCELED;
    th->state = ENDED;
    if (!adopted)
        (void)rn_sys_close(th->eventfd);
    else
        (void)rn_fd_close(fd);
    pthread_cond_signal(&th->changed);
    unref_unlock(th);
    return r == -ECANCELED ? 0 : r;
}

static int thread_new(struct rn_thread **ret_thread)
{
    struct rn_thread *th = calloc(1, sizeof(*th));
    int fd;

    if (!th)
        return -ENOMEM;
    fd = rn__sys_eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (fd < 0) {
        free(th);
        return fd;
    }
    pthread_mutex_init(&th->lock, NULL);
    pthread_cond_init(&th->changed, NULL);
    th->eventfd = fd;
    th->refs = 2;
    *ret_thread = th;
    return 0;
}

int rn_thread_attach_at(const struct rn_site *site, struct rn_scope scope,
                        const struct rn_end ends[], size_t n, struct rn_thread **ret_thread)
{
    struct rn_thread *th = NULL;
    int r = rn_task_id() ? 0 : -EPERM;

    if (r == 0 && rn__rt()->sim)
        r = -EOPNOTSUPP; /* a thread comes when it likes, and no seed decides */
    if (r == 0)
        r = thread_new(&th);
    if (r < 0)
        return r;
    r = rn_go_at(site, "thread", NULL, scope, proxy, th, ends, n);
    if (r < 0) {
        (void)rn_sys_close(th->eventfd);
        pthread_mutex_lock(&th->lock);
        th->refs = 1;
        unref_unlock(th);
        return r;
    }
    *ret_thread = th;
    return 0;
}

/* ---- the thread ------------------------------------------------------------------------------ */

static int call_locked(struct rn_thread *th, int (*fn)(void *arg), void *arg)
{
    int r;

    if (th->state == ENDED)
        return -ESHUTDOWN;
    if (th->state != IDLE)
        return -EBUSY;
    r = ring_locked(th);
    if (r < 0)
        return r;
    th->fn = fn;
    th->arg = arg;
    th->state = ASKED; /* the proxy comes when the lock is free */
    while (th->state != DONE && th->state != ENDED)
        pthread_cond_wait(&th->changed, &th->lock);
    if (th->state == DONE)
        th->state = IDLE;
    return th->result;
}

int rn_thread_call(struct rn_thread *th, int (*fn)(void *arg), void *arg)
{
    int r;

    if (rn_loop_self())
        return -EPERM;
    pthread_mutex_lock(&th->lock);
    r = call_locked(th, fn, arg);
    pthread_mutex_unlock(&th->lock);
    return r;
}

int rn_thread_detach(struct rn_thread *th)
{
    int r = 0;

    pthread_mutex_lock(&th->lock);
    if (th->state == IDLE)
        r = ring_locked(th);
    else if (th->state != ENDED)
        r = -EBUSY;
    if (r < 0) {
        pthread_mutex_unlock(&th->lock);
        return r;
    }
    th->detached = true; /* the proxy looks when the lock is free */
    unref_unlock(th);
    return 0;
}

/* ---- send and receive ------------------------------------------------------------------------ */

struct transfer {
    const struct rn_site *site;
    struct rn_tx tx;
    struct rn_rx rx;
    const void *sent;
    void *received;
    rn_time deadline;
};

static int sends(void *arg)
{
    const struct transfer *t = arg;

    return rn_tx_send_at(t->site, t->tx, t->sent, t->deadline);
}

static int receives(void *arg)
{
    const struct transfer *t = arg;

    return rn_rx_recv_at(t->site, t->rx, t->received, t->deadline);
}

int rn_thread_send_at(const struct rn_site *site, struct rn_thread *th, struct rn_tx tx,
                      const void *value, rn_time deadline)
{
    struct transfer t = {.site = site, .tx = tx, .sent = value, .deadline = deadline};

    return rn_thread_call(th, sends, &t);
}

int rn_thread_recv_at(const struct rn_site *site, struct rn_thread *th, struct rn_rx rx,
                      void *ret_value, rn_time deadline)
{
    struct transfer t = {.site = site, .rx = rx, .received = ret_value, .deadline = deadline};

    return rn_thread_call(th, receives, &t);
}
