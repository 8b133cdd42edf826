/* Stacks of tasks, from any thread and without stopping anybody.
 *
 * A task that doesn't run has its stack pointer in its record. Its stack is copied, from there to
 * the record above it, and the copy is good if the state word is the same before and after. A stack
 * is never unmapped, but it may be somebody else's a moment later, so it is read as from a stranger
 * (process_vm_readv; where that is forbidden by a plain copy, which the guard pages can't hurt
 * since the bounds are those of the stack).
 *
 * A task that runs is asked through its thread, by a signal:
 *
 *      IDLE --ask--> ASKED --the handler--> COPYING --> DONE --taken--> IDLE
 *                       \--no answer in time--> IDLE
 *
 * The handler copies words from the interrupted stack pointer upwards into memory that was made
 * before, and touches nothing else. The copies are walked later, by frame pointers, each step
 * inside the bounds. A walk is complete when it ends in the frame that was laid out at the task's
 * birth, whose frame pointer is 0; libc's own code mostly keeps no frames, and may break a chain.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#include <runnel/trace.h>

#include "core.h"

enum {
    COPY_BYTES = 64 << 10, /* of one stack; what lies deeper is left out */
    TRIES = 100,
    ANSWER_NS = 100 * 1000 * 1000, /* that a thread has to answer */
    PROBE_SIGNAL = SIGURG,
};

#define PLAIN __attribute__((noinline, no_sanitize("address", "thread", "undefined")))

/* A copy of [sp, sp + n), and where in it the walk begins. */
struct copy {
    uintptr_t sp, fp;
    uintptr_t pc; /* of a running task, else 0 */
    size_t n;
    uint64_t *words;
};

/* ---- the walk -------------------------------------------------------------------------------- */

static bool copy_word(const struct copy *c, uintptr_t at, uintptr_t *ret)
{
    if (at % sizeof(uint64_t) != 0 || at < c->sp || at - c->sp > c->n ||
        c->n - (at - c->sp) < sizeof(uint64_t))
        return false;
    *ret = c->words[(at - c->sp) / sizeof(uint64_t)];
    return true;
}

#if defined(__x86_64__)
/* Has the function that stands at pc made a frame of its own by then (mov %rsp,%rbp)? */
static bool has_frame(uintptr_t pc)
{
    struct rn_symbol s;

    rn_symbol_at(pc, &s);
    for (uintptr_t at = s.start; s.name && at + 3 <= pc && at < s.start + 64; at++)
        if (memcmp((const void *)at, "\x48\x89\xe5", 3) == 0)
            return true;
    return false;
}

/* Does a call lie just before it? */
static bool is_return_address(uintptr_t word)
{
    const uint8_t *p = (const uint8_t *)word;
    struct rn_symbol s;

    if (!rn__code_at(word - 1))
        return false;
    rn_symbol_at(word - 1, &s);
    if (!s.name || word < s.start + 7)
        return false;
    return p[-5] == 0xe8 || (p[-2] == 0xff && (p[-1] & 0x38) == 0x10) ||
           (p[-3] == 0xff && (p[-2] & 0x38) == 0x10) || (p[-6] == 0xff && p[-5] == 0x15);
}

/* Is there a frame: the pointer to the next one, or 0 in the last, and a return address? */
static bool frame_at(const struct copy *c, uintptr_t fp)
{
    uintptr_t next, pc;

    return copy_word(c, fp, &next) && copy_word(c, fp + 8, &pc) &&
           (next == 0 || (next > fp && next < c->sp + c->n)) && is_return_address(pc);
}

/* Where a function is interrupted that has no frame (a leaf, most of libc), the frame pointer is
 * still that of somebody above, or has been used for something else. His callers are looked for as
 * words behind a call, up to the first that has a frame, and that is where the pointer says, or the
 * next thing that looks like one. Returns the frame from which to go on. */
