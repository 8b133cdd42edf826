/* Records lie one behind the other in a circle of bytes, each a struct record and its two texts. A
 * table, indexed by the number, says where each begins: on a line that only grows, of which the
 * circle is a window. The oldest go until the new one fits both bounds.
 *
 * A place is `waiting` from the moment when its follower was told that there is nothing for it,
 * under the same lock, until the next record. So each wait is woken once, and none is missed.
 */
#include "events.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include <rnet/http.h>

#include <runnel/lock.h>

#include <base/cleanup.h>
#include <base/clock.h>

#define RECORDS_DEFAULT 8192
#define BYTES_DEFAULT ((size_t)1 << 20)
#define FOLLOWERS_DEFAULT 64
#define FOLLOWERS_MAX 256

struct record {
    int64_t time_ms;
    struct ft_uuid agent;
    struct ft_hash hash;
    uint32_t version;
    uint16_t name_len, text_len;
    uint8_t change, state;
    bool has_hash, timed_out;
};
#define RECORD_MAX (sizeof(struct record) + FT_EVENT_NAME_MAX + FT_EVENT_TEXT_MAX)

struct place {
    struct rnet_conn conn;
    bool taken, waiting;
};

struct ft_events {
    /* set once */
    struct ft_events_bounds bounds;
    uint64_t boot;

    /* any thread */
    _Atomic bool untold; /* somebody waits for a record that is there */
    _Atomic bool ended;
    _Atomic uint64_t counts[FT_EVENT_TYPE_COUNT];

    struct rn_lock lock;

    /* lock */
    uint8_t *bytes;       /* the circle, bounds.bytes */
    uint64_t *begins;     /* of record n: begins[n % bounds.records] */
    uint64_t end;         /* where the next one begins */
    uint64_t first, next; /* numbers: the oldest that is kept, and the next to come */
    struct place *places;
    size_t n_taken, n_waiting;
};

static const struct {
    const char *name;
    enum ft_event_type type;
} changes[] = {
#define X(type, name) [FT_EVENT_##type##_##name] = {#name, FT_EVENT_TYPE_##type},
    FT_EVENT_CHANGES(X)
#undef X
};

const char *ft_event_type_name(enum ft_event_type t)
{
    static const char *const names[] = {
#define X(name) #name,
        FT_EVENT_TYPES(X)
#undef X
    };
    return names[t];
}

enum ft_event_type ft_event_type(const struct ft_event *e)
{
    return changes[e->change].type;
}

const char *ft_event_change_name(enum ft_event_change c)
{
    return changes[c].name;
}

/* ---- life ---- */

static size_t bound(size_t given, size_t normal, size_t least)
{
    size_t n = given ? given : normal;

    return n < least ? least : n;
}

int ft_events_new(const struct ft_events_bounds *bounds, struct ft_events **ret)
{
    CLEANUP(ft_events_freep) struct ft_events *e = calloc(1, sizeof(*e));

    if (!e)
        return -ENOMEM;
    if (bounds)
        e->bounds = *bounds;
    e->bounds.records = bound(e->bounds.records, RECORDS_DEFAULT, 1);
    e->bounds.bytes = bound(e->bounds.bytes, BYTES_DEFAULT, RECORD_MAX);
    e->bounds.followers = bound(e->bounds.followers, FOLLOWERS_DEFAULT, 1);
    if (e->bounds.followers > FOLLOWERS_MAX)
        e->bounds.followers = FOLLOWERS_MAX;
    e->first = e->next = 1;
    e->bytes = malloc(e->bounds.bytes);
    e->begins = calloc(e->bounds.records, sizeof(*e->begins));
    e->places = calloc(e->bounds.followers, sizeof(*e->places));
    if (!e->bytes || !e->begins || !e->places)
        return -ENOMEM;
    if (getrandom(&e->boot, sizeof(e->boot), GRND_NONBLOCK) < 0)
        e->boot = (uint64_t)time(NULL);
    *ret = TAKE(e);
    return 0;
}

