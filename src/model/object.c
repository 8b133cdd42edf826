/* Lists are sorted with the order of arrival as the second key, so that "the last one of a name" is
 * well defined. */
#include <model/object.h>

#include <errno.h>
#include <stdlib.h>

#include <proto/utf8.h>

static int fail(const char **reterr, const char *why)
{
    if (reterr)
        *reterr = why;
    return -EINVAL;
}

int ft_object_name_check(struct rn_slice name, const char **reterr)
{
    if (name.len == 0)
        return fail(reterr, "an object's name must not be empty");
    if (name.len > FT_OBJECT_NAME_MAX)
        return fail(reterr, "an object's name has at most 255 bytes");
    if (rn_slice_eq_str(name, ".") || rn_slice_eq_str(name, ".."))
        return fail(reterr, "an object's name must not be `.` or `..`");
    for (size_t i = 0; i < name.len; i++) {
        if (name.data[i] < 0x20 || name.data[i] == 0x7f)
            return fail(reterr, "an object's name must not contain control bytes");
        if (name.data[i] == '/')
            return fail(reterr, "an object's name must not contain `/`");
    }
    if (!ft_utf8_valid(name))
        return fail(reterr, "an object's name must be valid UTF-8");
    return 0;
}

static bool is_blank(uint8_t c)
{
    return c == ' ' || c == '\t';
}

int ft_content_type_normalize(struct rn_slice sent, struct rn_slice *ret)
{
    while (sent.len > 0 && is_blank(sent.data[0]))
        sent = rn_slice_from(sent, 1);
    while (sent.len > 0 && is_blank(sent.data[sent.len - 1]))
        sent.len--;
    if (sent.len > FT_CONTENT_TYPE_MAX)
        return -EINVAL;
    for (size_t i = 0; i < sent.len; i++) {
        if (sent.data[i] < 0x20 || sent.data[i] >= 0x7f)
            return -EINVAL;
    }
    *ret = sent.len > 0 ? sent : RN_SLICE_LITERAL(FT_TYPE_OCTETS);
    return 0;
}

static int name_cmp(struct rn_slice a, struct rn_slice b)
{
    size_t n = a.len < b.len ? a.len : b.len;
    int    c = n > 0 ? memcmp(a.data, b.data, n) : 0;

    return c ? c : (a.len > b.len) - (a.len < b.len);
}

int ft_object_cmp(const struct ft_object *a, const struct ft_object *b)
{
    return name_cmp(a->name, b->name);
}

bool ft_object_eq(const struct ft_object *a, const struct ft_object *b)
{
    return rn_slice_eq(a->name, b->name) && rn_slice_eq(a->content_type, b->content_type) &&
           rn_slice_eq(a->body, b->body) && a->is_template == b->is_template;
}

/* Stable, and lists are short and mostly sorted already: insertion. */
static void sort(struct ft_object *items, size_t n)
{
    for (size_t i = 1; i < n; i++) {
        struct ft_object moving = items[i];
        size_t           at = i;

        for (; at > 0 && ft_object_cmp(&items[at - 1], &moving) > 0; at--)
            items[at] = items[at - 1];
        items[at] = moving;
    }
}

static int objects_alloc(size_t n, struct ft_object **ret)
{
    if (n > FT_OBJECTS_MAX)
        return -E2BIG;
    *ret = calloc(n ? n : 1, sizeof(**ret));
    return *ret ? 0 : -ENOMEM;
}

static struct ft_object from_entry(const Opamp__Proto__AgentConfigMap__ConfigMapEntry *e)
{
    struct ft_object o = {.name = rn_slice_str(e->key)};

    if (e->value) {
        o.content_type = rn_slice_str(e->value->content_type);
        o.body = rn_slice(e->value->body.data, e->value->body.len);
    }
    return o;
}

/* Of each run of equal names keep the last. */
static size_t keep_last(struct ft_object *items, size_t n)
{
    size_t kept = 0;

    for (size_t i = 0; i < n; i++) {
        if (i + 1 < n && ft_object_cmp(&items[i], &items[i + 1]) == 0)
            continue;
        items[kept++] = items[i];
    }
    return kept;
}

int ft_objects_from_opamp(const Opamp__Proto__AgentConfigMap *map, struct ft_objects *ret)
{
    size_t            n = map ? map->n_config_map : 0;
    struct ft_object *items;
    int               r = objects_alloc(n, &items);

    if (r < 0)
        return r;
    for (size_t i = 0; i < n; i++)
        items[i] = from_entry(map->config_map[i]);
    sort(items, n);
    *ret = (struct ft_objects){.items = items, .count = keep_last(items, n)};
    return 0;
}

int ft_objects_from(const struct ft_object *objects, size_t n, struct ft_objects *ret)
{
    struct ft_object *items;
    int               r = objects_alloc(n, &items);

    if (r < 0)
        return r;
    for (size_t i = 0; i < n; i++)
        items[i] = objects[i];
    sort(items, n);
    for (size_t i = 1; i < n; i++) {
        if (ft_object_cmp(&items[i - 1], &items[i]) == 0) {
            free(items);
            return -EEXIST;
        }
    }
    *ret = (struct ft_objects){.items = items, .count = n};
    return 0;
}

void ft_objects_fini(struct ft_objects *o)
{
    free(o->items);
    *o = (struct ft_objects){0};
}

const struct ft_object *ft_objects_get(const struct ft_objects *o, struct rn_slice name)
{
    size_t low = 0, high = o->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int    c = name_cmp(name, o->items[middle].name);

        if (c == 0)
            return &o->items[middle];
        if (c < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return NULL;
}
