/* Versions, groups and tables are immutable from the moment they are shared; references are atomic
 * counts. A version's texts lie in one block behind its objects. */
#include <model/configuration.h>

#include <errno.h>
#include <stdlib.h>

#include <base/cleanup.h>

static bool is_alnum(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

int ft_name_check(struct rn_slice name, const char **reterr)
{
    const char *why = NULL;

    if (name.len == 0)
        why = "a name is empty";
    else if (name.len > FT_NAME_MAX)
        why = "a name has at most 128 bytes";
    else if (!is_alnum(name.data[0]))
        why = "a name begins with a letter or a digit";
    for (size_t i = 0; !why && i < name.len; i++) {
        if (!is_alnum(name.data[i]) && !memchr("._-", name.data[i], 3))
            why = "a name has only letters, digits, '.', '_' and '-'";
    }
    if (why && reterr)
        *reterr = why;
    return why ? -EINVAL : 0;
}

static void count_ref(_Atomic uint32_t *refs)
{
    atomic_fetch_add_explicit(refs, 1, memory_order_relaxed);
}

static bool count_was_last(_Atomic uint32_t *refs)
{
    /* acq_rel: the last one sees what the others did before they let go */
    return atomic_fetch_sub_explicit(refs, 1, memory_order_acq_rel) == 1;
}

static struct rn_slice copy_text(uint8_t **at, struct rn_slice text)
{
    const struct rn_slice copy = {*at, text.len};

    if (text.len)
        memcpy(*at, text.data, text.len);
    *at += text.len;
    return copy;
}

int ft_version_new(const struct ft_version_head *head, const struct ft_objects *objects,
                   struct ft_version **ret)
{
    CLEANUP(ft_version_unrefp) struct ft_version *v = calloc(1, sizeof(*v));
    uint8_t *at;
    int      r;

    if (!v)
        return -ENOMEM;
    atomic_init(&v->refs, 1);
    v->head = *head;

    r = ft_objects_from(objects->items, objects->count, &v->objects);
    if (r < 0)
        return r;

    for (size_t i = 0; i < v->objects.count; i++) {
        const struct ft_object *o = &v->objects.items[i];

        v->bytes += o->name.len + o->content_type.len + o->body.len;
        v->templated |= o->is_template;
    }
    v->texts = malloc(v->bytes ? v->bytes : 1);
    if (!v->texts)
        return -ENOMEM;

    at = v->texts;
    for (size_t i = 0; i < v->objects.count; i++) {
        struct ft_object *o = &v->objects.items[i];

        o->name = copy_text(&at, o->name);
        o->content_type = copy_text(&at, o->content_type);
        o->body = copy_text(&at, o->body);
    }
    *ret = TAKE(v);
    return 0;
}

struct ft_version *ft_version_ref(struct ft_version *v)
{
    count_ref(&v->refs);
    return v;
}

struct ft_version *ft_version_unref(struct ft_version *v)
{
    if (!v || !count_was_last(&v->refs))
        return NULL;
    ft_objects_fini(&v->objects);
    free(v->texts);
    free(v);
    return NULL;
}

void ft_version_unrefp(struct ft_version **v)
{
    *v = ft_version_unref(*v);
}

struct ft_group *ft_group_ref(struct ft_group *g)
{
    count_ref(&g->refs);
    return g;
}

struct ft_group *ft_group_unref(struct ft_group *g)
{
    if (!g || !count_was_last(&g->refs))
        return NULL;
    ft_selector_free(g->selector);
    ft_version_unref(g->version);
    ft_attrs_free(g->variables);
    free(g);
    return NULL;
}

void ft_group_unrefp(struct ft_group **g)
{
    *g = ft_group_unref(*g);
}

int ft_groups_new(size_t count, struct ft_groups **ret)
{
    struct ft_groups *t = calloc(1, sizeof(*t) + count * sizeof(t->items[0]));

    if (!t)
        return -ENOMEM;
    atomic_init(&t->refs, 1);
    t->count = count;
    *ret = t;
    return 0;
}

static int compare_groups(const void *a, const void *b)
{
    const struct ft_group *x = *(struct ft_group *const *)a, *y = *(struct ft_group *const *)b;

    if (ft_group_is_default(x) != ft_group_is_default(y))
        return ft_group_is_default(x) ? 1 : -1;
    if (x->priority != y->priority)
        return x->priority > y->priority ? -1 : 1;
    return strcmp(x->name, y->name);
}

void ft_groups_sort(struct ft_groups *t)
{
    qsort(t->items, t->count, sizeof(t->items[0]), compare_groups);
}

struct ft_groups *ft_groups_ref(struct ft_groups *t)
{
    count_ref(&t->refs);
    return t;
}

struct ft_groups *ft_groups_unref(struct ft_groups *t)
{
    if (!t || !count_was_last(&t->refs))
        return NULL;
    for (size_t i = 0; i < t->count; i++)
        ft_group_unref(t->items[i]);
    free(t);
    return NULL;
}

void ft_groups_unrefp(struct ft_groups **t)
{
    *t = ft_groups_unref(*t);
}

struct ft_group *ft_groups_get(const struct ft_groups *t, struct rn_slice name)
{
    for (size_t i = 0; i < t->count; i++) {
        if (rn_slice_eq_str(name, t->items[i]->name))
            return t->items[i];
    }
    return NULL;
}

struct ft_group *ft_groups_match(const struct ft_groups *t, ft_selector_lookup_fn lookup, void *arg)
{
    for (size_t i = 0; i < t->count; i++) {
        if (ft_selector_match(t->items[i]->selector, lookup, arg))
            return t->items[i];
    }
    return NULL;
}
