/* Answers: what a handler says, and how it becomes bytes.
 *
 * The handler's part (extra fields, body) is made where it runs; the status line and the fields
 * that frame the answer are written on the loop, which alone knows whether the connection stays.
 */
#include "http_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <base/cleanup.h>

/* ---- counters of all servers ---- */

static _Atomic uint64_t counts[RNET__HTTP_COUNTS];

void rnet__http_count(enum rnet__http_count what)
{
    atomic_fetch_add_explicit(&counts[what], 1, memory_order_relaxed);
}

static uint64_t counted(enum rnet__http_count what)
{
    return atomic_load_explicit(&counts[what], memory_order_relaxed);
}

void rnet_http_stats(struct rnet_http_stats *ret_stats)
{
    *ret_stats = (struct rnet_http_stats){
        .requests = counted(RNET__HTTP_REQUESTS),
        .responses_dropped = counted(RNET__HTTP_DROPPED),
        .handlers_silent = counted(RNET__HTTP_SILENT),
        .handlers_cancelled = counted(RNET__HTTP_CANCELLED),
    };
}

const char *rnet_http_reason(unsigned status)
{
    static const struct {
        unsigned status;
        const char *reason;
    } reasons[] = {
        {100, "Continue"},
        {200, "OK"},
        {201, "Created"},
        {202, "Accepted"},
        {204, "No Content"},
        {206, "Partial Content"},
        {301, "Moved Permanently"},
        {302, "Found"},
        {303, "See Other"},
        {304, "Not Modified"},
        {307, "Temporary Redirect"},
        {308, "Permanent Redirect"},
        {400, "Bad Request"},
        {401, "Unauthorized"},
        {403, "Forbidden"},
        {404, "Not Found"},
        {405, "Method Not Allowed"},
        {406, "Not Acceptable"},
        {408, "Request Timeout"},
        {409, "Conflict"},
        {410, "Gone"},
        {411, "Length Required"},
        {412, "Precondition Failed"},
        {413, "Content Too Large"},
        {414, "URI Too Long"},
        {415, "Unsupported Media Type"},
        {416, "Range Not Satisfiable"},
        {417, "Expectation Failed"},
        {422, "Unprocessable Content"},
        {428, "Precondition Required"},
        {429, "Too Many Requests"},
        {431, "Request Header Fields Too Large"},
        {500, "Internal Server Error"},
        {501, "Not Implemented"},
        {502, "Bad Gateway"},
        {503, "Service Unavailable"},
        {504, "Gateway Timeout"},
        {505, "HTTP Version Not Supported"},
        {507, "Insufficient Storage"},
    };

    for (size_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++)
        if (reasons[i].status == status)
            return reasons[i].reason;
    return "Unknown";
}

/* ---- the handler's side ---- */

static bool is_value(const char *value)
{
    return !strpbrk(value, "\r\n");
}

static bool is_ours(const char *name)
{
    static const char *const ours[] = {"Content-Length", "Connection", "Date", "Transfer-Encoding"};

    for (size_t i = 0; i < sizeof(ours) / sizeof(ours[0]); i++)
        if (rnet__http_eq_nocase(rn_slice_str(name), rn_slice_str(ours[i])))
            return true;
    return false;
}

static int add_field(struct rnet_http_request *req, const char *name, const char *value)
{
    size_t need = strlen(name) + strlen(value) + 4;
    char *extra;

    if (req->extra_len + need > RNET__EXTRA_MAX)
        return -ENOSPC;
    extra = realloc(req->extra, req->extra_len + need + 1);
    if (!extra)
        return -ENOMEM;
    req->extra = extra;
    req->extra_len =
        (uint16_t)(req->extra_len + sprintf(extra + req->extra_len, "%s: %s\r\n", name, value));
    return 0;
}

int rnet_http_header(struct rnet_http_request *req, const char *name, const char *value)
{
    if (req->answered)
        return -EALREADY;
    if (!rnet__http_is_token(rn_slice_str(name)) || !is_value(value) || is_ours(name))
        return -EINVAL;
    return add_field(req, name, value);
}

static bool is_answer(unsigned status, const char *content_type)
{
    return status >= 200 && status <= 599 && (!content_type || is_value(content_type));
}

int rnet_http_respond(struct rnet_http_request *req, unsigned status, const char *content_type,
                      struct rn_slice body)
{
    CLEANUP(freep) char *out = NULL;
    int r;

    if (req->answered)
        return -EALREADY;
    if (!is_answer(status, content_type))
        return -EINVAL;
    if (body.len) {
        out = malloc(body.len);
        if (!out)
            return -ENOMEM;
        memcpy(out, body.data, body.len);
    }
    r = content_type ? add_field(req, "Content-Type", content_type) : 0;
    if (r < 0)
        return r;
    req->out = TAKE(out);
    req->out_len = body.len;
    req->status = (uint16_t)status;
    req->answered = true;
    return 0;
}

int rnet__response_begin(struct rnet_http_request *req, unsigned status, const char *content_type)
{
    int r;

    if (req->answered)
        return -EALREADY;
    if (!is_answer(status, content_type))
        return -EINVAL;
    r = content_type ? add_field(req, "Content-Type", content_type) : 0;
    if (r == 0) {
        req->status = (uint16_t)status;
        req->answered = true;
    }
    return r;
}

/* A JSON string without its quotes. Bytes that aren't ASCII go through: `detail` is UTF-8. */
static void put_json(FILE *out, const char *text)
{
    for (const char *c = text; *c; c++) {
        if (*c == '"' || *c == '\\')
            fprintf(out, "\\%c", *c);
        else if ((unsigned char)*c < ' ')
            fprintf(out, "\\u%04x", (unsigned)*c);
        else
            fputc(*c, out);
    }
}

