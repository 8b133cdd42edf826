/* InfluxDB: lines to `/write` (1.x, and what speaks its language: VictoriaMetrics) or
 * `/api/v2/write` (2.x).
 *
 * A point is recognised by measurement, tags and time, so what is sent twice overwrites itself.
 * That makes halving harmless, and a duplicate is counted as stored: the server does not tell.
 *
 * A 400 or 422 is about lines, about the request, or both:
 *
 *     "partial write: unable to parse 'LINE': ..."   the lines that are named are lost, the others
 * are stored ("dropped=0" all the same) "unable to parse 'LINE': ..."                  nothing is
 * stored; the others are sent again without those that are named "partial write: ... dropped=N" N
 * of them are lost, it does not say which: all if N is all, else halved anything else the request
 * is wrong: a person has to look
 */
#include "exporter/types.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <libdeflate.h>

#include <base/cleanup.h>

#include <runnel/task.h>

#include "exporter/http_client.h"
#include "exporter/line_protocol.h"
#include "exporter/parts.h"

#define OPEN_TIME_MAX (10 * RN_S)
#define GZIP_LEVEL 1 /* our lines repeat themselves: more work saves little */
#define AGAIN_MAX 8  /* a part without the lines that were named */

struct self {
    struct ft_influxdb_settings settings;
    struct ft_http_client *client;
    struct libdeflate_compressor *gzip; /* NULL: plain */
    struct ft_buf target, part, packed;
};

#define AT(field) offsetof(struct ft_influxdb_settings, field)
const struct ft_option ft_influxdb_options[] = {
    FT_EXPORTER_OPTIONS(ft_influxdb_settings, "influxdb", "false"),
    {"url", FT_CUSTOM, AT(url), .def = "http://127.0.0.1:8086", .parse = ft_http_url_parse,
     .same = ft_option_same_text, .help = "where it listens"},
    {"database", FT_STRING, AT(database), .help = "1.x: the database"},
    {"retention_policy", FT_STRING, AT(retention_policy),
     .help = "1.x: instead of the database's default"},
    {"user", FT_STRING, AT(user), .help = "1.x: for basic authentication, with password_file"},
    {"password_file", FT_PATH, AT(password_file), .help = "1.x: a file with the password"},
    {"org", FT_STRING, AT(org), .help = "2.x: the organisation"},
    {"bucket", FT_STRING, AT(bucket), .help = "2.x: the bucket"},
    {"token_file", FT_PATH, AT(token_file), .help = "2.x: a file with the API token"},
    {"ca_file", FT_PATH, AT(ca_file),
     .help = "certificates that may sign the server's, instead of the system's"},
    {"gzip", FT_BOOL, AT(gzip), .def = "true", .help = "compress what is sent"},
    {0},
};

static int influxdb_judge(const void *settings, struct ft_text_error *why)
{
    const struct ft_influxdb_settings *s = settings;

    if (!s->database == !s->bucket)
        ft_text_error_set(
            why, "give either `database` (InfluxDB 1.x) or `org`, `bucket` and `token_file` (2.x)");
    else if (s->bucket && (s->user || s->password_file || s->retention_policy))
        ft_text_error_set(why, "`user`, `password_file` and `retention_policy` are for 1.x: with "
                               "`bucket` give `token_file`");
    else if (s->bucket && (!s->org || !s->token_file))
        ft_text_error_set(why, "`bucket` needs `org` and `token_file` beside it");
    else if (s->database && (s->org || s->token_file))
        ft_text_error_set(
            why,
            "`org` and `token_file` are for 2.x: with `database` give `user` and `password_file`");
    else if (!s->user != !s->password_file)
        ft_text_error_set(why, "`user` and `password_file` go together: give both or none");
    else if (s->user && strchr(s->user, ':'))
        ft_text_error_set(why, "a `user` with a colon cannot be sent: take another one");
    else
        return 0;
    return -EINVAL;
}

/* ---- open ------------------------------------------------------------------------------------ */

static int target_make(struct self *self)
{
    const struct ft_influxdb_settings *s = &self->settings;

    ft_buf_clear(&self->target);
    if (s->bucket) {
        (void)ft_http_add_query(&self->target, "/api/v2/write?org", s->org);
        (void)ft_http_add_query(&self->target, "&bucket", s->bucket);
    } else {
        (void)ft_http_add_query(&self->target, "/write?db", s->database);
        if (s->retention_policy)
            (void)ft_http_add_query(&self->target, "&rp", s->retention_policy);
    }
    return ft_buf_add_byte(&self->target,
                           0); /* the precision is not said: nanoseconds in every version */
}

/* Is there one who answers? Whether it lets us in shows when we write. */
static int server_ask(struct self *self, struct ft_text_error *reterr)
{
    const struct ft_http_call call = {.method = "GET", .target = "/ping"};
    struct ft_http_answer a;
    int r = ft_http_call(self->client, &call, rn_now() + OPEN_TIME_MAX, &a, reterr);

    if (r < 0 || ft_http_kind(a.status) != FT_HTTP_LATER)
        return r;
    ft_http_answer_text(self->client, &a, reterr);
    return -EIO;
}

