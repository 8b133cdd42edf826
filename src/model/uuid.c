/* Version 7 (RFC 9562): 48 bits of milliseconds, the version, 12 random bits, the variant, 62
 * random bits. */
#include <model/uuid.h>

#include <errno.h>
#include <sys/random.h>
#include <time.h>

#include "hex.h"

struct ft_uuid ft_uuid_make(uint64_t unix_ms, const uint8_t random[10])
{
    struct ft_uuid u;

    for (int i = 0; i < 6; i++)
        u.bytes[i] = (uint8_t)(unix_ms >> (40 - 8 * i));
    memcpy(u.bytes + 6, random, 10);
    u.bytes[6] = (uint8_t)(0x70 | (u.bytes[6] & 0x0f));
    u.bytes[8] = (uint8_t)(0x80 | (u.bytes[8] & 0x3f));
    return u;
}

int ft_uuid_new(struct ft_uuid *ret)
{
    struct timespec now;
    uint8_t         random[10];
    ssize_t         n;

    if (clock_gettime(CLOCK_REALTIME, &now) < 0)
        return -errno;
    do
        n = getrandom(random, sizeof(random), 0);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return -errno;
    if (n != (ssize_t)sizeof(random))
        return -EIO; /* requests up to 256 bytes are never cut */
    *ret = ft_uuid_make((uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000, random);
    return 0;
}

int ft_uuid_from_bytes(struct rn_slice bytes, struct ft_uuid *ret)
{
    if (bytes.len != sizeof(ret->bytes))
        return -EINVAL;
    memcpy(ret->bytes, bytes.data, sizeof(ret->bytes));
    return 0;
}

/* A hyphen stands before bytes 4, 6, 8 and 10. */
static bool hyphen_before(size_t byte)
{
    return byte == 4 || byte == 6 || byte == 8 || byte == 10;
}

void ft_uuid_format(const struct ft_uuid *u, char out[FT_UUID_TEXT_SIZE])
{
    static const char digits[] = "0123456789abcdef";
    char             *at = out;

    for (size_t i = 0; i < sizeof(u->bytes); i++) {
        if (hyphen_before(i))
            *at++ = '-';
        *at++ = digits[u->bytes[i] >> 4];
        *at++ = digits[u->bytes[i] & 15];
    }
    *at = 0;
}

int ft_uuid_parse(struct rn_slice text, struct ft_uuid *ret)
{
    const uint8_t *at = text.data;
    struct ft_uuid u;

    if (text.len != FT_UUID_TEXT_LEN)
        return -EINVAL;
    for (size_t i = 0; i < sizeof(u.bytes); i++) {
        int high, low;

        if (hyphen_before(i) && *at++ != '-')
            return -EINVAL;
        high = ft__hex_value(*at++);
        low = ft__hex_value(*at++);
        if (high < 0 || low < 0)
            return -EINVAL;
        u.bytes[i] = (uint8_t)(high << 4 | low);
    }
    *ret = u;
    return 0;
}

/* Version 7 begins with the time, so both halves are mixed (the finalizer of splitmix64). */
uint64_t ft_uuid_hash(const struct ft_uuid *u)
{
    uint64_t high, low, h;

    memcpy(&high, u->bytes, 8);
    memcpy(&low, u->bytes + 8, 8);
    h = high ^ (low * UINT64_C(0x9e3779b97f4a7c15));
    h = (h ^ h >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    h = (h ^ h >> 27) * UINT64_C(0x94d049bb133111eb);
    return h ^ h >> 31;
}
