/* Configuration files: YAML, read by a table into a struct.
 *
 *     struct settings { const char *data; int64_t timeout_ns; struct ft_strings listen; };
 *     static const struct ft_option options[] = {
 *         {"data", FT_PATH, offsetof(struct settings, data), .def = "./data", .help = "where
 * everything lies"},
 *         {"timeout", FT_DURATION, offsetof(struct settings, timeout_ns), .def = "5m", .min =
 * FT_MS(1)},
 *         {"listen", FT_STRINGS, offsetof(struct settings, listen), .def = "127.0.0.1:4320"},
 *         {0},
 *     };
 *     struct settings s; struct ft_yaml *y; struct ft_text_error err;
 *     r = ft_yaml_read_file("a.yaml", options, &s, sizeof(s), &y, &err);     // err.text =
 * "a.yaml:3:5: what: what to do"
 *     ... use s ...
 *     ft_yaml_free(y);                                                       // every string and
 * list of s with it
 *
 * What the table does not name is an error, as are a key given twice, a value of another type or
 * out of range, an empty value, a second document. Anchors and aliases work; tags and merge keys do
 * not.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <model/text_error.h>

struct ft_yaml;

#define FT_MS(n) (INT64_C(1000000) * (n))
#define FT_SEC(n) (INT64_C(1000000000) * (n))

/* A place in the file, from 1. {0, 0}: nowhere (a default). */
struct ft_mark {
    int line, column;
};

/* The C type of the field at `offset` stands behind each kind. */
enum ft_option_kind {
    FT_END,
    FT_STRING,     /* const char *: any scalar, not empty unless quoted */
    FT_PATH,       /* const char *: made relative to the folder of the file that names it */
    FT_BOOL,       /* bool: true | false */
    FT_INT,        /* int64_t */
    FT_DURATION,   /* int64_t, nanoseconds */
    FT_SIZE,       /* int64_t, bytes */
    FT_ENUM,       /* int: index into `names` */
    FT_CUSTOM,     /* what `parse` says: a scalar of a form of its own */
    FT_STRINGS,    /* struct ft_strings: a list of scalars; `def` is separated by blanks */
    FT_STRING_MAP, /* struct ft_pairs: a mapping of scalars to scalars, in the order of the file */
    FT_PATH_MAP,   /* struct ft_pairs: the same, the values are paths */
    FT_TABLE,      /* the struct itself: a mapping read by `table` */
    FT_TABLES,     /* struct ft_items: a list of mappings, each read by `table` into `size` bytes */
    FT_VARIANTS,   /* struct ft_items of struct ft_variant: `type:` in each mapping chooses among
                      `variants` */
    FT_MARK,       /* struct ft_mark: not a key; filled with the place of the mapping itself */
};

struct ft_strings {
    const char **items;
    struct ft_mark mark;
    size_t n;
    bool given; /* stands in the file (an empty list is not the same as none) */
};

struct ft_pair {
    const char *key, *value;
    struct ft_mark mark; /* of the key */
};

struct ft_pairs {
    struct ft_pair *items;
    size_t n;
    bool given;
};

struct ft_items {
    void *items; /* an array; of the table's structs, or of struct ft_variant */
    size_t n;
    bool given;
};

/* One element of a discriminated list: which type, and its own struct. */
struct ft_variant_type {
    const char *name; /* what stands behind `type:`; NULL ends the array */
    const struct ft_option *table;
    size_t size;
    const void *tag; /* the caller's own, say its vtable */
};

struct ft_variant {
    const struct ft_variant_type *type;
    void *value; /* type->size bytes, read by type->table */
    struct ft_mark mark;
};

struct ft_option {
    const char *name;
    enum ft_option_kind kind;
    size_t offset;
    const char *def;  /* as it would stand in the file; NULL: zero bytes */
    const char *help; /* one line for people */
    bool required;    /* in a mapping that is given */
    int64_t min, max; /* FT_INT, FT_DURATION, FT_SIZE; min 0: no sign; max 0: no upper limit */
    const char *const *names;               /* FT_ENUM: NULL ends them */
    const struct ft_option *table;          /* FT_TABLE, FT_TABLES */
    size_t size;                            /* FT_TABLES */
    const struct ft_variant_type *variants; /* FT_VARIANTS */
    /* FT_CUSTOM: fill the field from the text; strings that stay are made by ft_yaml_strdup(). On
     * error < 0 and `why` says what and what to do, without the place. */
    int (*parse)(struct ft_yaml *y, const char *text, void *field, struct ft_text_error *why);
    /* FT_CUSTOM: do two fields say the same? */
    bool (*same)(const void *a, const void *b);
};

/* For `same`: fields that are a const char * (NULL is a value), and an int64_t. */
bool ft_option_same_text(const void *a, const void *b);
bool ft_option_same_int(const void *a, const void *b);

/* Read a file into `value` (size bytes; zeroed and filled with defaults first).
 *
 * Returns: 0, -EINVAL (the file is wrong), -ENOMEM, or the error of open or read; *reterr says it
 * for people. Owner:   *ret_yaml owns whatever `value` points to. On error nothing is left and
 * `value` is zeroed.
 */
int ft_yaml_read_file(const char *path, const struct ft_option *table, void *value, size_t size,
                      struct ft_yaml **ret_yaml, struct ft_text_error *reterr);
/* The same from memory. `name` stands in messages, and its folder is where relative paths start; an
 * empty text gives the defaults. */
int ft_yaml_read_text(const char *name, const char *text, size_t len, const struct ft_option *table,
                      void *value, size_t size, struct ft_yaml **ret_yaml,
                      struct ft_text_error *reterr);
/* What was read is shared by who takes references: it does not change. Free lets go of one. From
 * any thread; NULL is fine. */
struct ft_yaml *ft_yaml_ref(struct ft_yaml *y);
struct ft_yaml *ft_yaml_free(struct ft_yaml *y); /* returns NULL */
static inline void ft_yaml_freep(struct ft_yaml **y)
{
    (void)ft_yaml_free(*y);
}

/* For checks after reading, in the same words: "FILE:LINE:COLUMN: " + the format. Returns -EINVAL.
 */
__attribute__((format(printf, 4, 5))) int ft_yaml_fail(const struct ft_yaml *y, struct ft_mark mark,
                                                       struct ft_text_error *reterr,
                                                       const char *format, ...);

/* Memory that lives as long as `y`; NULL when there is none. */
char *ft_yaml_strdup(struct ft_yaml *y, const char *text);
/* `path` itself if absolute, else relative to the folder of y's file. */
const char *ft_yaml_path(struct ft_yaml *y, const char *path);
/* The folder of the file: "." or a path without a slash at its end. */
const char *ft_yaml_dir(const struct ft_yaml *y);

/* ---- two values that the same table has read ---- */

/* Do they say the same? Where it stands in the files does not count. */
bool ft_options_equal(const struct ft_option *table, const void *a, const void *b);
/* Tell every option that differs by its whole name, "agents.heartbeat". A list of mappings is one
 * option. */
typedef void ft_option_differs_fn(void *arg, const char *name);
void ft_options_diff(const struct ft_option *table, const void *a, const void *b,
                     ft_option_differs_fn *differs, void *arg);
