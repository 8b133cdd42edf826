/* Descriptors with owners and generations.
 *
 * A struct rn_fd is a name, not a number: closing it twice or using a stale one is -EBADF and can never touch somebody
 * else's file. The runtime closes what a scope or task still holds when it ends. One reader and one writer may wait at
 * a time (a second is -EBUSY). Always non-blocking and close-on-exec.
 *
 * Unless said otherwise:
 * Suspends: no.
 * Owner:    the task that took it over (or the loop, in a callback); the name may be used by any task of the runtime.
 * From:     a task or a callback of the runtime whose descriptor it is; elsewhere -EBADF.
 */
#pragma once

#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>

#include <runnel/base.h>

struct rn_fd {
    uint32_t slot, gen; /* all zero: none */
};

enum rn_fd_kind { RN_FD_STREAM, RN_FD_LISTENER, RN_FD_PIPE, RN_FD_DGRAM, RN_FD_OTHER };
enum rn_fd_dir { RN_FD_READ = 1, RN_FD_WRITE = 2 };

/* Take over `fd`: made non-blocking and close-on-exec, registered once with the loop of the calling worker.
 * Returns: 0, -EPERM (a regular file, or a plain thread), -ENOMEM, -EEXIST.
 * Owner:   of the number, on error still the caller. */
#define rn_fd_adopt(fd, kind, ret) rn_fd_adopt_at(RN_SITE(), fd, kind, ret)
RN_API int rn_fd_adopt_at(const struct rn_site *site, int fd, enum rn_fd_kind kind, struct rn_fd *ret_fd);

/* Make a number non-blocking and close-on-exec, as rn_fd_adopt() does by itself.
 * Returns: 0, -EBADF.
 * From:    anywhere. */
RN_API int rn_fd_prepare(int fd);

/* Close: new users get -EBADF, waiters wake with -EBADF, the last user in flight really closes.
 * Returns: 0, -EBADF. */
RN_API int  rn_fd_close(struct rn_fd fd);
RN_API void rn_fd_closep(struct rn_fd *fd);

/* Give up ownership: it is no longer registered.
 * Returns: 0, -EBADF, -EBUSY (in use).
 * Owner:   of the number, the caller. */
RN_API int rn_fd_release(struct rn_fd fd, int *ret_number);

/* Forget: somebody else has closed the number, and it may name another file by now. The record goes as by a close, but without
 * a system call.
 * Returns: 0, -EBADF, -EBUSY (in use). */
RN_API int rn_fd_forget(struct rn_fd fd);

/* The number, borrowed: valid until the owner closes it.
 * Returns: it, -EBADF. */
RN_API int rn_fd_number(struct rn_fd fd);

/* Each tries first and waits only on EAGAIN.
 * Suspends: until the descriptor is ready or `deadline` passes.
 * Returns:  a count (0: end of file; a short one is a success), rn_fd_accept() a number, rn_fd_connect() 0; or -ETIMEDOUT, -ECANCELED,
 *           -EBADF, -EBUSY, -EPERM (no task), or the error of the system call.
 * Owner:    of an accepted number, the caller.
 * From:     a task. */
#define rn_fd_read(fd, buf, n, deadline) rn_fd_read_at(RN_SITE(), fd, buf, n, deadline)
#define rn_fd_write(fd, buf, n, deadline) rn_fd_write_at(RN_SITE(), fd, buf, n, deadline)
#define rn_fd_recv(fd, buf, n, deadline) rn_fd_recv_at(RN_SITE(), fd, buf, n, deadline)
#define rn_fd_send(fd, buf, n, deadline) rn_fd_send_at(RN_SITE(), fd, buf, n, deadline)
#define rn_fd_writev(fd, iov, n, deadline) rn_fd_writev_at(RN_SITE(), fd, iov, n, deadline)
#define rn_fd_readv(fd, iov, n, deadline) rn_fd_readv_at(RN_SITE(), fd, iov, n, deadline)
#define rn_fd_accept(fd, addr, len, deadline) rn_fd_accept_at(RN_SITE(), fd, addr, len, deadline) /* a raw number */
#define rn_fd_connect(fd, addr, len, deadline) rn_fd_connect_at(RN_SITE(), fd, addr, len, deadline)
RN_API ssize_t rn_fd_read_at(const struct rn_site *site, struct rn_fd fd, void *buf, size_t n, rn_time deadline);
RN_API ssize_t rn_fd_write_at(const struct rn_site *site, struct rn_fd fd, const void *buf, size_t n, rn_time deadline);
RN_API ssize_t rn_fd_recv_at(const struct rn_site *site, struct rn_fd fd, void *buf, size_t n, rn_time deadline);
RN_API ssize_t rn_fd_send_at(const struct rn_site *site, struct rn_fd fd, const void *buf, size_t n, rn_time deadline);
RN_API ssize_t rn_fd_readv_at(const struct rn_site *site, struct rn_fd fd, const struct iovec *iov, int n, rn_time deadline);
RN_API ssize_t rn_fd_writev_at(const struct rn_site *site, struct rn_fd fd, const struct iovec *iov, int n, rn_time deadline);
RN_API int     rn_fd_accept_at(const struct rn_site *site, struct rn_fd fd, struct sockaddr *addr, socklen_t *len, rn_time deadline);
RN_API int     rn_fd_connect_at(const struct rn_site *site, struct rn_fd fd, const struct sockaddr *addr, socklen_t len, rn_time deadline);

/* Wait until the direction may be ready (spurious wake-ups are possible). Edge-triggered: who uses the number itself goes on
 * until -EAGAIN before it waits again.
 * Suspends: until an edge comes or `deadline` passes.
 * Returns:  0, -ETIMEDOUT, -ECANCELED, -EBADF, -EBUSY, -EPERM (no task).
 * From:     a task. */
#define rn_fd_wait(fd, dir, deadline) rn_fd_wait_at(RN_SITE(), fd, dir, deadline)
RN_API int rn_fd_wait_at(const struct rn_site *site, struct rn_fd fd, enum rn_fd_dir dir, rn_time deadline);
