#include "follow.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define CHUNK 65536

void follower_close(struct follower *f)
{
    if (f->fd >= 0)
        (void)close(f->fd);
    free(f->buf);
    *f = (struct follower){.fd = -1};
}

static void file_open(struct follower *f, const char *path)
{
    struct stat st;

    f->fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (f->fd < 0)
        return;
    if (fstat(f->fd, &st) < 0) {
        (void)close(f->fd);
        f->fd = -1;
        return;
    }
    f->dev = st.st_dev;
    f->ino = st.st_ino;
    f->at = 0;
    f->len = 0;
}

static int room_make(struct follower *f)
{
    char *grown;

    if (f->cap - f->len > CHUNK)
        return 0;
    grown = realloc(f->buf, f->len + 2 * CHUNK);
    if (!grown)
        return -1;
    f->buf = grown;
    f->cap = f->len + 2 * CHUNK;
    return 0;
}

/* Hand out the complete lines of the buffer. */
static int lines_take(struct follower *f, void (*line)(void *, const char *), void *arg)
{
    char *start = f->buf, *end = f->buf + f->len, *newline;
    int n = 0;

    while (start < end && (newline = memchr(start, '\n', (size_t)(end - start)))) {
        *newline = '\0';
        line(arg, start);
        start = newline + 1;
        n++;
    }
    f->len = (size_t)(end - start);
    if (f->len >= LINE_BYTES_MAX) {
        *end = '\0'; /* there is always room for it, see room_make() */
        line(arg, start);
        f->len = 0;
        return n + 1;
    }
    if (f->len > 0)
        memmove(f->buf, start, f->len);
    return n;
}

static int file_read(struct follower *f, void (*line)(void *, const char *), void *arg)
{
    int total = 0;

    for (;;) {
        ssize_t n;

        if (room_make(f) < 0)
            return -1;
        n = read(f->fd, f->buf + f->len, CHUNK);
        if (n <= 0)
            return total;
        f->at += n;
        f->len += (size_t)n;
        total += lines_take(f, line, arg);
    }
}

/* The file got shorter: its old text is gone. */
static void truncation_check(struct follower *f)
{
    struct stat st;

    if (fstat(f->fd, &st) < 0 || st.st_size >= f->at)
        return;
    f->at = lseek(f->fd, 0, SEEK_SET);
    f->len = 0;
}

static bool is_rotated(const struct follower *f, const char *path)
{
    struct stat st;

    return stat(path, &st) == 0 && (st.st_dev != f->dev || st.st_ino != f->ino);
}

int follower_poll(struct follower *f, const char *path, void (*line)(void *, const char *),
                  void *arg)
{
    bool rotated;
    int total = 0, n;

    do {
        rotated = f->fd >= 0 && is_rotated(f, path);
        if (f->fd < 0)
            file_open(f, path);
        if (f->fd < 0)
            return total;
        truncation_check(f);
        n = file_read(f, line, arg);
        if (n < 0)
            return -1;
        total += n;
        if (rotated)
            follower_close(f); /* read to its end; now the new one */
    } while (rotated);
    return total;
}
