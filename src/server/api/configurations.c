/* /configurations and their versions */
#include "api/internal.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>

#include <base/cleanup.h>

static json_t *json_configuration(const struct ft_configuration *c)
{
    return json_pack("{s:s, s:s, s:I, s:o, s:o}", "name", c->name, "comment", c->comment, "latest",
                     (json_int_t)c->latest, "created", ft_json_time(c->created_ms), "updated",
                     ft_json_time(c->updated_ms));
}

static json_t *json_head(const struct ft_version_head *h)
{
    return json_pack("{s:s, s:I, s:o, s:s, s:o}", "configuration", h->configuration, "version",
                     (json_int_t)h->number, "hash", ft_json_hash(&h->hash, true), "comment",
                     h->comment, "created", ft_json_time(h->created_ms));
}

/* An optional string member, or false after a 400. */
static bool string_member(struct rnet_http_request *req, const json_t *object, const char *key,
                          struct rn_slice *ret)
{
    const json_t *j = json_object_get(object, key);
    char pointer[64];

    *ret = (struct rn_slice){0};
    if (!j || json_is_null(j))
        return true;
    if (json_is_string(j)) {
        *ret = rn_slice(json_string_value(j), json_string_length(j));
        return true;
    }
    snprintf(pointer, sizeof(pointer), "/%s", key);
    ft_reply_field(req, 400, pointer, "must be a string");
    return false;
}

void ft_handle_configurations_list(void *arg, struct rnet_http_request *req)
{
    struct ft_api *api = arg;
    CLEANUP(freep) struct ft_configuration *list = NULL;
    struct ft_page page;
    size_t n = 0;

    if (!ft_request_page(req, &page))
        return;
    int r = ft_catalog_configuration_list(api->o.catalog, rn_slice_str(page.after), page.limit + 1,
                                          &list, &n);
    if (r < 0) {
        ft_reply_error(api, req, r, NULL, "configuration");
        return;
    }
    json_t *items = json_array();
    for (size_t i = 0; i < n && i < page.limit; i++)
        ft_json_add(&items, json_configuration(&list[i]));
    ft_reply_json(req, 200, ft_page_json(items, n > page.limit ? list[page.limit - 1].name : NULL));
}

void ft_handle_configurations_post(void *arg, struct rnet_http_request *req)
{
    static const char *const keys[] = {"name", "comment", NULL};
    struct ft_api *api = arg;
    struct ft_configuration c;
    struct ft_problem problem = {0};
    struct rn_slice name, comment;
    json_t *body;

    if (!ft_request_json(req, &body))
        return;
    if (ft_request_known_keys(req, body, keys) && string_member(req, body, "name", &name) &&
        string_member(req, body, "comment", &comment)) {
        int r = ft_catalog_configuration_create(api->o.catalog, name, comment, &c, &problem);
        if (r < 0)
            ft_reply_error(api, req, r, &problem, "configuration");
        else
            ft_reply_json_tagged(req, 201, json_configuration(&c), c.revision);
    }
    json_decref(body);
}

void ft_handle_configuration_get(void *arg, struct rnet_http_request *req)
{
    struct ft_api *api = arg;
    struct ft_configuration c;

    int r = ft_catalog_configuration_get(api->o.catalog, rnet_http_param(req, "name"), &c);
    if (r < 0)
        ft_reply_error(api, req, r, NULL, "configuration");
    else
        ft_reply_json_tagged(req, 200, json_configuration(&c), c.revision);
}

