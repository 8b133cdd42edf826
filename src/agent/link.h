/* The connection to the server: framed TCP, kept up for ever.
 *
 *     WAIT --(full jitter)--> DIAL --> TALK --(end, error, refusal)--> WAIT
 *
 * In TALK one task writes what the report holds, another reads and hands each message to reply.c.
 * The first message of the agent's life says everything; after a reconnect only what was not heard,
 * and the status; the server asks if it knows less.
 */
#pragma once

#include <rnet/stream.h>

#include "report.h"

struct ft_agent;

#define FT_HEARTBEAT_NS_DEFAULT (30 * RN_S)

struct ft_link {
    /* the link's tasks */
    struct rnet_stream *stream; /* NULL: not connected */
    int end;                    /* why the talk has to end; 0: it goes on */
    bool greeted;               /* something came on this connection */
    bool metrics;               /* the server takes process metrics on this connection */
    rn_time silent_since;       /* since when we wait for an answer; 0: we don't */
    rn_time retry_after;        /* the server named a time; 0: none */
    unsigned failures;          /* in a row, for the jitter */
    bool introduced;            /* a full report has been sent in this life, to this server */
    bool moved;                 /* the agent's file names another server */

    /* anyone reads */
    char ip[64]; /* our address on the last connection */
};

/* The agent's file names another server: leave this one. Inside the monitor. */
void ft_link_move(struct ft_agent *a);
/* The task. */
int ft_link_task(void *agent);

/* Full jitter: uniform between 0 and min(max, base x 2^failures). */
rn_time ft_jitter(rn_time base, rn_time max, unsigned failures, uint64_t random);