static void influxdb_close(void *arg)
{
    struct self *self = arg;

    self->client = ft_http_client_close(self->client);
    libdeflate_free_compressor(self->gzip);
    self->gzip = NULL;
    ft_buf_fini(&self->target);
    ft_buf_fini(&self->part);
    ft_buf_fini(&self->packed);
}

static int influxdb_open(void *arg, struct ft_text_error *reterr)
{
    struct self *self = arg;
    const struct ft_http_options options = {
        .url = self->settings.url,
        .user = self->settings.user,
        .password_file = self->settings.password_file,
        .token_scheme = "Token",
        .token_file = self->settings.token_file,
        .ca_file = self->settings.ca_file,
    };
    int r;

    self->target.max = self->part.max = self->packed.max = SIZE_MAX;
    if (self->settings.gzip)
        self->gzip = libdeflate_alloc_compressor(GZIP_LEVEL);
    r = self->settings.gzip && !self->gzip ? -ENOMEM : target_make(self);
    if (r == 0)
        r = ft_http_client_open(&options, &self->client, reterr);
    if (r == 0)
        r = server_ask(self, reterr);
    if (r < 0)
        influxdb_close(self);
    return r;
}

/* ---- encode ---------------------------------------------------------------------------------- */

static int influxdb_encode(const void *self, const struct ft_rows *in, struct ft_buf *out)
{
    (void)self;
    for (size_t i = 0; i < in->n; i++) {
        if (ft_line_fault(&in->items[i]))
            continue;
        (void)ft_line_add(out, &in->items[i]);
        (void)ft_buf_add_byte(out, '\n');
    }
    return ft_buf_error(out);
}

static bool is_rejected(const struct ft_part *part, size_t i)
{
    return part->answer->items[part->first + i].kind == FT_VERDICT_REJECT;
}

/* The lines of a part without those of rejected samples. */
static int part_encode(struct self *self, const struct ft_part *part)
{
    const struct ft_rows rows = ft_part_rows(part);

    ft_buf_clear(&self->part);
    for (size_t i = 0; i < rows.n; i++) {
        if (is_rejected(part, i))
            continue;
        (void)ft_line_add(&self->part, &rows.items[i]);
        (void)ft_buf_add_byte(&self->part, '\n');
    }
    return ft_buf_error(&self->part);
}

static int body_pack(struct self *self, struct rn_slice plain, struct rn_slice *ret)
{
    const size_t bound = libdeflate_gzip_compress_bound(self->gzip, plain.len);
    int r;

    ft_buf_clear(&self->packed);
    r = ft_buf_reserve(&self->packed, bound);
    if (r < 0)
        return r;
    self->packed.len =
        libdeflate_gzip_compress(self->gzip, plain.data, plain.len, self->packed.data, bound);
    *ret = ft_buf_slice(&self->packed);
    return 0;
}

/* ---- send: what the answer means ------------------------------------------------------------- */

static size_t part_lines(const struct ft_part *part)
{
    size_t n = 0;

    for (size_t i = 0; i < part->n; i++)
        n += !is_rejected(part, i);
    return n;
}

/* For every sample of the part that has not been rejected before. */
static void part_say(const struct ft_part *part, enum ft_verdict_kind kind, const char *why)
{
    for (size_t i = 0; i < part->n; i++)
        if (!is_rejected(part, i))
            ft_answer_one(part->answer, part->first + i, kind, "%s", why);
}

static bool says(struct rn_slice text, const char *words)
{
    return text.data && memmem(text.data, text.len, words, strlen(words)) != NULL;
}

/* N of "dropped=N"; 0: it does not say. */
static size_t dropped_count(struct rn_slice text)
{
    const uint8_t *at =
        text.data ? memmem(text.data, text.len, "dropped=", strlen("dropped=")) : NULL;
    size_t n = 0;

    for (at = at ? at + strlen("dropped=") : NULL;
         at && at < text.data + text.len && *at >= '0' && *at <= '9' && n < 1000000; at++)
        n = n * 10 + (size_t)(*at - '0');
    return n;
}

struct complaint {
    struct self *self;
    const struct ft_part *part;
};

static void line_named(void *arg, size_t i, struct rn_slice why)
{
    const struct complaint *c = arg;
    struct ft_text_error shown;

    ft_http_hide(c->self->client, why, &shown);
    ft_answer_one(c->part->answer, c->part->first + i, FT_VERDICT_REJECT,
                  "the server cannot read its line: %s", shown.text);
}

/* What is to be done about a part. */
enum next { DONE = FT_PART_DONE, HALVE = FT_PART_HALVE, AGAIN };

