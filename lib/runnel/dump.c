/* Dumps as text: tasks in the format of Go's goroutine?debug=2, channels and descriptors as tables.
 *
 *      goroutine 8 [chan send, 61 minutes, age=3663s, chan=3, at=leak.c:16, name=sender]:
 *      rn_tx_send_at(...)
 *              /src/lib/runnel/chan.c:427 +0x4a
 *      sender(...)
 *              /src/leak.c:16 +0x25
 *      created by main_task
 *              /src/leak.c:23 +0x0
 *
 * Readers of that format take what they don't know between the commas of the brackets. Everything
 * is written through one buffer to a sink, piece by piece, so a dump of any length needs no memory.
 * The text of a stack is kept for the next task with the same one: of 130,000 tasks that wait at
 * one place only the first costs look-ups.
 *
 * The frames between the public call that waits and the scheduler are left out, as Go leaves out
 * its own.
 */
#include "leak_internal.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <base/cleanup.h>

#define CACHE_SIZE 64 /* stacks */
#define TEXT_MAX (32u << 10)

struct stack_text {
    unsigned n;
    const struct rn_site *born;
    uintptr_t pcs[RN_TRACE_MAX];
    char *text;
    size_t len;
};

struct dump {
    const struct rn_sink *sink;
    int error;
    size_t len;
    uint64_t seen, limit;
    struct stack_text *cache;
    char buf[TEXT_MAX];
};

/* ---- the buffer ------------------------------------------------------------------------------ */

static void flush(struct dump *d)
{
    if (d->error == 0 && d->len > 0) {
        int r = d->sink->write(d->sink->arg, d->buf, d->len);
        d->error = r < 0 ? r : 0;
    }
    d->len = 0;
}

static void put(struct dump *d, const char *text, size_t n)
{
    while (n > 0 && d->error == 0) {
        size_t part = n < TEXT_MAX - d->len ? n : TEXT_MAX - d->len;
        memcpy(d->buf + d->len, text, part);
        d->len += part;
        text += part;
        n -= part;
        if (d->len == TEXT_MAX)
            flush(d);
    }
}

static void put_str(struct dump *d, const char *text)
{
    put(d, text, strlen(text));
}

static void put_num(struct dump *d, uint64_t n)
{
    char digits[24];
    size_t i = sizeof(digits);

    do
        digits[--i] = (char)('0' + n % 10);
    while (n /= 10);
    put(d, digits + i, sizeof(digits) - i);
}

static __attribute__((format(printf, 2, 3))) void putf(struct dump *d, const char *format, ...)
{
    char text[512];
    va_list args;

    va_start(args, format);
    int n = vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    put(d, text, n < (int)sizeof(text) ? (size_t)n : sizeof(text) - 1);
}

static int dump_new(const struct rn_sink *sink, uint64_t limit, struct dump **ret_dump)
{
    struct dump *d = calloc(1, sizeof(*d));
    if (!d)
        return -ENOMEM;
    d->sink = sink;
    d->limit = limit ? limit : UINT64_MAX;
    *ret_dump = d;
    return 0;
}

static void dump_free(struct dump *d)
{
    for (size_t i = 0; d->cache && i < CACHE_SIZE; i++)
        free(d->cache[i].text);
    free(d->cache);
    free(d);
}
DEFINE_TRIVIAL_CLEANUP(struct dump *, dump_free);

static int dump_end(struct dump *d, const char *what)
{
    if (d->seen > d->limit)
        putf(d, "... %llu %s, the first %llu shown\n", (unsigned long long)d->seen, what,
             (unsigned long long)d->limit);
    flush(d);
    return d->error;
}

/* ---- stacks ---------------------------------------------------------------------------------- */

static bool is_public(const char *name)
{
    return strncmp(name, "rn_", 3) == 0 && name[3] != '_';
}

unsigned rn_trace_first(const struct rn_trace *trace)
{
    struct rn_symbol s;

    if (trace->task.state == RN_TASK_RUNNING)
        return 0;
    for (unsigned i = 0; i < trace->n && i < 10; i++) {
        rn_symbol_at(rn_trace_pc(trace, i), &s);
        if (s.name && is_public(s.name))
            return i;
    }
    return 0;
}

