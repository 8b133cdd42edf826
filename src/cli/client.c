#include "client.h"

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <curl/curl.h>

#include <base/cleanup.h>

#include "say.h"

#define DEFAULT_SERVER "http://127.0.0.1:4321"
#define ANSWER_BYTES_MAX ((size_t)256 << 20)
#define TOKEN_BYTES_MAX 4096
#define LIST_PAGE "limit=1000"

struct client {
    CURL *curl;
    char *server;            /* without a trailing slash */
    struct curl_slist *auth; /* the Authorization header, or NULL */
    char curl_error[CURL_ERROR_SIZE];
};

struct answer {
    char *data;
    size_t len;
};

static void answer_done(struct answer *a)
{
    free(a->data);
}

static size_t take_bytes(char *data, size_t size, size_t n, void *arg)
{
    struct answer *a = arg;
    size_t bytes = size * n;

    if (bytes > ANSWER_BYTES_MAX - a->len)
        return 0;
    char *grown = realloc(a->data, a->len + bytes + 1);
    if (!grown)
        return 0;
    a->data = grown;
    memcpy(a->data + a->len, data, bytes);
    a->len += bytes;
    a->data[a->len] = '\0';
    return bytes;
}

/* The token: FETTLE_TOKEN, else the first line of FETTLE_TOKEN_FILE, else none. */
static int read_token(char token[TOKEN_BYTES_MAX])
{
    const char *text = getenv("FETTLE_TOKEN"), *path = getenv("FETTLE_TOKEN_FILE");

    token[0] = '\0';
    if (text) {
        snprintf(token, TOKEN_BYTES_MAX, "%s", text);
    } else if (path) {
        FILE *f = fopen(path, "re");
        if (!f) {
            say("cannot read the token file %s: %s: name a readable file in FETTLE_TOKEN_FILE",
                path, strerror(errno));
            return -EINVAL;
        }
        if (!fgets(token, TOKEN_BYTES_MAX, f))
            token[0] = '\0';
        fclose(f);
    }
    token[strcspn(token, "\r\n")] = '\0';
    return 0;
}

static int add_token(struct client *c)
{
    char token[TOKEN_BYTES_MAX], header[TOKEN_BYTES_MAX + 32];

    int r = read_token(token);
    if (r < 0 || token[0] == '\0')
        return r;
    snprintf(header, sizeof(header), "Authorization: Bearer %s", token);
    c->auth = curl_slist_append(NULL, header);
    return c->auth ? 0 : -ENOMEM;
}

int client_open(struct client **ret_client)
{
    CLEANUP(client_closep) struct client *c = calloc(1, sizeof(*c));
    const char *server = getenv("FETTLE_SERVER");

    if (!c || curl_global_init(CURL_GLOBAL_DEFAULT) != 0 || !(c->curl = curl_easy_init()) ||
        !(c->server = strdup(server && *server ? server : DEFAULT_SERVER)))
        return -ENOMEM;
    size_t len = strlen(c->server);
    while (len > 0 && c->server[len - 1] == '/')
        c->server[--len] = '\0';

    int r = add_token(c);
    if (r < 0)
        return r;
    *ret_client = TAKE(c);
    return 0;
}

struct client *client_close(struct client *c)
{
    if (!c)
        return NULL;
    curl_easy_cleanup(c->curl);
    curl_slist_free_all(c->auth);
    free(c->server);
    free(c);
    curl_global_cleanup();
    return NULL;
}

void client_closep(struct client **c)
{
    *c = client_close(*c);
}

char *client_escape(struct client *c, const char *text)
{
    char *escaped = curl_easy_escape(c->curl, text, (int)strlen(text));
    char *copy = escaped ? strdup(escaped) : NULL;

    curl_free(escaped);
    return copy;
}

/* One line about an answer that is an error: the problem's own words where it has them. */
static void say_refused(const struct client *c, long status, const struct answer *a)
{
    json_t *problem = a->data ? json_loads(a->data, 0, NULL) : NULL;
    const char *detail = json_string_value(json_object_get(problem, "detail"));
    const char *title = json_string_value(json_object_get(problem, "title"));

    if (status == 401)
        say("%s refused the token: set FETTLE_TOKEN or FETTLE_TOKEN_FILE (the server writes "
            "DATA/admin-token at its first start)",
            c->server);
    else
        say("%s answered %ld: %s", c->server, status,
            detail  ? detail
            : title ? title
                    : "no reason given");
    json_decref(problem);
}

