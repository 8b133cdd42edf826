#include "output.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <base/cleanup.h>
#include <base/log.h>
#include <proto/utf8.h>
#include <runnel/fd.h>

#define LAST_LINES 3
#define AFTERLIFE_NS                                                                               \
    (10 * RN_S) /* a cancelled drain goes on, so that a process that ends in order isn't held up;  \
                   see ft_output_cut() */
#define CHUNK 4096 /* PIPE_BUF: what a writable pipe takes without waiting */

/* ---- last words ---- */

void ft_words_add(struct ft_words *w, const char *bytes, size_t n)
{
    if (n > FT_WORDS_BYTES) {
        w->total += n - FT_WORDS_BYTES;
        bytes += n - FT_WORDS_BYTES;
        n = FT_WORDS_BYTES;
    }
    for (size_t i = 0; i < n; i++)
        w->ring[(w->total + i) % FT_WORDS_BYTES] = bytes[i];
    w->total += n;
}

/* Unroll the ring. Returns the length. */
static size_t words_flat(const struct ft_words *w, char out[FT_WORDS_BYTES])
{
    size_t n = w->total < FT_WORDS_BYTES ? (size_t)w->total : FT_WORDS_BYTES;
    uint64_t from = w->total - n;

    for (size_t i = 0; i < n; i++)
        out[i] = w->ring[(from + i) % FT_WORDS_BYTES];
    return n;
}

size_t ft_words_last(const struct ft_words *w, char *out, size_t size)
{
    char flat[FT_WORDS_BYTES], joined[FT_WORDS_BYTES * 2];
    size_t n = words_flat(w, flat), begin, len = 0;
    int lines = 0;

    while (n > 0 && (flat[n - 1] == '\n' || flat[n - 1] == '\r' || flat[n - 1] == ' '))
        n--;
    for (begin = n; begin > 0; begin--)
        if (flat[begin - 1] == '\n' && ++lines == LAST_LINES)
            break;
    for (size_t i = begin; i < n; i++) {
        if (flat[i] != '\n') {
            joined[len++] = (unsigned char)flat[i] < 0x20 ? ' ' : flat[i];
        } else if (len > 0 && len + 3 < sizeof(joined)) {
            memcpy(joined + len, " | ", 3);
            len += 3;
        }
    }
    return ft_text_clean(rn_slice(joined, len), out, size);
}

size_t ft_output_last_words(const struct ft_output *o, char *out, size_t size)
{
    size_t n = ft_words_last(&o->drains[1].words, out, size);

    return n ? n : ft_words_last(&o->drains[0].words, out, size);
}

/* ---- passing on ---- */

/* To our own stdout or stderr, without ever waiting for whoever reads it. */
static size_t pass_inherit(int to, const char *bytes, size_t n)
{
    size_t done = 0;

    while (done < n) {
        struct pollfd p = {.fd = to, .events = POLLOUT};
        size_t part = n - done < CHUNK ? n - done : CHUNK;
        ssize_t w;

        if (poll(&p, 1, 0) != 1 || !(p.revents & POLLOUT))
            break;
        w = write(to, bytes + done, part);
        if (w <= 0)
            break;
        done += (size_t)w;
    }
    return done;
}

static void pass_on(struct ft_drain *d, const char *bytes, size_t n)
{
    struct ft_output *o = d->output;
    size_t done = n;

    if (o->kind == FT_STDOUT_INHERIT) {
        done = pass_inherit(d->is_stdout ? STDOUT_FILENO : STDERR_FILENO, bytes, n);
    } else if (o->file >= 0) {
        ssize_t w = write(o->file, bytes, n);
        done = w < 0 ? 0 : (size_t)w;
    }
    if (done < n && o->dropped == 0)
        log_warn("output of a process is dropped: where it should go takes no more",
                 LOG_STR("process", o->name));
    o->dropped += n - done;
}

static void drain_take(struct ft_drain *d, const char *bytes, size_t n)
{
    if (d->is_stdout && d->output->counts)
        for (const char *p = bytes, *end = bytes + n; (p = memchr(p, '\n', (size_t)(end - p))); p++)
            d->output->lines++;
    ft_words_add(&d->words, bytes, n);
    pass_on(d, bytes, n);
}

static void drain_read(struct ft_drain *d)
{
    char buf[8192];
    bool shielded = false;
    ssize_t n;

    for (;;) {
        n = FT_OUTSIDE(d->output->bell->monitor, rn_fd_read(d->fd, buf, sizeof(buf), RN_FOREVER));
        if (n == -ECANCELED && !shielded) {
            shielded = rn_shield_begin(rn_after(AFTERLIFE_NS)) == 0;
            if (shielded)
                continue;
        }
        if (n <= 0)
            break;
        drain_take(d, buf, (size_t)n);
    }
    if (shielded)
        rn_shield_end();
}

static int drain_task(void *arg)
{
    struct ft_drain *d = arg;
    struct ft_monitor *monitor = d->output->bell->monitor;
    int r;

    ft_enter(monitor);
    r = rn_fd_adopt(d->pipe, RN_FD_PIPE, &d->fd);
    if (r < 0)
        (void)close(d->pipe);
    d->pipe = -1;
    if (r == 0)
        drain_read(d);
    rn_fd_closep(&d->fd);
    d->output->open--;
    ft_bell_ring(d->output->bell);
    ft_leave(monitor);
    return 0;
}

/* ---- a life of a process ---- */

void ft_output_reset(struct ft_output *o, const struct ft_process_settings *settings)
{
    *o = (struct ft_output){
        .kind = settings->stdout_to.kind, .counts = settings->lines == FT_LINES_STDOUT, .file = -1};
    (void)snprintf(o->name, sizeof(o->name), "%s", settings->name);
    for (int i = 0; i < 2; i++) {
        o->drains[i].output = o;
        o->drains[i].is_stdout = i == 0;
        o->drains[i].pipe = -1;
    }
    if (settings->stdout_to.kind != FT_STDOUT_FILE)
        return;
    o->file = open(settings->stdout_to.path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NONBLOCK,
                   0640);
    if (o->file < 0)
        log_warn("output of a process is dropped: its file cannot be opened",
                 LOG_STR("process", settings->name), LOG_STR("path", settings->stdout_to.path),
                 LOG_ERR(-errno));
}

int ft_output_start(struct ft_output *o, struct rn_scope scope, int stdout_pipe, int stderr_pipe,
                    const struct ft_bell *bell)
{
    int r = 0;

    o->bell = bell;
    o->drains[0].pipe = stdout_pipe;
    o->drains[1].pipe = stderr_pipe;
    for (int i = 0; i < 2; i++) {
        if (r == 0)
            r = rn_go(scope, drain_task, &o->drains[i], NULL, 0);
        if (r < 0)
            closep(&o->drains[i].pipe);
        else
            o->open++;
    }
    return r;
}

void ft_output_cut(struct ft_output *o)
{
    for (int i = 0; i < 2; i++)
        rn_fd_closep(&o->drains[i].fd);
}

void ft_output_close(struct ft_output *o)
{
    closep(&o->file);
    o->file = -1;
}
