/* What symbols.c and lines.c share: a file of code in memory, and the tables made from it. */
#pragma once

#include <elf.h>
#include <link.h>

#include <runnel/trace.h>

/* A mapped piece of code with its file. Tables are made at the first question and kept. */
struct rn__symbol {
    uintptr_t start; /* in this process */
    size_t size;
    const char *name; /* in the file's memory */
};
struct rn__line {
    uintptr_t at;
    uint32_t file, line; /* line 0: nothing lies here */
};
struct rn__file_name {
    const char *root, *dir, *name; /* in the file's memory */
    char *path;                    /* made when it is asked for */
};
struct rn__code {
    struct rn_module module;
    char path[256], build_id[64];
    uintptr_t bias; /* of the file's addresses */
    bool loaded;
    const uint8_t *image; /* the whole file, mapped for good */
    size_t size;
    struct rn__symbol *symbols;
    size_t n_symbols;
    struct rn__line *lines; /* by address */
    size_t n_lines, max_lines;
    struct rn__file_name *names;
    size_t n_names, max_names;
};

/* A section's bytes; NULL when it isn't there, or packed. */
const uint8_t *rn__code_section(const struct rn__code *c, const char *name, size_t *ret_size);
/* Memory for tables that are kept. */
void *rn__table_grow(void *table, size_t item, size_t n, size_t *max);
/* Read .debug_line (DWARF 5). What cannot be read is left out. */
void rn__lines_load(struct rn__code *c);
/* The line of a pc in this process. */
bool rn__line_find(struct rn__code *c, uintptr_t pc, const char **ret_file, int *ret_line);
