/* The head of a request, in two steps that never go back: see http_parse.h.
 *
 * What a byte may be part of is one table. The scan walks the bytes and knows lines only by their
 * ends; the parse knows fields, and collects what decides about framing before it judges, so that
 * "twice" and "both" are seen wherever they stand.
 */
#include "http_parse.h"

#include <errno.h>

/* ---- bytes ---- */

enum {
    TOKEN = 1,  /* tchar */
    TEXT = 2,   /* may stand in a line of the head: HTAB, SP, VCHAR, obs-text */
    TARGET = 4, /* may stand in a request target */
    HOST = 8,   /* may stand in a Host */
};

#define BETWEEN(c, a, b) ((c) >= (a) && (c) <= (b))
#define ALNUM(c)         (BETWEEN(c, '0', '9') || BETWEEN(c, 'a', 'z') || BETWEEN(c, 'A', 'Z'))
#define IS_TOKEN(c)                                                                                \
    (ALNUM(c) || (c) == '!' || BETWEEN(c, '#', '\'') || (c) == '*' || (c) == '+' || (c) == '-' ||  \
     (c) == '.' || (c) == '^' || (c) == '_' || (c) == '`' || (c) == '|' || (c) == '~')
#define IS_TEXT(c) ((c) == '\t' || ((c) >= ' ' && (c) != 127))
#define IS_TARGET(c)                                                                               \
    (BETWEEN(c, '!', '~') && (c) != '"' && (c) != '#' && (c) != '<' && (c) != '>' &&               \
     (c) != '\\' && (c) != '^' && (c) != '`' && !BETWEEN(c, '{', '}'))
#define IS_HOST(c)                                                                                 \
    (ALNUM(c) || (c) == '!' || BETWEEN(c, '$', '.') || (c) == ':' || (c) == ';' || (c) == '=' ||   \
     (c) == '[' || (c) == ']' || (c) == '_' || (c) == '~')

#define C1(c)  (IS_TOKEN(c) * TOKEN | IS_TEXT(c) * TEXT | IS_TARGET(c) * TARGET | IS_HOST(c) * HOST)
#define C4(c)  C1(c), C1((c) + 1), C1((c) + 2), C1((c) + 3)
#define C16(c) C4(c), C4((c) + 4), C4((c) + 8), C4((c) + 12)
#define C64(c) C16(c), C16((c) + 16), C16((c) + 32), C16((c) + 48)

static const uint8_t classes[256] = {C64(0), C64(64), C64(128), C64(192)};

static bool all_of(struct rn_slice s, uint8_t class)
{
    for (size_t i = 0; i < s.len; i++)
        if (!(classes[s.data[i]] & class))
            return false;
    return true;
}

bool rnet__http_is_token(struct rn_slice s)
{
    return s.len && all_of(s, TOKEN);
}

static uint8_t lower(uint8_t c)
{
    return c >= 'A' && c <= 'Z' ? c | 0x20 : c;
}

bool rnet__http_eq_nocase(struct rn_slice a, struct rn_slice b)
{
    if (a.len != b.len)
        return false;
    for (size_t i = 0; i < a.len; i++)
        if (lower(a.data[i]) != lower(b.data[i]))
            return false;
    return true;
}

static bool is_word(struct rn_slice s, const char *word)
{
    return rnet__http_eq_nocase(s, rn_slice_str(word));
}

