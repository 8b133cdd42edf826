#include "http_router.h"

#include <errno.h>
#include <stdlib.h>

#include <base/cleanup.h>

#include "http_parse.h"

struct segment {
    struct rn_slice text; /* the literal, or the parameter's name */
    bool param;
};

struct entry {
    const struct rnet_http_route *route;
    unsigned n;
    struct segment segments[RNET__SEGMENTS_MAX];
    struct rn_slice verb; /* of the last segment; len 0: none */
};

struct rnet__router {
    size_t n;
    struct entry entries[];
};

/* ---- patterns ---- */

static int compile_segment(struct rn_slice s, bool last, struct entry *e)
{
    struct segment *seg = &e->segments[e->n];

    if (s.len == 0 || s.data[0] != '{') {
        if (memchr(s.data, '{', s.len) || memchr(s.data, '}', s.len))
            return -EINVAL;
        *seg = (struct segment){s, false};
        return 0;
    }
    const uint8_t *end = memchr(s.data, '}', s.len);
    if (!end || end == s.data + 1)
        return -EINVAL;
    *seg = (struct segment){rn_slice(s.data + 1, (size_t)(end - s.data) - 1), true};
    struct rn_slice rest = rn_slice_from(s, (size_t)(end - s.data) + 1);
    if (rest.len == 0)
        return 0;
    if (!last || rest.data[0] != ':' || rest.len == 1)
        return -EINVAL;
    e->verb = rn_slice_from(rest, 1);
    return 0;
}

static int compile(const struct rnet_http_route *route, struct entry *e)
{
    struct rn_slice left = rn_slice_str(route->pattern);
    int r;

    if (!route->handler || !rnet__http_is_token(rn_slice_str(route->method)) || !left.len ||
        left.data[0] != '/')
        return -EINVAL;
    e->route = route;
    while (left.len) {
        left = rn_slice_from(left, 1);
        const uint8_t *slash = memchr(left.data, '/', left.len);
        size_t len = slash ? (size_t)(slash - left.data) : left.len;

        if (e->n == RNET__SEGMENTS_MAX)
            return -EINVAL;
        r = compile_segment(rn_slice(left.data, len), !slash, e);
        if (r < 0)
            return r;
        e->n++;
        left = rn_slice_from(left, len);
    }
    return 0;
}

static int compare_slices(struct rn_slice a, struct rn_slice b)
{
    size_t n = a.len < b.len ? a.len : b.len;
    int c = n ? memcmp(a.data, b.data, n) : 0;

    return c ? c : (a.len > b.len) - (a.len < b.len);
}

/* By shape, the more specific first: literals before parameters from left to right, a verb before
 * none. */
static int compare_shapes(const struct entry *a, const struct entry *b)
{
    if (a->n != b->n)
        return a->n < b->n ? -1 : 1;
    for (unsigned i = 0; i < a->n; i++) {
        const struct segment *x = &a->segments[i], *y = &b->segments[i];
        int c;

        if (x->param != y->param)
            return x->param ? 1 : -1;
        c = x->param ? 0 : compare_slices(x->text, y->text);
        if (c)
            return c;
    }
    return compare_slices(b->verb, a->verb);
}

static int compare_entries(const void *va, const void *vb)
{
    const struct entry *a = va, *b = vb;
    int c = compare_shapes(a, b);

    return c ? c : strcmp(a->route->method, b->route->method);
}

int rnet__router_new(const struct rnet_http_route routes[], size_t n,
                     struct rnet__router **ret_router)
{
    CLEANUP(freep)
    struct rnet__router *router = calloc(1, sizeof(*router) + n * sizeof(struct entry));
    int r;

    if (!router)
        return -ENOMEM;
    router->n = n;
    for (size_t i = 0; i < n; i++) {
        r = compile(&routes[i], &router->entries[i]);
        if (r < 0)
            return r;
    }
    if (n)
        qsort(router->entries, n, sizeof(struct entry), compare_entries);
    for (size_t i = 1; i < n; i++)
        if (compare_entries(&router->entries[i - 1], &router->entries[i]) == 0)
            return -EEXIST;
    *ret_router = TAKE(router);
    return 0;
}

void rnet__router_free(struct rnet__router *router)
{
    free(router);
}

/* ---- paths ---- */

