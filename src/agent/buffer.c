#include "buffer.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <base/cleanup.h>

struct ft_kept_sample {
    struct ft_sample sample; /* texts behind it */
    size_t bytes;
    char texts[];
};

int ft_buffer_init(struct ft_buffer *b, size_t samples_max, size_t bytes_max)
{
    *b = (struct ft_buffer){.samples_max = samples_max, .bytes_max = bytes_max, .next_seq = 1};
    b->ring = calloc(samples_max, sizeof(*b->ring));
    return b->ring ? 0 : -ENOMEM;
}

static struct ft_kept_sample *kept_at(const struct ft_buffer *b, size_t i)
{
    return b->ring[(b->head + i) % b->samples_max];
}

static void oldest_forget(struct ft_buffer *b)
{
    struct ft_kept_sample *k = b->ring[b->head];

    b->bytes -= k->bytes;
    b->head = (b->head + 1) % b->samples_max;
    b->n--;
    free(k);
}

void ft_buffer_fini(struct ft_buffer *b)
{
    while (b->n > 0)
        oldest_forget(b);
    free(b->ring);
    *b = (struct ft_buffer){0};
}

static struct rn_slice text_keep(char **at, struct rn_slice text)
{
    struct rn_slice kept = {(const uint8_t *)*at, text.len};

    if (text.len)
        memcpy(*at, text.data, text.len);
    *at += text.len;
    return kept;
}

static struct ft_kept_sample *sample_keep(const struct ft_sample *s)
{
    size_t texts = s->process_name.len + s->host_name.len + s->ip.len + s->cmd.len;
    struct ft_kept_sample *k = malloc(sizeof(*k) + texts);
    char *at;

    if (!k)
        return NULL;
    at = k->texts;
    k->bytes = sizeof(*k) + texts;
    k->sample = *s;
    k->sample.process_name = text_keep(&at, s->process_name);
    k->sample.host_name = text_keep(&at, s->host_name);
    k->sample.ip = text_keep(&at, s->ip);
    k->sample.cmd = text_keep(&at, s->cmd);
    return k;
}

int ft_buffer_add(struct ft_buffer *b, const struct ft_sample *sample)
{
    struct ft_kept_sample *k = sample_keep(sample);

    if (!k || k->bytes > b->bytes_max) {
        free(k);
        b->dropped++;
        return -ENOMEM;
    }
    while (b->n == b->samples_max || b->bytes + k->bytes > b->bytes_max) {
        oldest_forget(b);
        b->dropped++;
    }
    k->sample.seq = b->next_seq++;
    b->ring[(b->head + b->n) % b->samples_max] = k;
    b->n++;
    b->bytes += k->bytes;
    return 0;
}

void ft_buffer_ack(struct ft_buffer *b, uint64_t seq)
{
    if (seq >= b->next_seq || seq <= b->acked_seq)
        return;
    b->acked_seq = seq;
    while (b->n > 0 && kept_at(b, 0)->sample.seq <= seq)
        oldest_forget(b);
}

void ft_buffer_rewind(struct ft_buffer *b)
{
    b->sent_seq = b->acked_seq;
}

bool ft_buffer_has_unsent(const struct ft_buffer *b)
{
    return b->n > 0 && kept_at(b, b->n - 1)->sample.seq > b->sent_seq;
}

/* Numbers in the ring have no holes. */
static size_t first_unsent(const struct ft_buffer *b)
{
    uint64_t oldest = kept_at(b, 0)->sample.seq;

    return b->sent_seq >= oldest ? (size_t)(b->sent_seq - oldest + 1) : 0;
}

int ft_buffer_encode_unsent(struct ft_buffer *b, const struct ft_uuid *boot, size_t bytes_max,
                            struct ft_buf *out)
{
    CLEANUP(freep) struct ft_sample *batch = NULL;
    size_t n = 0, bytes = 0;
    int r;

    if (!ft_buffer_has_unsent(b))
        return 0;
    batch = calloc(b->n, sizeof(*batch));
    if (!batch)
        return -ENOMEM;
    for (size_t i = first_unsent(b); i < b->n && n < FT_METRICS_SAMPLES_MAX; i++) {
        const struct ft_sample *s = &kept_at(b, i)->sample;

        bytes += ft_sample_encoded_size(s);
        if (n > 0 && bytes > bytes_max)
            break;
        batch[n++] = *s;
    }
    r = ft_metrics_encode(boot->bytes, batch, n, out);
    if (r < 0)
        return r;
    b->sent_seq = batch[n - 1].seq;
    return (int)n;
}
