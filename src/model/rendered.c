/* The AgentRemoteConfig is written by hand: one pass over known lengths, so that the objects' texts
 * are slices of the encoded message and each body lies in memory once.
 *
 *     AgentRemoteConfig { 1: AgentConfigMap { 1: entry { 1: name, 2: AgentConfigObject { 1: body,
 * 2: content_type } } ... }, 2: hash }
 *
 * As proto3 wants it, empty fields are left out. The test reads it back with the generated decoder.
 */
#include <model/rendered.h>

#include <errno.h>
#include <stdlib.h>

#include <base/assert.h>
#include <base/cleanup.h>

enum { TAG_1 = 1 << 3 | 2, TAG_2 = 2 << 3 | 2 }; /* length-delimited */

struct lens {
    size_t object, entry;
};

static size_t varint_len(uint64_t v)
{
    size_t n = 1;

    for (; v >= 0x80; v >>= 7)
        n++;
    return n;
}

/* Tag, length and contents; tags here are one byte. */
static size_t field_len(size_t len)
{
    return 1 + varint_len(len) + len;
}

static size_t text_len(size_t len)
{
    return len ? field_len(len) : 0;
}

static struct lens lens_of(const struct ft_object *o, size_t body_len)
{
    struct lens l;

    l.object = text_len(body_len) + text_len(o->content_type.len);
    l.entry = text_len(o->name.len) + field_len(l.object);
    return l;
}

static size_t wire_len(size_t map_len)
{
    return field_len(map_len) + field_len(FT_HASH_LEN);
}

size_t ft_rendered_wire_min(const struct ft_objects *objects)
{
    size_t map = 0;

    for (size_t i = 0; i < objects->count; i++) {
        const struct ft_object *o = &objects->items[i];

        map += field_len(lens_of(o, o->is_template ? 0 : o->body.len).entry);
    }
    return wire_len(map);
}

static uint8_t *put_head(uint8_t *p, uint8_t tag, uint64_t len)
{
    *p++ = tag;
    for (; len >= 0x80; len >>= 7)
        *p++ = (uint8_t)(len | 0x80);
    *p++ = (uint8_t)len;
    return p;
}

/* Writes the field and makes *text a slice of it. */
static uint8_t *put_text(uint8_t *p, uint8_t tag, struct rn_slice *text)
{
    if (text->len == 0) {
        *text = rn_slice("", 0);
        return p;
    }
    p = put_head(p, tag, text->len);
    memcpy(p, text->data, text->len);
    text->data = p;
    return p + text->len;
}

static uint8_t *put_entry(uint8_t *p, struct ft_object *o)
{
    const struct lens l = lens_of(o, o->body.len);

    p = put_head(p, TAG_1, l.entry);
    p = put_text(p, TAG_1, &o->name);
    p = put_head(p, TAG_2, l.object);
    p = put_text(p, TAG_1, &o->body);
    return put_text(p, TAG_2, &o->content_type);
}

int ft_rendered_new(const struct ft_objects *objects, struct ft_rendered **ret)
{
    CLEANUP(ft_rendered_unrefp) struct ft_rendered *r = calloc(1, sizeof(*r));
    size_t   map = 0, len;
    uint8_t *wire, *p;
    int      e;

    if (!r)
        return -ENOMEM;
    atomic_init(&r->refs, 1);

    e = ft_objects_from(objects->items, objects->count, &r->objects);
    if (e < 0)
        return e;
    e = ft_hash_objects(&r->objects, &r->hash);
    if (e < 0)
        return e;

    for (size_t i = 0; i < r->objects.count; i++) {
        struct ft_object *o = &r->objects.items[i];

        map += field_len(lens_of(o, o->body.len).entry);
        r->bytes += o->name.len + o->content_type.len + o->body.len;
        o->is_template = false;
    }
    len = wire_len(map);
    wire = malloc(len);
    if (!wire)
        return -ENOMEM;
    r->wire = rn_slice(wire, len);

    p = put_head(wire, TAG_1, map);
    for (size_t i = 0; i < r->objects.count; i++)
        p = put_entry(p, &r->objects.items[i]);
    p = put_head(p, TAG_2, FT_HASH_LEN);
    memcpy(p, r->hash.bytes, FT_HASH_LEN);
    rn_assert(p + FT_HASH_LEN == wire + len);

    *ret = TAKE(r);
    return 0;
}

struct ft_rendered *ft_rendered_ref(struct ft_rendered *r)
{
    atomic_fetch_add_explicit(&r->refs, 1, memory_order_relaxed);
    return r;
}

struct ft_rendered *ft_rendered_unref(struct ft_rendered *r)
{
    /* acq_rel: the last one sees what the others did before they let go */
    if (!r || atomic_fetch_sub_explicit(&r->refs, 1, memory_order_acq_rel) > 1)
        return NULL;
    ft_objects_fini(&r->objects);
    free((void *)(uintptr_t)r->wire.data);
    free(r);
    return NULL;
}

void ft_rendered_unrefp(struct ft_rendered **r)
{
    *r = ft_rendered_unref(*r);
}
