/* Accepting: 16 a turn, to the loop with the fewest connections; what to do without descriptors; is
 * the socket still there.
 *
 * A listener once vanished because nobody owned its number: somebody closed it, and clients were
 * refused with no error anywhere. So each second the socket is compared with the one that was
 * bound: it accepts, and address, cookie and inode are the same. Any unexpected error of accept
 * looks at once. A lost number is forgotten, not closed: it may be somebody else's by now. For the
 * same reason the cookie is asked first, which is all that is ever done to a number of others.
 */
#include "listener_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <runnel/sys.h>

#define ACCEPTS_PER_TURN 16
#define PAUSE_NS         (100 * RN_MS)
#define CHECK_NS         RN_S

/* ---- where a new connection goes ---- */

struct handoff {
    struct rn_post        post;
    struct rnet_listener *listener; /* counted there already */
    int                   number;
};

static void conn_begin(struct rnet__loop *l, struct rnet_listener *ln, int number)
{
    const int r = rnet__conn_open(l, number, ln->options.protocol, ln->options.data, ln, NULL);

    if (r == 0 || r == -ECANCELED)
        return;
    (void)rn_sys_close(number);
    rnet__entry_count(ln->entry, RNET__REFUSED);
    rnet__listener_conn_gone(ln);
}

static void handoff_run(struct rn_post *post)
{
    struct handoff *h = (struct handoff *)(void *)((char *)post - offsetof(struct handoff, post));
    struct rnet_listener *ln = h->listener;
    const int number = h->number;
    struct rnet__loop *l;

    free(h);
    if (rnet__loop_get(&l) == 0) {
        conn_begin(l, ln, number);
        return;
    }
    (void)rn_sys_close(number);
    rnet__listener_conn_gone(ln);
}

/* The loop with the fewest connections; ours when it is among them. */
static struct rn_loop *loop_choose(struct rnet__loop *home)
{
    struct rn_runtime *rt = rn_runtime_self();
    struct rn_loop *best = home->rn, *rn;
    uint32_t fewest = atomic_load_explicit(&home->n_conns, memory_order_relaxed);

    if (!rn_loop_at(rt, 1))
        return best;
    for (uint32_t i = 0; (rn = rn_loop_at(rt, i)) != NULL; i++) {
        const uint32_t n = rn == home->rn ? fewest : rnet__loop_load(rn);

        if (n < fewest) {
            fewest = n;
            best = rn;
        }
    }
    return best;
}

static void conn_place(struct rnet_listener *ln, int number)
{
    struct rn_loop *rn = loop_choose(ln->home);
    struct handoff *h;

    rnet__entry_count(ln->entry, RNET__ACCEPTED);
    atomic_fetch_add_explicit(ln->connections, 1, memory_order_relaxed);
    if (rn == ln->home->rn) {
        conn_begin(ln->home, ln, number);
        return;
    }
    h = malloc(sizeof(*h));
    if (h) {
        *h = (struct handoff){.post.fn = handoff_run, .listener = ln, .number = number};
        if (rn_loop_post(rn, &h->post) == 0)
            return;
        free(h);
    }
    conn_begin(ln->home, ln, number);
}

/* ---- pausing ---- */

static void again_all(struct rnet_listener *ln)
{
    for (uint32_t i = 0; i < ln->n_sockets; i++)
        if (ln->sockets[i].open)
            rn_loop_again(ln->sockets[i].fd, EPOLLIN);
}

static void resume(struct rnet_listener *ln)
{
    if (!ln->paused)
        return;
    ln->paused = false;
    rnet__entry_paused(ln->entry, false);
    rn_pause_end(&ln->pause);
    rn_timer_disarm(&ln->pause_timer);
    again_all(ln); /* not here: we may be inside of a close */
}

static void on_closed_elsewhere(struct rn_pause *pause)
{
    resume((struct rnet_listener *)(void *)((char *)pause - offsetof(struct rnet_listener, pause)));
}

static void on_pause_over(struct rn_timer *timer)
{
    resume((struct rnet_listener *)(void *)((char *)timer -
                                            offsetof(struct rnet_listener, pause_timer)));
}

static void pause_for(struct rnet_listener *ln, int error)
{
    const enum rnet_accept_pause reason = error == -EMFILE    ? RNET_PAUSE_EMFILE
                                          : error == -ENFILE  ? RNET_PAUSE_ENFILE
                                          : error == -ENOBUFS ? RNET_PAUSE_ENOBUFS
                                          : error == -ENOMEM  ? RNET_PAUSE_ENOMEM
                                                              : RNET_PAUSE_OTHER;

    rnet__entry_count(ln->entry, RNET__PAUSES + reason);
    if (ln->paused)
        return;
    ln->paused = true;
    rnet__entry_paused(ln->entry, true);
    rn_pause_begin(&ln->pause, on_closed_elsewhere);
    rn_timer_arm(&ln->pause_timer, rn_after(PAUSE_NS), on_pause_over);
}

/* ---- accepting ---- */

static bool out_of_something(int error)
{
    return error == -EMFILE || error == -ENFILE || error == -ENOBUFS || error == -ENOMEM;
}

static bool over_max(const struct rnet_listener *ln)
{
    return ln->options.connections_max &&
           atomic_load_explicit(ln->connections, memory_order_relaxed) >=
               ln->options.connections_max;
}

