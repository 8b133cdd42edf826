/* Code that blocks, on an elastic pool of threads.
 *
 *      queued --thread--> running --> done --post to the worker--> the task goes on
 *         \--cancel: taken back         \--owned, and its waiter gave up: freed on the thread
 *
 * A class is a queue with a bound on how many of its jobs run at once; threads serve any class that
 * has work and isn't at its bound, in turn. Threads are made when nobody idles, and end after
 * idling IDLE_TIME; they block every signal. `pool->lock` guards all of it; answers go through the
 * inbox of the task's worker, so they never make locks of the runtime shared.
 *
 * In `sim` there are no threads: a job runs on the worker's own stack, between two turns.
 */
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>

#include "core.h"

enum { THREAD_STACK = 1 << 20, CLASS_THREADS_MAX = 256 };
#define IDLE_TIME (5 * RN_S)

enum job_state { JOB_QUEUED, JOB_RUNNING, JOB_DONE };

struct job {
    /* set once */
    struct rn__pool *pool;
    struct rn_class *class; /* may be gone once the job is done */
    struct rn__worker *home;
    int (*fn)(void *arg);
    void *arg;
    void (*free_fn)(void *arg); /* owned jobs: the record is on the heap */

    /* pool->lock */
    struct list in_queue;
    enum job_state state;
    bool abandoned;
    int result;

    /* the home worker */
    struct rn_post done;
    struct rn__key waiter; /* id 0: nobody waits */
    bool finished;
    bool forsaken; /* owned, done, and its waiter has gone: the post frees it */
};

struct rn_class {
    struct rn__pool *pool;
    const char *name;
    unsigned threads_max;

    /* pool->lock */
    struct list in_pool, in_ready;
    struct list queue;
    unsigned running;
    bool closing;

    /* the worker that closes it */
    struct rn__worker *closer;
    struct rn_post drained;
    struct rn__key waiter;
    bool empty;
};

struct thread {
    pthread_t id;
    struct rn__pool *pool;
    struct list in_list;
};

struct rn__pool {
    struct rn_runtime *rt;
    pthread_mutex_t lock;
    pthread_cond_t work;

    /* lock */
    struct list classes, ready; /* ready: has a job and may run it */
    struct list threads, ended; /* ended: to be joined */
    unsigned idle, wakes, threads_max;
    bool ending;

    /* any thread */
    _Atomic uint64_t n_threads, n_queued;
};

/* ---- classes and their queues: under pool->lock ---------------------------------------------- */

static void class_update(struct rn_class *c)
{
    bool ready = !list_empty(&c->queue) && c->running < c->threads_max;

    if (ready && !list_linked(&c->in_ready))
        list_add_tail(&c->pool->ready, &c->in_ready);
    else if (!ready)
        list_remove(&c->in_ready);
}

/* Has the last job of a class that closes just gone? Whoever closes it is to be told, once. */
static bool class_left(const struct rn_class *c)
{
    return c->closing && c->running == 0 && list_empty(&c->queue);
}

static struct job *job_take(struct rn__pool *pool)
{
    struct rn_class *c = LIST_TAKE_FIRST(&pool->ready, struct rn_class, in_ready);
    struct job *job;

    if (!c)
        return NULL;
    job = LIST_TAKE_FIRST(&c->queue, struct job, in_queue);
    job->state = JOB_RUNNING;
    atomic_fetch_sub(&pool->n_queued, 1);
    c->running++;
    class_update(c);
    return job;
}

/* ---- threads --------------------------------------------------------------------------------- */

static void job_finish(struct rn__pool *pool, struct job *job, int result)
{
    struct rn_class *c = job->class;
    bool left, abandoned;

    pthread_mutex_lock(&pool->lock);
    job->result = result;
    job->state = JOB_DONE;
    abandoned = job->abandoned;
    c->running--;
    class_update(c);
    left = class_left(c);
    pthread_mutex_unlock(&pool->lock);

    if (abandoned) {
        job->free_fn(job->arg);
        free(job);
    } else {
        rn__loop_push(&job->home->loop, &job->done);
    }
    if (left)
        rn__loop_push(&c->closer->loop, &c->drained);
}

