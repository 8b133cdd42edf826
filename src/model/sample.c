/* One allocation: the head, the samples, then the texts. Sizes are known before anything is copied:
 * for a message from its decoder, for an array from a first walk. */
#include <model/sample.h>

#include <errno.h>
#include <stdlib.h>

#include <proto/utf8.h>

#define TEXTS_PER_SAMPLE 4

/* A batch with room for `text_bytes` of texts (their NULs not counted) and `*ret_texts` at their
 * place. */
static int batch_alloc(const struct ft_uuid *agent, const struct ft_uuid *boot, size_t count,
                       size_t text_bytes, struct ft_batch **ret, char **ret_texts)
{
    size_t           head = sizeof(struct ft_batch) + count * sizeof(struct ft_sample);
    size_t           bytes = head + text_bytes + count * TEXTS_PER_SAMPLE;
    struct ft_batch *b = malloc(bytes);

    if (!b)
        return -ENOMEM;
    *b =
        (struct ft_batch){.agent = *agent, .boot = *boot, .bytes = bytes, .count = (uint32_t)count};
    atomic_init(&b->refs, 1);
    atomic_init(&b->undecided, 0);
    ft_uuid_format(agent, b->agent_id);
    ft_uuid_format(boot, b->boot_id);
    *ret_texts = (char *)b + head;
    *ret = b;
    return 0;
}

static struct rn_slice text_put(char **at, struct rn_slice s)
{
    struct rn_slice cut = ft_utf8_cut(s, FT_TEXT_MAX);
    char           *to = *at;

    if (cut.len > 0)
        memcpy(to, cut.data, cut.len);
    to[cut.len] = 0;
    *at = to + cut.len + 1;
    return rn_slice(to, cut.len);
}

static void sample_put(struct ft_sample *to, const struct ft_sample *from, char **at)
{
    *to = *from;
    to->process_name = text_put(at, from->process_name);
    to->host_name = text_put(at, from->host_name);
    to->ip = text_put(at, from->ip);
    to->cmd = text_put(at, from->cmd);
}

int ft_batch_new(const struct ft_uuid *agent, const struct ft_metrics *metrics,
                 struct ft_batch **ret)
{
    struct ft_metrics m = *metrics;
    struct ft_uuid    boot;
    struct ft_batch  *b;
    struct ft_sample  s;
    char             *texts;
    int               r;

    if (m.count == 0)
        return -EINVAL;
    memcpy(boot.bytes, m.boot_id, sizeof(boot.bytes));
    r = batch_alloc(agent, &boot, m.count, m.text_bytes, &b, &texts);
    if (r < 0)
        return r;
    for (size_t i = 0; i < b->count && ft_metrics_next(&m, &s); i++)
        sample_put(&b->samples[i], &s, &texts);
    b->first_seq = metrics->first_seq;
    b->last_seq = metrics->last_seq;
    *ret = b;
    return 0;
}

int ft_batch_new_from(const struct ft_uuid *agent, const struct ft_uuid *boot,
                      const struct ft_sample *samples, size_t count, struct ft_batch **ret)
{
    size_t           text_bytes = 0;
    struct ft_batch *b;
    char            *texts;
    int              r;

    if (count == 0 || count > FT_METRICS_SAMPLES_MAX)
        return -EINVAL;
    for (size_t i = 0; i < count; i++) {
        const struct ft_sample *s = &samples[i];

        if (s->seq <= (i ? samples[i - 1].seq : 0))
            return -EINVAL;
        text_bytes += s->process_name.len + s->host_name.len + s->ip.len + s->cmd.len;
    }
    r = batch_alloc(agent, boot, count, text_bytes, &b, &texts);
    if (r < 0)
        return r;
    for (size_t i = 0; i < count; i++)
        sample_put(&b->samples[i], &samples[i], &texts);
    b->first_seq = samples[0].seq;
    b->last_seq = samples[count - 1].seq;
    *ret = b;
    return 0;
}

struct ft_batch *ft_batch_ref(struct ft_batch *b)
{
    atomic_fetch_add_explicit(&b->refs, 1, memory_order_relaxed);
    return b;
}

struct ft_batch *ft_batch_unref(struct ft_batch *b)
{
    /* the release pairs with the acquire of whoever is last and frees */
    if (b && atomic_fetch_sub_explicit(&b->refs, 1, memory_order_acq_rel) == 1)
        free(b);
    return NULL;
}

void ft_batch_unrefp(struct ft_batch **b)
{
    *b = ft_batch_unref(*b);
}

void ft_batch_require(struct ft_batch *b, uint32_t lanes)
{
    atomic_store_explicit(&b->undecided, lanes, memory_order_release);
}

bool ft_batch_decide(struct ft_batch *b)
{
    /* pairs with the acquire in ft_batch_is_decided() */
    return atomic_fetch_sub_explicit(&b->undecided, 1, memory_order_acq_rel) == 1;
}
