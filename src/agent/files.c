/* Atomic files, see files.h.
 *
 * The temporary name is fixed per target (.NAME.fettle-tmp), so that what a kill leaves behind is
 * overwritten by the next attempt instead of gathering.
 */
#include "files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <base/cleanup.h>

#define READ_CHUNK 65536

DEFINE_TRIVIAL_CLEANUP(DIR *, closedir);

int ft_path_format(char *out, size_t size, const char *format, ...)
{
    va_list ap;
    int n;

    va_start(ap, format);
    n = vsnprintf(out, size, format, ap);
    va_end(ap);
    return n < 0 || (size_t)n >= size ? -ENAMETOOLONG : 0;
}

/* The folder of `path` into `out`. */
static int path_folder(const char *path, char *out, size_t size)
{
    const char *slash = strrchr(path, '/');

    if (!slash)
        return ft_path_format(out, size, ".");
    return ft_path_format(out, size, "%.*s", slash == path ? 1 : (int)(slash - path), path);
}

static int file_check(int fd, size_t max, struct ft_file_attrs *ret_attrs)
{
    struct stat st;

    if (fstat(fd, &st) < 0)
        return -errno;
    if (!S_ISREG(st.st_mode))
        return S_ISDIR(st.st_mode) ? -EISDIR : -EINVAL;
    if ((uint64_t)st.st_size > max)
        return -EFBIG;
    if (ret_attrs)
        *ret_attrs = (struct ft_file_attrs){true, st.st_mode & 07777, st.st_uid, st.st_gid};
    return 0;
}

/* Until the end, which may have moved since the size was looked at. */
static int read_all(int fd, size_t max, struct ft_buf *out)
{
    size_t from = out->len;

    for (;;) {
        size_t room = out->max - out->len < READ_CHUNK ? out->max - out->len : READ_CHUNK;
        char beyond;
        ssize_t n;
        int r = ft_buf_reserve(out, room);

        if (r < 0)
            return r;
        n = room ? read(fd, out->data + out->len, room) : read(fd, &beyond, 1);
        if (n <= 0)
            return n < 0 ? -errno : 0;
        if (room == 0 || out->len - from + (size_t)n > max)
            return -EFBIG;
        out->len += (size_t)n;
    }
}

int ft_file_read(const char *path, size_t max, struct ft_buf *out, struct ft_file_attrs *ret_attrs)
{
    CLEANUP(closep)
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a FIFO must not hold us up */
    int r;

    if (fd < 0)
        return -errno;
    r = file_check(fd, max, ret_attrs);
    if (r < 0)
        return r;
    return read_all(fd, max, out);
}

static int write_all(int fd, struct rn_slice body)
{
    while (body.len > 0) {
        ssize_t n = write(fd, body.data, body.len);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        body = rn_slice_from(body, (size_t)n);
    }
    return 0;
}

static int attrs_keep(int fd, const struct ft_file_attrs *attrs)
{
    struct stat st;

    if (!attrs || !attrs->exists)
        return fchmod(fd, FT_FILE_MODE_NEW) < 0 ? -errno : 0;
    if (fstat(fd, &st) < 0)
        return -errno;
    if ((st.st_uid != attrs->uid || st.st_gid != attrs->gid) &&
        fchown(fd, attrs->uid, attrs->gid) < 0)
        return -errno;
    return fchmod(fd, attrs->mode) < 0 ? -errno : 0; /* after fchown, which clears set-id bits */
}

static int file_write_with(const char *path, struct rn_slice body,
                           const struct ft_file_attrs *attrs)
{
    CLEANUP(closep) int fd = -1;
    int r;

    if (unlink(path) < 0 && errno != ENOENT)
        return -errno;
    fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return -errno;
    r = write_all(fd, body);
    if (r == 0)
        r = attrs_keep(fd, attrs);
    if (r == 0 && fsync(fd) < 0)
        r = -errno;
    if (r < 0)
        (void)unlink(path);
    return r;
}

int ft_file_write(const char *path, struct rn_slice body)
{
    static const struct ft_file_attrs private = {.exists = true, .mode = 0600};
    struct ft_file_attrs attrs = private;

    attrs.uid = geteuid();
    attrs.gid = getegid();
    return file_write_with(path, body, &attrs);
}

static int temporary_path(const char *path, char out[PATH_MAX], char folder[PATH_MAX])
{
    const char *slash = strrchr(path, '/');
    int r = path_folder(path, folder, PATH_MAX);

    return r < 0 ? r
                 : ft_path_format(out, PATH_MAX, "%s/.%s.fettle-tmp", folder,
                                  slash ? slash + 1 : path);
}

int ft_file_replace(const char *path, struct rn_slice body, const struct ft_file_attrs *attrs,
                    void (*step)(bool renamed))
{
    CLEANUP(freep)
    char *real = realpath(path, NULL); /* a link stays a link; NULL: nothing there yet */
    char folder[PATH_MAX], temporary[PATH_MAX];
    int r;

    path = real ? real : path;
    r = temporary_path(path, temporary, folder);
    if (r == 0)
        r = file_write_with(temporary, body, attrs);
    if (r < 0)
        return r;
    if (step)
        step(false);
    if (rename(temporary, path) < 0) {
        r = -errno;
        (void)unlink(temporary);
        return r;
    }
    if (step)
        step(true);
    return ft_dir_sync(folder);
}

int ft_file_remove(const char *path)
{
    char folder[PATH_MAX], temporary[PATH_MAX];
    int r = temporary_path(path, temporary, folder);

    if (r < 0)
        return r;
    (void)unlink(temporary); /* of an attempt that was killed */
    if (unlink(path) < 0)
        return errno == ENOENT ? 0 : -errno;
    return ft_dir_sync(folder);
}

int ft_dir_sync(const char *path)
{
    CLEANUP(closep) int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0)
        return -errno;
    return fsync(fd) < 0 ? -errno : 0;
}

int ft_dir_make(const char *path)
{
    char part[PATH_MAX];
    int r = ft_path_format(part, sizeof(part), "%s", path);

    if (r < 0)
        return r;
    for (char *p = part + 1;; p++) {
        char end = *p;

        if (end != '/' && end != '\0')
            continue;
        *p = '\0';
        if (mkdir(part, 0750) < 0 && errno != EEXIST)
            return -errno;
        *p = end;
        if (end == '\0')
            break;
    }
    struct stat st;
    if (stat(path, &st) < 0)
        return -errno;
    return S_ISDIR(st.st_mode) ? 0 : -ENOTDIR;
}

int ft_dir_remove(const char *path)
{
    CLEANUP(closedirp) DIR *dir = opendir(path);
    struct dirent *e;

    if (!dir)
        return errno == ENOENT ? 0 : -errno;
    while ((e = readdir(dir))) {
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
            continue;
        if (unlinkat(dirfd(dir), e->d_name, 0) < 0 && errno != ENOENT)
            return -errno;
    }
    return rmdir(path) < 0 ? -errno : 0;
}