struct ft_events *ft_events_free(struct ft_events *e)
{
    if (!e)
        return NULL;
    free(e->bytes);
    free(e->begins);
    free(e->places);
    free(e);
    return NULL;
}

void ft_events_freep(struct ft_events **e)
{
    *e = ft_events_free(*e);
}

/* ---- the circle ---- */

static void put_locked(struct ft_events *e, const void *bytes, size_t n)
{
    size_t at = e->end % e->bounds.bytes, room = e->bounds.bytes - at, part = n < room ? n : room;

    if (n == 0)
        return;
    memcpy(e->bytes + at, bytes, part);
    memcpy(e->bytes, (const uint8_t *)bytes + part, n - part);
    e->end += n;
}

static void get_locked(const struct ft_events *e, uint64_t from, void *to, size_t n)
{
    size_t at = from % e->bounds.bytes, room = e->bounds.bytes - at, part = n < room ? n : room;

    memcpy(to, e->bytes + at, part);
    memcpy((uint8_t *)to + part, e->bytes, n - part);
}

static uint64_t *begin_locked(const struct ft_events *e, uint64_t number)
{
    return &e->begins[number % e->bounds.records];
}

static void make_room_locked(struct ft_events *e, size_t n)
{
    while (e->first < e->next && (e->next - e->first == e->bounds.records ||
                                  e->end + n - *begin_locked(e, e->first) > e->bounds.bytes))
        e->first++;
}

/* ---- publishing ---- */

/* At most `max` bytes, and no part of a character. */
static struct rn_slice cut(struct rn_slice s, size_t max)
{
    if (s.len <= max)
        return s;
    while (max > 0 && (s.data[max] & 0xc0) == 0x80)
        max--;
    return rn_slice(s.data, max);
}

void ft_events_add(struct ft_events *e, const struct ft_event *event)
{
    if (!e)
        return;
    const struct rn_slice name = cut(event->name, FT_EVENT_NAME_MAX),
                          text = cut(event->text, FT_EVENT_TEXT_MAX);
    const struct record r = {
        .time_ms = wall_ms(),
        .agent = event->agent,
        .hash = event->hash,
        .version = event->version,
        .name_len = (uint16_t)name.len,
        .text_len = (uint16_t)text.len,
        .change = (uint8_t)event->change,
        .state = event->state,
        .has_hash = event->has_hash,
        .timed_out = event->timed_out,
    };

    atomic_fetch_add_explicit(&e->counts[ft_event_type(event)], 1, memory_order_relaxed);
    rn_lock_acquire(&e->lock);
    make_room_locked(e, sizeof(r) + name.len + text.len);
    *begin_locked(e, e->next++) = e->end;
    put_locked(e, &r, sizeof(r));
    put_locked(e, name.data, name.len);
    put_locked(e, text.data, text.len);
    if (e->n_waiting)
        atomic_store(&e->untold, true);
    rn_lock_release(&e->lock);
}

/* Wake who waits, or everybody. */
static void wake(struct ft_events *e, bool everybody)
{
    struct rnet_conn conns[FOLLOWERS_MAX];
    size_t n = 0;

    rn_lock_acquire(&e->lock);
    for (size_t i = 0; i < e->bounds.followers && (everybody || e->n_waiting > 0); i++) {
        struct place *p = &e->places[i];
        if (p->waiting || (everybody && p->taken))
            conns[n++] = p->conn;
        e->n_waiting -= p->waiting;
        p->waiting = false;
    }
    rn_lock_release(&e->lock);
    /* Without memory for it the follower looks by itself when it says that it is alive. */
    for (size_t i = 0; i < n; i++)
        (void)rnet_http_wake(conns[i]);
}

void ft_events_tell(struct ft_events *e)
{
    if (e && atomic_load_explicit(&e->untold, memory_order_relaxed) &&
        atomic_exchange(&e->untold, false))
        wake(e, false);
}

