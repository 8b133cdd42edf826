/* What the files of the HTTP server share: the server and the record of a request.
 *
 * Who touches a request: the loop of its connection until the handler starts, the handler until it
 * returns, the loop again. The one exception is `gone` and the task's name, which stay the loop's
 * all the time.
 */
#pragma once

#include <stdatomic.h>

#include <base/assert.h>

#include <rnet/conn.h>
#include <rnet/http.h>
#include <rnet/listener.h>
#include <runnel/chan.h>
#include <runnel/loop.h>

#include "http_chunk.h"
#include "http_parse.h"
#include "http_router.h"

#define RNET__HTTP_MAGIC    0x68747470u
#define RNET__REQUEST_MAGIC 0x72657175u

enum {
    RNET__HTTP_LOOPS_MAX = 256, /* as many as a connection's name can tell apart */
    RNET__BLOCK_CLASSES = 3,    /* 1, 4 and 16 KiB */
    RNET__BLOCKS_KEPT = 64,     /* of each class, per loop */
    RNET__QUERY_MAX = 128,      /* parameters */
    RNET__EXTRA_MAX = 8192,     /* bytes of a handler's own fields */
    RNET__HTTP_OUTPUT_HIGH = 64 << 10, /* unsent: a stream's handler waits ... */
    RNET__HTTP_OUTPUT_LOW = 16 << 10,  /* ... until so little is left */
};

/* What a loop keeps for a server. Only that loop's thread touches it. */
struct rnet__http_loop {
    void    *blocks[RNET__BLOCK_CLASSES]; /* free ones; the first word links */
    unsigned n_blocks[RNET__BLOCK_CLASSES];
    int64_t  date_s;
    char     date[40];
};

struct rnet_http {
    RN_MAGIC; /* RNET__HTTP_MAGIC; first, as in the request: a connection's data is either */

    /* set once in rnet_http_open() */
    struct rnet_http_options options; /* defaults filled in */
    struct rnet__router     *router;
    struct rnet_listener    *listener;
    struct rn_runtime       *rt;
    struct rn_scope          handlers; /* opened by the keeper, a task inside options.scope */
    struct rn_tx             keeper_stop;
    struct rn_rx             keeper_done;

    /* each loop its own */
    struct rnet__http_loop *loops[RNET__HTTP_LOOPS_MAX];

    /* any thread */
    _Atomic bool     stopping;
    _Atomic uint32_t active; /* requests */
};

struct rnet__pair {
    struct rn_slice name, value;
};

enum rnet__request_state { RNET__REQUEST_HEAD, RNET__REQUEST_BODY, RNET__REQUEST_RUNNING };

/* The record and all that belongs to the head lie in one block:  record | head | fields | decoded
 * path, query | pairs. */
struct rnet_http_request {
    RN_MAGIC; /* RNET__REQUEST_MAGIC */

    /* set once when the head is complete */
    struct rnet_http             *server;
    struct rnet_conn              conn;
    int8_t                        class; /* of the block; -1: larger than any */
    uint8_t                       minor; /* HTTP/1.minor */
    bool                          is_head, chunked, keep_alive, expect_continue;
    struct rn_slice               head, method, path;
    struct rnet__http_field      *fields;
    struct rnet__pair            *query, *params;
    uint16_t                      n_fields, n_query, n_params;
    uint8_t                      *room, *room_end; /* the rest of the block */
    const struct rnet_http_route *route;

    /* the loop only */
    enum rnet__request_state state;
    bool                     gone;  /* the connection has died */
    struct rn_defer          defer; /* its way home on the loop's own worker ... */
    struct rn_post           post;  /* ... and from another one */
    struct rn_task           task;
    struct rnet__chunk       chunk;
    uint64_t                 length; /* of the body, UINT64_MAX when chunked */
    size_t                   body_max, body_cap;

    /* the loop, then the handler */
    uint8_t *body;
    size_t   body_len;
    char     peer[56];

    /* the handler, then the loop: the answer */
    bool     answered;
    uint16_t status;
    uint16_t extra_len;
    char    *extra; /* fields, each with its CRLF */
    char    *out;   /* the body */
    size_t   out_len;

    /* of an answer piece by piece: the handler, then the loop */
    bool         streaming, stream_failed;
    struct rn_tx drained; /* the loop's: says that the output fell to its low mark */
    struct rn_rx drain;   /* the handler's */
};

/* http_request.c */
struct rnet__http_loop *rnet__http_loop_self(struct rnet_http *server);
void                    rnet__http_loop_free(struct rnet__http_loop *loop);
/* A record for a parsed head. 0; -503: no memory; -400: a query that cannot be read. */
int  rnet__request_new(struct rnet_http *server, struct rnet_conn conn, struct rn_slice head,
                       const struct rnet__http_head *parsed, struct rnet_http_request **ret_req);
void rnet__request_free(struct rnet_http_request *req);
/* Keep what the router found. */
void rnet__request_set_match(struct rnet_http_request *req, const struct rnet__match *match);
/* 0, -413, -503. */
int   rnet__request_append(struct rnet_http_request *req, struct rn_slice bytes);
void *rnet__request_room(struct rnet_http_request *req, size_t n);

/* http_response.c */
/* Write the answer of `req` (500 when there is none) to its connection. From the loop. What
 * rnet_conn_writev() said. */
int rnet__response_write(struct rnet_http_request *req, bool keep_alive);
/* Status and fields of an answer, whose body comes otherwise. 0, -EALREADY, -EINVAL, -ENOSPC, -ENOMEM. */
int rnet__response_begin(struct rnet_http_request *req, unsigned status, const char *content_type);
/* Only the head of an answer whose length nobody knows. */
int rnet__response_write_head(struct rnet_http_request *req, bool keep_alive);
/* http_stream.c: the end of such an answer: as rnet_conn_write(), < 0: the connection has to be cut. */
int  rnet__stream_end(struct rnet_http_request *req);
void rnet__stream_drained(struct rnet_http_request *req);
bool rnet__stream_keeps(const struct rnet_http_request *req);
/* A refusal before there is a record: a problem with "Connection: close". */
void rnet__response_refuse(struct rnet_http *server, struct rnet_conn conn, unsigned status);

enum rnet__http_count {
    RNET__HTTP_REQUESTS,
    RNET__HTTP_DROPPED,
    RNET__HTTP_SILENT,
    RNET__HTTP_CANCELLED,
    RNET__HTTP_COUNTS
};
void rnet__http_count(enum rnet__http_count what);
