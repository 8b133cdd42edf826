#include "api/internal.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <openssl/evp.h>

#include <base/cleanup.h>

#include <proto/utf8.h>

void ft_reply_json(struct rnet_http_request *req, unsigned status, json_t *body)
{
    CLEANUP(freep) char *text = body ? json_dumps(body, JSON_COMPACT) : NULL;

    json_decref(body);
    if (text)
        (void)rnet_http_respond(req, status, "application/json", rn_slice_str(text));
    else
        (void)rnet_http_problem(req, 500, "the server is out of memory", NULL);
}

void ft_reply_json_tagged(struct rnet_http_request *req, unsigned status, json_t *body,
                          uint64_t revision)
{
    char tag[32];

    snprintf(tag, sizeof(tag), "\"%llu\"", (unsigned long long)revision);
    (void)rnet_http_header(req, "ETag", tag);
    ft_reply_json(req, status, body);
}

void ft_reply_problem(struct rnet_http_request *req, unsigned status, const char *format, ...)
{
    char detail[1024];
    va_list args;

    va_start(args, format);
    vsnprintf(detail, sizeof(detail), format, args);
    va_end(args);
    (void)rnet_http_problem(req, status, detail, NULL);
}

void ft_reply_field(struct rnet_http_request *req, unsigned status, const char *pointer,
                    const char *detail)
{
    json_t *errors = json_pack("[{s:s, s:s}]", "pointer", pointer, "detail", detail);
    CLEANUP(freep) char *array = errors ? json_dumps(errors, JSON_COMPACT) : NULL;
    CLEANUP(freep) char *members = NULL;

    json_decref(errors);
    if (array && asprintf(&members, "\"errors\":%s", array) < 0)
        members = NULL;
    (void)rnet_http_problem(req, status, detail, members);
}

static unsigned status_of(int error)
{
    switch (error) {
    case -EINVAL:
        return 400;
    case -EBADMSG:
    case -E2BIG:
        return 422;
    case -ENOENT:
        return 404;
    case -EEXIST:
    case -EPERM:
        return 409;
    case -ESTALE:
        return 412;
    default:
        return 503;
    }
}

static const char *words_of(int error)
{
    switch (error) {
    case -ENOENT:
        return "there is no such";
    case -EEXIST:
        return "there already is such a";
    case -EPERM:
        return "this cannot be done with this";
    case -ESTALE:
        return "If-Match does not hold: read it again. It was changed:";
    default:
        return "not acceptable:";
    }
}

/* The storage failed: what was asked was not done, and can be tried again. */
static void reply_storage(struct ft_api *api, struct rnet_http_request *req, int error)
{
    struct ft_text_error last;

    (void)rnet_http_header(req, "Retry-After", "5");
    if (ft_store_error_is_storage(error) && ft_store_last_error(api->o.store, &last))
        ft_reply_problem(req, 503, "nothing was changed: %s", last.text);
    else
        ft_reply_problem(req, 503, "nothing was changed: %s: try again", strerror(-error));
}

void ft_reply_error(struct ft_api *api, struct rnet_http_request *req, int error,
                    const struct ft_problem *problem, const char *what)
{
    unsigned status = status_of(error);

    if (status == 503)
        reply_storage(api, req, error);
    else if (problem && problem->detail[0])
        ft_reply_field(req, status, problem->pointer, problem->detail);
    else
        ft_reply_problem(req, status, "%s %s", words_of(error), what);
}

/* ---- JSON of small things ---- */

json_t *ft_json_time(int64_t ms)
{
    char text[40];
    time_t s = (time_t)(ms / 1000);
    struct tm tm;

    if (ms == 0 || !gmtime_r(&s, &tm))
        return json_null();
    size_t n = strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(text + n, sizeof(text) - n, ".%03dZ", (int)(ms % 1000));
    return json_string(text);
}

json_t *ft_json_slice(struct rn_slice s)
{
    char clean[FT_TEXT_MAX + 1];

    if (ft_utf8_valid(s) && (s.len == 0 || !memchr(s.data, '\0', s.len)))
        return json_stringn(s.len ? (const char *)s.data : "", s.len);
    return json_stringn(clean, ft_text_clean(s, clean, sizeof(clean)));
}

json_t *ft_json_hash(const struct ft_hash *h, bool present)
{
    char text[FT_HASH_HEX_SIZE];

    if (!present)
        return json_null();
    ft_hash_format(h, text);
    return json_string(text);
}

static json_t *base64(struct rn_slice s)
{
    CLEANUP(freep) unsigned char *text = malloc(s.len / 3 * 4 + 5);

    if (!text || s.len > INT32_MAX / 2)
        return NULL;
    int n = EVP_EncodeBlock(text, s.data, (int)s.len);
    return json_stringn((const char *)text, (size_t)n);
}

json_t *ft_json_object(const struct ft_object *o, bool with_template)
{
    bool is_text =
        ft_utf8_valid(o->body) && (o->body.len == 0 || !memchr(o->body.data, '\0', o->body.len));
    json_t *j = json_pack("{s:o}", "content_type", ft_json_slice(o->content_type));

    if (!j)
        return NULL;
    json_object_set_new(j, is_text ? "body" : "body_base64",
                        is_text ? ft_json_slice(o->body) : base64(o->body));
    if (with_template)
        json_object_set_new(j, "template", json_boolean(o->is_template));
    return j;
}

json_t *ft_json_objects(const struct ft_objects *objects, bool with_template)
{
    json_t *j = json_object();

    for (size_t i = 0; j && i < objects->count; i++) {
        char name[FT_OBJECT_NAME_MAX * 3 + 1];
        ft_text_clean(objects->items[i].name, name, sizeof(name));
        json_object_set_new(j, name, ft_json_object(&objects->items[i], with_template));
    }
    return j;
}
