#include <rnet/metrics.h>

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include <base/cleanup.h>

#define FAMILIES_MAX 512

struct rnet_metrics {
    int error; /* sticky */
    FILE *out; /* onto text */
    char *text;
    size_t len;
    const char *family; /* the one begun */
    size_t n_names;
    char *names[FAMILIES_MAX]; /* owned: what has been begun so far */
};

const rn_time rnet_histogram_bounds[16] = {
    100 * RN_US, 250 * RN_US, 1 * RN_MS,   2500 * RN_US, 5 * RN_MS,   10 * RN_MS,
    25 * RN_MS,  50 * RN_MS,  100 * RN_MS, 250 * RN_MS,  500 * RN_MS, 1 * RN_S,
    5 * RN_S,    10 * RN_S,   60 * RN_S,   300 * RN_S,
};

int rnet_metrics_new(struct rnet_metrics **ret_metrics)
{
    CLEANUP(rnet_metrics_freep) struct rnet_metrics *m = calloc(1, sizeof(*m));

    if (!m)
        return -ENOMEM;
    m->out = open_memstream(&m->text, &m->len);
    if (!m->out)
        return -ENOMEM;
    *ret_metrics = TAKE(m);
    return 0;
}

void rnet_metrics_free(struct rnet_metrics *m)
{
    if (!m)
        return;
    if (m->out)
        fclose(m->out);
    for (size_t i = 0; i < m->n_names; i++)
        free(m->names[i]);
    free(m->text);
    free(m);
}

void rnet_metrics_freep(struct rnet_metrics **m)
{
    rnet_metrics_free(*m);
    *m = NULL;
}

int rnet_metrics_error(const struct rnet_metrics *m)
{
    return m->error ? m->error : ferror(m->out) ? -ENOMEM : 0;
}

struct rn_slice rnet_metrics_text(const struct rnet_metrics *m)
{
    return fflush(m->out) == 0 ? rn_slice(m->text, m->len) : (struct rn_slice){0};
}

static void fail(struct rnet_metrics *m, int error)
{
    if (!m->error)
        m->error = error;
}

static bool is_name(const char *name, bool label)
{
    if (!*name || isdigit((unsigned char)*name))
        return false;
    for (const char *c = name; *c; c++)
        if (!isalnum((unsigned char)*c) && *c != '_' && (label || *c != ':'))
            return false;
    return true;
}

/* Backslash and line feed are escaped, and in label values the quote too. */
static void put_escaped(FILE *out, const char *text, bool quotes)
{
    for (const char *c = text; *c; c++) {
        if (*c == '\n')
            fputs("\\n", out);
        else if (*c == '\\' || (quotes && *c == '"'))
            fprintf(out, "\\%c", *c);
        else
            fputc(*c, out);
    }
}

/* Remember the name: a second family of that name would make the whole page unreadable. */
static int begin_family(struct rnet_metrics *m, const char *name)
{
    m->family = NULL;
    if (!is_name(name, false) || m->n_names == FAMILIES_MAX)
        return -EINVAL;
    for (size_t i = 0; i < m->n_names; i++)
        if (strcmp(m->names[i], name) == 0)
            return -EINVAL;
    char *copy = strdup(name);
    if (!copy)
        return -ENOMEM;
    m->names[m->n_names++] = copy;
    m->family = copy;
    return 0;
}

void rnet_metrics_family(struct rnet_metrics *m, const char *name, enum rnet_metric_type type,
                         const char *help)
{
    static const char *const types[] = {"counter", "gauge", "histogram"};
    int r = begin_family(m, name);

    if (r < 0) {
        fail(m, r);
        return;
    }
    fprintf(m->out, "# HELP %s ", name);
    put_escaped(m->out, help, false);
    fprintf(m->out, "\n# TYPE %s %s\n", name, types[type]);
}

/* name_suffix{labels,extra="..."} and a space. False when there is nothing to write it to. */
static bool begin_sample(struct rnet_metrics *m, const char *suffix,
                         const struct rnet_label labels[], size_t n, const struct rnet_label *extra)
{
    if (!m->family) {
        fail(m, -EINVAL);
        return false;
    }
    fprintf(m->out, "%s%s", m->family, suffix);
    for (size_t i = 0; i < n + !!extra; i++) {
        const struct rnet_label *l = i < n ? &labels[i] : extra;

        if (!is_name(l->name, true))
            fail(m, -EINVAL);
        fprintf(m->out, "%c%s=\"", i ? ',' : '{', l->name);
        put_escaped(m->out, l->value, true);
        fputc('"', m->out);
    }
    fputs(n || extra ? "} " : " ", m->out);
    return true;
}

static void put_value(FILE *out, double value)
{
    if (isnan(value))
        fputs("NaN\n", out);
    else if (isinf(value))
        fputs(value > 0 ? "+Inf\n" : "-Inf\n", out);
    else
        fprintf(out, "%.15g\n", value);
}

void rnet_metrics_count(struct rnet_metrics *m, const struct rnet_label labels[], size_t n,
                        uint64_t value)
{
    if (begin_sample(m, "", labels, n, NULL))
        fprintf(m->out, "%" PRIu64 "\n", value);
}

void rnet_metrics_value(struct rnet_metrics *m, const struct rnet_label labels[], size_t n,
                        double value)
{
    if (begin_sample(m, "", labels, n, NULL))
        put_value(m->out, value);
}

void rnet_metrics_counter(struct rnet_metrics *m, const char *name, const char *help,
                          uint64_t value)
{
    rnet_metrics_family(m, name, RNET_COUNTER, help);
    rnet_metrics_count(m, NULL, 0, value);
}

void rnet_metrics_gauge(struct rnet_metrics *m, const char *name, const char *help, double value)
{
    rnet_metrics_family(m, name, RNET_GAUGE, help);
    rnet_metrics_value(m, NULL, 0, value);
}

void rnet_histogram_observe(struct rnet_histogram *h, rn_time span)
{
    size_t i = 0;

    if (span < 0)
        span = 0;
    while (i < h->n && span > h->bounds[i])
        i++;
    __atomic_fetch_add(&h->sum_ns, (uint64_t)span, __ATOMIC_RELAXED);
    __atomic_fetch_add(&h->buckets[i], 1, __ATOMIC_RELAXED);
}

/* _count is the sum of the buckets that were read, so the two always agree. */
void rnet_metrics_histogram(struct rnet_metrics *m, const struct rnet_label labels[], size_t n,
                            const struct rnet_histogram *h)
{
    uint64_t total = 0;
    char bound[32];

    for (size_t i = 0; i <= h->n; i++) {
        struct rnet_label le = {"le", i < h->n ? bound : "+Inf"};

        if (i < h->n)
            snprintf(bound, sizeof(bound), "%.9g", (double)h->bounds[i] / 1e9);
        total += __atomic_load_n(&h->buckets[i], __ATOMIC_RELAXED);
        if (begin_sample(m, "_bucket", labels, n, &le))
            fprintf(m->out, "%" PRIu64 "\n", total);
    }
    if (begin_sample(m, "_sum", labels, n, NULL))
        put_value(m->out, (double)__atomic_load_n(&h->sum_ns, __ATOMIC_RELAXED) / 1e9);
    if (begin_sample(m, "_count", labels, n, NULL))
        fprintf(m->out, "%" PRIu64 "\n", total);
}