static uintptr_t walk_frameless(const struct copy *c, struct rn_trace *trace)
{
    bool usable = frame_at(c, c->fp);
    uintptr_t at = c->sp, end = usable ? c->fp : c->sp + c->n, word = 0;

    while (trace->n < RN_TRACE_MAX / 2 && !has_frame(trace->pcs[trace->n - 1])) {
        do {
            if (at >= end || !copy_word(c, at, &word))
                return c->fp;
            at += sizeof(word);
        } while (!is_return_address(word));
        trace->pcs[trace->n++] = word;
    }
    if (usable)
        return c->fp;
    while (at < end && !frame_at(c, at))
        at += sizeof(word);
    return at;
}
#else
static uintptr_t walk_frameless(const struct copy *c, struct rn_trace *trace)
{
    (void)trace;
    return c->fp;
}
#endif

static void walk(const struct copy *c, struct rn_trace *trace)
{
    uintptr_t fp = c->fp, next = 0, pc;
    bool found = false;

    trace->n = 0;
    trace->exact = c->pc != 0;
    if (c->pc) {
        trace->pcs[trace->n++] = c->pc;
        fp = walk_frameless(c, trace);
        found = trace->n > 1;
    }
    while (trace->n < RN_TRACE_MAX && copy_word(c, fp, &next) && copy_word(c, fp + 8, &pc) && pc) {
        if (!(found && trace->pcs[trace->n - 1] == pc)) /* the frame of one found already */
            trace->pcs[trace->n++] = pc;
        found = false;
        if (next <= fp)
            break;
        fp = next;
    }
    trace->complete = trace->n > 0 && trace->n < RN_TRACE_MAX && next == 0;
}

/* The two frames that every task begins with say nothing; of a task that never ran they are all. */
static void hide_the_beginning(struct rn_trace *trace, int (*fn)(void *arg))
{
    if (!trace->complete)
        return;
    if (trace->n > 2) {
        trace->n -= 2;
        return;
    }
    trace->n = 1;
    trace->pcs[0] = (uintptr_t)fn;
    trace->exact = true;
}

/* ---- a task that doesn't run ----------------------------------------------------------------- */

static PLAIN void copy_plain(uint64_t *to, const uint64_t *from, size_t bytes)
{
    for (size_t i = 0; i < bytes / sizeof(*to); i++)
        to[i] = __atomic_load_n(&from[i], __ATOMIC_RELAXED);
}

static bool copy_memory(void *to, uintptr_t from, size_t bytes)
{
    static _Atomic bool forbidden;
    struct iovec here = {to, bytes}, there = {(void *)from, bytes};

    if (!atomic_load_explicit(&forbidden, memory_order_relaxed)) {
        ssize_t n = process_vm_readv(getpid(), &here, 1, &there, 1, 0);
        if (n == (ssize_t)bytes)
            return true;
        if (n >= 0 || (errno != ENOSYS && errno != EPERM))
            return false;
        atomic_store(&forbidden, true);
    }
    copy_plain(to, (const uint64_t *)from, bytes);
    return true;
}

/* Where the switch left the frame pointer. */
static uintptr_t switched_fp(uintptr_t sp)
{
#if defined(__x86_64__)
    return sp + 5 * sizeof(uint64_t); /* r15, r14, r13, r12, rbx, then rbp and the return address */
#else
    return sp;
#endif
}

static PLAIN bool copy_resting(const struct rn__task *t, struct copy *c)
{
    uintptr_t top = (uintptr_t)t, sp = (uintptr_t)__atomic_load_n(&t->sp, __ATOMIC_RELAXED);
    uintptr_t bottom = (uintptr_t)__atomic_load_n(&t->stack.bottom, __ATOMIC_RELAXED);

    /* bottom 0: it has ended, and its record's page was given back */
    if (bottom == 0 || sp < bottom || sp >= top || sp % sizeof(uint64_t) != 0)
        return false;
    *c = (struct copy){.sp = sp, .fp = switched_fp(sp), .words = c->words};
    c->n = top - sp < COPY_BYTES ? (top - sp) & ~(size_t)7 : COPY_BYTES;
    return copy_memory(c->words, sp, c->n);
}

/* ---- a task that runs ------------------------------------------------------------------------ */

enum { IDLE, ASKED, COPYING, DONE };

static struct {
    pthread_mutex_t lock; /* of those who ask: one at a time. No worker takes it */
    bool installed;
    struct sigaction former;