static int make_problem(unsigned status, const char *detail, const char *members, char **ret_text,
                        size_t *ret_len)
{
    FILE *out = open_memstream(ret_text, ret_len);

    if (!out)
        return -ENOMEM;
    fprintf(out, "{\"type\":\"about:blank\",\"title\":\"%s\",\"status\":%u",
            rnet_http_reason(status), status);
    if (detail) {
        fputs(",\"detail\":\"", out);
        put_json(out, detail);
        fputc('"', out);
    }
    if (members)
        fprintf(out, ",%s", members);
    fputs("}\n", out);
    return fclose(out) == 0 ? 0 : -ENOMEM;
}

int rnet_http_problem(struct rnet_http_request *req, unsigned status, const char *detail,
                      const char *members)
{
    CLEANUP(freep) char *text = NULL;
    size_t len = 0;
    int r;

    if (req->answered)
        return -EALREADY;
    r = make_problem(status, detail, members, &text, &len);
    return r < 0 ? r
                 : rnet_http_respond(req, status, "application/problem+json", rn_slice(text, len));
}

/* ---- the loop's side ---- */

/* IMF-fixdate of this second; made once a second, and never from the locale. */
static const char *date_now(struct rnet_http *server, char buf[40])
{
    static const char days[] = "SunMonTueWedThuFriSat",
                      months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    struct rnet__http_loop *loop = rnet__http_loop_self(server);
    time_t now = time(NULL);
    struct tm t;

    if (loop && loop->date_s == now)
        return loop->date;
    gmtime_r(&now, &t);
    snprintf(buf, 40, "%.3s, %02d %.3s %04d %02d:%02d:%02d GMT", days + 3 * t.tm_wday, t.tm_mday,
             months + 3 * t.tm_mon, t.tm_year + 1900, t.tm_hour, t.tm_min, t.tm_sec);
    if (loop) {
        loop->date_s = now;
        memcpy(loop->date, buf, 40);
    }
    return buf;
}

#define CLOSE "Connection: close\r\n"

/* HTTP/1.1 is named whatever the request said (RFC 9110, 6.2). */
static int put_start(struct rnet_http *server, char *buf, size_t n, unsigned status,
                     const char *framing, const char *connection)
{
    char date[40];

    return snprintf(buf, n, "HTTP/1.1 %u %s\r\nDate: %s\r\n%s%s", status, rnet_http_reason(status),
                    date_now(server, date), framing, connection);
}

static int put_head(struct rnet_http *server, char *buf, size_t n, unsigned status, size_t length,
                    const char *connection)
{
    char framing[48] = "";

    if (status != 204 && status != 304)
        snprintf(framing, sizeof(framing), "Content-Length: %zu\r\n", length);
    return put_start(server, buf, n, status, framing, connection);
}

static void answer_silence(struct rnet_http_request *req)
{
    rnet__http_count(RNET__HTTP_SILENT);
    free(req->extra);
    req->extra = NULL;
    req->extra_len = 0;
    if (rnet_http_problem(req, 500, "the handler gave no answer", NULL) < 0) {
        req->status = 500;
        req->answered = true;
    }
}

int rnet__response_write(struct rnet_http_request *req, bool keep_alive)
{
    const char *connection = keep_alive ? "" : CLOSE;
    char head[256];

    if (keep_alive && req->minor == 0) /* it has to be told that it may go on */
        connection = "Connection: keep-alive\r\n";
    if (!req->answered)
        answer_silence(req);
    bool no_body = req->is_head || req->status == 204 || req->status == 304;
    int n = put_head(req->server, head, sizeof(head), req->status, req->out_len, connection);
    const struct rn_slice parts[] = {
        rn_slice(head, (size_t)n),
        rn_slice(req->extra, req->extra_len),
        RN_SLICE_LITERAL("\r\n"),
        rn_slice(req->out, no_body ? 0 : req->out_len),
    };
    return rnet_conn_writev(req->conn, parts, 4);
}

/* Why a head was refused; there is no request yet that could be told more of. */
static const char *refusal(unsigned status)
{
    switch (status) {
    case 408:
        return "the request did not arrive in time";
    case 414:
        return "the target is longer than this server takes";
    case 431:
        return "the header is larger than this server takes";
    case 501:
        return "of the transfer encodings only chunked is known";
    case 503:
        return "no memory for this request";
    case 505:
        return "this server speaks HTTP/1.1";
    default:
        return "this is no HTTP/1.1 request";
    }
}

int rnet__response_write_head(struct rnet_http_request *req, bool keep_alive)
{
    char head[256];
    int n = put_start(req->server, head, sizeof(head), req->status,
                      req->minor > 0 ? "Transfer-Encoding: chunked\r\n" : "",
                      keep_alive ? "" : CLOSE);
    const struct rn_slice parts[] = {
        rn_slice(head, (size_t)n),
        rn_slice(req->extra, req->extra_len),
        RN_SLICE_LITERAL("\r\n"),
    };

    return rnet_conn_writev(req->conn, parts, 3);
}

void rnet__response_refuse(struct rnet_http *server, struct rnet_conn conn, unsigned status)
{
    char head[256], body[256];
    int body_len =
        snprintf(body, sizeof(body),
                 "{\"type\":\"about:blank\",\"title\":\"%s\",\"status\":%u,\"detail\":\"%s\"}\n",
                 rnet_http_reason(status), status, refusal(status));
    int n = put_head(server, head, sizeof(head), status, (size_t)body_len, CLOSE);
    const struct rn_slice parts[] = {
        rn_slice(head, (size_t)n),
        RN_SLICE_LITERAL("Content-Type: application/problem+json\r\n\r\n"),
        rn_slice(body, (size_t)body_len),
    };

    (void)rnet_conn_writev(conn, parts, 3);
}
