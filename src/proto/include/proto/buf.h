/* A byte buffer that grows up to a maximum it was born with.
 *
 *     CLEANUP(ft_buf_fini) struct ft_buf b = FT_BUF_INIT(64 * 1024);
 *     ft_buf_add_str(&b, "hello ");
 *     ft_buf_printf(&b, "%u", 42);
 *     r = ft_buf_error(&b);                    // once, for all of the above
 *
 * The first error sticks: every later add returns it and changes nothing, so a writer may chain
 * adds and ask at the end. Nothing is ever written in part. All zero is an empty buffer whose
 * maximum is 0.
 */
#pragma once

#include <stdarg.h>

#include <runnel/slice.h>

struct ft_buf {
    uint8_t *data;
    size_t   len;
    size_t   cap;
    size_t   max; /* len never passes it */
    int      err; /* the first -E2BIG (over max) or -ENOMEM */
};

#define FT_BUF_INIT(maximum) {.max = (maximum)}

/* Frees what it holds; the maximum and usability remain. Fine for CLEANUP(). */
void ft_buf_fini(struct ft_buf *b);

/* Forget contents and error, keep the memory. */
void ft_buf_clear(struct ft_buf *b);

/* Room for `n` more bytes at data + len. The caller writes there and adds to len.
 * Returns: 0, -E2BIG, -ENOMEM. */
int ft_buf_reserve(struct ft_buf *b, size_t n);

/* Append. Returns: 0 or the sticky error. */
int ft_buf_add(struct ft_buf *b, const void *data, size_t n);
int ft_buf_add_slice(struct ft_buf *b, struct rn_slice s);
int ft_buf_add_str(struct ft_buf *b, const char *s);
int ft_buf_add_byte(struct ft_buf *b, uint8_t byte);
int ft_buf_add_be32(struct ft_buf *b, uint32_t v);
int ft_buf_add_be64(struct ft_buf *b, uint64_t v);
int ft_buf_printf(struct ft_buf *b, const char *format, ...) __attribute__((format(printf, 2, 3)));
int ft_buf_vprintf(struct ft_buf *b, const char *format, va_list args)
    __attribute__((format(printf, 2, 0)));

/* Drop the first `n` bytes (all, when there are fewer). */
void ft_buf_consume(struct ft_buf *b, size_t n);

/* The malloc'ed bytes become the caller's; the buffer is empty after. NULL when nothing was ever
 * added. */
uint8_t *ft_buf_take(struct ft_buf *b, size_t *ret_len);

static inline int ft_buf_error(const struct ft_buf *b)
{
    return b->err;
}

static inline struct rn_slice ft_buf_slice(const struct ft_buf *b)
{
    return rn_slice(b->data, b->len);
}
