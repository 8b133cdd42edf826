/* What the server is to know: which parts of our state it has not heard yet.
 *
 * Not a queue but a set of level bits: a part that changes twice before it leaves is sent once, as
 * it is then. A part counts as heard when something came back after it was sent; what was still
 * unanswered when a connection broke is sent again. Should the server have missed something
 * nevertheless, the gap in the sequence numbers tells it, and it asks for everything.
 */
#pragma once

#include "bell.h"
#include "store.h"

enum ft_part {
    FT_PART_DESCRIPTION = 1,
    FT_PART_HEALTH = 2,
    FT_PART_EFFECTIVE = 4,
    FT_PART_STATUS = 8,    /* of the remote configuration */
    FT_PART_CUSTOM = 16,   /* custom capabilities */
    FT_PART_SETTINGS = 32, /* connection settings status */
    FT_PART_ALL = 63
};

struct ft_report {
    struct ft_bell bell;        /* the link waits for it */
    unsigned dirty;             /* enum ft_part: to be sent */
    unsigned unanswered;        /* sent on this connection, nothing came back since */
    bool beat;                  /* a heartbeat is due, even if it says nothing */
    uint64_t sequence;          /* of the last message */
    struct ft_outcome status;   /* of the remote configuration, APPLYING included */
    struct ft_outcome settings; /* of the connection settings */
};

static inline void ft_report_mark(struct ft_report *r, unsigned parts)
{
    r->dirty |= parts;
    ft_bell_ring(&r->bell);
}

/* The parts to send now; they count as sent. */
static inline unsigned ft_report_take(struct ft_report *r)
{
    unsigned parts = r->dirty;

    r->unanswered |= parts;
    r->dirty = 0;
    r->beat = false;
    return parts;
}

static inline void ft_report_answered(struct ft_report *r)
{
    r->unanswered = 0;
}

static inline void ft_report_disconnected(struct ft_report *r)
{
    r->dirty |= r->unanswered;
    r->unanswered = 0;
}
