/* Descriptor records: owner, generation, and who is using the number right now.
 *
 *      word = gen:32 | closing:1 | reader:1 | writer:1 | unused:9 | refs:20
 *
 *      free --adopt--> open --close: gen + 1, closing--> (last user out) --> close(2), free
 *
 * A use takes its reference by the same CAS that checks the generation; a reader or writer also
 * takes its bit, so a second one is -EBUSY. Close moves the generation first, so nobody new gets
 * in, wakes the waiters, leaves epoll, and the last one out closes the number: it cannot be given
 * to somebody else while a system call still uses it. The generation also travels in epoll's data:
 * an event of an earlier life is counted and dropped.
 *
 * Watches (callbacks of a loop) take no references. One that is closed while it waits in the ready
 * list is freed when its turn comes.
 */
#include <errno.h>
#include <fcntl.h>

#include <runnel/trace.h>

#include "fd.h"

/* PRI: a read stops at TCP's urgent mark, so there a short count does not mean that nothing is
 * left. */
#define EVENTS_IN ((uint32_t)EPOLLIN | EPOLLPRI | EPOLLRDHUP | EPOLLET)
#define EVENTS_ALL (EVENTS_IN | EPOLLOUT)

/* ---- records --------------------------------------------------------------------------------- */

struct rn__fd *rn__fd_get(struct rn_runtime *rt, struct rn_fd h)
{
    uint32_t index = h.slot & RN__SLOT_MASK;

    if (!rt || h.gen == 0 || h.slot >> RN__SLOT_BITS != rt->number ||
        index >= atomic_load_explicit(&rt->fds_end, memory_order_acquire))
        return NULL;
    return &rt->fds[index];
}

static struct rn_fd handle_of(const struct rn_runtime *rt, const struct rn__fd *f)
{
    return (struct rn_fd){rt->number << RN__SLOT_BITS | (uint32_t)(f - rt->fds),
                          rn__fd_gen(atomic_load(&f->word))};
}

/* The list of the record's owner; records of nobody (their owner is gone) are in none. */
static uint32_t *owner_list(struct rn_runtime *rt, uint64_t owner)
{
    uint32_t id = (uint32_t)owner;

    if (owner >> 60 == RN__OWNER_TASK)
        return &rt->tasks[id]->fds;
    return &rt->workers[id].loop.fds;
}

static void owner_link(struct rn_runtime *rt, struct rn__fd *f)
{
    uint32_t *head = owner_list(rt, f->owner);
    uint32_t self = (uint32_t)(f - rt->fds) + 1;

    f->prev = 0;
    f->next = *head;
    if (f->next)
        rt->fds[f->next - 1].prev = self;
    *head = self;
}

static void owner_unlink(struct rn_runtime *rt, struct rn__fd *f)
{
    if (f->prev)
        rt->fds[f->prev - 1].next = f->next;
    else
        *owner_list(rt, f->owner) = f->next;
    if (f->next)
        rt->fds[f->next - 1].prev = f->prev;
}

static struct rn__fd *record_take(struct rn_runtime *rt)
{
    struct rn__fd *f = NULL;
    uint32_t end;

    rn__lock(rt, &rt->fd_lock);
    end = atomic_load_explicit(&rt->fds_end, memory_order_relaxed);
    if (rt->fds_free) {
        f = &rt->fds[rt->fds_free - 1];
        rt->fds_free = f->next;
    } else if (end < RN__FDS_MAX) {
        f = &rt->fds[end];
        atomic_store(&f->word, rn__fd_word(1, 0));
        atomic_store_explicit(&rt->fds_end, end + 1, memory_order_release);
    }
    rn__unlock(rt, &rt->fd_lock);
    return f;
}

static void record_free(struct rn_runtime *rt, struct rn__fd *f)
{
    uint32_t gen = rn__fd_gen(atomic_load(&f->word));

    rn__lock(rt, &rt->fd_lock);
    atomic_store(&f->word, rn__fd_word(gen, 0));
    f->number = -1;
    if (gen != UINT32_MAX) { /* a record whose generations are used up is retired */
        f->next = rt->fds_free;
        rt->fds_free = (uint32_t)(f - rt->fds) + 1;
    }
    rn__unlock(rt, &rt->fd_lock);
}

/* ---- adopt ----------------------------------------------------------------------------------- */

