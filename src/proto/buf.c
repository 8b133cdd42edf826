/* Growth doubles, so that n bytes cost O(n) copies, but stops at the maximum; the first error
 * sticks. */
#include <proto/buf.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define BUF_FIRST 128

void ft_buf_fini(struct ft_buf *b)
{
    free(b->data);
    *b = (struct ft_buf){.max = b->max};
}

void ft_buf_clear(struct ft_buf *b)
{
    b->len = 0;
    b->err = 0;
}

static size_t grown(const struct ft_buf *b, size_t needed)
{
    size_t cap = b->cap < BUF_FIRST ? BUF_FIRST : b->cap;

    while (cap < needed)
        cap = cap > b->max / 2 ? b->max : cap * 2;
    return cap < b->max ? cap : b->max;
}

int ft_buf_reserve(struct ft_buf *b, size_t n)
{
    uint8_t *data;
    size_t   cap;

    if (b->err)
        return b->err;
    if (n > b->max - b->len)
        return b->err = -E2BIG;
    if (n <= b->cap - b->len)
        return 0;

    cap = grown(b, b->len + n);
    data = realloc(b->data, cap);
    if (!data)
        return b->err = -ENOMEM;
    b->data = data;
    b->cap = cap;
    return 0;
}

int ft_buf_add(struct ft_buf *b, const void *data, size_t n)
{
    int r = ft_buf_reserve(b, n);

    if (r < 0 || n == 0)
        return r;
    memcpy(b->data + b->len, data, n);
    b->len += n;
    return 0;
}

int ft_buf_add_slice(struct ft_buf *b, struct rn_slice s)
{
    return ft_buf_add(b, s.data, s.len);
}

int ft_buf_add_str(struct ft_buf *b, const char *s)
{
    return ft_buf_add(b, s, strlen(s));
}

int ft_buf_add_byte(struct ft_buf *b, uint8_t byte)
{
    return ft_buf_add(b, &byte, 1);
}

int ft_buf_add_be32(struct ft_buf *b, uint32_t v)
{
    uint8_t bytes[4] = {(uint8_t)(v >> 24), (uint8_t)(v >> 16), (uint8_t)(v >> 8), (uint8_t)v};

    return ft_buf_add(b, bytes, sizeof(bytes));
}

int ft_buf_add_be64(struct ft_buf *b, uint64_t v)
{
    uint8_t bytes[8];

    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (uint8_t)(v >> (56 - 8 * i));
    return ft_buf_add(b, bytes, sizeof(bytes));
}

int ft_buf_printf(struct ft_buf *b, const char *format, ...)
{
    va_list args;
    int     r;

    va_start(args, format);
    r = ft_buf_vprintf(b, format, args);
    va_end(args);
    return r;
}

/* vsnprintf() wants room for a NUL that the buffer has no use for, so long results are formatted
 * twice: once to learn their length, once into heap memory of exactly that size. */
int ft_buf_vprintf(struct ft_buf *b, const char *format, va_list args)
{
    char    local[512];
    va_list again;
    char   *text = local;
    int     n, r;

    if (b->err)
        return b->err;
    va_copy(again, args);
    n = vsnprintf(local, sizeof(local), format, args);
    if (n >= (int)sizeof(local)) {
        text = (size_t)n <= b->max - b->len ? malloc((size_t)n + 1) : NULL;
        if (text)
            (void)vsnprintf(text, (size_t)n + 1, format, again);
        else
            b->err = (size_t)n <= b->max - b->len ? -ENOMEM : -E2BIG;
    }
    va_end(again);
    if (n < 0)
        b->err = -EINVAL;
    r = b->err ? b->err : ft_buf_add(b, text, (size_t)n);
    if (text != local)
        free(text);
    return r;
}

void ft_buf_consume(struct ft_buf *b, size_t n)
{
    if (n >= b->len) {
        b->len = 0;
        return;
    }
    memmove(b->data, b->data + n, b->len - n);
    b->len -= n;
}

uint8_t *ft_buf_take(struct ft_buf *b, size_t *ret_len)
{
    uint8_t *data = b->data;

    *ret_len = b->len;
    *b = (struct ft_buf){.max = b->max};
    return data;
}
