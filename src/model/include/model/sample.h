/* Samples on their way through the server: a batch is the samples of one message, immutable and
 * shared by the lanes.
 *
 * A batch is one allocation, texts included; each text is followed by a NUL, so its data is a C
 * string too. It is counted: fanout makes it with one reference and each lane that queues it holds
 * one more.
 *
 * Beside the references it counts the *required* lanes that have not decided about all of its
 * samples yet. When the last of them has, the agent may be told (MetricsAck) that it can forget
 * them.
 */
#pragma once

#include <stdatomic.h>

#include <proto/metrics.h>

#include <model/uuid.h>

struct ft_batch {
    /* set once in ft_batch_new...() */
    struct ft_uuid agent;
    struct ft_uuid boot;
    char           agent_id[FT_UUID_TEXT_SIZE];
    char           boot_id[FT_UUID_TEXT_SIZE];
    uint64_t       first_seq;
    uint64_t       last_seq;
    size_t         bytes; /* of the whole allocation: what a lane's byte limit counts */
    uint32_t       count;

    /* any thread, through the functions below */
    _Atomic uint32_t refs;
    _Atomic uint32_t undecided;

    struct ft_sample samples[]; /* ascending seq */
};

/* From a decoded message; `metrics` is read by copy. Texts over FT_TEXT_MAX are cut at a character.
 * Returns: 0, -EINVAL (no samples), -ENOMEM. */
int ft_batch_new(const struct ft_uuid *agent, const struct ft_metrics *metrics,
                 struct ft_batch **ret);

/* From samples that came another way (seq must ascend). Returns: 0, -EINVAL (none, or more than
 * FT_METRICS_SAMPLES_MAX, or not ascending), -ENOMEM. */
int ft_batch_new_from(const struct ft_uuid *agent, const struct ft_uuid *boot,
                      const struct ft_sample *samples, size_t count, struct ft_batch **ret);

struct ft_batch *ft_batch_ref(struct ft_batch *b);

/* The last one frees. NULL is fine. Returns NULL. */
struct ft_batch *ft_batch_unref(struct ft_batch *b);
void             ft_batch_unrefp(struct ft_batch **b);

/* Say how many required lanes will decide; before the batch is offered to any of them. */
void ft_batch_require(struct ft_batch *b, uint32_t lanes);

/* One required lane has decided about every sample of the batch. Returns: true for the call that
 * was the last. */
bool ft_batch_decide(struct ft_batch *b);

static inline bool ft_batch_is_decided(const struct ft_batch *b)
{
    return atomic_load_explicit(&b->undecided, memory_order_acquire) == 0;
}