    /* who asks, before ASKED; the handler, while COPYING */
    _Atomic uint32_t state;
    const struct rn__worker *_Atomic worker;
    uint32_t id; /* of the task that ran */
    uintptr_t sp, fp, pc;
    size_t n;
    uint64_t words[COPY_BYTES / sizeof(uint64_t)];
} probe = {.lock = PTHREAD_MUTEX_INITIALIZER};

static PLAIN void probe_copy(const struct rn__task *t, const ucontext_t *context)
{
#if defined(__x86_64__)
    probe.sp = (uintptr_t)context->uc_mcontext.gregs[REG_RSP];
    probe.fp = (uintptr_t)context->uc_mcontext.gregs[REG_RBP];
    probe.pc = (uintptr_t)context->uc_mcontext.gregs[REG_RIP];
#else
    probe.sp = context->uc_mcontext.sp;
    probe.fp = context->uc_mcontext.regs[29];
    probe.pc = context->uc_mcontext.pc;
#endif
    uintptr_t top = (uintptr_t)t;

    probe.id = 0;
    probe.sp &= ~(uintptr_t)7;
    if (!t || probe.sp < (uintptr_t)t->stack.bottom || probe.sp >= top)
        return; /* between two tasks */
    probe.id = t->id;
    probe.n = top - probe.sp < COPY_BYTES ? (top - probe.sp) & ~(size_t)7 : COPY_BYTES;
    copy_plain(probe.words, (const uint64_t *)probe.sp, probe.n);
}

static PLAIN void handler(int sig, siginfo_t *info, void *context)
{
    const struct rn__worker *w = rn__tls()->worker;
    uint32_t asked = ASKED;
    int saved = errno;

    if (w && w == atomic_load(&probe.worker) &&
        atomic_compare_exchange_strong(&probe.state, &asked, COPYING)) {
        probe_copy(__atomic_load_n(&w->current, __ATOMIC_RELAXED), context);
        atomic_store(&probe.state, DONE);
    } else if (probe.former.sa_flags & SA_SIGINFO) {
        probe.former.sa_sigaction(sig, info, context);
    } else if (probe.former.sa_handler != SIG_DFL && probe.former.sa_handler != SIG_IGN) {
        probe.former.sa_handler(sig);
    }
    errno = saved;
}

#if RN__TSAN
/* TSan puts handlers off until the thread calls libc, which a hanging one doesn't: ours goes past
 * it (it is compiled without its instrumentation), with the restorer that libc has just set. */
struct kernel_sigaction {
    void (*handler)(int, siginfo_t *, void *);
    unsigned long flags;
    void (*restorer)(void);
    uint64_t mask;
};

static void install_past_tsan(void)
{
    struct kernel_sigaction act;

    if (syscall(SYS_rt_sigaction, PROBE_SIGNAL, NULL, &act, sizeof(act.mask)) == 0) {
        act.handler = handler;
        (void)syscall(SYS_rt_sigaction, PROBE_SIGNAL, &act, NULL, sizeof(act.mask));
    }
}
#endif

static void install_locked(void)
{
    struct sigaction act = {.sa_sigaction = handler,
                            .sa_flags = SA_SIGINFO | SA_RESTART | SA_ONSTACK};

    if (probe.installed)
        return;
    sigfillset(&act.sa_mask);
    sigaction(PROBE_SIGNAL, NULL, &probe.former);
    probe.installed = sigaction(PROBE_SIGNAL, &act, NULL) == 0;
#if RN__TSAN
    install_past_tsan();
#endif
}

static bool probe_wait(void)
{
    const struct timespec nap = {.tv_nsec = 50 * 1000};
    rn_time end = rn__clock() + ANSWER_NS;

    for (;;) {
        uint32_t state = atomic_load(&probe.state);

        if (state == DONE)
            return true;
        if (state == ASKED && rn__clock() > end &&
            atomic_compare_exchange_strong(&probe.state, &state, IDLE))
            return false; /* a late signal finds nobody who asks */
        (void)clock_nanosleep(CLOCK_MONOTONIC, 0, &nap, NULL);
    }
}

