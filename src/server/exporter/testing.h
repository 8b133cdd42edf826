/* An exporter on its own, as its lane would call it. */
#pragma once

#include <harness/test.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <base/cleanup.h>

#include "exporter/types.h"

#define ROWS_MAX 4096

struct rig {
    const struct ft_exporter_type *type;
    void *self;
    struct ft_batch *batches[16];
    size_t n_batches;
    struct ft_row rows[ROWS_MAX];
    struct ft_verdict verdicts[ROWS_MAX];
    size_t n_rows;
    struct ft_buf body;
    struct ft_answer answer;
    struct ft_text_error error;
};

static inline struct rig *rig_new(const struct ft_exporter_type *type, const void *settings)
{
    struct rig *g = calloc(1, sizeof(*g));

    g->type = type;
    g->self = calloc(1, type->size);
    memcpy(g->self, settings, type->settings_size);
    ((struct ft_exporter_head *)g->self)->data_dir = test_dir();
    g->body.max = SIZE_MAX;
    g->answer.items = g->verdicts;
    return g;
}

static inline void rig_forget(struct rig *g)
{
    while (g->n_batches > 0)
        (void)ft_batch_unref(g->batches[--g->n_batches]);
    g->n_rows = 0;
}

static inline void rig_free(struct rig *g)
{
    rig_forget(g);
    g->type->close(g->self);
    ft_buf_fini(&g->body);
    ft_buf_fini(&g->answer.reasons);
    free(g->self);
    free(g);
}

static inline struct ft_sample rig_sample(uint64_t seq)
{
    return (struct ft_sample){.seq = seq,
                              .timestamp_ms = 1700000000000 + (int64_t)seq,
                              .process_name = rn_slice_str("shipper"),
                              .host_name = rn_slice_str("web-1"),
                              .ip = rn_slice_str("10.0.0.1"),
                              .cmd = rn_slice_str("./shipper --config \"a b\""),
                              .pid = 42,
                              .has_cpu_usage_rate = seq > 1,
                              .cpu_usage_rate = 0.1,
                              .mem_usage = 1 << 20,
                              .send_lines = seq};
}

static inline void rig_add(struct rig *g, const struct ft_sample *samples, size_t n)
{
    const struct ft_uuid agent = ft_uuid_make(1, (const uint8_t[10]){1}),
                         boot = ft_uuid_make(2, (const uint8_t[10]){2});
    struct ft_batch *b;

    OK(ft_batch_new_from(&agent, &boot, samples, n, &b));
    g->batches[g->n_batches++] = b;
    for (size_t i = 0; i < n; i++)
        g->rows[g->n_rows++] = (struct ft_row){b, &b->samples[i]};
}

/* Forget what was there; samples first, first + 1, ... */
static inline void rig_fill(struct rig *g, uint64_t first, size_t n)
{
    static struct ft_sample samples[ROWS_MAX];

    rig_forget(g);
    for (size_t i = 0; i < n; i++)
        samples[i] = rig_sample(first + i);
    rig_add(g, samples, n);
}

static inline int rig_open(struct rig *g)
{
    return g->type->open(g->self, &g->error);
}

static inline int rig_send(struct rig *g, rn_time deadline)
{
    const struct ft_rows rows = {g->rows, g->n_rows};

    ft_answer_reset(&g->answer, g->n_rows);
    ft_buf_clear(&g->body);
    if (g->type->encode)
        OK(g->type->encode(g->self, &rows, &g->body));
    return g->type->send(g->self, &rows, ft_buf_slice(&g->body), &g->answer, deadline);
}

static inline size_t rig_count(const struct rig *g, enum ft_verdict_kind kind)
{
    size_t n = 0;

    for (size_t i = 0; i < g->n_rows; i++)
        n += g->verdicts[i].kind == kind;
    return n;
}

static inline const char *rig_path(const char *name)
{
    static char path[600];

    (void)snprintf(path, sizeof(path), "%s/%s", test_dir(), name);
    return path;
}

/* A small disk of our own at test_dir()/disk; skips the test where that is not allowed. */
void small_disk_mount(const char *size);
void small_disk_fill(void);
void small_disk_free(void); /* the filler goes */
