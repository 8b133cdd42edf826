/* A small HTTP client for the server's API: one request at a time, JSON in and out.
 *
 * Where the server is and who asks comes from the environment: FETTLE_SERVER, FETTLE_TOKEN or
 * FETTLE_TOKEN_FILE. Errors are told on stderr by the calls themselves, as `fettle: what is wrong:
 * what to do`.
 */
#pragma once

#include <stddef.h>

#include <jansson.h>

struct client;

/* 0; -EINVAL when the environment is wrong (told). */
int client_open(struct client **ret_client);
struct client *client_close(struct client *c);
void client_closep(struct client **c);

/* Percent-encode a path segment or query value; free() it. NULL without memory. */
char *client_escape(struct client *c, const char *text);

/* GET `path`. 0 and a JSON value of the caller, or a negative errno after saying why on stderr. */
int client_get(struct client *c, const char *path, json_t **ret_json);

/* GET a list, following its cursors, into one array. `query` without a leading `?`; may be empty.
 */
int client_list(struct client *c, const char *path, const char *query, json_t **ret_items);

struct client_body {
    const char *content_type;
    const void *data;
    size_t len;
};
int client_put(struct client *c, const char *path, const struct client_body *body,
               json_t **ret_json);
