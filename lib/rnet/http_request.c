/* The record of a request: where its memory comes from, and what a handler can ask it. */
#include "http_internal.h"

#include <errno.h>
#include <stdlib.h>

#include <base/cleanup.h>
#include <runnel/loop.h>
#include <runnel/runtime.h>

/* ---- blocks ---- */

static const size_t block_sizes[RNET__BLOCK_CLASSES] = {1024, 4096, 16384};

struct rnet__http_loop *rnet__http_loop_self(struct rnet_http *server)
{
    struct rnet__http_loop **loop =
        &server->loops[rn_loop_index(rn_loop_self()) % RNET__HTTP_LOOPS_MAX];

    if (!*loop)
        *loop = calloc(1, sizeof(**loop));
    return *loop;
}

void rnet__http_loop_free(struct rnet__http_loop *loop)
{
    if (!loop)
        return;
    for (int class = 0; class < RNET__BLOCK_CLASSES; class ++)
        for (void *b = loop->blocks[class], *next; b; b = next) {
            memcpy(&next, b, sizeof(next));
            free(b);
        }
    free(loop);
}

static void *block_take(struct rnet_http *server, size_t size, int8_t *ret_class)
{
    struct rnet__http_loop *loop = rnet__http_loop_self(server);
    int8_t class = 0;
    void *b;

    while (class < RNET__BLOCK_CLASSES && block_sizes[class] < size)
        class ++;
    *ret_class = class == RNET__BLOCK_CLASSES ? -1 : class;
    if (*ret_class < 0)
        return malloc(size);
    b = loop ? loop->blocks[class] : NULL;
    if (!b)
        return malloc(block_sizes[class]);
    memcpy(&loop->blocks[class], b, sizeof(b));
    loop->n_blocks[class]--;
    return b;
}

static void block_give(struct rnet_http *server, void *b, int8_t class)
{
    struct rnet__http_loop *loop = class < 0 ? NULL : rnet__http_loop_self(server);

    if (!loop || loop->n_blocks[class] == RNET__BLOCKS_KEPT) {
        free(b);
        return;
    }
    memcpy(b, &loop->blocks[class], sizeof(void *));
    loop->blocks[class] = b;
    loop->n_blocks[class]++;
}

/* ---- making ---- */

static size_t count(struct rn_slice s, uint8_t c)
{
    size_t n = 0;

    for (size_t i = 0; i < s.len; i++)
        n += s.data[i] == c;
    return n;
}

/* Aligned for pairs and fields. NULL cannot happen where size_of_block() has counted right. */
void *rnet__request_room(struct rnet_http_request *req, size_t n)
{
    uint8_t *p = req->room;

    n = (n + 7) & ~(size_t)7;
    rn_assert((size_t)(req->room_end - p) >= n);
    req->room += n;
    return p;
}

static struct rn_slice part_of(struct rn_slice head, struct rnet__http_span span)
{
    return rn_slice(head.data + span.at, span.len);
}

/* Path and query are decoded into room of their own length; a path has at most as many parameters
 * as slashes. */
static size_t size_of_block(const struct rnet__http_head *parsed, struct rn_slice head,
                            size_t n_query)
{
    size_t slashes = count(part_of(head, parsed->path), '/');
    size_t n_params_max = slashes < RNET__SEGMENTS_MAX ? slashes : RNET__SEGMENTS_MAX;

    return sizeof(struct rnet_http_request) + head.len +
           parsed->n_fields * sizeof(struct rnet__http_field) + parsed->path.len +
           parsed->query.len + n_query * sizeof(struct rnet__pair) +
           n_params_max * sizeof(struct rnet__pair) + 64;
}

static int decode_into(struct rn_slice in, uint8_t **room, struct rn_slice *ret)
{
    int n = rnet__http_unescape(in, true, *room);

    if (n < 0)
        return -400;
    *ret = rn_slice(*room, (size_t)n);
    *room += n;
    return 0;
}

/* name=value&name&...; an empty piece between two '&' is no parameter. */
static int read_query(struct rnet_http_request *req, struct rn_slice query, size_t n_max)
{
    uint8_t *room = rnet__request_room(req, query.len);
    int r;

    req->query = rnet__request_room(req, n_max * sizeof(struct rnet__pair));
    while (query.len) {
        const uint8_t *end = memchr(query.data, '&', query.len);
        struct rn_slice piece = rn_slice(query.data, end ? (size_t)(end - query.data) : query.len);
        const uint8_t *equals = memchr(piece.data, '=', piece.len);
        size_t name_len = equals ? (size_t)(equals - piece.data) : piece.len;
        struct rnet__pair *pair = &req->query[req->n_query];

        query = rn_slice_from(query, piece.len + 1);
        if (piece.len == 0)
            continue;
        r = decode_into(rn_slice(piece.data, name_len), &room, &pair->name);
        if (r == 0)
            r = decode_into(rn_slice_from(piece, name_len + 1), &room, &pair->value);
        if (r < 0)
            return r;
        req->n_query++;
    }
    return 0;
}

/* Of a body in chunks it is not known: more than any limit. */
static uint64_t body_length(const struct rnet__http_head *parsed)
{
    if (parsed->chunked)
        return UINT64_MAX;
    return parsed->content_length == RNET__HTTP_NO_LENGTH ? 0 : parsed->content_length;
}

