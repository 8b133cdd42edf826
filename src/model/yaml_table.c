/* Applying a table of options to a YAML document.
 *
 * One pass fills the defaults, one walks the mapping's pairs and looks each key up, one looks for
 * what is required. Recursion follows the tables, which are finite, so neither nesting nor anchors
 * that contain themselves can run away.
 */
#include "yaml_internal.h"

#include <errno.h>
#include <string.h>

#include <model/scalar.h>

/* One application of one table to one mapping. */
struct reader {
    struct ft_yaml *y;
    yaml_document_t *doc;
    const struct ft_option *table;
    const char *discriminator; /* a key that somebody else has read ("type"), or NULL */
    struct ft_text_error *err;
};

static int fail_memory(const struct reader *rd)
{
    ft_text_error_set(rd->err, "out of memory: free some");
    return -ENOMEM;
}

static const char *node_what(const yaml_node_t *node)
{
    switch (node->type) {
    case YAML_SEQUENCE_NODE:
        return "a list";
    case YAML_MAPPING_NODE:
        return "a mapping";
    case YAML_SCALAR_NODE:
        return node->data.scalar.length ? "a single value" : "empty";
    default:
        return "nothing";
    }
}

static struct ft_mark node_mark(const yaml_node_t *node)
{
    return ft__yaml_mark(&node->start_mark);
}

static bool node_is_plain(const yaml_node_t *node)
{
    return node->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
}

static const char *node_text(const yaml_node_t *node)
{
    return (const char *)node->data.scalar.value;
}

static int expect_scalar(const struct reader *rd, const yaml_node_t *node, const char *name)
{
    if (node->type != YAML_SCALAR_NODE)
        return ft_yaml_fail(rd->y, node_mark(node), rd->err, "%s is %s: write a single value", name,
                            node_what(node));
    if (strlen(node_text(node)) != node->data.scalar.length)
        return ft_yaml_fail(rd->y, node_mark(node), rd->err, "%s contains a NUL byte: remove it",
                            name);
    if (node_is_plain(node) &&
        (node->data.scalar.length == 0 || strcmp(node_text(node), "~") == 0 ||
         strcmp(node_text(node), "null") == 0))
        return ft_yaml_fail(rd->y, node_mark(node), rd->err,
                            "%s is empty: give a value or remove the key", name);
    return 0;
}

/* ---- scalars ---- */

static void example_for(enum ft_option_kind kind, char *buf, size_t size)
{
    const char *s = kind == FT_DURATION ? "a duration such as 250ms, 30s, 5m, 1h or 30d"
                    : kind == FT_SIZE   ? "a size such as 512, 64KiB or 1MiB"
                                        : "a whole number";
    (void)snprintf(buf, size, "%s", s);
}

static int64_t unit_for(const struct ft_option *o, const char **ret_unit)
{
    bool seconds = o->min % FT_SEC(1) == 0 && o->max % FT_SEC(1) == 0;

    *ret_unit = o->kind != FT_DURATION ? "" : seconds ? "s" : "ms";
    return o->kind != FT_DURATION ? 1 : seconds ? FT_SEC(1) : FT_MS(1);
}

static int range_check(const struct reader *rd, const struct ft_option *o, struct ft_mark mark,
                       int64_t v)
{
    const char *unit;
    int64_t div = unit_for(o, &unit);

    if (v < o->min)
        return ft_yaml_fail(rd->y, mark, rd->err, "%s is too small: at least %lld%s", o->name,
                            (long long)(o->min / div), unit);
    if (o->max != 0 && v > o->max)
        return ft_yaml_fail(rd->y, mark, rd->err, "%s is too large: at most %lld%s", o->name,
                            (long long)(o->max / div), unit);
    return 0;
}

static int number_apply(const struct reader *rd, const struct ft_option *o, const char *text,
                        struct ft_mark mark, int64_t *field)
{
    char want[64];
    int64_t v = 0;
    int r = o->kind == FT_DURATION ? ft_duration_parse(text, &v)
            : o->kind == FT_SIZE   ? ft_size_parse(text, &v)
                                   : ft_int_parse(text, &v);

