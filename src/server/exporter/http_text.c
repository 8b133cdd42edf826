/* Texts around HTTP calls: what an answer says, addresses, queries. */
#include "exporter/http_client.h"

#include <errno.h>
#include <string.h>

#include <curl/curl.h>
#include <jansson.h>

#include <base/cleanup.h>

#include <model/buf.h>

#define HEX "0123456789ABCDEF"

/* ---- answers --------------------------------------------------------------------------------- */

static bool add_json_text(struct ft_buf *out, const char *before, const json_t *j)
{
    if (!json_is_string(j))
        return false;
    (void)ft_buf_add_str(out, before);
    (void)ft_buf_add_str(out, json_string_value(j));
    return true;
}

/* The forms that are known: {"error": "text"}, {"error": {"type", "reason"}}, {"message": "text"}.
 */
static bool add_json_error(struct ft_buf *out, const json_t *answer)
{
    const json_t *error = json_object_get(answer, "error");

    if (json_is_object(error)) {
        bool typed = add_json_text(out, "", json_object_get(error, "type"));

        return add_json_text(out, typed ? ": " : "", json_object_get(error, "reason")) || typed;
    }
    return add_json_text(out, "", error) ||
           add_json_text(out, "", json_object_get(answer, "message"));
}

int ft_http_answer_message(const struct ft_http_answer *answer, struct ft_buf *out)
{
    CLEANUP(json_decrefp)
    json_t *json = answer->body.len
                       ? json_loadb((const char *)answer->body.data, answer->body.len, 0, NULL)
                       : NULL;

    return json && add_json_error(out, json) ? ft_buf_error(out) : -ENOENT;
}

void ft_http_answer_text(const struct ft_http_client *c, const struct ft_http_answer *answer,
                         struct ft_text_error *ret)
{
    CLEANUP(ft_buf_fini) struct ft_buf text = FT_BUF_INIT(FT_HTTP_ANSWER_MAX + 4096);

    (void)ft_buf_printf(&text, "HTTP %u%s", answer->status, answer->body.len ? ": " : "");
    if (ft_http_answer_message(answer, &text) == -ENOENT)
        (void)ft_buf_add(&text, answer->body.data,
                         answer->body.len < 4096 ? answer->body.len : 4096);
    ft_http_hide(c, ft_buf_slice(&text), ret);
}

/* ---- addresses ------------------------------------------------------------------------------- */

static void url_cleanupp(CURLU **u)
{
    curl_url_cleanup(*u);
}

static bool url_has(CURLU *u, CURLUPart part)
{
    char *value = NULL;
    bool has = curl_url_get(u, part, &value, 0) == CURLUE_OK;

    curl_free(value);
    return has;
}

static bool url_is_http(CURLU *u)
{
    char *scheme = NULL;
    bool is = curl_url_get(u, CURLUPART_SCHEME, &scheme, 0) == CURLUE_OK &&
              (strcmp(scheme, "http") == 0 || strcmp(scheme, "https") == 0);

    curl_free(scheme);
    return is;
}

int ft_http_url_parse(struct ft_yaml *y, const char *text, void *field, struct ft_text_error *why)
{
    CLEANUP(url_cleanupp) CURLU *u = curl_url();
    char *kept;
    size_t len = strlen(text);

    if (!u)
        return -ENOMEM;
    /* the text itself is not repeated before it is known to hold no password */
    if (strchr(text, '@')) {
        ft_text_error_set(
            why,
            "an `@` in the address: take user and password out of it, there are options for them");
        return -EINVAL;
    }
    if (curl_url_set(u, CURLUPART_URL, text, 0) != CURLUE_OK || !url_is_http(u)) {
        ft_text_error_set(
            why, "\"%.200s\" is no address: write http://HOST:PORT or https://HOST:PORT", text);
        return -EINVAL;
    }
    if (url_has(u, CURLUPART_QUERY) || url_has(u, CURLUPART_FRAGMENT)) {
        ft_text_error_set(
            why, "\"%.200s\" has a query or a fragment: end it with host, port and path", text);
        return -EINVAL;
    }
    kept = ft_yaml_strdup(y, text);
    if (!kept)
        return -ENOMEM;
    while (len > 0 && kept[len - 1] == '/')
        kept[--len] = 0;
    *(const char **)field = kept;
    return 0;
}

static bool is_plain(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           strchr("-_.~", c);
}

int ft_http_add_query(struct ft_buf *out, const char *name, const char *value)
{
    (void)ft_buf_add_str(out, name);
    (void)ft_buf_add_byte(out, '=');
    for (; *value; value++) {
        if (is_plain(*value)) {
            (void)ft_buf_add_byte(out, (uint8_t)*value);
            continue;
        }
        (void)ft_buf_add_byte(out, '%');
        (void)ft_buf_add_byte(out, (uint8_t)HEX[(uint8_t)*value >> 4]);
        (void)ft_buf_add_byte(out, (uint8_t)HEX[*value & 15]);
    }
    return ft_buf_error(out);
}
