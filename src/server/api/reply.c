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

/* The member `errors`, for rnet_http_problem(); NULL without memory: the detail says it too. */
static char *errors_member(const char *pointer, const char *detail, unsigned line)
{
    json_t *error = json_pack("{s:s, s:s}", "pointer", pointer, "detail", detail);
    char *member = NULL;

    if (line)
        ft_json_set(&error, RN_SLICE_LITERAL("line"), json_integer(line));
    CLEANUP(freep) char *text = error ? json_dumps(error, JSON_COMPACT) : NULL;
    json_decref(error);
    if (text && asprintf(&member, "\"errors\":[%s]", text) < 0)
        member = NULL;
    return member;
}

static void reply_problem_at(struct rnet_http_request *req, unsigned status, const char *pointer,
                             const char *detail, unsigned line)
{
    CLEANUP(freep) char *member = errors_member(pointer, detail, line);

    (void)rnet_http_problem(req, status, detail, member);
}

void ft_reply_field(struct rnet_http_request *req, unsigned status, const char *pointer,
                    const char *detail)
{
    reply_problem_at(req, status, pointer, detail, 0);
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
        reply_problem_at(req, status, problem->pointer, problem->detail, problem->line);
    else
        ft_reply_problem(req, status, "%s %s", words_of(error), what);
}

/* ---- JSON of small things ---- */

void ft_json_add(json_t **array, json_t *item)
{
    if (json_array_append_new(*array, item) == 0)
        return;
    json_decref(*array);
    *array = NULL;
}

void ft_json_set(json_t **object, struct rn_slice key, json_t *value)
{
    if (json_object_setn_new(*object, (const char *)key.data, key.len, value) == 0)
        return;
    json_decref(*object);
    *object = NULL;
}

json_t *ft_json_u64(uint64_t n)
{
    return json_integer(n > INT64_MAX ? INT64_MAX : (json_int_t)n);
}

json_t *ft_json_time(int64_t ms)
{
    char text[40];
    time_t s = (time_t)(ms / 1000);
    struct tm tm;

    if (ms <= 0 || !gmtime_r(&s, &tm))
        return json_null();
    size_t n = strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(text + n, sizeof(text) - n, ".%03dZ", (int)(ms % 1000));
    return json_string(text);
}

json_t *ft_json_slice(struct rn_slice s)
{
    char clean[FT_TEXT_MAX + 1];

    if (ft_utf8_valid(s))
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
    bool is_text = ft_utf8_valid(o->body);
    json_t *j = json_pack("{s:o}", "content_type", ft_json_slice(o->content_type));

    if (is_text)
        ft_json_set(&j, RN_SLICE_LITERAL("body"), ft_json_slice(o->body));
    else
        ft_json_set(&j, RN_SLICE_LITERAL("body_base64"), base64(o->body));
    if (with_template)
        ft_json_set(&j, RN_SLICE_LITERAL("template"), json_boolean(o->is_template));
    return j;
}

json_t *ft_json_objects(const struct ft_objects *objects, bool with_template)
{
    json_t *j = json_object();

    for (size_t i = 0; j && i < objects->count; i++)
        ft_json_set(&j, objects->items[i].name, ft_json_object(&objects->items[i], with_template));
    return j;
}
