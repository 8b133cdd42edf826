/* Stacks of all tasks, grouped; and as profile.proto, which pprof, Parca, Pyroscope and others
 * read.
 *
 * A group is a stack with the name of its tasks and the reason of their wait. Identifiers in the
 * profile are numbered from 1 without a gap, texts are indices into one table whose first is empty,
 * addresses lie inside of the calls.
 */
#include "debug_internal.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <libdeflate.h>

#include <base/cleanup.h>

/* ---- groups ---------------------------------------------------------------------------------- */

static const char *wait_of(const struct rn_task_info *t)
{
    return t->state == RN_TASK_RUNNING    ? "running"
           : t->state == RN_TASK_RUNNABLE ? "runnable"
                                          : rn_wait_name(t->wait);
}

static uint64_t trace_hash(const struct rn_trace *t)
{
    uint64_t h = (uintptr_t)t->task.name ^ (uint64_t)t->task.wait << 32 ^ (uint64_t)t->task.state;

    for (unsigned i = 0; i < t->n; i++) {
        h = (h ^ t->pcs[i]) * UINT64_C(0x9e3779b97f4a7c15);
        h ^= h >> 29;
    }
    return h;
}

static bool stack_is(const struct rnet__stack *s, const struct rn_trace *t, uint64_t hash)
{
    if (s->hash != hash || s->n_all != t->n || s->name != t->task.name ||
        s->wait != wait_of(&t->task))
        return false;
    for (unsigned i = 0; i < s->n; i++)
        if (s->pcs[s->n - 1 - i] != rn_trace_pc(t, t->n - 1 - i))
            return false;
    return true;
}

static int table_widen(struct rnet__stacks *all)
{
    size_t max = all->max ? 2 * all->max : 256;
    struct rnet__stack **table = calloc(max, sizeof(*table));

    if (!table)
        return -ENOMEM;
    for (size_t i = 0; i < all->max; i++) {
        for (struct rnet__stack *s = all->table[i], *next; s; s = next) {
            next = s->next;
            s->next = table[s->hash % max];
            table[s->hash % max] = s;
        }
    }
    free(all->table);
    all->table = table;
    all->max = max;
    return 0;
}

static int stack_add(struct rnet__stacks *all, const struct rn_trace *t)
{
    uint64_t hash = trace_hash(t);
    struct rnet__stack *s;

    if (all->n >= all->max && table_widen(all) < 0)
        return -ENOMEM;
    for (s = all->table[hash % all->max]; s && !stack_is(s, t, hash);)
        s = s->next;
    if (!s) {
        unsigned first = rn_trace_first(t);
        s = calloc(1, sizeof(*s) + (t->n - first) * sizeof(s->pcs[0]));
        if (!s)
            return -ENOMEM;
        *s = (struct rnet__stack){.next = all->table[hash % all->max],
                                  .hash = hash,
                                  .name = t->task.name,
                                  .wait = wait_of(&t->task),
                                  .n = t->n - first,
                                  .n_all = t->n};
        for (unsigned i = 0; i < s->n; i++)
            s->pcs[i] = rn_trace_pc(t, first + i);
        all->table[hash % all->max] = s;
        all->n++;
    }
    s->count++;
    all->total++;
    return 0;
}

struct reading {
    struct rnet__stacks *all;
    int error;
};

static bool read_one(void *arg, const struct rn_trace *t)
{
    struct reading *r = arg;

    r->error = stack_add(r->all, t);
    return r->error == 0;
}

static int by_count(const void *a, const void *b)
{
    const struct rnet__stack *x = *(struct rnet__stack *const *)a;
    const struct rnet__stack *y = *(struct rnet__stack *const *)b;

    if (x->count != y->count)
        return x->count < y->count ? 1 : -1;
    return (x->hash > y->hash) - (x->hash < y->hash);
}

int rnet__stacks_read(const struct rn_runtime *rt, struct rnet__stacks *ret_stacks)
{
    struct rnet__stacks *all = ret_stacks;
    struct reading reading = {.all = all};
    size_t n = 0;
    int r;

    *all = (struct rnet__stacks){0};
    r = rn_traces_each(rt, read_one, &reading);
    if (r < 0 || reading.error < 0)
        return -ENOMEM;
    all->sorted = calloc(all->n + 1, sizeof(struct rnet__stack *));
    if (!all->sorted)
        return -ENOMEM;
    for (size_t i = 0; i < all->max; i++)
        for (struct rnet__stack *s = all->table[i]; s; s = s->next)
            all->sorted[n++] = s;
    qsort(all->sorted, n, sizeof(struct rnet__stack *), by_count);
    return 0;
}

void rnet__stacks_free(struct rnet__stacks *all)
{
    for (size_t i = 0; i < all->max; i++) {
        for (struct rnet__stack *s = all->table[i], *next; s; s = next) {
            next = s->next;
            free(s);
        }
    }
    free(all->table);
    free(all->sorted);
}

