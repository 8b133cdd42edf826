/* Pages of the debug window: in memory what is short, piece by piece what may be long. */
#include "debug_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* That a reader has for each part of a long page. */
#define WRITE_NS (30 * RN_S)
#define PART_BYTES (32 << 10)

uint64_t rnet__page_number(const struct rnet_http_request *req, const char *name, uint64_t absent)
{
    struct rn_slice s = rnet_http_query(req, name);
    uint64_t n = 0;

    if (s.len == 0)
        return absent;
    for (size_t i = 0; i < s.len; i++) {
        if (i == 9 || s.data[i] < '0' || s.data[i] > '9')
            return absent;
        n = n * 10 + (s.data[i] - '0');
    }
    return n;
}

bool rnet__page_json(const struct rnet_http_request *req)
{
    return rn_slice_eq_str(rnet_http_query(req, "format"), "json");
}

int rnet__page_open(struct rnet__page *page, struct rnet_http_request *req)
{
    *page = (struct rnet__page){0};
    page->out = open_memstream(&page->text, &page->len);
    if (page->out)
        return 0;
    (void)rnet_http_problem(req, 503, "no memory", NULL);
    return -ENOMEM;
}

/* -ENOMEM, or what the connection said. */
static int page_leave(struct rnet__page *page, struct rnet_http_request *req, const char *type)
{
    int r = fclose(page->out) == 0 ? rnet_http_stream(req, 200, type) : -ENOMEM;

    page->out = NULL;
    page->begun = true;
    if (r == 0 || r == -EALREADY)
        r = rnet_http_stream_write(req, rn_slice(page->text, page->len), rn_after(WRITE_NS));
    free(page->text);
    page->text = NULL;
    return r;
}

int rnet__page_part(struct rnet__page *page, struct rnet_http_request *req, const char *type)
{
    if (page->error < 0 || ftello(page->out) < PART_BYTES)
        return page->error;
    page->error = page_leave(page, req, type);
    if (page->error == 0)
        page->out = open_memstream(&page->text, &page->len);
    if (page->error == 0 && !page->out)
        page->error = -ENOMEM;
    return page->error;
}

void rnet__page_send(struct rnet__page *page, struct rnet_http_request *req, const char *type)
{
    if (page->begun && page->error == 0)
        page->error = page_leave(page, req, type);
    if (page->error < 0)
        rnet__page_end(req, page->error);
    if (!page->out)
        return;
    if (fclose(page->out) == 0)
        (void)rnet_http_respond(req, 200, type, rn_slice(page->text, page->len));
    else
        (void)rnet_http_problem(req, 503, "no memory", NULL);
    free(page->text);
}

static int page_write(void *arg, const void *bytes, size_t n)
{
    struct rnet_http_request *req = arg;
    int r = rnet_http_stream(req, 200, "text/plain; charset=utf-8");

    if (r < 0 && r != -EALREADY)
        return r;
    return rnet_http_stream_write(req, rn_slice(bytes, n), rn_after(WRITE_NS));
}

struct rn_sink rnet__page_sink(struct rnet_http_request *req)
{
    (void)rnet_http_header(req, "X-Content-Type-Options", "nosniff");
    return (struct rn_sink){page_write, req};
}

void rnet__page_end(struct rnet_http_request *req, int result)
{
    if (result < 0 && rnet_http_problem(req, 503, strerror(-result), NULL) == -EALREADY)
        rnet_http_stream_fail(req);
    else if (result >= 0)
        (void)rnet_http_stream(req, 200, "text/plain; charset=utf-8"); /* an empty page */
}

void rnet__put_json(FILE *out, const char *text)
{
    if (!text) {
        fputs("null", out);
        return;
    }
    fputc('"', out);
    for (; *text; text++) {
        if (*text == '"' || *text == '\\')
            fputc('\\', out);
        fputc((unsigned char)*text < ' ' ? ' ' : *text, out);
    }
    fputc('"', out);
}
