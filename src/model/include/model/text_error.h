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