/* ---- protobuf -------------------------------------------------------------------------------- */

struct pb {
    uint8_t *bytes;
    size_t n, max;
    bool bad; /* no memory */
};

static void pb_raw(struct pb *b, const void *bytes, size_t n)
{
    if (b->n + n > b->max && !b->bad) {
        size_t max = 2 * (b->n + n) + 256;
        uint8_t *wider = realloc(b->bytes, max);
        b->bad = wider == NULL;
        if (wider) {
            b->bytes = wider;
            b->max = max;
        }
    }
    if (b->bad || n == 0)
        return;
    memcpy(b->bytes + b->n, bytes, n);
    b->n += n;
}

static void pb_varint(struct pb *b, uint64_t v)
{
    uint8_t byte;

    do {
        byte = (uint8_t)((v & 0x7f) | (v > 0x7f ? 0x80 : 0));
        pb_raw(b, &byte, 1);
    } while (v >>= 7);
}

static void pb_uint(struct pb *b, unsigned field, uint64_t v)
{
    if (v == 0)
        return;
    pb_varint(b, field << 3);
    pb_varint(b, v);
}

static void pb_bytes(struct pb *b, unsigned field, const void *bytes, size_t n)
{
    pb_varint(b, field << 3 | 2);
    pb_varint(b, n);
    pb_raw(b, bytes, n);
}

/* A message inside of a message; the inner one is emptied, for the next. */
static void pb_message(struct pb *b, unsigned field, struct pb *inner)
{
    b->bad |= inner->bad;
    pb_bytes(b, field, inner->bytes, inner->n);
    inner->n = 0;
}

/* ---- the profile ----------------------------------------------------------------------------- */

enum {
    PROFILE_SAMPLE_TYPE = 1,
    PROFILE_SAMPLE,
    PROFILE_MAPPING,
    PROFILE_LOCATION,
    PROFILE_FUNCTION,
    PROFILE_STRING
};
enum { PROFILE_TIME = 9, PROFILE_PERIOD_TYPE = 11, PROFILE_PERIOD, PROFILE_COMMENT };

/* What has been given a number: texts and functions by pointer or content, locations by address. */
struct numbered {
    uint64_t *keys; /* sorted by insertion; looked up through `slots` */
    uint32_t *slots;
    size_t n, max;
};

/* The number of the key, from 1; *ret_new: it is the first time. 0: no memory. */
static uint32_t number_of(struct numbered *t, uint64_t key, bool *ret_new)
{
    *ret_new = false;
    if (2 * t->n >= t->max) {
        size_t max = t->max ? 2 * t->max : 256;
        uint64_t *keys = realloc(t->keys, max * sizeof(*keys));
        uint32_t *slots = keys ? calloc(max, sizeof(*slots)) : NULL;
        if (keys)
            t->keys = keys;
        if (!slots)
            return 0;
        free(t->slots);
        t->slots = slots;
        t->max = max;
        for (size_t i = 0; i < t->n; i++) {
            size_t at = (keys[i] * UINT64_C(0x9e3779b97f4a7c15)) >> 32;
            while (slots[at % max])
                at++;
            slots[at % max] = (uint32_t)i + 1;
        }
    }
    for (size_t at = (key * UINT64_C(0x9e3779b97f4a7c15)) >> 32;; at++) {
        uint32_t *slot = &t->slots[at % t->max];
        if (*slot && t->keys[*slot - 1] == key)
            return *slot;
        if (*slot)
            continue;
        t->keys[t->n++] = key;
        *slot = (uint32_t)t->n;
        *ret_new = true;
        return *slot;
    }
}

static void numbered_free(struct numbered *t)
{
    free(t->keys);
    free(t->slots);
}

struct profile {
    struct pb out, inner, inner2;
    struct numbered texts, locations, functions;
    bool unnamed; /* an address without a name */
};

/* Texts are told apart by address: those of symbols and sites live as long as the process, and one
 * that is there twice only costs its bytes. */
static uint64_t text(struct profile *p, const char *s)
{
    bool is_new;
    uint32_t n;

    if (!s || !*s)
        return 0;
    n = number_of(&p->texts, (uintptr_t)s, &is_new);
    if (is_new)
        pb_bytes(&p->out, PROFILE_STRING, s, strlen(s));
    p->out.bad |= n == 0;
    return n;
}

static void value_type(struct profile *p, unsigned field, const char *type, const char *unit)
{
    uint64_t t = text(p, type), u = text(p, unit);

    pb_uint(&p->inner, 1, t);
    pb_uint(&p->inner, 2, u);
    pb_message(&p->out, field, &p->inner);
}

static uint64_t mapping_of(uintptr_t pc)
{
    struct rn_module m;

    for (size_t i = 0; rn_module_at(i, &m); i++)
        if (pc >= m.start && pc < m.end)
            return i + 1;
    return 0;
}

