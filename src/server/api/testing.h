/* The API with everything behind it but agents' connections, and a client that speaks HTTP to it.
 */
#pragma once

#include <harness/task_test.h>

#include <jansson.h>

#include <rnet/stream.h>

#include <base/cleanup.h>

#include "agents/agent.h"
#include "agents/sessions.h"
#include "api/internal.h"
#include "api/shape_testing.h"
#include "config/rollout.h"
#include "metrics/intake.h"
#include "store/fault_vfs.h"
#include "store/testing.h"

#define TOKEN "0123456789abcdef0123456789abcdef"

struct bench {
    struct ft_events *events;
    struct ft_store *store;
    struct ft_catalog *catalog;
    struct ft_registry *registry;
    struct ft_renderer *renderer;
    struct ft_intake *intake;
    struct ft_api *api;
    struct rn_scope scope;
    struct rn_tx changes;
    struct rnet_stream *client;

    /* the last answer */
    unsigned status;
    json_t *json; /* NULL: it has no JSON body */
    char head[4096];
    char *text;
    size_t len;
};

void bench_open(struct bench *b);
/* The same with bounds for events, and a pause after which they say that they are alive. */
void bench_open_with(struct bench *b, const struct ft_events_bounds *bounds, rn_time alive);
void bench_close(struct bench *b);
#define BENCH(b)                                                                                   \
    CLEANUP(bench_close) struct bench b;                                                           \
    bench_open(&b)

/* Call with the token; what is answered must be as the OpenAPI document says. `headers` are lines that end in \r\n, or "". Returns the status. */
unsigned call(struct bench *b, const char *method, const char *path);
unsigned call_with(struct bench *b, const char *method, const char *path, const char *headers,
                   struct rn_slice body);
unsigned call_json(struct bench *b, const char *method, const char *path, const char *body);
/* The same without the token. */
unsigned call_bare(struct bench *b, const char *method, const char *path, const char *headers);

/* The value of a field of the last answer; NULL: it has none. Valid until the next. */
const char *field(struct bench *b, const char *name);
/* A member of the last answer by its way: "items.0.name"; NULL: there is none. */
json_t *at(struct bench *b, const char *way);
const char *text_at(struct bench *b, const char *way); /* fails unless a string */
long long int_at(struct bench *b, const char *way);    /* fails unless an integer */
bool null_at(struct bench *b, const char *way);        /* is it there, and null? */

/* Is the last answer a problem with this status, and all members that RFC 9457 wants? */
void expect_problem(struct bench *b, unsigned status);
/* The same with one error at `pointer`. */
void expect_problem_at(struct bench *b, unsigned status, const char *pointer);

/* An agent that says this of itself: host.name, and the label env (NULL: none). */
struct ft_uuid bench_agent(struct bench *b, unsigned n, const char *host, const char *env);
/* "/api/v1/agents/UID" + suffix. Static text. */
const char *agent_path(unsigned n, const char *suffix);
