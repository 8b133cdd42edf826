/* Frames and the buffer they are written to. */
#include <proto/frame.h>

#include <errno.h>

#include <base/cleanup.h>

#include "testing.h"

#define LITERAL(s) rn_slice("" s, sizeof(s) - 1)

TEST(a_frame_comes_out_as_it_went_in)
{
    CLEANUP(ft_buf_fini) struct ft_buf b = FT_BUF_INIT(1024);
    struct ft_frame                    f;

    OK(ft_frame_encode(LITERAL("hello"), 100, &b));
    EQ(b.len, 4 + 1 + 5);
    MEMEQ(b.data, "\0\0\0\6\0hello", b.len);
    EQ(ft_frame_decode(ft_buf_slice(&b), 100, &f), 1);
    EQ(f.len, b.len);
    TRUE(rn_slice_eq_str(f.message, "hello"));
}

TEST(a_frame_in_pieces_asks_for_the_rest)
{
    static const char whole[] = "\0\0\0\6\0hello";
    struct ft_frame   f;

    for (size_t n = 0; n < 4; n++) {
        EQ(ft_frame_decode(rn_slice(whole, n), 100, &f), 0);
        EQ(f.len, 5);
    }
    for (size_t n = 4; n < 10; n++) {
        EQ(ft_frame_decode(rn_slice(whole, n), 100, &f), 0);
        EQ(f.len, 10);
    }
    EQ(ft_frame_decode(rn_slice(whole, 10), 100, &f), 1);
}

TEST(two_frames_are_taken_one_by_one)
{
    CLEANUP(ft_buf_fini) struct ft_buf b = FT_BUF_INIT(1024);
    struct ft_frame                    f;

    OK(ft_frame_encode(LITERAL("a"), 100, &b));
    OK(ft_frame_encode(LITERAL(""), 100, &b));
    EQ(ft_frame_decode(ft_buf_slice(&b), 100, &f), 1);
    TRUE(rn_slice_eq_str(f.message, "a"));
    ft_buf_consume(&b, f.len);
    EQ(ft_frame_decode(ft_buf_slice(&b), 100, &f), 1);
    EQ(f.message.len, 0);
    EQ(f.len, b.len);
}

TEST(malformed_frames_are_refused_at_their_first_wrong_byte)
{
    struct ft_frame f;

    ERR(ft_frame_decode(LITERAL("\0\0\0\0"), 100, &f), EBADMSG);    /* length 0 */
    ERR(ft_frame_decode(LITERAL("\0\0\0\x65"), 100, &f), EMSGSIZE); /* over message_max */
    ERR(ft_frame_decode(LITERAL("GET "), FT_MESSAGE_MAX_LIMIT, &f), EMSGSIZE);
    ERR(ft_frame_decode(LITERAL("\0\0\0\x64\1"), 100, &f), EBADMSG);     /* header 1 */
    ERR(ft_frame_decode(LITERAL("\0\0\0\x64\x80\1"), 100, &f), EBADMSG); /* header 128 */
    ERR(ft_frame_decode(LITERAL("\0\0\0\1\x80"), 100, &f),
        EBADMSG); /* header longer than the frame */
    ERR(ft_frame_decode(LITERAL("\0\0\0\x64\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80"), 100, &f),
        EBADMSG);
    EQ(ft_frame_decode(LITERAL("\0\0\0\x64"), 100, &f), 0);
}

TEST(a_header_of_ten_bytes_is_still_zero)
{
    struct ft_frame f;
    struct rn_slice m;

    EQ(ft_frame_decode(LITERAL("\0\0\0\xb\x80\x80\x80\x80\x80\x80\x80\x80\x80\0x"), 100, &f), 1);
    TRUE(rn_slice_eq_str(f.message, "x"));
    OK(ft_envelope_decode(LITERAL("\0x"), &m));
    TRUE(rn_slice_eq_str(m, "x"));
    OK(ft_envelope_decode(LITERAL("\0"), &m));
    EQ(m.len, 0);
    ERR(ft_envelope_decode(LITERAL(""), &m), EBADMSG);
    ERR(ft_envelope_decode(LITERAL("\x80"), &m), EBADMSG);
    ERR(ft_envelope_decode(LITERAL("\x0a\x10"), &m), EBADMSG);
}

TEST(a_message_over_the_maximum_is_not_framed)
{
    CLEANUP(ft_buf_fini) struct ft_buf b = FT_BUF_INIT(1024);

    ERR(ft_frame_encode(LITERAL("123456"), 6, &b), EMSGSIZE); /* the header counts */
    OK(ft_frame_encode(LITERAL("12345"), 6, &b));
    EQ(b.len, 10);
    ERR(ft_frame_begin(FT_MESSAGE_MAX_LIMIT, SIZE_MAX, &b), EMSGSIZE);
    EQ(b.len, 10);
}

TEST(a_buffer_never_passes_its_maximum_and_keeps_its_first_error)
{
    CLEANUP(ft_buf_fini) struct ft_buf b = FT_BUF_INIT(10);

    OK(ft_buf_add_str(&b, "12345678"));
    ERR(ft_buf_add_str(&b, "abc"), E2BIG);
    ERR(ft_buf_add_byte(&b, 'x'), E2BIG); /* it would fit, but something is missing before it */
    EQ(b.len, 8);
    ERR(ft_buf_error(&b), E2BIG);
    ft_buf_clear(&b);
    OK(ft_buf_printf(&b, "%s-%d", "abc", 12));
    TRUE(rn_slice_eq_str(ft_buf_slice(&b), "abc-12"));
    ERR(ft_buf_printf(&b, "%600d", 1), E2BIG);
    EQ(b.len, 6);
}

TEST(a_buffer_formats_long_texts_and_big_endian_numbers)
{
    CLEANUP(ft_buf_fini) struct ft_buf b = FT_BUF_INIT(5000);
    uint8_t                           *taken;
    size_t                             len;

    OK(ft_buf_printf(&b, "%4000d", 7));
    EQ(b.len, 4000);
    EQ(b.data[3999], '7');
    ft_buf_consume(&b, 3999);
    OK(ft_buf_add_be32(&b, 0x01020304));
    OK(ft_buf_add_be64(&b, 5));
    MEMEQ(b.data, "7\1\2\3\4\0\0\0\0\0\0\0\5", 13);
    taken = ft_buf_take(&b, &len);
    EQ(len, 13);
    EQ(b.len, 0);
    free(taken);
}

TEST(random_bytes_never_hurt_the_frame_decoder)
{
    uint64_t state = test_seed();

    for (size_t i = 0; i < test_tasks(200000); i++) {
        uint8_t         bytes[24];
        size_t          len = test_random(&state) % sizeof(bytes);
        struct ft_frame f = {0};
        int             r;

        for (size_t j = 0; j < len; j++)
            bytes[j] = test_random(&state) % 3 ? 0 : (uint8_t)test_random(&state);
        r = ft_frame_decode(rn_slice(bytes, len), 64, &f);
        if (r == 1)
            TRUE(f.len <= len && f.message.len < f.len);
        else if (r == 0)
            GT(f.len, len);
    }
}