static void frame_text(FILE *out, uintptr_t pc)
{
    struct rn_symbol s;

    rn_symbol_at(pc, &s);
    if (s.name)
        fprintf(out, "%s(...)\n\t%s:%d +0x%lx\n", s.name, s.file ? s.file : "?", s.line,
                (unsigned long)(pc - s.start + 1));
    else
        fprintf(out, "0x%lx(...)\n\t?:0 +0x0\n", (unsigned long)pc);
}

static void stack_write(FILE *out, const struct rn_trace *t)
{
    for (unsigned i = rn_trace_first(t); i < t->n; i++)
        frame_text(out, rn_trace_pc(t, i));
    if (t->n == 0)
        fputs("\tgoroutine running on other thread; stack unavailable\n", out);
    else if (t->n == RN_TRACE_MAX)
        fputs("...additional frames elided...\n", out);
    if (t->task.born)
        fprintf(out, "created by %s\n\t%s:%d +0x0\n", t->task.born->func, t->task.born->file,
                t->task.born->line);
    fputc('\n', out);
}

static struct stack_text *cache_at(struct dump *d, const struct rn_trace *t)
{
    uint64_t h = (uintptr_t)t->task.born;

    if (!d->cache)
        d->cache = calloc(CACHE_SIZE, sizeof(*d->cache));
    for (unsigned i = 0; i < t->n; i++)
        h = (h ^ t->pcs[i]) * UINT64_C(0x9e3779b97f4a7c15);
    return d->cache ? &d->cache[h >> 58] : NULL;
}

static void put_stack(struct dump *d, const struct rn_trace *t)
{
    struct stack_text *c = cache_at(d, t);
    FILE *out;

    if (!c) {
        d->error = -ENOMEM;
        return;
    }
    if (!c->text || c->n != t->n || c->born != t->task.born ||
        memcmp(c->pcs, t->pcs, t->n * sizeof(t->pcs[0])) != 0) {
        free(c->text);
        *c = (struct stack_text){.n = t->n, .born = t->task.born};
        memcpy(c->pcs, t->pcs, t->n * sizeof(t->pcs[0]));
        out = open_memstream(&c->text, &c->len);
        if (!out) {
            d->error = -ENOMEM;
            return;
        }
        stack_write(out, t);
        fclose(out);
    }
    put(d, c->text, c->len);
}

/* ---- tasks ----------------------------------------------------------------------------------- */

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static const char *state_name(const struct rn_task_info *t)
{
    switch (t->state) {
    case RN_TASK_RUNNING:
        return "running";
    case RN_TASK_RUNNABLE:
        return "runnable";
    default:
        return rn_wait_name(t->wait);
    }
}

static void put_field(struct dump *d, const char *name, uint64_t n)
{
    put_str(d, name);
    put_num(d, n);
}

static void put_head(struct dump *d, const struct rn_task_info *t)
{
    put_field(d, "goroutine ", t->id);
    put_str(d, " [");
    put_str(d, state_name(t));
    if (t->dead)
        put_str(d, " (leaked)");
    if (t->wait_ns >= 60 * RN_S) {
        put_field(d, ", ", (uint64_t)(t->wait_ns / (60 * RN_S)));
        put_str(d, " minutes");
    }
    if (t->suspect)
        put_str(d, ", suspect");
    if (t->state == RN_TASK_PARKED) {
        put_field(d, ", age=", (uint64_t)(t->wait_ns / RN_MS));
        put_str(d, "ms");
    }
    if (t->chan)
        put_field(d, ", chan=", t->chan);
    if (t->fd >= 0)
        put_field(d, ", fd=", (uint64_t)t->fd);
    if (t->wait_site) {
        put_str(d, ", at=");
        put_str(d, base_name(t->wait_site->file));
        put_field(d, ":", (uint64_t)t->wait_site->line);
    }
    put_str(d, ", name=");
    put_str(d, t->name ? t->name : "?");
    put_str(d, "]:\n");
}

