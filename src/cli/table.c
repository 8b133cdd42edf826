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

void table_add(struct table *t, const char *text)
{
    if (t->n == t->cap) {
        t->cap = t->cap ? t->cap * 2 : 64;
        t->cells = must(realloc(t->cells, t->cap * sizeof(*t->cells)));
    }
    t->cells[t->n++] = must(strdup(text && *text ? text : "-"));
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
