/* Decoding is the scan (which knows the schema), then one walk that checks what the schema cannot
 * say and counts, then the caller's own walk, sample by sample, over bytes that are known to be
 * good. A field that comes twice has its last value, as in protobuf. */
#include <proto/metrics.h>

#include <errno.h>
#include <math.h>

#include <proto/fettle.pb-c.h>

#include "wire.h"

enum {
    METRICS_BOOT_ID = 1,
    METRICS_SAMPLES = 2,
    ACK_BOOT_ID = 1,
    ACK_SEQ = 2,
};

static const struct ft_scan_limits scan_limits = FT_SCAN_LIMITS_DEFAULT;

static int fail(struct ft_fault *reterr, enum ft_fault_kind kind)
{
    if (reterr)
        *reterr = (struct ft_fault){.kind = kind};
    return -EBADMSG;
}

/* One field of scanned bytes; numbers in *ret_v, texts in *ret_s. */
static uint32_t take_field(struct rn_slice *in, uint64_t *ret_v, struct rn_slice *ret_s)
{
    enum ft_wire_type wire = FT_WIRE_VARINT;
    uint32_t          number = 0;
    bool              ok = ft_wire_tag(in, &number, &wire);

    switch (wire) {
    case FT_WIRE_BYTES: ok = ok && ft_wire_bytes(in, ret_s); break;
    case FT_WIRE_FIXED64: ok = ok && ft_wire_fixed64(in, ret_v); break;
    case FT_WIRE_FIXED32:
        ok = ok && in->len >= 4;
        *in = rn_slice_from(*in, 4);
        break;
    default: ok = ok && ft_wire_varint(in, FT_VARINT_MAX, ret_v); break;
    }
    if (!ok)
        *in =
            rn_slice_from(*in, in->len); /* cannot be, after the scan; end the walk all the same */
    return ok ? number : 0;
}

static void set_rate(struct ft_sample *s, uint64_t bits)
{
    double rate;

    memcpy(&rate, &bits, sizeof(rate));
    s->has_cpu_usage_rate = isfinite(rate);
    s->cpu_usage_rate = s->has_cpu_usage_rate ? rate : 0;
}

static void sample_decode(struct rn_slice in, struct ft_sample *ret)
{
    struct ft_sample s = {0};
    struct rn_slice  text = {0};
    uint64_t         v = 0;

    while (in.len > 0) {
        switch (take_field(&in, &v, &text)) {
        case 1: s.seq = v; break;
        case 2: s.timestamp_ms = (int64_t)v; break;
        case 3: s.host_name = text; break;
        case 4: s.ip = text; break;
        case 5: s.pid = (uint32_t)v; break;
        case 6: s.process_name = text; break;
        case 7: s.cmd = text; break;
        case 8: set_rate(&s, v); break;
        case 9: s.mem_usage = v; break;
        case 10: s.send_lines = v; break;
        default: break;
        }
    }
    *ret = s;
}

bool ft_metrics_next(struct ft_metrics *m, struct ft_sample *ret)
{
    struct rn_slice body = {0};
    uint64_t        v;

    while (m->rest.len > 0) {
        if (take_field(&m->rest, &v, &body) != METRICS_SAMPLES)
            continue;
        sample_decode(body, ret);
        return true;
    }
    return false;
}

/* The last boot_id, false when it has the wrong length. */
static bool take_boot_id(struct rn_slice in, uint32_t number, uint8_t boot_id[FT_BOOT_LEN])
{
    struct rn_slice found = {0}, body = {0};
    uint64_t        v;

    while (in.len > 0) {
        if (take_field(&in, &v, &body) == number)
            found = body;
    }
    if (found.len != FT_BOOT_LEN)
        return false;
    memcpy(boot_id, found.data, FT_BOOT_LEN);
    return true;
}

int ft_metrics_decode(struct rn_slice in, struct ft_metrics *ret, struct ft_fault *reterr)
{
    struct ft_metrics m = {.rest = in};
    struct ft_sample  s;
    int               r = ft_scan(in, &fettle__process_metrics__descriptor, &scan_limits, reterr);

    if (r < 0)
        return r;
    if (!take_boot_id(in, METRICS_BOOT_ID, m.boot_id))
        return fail(reterr, FT_FAULT_BOOT_ID);
    while (ft_metrics_next(&m, &s)) {
        if (s.seq <= m.last_seq)
            return fail(reterr, FT_FAULT_SEQ);
        if (m.count == FT_METRICS_SAMPLES_MAX)
            return fail(reterr, FT_FAULT_SAMPLES);
        if (m.count++ == 0)
            m.first_seq = s.seq;
        m.last_seq = s.seq;
        m.text_bytes += s.host_name.len + s.ip.len + s.process_name.len + s.cmd.len;
    }
    m.rest = in;
    *ret = m;
    return 0;
}

