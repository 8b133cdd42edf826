/* Channels as one who watches sees them: who holds them, who waits, how full they are.
 *
 * Nothing leads from a channel to its holders and waiters without its lock, so both are found the
 * other way round, in one walk over the tasks and one over the end-points. The number of values is
 * in the ring, which may be freed at any moment: it is read as from a stranger, and believed if the
 * channel still has that ring afterwards.
 */
#include "leak_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include <base/cleanup.h>

/* What was found of one channel. */
struct seen {
    uint32_t n_ends[2], waiting[2];
    rn_time since; /* of the longest wait; 0: nobody waits */
    uint64_t holders[2][RN_CHAN_NAMES];
    uint64_t waiters[RN_CHAN_NAMES];
};

struct look {
    const struct rn_runtime *rt;
    const struct rn__chans *cs;
    struct seen *seen; /* by channel */
    uint32_t n;
};

static void remember(uint64_t names[RN_CHAN_NAMES], uint64_t owner)
{
    for (unsigned i = 0; i < RN_CHAN_NAMES; i++) {
        if (names[i] == owner)
            return;
        if (names[i] == 0) {
            names[i] = owner;
            return;
        }
    }
}

static void see_end(struct look *l, uint32_t index)
{
    const struct rn__end_rec *rec = rn__rec_at(l->cs, index);
    uint32_t gen = atomic_load(&rec->gen);
    const struct rn__chan *c = atomic_load(&rec->chan);
    uint64_t owner = atomic_load(&rec->owner);
    unsigned dir = atomic_load(&rec->dir);

    if (gen == 0 || !c || rn__chan_index(l->cs, c) >= l->n || atomic_load(&rec->gen) != gen)
        return;
    l->seen[rn__chan_index(l->cs, c)].n_ends[dir]++;
    remember(l->seen[rn__chan_index(l->cs, c)].holders[dir], owner);
}

static void see_wait(struct look *l, const struct rn__task_view *v, struct rn_end end)
{
    const struct rn__end_rec *rec = rn__rec_find(l->cs, end.slot);
    const struct rn__chan *c = rec ? atomic_load(&rec->chan) : NULL;
    struct seen *s;

    if (!c || end.gen == 0 || atomic_load(&rec->gen) != end.gen || rn__chan_index(l->cs, c) >= l->n)
        return;
    s = &l->seen[rn__chan_index(l->cs, c)];
    s->waiting[atomic_load(&rec->dir)]++;
    if (s->since == 0 || v->since < s->since)
        s->since = v->since;
    remember(s->waiters, v->owner);
}

static int see_task(struct look *l, uint32_t id)
{
    CLEANUP(freep) struct rn_case *cases = NULL;
    struct rn__task_view v;
    int r = 0;

    if (!rn__task_view(l->rt, id, &v) || v.state != RN_TASK_PARKED)
        return 0;
    if (v.wait.kind == RN_WAIT_CHAN_SEND || v.wait.kind == RN_WAIT_CHAN_RECV) {
        see_wait(l, &v, (struct rn_end){v.wait.slot, v.wait.gen});
    } else if (v.wait.kind == RN_WAIT_SELECT) {
        r = rn__cases_copy(l->rt, &v, &cases);
        for (uint32_t i = 0; r == 0 && i < v.wait.n_cases; i++)
            see_wait(l, &v, cases[i].end);
    }
    return r < 0 ? r : 0;
}

/* Fields that belong to the lock, read without it on purpose. */
#define PEEK(field) (*(__typeof__(field) const volatile *)&(field))
#define PEEKING __attribute__((noinline, no_sanitize("thread")))

static PEEKING uint32_t cap_of(const struct rn__chan *c)
{
    return PEEK(c->cap);
}

static PEEKING uint64_t len_of(const struct rn__chan *c)
{
    struct rn__ring ring, *at;

    for (unsigned i = 0; i < 3; i++) {
        at = PEEK(c->ring);
        struct iovec to = {&ring, sizeof(ring)}, from = {at, sizeof(ring)};
        if (!at)
            return 0;
        if (process_vm_readv(getpid(), &to, 1, &from, 1, 0) == sizeof(ring) && PEEK(c->ring) == at)
            return ring.count;
    }
    return UINT64_MAX;
}

static void names_fill(const struct look *l, const uint64_t owners[RN_CHAN_NAMES],
                       char names[RN_CHAN_NAMES][RN_OWNER_TEXT])
{
    for (unsigned i = 0; i < RN_CHAN_NAMES && owners[i] != 0; i++)
        rn__owner_text(l->rt, owners[i], names[i], RN_OWNER_TEXT);
}

static void info_fill(const struct look *l, uint32_t index, struct rn_chan_info *info)
{
    const struct rn__chan *c = rn__chan_at(l->cs, index);
    const struct seen *s = &l->seen[index];
    rn_time now = rn_loop_now();

    *info = (struct rn_chan_info){
        .id = index + 1,
        .opened = atomic_load(&c->site),
        .len = len_of(c),
        .cap = cap_of(c),
        .n_tx = s->n_ends[RN__TX],
        .n_rx = s->n_ends[RN__RX],
        .waiting_tx = s->waiting[RN__TX],
        .waiting_rx = s->waiting[RN__RX],
        .waited = s->since != 0 && now > s->since ? now - s->since : 0,
    };
    names_fill(l, s->holders[RN__TX], info->holders_tx);
    names_fill(l, s->holders[RN__RX], info->holders_rx);
    names_fill(l, s->waiters, info->waiters);
}

int rn_chans_each(const struct rn_runtime *rt,
                  bool (*fn)(void *arg, const struct rn_chan_info *info), void *arg)
{
    struct look l = {.rt = rt, .cs = rn__chans_of(rt)};
    CLEANUP(freep) struct seen *seen = NULL;
    uint32_t n_tasks = rn__tasks_end(rt), n_recs = atomic_load(&l.cs->recs.end);
    int r = 0;

    l.n = atomic_load(&l.cs->chans.end);
    l.seen = seen = calloc((size_t)l.n + 1, sizeof(*seen));
    if (!seen)
        return -ENOMEM;
    for (uint32_t i = 0; i < n_recs; i++)
        see_end(&l, i);
    for (uint32_t i = 1; i < n_tasks && r == 0; i++)
        r = see_task(&l, i);
    for (uint32_t i = 0; i < l.n && r == 0; i++) {
        struct rn_chan_info info;
        if (seen[i].n_ends[RN__TX] + seen[i].n_ends[RN__RX] == 0)
            continue;
        info_fill(&l, i, &info);
        if (!fn(arg, &info))
            break;
    }
    return r;
}