    example_for(o->kind, want, sizeof(want));
    if (r == -ERANGE)
        return ft_yaml_fail(rd->y, mark, rd->err, "%s: \"%.64s\" is too large: write %s", o->name,
                            text, want);
    if (r < 0)
        return ft_yaml_fail(rd->y, mark, rd->err, "%s: \"%.64s\" is not %s: write one", o->name,
                            text, want);
    r = range_check(rd, o, mark, v);
    if (r < 0)
        return r;
    *field = v;
    return 0;
}

/* "a, b or c" of the names. */
static void names_join(const char *const *names, char *buf, size_t size)
{
    size_t n = 0;

    buf[0] = '\0';
    for (size_t i = 0; names[i] && n < size; i++) {
        const char *sep = i == 0 ? "" : names[i + 1] ? ", " : " or ";
        int m = snprintf(buf + n, size - n, "%s%s", sep, names[i]);

        n += m > 0 ? (size_t)m : 0;
    }
}

static int enum_apply(const struct reader *rd, const struct ft_option *o, const char *text,
                      struct ft_mark mark, int *field)
{
    char known[256];

    for (int i = 0; o->names[i]; i++) {
        if (strcmp(o->names[i], text) == 0) {
            *field = i;
            return 0;
        }
    }
    names_join(o->names, known, sizeof(known));
    return ft_yaml_fail(rd->y, mark, rd->err, "%s: \"%.64s\" is unknown: write %s", o->name, text,
                        known);
}

static int string_apply(const struct reader *rd, const struct ft_option *o, const char *text,
                        const char **field)
{
    *field = o->kind == FT_PATH ? ft_yaml_path(rd->y, text) : ft_yaml_strdup(rd->y, text);
    return *field ? 0 : fail_memory(rd);
}

static int custom_apply(const struct reader *rd, const struct ft_option *o, const char *text,
                        struct ft_mark mark, void *field)
{
    struct ft_text_error why = {"out of memory: free some"};
    int r = o->parse(rd->y, text, field, &why);

    if (r >= 0)
        return 0;
    (void)ft_yaml_fail(rd->y, mark, rd->err, "%s: %s", o->name, why.text);
    return r;
}

/* Text from the file or a default. */
static int text_apply(const struct reader *rd, const struct ft_option *o, const char *text,
                      struct ft_mark mark, void *field)
{
    switch (o->kind) {
    case FT_STRING:
    case FT_PATH:
        return string_apply(rd, o, text, field);
    case FT_BOOL:
        if (strcmp(text, "true") != 0 && strcmp(text, "false") != 0)
            return ft_yaml_fail(rd->y, mark, rd->err,
                                "%s: \"%.64s\" is neither true nor false: write one of them",
                                o->name, text);
        *(bool *)field = text[0] == 't';
        return 0;
    case FT_INT:
    case FT_DURATION:
    case FT_SIZE:
        return number_apply(rd, o, text, mark, field);
    case FT_ENUM:
        return enum_apply(rd, o, text, mark, field);
    default:
        return custom_apply(rd, o, text, mark, field);
    }
}

static int scalar_apply(const struct reader *rd, const struct ft_option *o, const yaml_node_t *node,
                        void *field)
{
    int r = expect_scalar(rd, node, o->name);

    if (r < 0)
        return r;
    if (!node_is_plain(node) && (o->kind == FT_BOOL || o->kind == FT_INT))
        return ft_yaml_fail(rd->y, node_mark(node), rd->err,
                            "%s is a quoted text: remove the quotes", o->name);
    if ((o->kind == FT_PATH || o->kind == FT_STRING) && o->required &&
        node->data.scalar.length == 0)
        return ft_yaml_fail(rd->y, node_mark(node), rd->err, "%s is empty: give a value", o->name);
    return text_apply(rd, o, node_text(node), node_mark(node), field);
}

/* ---- lists and mappings ---- */

static int expect_list(const struct reader *rd, const struct ft_option *o, const yaml_node_t *node)
{
    if (node->type == YAML_SEQUENCE_NODE)
        return 0;
    return ft_yaml_fail(rd->y, node_mark(node), rd->err,
                        "%s is %s: write a list, [a, b] or a line `- a` each", o->name,
                        node_what(node));
}

static size_t list_len(const yaml_node_t *node)
{
    return (size_t)(node->data.sequence.items.top - node->data.sequence.items.start);
}

