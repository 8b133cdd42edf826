/* A thin coat over one libcurl easy handle. The handle keeps the connection; headers are made for
 * each call, since a secret may have changed. */
#include "exporter/http_client.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include <curl/curl.h>
#include <openssl/evp.h>

#include <base/cleanup.h>

#include <runnel/task.h>

#include <model/buf.h>

#include "exporter/secret.h"

#define CALL_TIME_MAX (30 * RN_S)

enum { SECRET, ENCODED, SECRET_COUNT };

struct ft_http_client {
    /* set once */
    struct ft_http_options o;
    CURL *easy;

    /* the exporter's thread */
    char *secrets[SECRET_COUNT]; /* the file's, and user:password in base64 */
    char *authorization;         /* the header's line; NULL: none */
    bool refused;                /* read the secrets again */
    struct ft_buf answer;
    bool cut;
    char why[CURL_ERROR_SIZE];
};

static pthread_once_t curl_once = PTHREAD_ONCE_INIT;

static void curl_start(void)
{
    (void)curl_global_init(CURL_GLOBAL_DEFAULT);
}

/* ---- secrets --------------------------------------------------------------------------------- */

static void credentials_forget(struct ft_http_client *c)
{
    for (size_t i = 0; i < SECRET_COUNT; i++)
        c->secrets[i] = ft_secret_free(c->secrets[i]);
    c->authorization = ft_secret_free(c->authorization);
}

static void secret_freep(char **s)
{
    *s = ft_secret_free(*s);
}

/* user:password in base64 */
static char *basic_encode(const char *user, const char *password)
{
    CLEANUP(secret_freep) char *plain = NULL;
    char *encoded;

    if (asprintf(&plain, "%s:%s", user, password) < 0) {
        plain = NULL;
        return NULL;
    }
    encoded = malloc(4 * (strlen(plain) / 3 + 1) + 1);
    if (encoded)
        (void)EVP_EncodeBlock((unsigned char *)encoded, (const unsigned char *)plain,
                              (int)strlen(plain));
    return encoded;
}

static int authorization_make(struct ft_http_client *c, const char *scheme, const char *value)
{
    if (asprintf(&c->authorization, "Authorization: %s %s", scheme, value) >= 0)
        return 0;
    c->authorization = NULL;
    return -ENOMEM;
}

static int credentials_read(struct ft_http_client *c, struct ft_text_error *reterr)
{
    const char *file = c->o.token_file ? c->o.token_file : c->o.password_file;
    int r;

    credentials_forget(c);
    if (!file)
        return 0;
    r = ft_secret_read(file, &c->secrets[SECRET], reterr);
    if (r < 0)
        return r;
    if (c->o.token_file)
        return authorization_make(c, c->o.token_scheme, c->secrets[SECRET]);
    c->secrets[ENCODED] = basic_encode(c->o.user, c->secrets[SECRET]);
    return c->secrets[ENCODED] ? authorization_make(c, "Basic", c->secrets[ENCODED]) : -ENOMEM;
}

void ft_http_hide(const struct ft_http_client *c, struct rn_slice text, struct ft_text_error *ret)
{
    _Static_assert(FT_SHOWN_MAX < sizeof(ret->text), "what is shown fits");
    ft_secrets_hide(text, (const char *const *)c->secrets, SECRET_COUNT, ret->text);
}

/* ---- life ------------------------------------------------------------------------------------ */

static size_t on_body(char *data, size_t size, size_t n, void *arg)
{
    struct ft_http_client *c = arg;

    if (ft_buf_add(&c->answer, data, size * n) == 0)
        return size * n;
    c->cut = true;
    return 0;
}

