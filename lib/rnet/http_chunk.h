/* The chunked coding of a body (RFC 9112, 7.1): a pure decoder over slices.
 *
 *     size --1*HEX--> (extension) --CRLF--> data --n bytes--> CRLF --> size ...
 *     size 0 --CRLF--> trailer lines --CRLF--> done
 *
 * Strict: sizes are 1 to 15 hex digits and nothing else, lines end in CRLF. Extensions are skipped
 * and trailers dropped, both within limits; the bytes of framing may not exceed the bytes of data
 * by more than a constant.
 */
#pragma once

#include <runnel/slice.h>

#define RNET__CHUNK_EXTENSION_MAX 256   /* of one chunk */
#define RNET__CHUNK_TRAILER_MAX   4096  /* all lines */
#define RNET__CHUNK_OVERHEAD_MAX  16384 /* bytes of framing beyond the bytes of data */

/* Zero-initialised before each body. */
struct rnet__chunk {
    uint8_t  state;
    uint8_t  digits;  /* of the size being read */
    bool     in_line; /* a trailer line has begun */
    uint16_t line;    /* bytes of the extension, or of the trailers so far */
    uint64_t left;    /* of the chunk's data */
    uint64_t data, framing;
};

/* Take from the front of *in; the part of it that is data (maybe empty) goes to *ret_data.
 * Returns 0: call again, with more when *in is empty; 1: the body is complete; -400: malformed; *in
 * is advanced. */
int rnet__chunk_next(struct rnet__chunk *c, struct rn_slice *in, struct rn_slice *ret_data);