int rnet__request_new(struct rnet_http *server, struct rnet_conn conn, struct rn_slice head,
                      const struct rnet__http_head *parsed, struct rnet_http_request **ret_req)
{
    struct rn_slice query = part_of(head, parsed->query);
    size_t n_query = parsed->has_query ? count(query, '&') + 1 : 0;
    size_t size = size_of_block(parsed, head, n_query);
    struct rnet_http_request *req;
    int8_t class;
    int r;

    if (n_query > RNET__QUERY_MAX)
        return -400;
    req = block_take(server, size, &class);
    if (!req)
        return -503;
    *req = (struct rnet_http_request){
        .magic = RNET__REQUEST_MAGIC,
        .server = server,
        .conn = conn,
        .class = class,
        .minor = parsed->minor,
        .chunked = parsed->chunked,
        .keep_alive = parsed->keep_alive,
        .expect_continue = parsed->expect_continue,
        .n_fields = parsed->n_fields,
        .length = body_length(parsed),
        .body_max = server->options.body_max,
        .room = (uint8_t *)(req + 1),
        .room_end = (uint8_t *)req + (class < 0 ? size : block_sizes[class]),
    };
    atomic_fetch_add(&server->active, 1);
    rnet__http_count(RNET__HTTP_REQUESTS);

    req->head = rn_slice(memcpy(rnet__request_room(req, head.len), head.data, head.len), head.len);
    req->method = part_of(req->head, parsed->method);
    req->path = part_of(req->head, parsed->path);
    req->is_head = rn_slice_eq_str(req->method, "HEAD");
    req->fields = rnet__request_room(req, parsed->n_fields * sizeof(*req->fields));
    if (parsed->n_fields)
        memcpy(req->fields, parsed->fields, parsed->n_fields * sizeof(*req->fields));
    r = read_query(req, part_of(req->head, parsed->query), n_query);
    if (r < 0) {
        rnet__request_free(req);
        return r;
    }
    *ret_req = req;
    return 0;
}

void rnet__request_set_match(struct rnet_http_request *req, const struct rnet__match *match)
{
    req->route = match->route;
    req->n_params = (uint16_t)match->n_params;
    req->params = rnet__request_room(req, match->n_params * sizeof(*req->params));
    for (unsigned i = 0; i < match->n_params; i++)
        req->params[i] = (struct rnet__pair){match->params[i].name, match->params[i].value};
}

void rnet__request_free(struct rnet_http_request *req)
{
    struct rnet_http *server = req->server;

    RN_CHECK(req, RNET__REQUEST_MAGIC);
    req->magic = 0;
    rn_tx_closep(&req->drained);
    free(req->body);
    free(req->extra);
    free(req->out);
    block_give(server, req, req->class);
    atomic_fetch_sub(&server->active, 1);
}

/* The buffer grows with what has really come, never by what was announced. */
int rnet__request_append(struct rnet_http_request *req, struct rn_slice bytes)
{
    size_t need = req->body_len + bytes.len;

    if (bytes.len == 0)
        return 0;
    if (bytes.len > req->body_max || need > req->body_max)
        return -413;
    if (need > req->body_cap) {
        size_t cap = req->body_cap ? req->body_cap : 1024;

        while (cap < need)
            cap *= 2;
        uint8_t *body = realloc(req->body, cap);
        if (!body)
            return -503;
        req->body = body;
        req->body_cap = cap;
    }
    memcpy(req->body + req->body_len, bytes.data, bytes.len);
    req->body_len = need;
    return 0;
}

/* ---- asking ---- */

static const struct rn_slice nothing = {NULL, 0};
static const uint8_t empty[1];

/* There, though empty: data is not NULL. */
static struct rn_slice present(struct rn_slice s)
{
    return s.data ? s : rn_slice(empty, 0);
}

struct rn_slice rnet_http_method(const struct rnet_http_request *req)
{
    return req->method;
}

struct rn_slice rnet_http_path(const struct rnet_http_request *req)
{
    return req->path;
}

struct rn_slice rnet_http_body(const struct rnet_http_request *req)
{
    return present(rn_slice(req->body, req->body_len));
}

static struct rn_slice find_pair(const struct rnet__pair pairs[], size_t n, const char *name)
{
    for (size_t i = 0; i < n; i++)
        if (rn_slice_eq_str(pairs[i].name, name))
            return present(pairs[i].value);
    return nothing;
}

struct rn_slice rnet_http_param(const struct rnet_http_request *req, const char *name)
{
    return find_pair(req->params, req->n_params, name);
}

struct rn_slice rnet_http_query(const struct rnet_http_request *req, const char *name)
{
    return find_pair(req->query, req->n_query, name);
}

bool rnet_http_query_at(const struct rnet_http_request *req, size_t i, struct rn_slice *ret_name,
                        struct rn_slice *ret_value)
{
    if (i >= req->n_query)
        return false;
    *ret_name = present(req->query[i].name);
    *ret_value = present(req->query[i].value);
    return true;
}

struct rn_slice rnet_http_field(const struct rnet_http_request *req, const char *name)
{
    struct rn_slice want = rn_slice_str(name);

    for (unsigned i = 0; i < req->n_fields; i++) {
        const struct rnet__http_field *f = &req->fields[i];

        if (rnet__http_eq_nocase(rn_slice(req->head.data + f->name, f->name_len), want))
            return rn_slice(req->head.data + f->value, f->value_len);
    }
    return nothing;
}

const char *rnet_http_peer(struct rnet_http_request *req)
{
    if (!req->peer[0])
        (void)rnet_conn_peer(req->conn, req->peer, sizeof(req->peer));
    return req->peer;
}
