/* JSON lines: appended to a file, or written to stdout.
 *
 * A regular file: a body is written whole, or the file is truncated back to where it ended, so a
 * reader never sees a torn line for longer than a write takes; what a crash left torn is cut off at
 * the next open. The file is locked, since truncating would hurt a second writer. It is opened
 * again when it was moved away (rotated).
 *
 * Anything else (a pipe, a terminal) cannot be truncated: what has been begun of a line is `rest`,
 * and is written before all else. Such a descriptor may be shared with others, so it stays in
 * blocking mode: poll says that PIPE_BUF bytes fit, and no more are written at once.
 */
#include "exporter/types.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <base/cleanup.h>

#include <runnel/task.h>

#include "exporter/json.h"
#include "exporter/path.h"

#define TAIL_MAX (64 * 1024) /* a torn line is looked for in so many bytes at the end */
#define LINE_BEGIN "{\"agent_id\":"

struct self {
    struct ft_file_settings settings;
    int fd; /* meaningful while `opened` */
    bool opened, is_stdout, is_regular;
    off_t torn_at;      /* a regular file has to be truncated to this first; -1: it is sound */
    struct ft_buf rest; /* of the line that was begun */
};

const struct ft_option ft_file_options[] = {
    FT_EXPORTER_OPTIONS(ft_file_settings, "file", "false"),
    {"path", FT_STRING, offsetof(struct ft_file_settings, path), .def = "samples.jsonl",
     .help = "the file, relative to the data directory; `-` is stdout"},
    {0},
};

static const char *error_remedy(int error)
{
    switch (error) {
    case ENOSPC:
    case EDQUOT:
        return "free space on its file system";
    case EFBIG:
        return "raise the limit of its size, or move it away";
    case EROFS:
    case EACCES:
    case EPERM:
        return "make the file and its folder writable";
    case ENOENT:
        return "create its folder";
    case EWOULDBLOCK:
        return "another process has locked it: give each server a file of its own";
    case EPIPE:
    case ENXIO:
        return "nobody reads it: start its reader";
    default:
        return "see that it can be written";
    }
}

static int fail(const struct self *self, int error, struct ft_text_error *reterr)
{
    ft_text_error_set(reterr, "%s: %s: %s", self->is_stdout ? "stdout" : self->settings.path,
                      strerrordesc_np(error), error_remedy(error));
    return -error;
}

/* ---- open ----------------------------------------------------------------------------------- */

/* Where a torn line at the end of the file begins; `size` when there is none. */
static off_t torn_begin(int fd, off_t size)
{
    CLEANUP(freep) char *tail = malloc(TAIL_MAX);
    const off_t from = size > TAIL_MAX ? size - TAIL_MAX : 0;
    ssize_t n = tail ? pread(fd, tail, (size_t)(size - from), from) : 0;
    const char *line;

    if (n <= 0 || tail[n - 1] == '\n')
        return size;
    line = memrchr(tail, '\n', (size_t)n);
    if (!line && from > 0)
        return size;
    return line ? from + (line + 1 - tail) : 0;
}

static bool line_is_ours(int fd, off_t at)
{
    char begin[sizeof(LINE_BEGIN)] = "";
    /* of a line that was torn within its first bytes, those have to agree */
    ssize_t n = pread(fd, begin, sizeof(begin) - 1, at);

    return n > 0 && memcmp(begin, LINE_BEGIN, (size_t)n) == 0;
}

/* A crash may have left the beginning of a line. Of ours it goes (the sample was not told as
 * stored); anything else gets its newline. */
static int tail_mend(int fd)
{
    struct stat st;
    off_t at;

    if (fstat(fd, &st) < 0)
        return -errno;
    at = torn_begin(fd, st.st_size);
    if (at == st.st_size)
        return 0;
    if (line_is_ours(fd, at))
        return ftruncate(fd, at) < 0 ? -errno : 0;
    return write(fd, "\n", 1) < 0 ? -errno : 0;
}

static int regular_take(int fd)
{
    if (flock(fd, LOCK_EX | LOCK_NB) < 0)
        return -errno;
    return tail_mend(fd);
}

