/* Connections from elsewhere: what any thread may do goes through the inbox of the connection's
 * loop.
 *
 * A call holds the handle, not the slot: whether it still names a connection is judged on the loop,
 * when its turn comes. A call that comes too late is dropped and counted.
 */
#include "internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct call {
    struct rn_post   post;
    struct rnet_conn conn;
    rnet_call_fn    *fn;
    void            *arg;
    void           (*drop)(void *arg);
};

static void call_run(struct rn_post *post)
{
    struct call call = *(struct call *)(void *)((char *)post - offsetof(struct call, post));
    struct rnet__conn *c = rnet__conn_find(call.conn, NULL);

    free((char *)post - offsetof(struct call, post));
    if (c) {
        call.fn(call.conn, c->data, call.arg);
        return;
    }
    rnet_count(RNET_COUNTER_CALLS_LATE);
    if (call.drop)
        call.drop(call.arg);
}

int rnet_conn_call(struct rnet_conn conn, rnet_call_fn *fn, void *arg, void (*drop)(void *arg))
{
    struct call *call = malloc(sizeof(*call));
    int r;

    if (!call)
        return -ENOMEM;
    *call = (struct call){.post.fn = call_run, .conn = conn, .fn = fn, .arg = arg, .drop = drop};
    r = rnet__loop_post(conn.slot >> 24, &call->post);
    if (r < 0)
        free(call);
    return r;
}

struct bytes {
    size_t  len;
    uint8_t data[];
};

static void send_call(struct rnet_conn conn, void *data, void *arg)
{
    struct bytes *bytes = arg;

    (void)data;
    (void)rnet_conn_write(conn, rn_slice(bytes->data, bytes->len));
    free(bytes);
}

static bool conn_is_here(struct rnet_conn conn)
{
    const struct rnet__loop *l = rnet__loop_self();

    return l && l->id == conn.slot >> 24;
}

int rnet_conn_send(struct rnet_conn conn, struct rn_slice bytes)
{
    struct bytes *copy;
    int r;

    if (conn_is_here(conn)) {
        r = rnet_conn_write(conn, bytes);
        return r < 0 ? r : 0;
    }
    copy = malloc(sizeof(*copy) + bytes.len);
    if (!copy)
        return -ENOMEM;
    copy->len = bytes.len;
    if (bytes.len)
        memcpy(copy->data, bytes.data, bytes.len);
    r = rnet_conn_call(conn, send_call, copy, free);
    if (r < 0)
        free(copy);
    return r;
}

static void end_call(struct rnet_conn conn, void *data, void *arg)
{
    (void)data;
    (void)rnet_conn_end(conn, (enum rnet_reason)(uintptr_t)arg);
}

int rnet_conn_send_end(struct rnet_conn conn, enum rnet_reason reason)
{
    if (conn_is_here(conn))
        return rnet_conn_end(conn, reason);
    return rnet_conn_call(conn, end_call, (void *)(uintptr_t)reason, NULL);
}

static void close_call(struct rnet_conn conn, void *data, void *arg)
{
    (void)data;
    (void)rnet_conn_close(conn, (enum rnet_reason)(uintptr_t)arg);
}

int rnet_conn_send_close(struct rnet_conn conn, enum rnet_reason reason)
{
    if (conn_is_here(conn))
        return rnet_conn_close(conn, reason);
    return rnet_conn_call(conn, close_call, (void *)(uintptr_t)reason, NULL);
}
