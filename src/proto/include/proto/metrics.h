/* Process metrics on the wire: ProcessMetrics up, MetricsAck down (fettle.proto), without
 * allocation.
 *
 *     struct ft_metrics m;
 *     struct ft_sample s;
 *     r = ft_metrics_decode(custom_data, &m, &fault);     // judges the whole message
 *     while (ft_metrics_next(&m, &s))                     // cannot fail any more
 *         use(&s);
 *
 * Texts are slices of the input, valid UTF-8 without NUL.
 */
#pragma once

#include <proto/buf.h>
#include <proto/scan.h>

/* One measurement of one process. With agent and boot, `seq` is its identity. */
struct ft_sample {
    uint64_t        seq;          /* from 1 */
    int64_t         timestamp_ms; /* since the epoch, UTC */
    struct rn_slice process_name;
    struct rn_slice host_name;
    struct rn_slice ip;
    struct rn_slice cmd;
    uint32_t        pid;
    bool            has_cpu_usage_rate; /* false: null */
    double          cpu_usage_rate;     /* finite */
    uint64_t        mem_usage;          /* bytes */
    uint64_t        send_lines;
};

struct ft_metrics {
    uint8_t         boot_id[FT_BOOT_LEN];
    uint32_t        count;     /* samples */
    uint64_t        first_seq; /* 0 when there are none */
    uint64_t        last_seq;
    size_t          text_bytes; /* of all texts together */
    struct rn_slice rest;       /* ft_metrics_next() only */
};

/* Returns: 0, or -EBADMSG: malformed, boot_id not 16 bytes, more than FT_METRICS_SAMPLES_MAX
 * samples, a seq of 0 or not greater than the one before. A CPU rate that is not finite reads as
 * null. */
int ft_metrics_decode(struct rn_slice in, struct ft_metrics *ret, struct ft_fault *reterr);

/* The next sample, in the order of seq; false at the end. */
bool ft_metrics_next(struct ft_metrics *m, struct ft_sample *ret);

/* Append ProcessMetrics. Texts must be valid (ft_text_clean()). Returns: 0, -EINVAL (more than
 * FT_METRICS_SAMPLES_MAX), -E2BIG, -ENOMEM. */
int ft_metrics_encode(const uint8_t boot_id[FT_BOOT_LEN], const struct ft_sample *samples,
                      size_t count, struct ft_buf *out);

/* Bytes that one sample adds to a ProcessMetrics, to fill a message up to its maximum. */
size_t ft_sample_encoded_size(const struct ft_sample *s);

struct ft_metrics_ack {
    uint8_t  boot_id[FT_BOOT_LEN];
    uint64_t seq; /* everything up to here is decided */
};

/* The longest encoded ack. */
#define FT_METRICS_ACK_LEN_MAX 29

/* Write the ack, return its length. */
size_t ft_metrics_ack_encode(const struct ft_metrics_ack *ack, uint8_t out[FT_METRICS_ACK_LEN_MAX]);

/* Returns: 0 or -EBADMSG. */
int ft_metrics_ack_decode(struct rn_slice in, struct ft_metrics_ack *ret, struct ft_fault *reterr);
