/* Buffers of connections: they exist only while they hold something. */
#include "internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SMALL_BYTES (4096u - sizeof(struct rnet__buf))
#define CACHED_MAX  64u

void rnet__buf_describe(struct rn_memtrace *trace, char *buf, size_t n)
{
    const struct rnet__loop *l =
        (const void *)((const char *)trace - offsetof(struct rnet__loop, trace));

    snprintf(buf, n, "%u exist, %u in use, %u spare, %zu KiB", l->n_bufs, l->n_bufs - l->n_cached,
             l->n_cached, l->buf_bytes >> 10);
}

static struct rnet__buf *buf_new(struct rnet__loop *l, size_t n)
{
    struct rnet__buf *b;

    if (n <= SMALL_BYTES && l->cache) {
        b = l->cache;
        memcpy(&l->cache, b->bytes, sizeof(l->cache));
        l->n_cached--;
    } else {
        const size_t cap = n <= SMALL_BYTES ? SMALL_BYTES : n;

        b = malloc(sizeof(*b) + cap);
        if (!b)
            return NULL;
        b->cap = (uint32_t)cap;
        l->n_bufs++;
        l->buf_bytes += cap;
        rn_memtrace_grown(&l->trace, 1);
    }
    b->head = b->len = 0;
    return b;
}

void rnet__buf_free(struct rnet__loop *l, struct rnet__buf **buf)
{
    struct rnet__buf *b = *buf;

    *buf = NULL;
    if (!b)
        return;
    if (b->cap == SMALL_BYTES && l->n_cached < CACHED_MAX && !rn_memtrace_trims()) {
        memcpy(b->bytes, &l->cache, sizeof(l->cache));
        l->cache = b;
        l->n_cached++;
    } else {
        l->n_bufs--;
        l->buf_bytes -= b->cap;
        rn_memtrace_trimmed(&l->trace, 1);
        free(b);
    }
}

/* Room for n more bytes: move to the front, or into twice the size. */
static int buf_reserve(struct rnet__loop *l, struct rnet__buf **buf, size_t n)
{
    struct rnet__buf *b = *buf, *wider;
    const size_t live = rnet__buf_len(b);
    size_t cap = live + n;

    if (cap > UINT32_MAX / 4)
        return -ENOMEM;
    if (b && b->cap - b->len >= n)
        return 0;
    if (b && cap <= b->cap / 2) { /* so a byte is moved at most once for each byte consumed */
        memmove(b->bytes, b->bytes + b->head, live);
        b->head = 0;
        b->len = (uint32_t)live;
        return 0;
    }
    if (b && cap < 2 * (size_t)b->cap)
        cap = 2 * (size_t)b->cap;
    wider = buf_new(l, cap);
    if (!wider)
        return -ENOMEM;
    if (live)
        memcpy(wider->bytes, b->bytes + b->head, live);
    wider->len = (uint32_t)live;
    rnet__buf_free(l, buf);
    *buf = wider;
    return 0;
}

int rnet__buf_append(struct rnet__loop *l, struct rnet__buf **buf, const void *data, size_t n)
{
    int r;

    if (n == 0)
        return 0;
    r = buf_reserve(l, buf, n);
    if (r < 0)
        return r;
    memcpy((*buf)->bytes + (*buf)->len, data, n);
    (*buf)->len += (uint32_t)n;
    return 0;
}

void rnet__buf_consume(struct rnet__loop *l, struct rnet__buf **buf, size_t n)
{
    struct rnet__buf *b = *buf;

    if (!b)
        return;
    b->head += (uint32_t)n;
    if (b->head == b->len)
        rnet__buf_free(l, buf);
}
