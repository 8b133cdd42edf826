/* Rendering, and the cache that keeps each distinct result once.
 *
 * The cache maps hash -> ft_rendered. A version without templates has its result under its own
 * hash, so that the second agent of a group costs one look-up. An entry whose only reference is the
 * cache's own is garbage: since new references are handed out under the lock only, a count of one
 * seen under the lock cannot grow meanwhile.
 */
#include "config/render.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <base/cleanup.h>

#include <runnel/lock.h>

#define BUCKETS 16384

/* What rides along in the same ServerToAgent: uid, flags, acks, connection settings... */
#define ENVELOPE_BYTES ((size_t)1024)

struct entry {
    struct entry       *next;
    struct ft_rendered *rendered; /* counted */
};

struct ft_renderer {
    size_t         wire_max; /* set once */
    struct rn_lock lock;
    struct entry  *buckets[BUCKETS]; /* lock */
};

size_t ft_render_wire_max(size_t message_max)
{
    return message_max > ENVELOPE_BYTES ? message_max - ENVELOPE_BYTES : 0;
}

int ft_renderer_new(size_t message_max, struct ft_renderer **ret)
{
    struct ft_renderer *r = calloc(1, sizeof(*r));

    if (!r)
        return -ENOMEM;
    r->wire_max = ft_render_wire_max(message_max);
    *ret = r;
    return 0;
}

void ft_renderer_free(struct ft_renderer *r)
{
    if (!r)
        return;
    for (size_t i = 0; i < BUCKETS; i++) {
        while (r->buckets[i]) {
            struct entry *e = r->buckets[i];

            r->buckets[i] = e->next;
            ft_rendered_unref(e->rendered);
            free(e);
        }
    }
    free(r);
}

void ft_renderer_freep(struct ft_renderer **r)
{
    ft_renderer_free(*r);
    *r = NULL;
}

/* ---- The cache ---- */

static struct entry **bucket_of(struct ft_renderer *r, const struct ft_hash *hash)
{
    return &r->buckets[(hash->bytes[0] | hash->bytes[1] << 8) % BUCKETS];
}

static struct entry *find_locked(struct ft_renderer *r, const struct ft_hash *hash)
{
    struct entry *e = *bucket_of(r, hash);

    while (e && !ft_hash_eq(&e->rendered->hash, hash))
        e = e->next;
    return e;
}

static struct ft_rendered *cache_get(struct ft_renderer *r, const struct ft_hash *hash)
{
    struct ft_rendered *found = NULL;
    struct entry       *e;

    rn_lock_acquire(&r->lock);
    e = find_locked(r, hash);
    if (e)
        found = ft_rendered_ref(e->rendered);
    rn_lock_release(&r->lock);
    return found;
}

/* Keep `made`, or drop it for an equal one that came first. Takes it over, returns what to use. */
static struct ft_rendered *cache_put(struct ft_renderer *r, struct ft_rendered *made)
{
    struct entry *fresh = malloc(sizeof(*fresh)), *e;
    struct ft_rendered *use = made;

    if (!fresh)
        return made; /* works, but isn't shared */
    rn_lock_acquire(&r->lock);
    e = find_locked(r, &made->hash);
    if (e) {
        use = ft_rendered_ref(e->rendered);
    } else {
        struct entry **bucket = bucket_of(r, &made->hash);

        *fresh = (struct entry){*bucket, ft_rendered_ref(made)};
        *bucket = TAKE(fresh);
    }
    rn_lock_release(&r->lock);
    free(fresh);
    if (use != made)
        ft_rendered_unref(made);
    return use;
}

/* Takes garbage out of a bucket, and counts what stays. */
static struct entry *prune_locked(struct entry **bucket, size_t *n)
{
    struct entry *garbage = NULL;

    for (struct entry **at = bucket; *at;) {
        struct entry *e = *at;

        if (atomic_load_explicit(&e->rendered->refs, memory_order_acquire) > 1) {
            at = &e->next;
            (*n)++;
            continue;
        }
        *at = e->next;
        e->next = garbage;
        garbage = e;
    }
    return garbage;
}

size_t ft_renderer_prune(struct ft_renderer *r)
{
    size_t n = 0;

    for (size_t i = 0; i < BUCKETS; i++) {
        struct entry *garbage;

        rn_lock_acquire(&r->lock);
        garbage = prune_locked(&r->buckets[i], &n);
        rn_lock_release(&r->lock);
        while (garbage) {
            struct entry *e = garbage;

            garbage = e->next;
            ft_rendered_unref(e->rendered);
            free(e);
        }
    }
    return n;
}

