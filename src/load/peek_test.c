#include "peek.h"

#include <harness/test.h>

#include <base/cleanup.h>

#include <proto/heartbeat.h>
#include <proto/message.h>
#include <proto/metrics.h>
#include <proto/names.h>

static const uint8_t uid[16] = {1, 2, 3};

TEST(a_plain_answer_is_read_with_its_flags_and_its_ack)
{
    CLEANUP(ft_buf_fini) struct ft_buf b = FT_BUF_INIT(1024);
    const struct ft_plain_reply reply = {.instance_uid = rn_slice(uid, sizeof(uid)),
                                         .flags = FT_SERVER_FLAG_REPORT_FULL_STATE,
                                         .capabilities = 0x23,
                                         .has_custom = true,
                                         .custom_capability =
                                             RN_SLICE_LITERAL(FT_CAPABILITY_PROCESS_METRICS),
                                         .custom_type = RN_SLICE_LITERAL(FT_TYPE_METRICS_ACK),
                                         .custom_data = RN_SLICE_LITERAL("ack")};
    struct ft_peek p;

    OK(ft_plain_reply_encode(&reply, &b));
    p = ft_peek(ft_buf_slice(&b));
    TRUE(p.plain);
    EQ(p.flags, FT_SERVER_FLAG_REPORT_FULL_STATE);
    TRUE(rn_slice_eq_str(p.custom_data, "ack"));
}

TEST(an_answer_with_more_than_that_is_not_plain)
{
    CLEANUP(ft_buf_fini) struct ft_buf b = FT_BUF_INIT(1024);
    Opamp__Proto__ServerToAgent m = OPAMP__PROTO__SERVER_TO_AGENT__INIT;
    Opamp__Proto__AgentRemoteConfig config = OPAMP__PROTO__AGENT_REMOTE_CONFIG__INIT;

    m.instance_uid = (ProtobufCBinaryData){sizeof(uid), (uint8_t *)uid};
    m.remote_config = &config;
    OK(ft_message_encode(&m.base, 1024, &b));
    TRUE(!ft_peek(ft_buf_slice(&b)).plain);
}

TEST(what_breaks_off_is_not_plain)
{
    static const uint8_t bad[] = {0x0a, 16, 1, 2, 3};

    for (size_t n = 1; n <= sizeof(bad); n++)
        TRUE(!ft_peek(rn_slice(bad, n)).plain);
    TRUE(ft_peek(rn_slice(bad, 0)).plain); /* nothing at all says nothing */
}
