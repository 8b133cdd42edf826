/* The pulse: at each heartbeat interval one sample of each process, a look at the mapped files, and
 * a ring for the link. It goes on without a connection; samples wait in the buffer. */
#pragma once

#include "bell.h"

struct ft_agent;

struct ft_pulse {
    struct ft_bell bell;
    rn_time interval_ns;
    bool sampling;      /* the server took metrics at least once */
    bool sample_now;    /* the first sample goes out at once */
    bool restarted;     /* the interval changed: count from now */
    uint64_t signature; /* of the mapped files, at the last look */
};

int ft_pulse_task(void *agent);
/* The server offered an interval. */
void ft_pulse_set_interval(struct ft_pulse *p, rn_time interval_ns);
/* The server takes metrics: begin, if that is news. */
void ft_pulse_sample(struct ft_pulse *p);