static size_t sample_body_size(const struct ft_sample *s)
{
    return ft_wire_uint_size(s->seq) + ft_wire_uint_size((uint64_t)s->timestamp_ms) +
           ft_wire_bytes_size(s->host_name.len) + ft_wire_bytes_size(s->ip.len) +
           ft_wire_uint_size(s->pid) + ft_wire_bytes_size(s->process_name.len) +
           ft_wire_bytes_size(s->cmd.len) + (s->has_cpu_usage_rate ? 9 : 0) +
           ft_wire_uint_size(s->mem_usage) + ft_wire_uint_size(s->send_lines);
}

size_t ft_sample_encoded_size(const struct ft_sample *s)
{
    size_t body = sample_body_size(s);

    return 1 + ft_wire_varint_size(body) + body;
}

/* A rate of 0 is a value, unlike a missing one, so it is written. */
static uint8_t *put_rate(uint8_t *at, const struct ft_sample *s)
{
    uint64_t bits;

    if (!s->has_cpu_usage_rate)
        return at;
    memcpy(&bits, &s->cpu_usage_rate, sizeof(bits));
    *at++ = 8 << 3 | FT_WIRE_FIXED64;
    for (int i = 0; i < 8; i++)
        *at++ = (uint8_t)(bits >> (8 * i));
    return at;
}

static uint8_t *put_sample(uint8_t *at, const struct ft_sample *s)
{
    at = ft_wire_put_head(at, METRICS_SAMPLES, sample_body_size(s));
    at = ft_wire_put_uint(at, 1, s->seq);
    at = ft_wire_put_uint(at, 2, (uint64_t)s->timestamp_ms);
    at = ft_wire_put_bytes(at, 3, s->host_name);
    at = ft_wire_put_bytes(at, 4, s->ip);
    at = ft_wire_put_uint(at, 5, s->pid);
    at = ft_wire_put_bytes(at, 6, s->process_name);
    at = ft_wire_put_bytes(at, 7, s->cmd);
    at = put_rate(at, s);
    at = ft_wire_put_uint(at, 9, s->mem_usage);
    return ft_wire_put_uint(at, 10, s->send_lines);
}

int ft_metrics_encode(const uint8_t boot_id[FT_BOOT_LEN], const struct ft_sample *samples,
                      size_t count, struct ft_buf *out)
{
    size_t   size = 2 + FT_BOOT_LEN;
    uint8_t *at;
    int      r;

    if (count > FT_METRICS_SAMPLES_MAX)
        return -EINVAL;
    for (size_t i = 0; i < count; i++)
        size += ft_sample_encoded_size(&samples[i]);
    r = ft_buf_reserve(out, size);
    if (r < 0)
        return r;

    at = ft_wire_put_bytes(out->data + out->len, METRICS_BOOT_ID, rn_slice(boot_id, FT_BOOT_LEN));
    for (size_t i = 0; i < count; i++)
        at = put_sample(at, &samples[i]);
    out->len = (size_t)(at - out->data);
    return 0;
}

size_t ft_metrics_ack_encode(const struct ft_metrics_ack *ack, uint8_t out[FT_METRICS_ACK_LEN_MAX])
{
    uint8_t *at = ft_wire_put_bytes(out, ACK_BOOT_ID, rn_slice(ack->boot_id, FT_BOOT_LEN));

    return (size_t)(ft_wire_put_uint(at, ACK_SEQ, ack->seq) - out);
}

int ft_metrics_ack_decode(struct rn_slice in, struct ft_metrics_ack *ret, struct ft_fault *reterr)
{
    struct ft_metrics_ack ack = {0};
    struct rn_slice       body = {0};
    uint64_t              v = 0;
    int                   r = ft_scan(in, &fettle__metrics_ack__descriptor, &scan_limits, reterr);

    if (r < 0)
        return r;
    if (!take_boot_id(in, ACK_BOOT_ID, ack.boot_id))
        return fail(reterr, FT_FAULT_BOOT_ID);
    while (in.len > 0) {
        if (take_field(&in, &v, &body) == ACK_SEQ)
            ack.seq = v;
    }
    *ret = ack;
    return 0;
}
