/* A shipment: the batches that one send carries, from the moment the first is gathered until each
 * of their samples is decided.
 *
 *     gather (items and rows grow) -> send (only the answer changes) -> judge (what is decided goes)
 *                                       ^---------------- what stays ------------------
 *
 * The rows of one batch lie together, in the order of the items.
 */
#pragma once

#include "exporter/exporter.h"

struct ft_shipment_item {
    struct ft_batch *batch; /* a reference */
    rn_time since;          /* when it was offered */
    uint32_t left;          /* samples that are not decided */
    bool required;          /* the lane was, when it was offered */
};

struct ft_shipment {
    /* the lane's task; while a send is under way nobody changes it */
    size_t items_max, rows_max;
    struct ft_shipment_item *items;
    struct ft_row *rows;
    size_t n_items, n_rows, bytes;

    /* who sends; the lane's task between two sends */
    struct ft_buf body;
    bool encoded; /* body fits the rows: tried again with the very same bytes */
    struct ft_answer answer;

    /* any thread */
    _Atomic uint32_t refs;
};

/* Room for what a pace asks for, and one batch of the largest kind above it. 0, -ENOMEM. */
int ft_shipment_new(const struct ft_pace *pace, struct ft_shipment **ret);
/* Room for what another pace asks for too, between two sends. What was encoded is not any more. 0,
 * -ENOMEM: it is as it was. */
int ft_shipment_fit(struct ft_shipment *s, const struct ft_pace *pace);
struct ft_shipment *ft_shipment_ref(struct ft_shipment *s);
struct ft_shipment *ft_shipment_unref(struct ft_shipment *s); /* returns NULL */

/* Take the reference. There must be room: see ft_shipment_is_due(). */
void ft_shipment_add(struct ft_shipment *s, struct ft_batch *batch, rn_time since, bool required);
/* Enough to be sent, by the pace. */
bool ft_shipment_is_due(const struct ft_shipment *s, const struct ft_pace *pace);

/* What became of rows, summed up. */
struct ft_shipment_news {
    uint64_t delivered, duplicate, rejected;
    uint64_t retry, hold; /* stay */
    size_t troubled_row;  /* of the answer: the first that stays with a reason, else the first
                             rejected; SIZE_MAX: none */
};
/* Count the answer's verdicts. */
void ft_shipment_count(const struct ft_shipment *s, struct ft_shipment_news *ret);

/* Remove each row that `goes` picks, and each batch that has none left, which `decided` gets (with
 * the reference, to be dropped). Returns how many rows went. */
typedef bool ft_row_goes_fn(const struct ft_shipment *s, const struct ft_shipment_item *item,
                            size_t row, rn_time limit);
typedef void ft_item_decided_fn(void *arg, const struct ft_shipment_item *item);
uint64_t ft_shipment_remove(struct ft_shipment *s, ft_row_goes_fn *goes, rn_time limit,
                            ft_item_decided_fn *decided, void *arg);

/* The verdict decides about it. */
bool ft_row_is_decided(const struct ft_shipment *s, const struct ft_shipment_item *item, size_t row,
                       rn_time limit);
/* Its batch was offered before `limit`. */
bool ft_row_is_older(const struct ft_shipment *s, const struct ft_shipment_item *item, size_t row,
                     rn_time limit);
/* Everything goes. */
bool ft_row_is_any(const struct ft_shipment *s, const struct ft_shipment_item *item, size_t row,
                   rn_time limit);