static bool is_fifo(const char *path)
{
    struct stat st;

    return stat(path, &st) == 0 && S_ISFIFO(st.st_mode);
}

static int open_fd(struct self *self, const char *path)
{
    /* O_NONBLOCK: a FIFO without a reader is an error, and no wait for one; opened for reading too
     * it would have one, us */
    const int flags = O_APPEND | O_CLOEXEC | O_NOCTTY | O_NONBLOCK;
    CLEANUP(closep)
    int fd =
        is_fifo(path) ? open(path, O_WRONLY | flags) : open(path, O_RDWR | O_CREAT | flags, 0640);
    struct stat st;
    int r;

    if (fd < 0 || fstat(fd, &st) < 0)
        return -errno;
    r = S_ISREG(st.st_mode) ? regular_take(fd) : 0;
    if (r < 0)
        return r;
    self->is_regular = S_ISREG(st.st_mode);
    self->torn_at = -1;
    self->fd = TAKE_FD(fd);
    self->opened = true;
    return 0;
}

static int open_stdout(struct self *self)
{
    struct stat st;

    if (fstat(STDOUT_FILENO, &st) < 0)
        return -errno;
    self->fd = STDOUT_FILENO;
    self->is_regular = false; /* redirected to a file it is shared all the same: never truncated */
    self->opened = true;
    return 0;
}

static int file_open(void *arg, struct ft_text_error *reterr)
{
    struct self *self = arg;
    char path[FT_EXPORTER_PATH_SIZE];
    int r;

    self->is_stdout = strcmp(self->settings.path, "-") == 0;
    self->rest.max = SIZE_MAX;
    if (self->is_stdout) {
        r = open_stdout(self);
    } else {
        r = ft_exporter_path(&self->settings.head, self->settings.path, path);
        if (r == 0)
            r = open_fd(self, path);
    }
    return r < 0 ? fail(self, -r, reterr) : 0;
}

static void file_close(void *arg)
{
    struct self *self = arg;

    if (self->opened && !self->is_stdout)
        (void)close(self->fd);
    self->opened = false;
    ft_buf_fini(&self->rest);
}

/* Somebody moved or removed the file: the name is somebody else now. */
static bool file_moved(const struct self *self)
{
    char path[FT_EXPORTER_PATH_SIZE];
    struct stat ours, theirs;

    if (self->is_stdout || ft_exporter_path(&self->settings.head, self->settings.path, path) < 0 ||
        fstat(self->fd, &ours) < 0)
        return false;
    return stat(path, &theirs) < 0 || ours.st_ino != theirs.st_ino || ours.st_dev != theirs.st_dev;
}

/* ---- send ----------------------------------------------------------------------------------- */

static int file_encode(const void *self, const struct ft_rows *in, struct ft_buf *out)
{
    (void)self;
    for (size_t i = 0; i < in->n; i++) {
        (void)ft_json_add_sample(out, &in->items[i]);
        (void)ft_buf_add_byte(out, '\n');
    }
    return ft_buf_error(out);
}

/* Write all of it, or as much as goes. Returns 0 or -Exxx; *ret_written in both cases. */
static int write_regular(int fd, struct rn_slice body, size_t *ret_written)
{
    *ret_written = 0;
    while (*ret_written < body.len) {
        ssize_t n = write(fd, body.data + *ret_written, body.len - *ret_written);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? -errno : -EIO;
        *ret_written += (size_t)n;
    }
    return 0;
}

static int truncate_back(struct self *self)
{
    if (self->torn_at < 0)
        return 0;
    if (ftruncate(self->fd, self->torn_at) < 0)
        return -errno;
    self->torn_at = -1;
    return 0;
}

static int send_regular(struct self *self, struct rn_slice body)
{
    struct stat st;
    size_t written;
    int r = truncate_back(self);

    if (r < 0)
        return r;
    if (fstat(self->fd, &st) < 0)
        return -errno;
    r = write_regular(self->fd, body, &written);
    if (r == 0)
        return 0;
    if (written > 0) {
        self->torn_at = st.st_size;
        (void)truncate_back(self); /* if that fails too it comes first the next time */
    }
    return r;
}