static CURLcode easy_setup(struct ft_http_client *c)
{
    const struct {
        CURLoption option;
        long value;
    } numbers[] = {
        {CURLOPT_NOSIGNAL, 1},
        {CURLOPT_NOPROGRESS, 1},
        {CURLOPT_TCP_KEEPALIVE, 1},
        {CURLOPT_FOLLOWLOCATION, 0},
        {CURLOPT_CONNECTTIMEOUT_MS, (long)(FT_HTTP_CONNECT_MAX / RN_MS)},
        {CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_1_1},
    };
    CURLcode r = CURLE_OK;

    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]) && r == CURLE_OK; i++)
        r = curl_easy_setopt(c->easy, numbers[i].option, numbers[i].value);
    if (r == CURLE_OK)
        r = curl_easy_setopt(c->easy, CURLOPT_PROTOCOLS_STR, "http,https");
    if (r == CURLE_OK)
        r = curl_easy_setopt(c->easy, CURLOPT_PROXY, "");
    if (r == CURLE_OK && c->o.ca_file)
        r = curl_easy_setopt(c->easy, CURLOPT_CAINFO, c->o.ca_file);
    if (r == CURLE_OK)
        r = curl_easy_setopt(c->easy, CURLOPT_ERRORBUFFER, c->why);
    if (r == CURLE_OK)
        r = curl_easy_setopt(c->easy, CURLOPT_WRITEFUNCTION, on_body);
    return r == CURLE_OK ? curl_easy_setopt(c->easy, CURLOPT_WRITEDATA, c) : r;
}

static void client_closep(struct ft_http_client **c)
{
    *c = ft_http_client_close(*c);
}

int ft_http_client_open(const struct ft_http_options *options, struct ft_http_client **ret,
                        struct ft_text_error *reterr)
{
    CLEANUP(client_closep) struct ft_http_client *c = calloc(1, sizeof(*c));
    CURLcode rc;
    int r;

    if (!c)
        return -ENOMEM;
    (void)pthread_once(&curl_once, curl_start);
    c->o = *options;
    c->answer.max = FT_HTTP_ANSWER_MAX;
    c->easy = curl_easy_init();
    if (!c->easy)
        return -ENOMEM;
    rc = easy_setup(c);
    if (rc != CURLE_OK) {
        ft_text_error_set(reterr, "libcurl cannot do what is needed: %s", curl_easy_strerror(rc));
        return -EIO;
    }
    r = credentials_read(c, reterr);
    if (r < 0)
        return r;
    *ret = TAKE(c);
    return 0;
}

struct ft_http_client *ft_http_client_close(struct ft_http_client *c)
{
    if (!c)
        return NULL;
    if (c->easy)
        curl_easy_cleanup(c->easy);
    credentials_forget(c);
    ft_buf_fini(&c->answer);
    free(c);
    return NULL;
}

/* ---- calls ----------------------------------------------------------------------------------- */

static void headers_freep(struct curl_slist **list)
{
    curl_slist_free_all(*list);
}

static int header_add(struct curl_slist **list, const char *name, const char *value)
{
    CLEANUP(freep) char *line = NULL;
    struct curl_slist *more;

    if (!value)
        return 0;
    if (asprintf(&line, "%s: %s", name, value) < 0) {
        line = NULL;
        return -ENOMEM;
    }
    more = curl_slist_append(*list, line);
    *list = more ? more : *list;
    return more ? 0 : -ENOMEM;
}

static int headers_make(const struct ft_http_client *c, const struct ft_http_call *call,
                        struct curl_slist **ret)
{
    struct curl_slist *more =
        curl_slist_append(NULL, "Expect:"); /* our bodies are small: no round trip for them */
    int r = more ? 0 : -ENOMEM;

    *ret = more;
    if (r == 0 && c->authorization) {
        more = curl_slist_append(*ret, c->authorization);
        *ret = more ? more : *ret;
        r = more ? 0 : -ENOMEM;
    }
    if (r == 0)
        r = header_add(ret, "Content-Type", call->content_type);
    return r == 0 ? header_add(ret, "Content-Encoding", call->content_encoding) : r;
}