static yaml_node_t *list_item(const struct reader *rd, const yaml_node_t *node, size_t i)
{
    return yaml_document_get_node(rd->doc, node->data.sequence.items.start[i]);
}

static int strings_apply(const struct reader *rd, const struct ft_option *o,
                         const yaml_node_t *node, struct ft_strings *field)
{
    int r = expect_list(rd, o, node);

    if (r < 0)
        return r;
    *field = (struct ft_strings){.given = true, .mark = node_mark(node)};
    field->items = ft__yaml_alloc(rd->y, (list_len(node) + 1) * sizeof(*field->items));
    if (!field->items)
        return fail_memory(rd);
    for (size_t i = 0; i < list_len(node); i++) {
        const yaml_node_t *item = list_item(rd, node, i);

        r = expect_scalar(rd, item, o->name);
        if (r < 0)
            return r;
        field->items[i] = ft_yaml_strdup(rd->y, node_text(item));
        if (!field->items[i])
            return fail_memory(rd);
        field->n++;
    }
    return 0;
}

static int strings_default(const struct reader *rd, const char *def, struct ft_strings *field)
{
    char *copy = ft_yaml_strdup(rd->y, def), *rest = NULL;

    field->n =
        0; /* a nested table's defaults are set with its parent's, and again when it is given */
    field->items = ft__yaml_alloc(rd->y, (strlen(def) / 2 + 2) * sizeof(*field->items));
    if (!copy || !field->items)
        return fail_memory(rd);
    for (char *word = strtok_r(copy, " ", &rest); word; word = strtok_r(NULL, " ", &rest))
        field->items[field->n++] = word;
    return 0;
}

static int expect_mapping(const struct reader *rd, const char *name, const yaml_node_t *node)
{
    if (node->type == YAML_MAPPING_NODE)
        return 0;
    return ft_yaml_fail(rd->y, node_mark(node), rd->err, "%s is %s: write a mapping, `key: value`",
                        name, node_what(node));
}

static int key_check(const struct reader *rd, const yaml_node_t *map, const yaml_node_pair_t *pair,
                     const yaml_node_t *key)
{
    int r = expect_scalar(rd, key, "a key");

    if (r < 0)
        return r;
    for (const yaml_node_pair_t *p = map->data.mapping.pairs.start; p < pair; p++) {
        const yaml_node_t *other = yaml_document_get_node(rd->doc, p->key);

        if (strcmp(node_text(other), node_text(key)) == 0)
            return ft_yaml_fail(rd->y, node_mark(key), rd->err,
                                "\"%.64s\" stands twice, first in line %d: keep one",
                                node_text(key), node_mark(other).line);
    }
    return 0;
}

static int pairs_apply(const struct reader *rd, const struct ft_option *o, const yaml_node_t *node,
                       struct ft_pairs *field)
{
    int r = expect_mapping(rd, o->name, node);

    if (r < 0)
        return r;
    const yaml_node_pair_t *start = node->data.mapping.pairs.start,
                           *top = node->data.mapping.pairs.top;
    *field = (struct ft_pairs){.given = true};
    field->items = ft__yaml_alloc(rd->y, ((size_t)(top - start) + 1) * sizeof(*field->items));
    if (!field->items)
        return fail_memory(rd);
    for (const yaml_node_pair_t *p = start; p < top; p++) {
        const yaml_node_t *key = yaml_document_get_node(rd->doc, p->key);
        const yaml_node_t *val = yaml_document_get_node(rd->doc, p->value);
        struct ft_pair *pair = &field->items[field->n];

        r = key_check(rd, node, p, key);
        if (r == 0)
            r = expect_scalar(rd, val, node_text(key));
        if (r < 0)
            return r;
        pair->key = ft_yaml_strdup(rd->y, node_text(key));
        pair->value = o->kind == FT_PATH_MAP ? ft_yaml_path(rd->y, node_text(val))
                                             : ft_yaml_strdup(rd->y, node_text(val));
        pair->mark = node_mark(key);
        if (!pair->key || !pair->value)
            return fail_memory(rd);
        field->n++;
    }
    return 0;
}