static uint64_t function_of(struct profile *p, const struct rn_symbol *s)
{
    bool is_new;
    uint32_t id = number_of(&p->functions, s->start, &is_new);

    if (!is_new)
        return id;
    uint64_t name = text(p, s->name), file = text(p, s->file);
    pb_uint(&p->inner, 1, id);
    pb_uint(&p->inner, 2, name);
    pb_uint(&p->inner, 3, name);
    pb_uint(&p->inner, 4, file);
    pb_message(&p->out, PROFILE_FUNCTION, &p->inner);
    return id;
}

static uint64_t location_of(struct profile *p, uintptr_t pc)
{
    struct rn_symbol s;
    uint64_t function;
    bool is_new;
    uint32_t id = number_of(&p->locations, pc, &is_new);

    p->out.bad |= id == 0;
    if (!is_new)
        return id;
    rn_symbol_at(pc, &s);
    function = s.name ? function_of(p, &s) : 0;
    p->unnamed |= !s.name;
    pb_uint(&p->inner, 1, id);
    pb_uint(&p->inner, 2, mapping_of(pc));
    pb_uint(&p->inner, 3, pc);
    if (function) {
        pb_uint(&p->inner2, 1, function);
        pb_uint(&p->inner2, 2, (uint64_t)(s.line > 0 ? s.line : 0));
        pb_message(&p->inner, 4, &p->inner2);
    }
    pb_message(&p->out, PROFILE_LOCATION, &p->inner);
    return id;
}

static void label(struct profile *p, struct pb *sample, const char *key, const char *value)
{
    uint64_t k = text(p, key), v = text(p, value);

    pb_uint(&p->inner2, 1, k);
    pb_uint(&p->inner2, 2, v);
    pb_message(sample, 3, &p->inner2);
}

static void sample(struct profile *p, const struct rnet__stack *s)
{
    struct pb ids = {0}, count = {0}, out = {0};

    for (unsigned i = 0; i < s->n; i++)
        pb_varint(&ids, location_of(p, s->pcs[i]));
    pb_varint(&count, s->count);
    pb_message(&out, 1, &ids);
    pb_message(&out, 2, &count);
    label(p, &out, "name", s->name);
    label(p, &out, "wait", s->wait);
    pb_message(&p->out, PROFILE_SAMPLE, &out);
    free(ids.bytes);
    free(count.bytes);
    free(out.bytes);
}

static void mappings(struct profile *p)
{
    struct rn_module m;

    for (size_t i = 0; rn_module_at(i, &m); i++) {
        uint64_t path = text(p, m.path), build_id = text(p, m.build_id);
        pb_uint(&p->inner, 1, i + 1);
        pb_uint(&p->inner, 2, m.start);
        pb_uint(&p->inner, 3, m.end);
        pb_uint(&p->inner, 4, m.offset);
        pb_uint(&p->inner, 5, path);
        pb_uint(&p->inner, 6, build_id);
        for (unsigned field = 7; field <= 9; field++)
            pb_uint(&p->inner, field, !p->unnamed);
        pb_message(&p->out, PROFILE_MAPPING, &p->inner);
    }
}

static void profile_write(struct profile *p, const struct rnet__stacks *stacks, const char *type)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    pb_bytes(&p->out, PROFILE_STRING, "", 0);
    value_type(p, PROFILE_SAMPLE_TYPE, type, "count");
    for (size_t i = 0; i < stacks->n; i++)
        sample(p, stacks->sorted[i]);
    mappings(p);
    pb_uint(&p->out, PROFILE_TIME, (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec);
    value_type(p, PROFILE_PERIOD_TYPE, type, "count");
    pb_uint(&p->out, PROFILE_PERIOD, 1);
}

static int gzip(const struct pb *in, uint8_t **ret_bytes, size_t *ret_n)
{
    struct libdeflate_compressor *c = libdeflate_alloc_compressor(1);
    CLEANUP(freep) uint8_t *out = NULL;
    size_t max;

    if (!c)
        return -ENOMEM;
    max = libdeflate_gzip_compress_bound(c, in->n);
    out = malloc(max);
    *ret_n = out ? libdeflate_gzip_compress(c, in->bytes, in->n, out, max) : 0;
    libdeflate_free_compressor(c);
    if (*ret_n == 0)
        return -ENOMEM;
    *ret_bytes = TAKE(out);
    return 0;
}

int rnet__profile_make(const struct rnet__stacks *stacks, const char *type, uint8_t **ret_bytes,
                       size_t *ret_n)
{
    struct profile p = {0};
    int r;

    profile_write(&p, stacks, type);
    r = p.out.bad ? -ENOMEM : gzip(&p.out, ret_bytes, ret_n);
    free(p.out.bytes);
    free(p.inner.bytes);
    free(p.inner2.bytes);
    numbered_free(&p.texts);
    numbered_free(&p.locations);
    numbered_free(&p.functions);
    return r;
}
