/* An error that a person will read: `what is wrong: what to do`, with file, line and column where a file is at fault. */
#pragma once

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

struct ft_text_error {
    char text[512]; /* cut there */
};

__attribute__((format(printf, 2, 3))) static inline void ft_text_error_set(struct ft_text_error *e, const char *format,
                                                                           ...)
{
    va_list ap;

    va_start(ap, format);
    (void)vsnprintf(e->text, sizeof(e->text), format, ap);
    va_end(ap);
}

/* Names for people, "a, b", cut where the text is full. */
struct ft_text_list {
    char text[512];
    size_t len;
};

__attribute__((format(printf, 2, 3))) static inline void ft_text_list_add(struct ft_text_list *l,
                                                                          const char *format, ...)
{
    char item[sizeof(l->text)];
    va_list ap;

    va_start(ap, format);
    (void)vsnprintf(item, sizeof(item), format, ap);
    va_end(ap);
    int n = snprintf(l->text + l->len, sizeof(l->text) - l->len, "%s%s", l->len ? ", " : "", item);
    if (n > 0)
        l->len += (size_t)n < sizeof(l->text) - l->len ? (size_t)n : sizeof(l->text) - l->len - 1;
}