/* Decode one segment; a ':' that was sent as such, the last one, is where a verb may begin. */
static int decode_segment(struct rn_slice raw, uint8_t *room, size_t *ret_verb_at,
                          struct rn_slice *ret)
{
    const uint8_t *colon = raw.len ? memrchr(raw.data, ':', raw.len) : NULL;
    size_t head_len = colon ? (size_t)(colon - raw.data) : raw.len;
    int head = rnet__http_unescape(rn_slice(raw.data, head_len), false, room);

    if (head < 0)
        return head;
    int tail = rnet__http_unescape(rn_slice_from(raw, head_len), false, room + head);
    if (tail < 0)
        return tail;
    *ret_verb_at = colon ? (size_t)head : SIZE_MAX;
    *ret = rn_slice(room, (size_t)head + (size_t)tail);
    return 0;
}

int rnet__path_cut(struct rn_slice path, uint8_t *room, struct rnet__path *p)
{
    p->n = 0;
    p->verb_at = SIZE_MAX;
    if (!path.len || path.data[0] != '/')
        return -404;
    for (size_t from = 1;;) {
        const uint8_t *slash =
            from < path.len ? memchr(path.data + from, '/', path.len - from) : NULL;
        size_t to = slash ? (size_t)(slash - path.data) : path.len;

        if (p->n == RNET__SEGMENTS_MAX)
            return -404;
        if (decode_segment(rn_slice(path.data + from, to - from), room, &p->verb_at,
                           &p->segments[p->n]) < 0)
            return -400;
        room += p->segments[p->n++].len;
        if (!slash)
            return 0;
        from = to + 1;
    }
}

/* ---- finding ---- */

/* What the last segment is to a pattern with a verb: itself without it. False when the verb isn't
 * there. */
static bool strip_verb(const struct entry *e, const struct rnet__path *p, struct rn_slice *last)
{
    if (e->verb.len == 0)
        return true;
    if (p->verb_at == SIZE_MAX || !rn_slice_eq(rn_slice_from(*last, p->verb_at + 1), e->verb))
        return false;
    last->len = p->verb_at;
    return true;
}

static bool matches(const struct entry *e, const struct rnet__path *p, struct rnet__match *m)
{
    unsigned n = 0;

    if (e->n != p->n)
        return false;
    for (unsigned i = 0; i < e->n; i++) {
        const struct segment *want = &e->segments[i];
        struct rn_slice have = p->segments[i];

        if (i + 1 == e->n && !strip_verb(e, p, &have))
            return false;
        if (want->param ? have.len == 0 : !rn_slice_eq(want->text, have))
            return false;
        if (want->param)
            m->params[n++] = (struct rnet__param){want->text, have};
    }
    m->n_params = n;
    return true;
}

static bool allowed(const char *allow, const char *method)
{
    size_t n = strlen(method);

    for (const char *at = allow; (at = strstr(at, method)); at += n)
        if ((at == allow || at[-1] == ' ') && (at[n] == ',' || at[n] == 0))
            return true;
    return false;
}

static void allow_method(char allow[RNET__ALLOW_MAX], const char *method)
{
    size_t n = strlen(allow);

    if (!allowed(allow, method) && n + strlen(method) + 3 < RNET__ALLOW_MAX)
        sprintf(allow + n, "%s%s", n ? ", " : "", method);
}

static int find(const struct rnet__router *router, struct rn_slice method,
                const struct rnet__path *path, struct rnet__match *m)
{
    m->allow[0] = 0;
    for (size_t i = 0; i < router->n; i++) {
        const struct entry *e = &router->entries[i];

        if (!matches(e, path, m))
            continue;
        if (rn_slice_eq_str(method, e->route->method)) {
            m->route = e->route;
            return 0;
        }
        allow_method(m->allow, e->route->method);
        if (strcmp(e->route->method, "GET") == 0)
            allow_method(m->allow, "HEAD");
    }
    return m->allow[0] ? -405 : -404;
}

int rnet__router_find(const struct rnet__router *router, struct rn_slice method,
                      const struct rnet__path *path, struct rnet__match *m)
{
    int r = find(router, method, path, m);

    if (r == -405 && rn_slice_eq_str(method, "HEAD"))
        r = find(router, RN_SLICE_LITERAL("GET"), path, m);
    return r;
}
