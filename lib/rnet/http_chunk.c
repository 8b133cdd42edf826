#include "http_chunk.h"

enum state { SIZE, EXTENSION, SIZE_LF, DATA, DATA_CR, DATA_LF, TRAILER, TRAILER_LF, DONE };

/* What may follow the digits: the end of the line, or an extension. White space may stand only
 * before the ';' of one: read_extension() sees to that. */
static int end_digits(struct rnet__chunk *c, uint8_t b)
{
    if (!c->digits || (b != '\r' && b != ';' && b != ' ' && b != '\t'))
        return -400;
    c->state = b == '\r' ? SIZE_LF : EXTENSION;
    c->line = b == ';';
    return 0;
}

static int read_size(struct rnet__chunk *c, uint8_t b)
{
    unsigned digit;

    if (b >= '0' && b <= '9')
        digit = b - '0';
    else if ((b | 0x20) >= 'a' && (b | 0x20) <= 'f')
        digit = (b | 0x20) - 'a' + 10u;
    else
        return end_digits(c, b);

    if (++c->digits > 15)
        return -400;
    c->left = c->left << 4 | digit;
    return 0;
}

/* `line` 0: no ';' yet, only white space is allowed. */
static int read_extension(struct rnet__chunk *c, uint8_t b)
{
    if (b == '\r') {
        c->state = SIZE_LF;
        return c->line ? 0 : -400;
    }
    if (c->line == 0) {
        c->line = b == ';';
        return b == ';' || b == ' ' || b == '\t' ? 0 : -400;
    }
    if ((b < ' ' && b != '\t') || b == 127 || ++c->line > RNET__CHUNK_EXTENSION_MAX)
        return -400;
    return 0;
}

static int end_size(struct rnet__chunk *c, uint8_t b)
{
    if (b != '\n')
        return -400;
    c->state = c->left ? DATA : TRAILER;
    c->line = 0;
    c->digits = 0;
    c->in_line = false;
    return 0;
}

static int read_trailer(struct rnet__chunk *c, uint8_t b)
{
    if (b == '\r') {
        c->state = TRAILER_LF;
        return 0;
    }
    if ((b < ' ' && b != '\t') || b == 127 || ++c->line > RNET__CHUNK_TRAILER_MAX)
        return -400;
    c->in_line = true;
    return 0;
}

static int end_trailer(struct rnet__chunk *c, uint8_t b)
{
    if (b != '\n')
        return -400;
    c->state = c->in_line ? TRAILER : DONE;
    c->in_line = false;
    return 0;
}

static int read_framing(struct rnet__chunk *c, uint8_t b)
{
    if (++c->framing > c->data + RNET__CHUNK_OVERHEAD_MAX)
        return -400;
    switch ((enum state)c->state) {
    case SIZE: return read_size(c, b);
    case EXTENSION: return read_extension(c, b);
    case SIZE_LF: return end_size(c, b);
    case DATA_CR: c->state = DATA_LF; return b == '\r' ? 0 : -400;
    case DATA_LF: c->state = SIZE; return b == '\n' ? 0 : -400;
    case TRAILER: return read_trailer(c, b);
    case TRAILER_LF: return end_trailer(c, b);
    case DATA:
    case DONE: break;
    }
    return -400;
}

int rnet__chunk_next(struct rnet__chunk *c, struct rn_slice *in, struct rn_slice *ret_data)
{
    *ret_data = (struct rn_slice){in->data, 0};
    while (in->len && c->state != DONE) {
        if (c->state == DATA) {
            size_t n = in->len < c->left ? in->len : (size_t)c->left;

            *ret_data = (struct rn_slice){in->data, n};
            *in = rn_slice_from(*in, n);
            c->data += n;
            c->left -= n;
            if (c->left == 0)
                c->state = DATA_CR;
            return 0;
        }
        uint8_t b = in->data[0];
        *in = rn_slice_from(*in, 1);
        if (read_framing(c, b) < 0)
            return -400;
    }
    return c->state == DONE;
}
