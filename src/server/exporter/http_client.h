/* HTTP as a client, for the exporters that speak it: one connection that is kept, one call at a
 * time, on the exporter's own thread.
 *
 *     r = ft_http_client_open(&options, &client, &err);
 *     r = ft_http_call(client, &(struct ft_http_call){.method = "POST", .target = "/write?db=x",
 * .body = body}, deadline, &answer, &err); if (r == 0) ... answer.status, answer.body ...      //
 * valid until the next call ft_http_client_close(client);
 *
 * Bounds: every call ends at its deadline; an answer over FT_HTTP_ANSWER_MAX is cut and says so.
 * Nothing is followed, no proxy of the environment is taken, and what stands in a secret's file is
 * never part of a text that comes out of here.
 */
#pragma once

#include <runnel/base.h>
#include <runnel/slice.h>

#include <model/text_error.h>
#include <model/yaml.h>

#define FT_HTTP_ANSWER_MAX ((size_t)16 << 20)
#define FT_HTTP_CONNECT_MAX (3 * RN_S)

struct ft_http_options {
    const char *url;  /* as ft_http_url_parse() left it */
    const char *user; /* with password_file: Basic; NULL: no */
    const char *password_file;
    const char *token_scheme; /* "ApiKey", "Token": the word before the token */
    const char *token_file;   /* NULL: no */
    const char *ca_file;      /* who may sign the server's certificate; NULL: the system's */
};

struct ft_http_call {
    const char *method;
    const char *target;           /* from the path on, escaped: it is set behind the url */
    const char *content_type;     /* NULL: none */
    const char *content_encoding; /* likewise */
    struct rn_slice body;
};

struct ft_http_answer {
    unsigned status;
    bool cut; /* it was longer than FT_HTTP_ANSWER_MAX */
    struct rn_slice body;
    rn_time retry_after; /* a span; 0: not said */
};

struct ft_http_client;

/* `options` and its texts are borrowed. 0, -EACCES (a person has to do something: a secret's file),
 * -ENOMEM, -EIO. */
int ft_http_client_open(const struct ft_http_options *options, struct ft_http_client **ret,
                        struct ft_text_error *reterr);
struct ft_http_client *
ft_http_client_close(struct ft_http_client *c); /* NULL is fine; returns NULL */

/* One request and its whole answer. An answer 401 or 403 makes the next call read the secrets'
 * files again. Returns: 0 (any status), -ETIMEDOUT, -ECONNREFUSED, -EIO, -ENOMEM, -EACCES (a
 * secret's file), with the reason. */
int ft_http_call(struct ft_http_client *c, const struct ft_http_call *call, rn_time deadline,
                 struct ft_http_answer *ret, struct ft_text_error *reterr);

/* What an answer says, for people: the status and the text in its body, redacted. */
void ft_http_answer_text(const struct ft_http_client *c, const struct ft_http_answer *answer,
                         struct ft_text_error *ret);
/* Append the text of the error in an answer's JSON as it is, not redacted. 0, -ENOENT (none of the
 * forms that are known), -ENOMEM, -E2BIG. */
struct ft_buf;
int ft_http_answer_message(const struct ft_http_answer *answer, struct ft_buf *out);
/* Any text from the server, for people: redacted. */
void ft_http_hide(const struct ft_http_client *c, struct rn_slice text, struct ft_text_error *ret);

/* What a status means for a request that stores samples. */
enum ft_http_kind {
    FT_HTTP_STORED,    /* 2xx */
    FT_HTTP_BAD,       /* 400, 422: it has something that the server does not take */
    FT_HTTP_TOO_LARGE, /* 413 */
    FT_HTTP_LATER,     /* 408, 425, 429, 5xx */
    FT_HTTP_REFUSED,   /* the rest: a person has to do something */
};
enum ft_http_kind ft_http_kind(unsigned status);

/* FT_CUSTOM option for a const char *: http or https, a host, perhaps a port and a path; no user,
 * query or fragment. */
int ft_http_url_parse(struct ft_yaml *y, const char *text, void *field, struct ft_text_error *why);

/* What is percent-encoded in a query's value: everything but letters, digits, `-`, `_`, `.`, `~`.
 */
int ft_http_add_query(struct ft_buf *out, const char *name, const char *value);
