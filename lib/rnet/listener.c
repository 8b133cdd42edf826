/* A listener's life: open, drain, close. How it accepts is in listener_accept.c.
 *
 *     accepting --(drain)--> draining: sockets closed, on_stop to each connection --(none left)-->
 * drained
 *                               \--(deadline)--> cutting: each connection closed ----------------/
 *
 * The task that drains waits on a channel whose sender the loop holds: it closes when the last
 * connection has gone.
 */
#include "listener_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <base/assert.h>
#include <base/cleanup.h>
#include <runnel/sys.h>

#define CUT_SHIELD_NS (30 * RN_S) /* a cut takes a turn of each loop; this only bounds a bug */

void rnet__listener_publish(struct rnet_listener *ln)
{
    struct rnet_listener_socket out[RNET_LISTENER_ADDRS_MAX] = {0};

    for (uint32_t i = 0; i < ln->n_sockets; i++) {
        const struct rnet__socket *s = &ln->sockets[i];

        memcpy(out[i].address, s->address, sizeof(out[i].address));
        out[i].up = s->open;
        out[i].number = s->bound.number;
        out[i].why = s->why;
        out[i].inode = s->inode;
        out[i].cookie = s->cookie;
    }
    rnet__entry_sockets(ln->entry, out, ln->n_sockets);
}

static void listener_unlink(struct rnet_listener *ln)
{
    if (!ln->home)
        return;
    for (struct rnet_listener **at = &ln->home->listeners; *at; at = &(*at)->next) {
        if (*at == ln) {
            *at = ln->next;
            break;
        }
    }
    ln->home = NULL;
}

static void listener_free(struct rnet_listener *ln)
{
    if (ln->home)
        rnet__listener_stop_accepting(ln);
    listener_unlink(ln);
    rnet__entry_free(ln->entry);
    free(ln);
}

static int sockets_open(struct rnet_listener *ln, const struct rnet_listener_options *o,
                        size_t *reterr_index)
{
    for (size_t i = 0; i < o->n_addrs; i++) {
        struct rnet__socket *s = &ln->sockets[i];
        int r = rnet__socket_listen(o->addrs[i], o->backlog, &s->bound);

        if (reterr_index)
            *reterr_index = i;
        if (r < 0)
            return r;
        s->listener = ln;
        ln->n_sockets = (uint32_t)i + 1;
        r = rnet__socket_watch(s);
        if (r < 0) {
            rnet__socket_unlink(&s->bound);
            (void)rn_sys_close(s->bound.number);
            return r;
        }
    }
    return 0;
}

int rnet_listener_open(const struct rnet_listener_options *o, struct rnet_listener **ret_listener,
                       size_t *reterr_index)
{
    struct rnet_listener *ln;
    struct rnet__loop *l;
    int r;

    if (reterr_index)
        *reterr_index = 0;
    if (!o->name || !o->protocol || !o->protocol->on_bytes || o->n_addrs == 0 ||
        o->n_addrs > RNET_LISTENER_ADDRS_MAX)
        return -EINVAL;
    r = rnet__loop_get(&l);
    if (r < 0)
        return r;
    ln = calloc(1, sizeof(*ln));
    if (!ln)
        return -ENOMEM;
    r = rnet__entry_new(o->name, &ln->entry);
    if (r < 0) {
        free(ln);
        return r;
    }
    ln->options = *o;
    (void)strncpy(ln->name, o->name, sizeof(ln->name) - 1);
    ln->connections = rnet__entry_connections(ln->entry);
    ln->home = l;
    ln->next = l->listeners;
    l->listeners = ln;
    r = sockets_open(ln, o, reterr_index);
    if (r < 0) {
        listener_free(ln);
        return r;
    }
    ln->options.name = ln->name;
    ln->options.addrs = NULL;
    rnet__listener_start(ln);
    *ret_listener = ln;
    return 0;
}

const char *rnet_listener_address(const struct rnet_listener *ln, size_t i)
{
    return i < ln->n_sockets ? ln->sockets[i].address : NULL;
}