static int table_apply(const struct reader *rd, const char *name, const struct ft_option *table,
                       const char *discriminator, const yaml_node_t *node, void *value);

static int tables_apply(const struct reader *rd, const struct ft_option *o, const yaml_node_t *node,
                        struct ft_items *field)
{
    int r = expect_list(rd, o, node);

    if (r < 0)
        return r;
    *field = (struct ft_items){.given = true};
    field->items = ft__yaml_alloc(rd->y, (list_len(node) + 1) * o->size);
    if (!field->items)
        return fail_memory(rd);
    for (size_t i = 0; i < list_len(node); i++) {
        r = table_apply(rd, o->name, o->table, NULL, list_item(rd, node, i),
                        (char *)field->items + i * o->size);
        if (r < 0)
            return r;
        field->n++;
    }
    return 0;
}

/* The value of `type:` in a mapping. */
static int type_find(const struct reader *rd, const struct ft_option *o, const yaml_node_t *map,
                     const struct ft_variant_type **ret)
{
    const char *known[32] = {0};
    char text[256];
    size_t n = 0;
    int r = expect_mapping(rd, o->name, map);

    if (r < 0)
        return r;
    for (const struct ft_variant_type *t = o->variants; t->name && n < 31; t++)
        known[n++] = t->name;
    names_join(known, text, sizeof(text));
    for (const yaml_node_pair_t *p = map->data.mapping.pairs.start; p < map->data.mapping.pairs.top;
         p++) {
        const yaml_node_t *key = yaml_document_get_node(rd->doc, p->key);
        const yaml_node_t *val = yaml_document_get_node(rd->doc, p->value);

        if (key->type != YAML_SCALAR_NODE || strcmp(node_text(key), "type") != 0)
            continue;
        r = expect_scalar(rd, val, "type");
        if (r < 0)
            return r;
        for (const struct ft_variant_type *t = o->variants; t->name; t++) {
            if (strcmp(t->name, node_text(val)) == 0) {
                *ret = t;
                return 0;
            }
        }
        return ft_yaml_fail(rd->y, node_mark(val), rd->err, "type: \"%.64s\" is unknown: write %s",
                            node_text(val), text);
    }
    return ft_yaml_fail(rd->y, node_mark(map), rd->err,
                        "type is missing in %s: add `type:` with %s", o->name, text);
}

static int variants_apply(const struct reader *rd, const struct ft_option *o,
                          const yaml_node_t *node, struct ft_items *field)
{
    int r = expect_list(rd, o, node);

    if (r < 0)
        return r;
    *field = (struct ft_items){.given = true};
    field->items = ft__yaml_alloc(rd->y, (list_len(node) + 1) * sizeof(struct ft_variant));
    if (!field->items)
        return fail_memory(rd);
    for (size_t i = 0; i < list_len(node); i++) {
        struct ft_variant *v = (struct ft_variant *)field->items + i;
        const yaml_node_t *item = list_item(rd, node, i);

        r = type_find(rd, o, item, &v->type);
        if (r < 0)
            return r;
        v->mark = node_mark(item);
        v->value = ft__yaml_alloc(rd->y, v->type->size + 1);
        if (!v->value)
            return fail_memory(rd);
        r = table_apply(rd, o->name, v->type->table, "type", item, v->value);
        if (r < 0)
            return r;
        field->n++;
    }
    return 0;
}

/* ---- a table ---- */

static int defaults_apply(const struct reader *rd, char *value)
{
    for (const struct ft_option *o = rd->table; o->kind != FT_END; o++) {
        struct reader inner = *rd;
        int r = 0;

        if (o->kind == FT_TABLE) {
            inner.table = o->table;
            r = defaults_apply(&inner, value + o->offset);
        } else if (o->kind == FT_STRINGS && o->def) {
            r = strings_default(rd, o->def, (struct ft_strings *)(void *)(value + o->offset));
        } else if (o->def) {
            r = text_apply(rd, o, o->def, (struct ft_mark){0}, value + o->offset);
        }
        if (r < 0)
            return r;
    }
    return 0;
}

