/* The fanout, as fanout.c and collect.c see it. */
#pragma once

#include "metrics/fanout.h"

struct ft_fanout {
    /* set once */
    struct rn_scope scope; /* of the lanes' tasks; owned by the maker's task */
    uint32_t required;
    ft_lane_decided_fn *decided;
    void *decided_arg;
    size_t n;
    struct ft_lane **lanes;

    /* any thread */
    struct ft_ledger none; /* the books when there is no lane */
    _Atomic bool stopping; /* what is offered now comes too late */

    /* whoever collects, one thread at a time */
    struct ft_ledger_view *seen; /* by lane; one for `none` */
};