static void accept_some(struct rnet__socket *s)
{
    struct rnet_listener *ln = s->listener;

    for (unsigned i = 0; i < ACCEPTS_PER_TURN; i++) {
        const int r = rn_sys_accept4(s->bound.number, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

        if (r == -EAGAIN)
            return;
        if (r >= 0 && over_max(ln)) {
            (void)rn_sys_close(r);
            rnet__entry_count(ln->entry, RNET__REFUSED);
            rnet_count(RNET_COUNTER_CONNS_REFUSED);
        } else if (r >= 0) {
            conn_place(ln, r);
        } else if (!rnet__accept_passes(r)) {
            if (!out_of_something(r))
                (void)rnet_listener_check(ln);
            if (s->open)
                pause_for(ln, r);
            return;
        }
    }
    rn_loop_again(s->fd, EPOLLIN);
}

static void on_event(void *arg, uint32_t events)
{
    struct rnet__socket *s = arg;

    (void)events;
    if (s->open && !s->listener->paused) /* else the resume looks again */
        accept_some(s);
}

int rnet__socket_watch(struct rnet__socket *s)
{
    struct stat st;
    socklen_t len = sizeof(s->cookie);
    int r;

    r = rn_sys_fstat(s->bound.number, &st);
    if (r < 0)
        return r;
    s->inode = st.st_ino;
    r = rn_sys_getsockopt(s->bound.number, SOL_SOCKET, SO_COOKIE, &s->cookie, &len);
    if (r < 0)
        return r;
    rnet_addr_format(&s->bound.addr, s->address, sizeof(s->address));
    r = rn_loop_watch(s->bound.number, RN_FD_LISTENER, on_event, s, &s->fd);
    if (r < 0)
        return r;
    s->open = true;
    return 0;
}

/* ---- the check ---- */

/* NULL: the number is still our socket. */
static const char *number_fault(const struct rnet__socket *s)
{
    uint64_t cookie = 0;
    socklen_t len = sizeof(cookie);
    struct stat st;
    int r = rn_sys_getsockopt(s->bound.number, SOL_SOCKET, SO_COOKIE, &cookie, &len);

    if (r == -EBADF)
        return "the descriptor was closed";
    if (r < 0)
        return "the descriptor is another file now";
    if (cookie != s->cookie || rn_sys_fstat(s->bound.number, &st) < 0 || st.st_ino != s->inode)
        return "the descriptor is another socket now";
    return NULL;
}

/* NULL: all is well. *ret_ours: the number is still our socket. */
static const char *socket_fault(const struct rnet__socket *s, bool *ret_ours)
{
    struct rnet_addr addr = {.len = sizeof(addr.sa)};
    socklen_t flag_len = sizeof(int);
    const char *fault = number_fault(s);
    int accepts = 0;

    *ret_ours = !fault;
    if (fault)
        return fault;
    if (rn_sys_getsockopt(s->bound.number, SOL_SOCKET, SO_ACCEPTCONN, &accepts, &flag_len) < 0 ||
        !accepts)
        return "the socket does not listen any more";
    if (rn_sys_getsockname(s->bound.number, &addr.sa.any, &addr.len) < 0 ||
        addr.len != s->bound.addr.len || memcmp(&addr.sa, &s->bound.addr.sa, addr.len) != 0)
        return "the socket's address has changed";
    return NULL;
}

static void socket_lost(struct rnet__socket *s, const char *why, bool ours)
{
    struct rnet_listener *ln = s->listener;

    s->open = false;
    s->why = why;
    if (ours) {
        rnet__socket_unlink(&s->bound);
        (void)rn_fd_close(s->fd);
    } else {
        (void)rn_fd_forget(s->fd);
    }
    rnet_count(RNET_COUNTER_LISTENERS_LOST);
    rnet__listener_publish(ln);
    if (ln->options.on_lost)
        ln->options.on_lost(ln->options.on_lost_arg, ln->name, s->address, why);
}

int rnet_listener_check(struct rnet_listener *ln)
{
    int r = 0;

    if (!ln->home || ln->home != rnet__loop_self())
        return -EPERM;
    rnet__entry_count(ln->entry, RNET__CHECKS);
    for (uint32_t i = 0; i < ln->n_sockets; i++) {
        struct rnet__socket *s = &ln->sockets[i];
        const char *why = NULL;
        bool ours = false;

        if (s->open && (why = socket_fault(s, &ours)) != NULL)
            socket_lost(s, why, ours);
        if (!s->open && !ln->draining)
            r = -EBADF;
    }
    return r;
}

static void on_check(struct rn_timer *timer)
{
    struct rnet_listener *ln =
        (struct rnet_listener *)(void *)((char *)timer -
                                         offsetof(struct rnet_listener, check_timer));

    (void)rnet_listener_check(ln);
    rn_timer_arm(&ln->check_timer, rn_after(CHECK_NS), on_check);
}

void rnet__listener_start(struct rnet_listener *ln)
{
    rnet__listener_publish(ln);
    rn_timer_arm(&ln->check_timer, rn_after(CHECK_NS), on_check);
}

void rnet__listener_stop_accepting(struct rnet_listener *ln)
{
    rn_timer_disarm(&ln->check_timer);
    rn_timer_disarm(&ln->pause_timer);
    if (ln->paused)
        rn_pause_end(&ln->pause);
    ln->paused = false;
    rnet__entry_paused(ln->entry, false);
    for (uint32_t i = 0; i < ln->n_sockets; i++) {
        struct rnet__socket *s = &ln->sockets[i];

        if (!s->open)
            continue;
        s->open = false;
        rnet__socket_unlink(&s->bound);
        (void)rn_fd_close(s->fd);
    }
    rnet__listener_publish(ln);
}
