#include "metrics/shipment.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <base/assert.h>
#include <base/cleanup.h>

static void shipment_unrefp(struct ft_shipment **s)
{
    *s = ft_shipment_unref(*s);
}

int ft_shipment_new(const struct ft_pace *pace, struct ft_shipment **ret)
{
    CLEANUP(shipment_unrefp) struct ft_shipment *s = calloc(1, sizeof(*s));

    if (!s)
        return -ENOMEM;
    atomic_init(&s->refs, 1);
    s->body.max = SIZE_MAX;
    int r = ft_shipment_fit(s, pace);
    if (r < 0)
        return r;
    *ret = TAKE(s);
    return 0;
}

static int grow(void *array, size_t n, size_t size)
{
    void *old, *grown;

    memcpy(&old, array, sizeof(old));
    grown = reallocarray(old, n, size);
    if (!grown)
        return -ENOMEM;
    memcpy(array, &grown, sizeof(grown));
    return 0;
}

int ft_shipment_fit(struct ft_shipment *s, const struct ft_pace *pace)
{
    const size_t items = pace->rows_max, rows = pace->rows_max + FT_METRICS_SAMPLES_MAX;
    int r = 0;

    s->encoded = false;
    if (items <= s->items_max)
        return 0;
    r = grow(&s->items, items, sizeof(*s->items));
    if (r == 0)
        r = grow(&s->rows, rows, sizeof(*s->rows));
    if (r == 0)
        r = grow(&s->answer.items, rows, sizeof(*s->answer.items));
    if (r < 0)
        return r;
    s->items_max = items;
    s->rows_max = rows;
    return 0;
}

struct ft_shipment *ft_shipment_ref(struct ft_shipment *s)
{
    atomic_fetch_add_explicit(&s->refs, 1, memory_order_relaxed);
    return s;
}

struct ft_shipment *ft_shipment_unref(struct ft_shipment *s)
{
    if (!s || atomic_fetch_sub_explicit(&s->refs, 1, memory_order_acq_rel) > 1)
        return NULL;
    for (size_t i = 0; i < s->n_items; i++)
        (void)ft_batch_unref(s->items[i].batch);
    ft_buf_fini(&s->answer.reasons);
    ft_buf_fini(&s->body);
    free(s->answer.items);
    free(s->rows);
    free(s->items);
    free(s);
    return NULL;
}

void ft_shipment_add(struct ft_shipment *s, struct ft_batch *batch, rn_time since, bool required)
{
    rn_assert(s->n_items < s->items_max && s->n_rows + batch->count <= s->rows_max);
    s->items[s->n_items++] = (struct ft_shipment_item){
        .batch = batch, .since = since, .left = batch->count, .required = required};
    for (uint32_t i = 0; i < batch->count; i++)
        s->rows[s->n_rows++] = (struct ft_row){.batch = batch, .sample = &batch->samples[i]};
    s->bytes += batch->bytes;
    s->encoded = false;
}

bool ft_shipment_is_due(const struct ft_shipment *s, const struct ft_pace *pace)
{
    return s->n_rows >= pace->rows_max || s->bytes >= pace->bytes_max;
}

void ft_shipment_count(const struct ft_shipment *s, struct ft_shipment_news *ret)
{
    uint64_t n[FT_VERDICT_HOLD + 1] = {0};
    size_t stays = SIZE_MAX, rejected = SIZE_MAX;

    for (size_t i = s->n_rows; i-- > 0;) {
        const enum ft_verdict_kind kind = s->answer.items[i].kind;

        n[kind]++;
        if (kind == FT_VERDICT_REJECT)
            rejected = i;
        else if (kind != FT_VERDICT_OK && kind != FT_VERDICT_DUPLICATE && s->answer.items[i].reason)
            stays = i;
    }
    *ret = (struct ft_shipment_news){
        .delivered = n[FT_VERDICT_OK],
        .duplicate = n[FT_VERDICT_DUPLICATE],
        .rejected = n[FT_VERDICT_REJECT],
        .retry = n[FT_VERDICT_RETRY],
        .hold = n[FT_VERDICT_HOLD],
        .troubled_row = stays != SIZE_MAX ? stays : rejected,
    };
}

bool ft_row_is_decided(const struct ft_shipment *s, const struct ft_shipment_item *item, size_t row,
                       rn_time limit)
{
    const enum ft_verdict_kind kind = s->answer.items[row].kind;

    (void)item;
    (void)limit;
    return kind != FT_VERDICT_RETRY && kind != FT_VERDICT_HOLD;
}

bool ft_row_is_older(const struct ft_shipment *s, const struct ft_shipment_item *item, size_t row,
                     rn_time limit)
{
    (void)s;
    (void)row;
    return item->since < limit;
}

bool ft_row_is_any(const struct ft_shipment *s, const struct ft_shipment_item *item, size_t row,
                   rn_time limit)
{
    (void)s;
    (void)item;
    (void)row;
    (void)limit;
    return true;
}

static void items_remove_empty(struct ft_shipment *s, ft_item_decided_fn *decided, void *arg)
{
    size_t kept = 0;

    for (size_t i = 0; i < s->n_items; i++) {
        if (s->items[i].left == 0)
            decided(arg, &s->items[i]);
        else
            s->items[kept++] = s->items[i];
    }
    s->n_items = kept;
}

uint64_t ft_shipment_remove(struct ft_shipment *s, ft_row_goes_fn *goes, rn_time limit,
                            ft_item_decided_fn *decided, void *arg)
{
    struct ft_shipment_item *item = s->items;
    size_t kept = 0;
    uint64_t gone;

    for (size_t i = 0; i < s->n_rows; i++) {
        while (item->batch != s->rows[i].batch)
            item++;
        if (goes(s, item, i, limit))
            item->left--;
        else
            s->rows[kept++] = s->rows[i];
    }
    gone = s->n_rows - kept;
    s->n_rows = kept;
    if (gone > 0)
        s->encoded = false;
    items_remove_empty(s, decided, arg);
    if (s->n_rows == 0)
        s->bytes = 0;
    return gone;
}
