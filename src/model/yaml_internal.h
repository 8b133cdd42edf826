/* Shared by yaml.c (files, memory, messages) and yaml_table.c (applying a table). */
#pragma once

#include <stdatomic.h>

#include <yaml.h>

#include <model/yaml.h>

struct ft_yaml_block; /* one allocation */

struct ft_yaml {
    char                 *name; /* as it stands in messages */
    char                 *dir;
    struct ft_yaml_block *blocks;
    _Atomic uint32_t refs;
};

/* Zeroed. */
void *ft__yaml_alloc(struct ft_yaml *y, size_t size);

/* Apply `table` to the mapping `node` (NULL: only defaults) of a document. */
int ft__yaml_apply(struct ft_yaml *y, yaml_document_t *doc, yaml_node_t *node, const struct ft_option *table,
                   void *value, struct ft_text_error *reterr);

static inline struct ft_mark ft__yaml_mark(const yaml_mark_t *m)
{
    return (struct ft_mark){(int)m->line + 1, (int)m->column + 1};
}
