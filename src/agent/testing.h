/* For the tests of this folder: settings from text, small files, and a server that says what a test
 * wants. */
#pragma once

#include <harness/task_test.h>

#include <rnet/stream.h>

#include <proto/message.h>

#include "settings.h"

/* Write agent.yaml into test_dir(), each `@` being that folder, and read it. */
void testing_settings(const char *text, struct ft_settings *ret);
/* Replace each `@` by test_dir(). Static text, four at a time. */
const char *testing_path(const char *text);
void testing_write(const char *path, const char *body);
bool testing_file_is(const char *path, const char *body); /* NULL: is not there */

/* A program for /bin/sh: runs until killed; exits with 2 and "this is broken" when its file
 * contains `broken`, at the start and on HUP. */
extern const char testing_program[];

/* ---- the other side ---- */

struct fake_server {
    struct rnet_acceptor *acceptor;
    struct rnet_stream *stream;
    struct ft_agent_message last; /* the newest message */
    uint64_t messages;
};
void fake_server_open(struct fake_server *f);
void fake_server_close(struct fake_server *f);
void fake_server_accept(struct fake_server *f);
void fake_server_hang_up(struct fake_server *f);
/* The next message: 1, 0 (the agent hung up) or an error. */
int fake_server_read(struct fake_server *f);
void fake_server_say(struct fake_server *f, const Opamp__Proto__ServerToAgent *msg);
/* An empty reply; with the capability for metrics if asked. */
void fake_server_reply(struct fake_server *f, bool metrics);
/* Offer one object; the hash is the text of `hash`. */
void fake_server_offer(struct fake_server *f, const char *hash, const char *object,
                       const char *body);
/* Read and reply until a status of `hash` is APPLIED or FAILED: returns it. 0: the agent hung up.
 */
int fake_server_outcome(struct fake_server *f, const char *hash);