void ft_events_publish(struct ft_events *e, const struct ft_event *event)
{
    ft_events_add(e, event);
    ft_events_tell(e);
}

/* ---- following ---- */

uint64_t ft_events_boot(const struct ft_events *e)
{
    return e->boot;
}

uint64_t ft_events_last(struct ft_events *e)
{
    rn_lock_acquire(&e->lock);
    uint64_t last = e->next - 1;
    rn_lock_release(&e->lock);
    return last;
}

int ft_events_join(struct ft_events *e, struct rnet_conn conn, size_t *ret_place)
{
    size_t i = 0;

    if (ft_events_ended(e))
        return -ESHUTDOWN;
    rn_lock_acquire(&e->lock);
    while (i < e->bounds.followers && e->places[i].taken)
        i++;
    if (i < e->bounds.followers) {
        e->places[i] = (struct place){.conn = conn, .taken = true};
        e->n_taken++;
    }
    rn_lock_release(&e->lock);
    *ret_place = i;
    return i < e->bounds.followers ? 0 : -EBUSY;
}

void ft_events_leave(struct ft_events *e, size_t place)
{
    rn_lock_acquire(&e->lock);
    e->n_waiting -= e->places[place].waiting;
    e->n_taken--;
    e->places[place] = (struct place){0};
    rn_lock_release(&e->lock);
}

static void copy_locked(const struct ft_events *e, uint64_t number, struct ft_event_copy *ret)
{
    uint64_t at = *begin_locked(e, number);
    struct record r;

    get_locked(e, at, &r, sizeof(r));
    get_locked(e, at + sizeof(r), ret->texts, (size_t)r.name_len + r.text_len);
    ret->event = (struct ft_event){
        .change = (enum ft_event_change)r.change,
        .state = r.state,
        .has_hash = r.has_hash,
        .timed_out = r.timed_out,
        .version = r.version,
        .agent = r.agent,
        .hash = r.hash,
        .name = rn_slice(ret->texts, r.name_len),
        .text = rn_slice(ret->texts + r.name_len, r.text_len),
        .number = number,
        .time_ms = r.time_ms,
    };
}

static int read_locked(struct ft_events *e, struct place *p, uint64_t number,
                       struct ft_event_copy *ret)
{
    if (number < e->first)
        return -ESTALE;
    if (number < e->next) {
        copy_locked(e, number, ret);
        return 1;
    }
    if (ft_events_ended(e))
        return -ESHUTDOWN;
    e->n_waiting += !p->waiting;
    p->waiting = true;
    return 0;
}

int ft_events_read(struct ft_events *e, size_t place, uint64_t number, struct ft_event_copy *ret)
{
    rn_lock_acquire(&e->lock);
    int r = read_locked(e, &e->places[place], number, ret);
    rn_lock_release(&e->lock);
    return r;
}

void ft_events_rouse(struct ft_events *e)
{
    wake(e, true);
}

void ft_events_end(struct ft_events *e)
{
    atomic_store(&e->ended, true);
    wake(e, true);
}

bool ft_events_ended(const struct ft_events *e)
{
    return atomic_load(&e->ended);
}

void ft_events_collect(struct ft_events *e, struct rnet_metrics *out)
{
    rn_lock_acquire(&e->lock);
    size_t followers = e->n_taken;
    rn_lock_release(&e->lock);

    rnet_metrics_gauge(out, "fettle_event_followers", "Clients that follow events now.",
                       (double)followers);
    rnet_metrics_family(out, "fettle_events_total", RNET_COUNTER, "Events by type.");
    for (size_t t = 0; t < FT_EVENT_TYPE_COUNT; t++)
        rnet_metrics_count(out,
                           &(struct rnet_label){"type", ft_event_type_name((enum ft_event_type)t)},
                           1, atomic_load_explicit(&e->counts[t], memory_order_relaxed));
}