/* -ESRCH: the worker runs another task by now; -ETIMEDOUT. */
static int probe_ask_locked(const struct rn__worker *w, uint32_t id, struct copy *c)
{
    int tid = atomic_load(&w->tid), r = 0;

    install_locked();
    if (tid == 0)
        return -ESRCH;
    atomic_store(&probe.worker, w);
    atomic_store(&probe.state, ASKED);
    if (syscall(SYS_tgkill, getpid(), tid, PROBE_SIGNAL) < 0)
        r = -errno;
    else if (!probe_wait())
        r = -ETIMEDOUT;
    if (r == 0 && probe.id != id)
        r = -ESRCH;
    if (r == 0) {
        *c = (struct copy){
            .sp = probe.sp, .fp = probe.fp, .pc = probe.pc, .n = probe.n, .words = c->words};
        memcpy(c->words, probe.words, probe.n);
    }
    atomic_store(&probe.state, IDLE);
    return r;
}

static const struct rn__worker *worker_of(const struct rn_runtime *rt, const struct rn__task *t)
{
    for (unsigned i = 0; i < rt->n_workers; i++)
        if (__atomic_load_n(&rt->workers[i].current, __ATOMIC_RELAXED) == t)
            return &rt->workers[i];
    return NULL;
}

/* The caller's own stack, from its caller's frame on. */
static PLAIN void copy_self(const struct rn__task *t, struct copy *c)
{
    uintptr_t top = (uintptr_t)t;

    *c = (struct copy){.sp = (uintptr_t)__builtin_frame_address(0), .words = c->words};
    c->fp = c->sp;
    c->n = top - c->sp < COPY_BYTES ? (top - c->sp) & ~(size_t)7 : COPY_BYTES;
    copy_plain(c->words, (const uint64_t *)c->sp, c->n);
}

static int copy_running(const struct rn_runtime *rt, const struct rn__task *t, uint32_t id,
                        struct copy *c)
{
    const struct rn__worker *w = worker_of(rt, t);
    int r;

    if (!w)
        return -ESRCH;
    if (w == rn__worker_self()) {
        copy_self(t, c);
        return 0;
    }
    pthread_mutex_lock(&probe.lock);
    r = probe_ask_locked(w, id, c);
    pthread_mutex_unlock(&probe.lock);
    return r;
}

/* ---- all of them ----------------------------------------------------------------------------- */

static bool state_runs(unsigned state)
{
    return state == RN_TASK_RUNNING || state == RN__TASK_READIED;
}

static uint64_t word_of(const struct rn_runtime *rt, uint32_t id)
{
    return atomic_load_explicit(&rt->words[rn__word_index(id)], memory_order_acquire);
}

/* Record and stack of one moment. False: there is no such task. */
static bool trace_task(const struct rn_runtime *rt, uint32_t id, struct copy *c,
                       struct rn_trace *trace)
{
    struct rn__task_view v;

    for (unsigned i = 0; i < TRIES; i++) {
        uint64_t before = word_of(rt, id);
        const struct rn__task *t = __atomic_load_n(&rt->tasks[id], __ATOMIC_RELAXED);
        bool runs = state_runs(rn__word_state(before));
        int r;

        trace->n = 0;
        trace->complete = trace->exact = false;
        if (!t || !rn__task_view(rt, id, &v))
            return false;
        rn__task_info(rt, &v, &trace->task);
        r = runs ? copy_running(rt, t, id, c) : copy_resting(t, c) ? 0 : -EAGAIN;
        if (r == -ETIMEDOUT)
            return true;
        if (r == 0 && (runs || word_of(rt, id) == before) && v.epoch == rn__word_epoch(before)) {
            int (*fn)(void *arg) = __atomic_load_n(&t->fn, __ATOMIC_RELAXED);

            walk(c, trace);
            hide_the_beginning(trace, fn);
            return true;
        }
    }
    return true;
}

int rn_traces_each(const struct rn_runtime *rt, bool (*fn)(void *arg, const struct rn_trace *trace),
                   void *arg)
{
    CLEANUP(freep) struct rn_trace *trace = malloc(sizeof(*trace));
    CLEANUP(freep) uint64_t *words = malloc(COPY_BYTES);
    struct copy c = {.words = words};

    if (!trace || !words)
        return -ENOMEM;
    for (uint32_t id = 1; id < rn__tasks_end(rt); id++)
        if (trace_task(rt, id, &c, trace) && !fn(arg, trace))
            break;
    return 0;
}
