/* The fanout, as fanout.c and collect.c see it. */
#pragma once

#include <runnel/lock.h>

#include <base/list.h>

#include "metrics/fanout.h"

/* What the maker keeps of a lane. */
struct ft_lane_record {
    struct list in_fanout;
    struct ft_lane *lane;
    struct ft_exporter_spec spec; /* with a reference of its yaml */
    bool draining;                /* it takes no offers any more */
    _Atomic bool over;            /* it has drained, and comes into no new set */
    _Atomic uint32_t sets;        /* that name it; its departure is one more */
};

/* The lanes at one moment: immutable and counted, so who offers or looks holds what it has while a
 * reload exchanges the set. It is held for the length of one call that does not suspend. */
struct ft_lane_set {
    _Atomic uint32_t refs;
    uint32_t required; /* of those that take offers */
    size_t n;          /* the first n take offers, the rest drains */
    size_t n_all;
    struct ft_ledger_view *seen; /* whoever collects, one thread at a time: by item */
    struct {
        struct ft_lane_record *record;
        struct ft_lane *lane;
        bool required;
    } items[];
};

struct ft_fanout {
    /* set once */
    struct rn_scope scope; /* of the lanes' tasks; owned by the maker's task */
    ft_lane_decided_fn *decided;
    void *decided_arg;
    struct ft_events *events; /* borrowed */
    const char *data_dir;
    struct ft_lane_tuning tuning;

    /* the maker's task */
    struct list lanes; /* of struct ft_lane_record, drained ones until they can be freed */
    size_t made;
    bool left_hanging; /* a lane that is gone left a call behind */

    /* any thread */
    struct ft_ledger none; /* the books when there is no lane */
    _Atomic bool stopping; /* what is offered now comes too late */

    /* lock */
    struct rn_lock lock;
    struct ft_lane_set *set;
};

/* Hold the lanes of this moment, and let go. Any thread. */
struct ft_lane_set *ft_fanout_lanes(struct ft_fanout *f);
void ft_lane_set_unref(struct ft_lane_set *s);
/* How many items people see: the lanes, and `none` where nobody takes offers. It is the last. */
static inline size_t ft_lane_set_count(const struct ft_lane_set *s)
{
    return s->n_all + (s->n == 0);
}
