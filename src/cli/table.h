/* A table for people: columns as wide as their widest cell, two spaces apart. */
#pragma once

#include <stddef.h>
#include <stdio.h>

#define TABLE_COLUMNS_MAX 12

struct table {
    size_t columns;
    char **cells; /* row by row */
    size_t n, cap;
};

void table_init(struct table *t, size_t columns);
/* In place: control characters (also those of UTF-8's two bytes) become '?', so that what agents
 * say cannot command a terminal. Returns its argument. */
char *text_tame(char *text);

/* The next cell, copied and tamed; NULL reads "-". Out of memory ends the program: there is nothing to save.
 */
void table_add(struct table *t, const char *text);
void table_print(const struct table *t, FILE *out);
void table_done(struct table *t);
