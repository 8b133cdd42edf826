#include "table.h"

#include <stdlib.h>
#include <string.h>

#include "say.h"

static void *must(void *p)
{
    if (p)
        return p;
    say("out of memory");
    exit(1);
}

void table_init(struct table *t, size_t columns)
{
    *t = (struct table){.columns = columns};
}

char *text_tame(char *text)
{
    for (unsigned char *c = (unsigned char *)text; *c; c++) {
        if (c[0] == 0xc2 && c[1] >= 0x80 && c[1] < 0xa0)
            c[0] = c[1] = '?';
        else if (*c < ' ' || *c == 0x7f)
            *c = '?';
    }
    return text;
}

void table_add(struct table *t, const char *text)
{
    if (t->n == t->cap) {
        t->cap = t->cap ? t->cap * 2 : 64;
        t->cells = must(realloc(t->cells, t->cap * sizeof(*t->cells)));
    }
    t->cells[t->n++] = text_tame(must(strdup(text && *text ? text : "-")));
}

void table_print(const struct table *t, FILE *out)
{
    int width[TABLE_COLUMNS_MAX] = {0};

    for (size_t i = 0; i < t->n; i++) {
        int len = (int)strlen(t->cells[i]);
        if (len > width[i % t->columns])
            width[i % t->columns] = len;
    }
    for (size_t i = 0; i < t->n; i++) {
        if (i % t->columns == t->columns - 1)
            fprintf(out, "%s\n", t->cells[i]);
        else
            fprintf(out, "%-*s  ", width[i % t->columns], t->cells[i]);
    }
}

void table_done(struct table *t)
{
    for (size_t i = 0; i < t->n; i++)
        free(t->cells[i]);
    free(t->cells);
}
