/* The scan against the messages it exists for, and against each rule. */
#include <proto/scan.h>

#include <errno.h>

#include <base/cleanup.h>
#include <proto/message.h>

#include "testing.h"

static const struct ft_scan_limits defaults = FT_SCAN_LIMITS_DEFAULT;

static enum ft_fault_kind scan(struct rn_slice in)
{
    struct ft_fault fault = {0};
    int             r = ft_scan(in, &opamp__proto__agent_to_server__descriptor, &defaults, &fault);

    EQ(r, fault.kind == FT_FAULT_NONE ? 0 : -EBADMSG);
    LE(fault.offset, in.len);
    return fault.kind;
}

#define SCAN(literal) scan(rn_slice("" literal, sizeof(literal) - 1))

TEST(an_empty_message_passes)
{
    EQ(scan((struct rn_slice){0}), FT_FAULT_NONE);
}

TEST(each_rule_has_its_refusal)
{
    EQ(SCAN("\x0a\x03"
            "abc"
            "\x10\x01"),
       FT_FAULT_NONE);
    EQ(SCAN("\x10"), FT_FAULT_TRUNCATED);
    EQ(SCAN("\x10\x80"), FT_FAULT_TRUNCATED);
    EQ(SCAN("\x10\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"), FT_FAULT_VARINT);
    EQ(SCAN("\x10\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"), FT_FAULT_NONE);
    EQ(SCAN("\x0a\x04"
            "abc"),
       FT_FAULT_LENGTH);
    EQ(SCAN("\x0a\xff\xff\xff\xff\x7f"), FT_FAULT_LENGTH);
    EQ(SCAN("\x0a\x80\x80\x80\x80\x80\x00"), FT_FAULT_LENGTH); /* a length of six bytes */
    EQ(SCAN("\x00\x01"), FT_FAULT_TAG);                        /* field 0 */
    EQ(SCAN("\x80\x00\x01"), FT_FAULT_TAG);
    EQ(SCAN("\xff\xff\xff\xff\x7f\x01"), FT_FAULT_TAG); /* over 32 bits */
    EQ(SCAN("\x80"), FT_FAULT_TAG);
    EQ(SCAN("\x08\x01"), FT_FAULT_WIRE_TYPE);     /* instance_uid as a number */
    EQ(SCAN("\x12\x01\x01"), FT_FAULT_WIRE_TYPE); /* sequence_num as bytes */
    EQ(SCAN("\x0b\x0c"), FT_FAULT_GROUP);
    EQ(SCAN("\xa3\x06\xa4\x06"), FT_FAULT_GROUP); /* unknown ones too */
    EQ(SCAN("\x16"), FT_FAULT_WIRE_TYPE);         /* wire types 6 and 7 do not exist */
    EQ(SCAN("\xa7\x06\x01"), FT_FAULT_WIRE_TYPE);
}

TEST(strings_are_judged_and_bytes_are_not)
{
    EQ(SCAN("\x0a\x03"
            "\xff\0\x80"),
       FT_FAULT_NONE); /* instance_uid: bytes */
    EQ(SCAN("\x2a\x03"
            "\x22\x01"
            "x"),
       FT_FAULT_NONE); /* health.status */
    EQ(SCAN("\x2a\x03"
            "\x22\x01"
            "\xff"),
       FT_FAULT_UTF8);
    EQ(SCAN("\x2a\x04"
            "\x22\x02"
            "a\0"),
       FT_FAULT_NUL);
    EQ(SCAN("\x62\x03"
            "\x0a\x01"
            "\x80"),
       FT_FAULT_UTF8); /* custom_capabilities, a repeated string */
    EQ(SCAN("\x2a\x07"
            "\x32\x05"
            "\x0a\x01"
            "\xff"
            "\x12\0"),
       FT_FAULT_UTF8); /* the key of a map */
}

TEST(unknown_fields_are_skipped_when_they_are_well_formed)
{
    EQ(SCAN("\xa2\x06\x03"
            "\xff\0\x80"),
       FT_FAULT_NONE); /* field 100, bytes, not looked into */
    EQ(SCAN("\xa0\x06\x01"), FT_FAULT_NONE);
    EQ(SCAN("\xa1\x06"
            "12345678"),
       FT_FAULT_NONE);
    EQ(SCAN("\xa5\x06"
            "1234"),
       FT_FAULT_NONE);
    EQ(SCAN("\xa1\x06"
            "1234567"),
       FT_FAULT_TRUNCATED);
    EQ(SCAN("\xa5\x06"
            "123"),
       FT_FAULT_TRUNCATED);
    EQ(SCAN("\xa2\x06\x03"
            "ab"),
       FT_FAULT_LENGTH);
    EQ(SCAN("\x2a\x02"
            "\x50\x80"),
       FT_FAULT_TRUNCATED); /* inside of a known message too */
}