static int hex_digit(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = lower(c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

int rnet__http_unescape(struct rn_slice in, bool plus, uint8_t *out)
{
    size_t n = 0;

    for (size_t i = 0; i < in.len; i++) {
        uint8_t c = in.data[i];

        if (c == '%') {
            int high = i + 2 < in.len ? hex_digit(in.data[i + 1]) : -1;
            int low = i + 2 < in.len ? hex_digit(in.data[i + 2]) : -1;

            if (high < 0 || low < 0)
                return -EINVAL;
            c = (uint8_t)(high << 4 | low);
            i += 2;
        } else if (c == '+' && plus) {
            c = ' ';
        }
        out[n++] = c;
    }
    return (int)n;
}

static struct rn_slice cut(struct rn_slice s, size_t from, size_t to)
{
    return (struct rn_slice){s.data + from, to - from};
}

static struct rn_slice trim(struct rn_slice s)
{
    while (s.len && (s.data[0] == ' ' || s.data[0] == '\t'))
        s = rn_slice_from(s, 1);
    while (s.len && (s.data[s.len - 1] == ' ' || s.data[s.len - 1] == '\t'))
        s.len--;
    return s;
}

/* ---- the request line ---- */

struct request_line {
    struct rn_slice method, target;
    uint8_t minor;
};

static int parse_version(struct rn_slice v, uint8_t *ret_minor)
{
    if (v.len != 8 || memcmp(v.data, "HTTP/", 5) != 0 || v.data[6] != '.')
        return -400;
    if (v.data[5] < '0' || v.data[5] > '9' || v.data[7] < '0' || v.data[7] > '9')
        return -400;
    if (v.data[5] != '1')
        return -505;
    *ret_minor = v.data[7] - '0';
    return 0;
}

static bool method_is_known(struct rn_slice m)
{
    static const char *const known[] = {"GET",    "HEAD",    "POST",  "PUT",
                                        "DELETE", "OPTIONS", "PATCH", "TRACE"};

    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
        if (rn_slice_eq_str(m, known[i]))
            return true;
    return false;
}

/* method SP target SP version; exactly one space each. The version is judged before the method:
 * what speaks another protocol is told so. */
static int parse_request_line(struct rn_slice line, struct request_line *ret)
{
    const uint8_t *a = memchr(line.data, ' ', line.len);
    int r;

    if (!a)
        return -400;
    size_t first = (size_t)(a - line.data);
    const uint8_t *b = memchr(a + 1, ' ', line.len - first - 1);
    if (!b)
        return -400;
    size_t second = (size_t)(b - line.data);

    ret->method = cut(line, 0, first);
    ret->target = cut(line, first + 1, second);
    if (!rnet__http_is_token(ret->method) || !ret->target.len || !all_of(ret->target, TARGET))
        return -400;
    r = parse_version(cut(line, second + 1, line.len), &ret->minor);
    if (r < 0)
        return r;
    return method_is_known(ret->method) ? 0 : -501; /* CONNECT too: we are no proxy */
}

/* ---- step one: the end of the head ---- */

/* A line has ended at `pos` (of its CR). 1: that was the empty line, the head is complete. */
static int end_line(struct rnet__http_scan *s, struct rn_slice in, size_t pos)
{
    struct request_line line;
    bool empty = pos == s->line;
    int r;

    if (s->lines == 0 && empty) {
        if (s->skipped)
            return -400;
        s->skipped = true;
        return 0;
    }
    if (empty)
        return 1;
    if (s->lines == 0) {
        r = parse_request_line(cut(in, s->line, pos), &line);
        if (r < 0)
            return r;
    }
    s->lines++;
    return s->lines > RNET__HTTP_FIELDS_MAX + 1 ? -431 : 0;
}

int rnet__http_scan(struct rnet__http_scan *s, struct rn_slice in)
{
    size_t i = s->pos;
    int r;

    for (; i < in.len; i++) {
        uint8_t c = in.data[i];

        if (i >= RNET__HTTP_HEAD_MAX)
            return -431;
        if (s->lines == 0 && i - s->line >= RNET__HTTP_LINE_MAX)
            return -414;
        if (s->cr != (c == '\n')) /* a bare CR, or a bare LF */
            return -400;
        if (c == '\n') {
            s->cr = false;
            r = end_line(s, in, i - 1);
            if (r != 0)
                return r < 0 ? r : (int)i + 1;
            s->line = (uint16_t)(i + 1);
        } else if (c == '\r') {
            s->cr = true;
        } else if (!(classes[c] & TEXT)) {
            return -400;
        }
    }
    s->pos = (uint16_t)i;
    return 0;
}

/* ---- step two: the fields ---- */

/* What the fields said that decides about framing, counted so that "twice" is seen. */
struct framing {
    struct rn_slice host, length, coding;
    unsigned hosts, lengths, codings;
    bool close, keep_alive;
};

static int parse_length(struct rn_slice v, uint64_t *ret_length)
{
    uint64_t n = 0;

    if (!v.len || v.len > 18) /* 18 digits are below 2^63: no overflow */
        return -400;
    for (size_t i = 0; i < v.len; i++) {
        if (v.data[i] < '0' || v.data[i] > '9')
            return -400;
        n = n * 10 + (v.data[i] - '0');
    }
    *ret_length = n;
    return 0;
}

/* The options of a Connection field: a list of tokens. */
static int read_connection(struct rn_slice v, struct framing *f)
{
    while (v.len) {
        const uint8_t *comma = memchr(v.data, ',', v.len);
        size_t n = comma ? (size_t)(comma - v.data) : v.len;
        struct rn_slice option = trim(cut(v, 0, n));

        if (option.len && !rnet__http_is_token(option))
            return -400;
        f->close |= is_word(option, "close");
        f->keep_alive |= is_word(option, "keep-alive");
        v = rn_slice_from(v, n + (comma ? 1 : 0));
    }
    return 0;
}

static int note_field(struct rn_slice name, struct rn_slice value, struct framing *f,
                      struct rnet__http_head *h)
{
    if (is_word(name, "host")) {
        f->hosts++;
        f->host = value;
    } else if (is_word(name, "content-length")) {
        f->lengths++;
        f->length = value;
    } else if (is_word(name, "transfer-encoding")) {
        f->codings++;
        f->coding = value;
    } else if (is_word(name, "connection")) {
        return read_connection(value, f);
    } else if (is_word(name, "expect")) {
        if (!is_word(value, "100-continue"))
            return -417;
        h->expect_continue = true;
    }
    return 0;
}

/* name ":" OWS value OWS, the name a token up to the very colon. A line that begins with a space is
 * a folded one (obs-fold), and fails as a name. */
static int parse_field(struct rn_slice head, size_t from, size_t to, struct framing *f,
                       struct rnet__http_head *h)
{
    struct rn_slice line = cut(head, from, to);
    const uint8_t *colon = memchr(line.data, ':', line.len);

    if (!colon)
        return -400;
    struct rn_slice name = cut(line, 0, (size_t)(colon - line.data));
    struct rn_slice value = trim(rn_slice_from(line, name.len + 1));
    if (!rnet__http_is_token(name))
        return -400;
    if (h->n_fields == RNET__HTTP_FIELDS_MAX)
        return -431;
    h->fields[h->n_fields++] =
        (struct rnet__http_field){(uint16_t)from, (uint16_t)name.len,
                                  (uint16_t)(value.data - head.data), (uint16_t)value.len};
    return note_field(name, value, f, h);
}

/* The next line without its CRLF; the scan has proved that each CR is followed by LF. */
static size_t line_end(struct rn_slice head, size_t from)
{
    const uint8_t *cr = memchr(head.data + from, '\r', head.len - from);

    return cr ? (size_t)(cr - head.data) : head.len;
}

/* RFC 9112, 6.1 to 6.3, with every doubt decided against the client. */
static int judge_framing(const struct framing *f, struct rnet__http_head *h)
{
    if (f->lengths > 1 || f->codings > 1 || (f->lengths && f->codings))
        return -400;
    if (f->codings) {
        if (h->minor == 0)
            return -400;
        if (!is_word(
                f->coding,
                "chunked")) /* "gzip, chunked" is legal, and not ours; "chunked, chunked" is not */
            return rnet__http_is_token(f->coding) ? -501 : -400;
        h->chunked = true;
    }
    return f->lengths ? parse_length(f->length, &h->content_length) : 0;
}

static int judge_host(const struct framing *f, const struct rnet__http_head *h)
{
    if (f->hosts > 1 || (f->hosts == 0 && h->minor > 0))
        return -400;
    return all_of(f->host, HOST) ? 0 : -400;
}

/* ---- the target ---- */

static struct rnet__http_span span_of(struct rn_slice head, struct rn_slice part)
{
    return (struct rnet__http_span){(uint16_t)(part.data - head.data), (uint16_t)part.len};
}

static int split_path(struct rn_slice head, struct rn_slice path, struct rnet__http_head *h)
{
    const uint8_t *mark = memchr(path.data, '?', path.len);
    size_t n = mark ? (size_t)(mark - path.data) : path.len;

    h->path = span_of(head, cut(path, 0, n));
    h->has_query = mark;
    h->query = span_of(head, rn_slice_from(path, n + (mark ? 1 : 0)));
    return 0;
}

/* http://authority/path?query: the authority must be what Host says, or there would be two. Where
 * the path is empty it stands for "/", and the last one of "://" serves as that. */
static int split_absolute(struct rn_slice head, struct rn_slice target, struct rn_slice host,
                          struct rnet__http_head *h)
{
    size_t scheme = 0;

    if (target.len > 7 && is_word(cut(target, 0, 7), "http://"))
        scheme = 7;
    else if (target.len > 8 && is_word(cut(target, 0, 8), "https://"))
        scheme = 8;
    if (!scheme)
        return -400;

    size_t end = scheme;
    while (end < target.len && target.data[end] != '/' && target.data[end] != '?')
        end++;
    if (end == scheme || !rnet__http_eq_nocase(cut(target, scheme, end), host))
        return -400;
    if (end < target.len && target.data[end] == '/')
        return split_path(head, rn_slice_from(target, end), h);
    split_path(head, rn_slice_from(target, end), h);
    h->path = span_of(head, cut(target, scheme - 1, scheme));
    return 0;
}

static int parse_target(struct rn_slice head, const struct request_line *line,
                        const struct framing *f, struct rnet__http_head *h)
{
    if (line->target.data[0] == '/')
        return split_path(head, line->target, h);
    if (rn_slice_eq_str(line->target, "*"))
        return rn_slice_eq_str(line->method, "OPTIONS") ? split_path(head, line->target, h) : -400;
    return split_absolute(head, line->target, f->host, h);
}

int rnet__http_parse(struct rn_slice head, struct rnet__http_head *h)
{
    struct framing f = {0};
    struct request_line line;
    int r;

    h->n_fields = 0;
    h->chunked = h->expect_continue = false;
    h->content_length = RNET__HTTP_NO_LENGTH;

    size_t from = head.data[0] == '\r' ? 2 : 0;
    size_t to = line_end(head, from);
    r = parse_request_line(cut(head, from, to), &line);
    if (r < 0)
        return r;
    h->method = span_of(head, line.method);
    h->minor = line.minor;

    for (from = to + 2; (to = line_end(head, from)) > from; from = to + 2) {
        r = parse_field(head, from, to, &f, h);
        if (r == -417 && h->minor == 0) /* an Expect in HTTP/1.0 is ignored (RFC 9110, 10.1.1) */
            r = 0;
        if (r < 0)
            return r;
    }
    r = judge_framing(&f, h);
    if (r == 0)
        r = judge_host(&f, h);
    if (r == 0)
        r = parse_target(head, &line, &f, h);
    h->expect_continue &= h->minor > 0;
    h->keep_alive = h->minor > 0 ? !f.close : f.keep_alive && !f.close;
    return r;
}