static CURLcode call_setup(struct ft_http_client *c, const struct ft_http_call *call,
                           const char *url, struct curl_slist *headers, rn_time left)
{
    const bool sends =
        call->body.len > 0 || strcmp(call->method, "POST") == 0 || strcmp(call->method, "PUT") == 0;
    CURLcode r = curl_easy_setopt(c->easy, CURLOPT_URL, url);

    if (r == CURLE_OK)
        r = curl_easy_setopt(c->easy, CURLOPT_HTTPHEADER, headers);
    if (r == CURLE_OK)
        r = curl_easy_setopt(c->easy, CURLOPT_TIMEOUT_MS,
                             (long)(left / RN_MS > 0 ? left / RN_MS : 1));
    /* these two forget the last call's body and method */
    if (r == CURLE_OK)
        r = curl_easy_setopt(c->easy, CURLOPT_CUSTOMREQUEST, NULL);
    if (r == CURLE_OK)
        r = curl_easy_setopt(c->easy, CURLOPT_HTTPGET, 1L);
    if (r == CURLE_OK && strcmp(call->method, "HEAD") == 0)
        return curl_easy_setopt(c->easy, CURLOPT_NOBODY, 1L);
    if (r == CURLE_OK && sends) {
        r = curl_easy_setopt(c->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)call->body.len);
        if (r == CURLE_OK)
            r = curl_easy_setopt(c->easy, CURLOPT_POSTFIELDS,
                                 call->body.len ? (const char *)call->body.data : "");
    }
    return r == CURLE_OK ? curl_easy_setopt(c->easy, CURLOPT_CUSTOMREQUEST, call->method) : r;
}

static int call_failed(struct ft_http_client *c, CURLcode rc, struct ft_text_error *reterr)
{
    const char *why = c->why[0] ? c->why : curl_easy_strerror(rc);

    ft_http_hide(c, rn_slice_str(why), reterr);
    switch (rc) {
    case CURLE_OPERATION_TIMEDOUT:
        return -ETIMEDOUT;
    case CURLE_COULDNT_CONNECT:
        return -ECONNREFUSED;
    case CURLE_OUT_OF_MEMORY:
        return -ENOMEM;
    default:
        return -EIO;
    }
}

static void answer_read(struct ft_http_client *c, struct ft_http_answer *ret)
{
    long status = 0;
    curl_off_t retry_after = 0;

    (void)curl_easy_getinfo(c->easy, CURLINFO_RESPONSE_CODE, &status);
    (void)curl_easy_getinfo(c->easy, CURLINFO_RETRY_AFTER, &retry_after);
    if (retry_after > 3600)
        retry_after = 3600; /* servers have said absurd things */
    *ret = (struct ft_http_answer){
        .status = (unsigned)status,
        .cut = c->cut,
        .body = ft_buf_slice(&c->answer),
        .retry_after = retry_after > 0 ? (rn_time)retry_after * RN_S : 0,
    };
    c->refused = status == 401 || status == 403;
}

static int credentials_renew(struct ft_http_client *c, struct ft_text_error *reterr)
{
    int r = c->refused ? credentials_read(c, reterr) : 0;

    c->refused = r < 0;
    return r;
}

int ft_http_call(struct ft_http_client *c, const struct ft_http_call *call, rn_time deadline,
                 struct ft_http_answer *ret, struct ft_text_error *reterr)
{
    CLEANUP(headers_freep) struct curl_slist *headers = NULL;
    CLEANUP(freep) char *url = NULL;
    rn_time left = deadline == RN_FOREVER ? CALL_TIME_MAX : deadline - rn_now();
    CURLcode rc;
    int r = credentials_renew(c, reterr);

    if (r < 0)
        return r;
    if (asprintf(&url, "%s%s", c->o.url, call->target) < 0) {
        url = NULL;
        return -ENOMEM;
    }
    r = headers_make(c, call, &headers);
    if (r < 0)
        return r;
    c->why[0] = 0;
    c->cut = false;
    ft_buf_clear(&c->answer);
    rc = call_setup(c, call, url, headers, left);
    if (rc == CURLE_OK)
        rc = curl_easy_perform(c->easy);
    (void)curl_easy_setopt(c->easy, CURLOPT_HTTPHEADER, NULL);
    (void)curl_easy_setopt(c->easy, CURLOPT_POSTFIELDS, NULL);
    if (rc != CURLE_OK && !(rc == CURLE_WRITE_ERROR && c->cut))
        return call_failed(c, rc, reterr);
    answer_read(c, ret);
    return 0;
}

enum ft_http_kind ft_http_kind(unsigned status)
{
    if (status >= 200 && status < 300)
        return FT_HTTP_STORED;
    if (status == 400 || status == 422)
        return FT_HTTP_BAD;
    if (status == 413)
        return FT_HTTP_TOO_LARGE;
    if (status == 408 || status == 425 || status == 429 || status >= 500)
        return FT_HTTP_LATER;
    return FT_HTTP_REFUSED;
}