int rn_fd_prepare(int fd)
{
    int status = rn_sys_fcntl(fd, F_GETFL, 0);
    int flags = rn_sys_fcntl(fd, F_GETFD, 0);
    int r = 0;

    if (status < 0)
        return status;
    if (!(status & O_NONBLOCK))
        r = rn_sys_fcntl(fd, F_SETFL, status | O_NONBLOCK);
    if (r >= 0 && flags >= 0 && !(flags & FD_CLOEXEC))
        r = rn_sys_fcntl(fd, F_SETFD, flags | FD_CLOEXEC);
    return r < 0 ? r : 0;
}

static bool is_unix_socket(int fd, enum rn_fd_kind kind)
{
    int domain = 0;
    socklen_t len = sizeof(domain);

    return (kind == RN_FD_STREAM || kind == RN_FD_DGRAM) &&
           rn_sys_getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) == 0 && domain == AF_UNIX;
}

int rn__fd_events_set(struct rn_runtime *rt, struct rn__fd *f, int op)
{
    uint32_t index = (uint32_t)(f - rt->fds);
    struct epoll_event ev = {
        .events = f->flags & RN__FD_OUT ? EVENTS_ALL : EVENTS_IN,
        .data.u64 = (uint64_t)rn__fd_gen(atomic_load(&f->word)) << 32 | index,
    };

    return rn__sys_epoll_ctl(rt->workers[f->home].loop.epoll, op, f->number, &ev);
}

static int adopt(const struct rn_site *site, int fd, enum rn_fd_kind kind, rn_event_fn *fn,
                 void *arg, struct rn_fd *ret_fd)
{
    struct rn__worker *w = rn__worker_self();
    struct rn__fd *f;
    int r;

    if (!w)
        return -EPERM;
    r = fn ? 0 : rn_fd_prepare(fd); /* watches: their callers made the number so */
    if (r < 0)
        return r;
    f = record_take(w->rt);
    if (!f)
        return -ENOMEM;
    f->number = fd;
    f->kind = (uint8_t)kind;
    f->home = (uint8_t)w->index;
    f->site = site;
    f->since = atomic_load_explicit(&w->loop.coarse, memory_order_relaxed);
    f->owner = fn || !w->current ? rn__loop_owner(&w->loop) : rn__task_owner(w->current);
    f->flags = RN__FD_OUT;
    atomic_store(&f->ready, RN_FD_READ | RN_FD_WRITE);
    if (fn) {
        f->flags |= RN__FD_WATCH;
        f->watch.fn = fn;
        f->watch.arg = arg;
        f->watch.pending = f->watch.next = 0;
    } else {
        f->task.id[0] = f->task.id[1] = 0;
        if (is_unix_socket(fd, kind))
            f->flags = RN__FD_LAZY;
    }

    r = rn__fd_events_set(w->rt, f, EPOLL_CTL_ADD);
    if (r < 0) {
        record_free(w->rt, f);
        return r;
    }
    rn__san_release(&w->loop);
    rn__lock(w->rt, &w->rt->fd_lock);
    owner_link(w->rt, f);
    w->loop.registered++;
    rn__unlock(w->rt, &w->rt->fd_lock);
    atomic_fetch_add(&w->rt->fds_open, 1);
    *ret_fd = handle_of(w->rt, f);
    return 0;
}

int rn_fd_adopt_at(const struct rn_site *site, int fd, enum rn_fd_kind kind, struct rn_fd *ret_fd)
{
    return adopt(site, fd, kind, NULL, NULL, ret_fd);
}

int rn_loop_watch_at(const struct rn_site *site, int fd, enum rn_fd_kind kind, rn_event_fn *fn,
                     void *arg, struct rn_fd *ret_fd)
{
    return fn ? adopt(site, fd, kind, fn, arg, ret_fd) : -EINVAL;
}

/* ---- close ----------------------------------------------------------------------------------- */

static void unregister(struct rn_runtime *rt, struct rn__fd *f, bool number_is_ours)
{
    struct rn_loop *loop = &rt->workers[f->home].loop;

    if (number_is_ours)
        (void)rn__sys_epoll_ctl(loop->epoll, EPOLL_CTL_DEL, f->number, NULL);
    rn__lock(rt, &rt->fd_lock);
    owner_unlink(rt, f);
    loop->registered--;
    rn__unlock(rt, &rt->fd_lock);
    atomic_fetch_sub(&rt->fds_open, 1);
}

