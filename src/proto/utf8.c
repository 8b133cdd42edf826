/* UTF-8 by the table of well-formed sequences (Unicode, table 3-7): the first byte fixes the length
 * and the range of the second. ASCII runs are skipped eight bytes at a time. */
#include <proto/utf8.h>

/* At `p` with `n` > 0 bytes left: the length of the well-formed character there, or 0 and in
 * *ret_bad the length of the longest beginning that could have become one (at least 1), which is
 * what one U+FFFD stands for. */
static size_t char_len(const uint8_t *p, size_t n, size_t *ret_bad)
{
    uint8_t low = 0x80, high = 0xbf;
    size_t  len;

    *ret_bad = 1;
    if (p[0] < 0x80)
        return 1;
    if (p[0] < 0xc2 || p[0] > 0xf4)
        return 0;
    len = p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;
    if (p[0] == 0xe0)
        low = 0xa0; /* else a shorter form exists */
    else if (p[0] == 0xed)
        high = 0x9f; /* surrogates */
    else if (p[0] == 0xf0)
        low = 0x90;
    else if (p[0] == 0xf4)
        high = 0x8f; /* above U+10FFFF */

    for (size_t i = 1; i < len; i++) {
        if (i >= n || p[i] < low || p[i] > high) {
            *ret_bad = i;
            return 0;
        }
        low = 0x80;
        high = 0xbf;
    }
    return len;
}

static size_t ascii_run(const uint8_t *p, size_t n)
{
    size_t i = 0;

    for (; i + 8 <= n; i += 8) {
        uint64_t w;
        memcpy(&w, p + i, 8);
        if (w & UINT64_C(0x8080808080808080))
            break;
    }
    while (i < n && p[i] < 0x80)
        i++;
    return i;
}

size_t ft_utf8_prefix(struct rn_slice s)
{
    size_t at = 0, bad, len;

    while (at < s.len) {
        at += ascii_run(s.data + at, s.len - at);
        if (at == s.len)
            break;
        len = char_len(s.data + at, s.len - at, &bad);
        if (len == 0)
            break;
        at += len;
    }
    return at;
}

bool ft_utf8_valid(struct rn_slice s)
{
    return ft_utf8_prefix(s) == s.len;
}

struct rn_slice ft_utf8_cut(struct rn_slice s, size_t max)
{
    if (s.len <= max)
        return s;
    while (max > 0 && (s.data[max] & 0xc0) == 0x80)
        max--;
    return rn_slice(s.data, max);
}

size_t ft_text_clean(struct rn_slice in, char *out, size_t out_size)
{
    static const char replacement[] = "\xef\xbf\xbd";
    size_t            room = out_size > 0 ? out_size - 1 : 0;
    size_t            len = 0, at = 0;

    if (out_size == 0)
        return 0;
    if (room > FT_TEXT_MAX)
        room = FT_TEXT_MAX;
    while (at < in.len) {
        const uint8_t *from = in.data + at;
        size_t         skip;
        size_t         take = char_len(from, in.len - at, &skip);

        at += take ? take : skip;
        if (take == 0 || *from == 0) {
            from = (const uint8_t *)replacement;
            take = 3;
        }
        if (take > room - len)
            break;
        memcpy(out + len, from, take);
        len += take;
    }
    out[len] = 0;
    return len;
}
