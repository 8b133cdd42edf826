/* Samples until they are acknowledged: a bounded queue in the order of their numbers.
 *
 *      acked        sent              newest
 *        |  waiting  |   to be sent     |
 *   -----+-----------+------------------+--> seq
 *
 * What is full gives up its oldest, counted. A new connection sends everything that is not
 * acknowledged again; the numbers make it harmless. Numbers count from 1 per start of the agent.
 */
#pragma once

#include <model/uuid.h>
#include <proto/metrics.h>

#define FT_BUFFER_SAMPLES_MAX 4096
#define FT_BUFFER_BYTES_MAX (8 * FT_MIB)

struct ft_kept_sample;

struct ft_buffer {
    /* set once */
    size_t samples_max, bytes_max;

    struct ft_kept_sample **ring; /* owned; samples_max places */
    size_t head, n, bytes;        /* the oldest, how many, their size */
    uint64_t next_seq;            /* of the next sample */
    uint64_t sent_seq;            /* on this connection, up to here */
    uint64_t acked_seq;
    uint64_t dropped; /* given up before their ack */
};

/* 0 or -ENOMEM. */
int ft_buffer_init(struct ft_buffer *b, size_t samples_max, size_t bytes_max);
void ft_buffer_fini(struct ft_buffer *b);

/* Keep a copy, numbered. Returns 0 or -ENOMEM (then the sample is counted as dropped and has no
 * number). */
int ft_buffer_add(struct ft_buffer *b, const struct ft_sample *sample);
/* Forget everything up to `seq`; a number that was never given out is ignored. */
void ft_buffer_ack(struct ft_buffer *b, uint64_t seq);
/* A new connection: what is here has to be sent again. */
void ft_buffer_rewind(struct ft_buffer *b);
bool ft_buffer_has_unsent(const struct ft_buffer *b);
/* Encode the next unsent samples as one ProcessMetrics of at most about `bytes_max`, and mark them
 * sent. Returns how many, 0 (none), or -ENOMEM. */
int ft_buffer_encode_unsent(struct ft_buffer *b, const struct ft_uuid *boot, size_t bytes_max,
                            struct ft_buf *out);
