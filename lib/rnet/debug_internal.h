/* What the pages of the debug window share. */
#pragma once

#include <pthread.h>
#include <stdio.h>

#include <rnet/debug.h>
#include <rnet/http.h>
#include <rnet/listener.h>
#include <runnel/slice.h>
#include <runnel/trace.h>

struct rnet_debug {
    /* set once in rnet_debug_serve() */
    struct rn_runtime *observed;
    const char *const *addrs; /* the caller's; used before it returns only */
    size_t n_addrs;
    struct rnet_collector *collectors;
    size_t n_collectors;
    pthread_t thread;
    int stop[2]; /* a pipe: the window's task takes [0] and reads, rnet_debug_stop() writes */

    /* lock */
    pthread_mutex_t lock;
    pthread_cond_t told;
    bool started;
    int result; /* of binding */
    char bound[RNET_LISTENER_ADDRS_MAX][RNET_ADDR_TEXT_MAX];
};

/* ---- debug_page.c ---- */

/* A number in the query; `absent` when it isn't there, or no number. */
uint64_t rnet__page_number(const struct rnet_http_request *req, const char *name, uint64_t absent);
bool rnet__page_json(const struct rnet_http_request *req);

/* A page in memory, for what is short; or that leaves in parts. */
struct rnet__page {
    FILE *out; /* NULL after an error */
    char *text;
    size_t len;
    bool begun; /* a part has left */
    int error;
};
/* -ENOMEM: the request has been answered. */
int rnet__page_open(struct rnet__page *page, struct rnet_http_request *req);
/* Let go of what there is, if that is a good part already. What went wrong; the rest is skipped. */
int rnet__page_part(struct rnet__page *page, struct rnet_http_request *req, const char *type);
void rnet__page_send(struct rnet__page *page, struct rnet_http_request *req, const char *type);

/* A page that leaves piece by piece: a sink for dumps. Its type is text. */
struct rn_sink rnet__page_sink(struct rnet_http_request *req);
/* The dump has come to its end: end the answer, or say what went wrong if nothing was written, or cut
 * what was. */
void rnet__page_end(struct rnet_http_request *req, int result);

void rnet__put_json(FILE *out, const char *text); /* with its quotes; "null" for NULL */

/* ---- the pages ---- */
void rnet__debug_tasks(void *arg, struct rnet_http_request *req);
void rnet__debug_leaks(void *arg, struct rnet_http_request *req);
void rnet__debug_objects(void *arg, struct rnet_http_request *req);
void rnet__debug_fds(void *arg, struct rnet_http_request *req);
void rnet__debug_listeners(void *arg, struct rnet_http_request *req);
void rnet__debug_syscalls(void *arg, struct rnet_http_request *req);
void rnet__debug_pprof(void *arg, struct rnet_http_request *req);
void rnet__debug_goroutine(void *arg, struct rnet_http_request *req);
void rnet__debug_no_profile(void *arg, struct rnet_http_request *req);

/* ---- debug_profile.c: stacks, grouped ---- */

struct rnet__stack {
    struct rnet__stack *next; /* with the same hash */
    uint64_t hash, count;
    const char *name, *wait; /* of its tasks, static text */
    unsigned n, n_all; /* with those of the scheduler, which are left out */
    uintptr_t pcs[]; /* the innermost first; inside of the calls */
};
struct rnet__stacks {
    struct rnet__stack **table, **sorted;
    size_t n, max;
    uint64_t total;
};
/* 0, -ENOMEM. To be freed in any case. */
int rnet__stacks_read(const struct rn_runtime *rt, struct rnet__stacks *ret_stacks);
void rnet__stacks_free(struct rnet__stacks *stacks);
/* profile.proto (github.com/google/pprof), gzipped; to be freed. 0, -ENOMEM. */
int rnet__profile_make(const struct rnet__stacks *stacks, const char *type, uint8_t **ret_bytes,
                       size_t *ret_n);
