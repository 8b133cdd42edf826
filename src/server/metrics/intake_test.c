#include "metrics/testing.h"

#include <proto/metrics.h>

#include "metrics/intake.h"
#include "metrics/latest.h"

struct acks {
    uint64_t seq;
    unsigned times;
};

static void on_ack(void *arg, const struct ft_uuid *agent, const struct ft_uuid *boot, uint64_t seq)
{
    struct acks *a = arg;

    (void)agent;
    (void)boot;
    a->seq = seq;
    a->times++;
}

static int offer(struct ft_intake *in, uint64_t first, size_t count)
{
    CLEANUP(ft_buf_fini) struct ft_buf b = FT_BUF_INIT(1 << 20);
    const struct ft_uuid who = fake_uuid(1);
    struct ft_sample s[8];
    struct ft_fault fault;

    for (size_t i = 0; i < count; i++)
        s[i] = fake_sample(first + i);
    OK(ft_metrics_encode(who.bytes, s, count, &b));
    return ft_intake_offer(in, &who, ft_buf_slice(&b), &fault);
}

TASK_TEST(a_message_goes_to_the_exporter_to_the_api_and_back_as_an_ack)
{
    CLEANUP(freep) struct fake *fake = calloc(1, sizeof(*fake));
    CLEANUP(ft_intake_freep) struct ft_intake *in = NULL;
    const struct fake_settings settings = {.head = {.name = "a", .required = true}, .fake = fake};
    const struct ft_exporter_spec spec = {.type = &fake_type, .settings = &settings};
    const struct ft_fanout_options options = {
        .exporters = &spec, .n = 1, .lane = ft_lane_settings_default};
    const struct ft_uuid who = fake_uuid(1);
    struct ft_latest_list list;
    struct acks acks = {0};
    struct ft_fault fault = {0};

    OK(ft_intake_new(&options, on_ack, &acks, &in));
    OK(offer(in, 1, 3));
    OK(offer(in, 4, 2));
    OK(offer(in, 9, 0)); /* no samples: nothing to do */
    TASK_UNTIL(acks.seq == 5);
    OK(offer(in, 4, 2));
    TASK_UNTIL(acks.times == 3);
    EQ(acks.seq, 5);
    EQ(fake_column(ft_intake_fanout(in), 0, FT_COLUMN_delivered), 5);
    EQ(fake_column(ft_intake_fanout(in), 0, FT_COLUMN_duplicate), 2);
    OK(ft_latest_snapshot(ft_intake_latest(in), &who, &list));
    EQ(list.n, 1);
    EQ(list.items[0].sample.seq, 5);
    ft_latest_list_fini(&list);

    ERR(ft_intake_offer(in, &who, RN_SLICE_LITERAL("\xff\xff\xff"), &fault), EBADMSG);
    NE(fault.kind, FT_FAULT_NONE);
    EQ(fake_column(ft_intake_fanout(in), 0, FT_COLUMN_offered), 7);
    OK(ft_intake_stop(in, rn_after(RN_S)));
}