static int bad_judge(struct self *self, const struct ft_part *part, const struct ft_http_answer *a,
                     const char *shown)
{
    CLEANUP(ft_buf_fini) struct ft_buf text = FT_BUF_INIT(FT_HTTP_ANSWER_MAX);
    const bool raw = ft_http_answer_message(a, &text) < 0;
    struct rn_slice said = raw ? a->body : ft_buf_slice(&text);
    const bool partial = says(said, "partial write");
    const size_t sent = part_lines(part), dropped = dropped_count(said);
    const struct ft_rows rows = ft_part_rows(part);
    struct complaint complaint = {self, part};
    size_t named;

    if (!partial && !says(said, "unable to parse") && a->status != 422) {
        ft_answer_rest(part->answer, FT_VERDICT_HOLD, "%s", shown);
        return -EBADMSG;
    }
    named = ft_lines_find(&rows, said, line_named, &complaint);
    if (named < sent && (sent == 1 || dropped >= sent - named)) {
        part_say(part, FT_VERDICT_REJECT, shown);
        return DONE;
    }
    if (named == 0 || dropped > 0 || a->cut)
        return HALVE;
    if (!partial)
        return AGAIN;
    part_say(part, FT_VERDICT_OK, "");
    return DONE;
}

static int refused_judge(const struct ft_part *part, const struct ft_http_answer *a,
                         const char *shown)
{
    /* InfluxDB 1.x says so with a 500, but it does not pass by itself */
    const bool later =
        ft_http_kind(a->status) == FT_HTTP_LATER && !says(a->body, "retention policy not found");
    const bool missing = a->status == 404 && says(a->body, "database not found");

    part->answer->retry_after = later ? a->retry_after : 0;
    ft_answer_rest(part->answer, later ? FT_VERDICT_RETRY : FT_VERDICT_HOLD, "%s%s", shown,
                   missing ? ": create it" : "");
    return -EIO;
}

static int answer_judge(struct self *self, const struct ft_part *part,
                        const struct ft_http_answer *a)
{
    struct ft_text_error shown;

    if (a->status == 204 || a->status == 200) {
        part_say(part, FT_VERDICT_OK, "");
        return DONE;
    }
    ft_http_answer_text(self->client, a, &shown);
    if (ft_http_kind(a->status) == FT_HTTP_BAD)
        return bad_judge(self, part, a, shown.text);
    if (ft_http_kind(a->status) != FT_HTTP_TOO_LARGE)
        return refused_judge(part, a, shown.text);
    if (part_lines(part) > 1)
        return HALVE;
    part_say(part, FT_VERDICT_REJECT, shown.text);
    return DONE;
}

/* ---- send ------------------------------------------------------------------------------------ */

static int part_post(struct self *self, const struct ft_part *part, struct rn_slice plain,
                     struct ft_http_answer *ret, struct ft_text_error *reterr)
{
    struct ft_http_call call = {.method = "POST",
                                .target = (const char *)self->target.data,
                                .content_type = "text/plain; charset=utf-8",
                                .body = plain};
    int r = 0;

    if (self->gzip) {
        call.content_encoding = "gzip";
        r = body_pack(self, plain, &call.body);
    }
    return r < 0 ? r : ft_http_call(self->client, &call, part->deadline, ret, reterr);
}

static int part_send(void *arg, const struct ft_part *part)
{
    struct self *self = arg;
    struct rn_slice plain = part->body;
    int next = AGAIN;

    for (int tries = 0; next == AGAIN; tries++) {
        struct ft_text_error why = {0};
        struct ft_http_answer a;
        int r = 0;

        if (part_lines(part) == 0)
            return FT_PART_DONE;
        if (tries > AGAIN_MAX)
            return FT_PART_HALVE;
        if (!plain.data) {
            r = part_encode(self, part);
            plain = ft_buf_slice(&self->part);
        }
        if (r == 0)
            r = part_post(self, part, plain, &a, &why);
        if (r < 0) {
            ft_answer_rest(part->answer, r == -EACCES ? FT_VERDICT_HOLD : FT_VERDICT_RETRY, "%s",
                           why.text);
            return r;
        }
        next = answer_judge(self, part, &a);
        plain = rn_slice(NULL, 0);
    }
    return next;
}

static int influxdb_send(void *arg, const struct ft_rows *in, struct rn_slice body,
                         struct ft_answer *answer, rn_time deadline)
{
    const struct ft_part whole = {
        .rows = in, .n = in->n, .body = body, .answer = answer, .deadline = deadline};

    for (size_t i = 0; i < in->n; i++) {
        const char *fault = ft_line_fault(&in->items[i]);

        if (fault)
            ft_answer_one(answer, i, FT_VERDICT_REJECT, "%s", fault);
    }
    return ft_parts_send(part_send, arg, &whole);
}

const struct ft_exporter_type ft_exporter_influxdb = {
    .name = "influxdb",
    .summary = "points in InfluxDB 1.x or 2.x",
    .size = sizeof(struct self),
    .settings_size = sizeof(struct ft_influxdb_settings),
    .options = ft_influxdb_options,
    .pace = {.rows_max = 5000,
             .bytes_max = (size_t)5 << 20,
             .age_max = RN_S,
             .send_max = 30 * RN_S,
             .retry_max = 10 * RN_S},
    .judge = influxdb_judge,
    .open = influxdb_open,
    .encode = influxdb_encode,
    .send = influxdb_send,
    .close = influxdb_close,
};