/* Wait for work. False: idle for too long, or the pool ends. */
static bool thread_wait(struct rn__pool *pool)
{
    rn_time until = rn__clock() + IDLE_TIME;
    struct timespec ts = {until / RN_S, until % RN_S};
    int r = 0;

    pool->idle++;
    while (list_empty(&pool->ready) && !pool->ending && r != ETIMEDOUT)
        r = pthread_cond_timedwait(&pool->work, &pool->lock, &ts);
    pool->idle--;
    if (pool->wakes > 0)
        pool->wakes--;
    return !list_empty(&pool->ready);
}

static void *thread_main(void *arg)
{
    struct thread *self = arg;
    struct rn__pool *pool = self->pool;
    struct job *job;

    pthread_mutex_lock(&pool->lock);
    do {
        while ((job = job_take(pool))) {
            pthread_mutex_unlock(&pool->lock);
            rn__san_acquire(job);
            job_finish(pool, job, job->fn(job->arg));
            pthread_mutex_lock(&pool->lock);
        }
    } while (thread_wait(pool));
    list_remove(&self->in_list);
    list_add_tail(&pool->ended, &self->in_list);
    atomic_fetch_sub(&pool->n_threads, 1);
    pthread_mutex_unlock(&pool->lock);
    return NULL;
}

int rn__thread_create(pthread_t *ret_id, size_t stack, void *(*main_fn)(void *arg), void *arg)
{
    pthread_attr_t attr;
    sigset_t all, old;
    int r;

    r = pthread_attr_init(&attr);
    if (r)
        return -r;
    (void)pthread_attr_setstacksize(&attr, stack);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    r = pthread_create(ret_id, &attr, main_fn, arg);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    pthread_attr_destroy(&attr);
    return -r;
}

static void threads_reap(struct rn__pool *pool)
{
    struct thread *t;

    while ((t = LIST_TAKE_FIRST(&pool->ended, struct thread, in_list))) {
        pthread_join(t->id, NULL); /* it has left the lock already, or is about to return */
        free(t);
    }
}

/* Under the lock: see that somebody comes for the work. */
static int pool_wake(struct rn__pool *pool)
{
    struct thread *t;
    int r;

    if (list_empty(&pool->ready))
        return 0;
    if (pool->idle > pool->wakes) {
        pool->wakes++;
        pthread_cond_signal(&pool->work);
        return 0;
    }
    if (atomic_load(&pool->n_threads) >= pool->threads_max)
        return 0;
    t = calloc(1, sizeof(*t));
    if (!t)
        return atomic_load(&pool->n_threads) ? 0 : -ENOMEM;
    t->pool = pool;
    list_add_tail(&pool->threads, &t->in_list);
    atomic_fetch_add(&pool->n_threads, 1);
    r = rn__thread_create(&t->id, THREAD_STACK, thread_main, t);
    if (r < 0) {
        list_remove(&t->in_list);
        free(t);
        if (atomic_fetch_sub(&pool->n_threads, 1) > 1)
            return 0; /* those that exist will come to it */
    }
    return r < 0 ? -ENOMEM : 0;
}

/* ---- the task's side ------------------------------------------------------------------------- */

static void job_done(struct rn_post *post)
{
    struct job *job = LIST_ENTRY(post, struct job, done);

    job->finished = true;
    if (job->forsaken) {
        job->free_fn(job->arg);
        free(job);
    } else if (job->waiter.id && rn__claim(job->waiter, 0)) {
        rn__ready(job->waiter.id);
    }
}

static void job_run_in_sim(struct rn_post *post)
{
    struct job *job = LIST_ENTRY(post, struct job, done);
    struct rn_class *c = job->class;

    job->state = JOB_RUNNING;
    job->result = job->fn(job->arg);
    job->state = JOB_DONE;
    c->running--;
    if (class_left(c))
        rn__loop_push(&c->closer->loop, &c->drained);
    job_done(post);
}

static int job_submit(struct job *job)
{
    struct rn_class *c = job->class;
    struct rn__pool *pool = job->pool;
    int r;

    rn__san_release(job);
    if (pool->rt->sim) {
        c->running++;
        job->done.fn = job_run_in_sim;
        rn__loop_push(&job->home->loop, &job->done);
        return 0;
    }
    job->done.fn = job_done;
    pthread_mutex_lock(&pool->lock);
    threads_reap(pool);
    list_add_tail(&c->queue, &job->in_queue);
    atomic_fetch_add(&pool->n_queued, 1);
    class_update(c);
    r = pool_wake(pool);
    if (r < 0) {
        list_remove(&job->in_queue);
        atomic_fetch_sub(&pool->n_queued, 1);
        class_update(c);
    }
    pthread_mutex_unlock(&pool->lock);
    return r;
}