void rn__fd_last_out(struct rn_runtime *rt, struct rn__fd *f)
{
    rn__san_acquire(f);
    (void)rn_sys_close(f->number);
    if (f->flags & RN__FD_QUEUED)
        f->number = -1; /* rn__loop_ready_run() frees it */
    else
        record_free(rt, f);
}

void rn__fd_waiter_set(struct rn__fd *f, unsigned dir, struct rn__key key)
{
    struct rn_runtime *rt = rn__rt();

    rn__lock(rt, &rt->fd_lock); /* for who reads both halves */
    f->task.epoch[dir] = key.epoch;
    f->task.id[dir] = key.id;
    rn__unlock(rt, &rt->fd_lock);
}

static void wake_waiter(struct rn__fd *f, unsigned dir, unsigned winner)
{
    struct rn_runtime *rt = rn__rt();
    struct rn__key key;

    rn__lock(rt, &rt->fd_lock);
    key = (struct rn__key){f->task.id[dir], f->task.epoch[dir]};
    rn__unlock(rt, &rt->fd_lock);
    if (key.id && rn__claim(key, winner))
        rn__ready(key.id);
}

int rn_fd_close(struct rn_fd h)
{
    struct rn_runtime *rt = rn__rt();
    struct rn__fd *f = rn__fd_get(rt, h);
    uint64_t v;

    if (!f)
        return -EBADF;
    v = atomic_load(&f->word);
    do {
        if (rn__fd_gen(v) != h.gen || v & RN__FD_CLOSING)
            return -EBADF;
    } while (!atomic_compare_exchange_weak(&f->word, &v,
                                           rn__fd_word(h.gen + 1, (uint32_t)v | RN__FD_CLOSING)));

    unregister(rt, f, true);
    rn__san_release(f); /* whoever is out last closes the number */
    if (!(f->flags & RN__FD_WATCH)) {
        wake_waiter(f, 0, RN__WIN_CLOSE);
        wake_waiter(f, 1, RN__WIN_CLOSE);
    }
    if ((v & RN__FD_REFS) == 0)
        rn__fd_last_out(rt, f);
    return 0;
}

void rn_fd_closep(struct rn_fd *fd)
{
    if (fd->gen)
        (void)rn_fd_close(*fd);
    *fd = (struct rn_fd){0, 0};
}

/* Take the record down without closing the number. */
static int let_go(struct rn_fd h, bool number_is_ours, int *ret_number)
{
    struct rn_runtime *rt = rn__rt();
    struct rn__fd *f = rn__fd_get(rt, h);
    uint64_t v;
    int number;

    if (!f)
        return -EBADF;
    v = atomic_load(&f->word);
    do {
        if (rn__fd_gen(v) != h.gen || v & RN__FD_CLOSING)
            return -EBADF;
        if (v & RN__FD_REFS)
            return -EBUSY;
    } while (!atomic_compare_exchange_weak(&f->word, &v, rn__fd_word(h.gen + 1, RN__FD_CLOSING)));

    unregister(rt, f, number_is_ours);
    number = f->number;
    if (!(f->flags & RN__FD_QUEUED))
        record_free(rt, f);
    *ret_number = number;
    return 0;
}

int rn_fd_release(struct rn_fd h, int *ret_number)
{
    return let_go(h, true, ret_number);
}

int rn_fd_forget(struct rn_fd h)
{
    int number;

    return let_go(h, false, &number);
}

int rn_fd_number(struct rn_fd h)
{
    struct rn__fd *f = rn__fd_get(rn__rt(), h);
    uint64_t v = f ? atomic_load(&f->word) : 0;

    return f && rn__fd_gen(v) == h.gen && !(v & RN__FD_CLOSING) ? f->number : -EBADF;
}

void rn__fds_close_list(struct rn_runtime *rt, uint32_t *head)
{
    while (*head)
        (void)rn_fd_close(handle_of(rt, &rt->fds[*head - 1]));
}

/* ---- events ---------------------------------------------------------------------------------- */

