/* Text: what is valid, and how the rest is made so. */
#include <proto/utf8.h>

#include <stdlib.h>

#include "testing.h"

static bool valid(const char *s)
{
    return ft_utf8_valid(rn_slice_str(s));
}

TEST(well_formed_text_is_valid)
{
    TRUE(valid(""));
    TRUE(valid("plain ascii that is longer than eight bytes"));
    TRUE(valid("h\xc3\xa9llo \xe2\x82\xac \xf0\x9f\x98\x80"));
    TRUE(valid("\xed\x9f\xbf\xee\x80\x80")); /* around the surrogates */
    TRUE(valid("\xf4\x8f\xbf\xbf"));         /* U+10FFFF */
    TRUE(ft_utf8_valid(rn_slice("\0", 1)));  /* NUL is a character; strings forbid it elsewhere */
}

TEST(ill_formed_text_is_not)
{
    static const char *const bad[] = {"\x80",
                                      "\xc3",
                                      "\xc0\x80",
                                      "\xc1\xbf",
                                      "\xe0\x9f\xbf",
                                      "\xed\xa0\x80",
                                      "\xe2\x82",
                                      "\xf0\x8f\xbf\xbf",
                                      "\xff",
                                      "\xf4\x90\x80\x80",
                                      "\xf5\x80\x80\x80",
                                      "abcdefgh\x80"};

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        test_note("case %zu", i);
        FALSE(valid(bad[i]));
    }
    EQ(ft_utf8_prefix(rn_slice_str("abc\xe2\x82")), 3);
}

static void expect_clean(const char *in, size_t len, const char *want)
{
    char out[64];

    EQ(ft_text_clean(rn_slice(in, len), out, sizeof(out)), strlen(want));
    STREQ(out, want);
}

TEST(bad_bytes_and_nul_become_replacement_characters)
{
    expect_clean("a\xff"
                 "b",
                 3,
                 "a\xef\xbf\xbd"
                 "b");
    expect_clean("a\0b", 3,
                 "a\xef\xbf\xbd"
                 "b");
    expect_clean("\xe2\x82", 2,
                 "\xef\xbf\xbd"); /* one for a beginning that could have been right */
    expect_clean("\xe2\x82(", 3, "\xef\xbf\xbd(");
    expect_clean("\xed\xa0\x80", 3, "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd");
    expect_clean("", 0, "");
}

TEST(text_is_cut_between_characters)
{
    char   out[8], big[FT_TEXT_MAX + 2];
    char  *long_text = malloc(3 * FT_TEXT_MAX);
    size_t len;

    EQ(ft_text_clean(rn_slice_str("ab\xe2\x82\xac\xe2\x82\xac"), out, sizeof(out)), 5);
    STREQ(out, "ab\xe2\x82\xac");
    EQ(ft_text_clean(rn_slice_str("abc"), out, 1), 0);
    EQ(ft_text_clean(rn_slice_str("abc"), out, 0), 0);
    EQ(ft_utf8_cut(rn_slice_str("ab\xe2\x82\xac"), 4).len, 2);
    EQ(ft_utf8_cut(rn_slice_str("ab\xe2\x82\xac"), 5).len, 5);
    EQ(ft_utf8_cut(rn_slice_str("\xe2\x82\xac"), 0).len, 0);

    for (size_t i = 0; i < FT_TEXT_MAX; i++)
        memcpy(long_text + 3 * i, "\xe2\x82\xac", 3);
    len = ft_text_clean(rn_slice(long_text, 3 * FT_TEXT_MAX), big, sizeof(big));
    EQ(len, FT_TEXT_MAX / 3 * 3);
    free(long_text);
}

TEST(whatever_comes_in_what_goes_out_is_valid)
{
    uint64_t state = test_seed();

    for (size_t i = 0; i < test_tasks(100000); i++) {
        uint8_t in[40];
        char    out[48];
        size_t len = test_random(&state) % sizeof(in), size = 1 + test_random(&state) % sizeof(out),
               n;

        for (size_t j = 0; j < len; j++)
            in[j] = (uint8_t)(test_random(&state) % 2 ? test_random(&state)
                                                      : 0x80 | test_random(&state) % 0x7f);
        n = ft_text_clean(rn_slice(in, len), out, size);
        LT(n, size);
        EQ(strlen(out), n);
        TRUE(ft_utf8_valid(rn_slice(out, n)));
        if (ft_utf8_valid(rn_slice(in, len)) && !memchr(in, 0, len) && len < size)
            MEMEQ(out, in, len);
    }
}
