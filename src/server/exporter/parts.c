#include "exporter/parts.h"

#include <stdarg.h>

void ft_part_all(const struct ft_part *part, enum ft_verdict_kind kind, const char *format, ...)
{
    struct ft_text_error text = {0};
    va_list args;

    if (format) {
        va_start(args, format);
        (void)vsnprintf(text.text, sizeof(text.text), format, args);
        va_end(args);
    }
    for (size_t i = 0; i < part->n; i++)
        ft_answer_one(part->answer, part->first + i, kind, "%s", text.text);
}

int ft_parts_send(ft_part_send_fn *send, void *self, const struct ft_part *whole)
{
    const size_t left = whole->n / 2;
    struct ft_part half = *whole;
    int r = send(self, whole);

    if (r != FT_PART_HALVE || whole->n < 2)
        return r < 0 ? r : 0;
    half.body = rn_slice(NULL, 0);
    half.n = left;
    r = ft_parts_send(send, self, &half);
    if (r < 0)
        return r;
    half.first += left;
    half.n = whole->n - left;
    return ft_parts_send(send, self, &half);
}