/* Take a job back that no thread has begun. In `sim` its post is still in the inbox, so there it
 * runs. */
static bool job_take_back(struct job *job)
{
    struct rn__pool *pool = job->pool;
    struct rn_class *c = job->class;
    bool queued, left = false;

    if (pool->rt->sim)
        return false;
    pthread_mutex_lock(&pool->lock);
    queued = job->state == JOB_QUEUED;
    if (queued) {
        list_remove(&job->in_queue);
        atomic_fetch_sub(&pool->n_queued, 1);
        class_update(c);
        left = class_left(c);
    }
    pthread_mutex_unlock(&pool->lock);
    if (left)
        rn__loop_push(&c->closer->loop, &c->drained);
    return queued;
}

/* The waiter of an owned job goes away. False: the job is done, its result counts. */
static bool job_abandon(struct job *job)
{
    struct rn__pool *pool = job->pool;
    bool running;

    if (pool->rt->sim)
        return false;
    pthread_mutex_lock(&pool->lock);
    running = job->state == JOB_RUNNING;
    job->abandoned = running;
    pthread_mutex_unlock(&pool->lock);
    return running;
}

static unsigned job_park(struct job *job, const struct rn_site *site, rn_time deadline,
                         bool uncancellable)
{
    struct rn__wait what = {.kind = RN_WAIT_BLOCKING, .site = site};
    unsigned winner;

    job->waiter = rn__wait_begin();
    winner = rn__park(&what, deadline, uncancellable);
    job->waiter.id = 0;
    return winner;
}

static int class_check(const struct rn_class *c)
{
    struct rn__task *t = rn__task_self();

    if (!t)
        return -EPERM;
    if (!c || c->closing || c->pool->rt != t->home->rt)
        return -EINVAL;
    return rn__task_cancelled(t) ? -ECANCELED : 0;
}

int rn_blocking_at(const struct rn_site *site, struct rn_class *c, int (*fn)(void *arg), void *arg)
{
    struct job job = {.class = c, .fn = fn, .arg = arg, .home = rn__worker_self()};
    bool started = false;
    int r = class_check(c);

    if (r < 0)
        return r;
    job.pool = c->pool;
    r = job_submit(&job);
    if (r < 0)
        return r;
    while (!job.finished) {
        if (job_park(&job, site, RN_FOREVER, started) != RN__WIN_CANCEL)
            continue;
        if (job_take_back(&job))
            return -ECANCELED;
        started = true; /* `arg` may lie on our stack: the job is waited for */
    }
    return job.result;
}

static int owned_wait(struct job *job, const struct rn_site *site, rn_time deadline)
{
    unsigned winner = job_park(job, site, deadline, false);
    int r;

    if (job->finished) {
        r = job->result;
        free(job);
        return r;
    }
    r = winner == RN__WIN_TIMER ? -ETIMEDOUT : -ECANCELED;
    if (job_take_back(job)) {
        job->free_fn(job->arg);
        free(job);
    } else if (!job_abandon(job)) {
        job->forsaken = true; /* done, or in `sim` still to run: its post comes and frees */
    }
    return r;
}

int rn_blocking_owned_at(const struct rn_site *site, struct rn_class *c, int (*fn)(void *arg),
                         void *arg, void (*free_fn)(void *arg), rn_time deadline)
{
    struct job *job;
    int r = class_check(c);

    job = r < 0 ? NULL : calloc(1, sizeof(*job));
    if (!job) {
        free_fn(arg);
        return r < 0 ? r : -ENOMEM;
    }
    *job = (struct job){.pool = c->pool,
                        .class = c,
                        .fn = fn,
                        .arg = arg,
                        .free_fn = free_fn,
                        .home = rn__worker_self()};
    r = job_submit(job);
    if (r < 0) {
        free_fn(arg);
        free(job);
        return r;
    }
    return owned_wait(job, site, deadline);
}