uint32_t rnet_listener_connections(const struct rnet_listener *ln)
{
    return atomic_load_explicit(ln->connections, memory_order_acquire);
}

void rnet_listener_each(struct rnet_listener *ln,
                        void (*fn)(struct rnet_conn conn, void *data, void *arg), void *arg)
{
    struct rnet__loop *l = rnet__loop_self();

    for (uint32_t i = 0; l && i < l->n_chunks * RNET__CHUNK_CONNS; i++) {
        const struct rnet__conn *c = rnet__slot(l, i);

        if (c->state != RNET__FREE && c->listener == ln && c->gen)
            fn(rnet__handle(l, c), c->data, arg);
    }
}

/* ---- drain ---- */

static void tell_stop(struct rnet__loop *l, struct rnet__conn *c)
{
    if (c->state != RNET__OPEN)
        return;
    if (c->protocol->on_stop)
        c->protocol->on_stop(rnet__handle(l, c), c->data);
    else
        (void)rnet_conn_end(rnet__handle(l, c), RNET_REASON_DRAIN);
}

static void drained_tell(struct rnet_listener *ln)
{
    if (ln->draining && atomic_load_explicit(ln->connections, memory_order_acquire) == 0)
        rn_tx_closep(&ln->drained);
}

/* Every connection of the listener on this loop: to be stopped, or cut. */
static void loop_stop(struct rnet_listener *ln, struct rnet__loop *l)
{
    for (uint32_t i = 0; i < l->n_chunks * RNET__CHUNK_CONNS; i++) {
        struct rnet__conn *c = rnet__slot(l, i);

        if (c->state == RNET__FREE || c->listener != ln)
            continue;
        if (ln->cutting)
            rnet__conn_abort(l, c, RNET_REASON_CUT);
        else
            tell_stop(l, c);
    }
}

/* The same on another loop of the runtime. While under way it counts as a connection, so the
 * listener stays. */
struct stop_elsewhere {
    struct rn_post        post;
    struct rnet_listener *listener;
};

static void stop_elsewhere_run(struct rn_post *post)
{
    struct stop_elsewhere *s =
        (struct stop_elsewhere *)(void *)((char *)post - offsetof(struct stop_elsewhere, post));
    struct rnet__loop *l = rnet__loop_self();

    if (l)
        loop_stop(s->listener, l);
    rnet__listener_conn_gone(s->listener);
    free(s);
}

static void stop_others(struct rnet_listener *ln)
{
    struct rn_runtime *rt = rn_runtime_self();
    struct rn_loop *rn;

    for (uint32_t i = 0; (rn = rn_loop_at(rt, i)) != NULL; i++) {
        struct stop_elsewhere *s;

        if (rn == ln->home->rn || !(s = malloc(sizeof(*s))))
            continue;
        *s = (struct stop_elsewhere){.post.fn = stop_elsewhere_run, .listener = ln};
        atomic_fetch_add_explicit(ln->connections, 1, memory_order_relaxed);
        if (rn_loop_post(rn, &s->post) < 0) {
            free(s);
            rnet__listener_conn_gone(ln);
        }
    }
}

static void stop_posted(struct rn_post *post)
{
    struct rnet_listener *ln =
        (struct rnet_listener *)(void *)((char *)post - offsetof(struct rnet_listener, stop_post));

    atomic_store(&ln->stop_queued, false);
    if (!ln->draining) {
        ln->draining = true;
        rnet__listener_stop_accepting(ln);
    }
    loop_stop(ln, ln->home);
    stop_others(ln);
    drained_tell(ln);
}

static void connections_drop(struct rnet_listener *ln, uint32_t n)
{
    atomic_fetch_sub_explicit(ln->connections, n, memory_order_release);
    drained_tell(ln);
}

static void gone_posted(struct rn_post *post)
{
    struct rnet_listener *ln =
        (struct rnet_listener *)(void *)((char *)post - offsetof(struct rnet_listener, gone_post));

    connections_drop(ln, atomic_exchange(&ln->gone, 0));
}

