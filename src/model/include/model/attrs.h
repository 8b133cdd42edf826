/* Attributes: what an agent says about itself, as an immutable sorted list of keys and values.
 *
 * A value keeps two things: its text (what selectors compare, templates insert and people read) and
 * its kind, which tells JSON whether to quote it. Arrays and maps have their JSON as text, bytes
 * have base64, numbers that JSON cannot say (NaN, infinities) are strings.
 *
 * One allocation, texts included and NUL-terminated. A key that comes twice keeps its last value.
 */
#pragma once

#include <proto/opamp.pb-c.h>

#include <runnel/slice.h>

#define FT_ATTRS_MAX       256   /* keys of one list */
#define FT_ATTRS_BYTES_MAX 65536 /* all texts together */

/* Label `k` is the non-identifying attribute `fettle.label.k`. */
#define FT_LABEL_PREFIX "fettle.label."

enum ft_attr_kind {
    FT_ATTR_STRING, /* JSON: quote the text */
    FT_ATTR_BOOL,   /* JSON: the text as it is, here and below */
    FT_ATTR_INT,
    FT_ATTR_DOUBLE,
    FT_ATTR_JSON, /* an array or a map */
    FT_ATTR_NULL, /* no value: empty text */
};

struct ft_attr {
    struct rn_slice   key;
    struct rn_slice   text;
    enum ft_attr_kind kind;
};

struct ft_attrs {
    size_t         bytes; /* of the whole allocation */
    uint32_t       count;
    struct ft_attr items[]; /* by key, in byte order */
};

/* From a message. Returns: 0, -E2BIG (over a maximum), -ENOMEM. */
int ft_attrs_from_opamp(Opamp__Proto__KeyValue *const *kvs, size_t n, struct ft_attrs **ret);

/* From parts: copies everything. Returns as above. */
int ft_attrs_new(const struct ft_attr *items, size_t n, struct ft_attrs **ret);

/* NULL is fine. Returns NULL. */
struct ft_attrs *ft_attrs_free(struct ft_attrs *a);
void             ft_attrs_freep(struct ft_attrs **a);

/* NULL when there is none (or no list). */
const struct ft_attr *ft_attrs_get(const struct ft_attrs *a, struct rn_slice key);

/* The attribute of label `label`. */
const struct ft_attr *ft_attrs_get_label(const struct ft_attrs *a, struct rn_slice label);

/* True and the label's name when this attribute is a label. */
bool ft_attr_is_label(const struct ft_attr *attr, struct rn_slice *ret_label);

bool ft_attrs_eq(const struct ft_attrs *a, const struct ft_attrs *b);