static int status_to_error(long status)
{
    switch (status) {
    case 401:
    case 403:
        return -EACCES;
    case 404:
        return -ENOENT;
    case 503:
        return -EAGAIN;
    default:
        return -EPROTO;
    }
}

static int perform(struct client *c, const char *path, struct curl_slist *headers,
                   json_t **ret_json)
{
    CLEANUP(answer_done) struct answer a = {0};
    char url[8192];
    long status = 0;

    if (snprintf(url, sizeof(url), "%s%s", c->server, path) >= (int)sizeof(url))
        return -ENAMETOOLONG;
    curl_easy_setopt(c->curl, CURLOPT_URL, url);
    curl_easy_setopt(c->curl, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(c->curl, CURLOPT_ERRORBUFFER, c->curl_error);
    curl_easy_setopt(c->curl, CURLOPT_WRITEFUNCTION, take_bytes);
    curl_easy_setopt(c->curl, CURLOPT_WRITEDATA, &a);
    curl_easy_setopt(c->curl, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(c->curl, CURLOPT_CONNECTTIMEOUT, 10L);
    curl_easy_setopt(c->curl, CURLOPT_TIMEOUT, 60L);
    c->curl_error[0] = '\0';

    CURLcode code = curl_easy_perform(c->curl);
    if (code != CURLE_OK) {
        say("cannot reach %s: %s: is fettled running, and is FETTLE_SERVER right?", c->server,
            c->curl_error[0] ? c->curl_error : curl_easy_strerror(code));
        return -EHOSTUNREACH;
    }
    curl_easy_getinfo(c->curl, CURLINFO_RESPONSE_CODE, &status);
    if (status < 200 || status > 299) {
        say_refused(c, status, &a);
        return status_to_error(status);
    }
    *ret_json = a.data ? json_loadb(a.data, a.len, 0, NULL) : NULL;
    if (!*ret_json) {
        say("%s did not answer with JSON: is FETTLE_SERVER the address of fettled's API?",
            c->server);
        return -EPROTO;
    }
    return 0;
}

int client_get(struct client *c, const char *path, json_t **ret_json)
{
    curl_easy_reset(c->curl);
    return perform(c, path, c->auth, ret_json);
}

int client_put(struct client *c, const char *path, const struct client_body *body,
               json_t **ret_json)
{
    char type[512];
    struct curl_slist *headers = NULL;

    curl_easy_reset(c->curl);
    curl_easy_setopt(c->curl, CURLOPT_CUSTOMREQUEST, "PUT");
    curl_easy_setopt(c->curl, CURLOPT_POSTFIELDS, body->data);
    curl_easy_setopt(c->curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)body->len);

    snprintf(type, sizeof(type), "Content-Type: %s", body->content_type);
    headers = curl_slist_append(NULL, type);
    if (c->auth)
        headers = curl_slist_append(headers, c->auth->data);
    int r = headers ? perform(c, path, headers, ret_json) : -ENOMEM;
    curl_slist_free_all(headers);
    return r;
}

/* One page: its items are moved to `items`; *ret_next is the path of the next page, or NULL. */
static int list_page(struct client *c, const char *base, const char *path, json_t *items,
                     char **ret_next)
{
    json_t *page = NULL;

    int r = client_get(c, path, &page);
    if (r < 0)
        return r;
    json_array_extend(items, json_object_get(page, "items"));
    const char *cursor = json_string_value(json_object_get(page, "next"));
    *ret_next = NULL;
    if (cursor) {
        char *escaped = client_escape(c, cursor);
        if (!escaped || asprintf(ret_next, "%s&cursor=%s", base, escaped) < 0)
            r = -ENOMEM;
        free(escaped);
    }
    json_decref(page);
    return r;
}

int client_list(struct client *c, const char *path, const char *query, json_t **ret_items)
{
    char base[4096];
    json_t *items = json_array();
    char *page = NULL;
    int r;

    if (snprintf(base, sizeof(base), "%s?" LIST_PAGE "%s%s", path, *query ? "&" : "", query) >=
        (int)sizeof(base))
        r = -ENAMETOOLONG;
    else
        r = list_page(c, base, base, items, &page);
    while (r == 0 && page) {
        char *this_page = page;
        r = list_page(c, base, this_page, items, &page);
        free(this_page);
    }
    if (r < 0) {
        json_decref(items);
        return r;
    }
    *ret_items = items;
    return 0;
}
