/* The one door for system calls: count, perhaps fail on purpose, call, turn errno into -errno at
 * once.
 *
 * Each thread counts in a table of its own (relaxed stores by one writer); tables are never freed,
 * a thread that ends leaves its table, with what it counted, to the next. Faults cost one load
 * while none is set.
 *
 *      RN_FAULT=accept4:EMFILE:0.01,send:EPIPE:0.001    RN_FAULT_SEED=7
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <time.h>
#include <unistd.h>

#include "core.h"

#ifndef SYS_epoll_pwait2
#define SYS_epoll_pwait2 441
#endif

struct rn__thread_counts {
    struct rn__thread_counts *next;
    _Atomic bool used;
    _Atomic uint64_t calls[RN_SYS_MAX], zeros[RN_SYS_MAX];
    _Atomic uint64_t timed[RN_SYS_MAX], time_ns[RN_SYS_MAX];
    _Atomic uint64_t errors[RN_SYS_MAX][RN_SYS_ERRNO_MAX];
};

static _Atomic(struct rn__thread_counts *) all_counts;
static pthread_key_t counts_key;
static pthread_once_t counts_once = PTHREAD_ONCE_INIT;

static const char *const names[RN_SYS_MAX] = {
#define X(name) #name,
    RN_SYSCALLS(X)
#undef X
};

const char *rn_sys_name(enum rn_syscall call)
{
    return (unsigned)call < RN_SYS_MAX ? names[call] : "?";
}

/* ---- counting -------------------------------------------------------------------------------- */

static void counts_give_back(void *arg)
{
    struct rn__thread_counts *c = arg;

    rn__tls()->counts = NULL;
    atomic_store(&c->used, false);
}

static void counts_init(void)
{
    (void)pthread_key_create(&counts_key, counts_give_back);
}

static struct rn__thread_counts *counts_make(void)
{
    struct rn__thread_counts *c, *head;

