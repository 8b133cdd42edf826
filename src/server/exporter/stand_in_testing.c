#include "exporter/stand_in_testing.h"

#include <libdeflate.h>

#include <runnel/blocking.h>

#include <rnet/http.h>

struct stand_in {
    struct rnet_http *http;
    struct rnet_http_route route;
    char url[80];
    stand_in_fn *answer;
    void *arg;
    struct canned canned[SEEN_MAX];
    size_t n_canned, next;
    struct seen seen[SEEN_MAX];
    size_t n_seen;
};

static void keep(char *out, size_t size, struct rn_slice s)
{
    (void)snprintf(out, size, "%.*s", (int)s.len, s.data ? (const char *)s.data : "");
}

static void unpack(struct rn_slice body, struct ft_buf *out)
{
    struct libdeflate_decompressor *d = libdeflate_alloc_decompressor();
    size_t n;

    OK(ft_buf_reserve(out, (size_t)16 << 20));
    EQ(libdeflate_gzip_decompress(d, body.data, body.len, out->data, out->cap, &n),
       LIBDEFLATE_SUCCESS);
    out->len = n;
    libdeflate_free_decompressor(d);
}

static struct seen *remember(struct stand_in *s, struct rnet_http_request *req)
{
    struct seen *x = &s->seen[s->n_seen % SEEN_MAX];
    struct rn_slice name, value;
    size_t len = 0;

    ft_buf_fini(&x->body);
    *x = (struct seen){.body = FT_BUF_INIT((size_t)64 << 20)};
    keep(x->method, sizeof(x->method), rnet_http_method(req));
    keep(x->path, sizeof(x->path), rnet_http_path(req));
    for (size_t i = 0; rnet_http_query_at(req, i, &name, &value); i++)
        len += (size_t)snprintf(x->query + len, sizeof(x->query) - len, "%s%.*s=%.*s", i ? "&" : "",
                                (int)name.len, (const char *)name.data, (int)value.len,
                                (const char *)value.data);
    keep(x->authorization, sizeof(x->authorization), rnet_http_field(req, "Authorization"));
    keep(x->type, sizeof(x->type), rnet_http_field(req, "Content-Type"));
    keep(x->length, sizeof(x->length), rnet_http_field(req, "Content-Length"));
    keep(x->transfer, sizeof(x->transfer), rnet_http_field(req, "Transfer-Encoding"));
    keep(x->expect, sizeof(x->expect), rnet_http_field(req, "Expect"));
    keep(x->encoding, sizeof(x->encoding), rnet_http_field(req, "Content-Encoding"));
    if (strcmp(x->encoding, "gzip") == 0)
        unpack(rnet_http_body(req), &x->body);
    else
        OK(ft_buf_add_slice(&x->body, rnet_http_body(req)));
    OK(ft_buf_add_byte(&x->body, 0));
    x->body.len--;
    s->n_seen++;
    return x;
}

static struct canned next_canned(struct stand_in *s, const struct seen *x)
{
    if (s->answer)
        return s->answer(s->arg, x);
    return s->next < s->n_canned ? s->canned[s->next++] : (struct canned){.status = 200};
}

static void handle(void *arg, struct rnet_http_request *req)
{
    struct stand_in *s = arg;
    struct canned c = next_canned(s, remember(s, req));

    if (c.hangs) {
        (void)rn_sleep(RN_FOREVER);
        return;
    }
    if (c.field)
        OK(rnet_http_header(req, c.field, c.value));
    OK(rnet_http_respond(req, c.status, c.body ? c.type ? c.type : "application/json" : NULL,
                         rn_slice_str(c.body ? c.body : "")));
}

struct stand_in *stand_in_start(stand_in_fn *answer, void *arg)
{
    struct stand_in *s = calloc(1, sizeof(*s));
    const char *addr = "127.0.0.1:0";
    struct rnet_http_options o = {.name = "stand-in",
                                  .addrs = &addr,
                                  .n_addrs = 1,
                                  .fallback = &s->route,
                                  .body_max = (size_t)64 << 20};

    s->answer = answer;
    s->arg = arg;
    s->route = (struct rnet_http_route){.handler = handle, .arg = s};
    OK(rnet_http_open(&o, &s->http));
    (void)snprintf(s->url, sizeof(s->url), "http://%s", rnet_http_address(s->http, 0));
    return s;
}

void stand_in_stop(struct stand_in *s)
{
    (void)rnet_http_stop(s->http, rn_after(0));
    rnet_http_close(s->http);
    for (size_t i = 0; i < SEEN_MAX; i++)
        ft_buf_fini(&s->seen[i].body);
    free(s);
}

void stand_in_answer(struct stand_in *s, struct canned c)
{
    s->canned[s->n_canned++] = c;
}

const char *stand_in_url(const struct stand_in *s)
{
    return s->url;
}

size_t stand_in_count(const struct stand_in *s)
{
    return s->n_seen;
}

struct seen *stand_in_seen(struct stand_in *s, size_t i)
{
    LT(i, s->n_seen);
    return &s->seen[i];
}

char *fixture_read(const char *name)
{
    static char text[1 << 18];
    char path[600];
    FILE *f;

    (void)snprintf(path, sizeof(path), "%s/%s", EXPORTER_TESTDATA, name);
    f = fopen(path, "r");
    if (!f)
        FAIL("%s cannot be read", path);
    text[fread(text, 1, sizeof(text) - 1, f)] = 0;
    (void)fclose(f);
    return text;
}

/* ---- calls ----------------------------------------------------------------------------------- */

struct web_call {
    struct rig *rig;
    rn_time deadline;
    bool opens;
};

static int web_fn(void *arg)
{
    struct web_call *c = arg;

    return c->opens ? rig_open(c->rig) : rig_send(c->rig, c->deadline);
}

static int web_run(struct web_call *c)
{
    struct rn_class *class;
    int r;

    OK(rn_class_open("web", 1, &class));
    r = rn_blocking(class, web_fn, c);
    rn_class_close(class);
    return r;
}

int web_open(struct rig *g)
{
    return web_run(&(struct web_call){.rig = g, .opens = true});
}

int web_send(struct rig *g, rn_time deadline)
{
    return web_run(&(struct web_call){.rig = g, .deadline = deadline});
}

char *secret_write(const char *name, const char *text)
{
    char *path = strdup(rig_path(name));
    FILE *f = fopen(path, "w");

    TRUE(f != NULL);
    (void)fputs(text, f);
    (void)fclose(f);
    return path;
}
