/* Process metrics and their acks, against the generated code. */
#include <proto/metrics.h>

#include <errno.h>
#include <math.h>

#include <base/cleanup.h>
#include <proto/fettle.pb-c.h>

#include "testing.h"

static const uint8_t boot[FT_BOOT_LEN] = "boot-boot-boot-";

static struct ft_sample specimen(uint64_t seq)
{
    return (struct ft_sample){
        .seq = seq,
        .timestamp_ms = 1764000000123,
        .process_name = RN_SLICE_LITERAL("shipper"),
        .host_name = RN_SLICE_LITERAL("web-1"),
        .ip = RN_SLICE_LITERAL("127.0.0.1"),
        .cmd = RN_SLICE_LITERAL("./shipper --config x \xe2\x82\xac"),
        .pid = 4242,
        .has_cpu_usage_rate = seq > 1,
        .cpu_usage_rate = seq > 1 ? 0.125 : 0,
        .mem_usage = UINT64_C(1) << 33,
        .send_lines = 1000000 * seq,
    };
}

static void encode(struct ft_buf *b, size_t n)
{
    struct ft_sample s[8];

    LE(n, 8);
    for (size_t i = 0; i < n; i++)
        s[i] = specimen(i + 1);
    OK(ft_metrics_encode(boot, s, n, b));
}

static void same_text(struct rn_slice a, const char *b)
{
    TRUE(rn_slice_eq_str(a, b));
}

static void same_sample(const struct ft_sample *s, const Fettle__Sample *g)
{
    bool has_rate =
        g->cpu_case == FETTLE__SAMPLE__CPU_CPU_USAGE_RATE && isfinite(g->cpu_usage_rate);

    EQ(s->seq, g->seq);
    EQ(s->timestamp_ms, g->timestamp_ms);
    same_text(s->process_name, g->process_name);
    same_text(s->host_name, g->host_name);
    same_text(s->ip, g->ip);
    same_text(s->cmd, g->cmd);
    EQ(s->pid, g->pid);
    EQ(s->has_cpu_usage_rate, has_rate);
    TRUE(!has_rate || s->cpu_usage_rate == g->cpu_usage_rate);
    EQ(s->mem_usage, g->mem_usage);
    EQ(s->send_lines, g->send_lines);
}

/* What our decoder takes, the generated one reads in the same way. */
static bool agree(struct rn_slice in)
{
    Fettle__ProcessMetrics *g;
    struct ft_metrics       m;
    struct ft_sample        s;

    if (ft_metrics_decode(in, &m, NULL) < 0)
        return false;
    g = fettle__process_metrics__unpack(NULL, in.len, in.data);
    TRUE(g);
    MEMEQ(m.boot_id, g->boot_id.data, FT_BOOT_LEN);
    EQ(m.count, g->n_samples);
    for (size_t i = 0; i < g->n_samples; i++) {
        TRUE(ft_metrics_next(&m, &s));
        same_sample(&s, g->samples[i]);
    }
    FALSE(ft_metrics_next(&m, &s));
    fettle__process_metrics__free_unpacked(g, NULL);
    return true;
}

TEST(samples_come_back_as_they_went_in)
{
    CLEANUP(ft_buf_fini) struct ft_buf b = FT_BUF_INIT(4096);
    struct ft_metrics                  m;
    struct ft_sample                   s, first = specimen(1);

    encode(&b, 3);
    OK(ft_metrics_decode(ft_buf_slice(&b), &m, NULL));
    EQ(m.count, 3);
    EQ(m.first_seq, 1);
    EQ(m.last_seq, 3);
    EQ(m.text_bytes, 3 * (7 + 5 + 9 + first.cmd.len));
    MEMEQ(m.boot_id, boot, FT_BOOT_LEN);
    TRUE(ft_metrics_next(&m, &s));
    FALSE(s.has_cpu_usage_rate);
    TRUE(ft_metrics_next(&m, &s));
    TRUE(s.has_cpu_usage_rate && s.cpu_usage_rate == 0.125);
    TRUE(agree(ft_buf_slice(&b)));
}

TEST(a_rate_of_zero_is_not_a_missing_rate)
{
    CLEANUP(ft_buf_fini) struct ft_buf b = FT_BUF_INIT(4096);
    struct ft_sample                   s = specimen(1);
    struct ft_metrics                  m;

    s.has_cpu_usage_rate = true;
    s.cpu_usage_rate = 0;
    OK(ft_metrics_encode(boot, &s, 1, &b));
    EQ(b.len, 18 + ft_sample_encoded_size(&s));
    OK(ft_metrics_decode(ft_buf_slice(&b), &m, NULL));
    TRUE(ft_metrics_next(&m, &s));
    TRUE(s.has_cpu_usage_rate);
    TRUE(agree(ft_buf_slice(&b)));

    ft_buf_clear(&b);
    s.cpu_usage_rate = NAN;
    OK(ft_metrics_encode(boot, &s, 1, &b));
    OK(ft_metrics_decode(ft_buf_slice(&b), &m, NULL));
    TRUE(ft_metrics_next(&m, &s));
    FALSE(s.has_cpu_usage_rate);
}

