#include "api/internal.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <model/scalar.h>

bool ft_json_depth_fits(struct rn_slice text)
{
    bool in_string = false;
    unsigned depth = 0;

    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = text.data[i];
        if (in_string && c == '\\')
            i++;
        else if (c == '"')
            in_string = !in_string;
        else if (!in_string && (c == '[' || c == '{') && ++depth > FT_JSON_DEPTH_MAX)
            return false;
        else if (!in_string && (c == ']' || c == '}') && depth)
            depth--;
    }
    return true;
}

bool ft_slice_int(struct rn_slice in, int64_t *ret)
{
    char text[24];

    if (in.len == 0 || in.len >= sizeof(text) || memchr(in.data, '\0', in.len))
        return false;
    memcpy(text, in.data, in.len);
    text[in.len] = '\0';
    return ft_int_parse(text, ret) == 0;
}

bool ft_request_json(struct rnet_http_request *req, json_t **ret)
{
    struct rn_slice body = rnet_http_body(req);
    json_error_t error;

    if (!ft_json_depth_fits(body)) {
        ft_reply_problem(req, 400, "the body is nested deeper than %d", FT_JSON_DEPTH_MAX);
        return false;
    }
    json_t *j = json_loadb(body.len ? (const char *)body.data : "", body.len,
                           JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &error);

    if (!j) {
        ft_reply_problem(req, 400, "the body is not JSON: line %d, column %d: %s", error.line,
                         error.column, error.text);
        return false;
    }
    if (!json_is_object(j)) {
        json_decref(j);
        ft_reply_problem(req, 400, "the body must be a JSON object");
        return false;
    }
    *ret = j;
    return true;
}

/* One strong entity tag: the quotes, and between them what RFC 9110 allows. */
static bool is_entity_tag(struct rn_slice field)
{
    if (field.len < 2 || field.data[0] != '"' || field.data[field.len - 1] != '"')
        return false;
    for (size_t i = 1; i < field.len - 1; i++)
        if (field.data[i] <= ' ' || field.data[i] == '"' || field.data[i] == 0x7f)
            return false;
    return true;
}

/* The revision that we wrote as this tag; FT_MATCH_NEVER when it is none of ours. */
static uint64_t revision_of(struct rn_slice tag)
{
    int64_t revision;

    if (!ft_slice_int(rn_slice(tag.data + 1, tag.len - 2), &revision) || revision < 1)
        return FT_MATCH_NEVER;
    return (uint64_t)revision;
}

bool ft_request_if_match(struct rnet_http_request *req, uint64_t *ret)
{
    struct rn_slice field = rnet_http_field(req, "if-match");

    *ret = FT_MATCH_ALWAYS;
    if (!field.data)
        return true;
    if (rn_slice_eq_str(field, "*")) {
        *ret = FT_MATCH_EXISTS;
        return true;
    }
    if (is_entity_tag(field)) {
        *ret = revision_of(field);
        return true;
    }
    ft_reply_problem(req, 400, "If-Match must be one entity tag as it was sent in ETag, or *");
    return false;
}

bool ft_request_known_keys(struct rnet_http_request *req, const json_t *object,
                           const char *const keys[])
{
    const char *key;
    json_t *value;

    json_object_foreach((json_t *)object, key, value)
    {
        size_t i = 0;
        while (keys[i] && strcmp(keys[i], key) != 0)
            i++;
        if (!keys[i]) {
            char pointer[256];
            snprintf(pointer, sizeof(pointer), "/%.200s", key);
            ft_reply_field(req, 400, pointer, "there is no such field: remove it");
            return false;
        }
    }
    return true;
}

/* ---- pages: a cursor is the last key of the page before, as hex ---- */

static bool parse_cursor(struct rn_slice hex, char after[FT_CURSOR_MAX])
{
    if (hex.len % 2 != 0 || hex.len / 2 >= FT_CURSOR_MAX || hex.len == 0)
        return false;
    for (size_t i = 0; i < hex.len; i += 2) {
        char pair[3] = {(char)hex.data[i], (char)hex.data[i + 1], 0};
        if (!isxdigit((unsigned char)pair[0]) || !isxdigit((unsigned char)pair[1]))
            return false;
        after[i / 2] = (char)strtoul(pair, NULL, 16);
        if (after[i / 2] == '\0')
            return false;
    }
    after[hex.len / 2] = '\0';
    return true;
}

bool ft_request_page(struct rnet_http_request *req, struct ft_page *ret)
{
    struct rn_slice limit = rnet_http_query(req, "limit"), cursor = rnet_http_query(req, "cursor");
    int64_t n = FT_PAGE_DEFAULT;

    *ret = (struct ft_page){0};
    if ((limit.data && !ft_slice_int(limit, &n)) || n < 1 || n > FT_PAGE_MAX) {
        ft_reply_problem(req, 400, "limit must be a number from 1 to %d", FT_PAGE_MAX);
        return false;
    }
    if (cursor.data && !parse_cursor(cursor, ret->after)) {
        ft_reply_problem(req, 400, "cursor must be a `next` of an earlier page");
        return false;
    }
    ret->limit = (size_t)n;
    return true;
}

json_t *ft_page_json(json_t *items, const char *last_key)
{
    char hex[2 * FT_CURSOR_MAX + 1];

    if (last_key)
        ft_hex_format(rn_slice_str(last_key), hex);
    return json_pack("{s:o, s:o}", "items", items, "next",
                     last_key ? json_string(hex) : json_null());
}