/* ---- classes --------------------------------------------------------------------------------- */

int rn_class_open(const char *name, unsigned max_threads, struct rn_class **ret_class)
{
    struct rn_runtime *rt = rn__rt();
    struct rn_class *c;

    if (!rt || max_threads == 0 || max_threads > CLASS_THREADS_MAX)
        return -EINVAL;
    c = calloc(1, sizeof(*c));
    if (!c)
        return -ENOMEM;
    c->pool = rt->pool;
    c->name = name;
    c->threads_max = max_threads;
    list_init(&c->queue);
    list_init(&c->in_ready);
    list_init(&c->in_pool);
    pthread_mutex_lock(&c->pool->lock);
    list_add_tail(&c->pool->classes, &c->in_pool);
    c->pool->threads_max += max_threads;
    pthread_mutex_unlock(&c->pool->lock);
    *ret_class = c;
    return 0;
}

static void class_drained(struct rn_post *post)
{
    struct rn_class *c = LIST_ENTRY(post, struct rn_class, drained);

    c->empty = true;
    if (c->waiter.id && rn__claim(c->waiter, 0))
        rn__ready(c->waiter.id);
}

void rn_class_close(struct rn_class *c)
{
    struct rn__wait what = {.kind = RN_WAIT_BLOCKING, .site = RN_SITE()};

    if (!c)
        return;
    rn_assert(rn__task_self() != NULL);
    pthread_mutex_lock(&c->pool->lock);
    c->closing = true;
    c->closer = rn__worker_self();
    c->drained.fn = class_drained;
    c->empty = c->running == 0 && list_empty(&c->queue);
    pthread_mutex_unlock(&c->pool->lock);
    while (!c->empty) {
        c->waiter = rn__wait_begin();
        (void)rn__park(&what, RN_FOREVER, true);
        c->waiter.id = 0;
    }
    pthread_mutex_lock(&c->pool->lock);
    list_remove(&c->in_pool);
    c->pool->threads_max -= c->threads_max;
    pthread_mutex_unlock(&c->pool->lock);
    free(c);
}

void rn_class_closep(struct rn_class **c)
{
    rn_class_close(*c);
    *c = NULL;
}

/* ---- the pool -------------------------------------------------------------------------------- */

int rn__pool_open(struct rn_runtime *rt, struct rn__pool **ret_pool)
{
    struct rn__pool *pool = calloc(1, sizeof(*pool));
    pthread_condattr_t attr;

    if (!pool)
        return -ENOMEM;
    pool->rt = rt;
    list_init(&pool->classes);
    list_init(&pool->ready);
    list_init(&pool->threads);
    list_init(&pool->ended);
    pthread_mutex_init(&pool->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&pool->work, &attr);
    pthread_condattr_destroy(&attr);
    *ret_pool = pool;
    return 0;
}

/* Jobs that were abandoned run to their end; then the threads are joined. */
void rn__pool_close(struct rn__pool *pool)
{
    struct rn_class *c;
    struct thread *t;

    pthread_mutex_lock(&pool->lock);
    pool->ending = true;
    pthread_cond_broadcast(&pool->work);
    while ((t = LIST_FIRST(&pool->threads, struct thread, in_list))) {
        pthread_mutex_unlock(&pool->lock);
        pthread_join(t->id, NULL); /* moves itself to `ended` before it returns */
        pthread_mutex_lock(&pool->lock);
        list_remove(&t->in_list);
        free(t);
    }
    threads_reap(pool);
    while ((c = LIST_TAKE_FIRST(&pool->classes, struct rn_class, in_pool)))
        free(c); /* its opener left it to the runtime */
    pthread_mutex_unlock(&pool->lock);
}

void rn__pool_free(struct rn__pool *pool)
{
    pthread_cond_destroy(&pool->work);
    pthread_mutex_destroy(&pool->lock);
    free(pool);
}

void rn__pool_stats(const struct rn__pool *pool, struct rn_stats *stats)
{
    stats->blocking_threads = atomic_load(&pool->n_threads);
    stats->blocking_queued = atomic_load(&pool->n_queued);
}

bool rn__pool_busy(const struct rn__pool *pool)
{
    return atomic_load(&pool->n_threads) > 0;
}