static bool put_task(void *arg, const struct rn_trace *trace)
{
    struct dump *d = arg;

    d->seen++;
    put_head(d, &trace->task);
    put_stack(d, trace);
    return d->error == 0 && d->seen < d->limit;
}

static bool count_task(void *arg, const struct rn_task_info *info)
{
    struct dump *d = arg;

    (void)info;
    d->seen++;
    return true;
}

int rn_dump_tasks(const struct rn_runtime *rt, uint64_t limit, const struct rn_sink *sink)
{
    CLEANUP(dump_freep) struct dump *d = NULL;
    int r = dump_new(sink, limit, &d);

    if (r < 0)
        return r;
    r = rn_traces_each(rt, put_task, d);
    if (r < 0)
        return r;
    if (d->seen == d->limit) { /* how many there are takes no stacks */
        d->seen = 0;
        rn_tasks_each(rt, count_task, d);
    }
    return dump_end(d, "tasks");
}

/* ---- channels and descriptors ---------------------------------------------------------------- */

static void put_names(struct dump *d, const char *what,
                      const char names[RN_CHAN_NAMES][RN_OWNER_TEXT], uint32_t n)
{
    unsigned i = 0;

    if (!names[0][0])
        return;
    putf(d, "    %s ", what);
    for (; i < RN_CHAN_NAMES && names[i][0]; i++)
        putf(d, "%s%s", i ? ", " : "", names[i]);
    putf(d, n > i ? ", ... (%u in all)\n" : "\n", n);
}

static bool put_chan(void *arg, const struct rn_chan_info *c)
{
    struct dump *d = arg;

    if (++d->seen > d->limit)
        return true;
    putf(d, "chan %u: ", c->id);
    if (c->len == UINT64_MAX)
        put_str(d, "len ?");
    else
        putf(d, "len %llu", (unsigned long long)c->len);
    putf(d, " cap %llu, senders %u, receivers %u, waiting to send %u, to receive %u",
         (unsigned long long)c->cap, c->n_tx, c->n_rx, c->waiting_tx, c->waiting_rx);
    if (c->waited > 0)
        putf(d, ", for up to %.1f s", (double)c->waited / RN_S);
    putf(d, ", opened at %s:%d (%s)\n", c->opened ? c->opened->file : "?",
         c->opened ? c->opened->line : 0, c->opened ? c->opened->func : "?");
    put_names(d, "senders held by", c->holders_tx, c->n_tx);
    put_names(d, "receivers held by", c->holders_rx, c->n_rx);
    put_names(d, "waiting:", c->waiters, c->waiting_tx + c->waiting_rx);
    return d->error == 0;
}

int rn_dump_chans(const struct rn_runtime *rt, uint64_t limit, const struct rn_sink *sink)
{
    CLEANUP(dump_freep) struct dump *d = NULL;
    int r = dump_new(sink, limit, &d);

    if (r == 0)
        r = rn_chans_each(rt, put_chan, d);
    return r < 0 ? r : dump_end(d, "channels");
}

const char *rn_fd_kind_name(int kind)
{
    static const char *const names[] = {"stream", "listener", "pipe", "dgram", "other"};

    return (unsigned)kind < sizeof(names) / sizeof(names[0]) ? names[kind] : "?";
}

static bool put_fd(void *arg, const struct rn_fd_info *f)
{
    struct dump *d = arg;

    if (++d->seen > d->limit)
        return true;
    putf(d, "fd %d: %s, owner %s, age %.1f s%s%s%s, %s:%d (%s)\n", f->number,
         rn_fd_kind_name(f->kind), f->owner, (double)f->age / RN_S, f->watched ? ", watched" : "",
         f->reader ? ", a reader waits" : "", f->writer ? ", a writer waits" : "",
         f->site ? f->site->file : "?", f->site ? f->site->line : 0, f->site ? f->site->func : "?");
    return d->error == 0;
}

int rn_dump_fds(const struct rn_runtime *rt, uint64_t limit, const struct rn_sink *sink)
{
    CLEANUP(dump_freep) struct dump *d = NULL;
    int r = dump_new(sink, limit, &d);

    if (r < 0)
        return r;
    rn_fds_each(rt, put_fd, d);
    return dump_end(d, "descriptors");
}
