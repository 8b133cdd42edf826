/* The monitor: a thread that notices a worker that doesn't come back.
 *
 * A timer on the processor time of the worker's thread wakes it when the worker has computed for
 * another SAMPLE; so never in an idle process, and the worker does nothing for it. A worker that
 * computed for a whole sample within one turn is held by a task or a callback: the turn is counted
 * as a stall while it still runs, and the coarse clock, which is otherwise refreshed at each turn,
 * goes on.
 *
 * The timer's signal goes to the monitor's own thread, which has it blocked and waits for it: no
 * handler, and nothing that the program could meet. SIGSTKFLT is sent by no kernel.
 *
 * A worker that is held in a system call or by a lock uses no processor: such a turn is counted
 * when it is over (sched.c), and so is each where there is no thread or no such clock.
 */
#include <signal.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "core.h"

enum { THREAD_STACK = 128 << 10 };
#define SAMPLE (10 * RN_MS)
#define TICK SIGSTKFLT

#ifndef sigev_notify_thread_id
#define sigev_notify_thread_id _sigev_un._tid
#endif

struct rn__monitor {
    struct rn__worker *worker;
    clockid_t clock;
    pthread_t thread;
    _Atomic bool ending;
};

static void coarse_refresh(struct rn_loop *loop)
{
    rn_time old = atomic_load_explicit(&loop->coarse, memory_order_relaxed);
    rn_time now = rn__clock_coarse();

    if (now > old) /* never backwards: the worker may have stored a later one */
        (void)atomic_compare_exchange_strong(&loop->coarse, &old, now);
}

/* Since the last look the worker has computed for a whole sample. */
static void look(struct rn__worker *w, uint64_t *last)
{
    uint64_t turn = atomic_load_explicit(&w->counts.turns, memory_order_relaxed);

    if (turn == *last) {
        coarse_refresh(&w->loop);
        if (atomic_exchange(&w->held_turn, turn) != turn)
            rn__count(&w->held);
    }
    *last = turn;
}

static int timer_start(clockid_t clock, timer_t *ret_timer)
{
    struct sigevent to_self = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = TICK};
    const struct itimerspec every = {{.tv_nsec = SAMPLE}, {.tv_nsec = SAMPLE}};

    to_self.sigev_notify_thread_id = gettid();
    if (timer_create(clock, &to_self, ret_timer) < 0)
        return -1;
    return timer_settime(*ret_timer, 0, &every, NULL);
}

static void *monitor_main(void *arg)
{
    struct rn__monitor *m = arg;
    uint64_t last = 0;
    siginfo_t info;
    sigset_t tick;
    timer_t timer;

    sigemptyset(&tick);
    sigaddset(&tick, TICK);
    if (timer_start(m->clock, &timer) < 0)
        return NULL;
    while (!atomic_load(&m->ending))
        if (sigwaitinfo(&tick, &info) == TICK && info.si_code == SI_TIMER)
            look(m->worker, &last);
    timer_delete(timer);
    return NULL;
}

/* On the worker's own thread. */
struct rn__monitor *rn__monitor_open(struct rn__worker *w)
{
    struct rn__monitor *m = calloc(1, sizeof(*m));

    if (!m)
        return NULL;
    m->worker = w;
    if (pthread_getcpuclockid(pthread_self(), &m->clock) != 0 ||
        rn__thread_create(&m->thread, THREAD_STACK, monitor_main, m) < 0) {
        free(m);
        return NULL;
    }
    return m;
}

void rn__monitor_close(struct rn__monitor *m)
{
    if (!m)
        return;
    atomic_store(&m->ending, true);
    pthread_kill(m->thread, TICK);
    pthread_join(m->thread, NULL);
    free(m);
}