static int wait_writable(int fd, rn_time deadline)
{
    for (;;) {
        rn_time left = deadline - rn_now();
        struct pollfd p = {.fd = fd, .events = POLLOUT};
        int n = poll(
            &p, 1,
            left <= 0 ? 0 : (int)(left / RN_MS < INT_MAX ? (left + RN_MS - 1) / RN_MS : INT_MAX));

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        return n == 0 ? -ETIMEDOUT : 0;
    }
}

static int write_stream(int fd, struct rn_slice body, rn_time deadline, size_t *ret_written)
{
    *ret_written = 0;
    while (*ret_written < body.len) {
        size_t left = body.len - *ret_written;
        int r = wait_writable(fd, deadline);
        ssize_t n =
            r < 0 ? 0 : write(fd, body.data + *ret_written, left < PIPE_BUF ? left : PIPE_BUF);

        if (r < 0)
            return r;
        if (n < 0 && (errno == EINTR || errno == EAGAIN))
            continue;
        if (n < 0)
            return -errno;
        *ret_written += (size_t)n;
    }
    return 0;
}

/* The row whose line was cut counts as stored: its rest is ours to write. */
static int keep_rest(struct self *self, struct rn_slice body, size_t written)
{
    const uint8_t *end;

    if (written == 0 || body.data[written - 1] == '\n')
        return 0;
    end = memchr(body.data + written, '\n', body.len - written);
    return ft_buf_add(&self->rest, body.data + written, (size_t)(end + 1 - (body.data + written)));
}

static int send_rest(struct self *self, rn_time deadline)
{
    size_t written;
    int r = write_stream(self->fd, ft_buf_slice(&self->rest), deadline, &written);

    ft_buf_consume(&self->rest, written);
    return r;
}

static size_t lines_begun(struct rn_slice body, size_t written)
{
    size_t n = written > 0 && body.data[written - 1] != '\n';

    for (size_t i = 0; i < written; i++)
        n += body.data[i] == '\n';
    return n;
}

static int send_stream(struct self *self, struct rn_slice body, struct ft_answer *answer,
                       rn_time deadline)
{
    size_t written = 0, n;
    int r = send_rest(self, deadline);

    if (r == 0)
        r = write_stream(self->fd, body, deadline, &written);
    n = lines_begun(body, written);
    if (keep_rest(self, body, written) < 0 && r == 0)
        r = -ENOMEM;
    for (size_t i = 0; i < n; i++)
        ft_answer_one(answer, i, FT_VERDICT_OK, NULL);
    return r;
}

static int file_reopen(struct self *self, struct ft_text_error *reterr)
{
    if (self->opened && file_moved(self))
        file_close(self);
    return self->opened ? 0 : file_open(self, reterr);
}

static int file_send(void *arg, const struct ft_rows *in, struct rn_slice body,
                     struct ft_answer *answer, rn_time deadline)
{
    struct self *self = arg;
    struct ft_text_error text;
    int r = file_reopen(self, &text);

    (void)in;
    if (r < 0) {
        ft_answer_all(answer, FT_VERDICT_HOLD, "%s", text.text);
        return r;
    }
    r = self->is_regular ? send_regular(self, body) : send_stream(self, body, answer, deadline);
    if (r == 0) {
        ft_answer_all(answer, FT_VERDICT_OK, NULL);
    } else {
        (void)fail(self, -r, &text);
        ft_answer_rest(answer, r == -ETIMEDOUT || r == -ENOMEM ? FT_VERDICT_RETRY : FT_VERDICT_HOLD,
                       "%s", text.text);
    }
    return r;
}

const struct ft_exporter_type ft_exporter_file = {
    .name = "file",
    .summary = "JSON lines in a file or on stdout",
    .size = sizeof(struct self),
    .settings_size = sizeof(struct ft_file_settings),
    .options = ft_file_options,
    .pace = {.rows_max = 1000,
             .bytes_max = (size_t)5 << 20,
             .age_max = 200 * RN_MS,
             .send_max = 30 * RN_S,
             .retry_max = 2 * RN_S},
    .open = file_open,
    .encode = file_encode,
    .send = file_send,
    .close = file_close,
};
