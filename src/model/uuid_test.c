/* UUIDs: made, shown, read. */
#include <model/uuid.h>

#include <errno.h>
#include <time.h>

#include <harness/test.h>

TEST(a_new_uuid_has_version_seven_and_the_time)
{
    struct ft_uuid a, b;
    uint64_t       ms = 0;

    OK(ft_uuid_new(&a));
    OK(ft_uuid_new(&b));
    EQ(a.bytes[6] >> 4, 7);
    EQ(a.bytes[8] >> 6, 2);
    FALSE(ft_uuid_eq(&a, &b));
    NE(ft_uuid_hash(&a), ft_uuid_hash(&b));
    for (int i = 0; i < 6; i++)
        ms = ms << 8 | a.bytes[i];
    GT(ms / 1000, UINT64_C(1700000000));
}

TEST(uuids_sort_by_their_time)
{
    static const uint8_t high[10] = {255, 255, 255, 255, 255, 255, 255, 255, 255, 255},
                         low[10] = {0};
    struct ft_uuid a = ft_uuid_make(1000, high), b = ft_uuid_make(1001, low);

    LT(ft_uuid_cmp(&a, &b), 0);
    GT(ft_uuid_cmp(&b, &a), 0);
    EQ(ft_uuid_cmp(&a, &a), 0);
}

TEST(a_uuid_is_shown_and_read_back)
{
    static const char want[] = "0190f5c2-5b3e-7c11-9f0a-2f1c7d1f0b6a";
    char              text[FT_UUID_TEXT_SIZE];
    struct ft_uuid    u, upper;

    OK(ft_uuid_parse(rn_slice_str(want), &u));
    EQ(u.bytes[0], 0x01);
    EQ(u.bytes[15], 0x6a);
    ft_uuid_format(&u, text);
    STREQ(text, want);
    OK(ft_uuid_parse(rn_slice_str("0190F5C2-5B3E-7C11-9F0A-2F1C7D1F0B6A"), &upper));
    TRUE(ft_uuid_eq(&u, &upper));
    FALSE(ft_uuid_is_zero(&u));
    TRUE(ft_uuid_is_zero(&(struct ft_uuid){0}));
}

TEST(what_is_not_a_uuid_is_refused)
{
    static const char *const bad[] = {"",
                                      "0190f5c2",
                                      "0190f5c2-5b3e-7c11-9f0a-2f1c7d1f0b6",
                                      "0190f5c2-5b3e-7c11-9f0a-2f1c7d1f0b6a0",
                                      "0190f5c25b3e-7c11-9f0a-2f1c7d1f0b6a-",
                                      "0190f5c2-5b3e-7c11-9f0a-2f1c7d1f0b6g",
                                      "0190f5c2-5b3e-7c11-9f0a-2f1c7d1f0b6 "};
    struct ft_uuid           u;

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        test_note("case %zu", i);
        ERR(ft_uuid_parse(rn_slice_str(bad[i]), &u), EINVAL);
    }
    ERR(ft_uuid_from_bytes(rn_slice("123456789012345", 15), &u), EINVAL);
    OK(ft_uuid_from_bytes(rn_slice("1234567890123456", 16), &u));
    TRUE(rn_slice_eq_str(ft_uuid_slice(&u), "1234567890123456"));
}
