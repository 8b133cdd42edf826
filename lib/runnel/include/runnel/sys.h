/* The one door for system calls of runnel and rnet.
 *
 * Each wrapper counts (call, errno), retries nothing, and turns errno into -errno while still in the wrapper. Tests may make a
 * call fail: RN_FAULT=accept4:EMFILE:0.01 or rn_fault_set(). The counters are per thread and summed on reading.
 *
 * Unless said otherwise:
 * Suspends: no; the thread blocks where the system call does, so give them non-blocking descriptors.
 * Returns:  what the system call does, or -errno.
 * Owner:    of every descriptor, the caller.
 * From:     anywhere.
 */
#pragma once

#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>

#include <runnel/base.h>

/* X(name) for every call that goes through the door. */
#define RN_SYSCALLS(X)                                                                              \
    X(read) X(write) X(readv) X(writev) X(recv) X(send) X(sendmsg) X(accept4) X(connect) X(socket) X(bind) X(listen)  \
    X(shutdown) X(close) X(setsockopt) X(getsockopt) X(getsockname) X(getpeername) X(fcntl) X(fstat)                  \
    X(epoll_create1) X(epoll_ctl) X(epoll_wait) X(eventfd) X(signalfd) X(mmap) X(munmap) X(madvise) X(mprotect)       \
    X(futex) X(pipe2) X(socketpair) X(unlink) X(lstat) X(clock_gettime)

enum rn_syscall {
#define X(name) RN_SYS_##name,
    RN_SYSCALLS(X)
#undef X
    RN_SYS_MAX
};

#define RN_SYS_ERRNO_MAX 140
/* What every thread of the process counted. `errors[e]` counts results of -e. Every 16th call of a kind is timed by the clock on the
 * wall: so time_ns / timed is what a call takes, waiting included. */
struct rn_sys_count {
    uint64_t calls, zeros, timed, time_ns, errors[RN_SYS_ERRNO_MAX];
};
/* Returns: "recv". */
RN_API const char *rn_sys_name(enum rn_syscall call);
/* Returns: as the kernel calls it, and strace prints it: "recvfrom". */
RN_API const char *rn_sys_kernel_name(enum rn_syscall call);
/* The counts so far, of all threads. */
RN_API void rn_sys_counts(struct rn_sys_count ret_counts[RN_SYS_MAX]);
/* The same without the calling thread: for one that looks, and does not want to see itself. */
RN_API void rn_sys_counts_of_others(struct rn_sys_count ret_counts[RN_SYS_MAX]);

/* Let `call` fail with -error: `times` times from now on (< 0: always, 0: off), on every thread. For tests. */
RN_API void rn_fault_set(enum rn_syscall call, int error, int64_t times);

RN_API ssize_t rn_sys_read(int fd, void *buf, size_t n);
RN_API ssize_t rn_sys_write(int fd, const void *buf, size_t n);
RN_API ssize_t rn_sys_readv(int fd, const struct iovec *iov, int n);
RN_API ssize_t rn_sys_writev(int fd, const struct iovec *iov, int n);
RN_API ssize_t rn_sys_recv(int fd, void *buf, size_t n, int flags);
RN_API ssize_t rn_sys_send(int fd, const void *buf, size_t n, int flags); /* MSG_NOSIGNAL is added */
RN_API ssize_t rn_sys_sendmsg(int fd, const struct msghdr *msg, int flags);
RN_API int     rn_sys_accept4(int fd, struct sockaddr *addr, socklen_t *len, int flags);
RN_API int     rn_sys_connect(int fd, const struct sockaddr *addr, socklen_t len);
RN_API int     rn_sys_socket(int domain, int type, int protocol);
RN_API int     rn_sys_socketpair(int domain, int type, int protocol, int ret_fds[2]);
RN_API int     rn_sys_bind(int fd, const struct sockaddr *addr, socklen_t len);
RN_API int     rn_sys_listen(int fd, int backlog);
RN_API int     rn_sys_shutdown(int fd, int how);
RN_API int     rn_sys_close(int fd);
RN_API int     rn_sys_setsockopt(int fd, int level, int name, const void *value, socklen_t len);
RN_API int     rn_sys_getsockopt(int fd, int level, int name, void *value, socklen_t *len);
RN_API int     rn_sys_getsockname(int fd, struct sockaddr *addr, socklen_t *len);
RN_API int     rn_sys_getpeername(int fd, struct sockaddr *addr, socklen_t *len);
RN_API int     rn_sys_fcntl(int fd, int cmd, long arg);
struct stat;
RN_API int     rn_sys_fstat(int fd, struct stat *ret_stat);
RN_API int     rn_sys_lstat(const char *path, struct stat *ret_stat);
RN_API int     rn_sys_unlink(const char *path);
RN_API int     rn_sys_pipe2(int ret_fds[2], int flags);