TEST(a_length_may_not_leave_its_message)
{
    EQ(SCAN("\x2a\x02"
            "\x22\x05"
            "abcde"),
       FT_FAULT_LENGTH);
    EQ(SCAN("\x2a\x02"
            "\x08\xff"
            "\x01"),
       FT_FAULT_TRUNCATED);
}

/* The message that brought the scan here: AnyValue in ArrayValue in AnyValue ..., two bytes a level
 * at first. */
static void nested_values(struct ft_buf *b, unsigned values)
{
    ft_buf_clear(b);
    for (unsigned i = 1; i < values; i++) {
        test_wrap(b, 1); /* ArrayValue.values */
        test_wrap(b, 5); /* AnyValue.array_value */
    }
    test_wrap(b, 2); /* KeyValue.value */
    test_wrap(b, 1); /* AgentDescription.identifying_attributes */
    test_wrap(b, 3); /* AgentToServer.agent_description */
}

TEST(an_agent_that_nests_eighty_arrays_is_refused)
{
    CLEANUP(ft_buf_fini) struct ft_buf b = FT_BUF_INIT(4096);
    const struct ft_limits             limits = {.message_max = FT_MESSAGE_MAX_DEFAULT};
    struct ft_agent_message            m = {0};
    struct ft_fault                    fault;

    nested_values(&b, 80);
    LT(b.len, 600);
    EQ(scan(ft_buf_slice(&b)), FT_FAULT_DEPTH);
    ERR(ft_opamp_decode_agent(ft_buf_slice(&b), &limits, &m, &fault), EBADMSG);
    EQ(fault.kind, FT_FAULT_DEPTH);
    STREQ(ft_fault_text(fault.kind), "messages are nested too deep");
}

TEST(eighty_nested_values_in_176_bytes_are_refused)
{
    CLEANUP(ft_buf_fini) struct ft_buf b = FT_BUF_INIT(4096);
    struct ft_fault                    fault = {0};

    for (int i = 0; i < 40; i++) {
        test_wrap(&b, 1); /* ArrayValue.values */
        test_wrap(&b, 5); /* AnyValue.array_value */
    }
    EQ(b.len, 176);
    ERR(ft_scan(ft_buf_slice(&b), &opamp__proto__any_value__descriptor, &defaults, &fault),
        EBADMSG);
    EQ(fault.kind, FT_FAULT_DEPTH);
}

TEST(four_mebibytes_of_empty_fields_are_refused)
{
    CLEANUP(ft_buf_fini) struct ft_buf b = FT_BUF_INIT(FT_MESSAGE_MAX_DEFAULT);

    OK(ft_buf_reserve(&b, FT_MESSAGE_MAX_DEFAULT));
    while (b.len + 2 <= FT_MESSAGE_MAX_DEFAULT - 10)
        OK(ft_buf_add(&b, "\x0a\0", 2)); /* identifying_attributes, empty */
    test_wrap(&b, 3);
    EQ(scan(ft_buf_slice(&b)), FT_FAULT_ELEMENTS);
}

TEST(the_count_of_fields_is_exact)
{
    CLEANUP(ft_buf_fini) struct ft_buf b = FT_BUF_INIT(FT_MESSAGE_MAX_DEFAULT);

    for (int i = 0; i < FT_SCAN_ELEMENTS_MAX; i++)
        OK(ft_buf_add(&b, "\x10\x01", 2));
    EQ(scan(ft_buf_slice(&b)), FT_FAULT_NONE);
    OK(ft_buf_add(&b, "\x10\x01", 2));
    EQ(scan(ft_buf_slice(&b)), FT_FAULT_ELEMENTS);
}

TEST(every_fault_has_a_text)
{
    for (int i = 0; i < FT_FAULT_COUNT; i++)
        GT(strlen(ft_fault_text((enum ft_fault_kind)i)), 5);
    EQ(ft_fault_text((enum ft_fault_kind)12345), ft_fault_text(FT_FAULT_DECODE));
}

TEST(random_bytes_that_pass_the_scan_are_decoded)
{
    const struct ft_limits limits = {.message_max = 4096};
    uint64_t               state = test_seed();
    size_t                 passed = 0;

    for (size_t i = 0; i < test_tasks(300000); i++) {
        size_t   len = test_random(&state) % 24;
        uint8_t *bytes = malloc(len ? len : 1);

        for (size_t j = 0; j < len; j++) /* small numbers make tags and lengths that fit */
            bytes[j] = (uint8_t)(test_random(&state) % (test_random(&state) % 2 ? 128 : 12));
        if (scan(rn_slice(bytes, len)) == FT_FAULT_NONE) {
            CLEANUP(ft_agent_message_fini) struct ft_agent_message m = {0};

            OK(ft_opamp_decode_agent(rn_slice(bytes, len), &limits, &m, NULL));
            passed++;
        }
        free(bytes);
    }
    GT(passed, 0);
}
