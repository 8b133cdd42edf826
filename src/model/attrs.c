/* A list is made in two steps: values become drafts (text borrowed from the message, or written to
 * a scratch buffer), then the drafts are sorted, freed of repeated keys, and copied into one
 * allocation. */
#include <model/attrs.h>

#include <errno.h>
#include <stdlib.h>

#include <base/cleanup.h>

#include "attr_text.h"

struct draft {
    struct ft_attr attr;
    size_t scratch_at; /* where its text begins in the scratch buffer, if attr.text has no data */
};

static int key_cmp(struct rn_slice a, struct rn_slice b)
{
    size_t n = a.len < b.len ? a.len : b.len;
    int    c = n > 0 ? memcmp(a.data, b.data, n) : 0;

    return c ? c : (a.len > b.len) - (a.len < b.len);
}

/* Stable: of equal keys the later one stays behind. */
static void sort(struct ft_attr *items, size_t n)
{
    for (size_t i = 1; i < n; i++) {
        struct ft_attr moving = items[i];
        size_t         at = i;

        for (; at > 0 && key_cmp(items[at - 1].key, moving.key) > 0; at--)
            items[at] = items[at - 1];
        items[at] = moving;
    }
}

static size_t keep_last(struct ft_attr *items, size_t n)
{
    size_t kept = 0;

    for (size_t i = 0; i < n; i++) {
        if (i + 1 < n && key_cmp(items[i].key, items[i + 1].key) == 0)
            continue;
        items[kept++] = items[i];
    }
    return kept;
}

static struct rn_slice text_put(char **at, struct rn_slice s)
{
    char *to = *at;

    if (s.len > 0)
        memcpy(to, s.data, s.len);
    to[s.len] = 0;
    *at = to + s.len + 1;
    return rn_slice(to, s.len);
}

/* `items` are sorted and unique. */
static int attrs_copy(const struct ft_attr *items, size_t n, struct ft_attrs **ret)
{
    size_t           texts = 0, bytes;
    struct ft_attrs *a;
    char            *at;

    for (size_t i = 0; i < n; i++) {
        if (items[i].key.len > FT_ATTRS_BYTES_MAX || items[i].text.len > FT_ATTRS_BYTES_MAX)
            return -E2BIG;
        texts += items[i].key.len + items[i].text.len + 2;
    }
    if (texts > FT_ATTRS_BYTES_MAX)
        return -E2BIG;
    bytes = sizeof(*a) + n * sizeof(a->items[0]) + texts;
    a = malloc(bytes);
    if (!a)
        return -ENOMEM;
    *a = (struct ft_attrs){.bytes = bytes, .count = (uint32_t)n};
    at = (char *)(a->items + n);
    for (size_t i = 0; i < n; i++) {
        a->items[i].key = text_put(&at, items[i].key);
        a->items[i].text = text_put(&at, items[i].text);
        a->items[i].kind = items[i].kind;
    }
    *ret = a;
    return 0;
}

int ft_attrs_new(const struct ft_attr *items, size_t n, struct ft_attrs **ret)
{
    CLEANUP(freep) struct ft_attr *sorted = NULL;

    if (n > FT_ATTRS_MAX)
        return -E2BIG;
    sorted = calloc(n ? n : 1, sizeof(*sorted));
    if (!sorted)
        return -ENOMEM;
    for (size_t i = 0; i < n; i++)
        sorted[i] = items[i];
    sort(sorted, n);
    return attrs_copy(sorted, keep_last(sorted, n), ret);
}

static int draft_value(const Opamp__Proto__KeyValue *kv, struct ft_buf *scratch, struct draft *d)
{
    const Opamp__Proto__AnyValue *v = kv->value;
    int                           r;

    *d = (struct draft){.attr = {.key = rn_slice_str(kv->key)}, .scratch_at = scratch->len};
    if (v && v->value_case == OPAMP__PROTO__ANY_VALUE__VALUE_STRING_VALUE) {
        d->attr.text = rn_slice_str(v->string_value);
        return 0;
    }
    r = ft__attr_text(v, scratch, &d->attr.kind);
    d->attr.text.len = scratch->len - d->scratch_at;
    return r;
}

int ft_attrs_from_opamp(Opamp__Proto__KeyValue *const *kvs, size_t n, struct ft_attrs **ret)
{
    CLEANUP(ft_buf_fini) struct ft_buf scratch = FT_BUF_INIT(FT_ATTRS_BYTES_MAX);
    CLEANUP(freep) struct draft       *drafts = NULL;
    CLEANUP(freep) struct ft_attr     *items = NULL;
    int                                r;

    if (n > FT_ATTRS_MAX)
        return -E2BIG;
    drafts = calloc(n ? n : 1, sizeof(*drafts));
    items = calloc(n ? n : 1, sizeof(*items));
    if (!drafts || !items)
        return -ENOMEM;
    for (size_t i = 0; i < n; i++) {
        r = draft_value(kvs[i], &scratch, &drafts[i]);
        if (r < 0)
            return r;
    }
    for (size_t i = 0; i < n; i++) {
        items[i] = drafts[i].attr; /* only now: the scratch buffer may have moved while it grew */
        if (!items[i].text.data && items[i].text.len > 0)
            items[i].text.data = scratch.data + drafts[i].scratch_at;
    }
    return ft_attrs_new(items, n, ret);
}

struct ft_attrs *ft_attrs_free(struct ft_attrs *a)
{
    free(a);
    return NULL;
}

void ft_attrs_freep(struct ft_attrs **a)
{
    *a = ft_attrs_free(*a);
}

const struct ft_attr *ft_attrs_get(const struct ft_attrs *a, struct rn_slice key)
{
    size_t low = 0, high = a ? a->count : 0;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int    c = key_cmp(key, a->items[middle].key);

        if (c == 0)
            return &a->items[middle];
        if (c < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return NULL;
}

#define PREFIX_LEN (sizeof(FT_LABEL_PREFIX) - 1)

bool ft_attr_is_label(const struct ft_attr *attr, struct rn_slice *ret_label)
{
    if (attr->key.len <= PREFIX_LEN || memcmp(attr->key.data, FT_LABEL_PREFIX, PREFIX_LEN) != 0)
        return false;
    *ret_label = rn_slice_from(attr->key, PREFIX_LEN);
    return true;
}

/* The prefix is compared apart from the label, so nothing has to be pasted together. */
const struct ft_attr *ft_attrs_get_label(const struct ft_attrs *a, struct rn_slice label)
{
    struct rn_slice found;

    for (uint32_t i = 0; a && i < a->count; i++) {
        if (ft_attr_is_label(&a->items[i], &found) && rn_slice_eq(found, label))
            return &a->items[i];
    }
    return NULL;
}

bool ft_attrs_eq(const struct ft_attrs *a, const struct ft_attrs *b)
{
    uint32_t count = a ? a->count : 0;

    if (count != (b ? b->count : 0))
        return false;
    for (uint32_t i = 0; i < count; i++) {
        const struct ft_attr *x = &a->items[i], *y = &b->items[i];

        if (x->kind != y->kind || !rn_slice_eq(x->key, y->key) || !rn_slice_eq(x->text, y->text))
            return false;
    }
    return true;
}
