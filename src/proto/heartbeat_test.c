/* The hand-made heartbeat against the generated decoder. */
#include <proto/heartbeat.h>

#include <errno.h>

#include <base/cleanup.h>
#include <proto/message.h>
#include <proto/metrics.h>
#include <proto/names.h>

#include "specimen_testing.h"
#include "testing.h"

static const struct ft_limits roomy = {.message_max = FT_MESSAGE_MAX_DEFAULT};

static void bytes_agree(struct rn_slice hand, const uint8_t *data, size_t len)
{
    EQ(hand.len, len);
    if (len > 0)
        MEMEQ(hand.data, data, len);
}

/* What the hand-made decoder takes, the general one must take and read in the same way. Returns
 * whether it was taken. */
static bool agree(struct rn_slice in)
{
    CLEANUP(ft_agent_message_fini) struct ft_agent_message m = {0};
    Opamp__Proto__AgentToServer                           *g;
    struct ft_heartbeat                                    h;

    if (!ft_heartbeat_decode(in, &h))
        return false;
    OK(ft_opamp_decode_agent(in, &roomy, &m, NULL));
    g = m.msg;
    bytes_agree(h.instance_uid, g->instance_uid.data, g->instance_uid.len);
    EQ(h.sequence_num, g->sequence_num);
    EQ(h.capabilities, g->capabilities);
    EQ(h.has_custom, !!g->custom_message);
    TRUE(!g->agent_description && !g->health && !g->effective_config && !g->remote_config_status &&
         !g->package_statuses);
    TRUE(!g->agent_disconnect && !g->connection_settings_request && !g->custom_capabilities);
    TRUE(!g->available_components && !g->connection_settings_status);
    EQ(g->flags, 0);
    EQ(g->base.n_unknown_fields, 0);
    if (g->custom_message) {
        bytes_agree(h.custom_capability, (uint8_t *)g->custom_message->capability,
                    strlen(g->custom_message->capability));
        bytes_agree(h.custom_type, (uint8_t *)g->custom_message->type,
                    strlen(g->custom_message->type));
        bytes_agree(h.custom_data, g->custom_message->data.data, g->custom_message->data.len);
    }
    return true;
}

static struct ft_heartbeat specimen(void)
{
    return (struct ft_heartbeat){
        .instance_uid = RN_SLICE_LITERAL("0123456789abcdef"),
        .sequence_num = 1234567,
        .capabilities = 0xb807,
        .has_custom = true,
        .custom_capability = RN_SLICE_LITERAL(FT_CAPABILITY_PROCESS_METRICS),
        .custom_type = RN_SLICE_LITERAL(FT_TYPE_PROCESS_METRICS),
        .custom_data = RN_SLICE_LITERAL("\0\1\2\xff"),
    };
}

TEST(a_heartbeat_comes_back_by_both_decoders)
{
    CLEANUP(ft_buf_fini) struct ft_buf b = FT_BUF_INIT(1024);
    struct ft_heartbeat                h = specimen(), back;

    OK(ft_heartbeat_encode(&h, &b));
    EQ(ft_heartbeat_decode(ft_buf_slice(&b), &back), 1);
    TRUE(rn_slice_eq(back.custom_data, h.custom_data));
    TRUE(agree(ft_buf_slice(&b)));

    ft_buf_clear(&b);
    h.has_custom = false;
    OK(ft_heartbeat_encode(&h, &b));
    EQ(b.len, 2 + 16 + 1 + 3 + 1 + 3);
    TRUE(agree(ft_buf_slice(&b)));
    TRUE(agree((struct rn_slice){0}));
}

TEST(everything_that_is_not_a_heartbeat_is_left_to_the_general_decoder)
{
    CLEANUP(freep) uint8_t *report = NULL;
    struct ft_heartbeat     h;
    size_t                  len;

#define NOT_MINE(s) EQ(ft_heartbeat_decode(rn_slice("" s, sizeof(s) - 1), &h), 0)
    NOT_MINE("\x10\x01\x10\x02"); /* a field twice */
    NOT_MINE("\x08\x01");         /* wrong wire type */
    NOT_MINE("\x50\x01");         /* flags */
    NOT_MINE("\x4a\0");           /* goodbye */
    NOT_MINE("\xa0\x06\x01");     /* an unknown field */
    NOT_MINE("\x0a\x05"
             "abc"); /* truncated */
    NOT_MINE("\x6a\x03"
             "\x0a\x01\xff"); /* bad text in the custom message */
    NOT_MINE("\x6a\x03"
             "\x0a\x01\0");
    NOT_MINE("\x6a\x02"
             "\x20\x01"); /* an unknown field in it */
    NOT_MINE("\x6a\x04"
             "\x1a\0\x1a\0");
    NOT_MINE("\x6a\0\x6a\0");
#undef NOT_MINE
    report = specimen_report(&len);
    EQ(ft_heartbeat_decode(rn_slice(report, len), &h), 0);
}