    pthread_once(&counts_once, counts_init);
    for (c = atomic_load(&all_counts); c; c = c->next) {
        bool unused = false;

        if (atomic_compare_exchange_strong(&c->used, &unused, true))
            break;
    }
    if (!c) {
        c = mmap(NULL, sizeof(*c), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (c == MAP_FAILED)
            return NULL;
        atomic_store(&c->used, true);
        head = atomic_load(&all_counts);
        do
            c->next = head;
        while (!atomic_compare_exchange_weak(&all_counts, &head, c));
    }
    pthread_setspecific(counts_key, c);
    rn__tls()->counts = c;
    return c;
}

#define TIMED_MASK 15 /* one of 16 */

/* When this call began, if it is one to be timed; else 0. */
static rn_time call_begin(enum rn_syscall call)
{
    const struct rn__thread_counts *c = rn__tls()->counts;

    if (!c || (atomic_load_explicit(&c->calls[call], memory_order_relaxed) & TIMED_MASK))
        return 0;
    return rn__clock();
}

static void count_add(_Atomic uint64_t *n, uint64_t more)
{
    atomic_store_explicit(n, atomic_load_explicit(n, memory_order_relaxed) + more,
                          memory_order_relaxed);
}

/* Count a call and its result, which is handed through. */
static ssize_t counted(enum rn_syscall call, ssize_t r, rn_time begin)
{
    struct rn__thread_counts *c = rn__tls()->counts;

    if (!c && !(c = counts_make()))
        return r;
    rn__count(&c->calls[call]);
    if (begin) {
        rn__count(&c->timed[call]);
        count_add(&c->time_ns[call], (uint64_t)(rn__clock() - begin));
    }
    if (r == 0)
        rn__count(&c->zeros[call]);
    if (r < 0 && -r < RN_SYS_ERRNO_MAX)
        rn__count(&c->errors[call][-r]);
    return r;
}

static void counts_sum(const struct rn__thread_counts *c, struct rn_sys_count *sum)
{
    for (unsigned i = 0; i < RN_SYS_MAX; i++) {
        sum[i].calls += atomic_load_explicit(&c->calls[i], memory_order_relaxed);
        sum[i].zeros += atomic_load_explicit(&c->zeros[i], memory_order_relaxed);
        sum[i].timed += atomic_load_explicit(&c->timed[i], memory_order_relaxed);
        sum[i].time_ns += atomic_load_explicit(&c->time_ns[i], memory_order_relaxed);
        for (unsigned e = 0; e < RN_SYS_ERRNO_MAX; e++)
            sum[i].errors[e] += atomic_load_explicit(&c->errors[i][e], memory_order_relaxed);
    }
}

static void counts_all_but(const struct rn__thread_counts *left_out,
                           struct rn_sys_count *ret_counts)
{
    memset(ret_counts, 0, RN_SYS_MAX * sizeof(*ret_counts));
    for (const struct rn__thread_counts *c = atomic_load(&all_counts); c; c = c->next)
        if (c != left_out)
            counts_sum(c, ret_counts);
}

void rn_sys_counts(struct rn_sys_count ret_counts[RN_SYS_MAX])
{
    counts_all_but(NULL, ret_counts);
}

void rn_sys_counts_of_others(struct rn_sys_count ret_counts[RN_SYS_MAX])
{
    counts_all_but(rn__tls()->counts, ret_counts);
}

/* ---- faults ---------------------------------------------------------------------------------- */

static struct {
    _Atomic bool any;
    _Atomic uint64_t random;
    struct {
        _Atomic int error;
        _Atomic int64_t times;   /* < 0: always */
        _Atomic uint32_t chance; /* of 2^32; 0: certain */
    } call[RN_SYS_MAX];
} faults;

static pthread_once_t faults_once = PTHREAD_ONCE_INIT;

void rn_fault_set(enum rn_syscall call, int error, int64_t times)
{
    atomic_store(&faults.call[call].error, error);
    atomic_store(&faults.call[call].chance, 0);
    atomic_store(&faults.call[call].times, times);
    if (times != 0)
        atomic_store(&faults.any, true);
}

static uint32_t fault_random(void)
{
    uint64_t z = atomic_fetch_add(&faults.random, UINT64_C(0x9e3779b97f4a7c15));

    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return (uint32_t)(z >> 32);
}

static int fault_of(enum rn_syscall call)
{
    int64_t times;
    uint32_t chance;

    if (!atomic_load_explicit(&faults.any, memory_order_relaxed))
        return 0;
    times = atomic_load(&faults.call[call].times);
    if (times == 0)
        return 0;
    chance = atomic_load(&faults.call[call].chance);
    if (chance && fault_random() >= chance)
        return 0;
    while (times > 0 && !atomic_compare_exchange_weak(&faults.call[call].times, &times, times - 1))
        ;
    return times == 0 ? 0 : -atomic_load(&faults.call[call].error);
}

static int errno_by_name(const char *name)
{
    for (int e = 1; e < RN_SYS_ERRNO_MAX; e++) {
        const char *known = strerrorname_np(e);

        if (known && strcmp(known, name) == 0)
            return e;
    }
    return atoi(name);
}

static void fault_parse(char *item)
{
    char *save = NULL;
    char *call = strtok_r(item, ":", &save);
    char *error = strtok_r(NULL, ":", &save);
    char *chance = strtok_r(NULL, ":", &save);
    double p = chance ? strtod(chance, NULL) : 1;

    for (unsigned i = 0; call && error && i < RN_SYS_MAX; i++)
        if (strcmp(names[i], call) == 0) {
            rn_fault_set((enum rn_syscall)i, errno_by_name(error), -1);
            atomic_store(&faults.call[i].chance, p >= 1   ? 0
                                                 : p <= 0 ? 1
                                                          : (uint32_t)(p * 4294967295.0));
        }
}

static void faults_read_env(void)
{
    const char *text = getenv("RN_FAULT");
    const char *seed = getenv("RN_FAULT_SEED");
    char *copy, *save = NULL;

    atomic_store(&faults.random, seed ? strtoull(seed, NULL, 0) : 1);
    if (!text || !(copy = strdup(text)))
        return;
    for (char *item = strtok_r(copy, ",", &save); item; item = strtok_r(NULL, ",", &save))
        fault_parse(item);
    free(copy);
}

void rn__faults_from_env(void)
{
    pthread_once(&faults_once, faults_read_env);
}

/* ---- the calls ------------------------------------------------------------------------------- */

/* One call: its fault, or the call itself, counted, as 0/count or -errno. */
#define DOOR(name, expr)                                                                           \
    __extension__({                                                                                \
        rn_time door_begin = call_begin(RN_SYS_##name);                                            \
        ssize_t door_r = fault_of(RN_SYS_##name);                                                  \
        if (door_r == 0) {                                                                         \
            door_r = (expr);                                                                       \
            if (door_r < 0)                                                                        \
                door_r = -errno;                                                                   \
        }                                                                                          \
        counted(RN_SYS_##name, door_r, door_begin);                                                \
    })

ssize_t rn_sys_read(int fd, void *buf, size_t n)
{
    return DOOR(read, read(fd, buf, n));
}

ssize_t rn_sys_write(int fd, const void *buf, size_t n)
{
    return DOOR(write, write(fd, buf, n));
}

ssize_t rn_sys_readv(int fd, const struct iovec *iov, int n)
{
    return DOOR(readv, readv(fd, iov, n));
}

ssize_t rn_sys_writev(int fd, const struct iovec *iov, int n)
{
    return DOOR(writev, writev(fd, iov, n));
}

ssize_t rn_sys_recv(int fd, void *buf, size_t n, int flags)
{
    return DOOR(recv, recv(fd, buf, n, flags));
}

ssize_t rn_sys_send(int fd, const void *buf, size_t n, int flags)
{
    return DOOR(send, send(fd, buf, n, flags | MSG_NOSIGNAL));
}

ssize_t rn_sys_sendmsg(int fd, const struct msghdr *msg, int flags)
{
    return DOOR(sendmsg, sendmsg(fd, msg, flags | MSG_NOSIGNAL));
}

int rn_sys_accept4(int fd, struct sockaddr *addr, socklen_t *len, int flags)
{
    return (int)DOOR(accept4, accept4(fd, addr, len, flags));
}

int rn_sys_connect(int fd, const struct sockaddr *addr, socklen_t len)
{
    return (int)DOOR(connect, connect(fd, addr, len));
}

int rn_sys_socket(int domain, int type, int protocol)
{
    return (int)DOOR(socket, socket(domain, type, protocol));
}

int rn_sys_socketpair(int domain, int type, int protocol, int ret_fds[2])
{
    return (int)DOOR(socketpair, socketpair(domain, type, protocol, ret_fds));
}

int rn_sys_bind(int fd, const struct sockaddr *addr, socklen_t len)
{
    return (int)DOOR(bind, bind(fd, addr, len));
}

int rn_sys_listen(int fd, int backlog)
{
    return (int)DOOR(listen, listen(fd, backlog));
}

int rn_sys_shutdown(int fd, int how)
{
    return (int)DOOR(shutdown, shutdown(fd, how));
}

/* Every close may be what a listener without descriptors waits for. */
static void wake_pauses(void)
{
    struct rn_runtime *rt = rn__rt();

    if (!rt || !atomic_load_explicit(&rt->n_pauses, memory_order_relaxed))
        return;
    for (unsigned i = 0; i < rt->n_workers; i++)
        rt->workers[i].loop.pauses_due = true;
}

int rn_sys_close(int fd)
{
    int r = (int)DOOR(close, close(fd));

    wake_pauses();
    return r;
}

int rn_sys_setsockopt(int fd, int level, int name, const void *value, socklen_t len)
{
    return (int)DOOR(setsockopt, setsockopt(fd, level, name, value, len));
}

int rn_sys_getsockopt(int fd, int level, int name, void *value, socklen_t *len)
{
    return (int)DOOR(getsockopt, getsockopt(fd, level, name, value, len));
}

int rn_sys_getsockname(int fd, struct sockaddr *addr, socklen_t *len)
{
    return (int)DOOR(getsockname, getsockname(fd, addr, len));
}

int rn_sys_getpeername(int fd, struct sockaddr *addr, socklen_t *len)
{
    return (int)DOOR(getpeername, getpeername(fd, addr, len));
}

int rn_sys_fcntl(int fd, int cmd, long arg)
{
    return (int)DOOR(fcntl, fcntl(fd, cmd, arg));
}

int rn_sys_fstat(int fd, struct stat *ret_stat)
{
    return (int)DOOR(fstat, fstat(fd, ret_stat));
}

int rn_sys_lstat(const char *path, struct stat *ret_stat)
{
    return (int)DOOR(lstat, lstat(path, ret_stat));
}

int rn_sys_unlink(const char *path)
{
    return (int)DOOR(unlink, unlink(path));
}

int rn_sys_pipe2(int ret_fds[2], int flags)
{
    return (int)DOOR(pipe2, pipe2(ret_fds, flags));
}

/* ---- the kernel's names ---------------------------------------------------------------------- */

/* epoll_pwait2 knows nanoseconds; a kernel or an emulator without it is asked once. */
static _Atomic bool without_pwait2;

const char *rn_sys_kernel_name(enum rn_syscall call)
{
    switch (call) {
    case RN_SYS_recv:
        return "recvfrom";
    case RN_SYS_send:
        return "sendto";
    case RN_SYS_eventfd:
        return "eventfd2";
    case RN_SYS_signalfd:
        return "signalfd4";
    case RN_SYS_fstat:
    case RN_SYS_lstat:
        return "newfstatat";
    case RN_SYS_epoll_wait:
        return atomic_load_explicit(&without_pwait2, memory_order_relaxed) ? "epoll_wait"
                                                                           : "epoll_pwait2";
    default:
        return rn_sys_name(call);
    }
}

/* ---- only for runnel ------------------------------------------------------------------------- */

int rn__sys_epoll_create1(int flags)
{
    return (int)DOOR(epoll_create1, epoll_create1(flags));
}

int rn__sys_epoll_ctl(int epoll, int op, int fd, struct epoll_event *event)
{
    return (int)DOOR(epoll_ctl, epoll_ctl(epoll, op, fd, event));
}

static int epoll_wait_ms(int epoll, struct epoll_event *events, int n, rn_time timeout)
{
    rn_time ms = timeout < 0 ? -1 : (timeout + RN_MS - 1) / RN_MS;

    return epoll_wait(epoll, events, n, ms > INT32_MAX ? INT32_MAX : (int)ms);
}

static int epoll_wait_ns(int epoll, struct epoll_event *events, int n, rn_time timeout)
{
    struct timespec ts = {timeout / RN_S, timeout % RN_S};
    long r;

    if (atomic_load_explicit(&without_pwait2, memory_order_relaxed))
        return epoll_wait_ms(epoll, events, n, timeout);
    r = syscall(SYS_epoll_pwait2, epoll, events, n, timeout < 0 ? NULL : &ts, NULL, 0);
    if (r < 0 && errno == ENOSYS) {
        atomic_store(&without_pwait2, true);
        return epoll_wait_ms(epoll, events, n, timeout);
    }
    return (int)r;
}

int rn__sys_epoll_wait(int epoll, struct epoll_event *events, int n, rn_time timeout)
{
    return (int)DOOR(epoll_wait, epoll_wait_ns(epoll, events, n, timeout));
}

int rn__sys_eventfd(unsigned value, int flags)
{
    return (int)DOOR(eventfd, eventfd(value, flags));
}

int rn__sys_signalfd(int fd, const sigset_t *set, int flags)
{
    return (int)DOOR(signalfd, signalfd(fd, set, flags));
}

int rn__sys_madvise(void *p, size_t n, int advice)
{
    return (int)DOOR(madvise, madvise(p, n, advice));
}

int rn__sys_mprotect(void *p, size_t n, int prot)
{
    return (int)DOOR(mprotect, mprotect(p, n, prot));
}

int rn__sys_futex_wait(_Atomic uint32_t *word, uint32_t value)
{
    return (int)DOOR(futex, syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, NULL, NULL, 0));
}

int rn__sys_futex_wake(_Atomic uint32_t *word, int n)
{
    return (int)DOOR(futex, syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, n, NULL, NULL, 0));
}

static rn_time clock_ns(clockid_t clock)
{
    struct timespec ts;

    clock_gettime(clock, &ts);
    return (rn_time)ts.tv_sec * RN_S + ts.tv_nsec;
}

rn_time rn__clock(void)
{
    return clock_ns(CLOCK_MONOTONIC);
}

rn_time rn__clock_coarse(void)
{
    return clock_ns(CLOCK_MONOTONIC_COARSE);
}
