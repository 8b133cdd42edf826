/* Frames over a stream, for tasks: the codecs of the reactor face on what has been read. */
#include <rnet/stream.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <rnet/server.h>

#define BUF_FIRST 4096u /* a heartbeat fits */
#define BUF_KEEP  16384u

/* Room for at least one more byte behind `end`. */
static int reader_reserve(struct rnet_frame_reader *fr)
{
    const size_t live = fr->end - fr->begin;
    uint8_t *wider;
    size_t cap;

    if (fr->begin > 0) {
        memmove(fr->buf, fr->buf + fr->begin, live);
        fr->begin = 0;
        fr->end = live;
    }
    if (fr->end < fr->cap)
        return 0;
    cap = fr->cap ? fr->cap * 2 : BUF_FIRST;
    wider = realloc(fr->buf, cap);
    if (!wider)
        return -ENOMEM;
    fr->buf = wider;
    fr->cap = cap;
    return 0;
}

/* The frame handed out last is done with; a buffer that has grown for it goes once it is empty. */
static void reader_trim(struct rnet_frame_reader *fr)
{
    if (fr->begin < fr->end)
        return;
    fr->begin = fr->end = 0;
    if (fr->cap > BUF_KEEP)
        rnet_frame_reader_fini(fr);
}

int rnet_frame_reader_next(struct rnet_frame_reader *fr, struct rn_slice *ret_frame,
                           rn_time deadline)
{
    reader_trim(fr);
    for (;;) {
        struct rn_slice in = rn_slice(fr->buf + fr->begin, fr->end - fr->begin);
        ssize_t n = in.len ? fr->codec->next(in, fr->frame_max, ret_frame) : 0;
        int r;

        if (n != 0) {
            if (n > 0)
                fr->begin += (size_t)n;
            return n > 0 ? 1 : (int)n;
        }
        r = reader_reserve(fr);
        if (r < 0)
            return r;
        n = rnet_stream_read(fr->stream, fr->buf + fr->end, fr->cap - fr->end, deadline);
        if (n < 0)
            return (int)n;
        if (n == 0)
            return fr->end > fr->begin ? -ENODATA : 0;
        fr->end += (size_t)n;
    }
}

void rnet_frame_reader_fini(struct rnet_frame_reader *fr)
{
    free(fr->buf);
    fr->buf = NULL;
    fr->cap = fr->begin = fr->end = 0;
}

int rnet_stream_write_frame(struct rnet_stream *s, struct rn_slice payload, rn_time deadline)
{
    const uint32_t n = (uint32_t)payload.len;
    uint8_t header[4] = {(uint8_t)(n >> 24), (uint8_t)(n >> 16), (uint8_t)(n >> 8), (uint8_t)n};
    const struct iovec iov[2] = {{header, sizeof(header)},
                                 {(void *)(uintptr_t)payload.data, payload.len}};

    if (payload.len > UINT32_MAX)
        return -EMSGSIZE;
    return rnet_stream_writev(s, iov, 2, deadline);
}

int rnet_stream_read_frame(struct rnet_stream *s, size_t frame_max, rn_time deadline,
                           uint8_t **ret_payload, size_t *ret_len)
{
    uint8_t header[4], *payload;
    ssize_t n = rnet_stream_read(s, header, sizeof(header), deadline);
    size_t len;
    int r;

    if (n <= 0)
        return (int)n;
    r = rnet_stream_read_full(s, header + n, sizeof(header) - (size_t)n, deadline);
    if (r < 0)
        return r;
    len = (size_t)header[0] << 24 | (size_t)header[1] << 16 | (size_t)header[2] << 8 | header[3];
    if (len > frame_max)
        return -EMSGSIZE;
    payload = malloc(len ? len : 1);
    if (!payload)
        return -ENOMEM;
    r = rnet_stream_read_full(s, payload, len, deadline);
    if (r < 0) {
        free(payload);
        return r;
    }
    *ret_payload = payload;
    *ret_len = len;
    return 1;
}