static void watch_queue(struct rn_runtime *rt, struct rn__fd *f, uint32_t events)
{
    struct rn_loop *loop = &rt->workers[f->home].loop;
    uint32_t self = (uint32_t)(f - rt->fds) + 1;

    f->watch.pending |= events;
    if (f->flags & RN__FD_QUEUED)
        return;
    f->flags |= RN__FD_QUEUED;
    f->watch.next = 0;
    if (loop->ready)
        rt->fds[loop->ready_last - 1].watch.next = self;
    else
        loop->ready = self;
    loop->ready_last = self;
}

void rn_loop_again(struct rn_fd h, uint32_t events)
{
    struct rn_runtime *rt = rn__rt();
    struct rn__fd *f = rn__fd_get(rt, h);
    uint64_t v = f ? atomic_load(&f->word) : 0;

    if (f && rn__fd_gen(v) == h.gen && !(v & RN__FD_CLOSING) && f->flags & RN__FD_WATCH)
        watch_queue(rt, f, events);
}

void rn__fd_event(struct rn_loop *loop, uint64_t data, uint32_t events)
{
    struct rn_runtime *rt = loop->worker->rt;
    struct rn__fd *f = &rt->fds[data & RN__SLOT_MASK];
    uint64_t v = atomic_load(&f->word);
    unsigned ready = 0;

    if (rn__fd_gen(v) != data >> 32 || v & RN__FD_CLOSING) {
        rn__count(&loop->worker->counts.stale_events);
        return;
    }
    if (f->flags & RN__FD_WATCH) {
        watch_queue(rt, f, events);
        return;
    }
    if (events & (EPOLLPRI | EPOLLRDHUP | EPOLLHUP | EPOLLERR))
        f->flags |= RN__FD_HUP;
    if (events & (EPOLLIN | EPOLLPRI | EPOLLRDHUP | EPOLLHUP | EPOLLERR))
        ready |= RN_FD_READ;
    if (events & (EPOLLOUT | EPOLLHUP | EPOLLERR)) /* RDHUP alone says nothing about writing */
        ready |= RN_FD_WRITE;
    atomic_fetch_or(&f->ready, (uint8_t)ready);
    if (ready & RN_FD_READ)
        wake_waiter(f, 0, 0);
    if (ready & RN_FD_WRITE)
        wake_waiter(f, 1, 0);
}

/* The callbacks of this turn; what they ask to see again comes with the next. */
void rn__loop_ready_run(struct rn_loop *loop)
{
    struct rn_runtime *rt = loop->worker->rt;
    uint32_t next = loop->ready;

    loop->ready = loop->ready_last = 0;
    while (next) {
        struct rn__fd *f = &rt->fds[next - 1];
        uint32_t events = f->watch.pending;

        next = f->watch.next;
        f->flags &= (uint8_t)~RN__FD_QUEUED;
        f->watch.pending = 0;
        if (atomic_load(&f->word) & RN__FD_CLOSING)
            record_free(rt, f);
        else
            f->watch.fn(f->watch.arg, events);
    }
}

/* ---- for those who watch --------------------------------------------------------------------- */

static bool fd_view(const struct rn_runtime *rt, uint32_t index, struct rn_fd_info *info,
                    uint64_t *ret_owner)
{
    const struct rn__fd *f = &rt->fds[index];
    uint64_t before = atomic_load(&f->word);
    bool watched = f->flags & RN__FD_WATCH;
    rn_time now = rn_loop_now();

    *ret_owner = f->owner;
    *info = (struct rn_fd_info){
        .number = f->number,
        .kind = f->kind,
        .site = f->site,
        .age = now > f->since ? now - f->since : 0,
        .watched = watched,
        .reader = !watched && f->task.id[0] != 0,
        .writer = !watched && f->task.id[1] != 0,
    };
    atomic_thread_fence(memory_order_acquire);
    return rn__fd_gen(before) == rn__fd_gen(atomic_load(&f->word)) && !(before & RN__FD_CLOSING) &&
           info->number >= 0 && info->site && f->owner == *ret_owner;
}

void rn_fds_each(const struct rn_runtime *rt, bool (*fn)(void *arg, const struct rn_fd_info *info),
                 void *arg)
{
    uint32_t end = atomic_load_explicit(&rt->fds_end, memory_order_acquire);

    for (uint32_t i = 0; i < end; i++) {
        struct rn_fd_info info;
        uint64_t owner;

        if (!fd_view(rt, i, &info, &owner))
            continue;
        rn__owner_text(rt, owner, info.owner, sizeof(info.owner));
        if (!fn(arg, &info))
            return;
    }
}
