#include "http_parse.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <harness/test.h>

#include <base/cleanup.h>

#include "http_chunk.h"

/* One request head and the verdict that it must get, however it is cut. */
struct vector {
    const char *name, *text;
    int status; /* 0: accepted */
};

#define OK_HOST "Host: a\r\n"

static const struct vector vectors[] = {
    {"the least", "GET / HTTP/1.1\r\nHost: a\r\n\r\n", 0},
    {"HTTP/1.0 needs no Host", "GET / HTTP/1.0\r\n\r\n", 0},
    {"a minor version above ours", "GET / HTTP/1.7\r\nHost: a\r\n\r\n", 0},
    {"one empty line before", "\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", 0},
    {"two empty lines before", "\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", 400},
    {"a query", "GET /a?b=c&d HTTP/1.1\r\nHost: a:80\r\n\r\n", 0},
    {"white space around a value", "GET / HTTP/1.1\r\nHost:\t a \t\r\nX:\r\n\r\n", 0},
    {"an IPv6 host", "GET / HTTP/1.1\r\nHost: [::1]:4321\r\n\r\n", 0},
    {"bytes above 127 in a value", "GET / HTTP/1.1\r\nHost: a\r\nX: \xc3\xa9\r\n\r\n", 0},
    {"absolute form", "GET http://A:80/x HTTP/1.1\r\nHost: a:80\r\n\r\n", 0},
    {"absolute form without path", "GET http://a HTTP/1.1\r\nHost: a\r\n\r\n", 0},
    {"absolute form without path, with query", "GET https://a?q=1 HTTP/1.1\r\nHost: a\r\n\r\n", 0},
    {"OPTIONS *", "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", 0},
    {"a length", "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 007\r\n\r\n", 0},
    {"chunked, in any letters", "PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n\r\n",
     0},
    {"an expectation",
     "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nExpect: 100-Continue\r\n\r\n", 0},
    {"an unknown expectation in HTTP/1.0 is ignored",
     "PUT / HTTP/1.0\r\nContent-Length: 1\r\nExpect: cake\r\n\r\n", 0},

    {"length and coding",
     "PUT / HTTP/1.1\r\n" OK_HOST "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
    {"coding and length",
     "PUT / HTTP/1.1\r\n" OK_HOST "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n", 400},
    {"two lengths", "PUT / HTTP/1.1\r\n" OK_HOST "Content-Length: 4\r\nContent-Length: 4\r\n\r\n",
     400},
    {"a list of lengths", "PUT / HTTP/1.1\r\n" OK_HOST "Content-Length: 4, 4\r\n\r\n", 400},
    {"a signed length", "PUT / HTTP/1.1\r\n" OK_HOST "Content-Length: +4\r\n\r\n", 400},
    {"a negative length", "PUT / HTTP/1.1\r\n" OK_HOST "Content-Length: -4\r\n\r\n", 400},
    {"a hexadecimal length", "PUT / HTTP/1.1\r\n" OK_HOST "Content-Length: 0x4\r\n\r\n", 400},
    {"an empty length", "PUT / HTTP/1.1\r\n" OK_HOST "Content-Length:\r\n\r\n", 400},
    {"a length beyond 64 bits",
     "PUT / HTTP/1.1\r\n" OK_HOST "Content-Length: 18446744073709551620\r\n\r\n", 400},
    {"two codings",
     "PUT / HTTP/1.1\r\n" OK_HOST
     "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
     400},
    {"a list of codings", "PUT / HTTP/1.1\r\n" OK_HOST "Transfer-Encoding: gzip, chunked\r\n\r\n",
     400},
    {"chunked twice", "PUT / HTTP/1.1\r\n" OK_HOST "Transfer-Encoding: chunked, chunked\r\n\r\n",
     400},
    {"chunked with a parameter",
     "PUT / HTTP/1.1\r\n" OK_HOST "Transfer-Encoding: chunked;a=b\r\n\r\n", 400},
    {"chunked behind a vertical tab",
     "PUT / HTTP/1.1\r\n" OK_HOST "Transfer-Encoding: \vchunked\r\n\r\n", 400},
    {"chunked in quotes", "PUT / HTTP/1.1\r\n" OK_HOST "Transfer-Encoding: \"chunked\"\r\n\r\n",
     400},
    {"an empty coding", "PUT / HTTP/1.1\r\n" OK_HOST "Transfer-Encoding:\r\n\r\n", 400},
    {"an unknown coding", "PUT / HTTP/1.1\r\n" OK_HOST "Transfer-Encoding: gzip\r\n\r\n", 501},
    {"identity", "PUT / HTTP/1.1\r\n" OK_HOST "Transfer-Encoding: identity\r\n\r\n", 501},
    {"a coding in HTTP/1.0", "PUT / HTTP/1.0\r\n" OK_HOST "Transfer-Encoding: chunked\r\n\r\n",
     400},
    {"a coding's name with a space before the colon",
     "PUT / HTTP/1.1\r\n" OK_HOST "Transfer-Encoding : chunked\r\n\r\n", 400},
    {"a folded coding", "PUT / HTTP/1.1\r\n" OK_HOST "Transfer-Encoding:\r\n chunked\r\n\r\n", 400},
    {"a space before the colon", "GET / HTTP/1.1\r\nHost : a\r\n\r\n", 400},
    {"a space before the first name", "GET / HTTP/1.1\r\n Host: a\r\n\r\n", 400},
    {"a folded value", "GET / HTTP/1.1\r\nHost: a\r\nX: a\r\n\tb\r\n\r\n", 400},
    {"a line without colon", "GET / HTTP/1.1\r\nHost: a\r\nX\r\n\r\n", 400},
    {"an empty name", "GET / HTTP/1.1\r\nHost: a\r\n: x\r\n\r\n", 400},
    {"a name that is no token", "GET / HTTP/1.1\r\nHost: a\r\nX(y): z\r\n\r\n", 400},
    {"no Host", "GET / HTTP/1.1\r\n\r\n", 400},
    {"two Hosts", "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400},
    {"two Hosts in HTTP/1.0", "GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n", 400},
    {"a Host with a space", "GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400},
    {"a Host with a path", "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400},
    {"a Host with a user", "GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", 400},
    {"absolute form of another host", "GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n", 400},
    {"absolute form with a user", "GET http://u@a/ HTTP/1.1\r\nHost: a\r\n\r\n", 400},
    {"absolute form of nobody", "GET http:/// HTTP/1.1\r\nHost:\r\n\r\n", 400},
    {"absolute form of another scheme", "GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n", 400},
    {"a star for GET", "GET * HTTP/1.1\r\nHost: a\r\n\r\n", 400},
    {"a target without slash", "GET x HTTP/1.1\r\nHost: a\r\n\r\n", 400},
    {"a bare LF", "GET / HTTP/1.1\nHost: a\r\n\r\n", 400},
    {"a bare LF at the end", "GET / HTTP/1.1\r\nHost: a\r\n\n", 400},
    {"a bare CR in a value", "GET / HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n\r\n", 400},
    {"a bare CR at the end of a line", "GET / HTTP/1.1\r\nHost: a\rX: b\r\n\r\n", 400},
    {"two CRs", "GET / HTTP/1.1\r\r\nHost: a\r\n\r\n", 400},
    {"a tab in the request line", "GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n", 400},
    {"two spaces", "GET  / HTTP/1.1\r\nHost: a\r\n\r\n", 400},
    {"a space at the end of the request line", "GET / HTTP/1.1 \r\nHost: a\r\n\r\n", 400},
    {"a space at its beginning", " GET / HTTP/1.1\r\nHost: a\r\n\r\n", 400},
    {"HTTP/0.9", "GET /\r\n", 400},
    {"a method that is no token", "G@T / HTTP/1.1\r\nHost: a\r\n\r\n", 400},
    {"a method that nobody knows", "FETTLE / HTTP/1.1\r\nHost: a\r\n\r\n", 501},
    {"methods have capital letters", "get / HTTP/1.1\r\nHost: a\r\n\r\n", 501},
    {"CONNECT", "CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n", 501},
    {"another protocol's preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505},
    {"a version of the future", "GET / HTTP/9.9\r\nHost: a\r\n\r\n", 505},
    {"a version that is none", "GET / HTTP/1\r\nHost: a\r\n\r\n", 400},
    {"a version with two digits", "GET / HTTP/1.10\r\nHost: a\r\n\r\n", 400},
    {"a version in small letters", "GET / http/1.1\r\nHost: a\r\n\r\n", 400},
    {"a fragment", "GET /#a HTTP/1.1\r\nHost: a\r\n\r\n", 400},
    {"bytes above 127 in the target", "GET /\xc3\xa9 HTTP/1.1\r\nHost: a\r\n\r\n", 400},
    {"an unknown expectation",
     "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nExpect: cake\r\n\r\n", 417},
    {"a Connection that is no list of tokens",
     "GET / HTTP/1.1\r\nHost: a\r\nConnection: (x)\r\n\r\n", 400},
    {"the first bytes of TLS", "\x16\x03\x01\x02", 400},
};
#define N_VECTORS (sizeof(vectors) / sizeof(vectors[0]))

/* The verdict when the bytes come `step` at a time (0: at once): the length of the head, or the
 * negated status; 0: more. */
static int verdict(struct rn_slice in, size_t step, struct rnet__http_head *head)
{
    struct rnet__http_scan scan = {0};
    int r = 0;

    for (size_t n = step ? step : in.len; r == 0 && n <= in.len; n += step ? step : in.len + 1)
        r = rnet__http_scan(&scan, rn_slice(in.data, n));
    if (r == 0 && step && in.len % step)
        r = rnet__http_scan(&scan, in);
    if (r > 0) {
        int p = rnet__http_parse(rn_slice(in.data, (size_t)r), head);
        return p < 0 ? p : r;
    }
    return r;
}

TEST(every_head_gets_the_verdict_of_the_table_however_it_is_cut)
{
    struct rnet__http_head head;

    for (size_t i = 0; i < N_VECTORS; i++) {
        struct rn_slice in = rn_slice_str(vectors[i].text);
        int want = vectors[i].status ? -vectors[i].status : (int)in.len;

        for (size_t step = 0; step <= in.len; step++) {
            test_note("%s, %zu bytes at a time", vectors[i].name, step);
            EQ(verdict(in, step, &head), want);
        }
    }
}

TEST(every_prefix_of_a_head_waits_or_is_refused_with_the_same_status)
{
    struct rnet__http_head head;

    for (size_t i = 0; i < N_VECTORS; i++) {
        struct rn_slice in = rn_slice_str(vectors[i].text);

        for (size_t n = 1; n < in.len; n++) {
            int r = verdict(rn_slice(in.data, n), 0, &head);

            test_note("%s, first %zu bytes", vectors[i].name, n);
            TRUE(r == 0 || r == -vectors[i].status);
        }
    }
}

TEST(two_pieces_split_anywhere_give_what_one_piece_gives)
{
    struct rnet__http_head head;

    for (size_t i = 0; i < N_VECTORS; i++) {
        struct rn_slice in = rn_slice_str(vectors[i].text);
        int whole = verdict(in, 0, &head);

        for (size_t n = 1; n < in.len; n++) {
            struct rnet__http_scan scan = {0};
            int r = rnet__http_scan(&scan, rn_slice(in.data, n));

            if (r == 0)
                r = rnet__http_scan(&scan, in);
            if (r > 0 && rnet__http_parse(rn_slice(in.data, (size_t)r), &head) < 0)
                r = rnet__http_parse(rn_slice(in.data, (size_t)r), &head);
            test_note("%s, split at %zu", vectors[i].name, n);
            EQ(r, whole);
        }
    }
}

TEST(what_follows_a_head_is_not_looked_at)
{
    struct rnet__http_head head;
    const char *text = "GET / HTTP/1.1\r\nHost: a\r\n\r\n\x01\x02garbage";

    EQ(verdict(rn_slice_str(text), 0, &head), 27);
}

TEST(a_control_byte_is_refused_wherever_it_stands)
{
    static const char text[] = "GET /abc HTTP/1.1\r\nHost: a\r\nX-Name: value\r\n\r\n";
    struct rnet__http_head head;
    char copy[sizeof(text)];

    for (size_t at = 0; at + 1 < sizeof(text); at++)
        for (int c = 0; c < 128; c++) {
            if ((c >= 32 && c < 127) || c == '\t' || c == '\r' || c == '\n')
                continue;
            memcpy(copy, text, sizeof(text));
            copy[at] = (char)c;
            test_note("byte %d at %zu", c, at);
            EQ(verdict(rn_slice(copy, sizeof(text) - 1), 0, &head), -400);
        }
}

static struct rn_slice text_of(const char *text, struct rnet__http_span s)
{
    return rn_slice(text + s.at, s.len);
}

TEST(a_head_is_taken_apart)
{
    const char *text =
        "PUT /a%20b?x=1&y HTTP/1.1\r\nHost: h:1\r\nX-Empty:\r\nConnection: foo , Close\r\n"
        "Content-Length: 12\r\nExpect: 100-continue\r\n\r\n";
    struct rnet__http_head h;

    OK(verdict(rn_slice_str(text), 0, &h));
    TRUE(rn_slice_eq_str(text_of(text, h.method), "PUT"));
    TRUE(rn_slice_eq_str(text_of(text, h.path), "/a%20b"));
    TRUE(h.has_query && rn_slice_eq_str(text_of(text, h.query), "x=1&y"));
    EQ(h.content_length, 12);
    EQ(h.minor, 1);
    EQ(h.n_fields, 5);
    EQ(h.fields[1].value_len, 0);
    TRUE(h.expect_continue);
    FALSE(h.chunked);
    FALSE(h.keep_alive);
}

TEST(an_absolute_target_loses_its_authority)
{
    const char *text = "GET http://a?q HTTP/1.1\r\nHost: a\r\n\r\n";
    struct rnet__http_head h;

    OK(verdict(rn_slice_str(text), 0, &h));
    TRUE(rn_slice_eq_str(text_of(text, h.path), "/"));
    TRUE(rn_slice_eq_str(text_of(text, h.query), "q"));
}

TEST(keep_alive_is_the_default_of_1_1_and_an_option_of_1_0)
{
    static const struct {
        const char *text;
        bool keep;
    } cases[] = {
        {"GET / HTTP/1.1\r\nHost: a\r\n\r\n", true},
        {"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", false},
        {"GET / HTTP/1.0\r\n\r\n", false},
        {"GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", true},
        {"GET / HTTP/1.0\r\nConnection: keep-alive, close\r\n\r\n", false},
    };
    struct rnet__http_head h;

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        test_note("%s", cases[i].text);
        OK(verdict(rn_slice_str(cases[i].text), 0, &h));
        EQ(h.keep_alive, cases[i].keep);
    }
}

/* ---- limits ---- */

static char *repeat(char *at, char c, size_t n)
{
    memset(at, c, n);
    return at + n;
}

static int verdict_of_target(size_t n, size_t step)
{
    static char text[40000];
    static struct rnet__http_head head;
    char *at = stpcpy(text, "GET /");

    at = repeat(at, 'a', n);
    at = stpcpy(at, " HTTP/1.1\r\nHost: a\r\n\r\n");
    return verdict(rn_slice(text, (size_t)(at - text)), step, &head);
}

TEST(a_request_line_over_8_KiB_is_414)
{
    const size_t fits = RNET__HTTP_LINE_MAX - strlen("GET / HTTP/1.1\r\n");

    GT(verdict_of_target(fits, 0), 0);
    GT(verdict_of_target(fits, 1000), 0);
    EQ(verdict_of_target(fits + 1, 0), -414);
    EQ(verdict_of_target(fits + 1, 7), -414);
    EQ(verdict_of_target(30000, 0), -414);
    EQ(verdict_of_target(30000, 4096), -414);
}

static int verdict_of_fields(unsigned n, size_t value_len, size_t step)
{
    static char text[200000];
    static struct rnet__http_head head;
    char *at = stpcpy(text, "GET / HTTP/1.1\r\nHost: a\r\n");

    for (unsigned i = 1; i < n; i++) {
        at = stpcpy(at, "X: ");
        at = repeat(at, 'a', value_len);
        at = stpcpy(at, "\r\n");
    }
    at = stpcpy(at, "\r\n");
    return verdict(rn_slice(text, (size_t)(at - text)), step, &head);
}

TEST(more_than_100_fields_are_431)
{
    GT(verdict_of_fields(100, 1, 0), 0);
    EQ(verdict_of_fields(101, 1, 0), -431);
    EQ(verdict_of_fields(101, 1, 3), -431);
}

TEST(a_head_over_16_KiB_is_431)
{
    GT(verdict_of_fields(2, RNET__HTTP_HEAD_MAX - 100, 0), 0);
    EQ(verdict_of_fields(2, RNET__HTTP_HEAD_MAX, 0), -431);
    EQ(verdict_of_fields(2, 100000, 0), -431);
    EQ(verdict_of_fields(2, 100000, 1000), -431);
}

/* ---- decoding ---- */

TEST(percent_signs_are_decoded_or_refused)
{
    uint8_t out[64];

    EQ(rnet__http_unescape(RN_SLICE_LITERAL("a%2Fb%00c"), false, out), 5);
    MEMEQ(out, "a/b\0c", 5);
    EQ(rnet__http_unescape(RN_SLICE_LITERAL("a+b%2b"), true, out), 4);
    MEMEQ(out, "a b+", 4);
    EQ(rnet__http_unescape(RN_SLICE_LITERAL("a+b"), false, out), 3);
    MEMEQ(out, "a+b", 3);
    ERR(rnet__http_unescape(RN_SLICE_LITERAL("%"), false, out), EINVAL);
    ERR(rnet__http_unescape(RN_SLICE_LITERAL("%4"), false, out), EINVAL);
    ERR(rnet__http_unescape(RN_SLICE_LITERAL("%zz"), false, out), EINVAL);
    ERR(rnet__http_unescape(RN_SLICE_LITERAL("%-1"), false, out), EINVAL);
}

/* ---- chunks ---- */

/* Decode `text`, `step` bytes at a time; the data goes to `out`. 1: complete, with `*ret_used`
 * bytes; 0: more; -400. */
static int unchunk(struct rn_slice text, size_t step, char *out, size_t *ret_used)
{
    struct rnet__chunk c = {0};
    size_t used = 0, n = 0;
    int r = 0;

    while (r == 0 && used < text.len) {
        struct rn_slice in = rn_slice(text.data + used,
                                      step < text.len - used ? step : text.len - used),
                        data;
        const uint8_t *from = in.data;

        r = rnet__chunk_next(&c, &in, &data);
        used += (size_t)(in.data - from);
        memcpy(out + n, data.data, data.len);
        n += data.len;
    }
    out[n] = 0;
    *ret_used = used;
    return r;
}

static const struct {
    const char *text, *data;
    int result;
} chunked[] = {
    {"0\r\n\r\n", "", 1},
    {"5\r\nhello\r\n0\r\n\r\n", "hello", 1},
    {"5\r\nhello\r\n00A\r\n, world !!\r\n0\r\n\r\n", "hello, world !!", 1},
    {"5;name=value;x\r\nhello\r\n0;y\r\n\r\n", "hello", 1},
    {"5 ;x\r\nhello\r\n0\r\n\r\n", "hello", 1},
    {"5\r\nhello\r\n0\r\nDigest: x\r\nA: b\r\n\r\n", "hello", 1},
    {"5\r\nhel", "hel", 0},
    {"\r\n", "", -400},
    {"+5\r\nhello\r\n0\r\n\r\n", "", -400},
    {"-5\r\nhello\r\n0\r\n\r\n", "", -400},
    {"0x5\r\nhello\r\n0\r\n\r\n", "", -400},
    {" 5\r\nhello\r\n0\r\n\r\n", "", -400},
    {"5 \r\nhello\r\n0\r\n\r\n", "", -400},
    {"5_\r\nhello\r\n0\r\n\r\n", "", -400},
    {"5\nhello\r\n0\r\n\r\n", "", -400},
    {"5\r\nhello\n0\r\n\r\n", "hello", -400},
    {"5\r\nhello0\r\n\r\n", "hello", -400},
    {"5\r\nhelloXX0\r\n\r\n", "hello", -400},
    {"5\rhello\r\n0\r\n\r\n", "", -400},
    {"5;a\nb\r\nhello\r\n0\r\n\r\n", "", -400},
    {"5;a\x01\r\nhello\r\n0\r\n\r\n", "", -400},
    {"0000000000000005\r\nhello\r\n0\r\n\r\n", "", -400},
    {"FFFFFFFFFFFFFFFFF\r\n", "", -400},
    {"0\r\nA: b\n\r\n", "", -400},
    {"0\r\nA: \x7f\r\n\r\n", "", -400},
    {"0\r\n\n", "", -400},
};

TEST(chunks_are_decoded_or_refused_however_they_are_cut)
{
    char out[256];
    size_t used;

    for (size_t i = 0; i < sizeof(chunked) / sizeof(chunked[0]); i++) {
        struct rn_slice in = rn_slice_str(chunked[i].text);

        for (size_t step = 1; step <= in.len; step++) {
            test_note("case %zu, %zu bytes at a time", i, step);
            EQ(unchunk(in, step, out, &used), chunked[i].result);
            STREQ(out, chunked[i].data);
            if (chunked[i].result == 1)
                EQ(used, in.len);
        }
    }
}

TEST(what_follows_the_last_chunk_is_left_alone)
{
    char out[64];
    size_t used;

    EQ(unchunk(RN_SLICE_LITERAL("1\r\nx\r\n0\r\n\r\nGET /"), 100, out, &used), 1);
    EQ(used, 11);
}

static int unchunk_repeated(const char *front, const char *part, size_t n, const char *back)
{
    CLEANUP(freep) char *text = malloc(strlen(front) + n * strlen(part) + strlen(back) + 1);
    CLEANUP(freep) char *out = malloc(n * strlen(part) + 64);
    char *at = stpcpy(text, front);
    size_t used;

    while (n--)
        at = stpcpy(at, part);
    at = stpcpy(at, back);
    return unchunk(rn_slice(text, (size_t)(at - text)), 4096, out, &used);
}

TEST(long_extensions_and_trailers_and_mere_framing_are_refused)
{
    EQ(unchunk_repeated("1;", "x", 250, "\r\nx\r\n0\r\n\r\n"), 1);
    EQ(unchunk_repeated("1;", "x", 300, "\r\nx\r\n0\r\n\r\n"), -400);
    EQ(unchunk_repeated("0\r\n", "A: b\r\n", 1000, "\r\n"), 1);
    EQ(unchunk_repeated("0\r\n", "A: b\r\n", 1100, "\r\n"), -400);
    EQ(unchunk_repeated("", "1\r\nx\r\n", 4000, "0\r\n\r\n"), 1);
    EQ(unchunk_repeated("", "1\r\nx\r\n", 5000, "0\r\n\r\n"), -400);
}

/* ---- mutation: no input may make the two steps disagree, or read outside ---- */

static uint64_t next_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

/* Some bytes of a vector changed, in a block of just its size so that sanitizers see every step
 * outside. */
static struct rn_slice mutate(const char *text, uint64_t *seed, uint8_t *room)
{
    static const char spice[] = "\r\n\r\n:, \t;0f\x00\x7f\xffGET/HTTP";
    size_t n = strlen(text);

    memcpy(room, text, n);
    for (unsigned k = 1 + next_random(seed) % 4; k--;)
        room[next_random(seed) % n] = (uint8_t)spice[next_random(seed) % (sizeof(spice) - 1)];
    return rn_slice(room, n);
}

static void check_spans(const struct rnet__http_head *h, size_t len)
{
    LE(h->path.at + h->path.len, len);
    LE(h->query.at + h->query.len, len);
    for (unsigned i = 0; i < h->n_fields; i++) {
        LE(h->fields[i].name + h->fields[i].name_len, len);
        LE(h->fields[i].value + h->fields[i].value_len, len);
    }
}

TEST(mutated_heads_get_one_verdict_whole_and_byte_by_byte)
{
    uint64_t seed = 0x5eed;
    struct rnet__http_head head;

    for (size_t round = 0; round < test_tasks(200000); round++) {
        const char *text = vectors[round % N_VECTORS].text;
        CLEANUP(freep) uint8_t *room = malloc(strlen(text));
        struct rn_slice in = mutate(text, &seed, room);
        int whole = verdict(in, 0, &head);

        test_note("round %zu", round);
        EQ(verdict(in, 1, &head), whole);
        if (whole > 0)
            check_spans(&head, (size_t)whole);
    }
}

TEST(mutated_chunks_get_one_verdict_whole_and_byte_by_byte)
{
    uint64_t seed = 0xc0de;
    char a[256], b[256];
    size_t used_a, used_b;

    for (size_t round = 0; round < test_tasks(200000); round++) {
        const char *text = chunked[round % (sizeof(chunked) / sizeof(chunked[0]))].text;
        CLEANUP(freep) uint8_t *room = malloc(strlen(text));
        struct rn_slice in = mutate(text, &seed, room);
        int whole = unchunk(in, in.len, a, &used_a);

        test_note("round %zu", round);
        EQ(unchunk(in, 1, b, &used_b), whole);
        EQ(used_a, used_b);
        STREQ(a, b);
    }
}