/* On another loop they are only noted, and counted at home: so the listener, which is freed when no
 * connection is left, is there until home has heard of the last one. Only the first note posts, so
 * the node is posted once at a time. */
void rnet__listener_conn_gone(struct rnet_listener *ln)
{
    struct rnet__loop *home = ln->home;

    if (!home || home == rnet__loop_self()) {
        connections_drop(ln, 1);
        return;
    }
    if (atomic_fetch_add(&ln->gone, 1) > 0)
        return;
    ln->gone_post.fn = gone_posted;
    if (rn_loop_post(home->rn, &ln->gone_post) < 0) /* home ends, and waits for nobody */
        connections_drop(ln, atomic_exchange(&ln->gone, 0));
}

/* A stop that hasn't run yet becomes a cut: a node is posted once at a time. */
static int stop(struct rnet_listener *ln, bool cut)
{
    int r;

    if (cut) /* for good, also when another drain still has patience */
        atomic_store(&ln->cutting, true);
    if (atomic_exchange(&ln->stop_queued, true))
        return 0;
    ln->stop_post.fn = stop_posted;
    r = rn_loop_post(ln->home->rn, &ln->stop_post);
    if (r < 0)
        atomic_store(&ln->stop_queued, false);
    return r;
}

/* Wait until the loop has closed its end; without a channel (no memory, or another drain has it)
 * look now and then. */
static int wait_drained(struct rnet_listener *ln, struct rn_rx rx, rn_time deadline)
{
    int r = 0;

    if (rx.gen) {
        r = rn_rx_recv(rx, NULL, deadline);
        return r == -EPIPE ? 0 : r;
    }
    while (!ln->draining || rnet_listener_connections(ln) > 0) {
        if (rn_now() >= deadline)
            return -ETIMEDOUT;
        r = rn_sleep(rn_after(RN_MS));
        if (r < 0)
            return r;
    }
    return 0;
}

int rnet_listener_drain(struct rnet_listener *ln, rn_time deadline)
{
    CLEANUP(rn_rx_closep) struct rn_rx rx = {0};
    struct rn_tx tx = {0};
    const bool had = rnet_listener_connections(ln) > 0;
    bool shielded;
    int r;

    if (!ln->home || ln->home != rnet__loop_self())
        return -EPERM;
    if (ln->draining && rnet_listener_connections(ln) == 0)
        return 0;
    if (!atomic_exchange(&ln->waited_for, true) && rn_chan_open(0, 1, &tx, &rx) == 0) {
        struct rn_end end = rn_end_tx(tx);

        if (rn_end_to_loop(&end, 1, ln->home->rn) == 0)
            ln->drained = tx;
        else
            rn_tx_closep(&tx), rn_rx_closep(&rx);
    }
    r = stop(ln, deadline <= 0);
    if (r < 0)
        return r;
    if (deadline > 0) {
        r = wait_drained(ln, rx, deadline);
        if (r == 0)
            return 0;
        (void)stop(ln, true);
    }
    shielded = rn_shield_begin(rn_after(CUT_SHIELD_NS)) == 0;
    (void)wait_drained(ln, rx, RN_FOREVER);
    if (shielded)
        rn_shield_end();
    return r < 0 ? r : had ? -ETIMEDOUT : 0;
}

void rnet_listener_close(struct rnet_listener *ln)
{
    if (!ln)
        return;
    if (ln->home)
        (void)rnet_listener_drain(ln, 0);
    rn_assert(rnet_listener_connections(ln) == 0);
    listener_free(ln);
}

void rnet_listener_closep(struct rnet_listener **listener)
{
    rnet_listener_close(*listener);
    *listener = NULL;
}

/* Its loop ends while it is open: the sockets go, the record stays the owner's. */
void rnet__listener_abandon(struct rnet_listener *ln)
{
    rnet__listener_stop_accepting(ln);
    rn_tx_closep(&ln->drained);
    listener_unlink(ln);
}