static enum ft_fault_kind refused(const struct ft_buf *b)
{
    struct ft_fault   fault = {0};
    struct ft_metrics m;

    ERR(ft_metrics_decode(ft_buf_slice(b), &m, &fault), EBADMSG);
    return fault.kind;
}

TEST(metrics_that_cannot_be_are_refused)
{
    CLEANUP(ft_buf_fini) struct ft_buf b = FT_BUF_INIT(FT_MIB);
    struct ft_sample                   s[2] = {specimen(5), specimen(5)};
    struct ft_metrics                  m;

    EQ(refused(&b), FT_FAULT_BOOT_ID);
    test_put(&b, 1, "short", 5);
    EQ(refused(&b), FT_FAULT_BOOT_ID);

    ft_buf_clear(&b);
    OK(ft_metrics_encode(boot, s, 2, &b));
    EQ(refused(&b), FT_FAULT_SEQ);

    ft_buf_clear(&b);
    s[0].seq = 0;
    OK(ft_metrics_encode(boot, s, 1, &b));
    EQ(refused(&b), FT_FAULT_SEQ);

    ft_buf_clear(&b);
    test_put(&b, 1, boot, FT_BOOT_LEN);
    for (uint8_t i = 0; i < 250; i++)
        test_put(&b, 2, (uint8_t[]){0x08, (uint8_t)(i / 2 + 1)}, 2);
    EQ(refused(&b), FT_FAULT_SEQ);

    ft_buf_clear(&b);
    test_put(&b, 1, boot, FT_BOOT_LEN);
    OK(ft_metrics_decode(ft_buf_slice(&b), &m, NULL)); /* no samples are no fault */
    EQ(m.count, 0);
    EQ(m.first_seq, 0);
}

TEST(there_is_a_maximum_of_samples_on_both_sides)
{
    CLEANUP(ft_buf_fini) struct ft_buf b = FT_BUF_INIT(4 * FT_MIB);
    CLEANUP(freep) struct ft_sample   *s = calloc(FT_METRICS_SAMPLES_MAX + 1, sizeof(*s));
    struct ft_metrics                  m;

    for (size_t i = 0; i <= FT_METRICS_SAMPLES_MAX; i++)
        s[i] = specimen(i + 2);
    OK(ft_metrics_encode(boot, s, FT_METRICS_SAMPLES_MAX, &b));
    OK(ft_metrics_decode(ft_buf_slice(&b), &m,
                         NULL)); /* with all fields it stays under the count of elements */
    EQ(m.count, FT_METRICS_SAMPLES_MAX);
    ERR(ft_metrics_encode(boot, s, FT_METRICS_SAMPLES_MAX + 1, &b), EINVAL);

    ft_buf_clear(&b);
    test_put(&b, 1, boot, FT_BOOT_LEN);
    for (uint64_t i = 1; i <= FT_METRICS_SAMPLES_MAX + 1; i++)
        test_put(&b, 2, (uint8_t[]){0x08, (uint8_t)(i & 127) | 128, (uint8_t)(i >> 7)}, 3);
    EQ(refused(&b), FT_FAULT_SAMPLES);
}

TEST(an_ack_comes_back_as_it_went_in)
{
    struct ft_metrics_ack ack = {.seq = UINT64_MAX}, back;
    uint8_t               out[FT_METRICS_ACK_LEN_MAX];
    size_t                len;
    Fettle__MetricsAck   *g;

    memcpy(ack.boot_id, boot, FT_BOOT_LEN);
    len = ft_metrics_ack_encode(&ack, out);
    EQ(len, FT_METRICS_ACK_LEN_MAX);
    OK(ft_metrics_ack_decode(rn_slice(out, len), &back, NULL));
    MEMEQ(&back, &ack, sizeof(ack));
    g = fettle__metrics_ack__unpack(NULL, len, out);
    TRUE(g);
    EQ(g->seq, UINT64_MAX);
    fettle__metrics_ack__free_unpacked(g, NULL);

    ack.seq = 0;
    len = ft_metrics_ack_encode(&ack, out);
    OK(ft_metrics_ack_decode(rn_slice(out, len), &back, NULL));
    EQ(back.seq, 0);
    ERR(ft_metrics_ack_decode(rn_slice(out, len - 1), &back, NULL), EBADMSG);
    ERR(ft_metrics_ack_decode(rn_slice(NULL, 0), &back, NULL), EBADMSG);
}

TEST(mutated_metrics_agree_with_the_generated_decoder)
{
    CLEANUP(ft_buf_fini) struct ft_buf b = FT_BUF_INIT(4096);
    uint64_t                           state = test_seed();
    size_t                             taken = 0, n = test_tasks(test_sanitized() ? 30000 : 150000);

    encode(&b, 2);
    for (size_t i = 0; i < n; i++) {
        size_t   len;
        uint8_t *mutated = test_mutate(&state, ft_buf_slice(&b), &len);

        taken += agree(rn_slice(mutated, len));
        free(mutated);
    }
    GT(taken, n / 100);
    LT(taken, n);
}