/* ---- Rendering ---- */

struct values {
    const struct ft_group   *group;
    const struct ft_subject *subject;
    char                     uid[FT_UUID_TEXT_SIZE];
};

static bool value_of(void *arg, enum ft_template_kind kind, struct rn_slice name,
                     struct rn_slice *ret_value)
{
    const struct values  *v = arg;
    const struct ft_attr *attr;

    switch (kind) {
    case FT_TEMPLATE_UID:
        *ret_value = rn_slice(v->uid, FT_UUID_TEXT_LEN);
        return true;
    case FT_TEMPLATE_ATTR:
        return ft_subject_attr(v->subject, name, ret_value);
    case FT_TEMPLATE_LABEL:
        attr = ft_attrs_get_label(v->subject->non_identifying, name);
        break;
    default:
        attr = ft_attrs_get(v->group->variables, name);
        break;
    }
    if (attr)
        *ret_value = attr->text;
    return attr != NULL;
}

/* All templates of a version go into one buffer; the objects get their slices when it no longer
 * moves. */
static int render_templates(const struct ft_renderer *r, struct values *v,
                            struct ft_objects *objects, struct ft_buf *texts,
                            struct ft_syntax_error *reterr)
{
    size_t at = 0;

    texts->max = r->wire_max;
    for (size_t i = 0; i < objects->count; i++) {
        struct ft_object *o = &objects->items[i];
        const size_t      before = texts->len;
        int               e;

        if (!o->is_template)
            continue;
        e = ft_template_render(o->name, o->body, value_of, v, texts, reterr);
        if (e < 0)
            return e;
        o->body.len = texts->len - before;
    }
    for (size_t i = 0; i < objects->count; i++) {
        struct ft_object *o = &objects->items[i];

        if (!o->is_template)
            continue;
        o->body.data = o->body.len ? texts->data + at : (const uint8_t *)"";
        at += o->body.len;
        o->is_template = false;
    }
    return 0;
}

static const struct ft_object *largest(const struct ft_objects *objects)
{
    const struct ft_object *o = objects->items;

    for (size_t i = 1; i < objects->count; i++) {
        if (objects->items[i].body.len > o->body.len)
            o = &objects->items[i];
    }
    return o;
}

/* The result for objects that are rendered: found by their hash, or made. */
static int finish(struct ft_renderer *r, const struct ft_objects *objects,
                  const struct ft_hash *hash, struct ft_rendered **ret,
                  struct ft_syntax_error *reterr)
{
    struct ft_rendered *made;
    int                 e;

    if (ft_rendered_wire_min(objects) > r->wire_max) {
        const struct rn_slice name = largest(objects)->name;

        (void)snprintf(
            reterr->text, sizeof(reterr->text),
            "%.*s:1: the rendered configuration passes %zu bytes: shorten it, or raise message_max",
            (int)name.len, (const char *)name.data, r->wire_max);
        return -E2BIG;
    }
    made = cache_get(r, hash);
    if (!made) {
        e = ft_rendered_new(objects, &made);
        if (e < 0)
            return e;
        made = cache_put(r, made);
    }
    *ret = made;
    return 0;
}

int ft_render(struct ft_renderer *r, const struct ft_group *group, const struct ft_subject *subject,
              struct ft_rendered **ret, struct ft_syntax_error *reterr)
{
    CLEANUP(ft_objects_fini) struct ft_objects objects = {0};
    CLEANUP(ft_buf_fini) struct ft_buf         texts = {0};
    const struct ft_version *version = group->version;
    struct values            values = {.group = group, .subject = subject};
    struct ft_hash           hash;
    int                      e;

    if (!version->templated)
        return finish(r, &version->objects, &version->head.hash, ret, reterr);

    ft_uuid_format(&subject->uid, values.uid);
    e = ft_objects_from(version->objects.items, version->objects.count, &objects);
    if (e == 0)
        e = render_templates(r, &values, &objects, &texts, reterr);
    if (e == 0)
        e = ft_hash_objects(&objects, &hash);
    return e < 0 ? e : finish(r, &objects, &hash, ret, reterr);
}
