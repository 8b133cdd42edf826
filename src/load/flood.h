/* The flood: clients that write frames as fast as they are answered, and check every answer.
 *
 * A client is a task. It connects, writes a window of frames (a length of four bytes, then the
 * payload), reads as many answers, and so on until its connection has had its frames; then the next
 * connection. An answer is the frame `receive success` and the payload. What breaks off is counted
 * and begun again.
 */
#pragma once

#include <stdatomic.h>

#include <runnel/lock.h>
#include <runnel/task.h>

#include <rnet/addr.h>

#include "spread.h"
#include "usage.h"

struct ft_flood_options {
    struct rnet_addr server;
    uint64_t clients;
    uint64_t frames; /* of each connection; 0: until `duration` is over */
    uint64_t rounds; /* connections of each client, one after the other */
    uint64_t window; /* frames written before answers are read */
    uint64_t size;   /* of a payload */
    rn_time  duration;
    int      pid; /* of the server; 0: none is watched */
    bool     json;
};

struct ft_flood {
    /* set once */
    struct ft_flood_options options;
    const atomic_bool *stop; /* set by a signal */
    rn_time deadline;

    /* what was counted; while clients run: under the lock */
    struct rn_lock lock;
    uint64_t connects, connect_errors, broken; /* connections */
    uint64_t frames, wrong;                    /* answers */
    uint64_t clients_done;
    struct ft_spread connect, answer; /* of a window */
    rn_time  began, ended;
    struct ft_usage usage_before, usage_ended;
};

/* 0; -ETIMEDOUT: not all clients had all their frames answered; -EBADMSG: an answer was wrong;
 * -EMFILE, -ENOMEM. From a task; suspends. */
int  ft_flood_run(struct ft_flood *f);
void ft_flood_report(const struct ft_flood *f);
