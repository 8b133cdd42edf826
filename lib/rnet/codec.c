/* The two codecs that come with rnet: pure functions over what has arrived. */
#include <rnet/server.h>

#include <errno.h>
#include <string.h>

static size_t length_prefixed_announced(struct rn_slice in)
{
    if (in.len < 4)
        return 0;
    return (size_t)in.data[0] << 24 | (size_t)in.data[1] << 16 | (size_t)in.data[2] << 8 |
           in.data[3];
}

static ssize_t length_prefixed_next(struct rn_slice in, size_t frame_max,
                                    struct rn_slice *ret_frame)
{
    const size_t len = length_prefixed_announced(in);

    if (in.len < 4)
        return 0;
    if (len > frame_max)
        return -EMSGSIZE;
    if (in.len - 4 < len)
        return 0;
    *ret_frame = rn_slice(in.data + 4, len);
    return (ssize_t)(4 + len);
}

const struct rnet_codec rnet_codec_length_prefixed = {"length-prefixed", length_prefixed_next,
                                                      length_prefixed_announced};

static ssize_t line_next(struct rn_slice in, size_t frame_max, struct rn_slice *ret_frame)
{
    const uint8_t *end = in.len ? memchr(in.data, '\n', in.len) : NULL;
    size_t len;

    if (!end) /* one more byte may be a \r */
        return in.len > frame_max + 1 ? -EMSGSIZE : 0;
    len = (size_t)(end - in.data);
    if (len > 0 && in.data[len - 1] == '\r')
        len--;
    if (len > frame_max)
        return -EMSGSIZE;
    *ret_frame = rn_slice(in.data, len);
    return end - in.data + 1;
}

const struct rnet_codec rnet_codec_line = {"line", line_next, NULL};