static int node_apply(const struct reader *rd, const struct ft_option *o, const yaml_node_t *node,
                      void *field)
{
    switch (o->kind) {
    case FT_STRINGS:
        return strings_apply(rd, o, node, field);
    case FT_STRING_MAP:
    case FT_PATH_MAP:
        return pairs_apply(rd, o, node, field);
    case FT_TABLE:
        return table_apply(rd, o->name, o->table, NULL, node, field);
    case FT_TABLES:
        return tables_apply(rd, o, node, field);
    case FT_VARIANTS:
        return variants_apply(rd, o, node, field);
    default:
        return scalar_apply(rd, o, node, field);
    }
}

static const struct ft_option *option_find(const struct ft_option *table, const char *name)
{
    for (const struct ft_option *o = table; o->kind != FT_END; o++)
        if (o->kind != FT_MARK && strcmp(o->name, name) == 0)
            return o;
    return NULL;
}

static int fail_unknown(const struct reader *rd, const char *where, const yaml_node_t *key)
{
    const char *known[64] = {0};
    char text[384];
    size_t n = 0;

    if (rd->discriminator)
        known[n++] = rd->discriminator;
    for (const struct ft_option *o = rd->table; o->kind != FT_END && n < 63; o++)
        if (o->kind != FT_MARK)
            known[n++] = o->name;
    names_join(known, text, sizeof(text));
    return ft_yaml_fail(rd->y, node_mark(key), rd->err, "unknown key \"%.64s\"%s%s: known here: %s",
                        node_text(key), where ? " in " : "", where ? where : "", n ? text : "none");
}

static int required_check(const struct reader *rd, const char *where, const yaml_node_t *map)
{
    for (const struct ft_option *o = rd->table; o->kind != FT_END; o++) {
        bool found = !o->required;

        for (const yaml_node_pair_t *p = map->data.mapping.pairs.start;
             !found && p < map->data.mapping.pairs.top; p++)
            found = strcmp(node_text(yaml_document_get_node(rd->doc, p->key)), o->name) == 0;
        if (!found)
            return ft_yaml_fail(rd->y, node_mark(map), rd->err, "%s is missing%s%s: add it (%s)",
                                o->name, where ? " in " : "", where ? where : "",
                                o->help ? o->help : "it has no default");
    }
    return 0;
}

static int mapping_apply(const struct reader *rd, const char *where, const yaml_node_t *map,
                         char *value)
{
    for (const yaml_node_pair_t *p = map->data.mapping.pairs.start; p < map->data.mapping.pairs.top;
         p++) {
        const yaml_node_t *key = yaml_document_get_node(rd->doc, p->key);
        const struct ft_option *o;
        int r = key_check(rd, map, p, key);

        if (r < 0)
            return r;
        if (rd->discriminator && strcmp(node_text(key), rd->discriminator) == 0)
            continue;
        o = option_find(rd->table, node_text(key));
        if (!o)
            return fail_unknown(rd, where, key);
        r = node_apply(rd, o, yaml_document_get_node(rd->doc, p->value), value + o->offset);
        if (r < 0)
            return r;
    }
    return required_check(rd, where, map);
}

static int table_apply(const struct reader *outer, const char *name, const struct ft_option *table,
                       const char *discriminator, const yaml_node_t *node, void *value)
{
    const struct reader rd = {outer->y, outer->doc, table, discriminator, outer->err};
    int r = expect_mapping(&rd, name, node);

    if (r == 0)
        r = defaults_apply(&rd, value);
    for (const struct ft_option *o = table; r == 0 && o->kind != FT_END; o++)
        if (o->kind == FT_MARK)
            *(struct ft_mark *)(void *)((char *)value + o->offset) = node_mark(node);
    return r < 0 ? r : mapping_apply(&rd, name, node, value);
}

int ft__yaml_apply(struct ft_yaml *y, yaml_document_t *doc, yaml_node_t *node,
                   const struct ft_option *table, void *value, struct ft_text_error *reterr)
{
    const struct reader rd = {y, doc, table, NULL, reterr};
    int r = defaults_apply(&rd, value);

    if (r < 0 || !node)
        return r;
    if (node->type == YAML_SCALAR_NODE && node_is_plain(node) && node->data.scalar.length == 0)
        return 0; /* only comments */
    r = expect_mapping(&rd, "the file", node);
    return r < 0 ? r : mapping_apply(&rd, NULL, node, value);
}
