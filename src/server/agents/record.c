/* Big-endian, field by field: the file may be moved to another machine. */
#include "agents/record.h"

#include <errno.h>
#include <string.h>

/* 1 had no `offered`. */
#define VERSION 2

/* What of the bits outlives the process. */
#define STORED_BITS                                                                                \
    (FT_AGENT_STATE_KNOWN | FT_AGENT_HAS_EFFECTIVE | FT_AGENT_HAS_REPORTED |                       \
     FT_AGENT_HAS_APPLIED | FT_AGENT_SAYS_GOODBYE | FT_AGENT_TIMED_OUT | FT_AGENT_TAKES_ACKS)

#define FIXED_LEN (1 + 4 + 3 + 5 * 8 + 4 + 3 * FT_HASH_LEN)
#define BLOBS 5

struct blobs {
    struct ft_blob **items[BLOBS];
};

static struct blobs blobs_of(struct ft_agent *a)
{
    return (struct blobs){
        {&a->description, &a->health, &a->effective, &a->status_error, &a->remote_address}};
}

/* ---- writing ---- */

static void add_hash(struct ft_buf *b, const struct ft_hash *h)
{
    ft_buf_add(b, h->bytes, sizeof(h->bytes));
}

static void add_blob(struct ft_buf *b, const struct ft_blob *blob)
{
    ft_buf_add_be32(b, blob ? blob->len : 0);
    ft_buf_add_slice(b, ft_blob_slice(blob));
}

int ft_record_encode(const struct ft_agent *a, struct ft_buf *b)
{
    ft_buf_add_byte(b, VERSION);
    ft_buf_add_be32(b, a->bits & STORED_BITS);
    ft_buf_add_byte(b, a->liveness);
    ft_buf_add_byte(b, a->transport);
    ft_buf_add_byte(b, a->status);
    ft_buf_add_be64(b, a->capabilities);
    ft_buf_add_be64(b, (uint64_t)a->connected_since_ms);
    ft_buf_add_be64(b, (uint64_t)a->interval);
    ft_buf_add_be64(b, a->failed);
    ft_buf_add_be64(b, a->offered);
    ft_buf_add_be32(b, a->settings_s);
    add_hash(b, &a->effective_hash);
    add_hash(b, &a->reported_hash);
    add_hash(b, &a->applied_hash);
    add_blob(b, a->description);
    add_blob(b, a->health);
    add_blob(b, a->effective);
    add_blob(b, a->status_error);
    add_blob(b, a->remote_address);
    return ft_buf_error(b);
}

size_t ft_record_size(const struct ft_agent *a)
{
    return FIXED_LEN + BLOBS * 4 + ft_blob_slice(a->description).len +
           ft_blob_slice(a->health).len + ft_blob_slice(a->effective).len +
           ft_blob_slice(a->status_error).len + ft_blob_slice(a->remote_address).len;
}

/* ---- copies ---- */

void ft_record_copy_locked(const struct ft_agent *a, struct ft_agent *ret)
{
    *ret = *a;
    struct blobs blobs = blobs_of(ret);

    for (size_t i = 0; i < BLOBS; i++)
        (void)ft_blob_ref(*blobs.items[i]);
    ret->rendered = NULL;
    ret->render_error = NULL;
}

void ft_record_fini(struct ft_agent *copy)
{
    struct blobs blobs = blobs_of(copy);

    for (size_t i = 0; i < BLOBS; i++)
        ft_blob_unrefp(blobs.items[i]);
}

void ft_record_slim(struct ft_agent *copy)
{
    ft_record_fini(copy);
    copy->bits &= ~(uint32_t)(FT_AGENT_STATE_KNOWN | FT_AGENT_HAS_EFFECTIVE);
}

/* ---- reading: a reader that remembers when it ran dry, so that callers ask once ---- */

struct reader {
    struct rn_slice in;
    bool dry;
};

static struct rn_slice take(struct reader *r, size_t n)
{
    struct rn_slice s = {r->in.data, n};

    if (r->dry || n > r->in.len) {
        r->dry = true;
        return (struct rn_slice){0};
    }
    r->in = rn_slice_from(r->in, n);
    return s;
}

static uint64_t take_number(struct reader *r, size_t bytes)
{
    struct rn_slice s = take(r, bytes);
    uint64_t v = 0;

    for (size_t i = 0; i < s.len; i++)
        v = v << 8 | s.data[i];
    return v;
}

static void take_hash(struct reader *r, struct ft_hash *ret)
{
    struct rn_slice s = take(r, sizeof(ret->bytes));

    if (s.data)
        memcpy(ret->bytes, s.data, sizeof(ret->bytes));
}

static void take_fixed(struct reader *r, unsigned version, struct ft_agent *a)
{
    a->bits = (uint32_t)take_number(r, 4) & STORED_BITS;
    a->liveness = (uint8_t)take_number(r, 1);
    a->transport = (uint8_t)take_number(r, 1);
    a->status = (uint8_t)take_number(r, 1);
    a->capabilities = take_number(r, 8);
    a->connected_since_ms = (int64_t)take_number(r, 8);
    a->interval = (rn_time)take_number(r, 8);
    a->failed = take_number(r, 8);
    a->offered = version < 2 ? a->failed : take_number(r, 8);
    a->settings_s = (uint32_t)take_number(r, 4);
    take_hash(r, &a->effective_hash);
    take_hash(r, &a->reported_hash);
    take_hash(r, &a->applied_hash);
}

static int take_blobs(struct ft_registry *registry, struct reader *r, struct ft_agent *a)
{
    struct blobs blobs = blobs_of(a);

    for (size_t i = 0; i < BLOBS; i++) {
        int e = ft_agent_set_blob(registry, blobs.items[i], take(r, take_number(r, 4)));
        if (e < 0)
            return e == -E2BIG ? -EBADMSG : e;
    }
    return 0;
}

static bool is_sane(const struct ft_agent *a)
{
    return a->liveness < FT_LIVENESS_COUNT && a->transport < FT_TRANSPORT_COUNT && a->status < 4 &&
           a->interval >= RN_S && a->interval <= FT_INTERVAL_MAX;
}

int ft_record_decode(struct ft_registry *registry, struct rn_slice in, struct ft_agent *a)
{
    struct reader r = {.in = in};

    const unsigned version = (unsigned)take_number(&r, 1);

    if (version < 1 || version > VERSION)
        return r.dry ? -EBADMSG : -ENOTSUP;
    take_fixed(&r, version, a);
    int e = take_blobs(registry, &r, a);
    if (e == 0 && (r.dry || r.in.len != 0 || !is_sane(a)))
        e = -EBADMSG;
    if (e < 0)
        ft_record_fini(a);
    return e;
}
