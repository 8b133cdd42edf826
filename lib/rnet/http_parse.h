/* The head of an HTTP/1.1 request: pure functions over slices.
 *
 * Two steps. rnet__http_scan() looks for the end of the head with a remembered offset, so that no
 * byte is looked at twice however the head arrives, and refuses on the way what can be refused by
 * then: control bytes, bare CR or LF, limits, a bad request line. rnet__http_parse() makes one pass
 * over the complete head. Both give one verdict, whatever the splits.
 *
 * Strict, as an origin server may be (RFC 9112): wherever two readers could see two different
 * requests the answer is 400, and the caller closes. There is no lenient switch.
 */
#pragma once

#include <runnel/slice.h>

#define RNET__HTTP_LINE_MAX   8192  /* the request line: 414 */
#define RNET__HTTP_HEAD_MAX   16384 /* all of the head: 431 */
#define RNET__HTTP_FIELDS_MAX 100   /* 431 */
#define RNET__HTTP_NO_LENGTH  UINT64_MAX

/* Zero-initialised before each request. */
struct rnet__http_scan {
    uint16_t pos;         /* looked at so far */
    uint16_t line;        /* where the current line begins */
    uint8_t  lines;       /* complete ones, the request line among them */
    bool     cr : 1;      /* the last byte was a CR */
    bool     skipped : 1; /* the one empty line that may stand before a request (RFC 9112, 2.2) */
};

/* `in` is everything received of this request so far. Returns the length of the head with its empty
 * line, 0 when more is needed, or the status to refuse it with, negated: -400, -414, -431, -501,
 * -505. */
int rnet__http_scan(struct rnet__http_scan *s, struct rn_slice in);

/* Offsets into the head, so that the head may be moved. */
struct rnet__http_field {
    uint16_t name, name_len, value, value_len;
};
struct rnet__http_span {
    uint16_t at, len;
};

struct rnet__http_head {
    struct rnet__http_span  method, path, query; /* query: without the '?' */
    bool                    has_query;
    uint8_t                 minor; /* HTTP/1.minor: 0, or 1 and above */
    bool                    chunked, keep_alive, expect_continue;
    uint64_t                content_length; /* RNET__HTTP_NO_LENGTH: none given */
    uint16_t                n_fields;
    struct rnet__http_field fields[RNET__HTTP_FIELDS_MAX];
};

/* `head` is complete (what rnet__http_scan() returned). 0, or the negated status: -400, -417, -501,
 * -505. */
int rnet__http_parse(struct rn_slice head, struct rnet__http_head *ret_head);

/* A token of RFC 9110, 5.6.2. */
bool rnet__http_is_token(struct rn_slice s);
/* Equal but for the case of ASCII letters. */
bool rnet__http_eq_nocase(struct rn_slice a, struct rn_slice b);
/* Decode %XX (and '+' when `plus`) into `out`, which has room for in.len bytes. The length, or
 * -EINVAL. */
int rnet__http_unescape(struct rn_slice in, bool plus, uint8_t *out);
