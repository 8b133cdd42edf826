/* A server of the test's own for exporters that speak HTTP: it keeps what it was sent, and answers
 * what the test said.
 *
 *     struct stand_in *s = stand_in_start(NULL, NULL);
 *     stand_in_answer(s, (struct canned){200, "{}"});        // the next answers, in order; then
 * `otherwise`
 *     ... web_open(g), web_send(g, ...) ...                   // the exporter blocks on a thread,
 * the server is a task of ours STREQ(stand_in_seen(s, 0)->method, "POST"); stand_in_stop(s);
 */
#pragma once

#include "exporter/testing.h"

#include <harness/task_test.h>

struct canned {
    unsigned status;
    const char *body;          /* NULL: none */
    const char *type;          /* NULL: application/json */
    const char *field, *value; /* an extra header */
    bool hangs;                /* for ever */
};

#define SEEN_MAX 256
struct seen {
    char method[16], path[300], query[512];
    char authorization[200], type[60], length[20], transfer[20], expect[40], encoding[20];
    struct ft_buf body; /* unpacked, with a NUL behind */
};

struct stand_in;
typedef struct canned stand_in_fn(void *arg, const struct seen *seen);

/* `answer` NULL: the canned ones, then 200 with nothing. From a task. */
struct stand_in *stand_in_start(stand_in_fn *answer, void *arg);
void stand_in_stop(struct stand_in *s);
void stand_in_answer(struct stand_in *s, struct canned c);
const char *stand_in_url(const struct stand_in *s);
size_t stand_in_count(const struct stand_in *s);
struct seen *stand_in_seen(struct stand_in *s, size_t i);
/* The text in a file of testdata/. Static until the next call. */
char *fixture_read(const char *name);

/* rig_open() and rig_send() on a thread, while the caller's task waits. */
int web_open(struct rig *g);
int web_send(struct rig *g, rn_time deadline);

/* What libcurl and libcrypto keep for the life of the process. */
#define ALLOW_WEB() test_heap_allow((size_t)2 << 20)

/* A file below test_dir() with this text; its path, to be freed. */
char *secret_write(const char *name, const char *text);
