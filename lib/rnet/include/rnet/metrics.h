/* Metrics in Prometheus' text format (0.0.4).
 *
 *     rnet_metrics_family(m, "fettle_agents", RNET_GAUGE, "Agents by status.");
 *     rnet_metrics_count(m, &(struct rnet_label){"status", "online"}, 1, n);
 *
 * The writer checks what it writes: a name that is no metric name, a sample without family, and a
 * family that comes twice are programming errors and make rnet_metrics_error() -EINVAL. No memory
 * is sticky too: -ENOMEM.
 */
#pragma once

#include <runnel/base.h>
#include <runnel/slice.h>

struct rnet_metrics;
enum rnet_metric_type { RNET_COUNTER, RNET_GAUGE, RNET_HISTOGRAM };
struct rnet_label {
    const char *name, *value; /* the value may hold any bytes but NUL; it is escaped */
};

RN_API int             rnet_metrics_new(struct rnet_metrics **ret_metrics);
RN_API void            rnet_metrics_free(struct rnet_metrics *m);
RN_API void            rnet_metrics_freep(struct rnet_metrics **m);
RN_API int             rnet_metrics_error(const struct rnet_metrics *m);
RN_API struct rn_slice rnet_metrics_text(const struct rnet_metrics *m); /* until the next call */

/* Begin a family: its samples follow until the next one begins. */
RN_API void rnet_metrics_family(struct rnet_metrics *m, const char *name,
                                enum rnet_metric_type type, const char *help);
RN_API void rnet_metrics_count(struct rnet_metrics *m, const struct rnet_label labels[], size_t n,
                               uint64_t value);
RN_API void rnet_metrics_value(struct rnet_metrics *m, const struct rnet_label labels[], size_t n,
                               double value);

/* A family of one sample without labels. */
RN_API void rnet_metrics_counter(struct rnet_metrics *m, const char *name, const char *help,
                                 uint64_t value);
RN_API void rnet_metrics_gauge(struct rnet_metrics *m, const char *name, const char *help,
                               double value);

/* A histogram of times that any thread may add to and read, without a lock. `bounds` ascend, in ns,
 * at most RNET_HISTOGRAM_MAX; the bucket above the last is implied. Zero-initialised but for
 * `bounds` and `n`. */
#define RNET_HISTOGRAM_MAX 24
struct rnet_histogram {
    const rn_time *bounds; /* set once */
    size_t         n;
    uint64_t       buckets[RNET_HISTOGRAM_MAX + 1]; /* any thread, atomically */
    uint64_t       sum_ns;                          /* any thread, atomically */
};
RN_API extern const rn_time rnet_histogram_bounds[16]; /* 100 us to 5 min: fits most */
/* clang-format off */
#define RNET_HISTOGRAM_INIT {.bounds = rnet_histogram_bounds, .n = 16}
/* clang-format on */

RN_API void rnet_histogram_observe(struct rnet_histogram *h, rn_time span);
/* In seconds: _bucket, _sum, _count of the family begun. */
RN_API void rnet_metrics_histogram(struct rnet_metrics *m, const struct rnet_label labels[],
                                   size_t n, const struct rnet_histogram *h);
