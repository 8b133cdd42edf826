/* The listeners of the process, for whoever watches: /metrics of another runtime, while ours may
 * hang.
 *
 * A fixed table and no lock. What changes as one (name, sockets) lies behind a sequence number, as
 * words that are atomics of their own; the counts are atomics. A reader that meets a change 1,000
 * times gives the entry up.
 */
#include "internal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <runnel/loop.h>
#include <runnel/runtime.h>

#define ENTRIES_MAX 64
#define READ_TRIES  1000

struct facts {
    char                        name[RNET_LISTENER_NAME_MAX];
    char                        owner[RNET_LISTENER_OWNER_MAX];
    uint64_t                    n_sockets;
    struct rnet_listener_socket sockets[RNET_LISTENER_ADDRS_MAX];
};
#define FACTS_WORDS (sizeof(struct facts) / sizeof(uint64_t))
_Static_assert(sizeof(struct facts) % sizeof(uint64_t) == 0, "copied by words");

struct rnet__entry {
    /* claimed by one compare-and-swap; then the owner's loop */
    _Atomic uint32_t taken;

    /* written by the owner's loop, read by any thread */
    _Atomic uint32_t seq; /* odd: being written */
    _Atomic uint64_t words[FACTS_WORDS];

    /* any thread */
    _Atomic uint32_t connections;
    _Atomic bool     paused;
    _Atomic uint64_t counts[RNET__ENTRY_COUNTS];
};

static struct rnet__entry entries[ENTRIES_MAX];

static void facts_write(struct rnet__entry *e, const struct facts *f)
{
    const uint32_t seq = atomic_load_explicit(&e->seq, memory_order_relaxed);
    uint64_t words[FACTS_WORDS];

    memcpy(words, f, sizeof(words));
    atomic_store_explicit(&e->seq, seq + 1, memory_order_seq_cst);
    for (size_t i = 0; i < FACTS_WORDS;
         i++) /* release: pairs with the acquire loads below, so the odd number is seen first */
        atomic_store_explicit(&e->words[i], words[i], memory_order_release);
    atomic_store_explicit(&e->seq, seq + 2, memory_order_release);
}

static bool facts_read(struct rnet__entry *e, struct facts *ret_facts)
{
    uint64_t words[FACTS_WORDS];

    for (unsigned i = 0; i < READ_TRIES; i++) {
        const uint32_t seq = atomic_load_explicit(&e->seq, memory_order_acquire);

        if (seq & 1)
            continue;
        for (size_t w = 0; w < FACTS_WORDS; w++)
            words[w] = atomic_load_explicit(&e->words[w], memory_order_acquire);
        if (atomic_load_explicit(&e->seq, memory_order_relaxed) == seq) {
            memcpy(ret_facts, words, sizeof(*ret_facts));
            return true;
        }
    }
    return false;
}

int rnet__entry_new(const char *name, struct rnet__entry **ret_entry)
{
    struct facts f = {0};

    (void)strncpy(f.name, name, sizeof(f.name) - 1);
    if (rn_loop_self())
        (void)snprintf(f.owner, sizeof(f.owner), "loop %u of %.24s", rn_loop_index(rn_loop_self()),
                       rn_runtime_name(rn_runtime_self()));
    for (size_t i = 0; i < ENTRIES_MAX; i++) {
        struct rnet__entry *e = &entries[i];
        uint32_t free_ = 0;

        if (!atomic_compare_exchange_strong(&e->taken, &free_, 1))
            continue;
        atomic_store(&e->connections, 0);
        atomic_store(&e->paused, false);
        for (size_t c = 0; c < RNET__ENTRY_COUNTS; c++)
            atomic_store(&e->counts[c], 0);
        facts_write(e, &f);
        atomic_store(&e->taken, 2); /* to be seen now */
        *ret_entry = e;
        return 0;
    }
    return -ENOSPC;
}

void rnet__entry_free(struct rnet__entry *e)
{
    if (e)
        atomic_store(&e->taken, 0);
}

void rnet__entry_sockets(struct rnet__entry *e, const struct rnet_listener_socket sockets[],
                         uint32_t n)
{
    struct facts f;

    (void)facts_read(e, &f); /* nobody else writes it */
    f.n_sockets = n;
    memcpy(f.sockets, sockets, n * sizeof(*sockets));
    facts_write(e, &f);
}

_Atomic uint32_t *rnet__entry_connections(struct rnet__entry *e)
{
    return &e->connections;
}

void rnet__entry_count(struct rnet__entry *e, unsigned which)
{
    atomic_fetch_add_explicit(&e->counts[which], 1, memory_order_relaxed);
}

void rnet__entry_paused(struct rnet__entry *e, bool paused)
{
    atomic_store_explicit(&e->paused, paused, memory_order_relaxed);
}

static uint64_t count_of(struct rnet__entry *e, unsigned which)
{
    return atomic_load_explicit(&e->counts[which], memory_order_relaxed);
}

static void info_fill(struct rnet__entry *e, const struct facts *f, struct rnet_listener_info *info)
{
    *info =
        (struct rnet_listener_info){.n_sockets = (uint32_t)f->n_sockets, .up = f->n_sockets > 0};
    memcpy(info->name, f->name, sizeof(info->name));
    memcpy(info->owner, f->owner, sizeof(info->owner));
    info->paused_now = atomic_load_explicit(&e->paused, memory_order_relaxed);
    memcpy(info->sockets, f->sockets, sizeof(info->sockets));
    for (uint64_t i = 0; i < f->n_sockets; i++)
        info->up = info->up && f->sockets[i].up;
    info->connections = atomic_load_explicit(&e->connections, memory_order_relaxed);
    info->accepted = count_of(e, RNET__ACCEPTED);
    info->refused = count_of(e, RNET__REFUSED);
    info->checks = count_of(e, RNET__CHECKS);
    for (unsigned i = 0; i < RNET_PAUSE_MAX; i++)
        info->paused[i] = count_of(e, RNET__PAUSES + i);
}

bool rnet_listener_info(size_t *index, struct rnet_listener_info *ret_info)
{
    struct facts f;

    for (; *index < ENTRIES_MAX; (*index)++) {
        struct rnet__entry *e = &entries[*index];

        if (atomic_load(&e->taken) != 2 || !facts_read(e, &f))
            continue;
        info_fill(e, &f, ret_info);
        (*index)++;
        return true;
    }
    return false;
}

const char *rnet_accept_pause_name(enum rnet_accept_pause reason)
{
    static const char *const names[] = {"emfile", "enfile", "enobufs", "enomem", "other"};

    return (unsigned)reason < RNET_PAUSE_MAX ? names[reason] : "unknown";
}
