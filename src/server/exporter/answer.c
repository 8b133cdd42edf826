/* Verdicts and their reasons. A reason that is the same as the last one shares its text, so a send
 * that fails as a whole has one. */
#include "exporter/exporter.h"

#include <stdarg.h>

void ft_answer_reset(struct ft_answer *a, size_t n)
{
    memset(a->items, 0, n * sizeof(*a->items));
    a->n = n;
    a->retry_after = 0;
    ft_buf_clear(&a->reasons);
    a->reasons.max = FT_REASONS_BYTES_MAX;
    (void)ft_buf_add_byte(&a->reasons, 0); /* offset 0 is "none" */
}

/* The offset of the last text that was added; 0: there is none. */
static uint32_t reason_last(const struct ft_buf *b)
{
    size_t at = b->len;

    if (at < 2)
        return 0;
    for (at--; b->data[at - 1] != 0;)
        at--;
    return (uint32_t)at;
}

static uint32_t reason_add(struct ft_answer *a, const char *format, va_list args)
{
    struct ft_text_error text;
    uint32_t last = reason_last(&a->reasons);

    if (!format)
        return 0;
    (void)vsnprintf(text.text, sizeof(text.text), format, args);
    if (text.text[0] == 0)
        return 0;
    if (last && strcmp((const char *)a->reasons.data + last, text.text) == 0)
        return last;
    last = (uint32_t)a->reasons.len;
    return ft_buf_add(&a->reasons, text.text, strlen(text.text) + 1) < 0 ? 0 : last;
}

void ft_answer_one(struct ft_answer *a, size_t i, enum ft_verdict_kind kind, const char *format,
                   ...)
{
    va_list args;

    va_start(args, format);
    a->items[i] = (struct ft_verdict){.kind = (uint8_t)kind, .reason = reason_add(a, format, args)};
    va_end(args);
}

void ft_answer_all(struct ft_answer *a, enum ft_verdict_kind kind, const char *format, ...)
{
    struct ft_verdict v = {.kind = (uint8_t)kind};
    va_list args;

    va_start(args, format);
    v.reason = reason_add(a, format, args);
    va_end(args);
    for (size_t i = 0; i < a->n; i++)
        a->items[i] = v;
}

void ft_answer_rest(struct ft_answer *a, enum ft_verdict_kind kind, const char *format, ...)
{
    struct ft_verdict v = {.kind = (uint8_t)kind};
    va_list args;

    va_start(args, format);
    v.reason = reason_add(a, format, args);
    va_end(args);
    for (size_t i = 0; i < a->n; i++)
        if (a->items[i].kind == FT_VERDICT_RETRY && a->items[i].reason == 0)
            a->items[i] = v;
}

const char *ft_answer_reason(const struct ft_answer *a, size_t i)
{
    uint32_t at = a->items[i].reason;

    return at ? (const char *)a->reasons.data + at : "";
}
