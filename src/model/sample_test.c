/* Batches: copied whole, counted twice (references, decisions). */
#include <model/sample.h>

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include <base/cleanup.h>
#include <harness/test.h>

static const struct ft_uuid agent = {.bytes = {1, 2, 3}}, boot = {.bytes = {4, 5, 6}};

static struct ft_sample specimen(uint64_t seq)
{
    return (struct ft_sample){.seq = seq,
                              .timestamp_ms = 1000,
                              .process_name = RN_SLICE_LITERAL("shipper"),
                              .host_name = RN_SLICE_LITERAL("h"),
                              .ip = RN_SLICE_LITERAL("::1"),
                              .cmd = RN_SLICE_LITERAL("./shipper"),
                              .pid = 7,
                              .mem_usage = 8,
                              .send_lines = 9};
}

TEST(a_batch_outlives_the_message_it_came_from)
{
    CLEANUP(ft_batch_unrefp) struct ft_batch *b = NULL;
    CLEANUP(ft_buf_fini) struct ft_buf        bytes = FT_BUF_INIT(4096);
    struct ft_sample                          s[3] = {specimen(4), specimen(5), specimen(9)};
    struct ft_metrics                         m;

    OK(ft_metrics_encode(boot.bytes, s, 3, &bytes));
    OK(ft_metrics_decode(ft_buf_slice(&bytes), &m, NULL));
    OK(ft_batch_new(&agent, &m, &b));
    memset(bytes.data, 0xff, bytes.len);
    ft_buf_fini(&bytes);

    EQ(b->count, 3);
    EQ(b->first_seq, 4);
    EQ(b->last_seq, 9);
    STREQ(b->agent_id, "01020300-0000-0000-0000-000000000000");
    STREQ(b->boot_id, "04050600-0000-0000-0000-000000000000");
    STREQ((const char *)b->samples[2].cmd.data, "./shipper");
    STREQ((const char *)b->samples[0].ip.data, "::1");
    EQ(b->samples[2].seq, 9);
    EQ(b->samples[1].send_lines, 9);
    GT(b->bytes, sizeof(*b) + 3 * sizeof(struct ft_sample));
}

TEST(a_batch_cuts_texts_that_are_too_long)
{
    CLEANUP(ft_batch_unrefp) struct ft_batch *b = NULL;
    CLEANUP(freep) char                      *text = malloc(FT_TEXT_MAX + 3);
    struct ft_sample                          s = specimen(1);

    memset(text, 'x', FT_TEXT_MAX - 1);
    memcpy(text + FT_TEXT_MAX - 1, "\xe2\x82\xac", 3);
    s.cmd = rn_slice(text, FT_TEXT_MAX + 2);
    OK(ft_batch_new_from(&agent, &boot, &s, 1, &b));
    EQ(b->samples[0].cmd.len, FT_TEXT_MAX - 1);
    EQ(strlen((const char *)b->samples[0].cmd.data), FT_TEXT_MAX - 1);
}

TEST(a_batch_needs_samples_that_ascend)
{
    struct ft_sample  s[2] = {specimen(2), specimen(2)};
    struct ft_metrics none = {0};
    struct ft_batch  *b;

    ERR(ft_batch_new_from(&agent, &boot, s, 0, &b), EINVAL);
    ERR(ft_batch_new_from(&agent, &boot, s, 2, &b), EINVAL);
    s[0].seq = 0;
    ERR(ft_batch_new_from(&agent, &boot, s, 1, &b), EINVAL);
    ERR(ft_batch_new_from(&agent, &boot, s, FT_METRICS_SAMPLES_MAX + 1, &b), EINVAL);
    ERR(ft_batch_new(&agent, &none, &b), EINVAL);
}

TEST(the_last_required_lane_decides)
{
    CLEANUP(ft_batch_unrefp) struct ft_batch *b = NULL;
    struct ft_sample                          s = specimen(1);

    OK(ft_batch_new_from(&agent, &boot, &s, 1, &b));
    TRUE(ft_batch_is_decided(b)); /* no lane is required */
    ft_batch_require(b, 2);
    FALSE(ft_batch_is_decided(b));
    FALSE(ft_batch_decide(b));
    TRUE(ft_batch_decide(b));
    TRUE(ft_batch_is_decided(b));
}

static void *lane(void *arg)
{
    struct ft_batch *b = arg;
    intptr_t         was_last = ft_batch_decide(b);

    (void)ft_batch_unref(b);
    return (void *)was_last;
}

TEST(lanes_on_many_threads_free_a_batch_once)
{
    for (int round = 0; round < 50; round++) {
        struct ft_sample s = specimen(1);
        struct ft_batch *b;
        pthread_t        threads[4];
        intptr_t         last = 0;

        OK(ft_batch_new_from(&agent, &boot, &s, 1, &b));
        ft_batch_require(b, 4);
        for (int i = 0; i < 4; i++)
            EQ(pthread_create(&threads[i], NULL, lane, ft_batch_ref(b)), 0);
        TRUE(!ft_batch_unref(b));
        for (int i = 0; i < 4; i++) {
            void *was_last;

            EQ(pthread_join(threads[i], &was_last), 0);
            last += (intptr_t)was_last;
        }
        EQ(last, 1);
    }
    TRUE(!ft_batch_unref(NULL));
}