void ft_handle_versions_list(void *arg, struct rnet_http_request *req)
{
    struct ft_api *api = arg;
    CLEANUP(freep) struct ft_version_head *list = NULL;
    struct ft_page page;
    int64_t after = 0;
    size_t n = 0;

    if (!ft_request_page(req, &page))
        return;
    if (page.after[0] &&
        (!ft_slice_int(rn_slice_str(page.after), &after) || after < 0 || after > UINT32_MAX)) {
        ft_reply_problem(req, 400, "cursor must be a `next` of an earlier page");
        return;
    }
    int r = ft_catalog_version_list(api->o.catalog, rnet_http_param(req, "name"), (uint32_t)after,
                                    page.limit + 1, &list, &n);
    if (r < 0) {
        ft_reply_error(api, req, r, NULL, "configuration");
        return;
    }
    json_t *items = json_array();
    for (size_t i = 0; i < n && i < page.limit; i++)
        ft_json_add(&items, json_head(&list[i]));
    char last[16];
    if (n > page.limit)
        snprintf(last, sizeof(last), "%u", list[page.limit - 1].number);
    ft_reply_json(req, 200, ft_page_json(items, n > page.limit ? last : NULL));
}

bool ft_request_version(struct ft_api *api, struct rnet_http_request *req, struct rn_slice number,
                        struct ft_version **ret)
{
    int64_t n;

    if (!ft_slice_int(number, &n) || n < 1 || n > UINT32_MAX) {
        ft_reply_problem(req, 404, "there is no such version: a version is a number from 1");
        return false;
    }
    int r = ft_catalog_version_get(api->o.catalog, rnet_http_param(req, "name"), (uint32_t)n, ret);
    if (r < 0)
        ft_reply_error(api, req, r, NULL, "version");
    return r == 0;
}

void ft_handle_version_get(void *arg, struct rnet_http_request *req)
{
    CLEANUP(ft_version_unrefp) struct ft_version *v = NULL;

    if (!ft_request_version(arg, req, rnet_http_param(req, "n"), &v))
        return;
    json_t *j = json_head(&v->head);
    ft_json_set(&j, RN_SLICE_LITERAL("objects"), ft_json_objects(&v->objects, true));
    ft_reply_json(req, 200, j);
}

/* ---- POST .../versions ---- */

/* The objects of a request; bodies that came as base64 are decoded into memory of ours. */
struct drafts {
    struct ft_object items[FT_OBJECTS_MAX];
    uint8_t *decoded[FT_OBJECTS_MAX];
    size_t n;
};

static void drafts_free(struct drafts **d)
{
    for (size_t i = 0; *d && i < (*d)->n; i++)
        free((*d)->decoded[i]);
    free(*d);
}

/* A JSON pointer to a member of an object, with the name escaped (RFC 6901). */
static void point_at(const char *name, const char *member, char pointer[1024])
{
    size_t n = (size_t)snprintf(pointer, 1024, "/objects/");

    for (; *name && n < 900; name++) {
        if (*name == '~' || *name == '/')
            n += (size_t)snprintf(pointer + n, 1024 - n, "~%c", *name == '~' ? '0' : '1');
        else
            pointer[n++] = *name;
    }
    snprintf(pointer + n, 1024 - n, "%s", member);
}

/* Only the alphabet, and one or two `=` at the very end: the decoder of libcrypto is not so strict.
 */
static bool is_base64(struct rn_slice text, size_t *ret_padding)
{
    size_t padding = 0;

    if (text.len % 4 != 0 || text.len > INT32_MAX)
        return false;
    while (padding < 2 && padding < text.len && text.data[text.len - 1 - padding] == '=')
        padding++;
    for (size_t i = 0; i < text.len - padding; i++)
        if (!isalnum(text.data[i]) && text.data[i] != '+' && text.data[i] != '/')
            return false;
    *ret_padding = padding;
    return true;
}

static int decode_base64(struct rn_slice text, uint8_t **ret, size_t *ret_len)
{
    size_t padding;

    if (!is_base64(text, &padding))
        return -EINVAL;
    CLEANUP(freep) uint8_t *out = malloc(text.len / 4 * 3 + 4);
    if (!out)
        return -ENOMEM;
    int n = EVP_DecodeBlock(out, text.data, (int)text.len);
    if (n < 0)
        return -EINVAL;
    *ret = TAKE(out);
    *ret_len = (size_t)n - padding;
    return 0;
}