TEST(mutated_heartbeats_agree_with_the_general_decoder)
{
    CLEANUP(ft_buf_fini) struct ft_buf b = FT_BUF_INIT(1024);
    struct ft_heartbeat                h = specimen();
    uint64_t                           state = test_seed();
    size_t                             taken = 0, n = test_tasks(test_sanitized() ? 50000 : 300000);

    OK(ft_heartbeat_encode(&h, &b));
    for (size_t i = 0; i < n; i++) {
        size_t   len;
        uint8_t *mutated = test_mutate(&state, ft_buf_slice(&b), &len);

        taken += agree(rn_slice(mutated, len));
        free(mutated);
    }
    GT(taken, n / 100);
    LT(taken, n);
}

/* Random fields from the few that heartbeats have, mostly well-formed, in any order and number. */
static void random_fields(uint64_t *state, struct ft_buf *b)
{
    static const uint8_t tags[] = {0x0a, 0x10, 0x20, 0x6a, 0x0a, 0x12,
                                   0x1a, 0x50, 0x08, 0xea, 0x8a};

    ft_buf_clear(b);
    for (uint64_t i = test_random(state) % 5; i > 0; i--) {
        uint8_t tag = tags[test_random(state) % sizeof(tags)];

        OK(ft_buf_add_byte(b, tag));
        if (tag & 0x80)
            OK(ft_buf_add_byte(b, (uint8_t)(test_random(state) % 2)));
        for (uint64_t extra = test_random(state) % 12; (tag & 7) == 0 && extra > 0; extra--)
            OK(ft_buf_add_byte(b, (uint8_t)(0x80 | test_random(state))));
        if ((tag & 7) == 0) {
            OK(ft_buf_add_byte(b, (uint8_t)(test_random(state) % 128)));
        } else {
            static const uint8_t inner[] = "\x0a\1a\x12\1b\x1a\1c";
            size_t               len = test_random(state) % sizeof(inner);

            OK(ft_buf_add_byte(b, (uint8_t)len));
            OK(ft_buf_add(b, inner, len));
        }
    }
}

TEST(random_fields_agree_with_the_general_decoder)
{
    CLEANUP(ft_buf_fini) struct ft_buf b = FT_BUF_INIT(1024);
    uint64_t                           state = test_seed();
    size_t                             taken = 0, n = test_tasks(test_sanitized() ? 50000 : 300000);

    for (size_t i = 0; i < n; i++) {
        random_fields(&state, &b);
        taken += agree(ft_buf_slice(&b));
    }
    GT(taken, n / 100);
    LT(taken, n);
}

TEST(a_plain_reply_is_what_the_generated_encoder_would_write)
{
    CLEANUP(ft_buf_fini) struct ft_buf by_hand = FT_BUF_INIT(1024), generated = FT_BUF_INIT(1024);
    Opamp__Proto__ServerToAgent        m = OPAMP__PROTO__SERVER_TO_AGENT__INIT;
    Opamp__Proto__CustomMessage        custom = OPAMP__PROTO__CUSTOM_MESSAGE__INIT;
    struct ft_metrics_ack              ack = {.boot_id = "fedcba987654321", .seq = 300};
    uint8_t                            data[FT_METRICS_ACK_LEN_MAX];
    size_t                             len = ft_metrics_ack_encode(&ack, data);
    struct ft_plain_reply              r = {
                     .instance_uid = RN_SLICE_LITERAL("0123456789abcdef"), .flags = 1, .capabilities = 0x27};

    m.instance_uid = (ProtobufCBinaryData){.data = (uint8_t *)"0123456789abcdef", .len = 16};
    m.flags = 1;
    m.capabilities = 0x27;
    OK(ft_plain_reply_encode(&r, &by_hand));
    OK(ft_message_encode(&m.base, 1024, &generated));
    EQ(by_hand.len, generated.len);
    EQ(by_hand.len, ft_plain_reply_size(&r));
    MEMEQ(by_hand.data, generated.data, generated.len);

    custom.capability = (char *)FT_CAPABILITY_PROCESS_METRICS;
    custom.type = (char *)FT_TYPE_METRICS_ACK;
    custom.data = (ProtobufCBinaryData){.data = data, .len = len};
    m.custom_message = &custom;
    r.has_custom = true;
    r.custom_capability = RN_SLICE_LITERAL(FT_CAPABILITY_PROCESS_METRICS);
    r.custom_type = RN_SLICE_LITERAL(FT_TYPE_METRICS_ACK);
    r.custom_data = rn_slice(data, len);
    ft_buf_clear(&by_hand);
    ft_buf_clear(&generated);
    OK(ft_plain_reply_encode(&r, &by_hand));
    OK(ft_message_encode(&m.base, 1024, &generated));
    EQ(by_hand.len, generated.len);
    EQ(by_hand.len, ft_plain_reply_size(&r));
    MEMEQ(by_hand.data, generated.data, generated.len);

    by_hand.max = by_hand.len + 3;
    ERR(ft_plain_reply_encode(&r, &by_hand), E2BIG);
}

TEST(a_reply_of_nothing_is_no_bytes)
{
    CLEANUP(ft_buf_fini) struct ft_buf b = FT_BUF_INIT(16);

    OK(ft_plain_reply_encode(&(struct ft_plain_reply){0}, &b));
    OK(ft_heartbeat_encode(&(struct ft_heartbeat){0}, &b));
    EQ(b.len, 0);
}
