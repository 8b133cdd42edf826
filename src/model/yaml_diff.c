/* Comparing what one table has read twice.
 *
 * The same walk as the reader's, over two values at once. A field without a way to compare it
 * counts as different: rather one change too many is told than one too few.
 */
#include <stdio.h>
#include <string.h>

#include <model/yaml.h>

#define NAME_MAX_BYTES 256

static bool same_text(const char *a, const char *b)
{
    return a == b || (a && b && strcmp(a, b) == 0);
}

bool ft_option_same_text(const void *a, const void *b)
{
    return same_text(*(const char *const *)a, *(const char *const *)b);
}

bool ft_option_same_int(const void *a, const void *b)
{
    return *(const int64_t *)a == *(const int64_t *)b;
}

static bool same_strings(const struct ft_strings *a, const struct ft_strings *b)
{
    if (a->n != b->n)
        return false;
    for (size_t i = 0; i < a->n; i++)
        if (!same_text(a->items[i], b->items[i]))
            return false;
    return true;
}

/* The order counts: it is that of the attributes that a peer sees. */
static bool same_pairs(const struct ft_pairs *a, const struct ft_pairs *b)
{
    if (a->n != b->n)
        return false;
    for (size_t i = 0; i < a->n; i++)
        if (!same_text(a->items[i].key, b->items[i].key) ||
            !same_text(a->items[i].value, b->items[i].value))
            return false;
    return true;
}

static bool same_tables(const struct ft_option *o, const struct ft_items *a,
                        const struct ft_items *b)
{
    if (a->n != b->n)
        return false;
    for (size_t i = 0; i < a->n; i++)
        if (!ft_options_equal(o->table, (const char *)a->items + i * o->size,
                              (const char *)b->items + i * o->size))
            return false;
    return true;
}

/* An empty list is not the same as none. */
static bool same_variants(const struct ft_items *a, const struct ft_items *b)
{
    const struct ft_variant *va = a->items, *vb = b->items;

    if (a->n != b->n || a->given != b->given)
        return false;
    for (size_t i = 0; i < a->n; i++)
        if (va[i].type != vb[i].type ||
            !ft_options_equal(va[i].type->table, va[i].value, vb[i].value))
            return false;
    return true;
}

static bool same(const struct ft_option *o, const void *a, const void *b)
{
    switch (o->kind) {
    case FT_STRING:
    case FT_PATH:
        return ft_option_same_text(a, b);
    case FT_BOOL:
        return *(const bool *)a == *(const bool *)b;
    case FT_INT:
    case FT_DURATION:
    case FT_SIZE:
        return ft_option_same_int(a, b);
    case FT_ENUM:
        return *(const int *)a == *(const int *)b;
    case FT_STRINGS:
        return same_strings(a, b);
    case FT_STRING_MAP:
    case FT_PATH_MAP:
        return same_pairs(a, b);
    case FT_TABLE:
        return ft_options_equal(o->table, a, b);
    case FT_TABLES:
        return same_tables(o, a, b);
    case FT_VARIANTS:
        return same_variants(a, b);
    case FT_CUSTOM:
        return o->same && o->same(a, b);
    default:
        return true; /* FT_MARK */
    }
}

bool ft_options_equal(const struct ft_option *table, const void *a, const void *b)
{
    for (const struct ft_option *o = table; o->kind != FT_END; o++)
        if (!same(o, (const char *)a + o->offset, (const char *)b + o->offset))
            return false;
    return true;
}

/* `name` holds `len` bytes of the tables around, and has room for NAME_MAX_BYTES. */
static void diff(const struct ft_option *table, const char *a, const char *b, char *name,
                 size_t len, ft_option_differs_fn *differs, void *arg)
{
    for (const struct ft_option *o = table; o->kind != FT_END; o++) {
        int n;

        if (same(o, a + o->offset, b + o->offset))
            continue;
        n = snprintf(name + len, NAME_MAX_BYTES - len, "%s%s", len ? "." : "", o->name);
        if (n < 0 || (size_t)n >= NAME_MAX_BYTES - len)
            n = 0;
        if (o->kind == FT_TABLE)
            diff(o->table, a + o->offset, b + o->offset, name, len + (size_t)n, differs, arg);
        else
            differs(arg, name);
        name[len] = '\0';
    }
}

void ft_options_diff(const struct ft_option *table, const void *a, const void *b,
                     ft_option_differs_fn *differs, void *arg)
{
    char name[NAME_MAX_BYTES] = "";

    diff(table, a, b, name, 0, differs, arg);
}