static const char *read_body(const json_t *value, struct ft_object *o, uint8_t **decoded,
                             const char **member)
{
    const json_t *body = json_object_get(value, "body"),
                 *encoded = json_object_get(value, "body_base64");
    size_t len;

    *member = body ? "/body" : "/body_base64";
    if (!body == !encoded)
        return "an object has either body or body_base64";
    if (!json_is_string(body ? body : encoded))
        return "must be a string";
    if (body) {
        o->body = rn_slice(json_string_value(body), json_string_length(body));
        return NULL;
    }
    int r = decode_base64(rn_slice(json_string_value(encoded), json_string_length(encoded)),
                          decoded, &len);
    if (r < 0)
        return r == -EINVAL ? "is not base64" : "the server is out of memory";
    o->body = rn_slice(*decoded, len);
    return NULL;
}

/* Returns what is wrong, or NULL. */
static const char *read_object(const json_t *value, struct ft_object *o, uint8_t **decoded,
                               const char **member)
{
    static const char *const keys[] = {"content_type", "body", "body_base64", "template"};
    const json_t *type = json_object_get(value, "content_type"),
                 *templated = json_object_get(value, "template");
    const char *key;
    json_t *ignored;

    *member = "";
    if (!json_is_object(value))
        return "must be an object with content_type and body";
    json_object_foreach((json_t *)value, key, ignored)
    {
        size_t i = 0;
        while (i < 4 && strcmp(keys[i], key) != 0)
            i++;
        if (i == 4)
            return "an object has content_type, body or body_base64, and template: remove what "
                   "else is there";
    }
    *member = "/content_type";
    if (type && !json_is_string(type))
        return "must be a string";
    if (type)
        o->content_type = rn_slice(json_string_value(type), json_string_length(type));
    *member = "/template";
    if (templated && !json_is_boolean(templated))
        return "must be true or false";
    o->is_template = json_is_true(templated);
    return read_body(value, o, decoded, member);
}

static bool read_objects(struct rnet_http_request *req, const json_t *objects, struct drafts *d)
{
    const char *name, *member;
    json_t *value;
    char pointer[1024];

    if (!json_is_object(objects) || json_object_size(objects) == 0 ||
        json_object_size(objects) > FT_OBJECTS_MAX) {
        ft_reply_field(req, 400, "/objects",
                       "must be an object with 1 to 256 members, NAME: {content_type, body}");
        return false;
    }
    json_object_foreach((json_t *)objects, name, value)
    {
        struct ft_object *o = &d->items[d->n];
        o->name = rn_slice_str(name);
        const char *wrong = read_object(value, o, &d->decoded[d->n], &member);
        d->n++;
        if (wrong) {
            point_at(name, member, pointer);
            ft_reply_field(req, 400, pointer, wrong);
            return false;
        }
    }
    return true;
}

static void post_version(struct ft_api *api, struct rnet_http_request *req, const json_t *body,
                         struct drafts *d)
{
    static const char *const keys[] = {"objects", "comment", NULL};
    struct ft_version_head head;
    struct ft_problem problem = {0};
    struct rn_slice comment;
    bool created;

    if (!ft_request_known_keys(req, body, keys) || !string_member(req, body, "comment", &comment) ||
        !read_objects(req, json_object_get(body, "objects"), d))
        return;
    int r = ft_catalog_version_add(api->o.catalog, rnet_http_param(req, "name"), d->items, d->n,
                                   comment, &head, &created, &problem);
    if (r < 0)
        ft_reply_error(api, req, r, &problem, "configuration");
    else
        ft_reply_json(req, created ? 201 : 200, json_head(&head));
}

void ft_handle_versions_post(void *arg, struct rnet_http_request *req)
{
    CLEANUP(drafts_free) struct drafts *d = calloc(1, sizeof(*d));
    json_t *body;

    if (!d) {
        ft_reply_problem(req, 503, "the server is out of memory");
        return;
    }
    if (!ft_request_json(req, &body))
        return;
    post_version(arg, req, body, d);
    json_decref(body);
}
