#include "metrics/intake.h"

#include <errno.h>
#include <stdlib.h>

#include <base/cleanup.h>

#include <model/sample.h>

#include "metrics/acks.h"
#include "metrics/fanout.h"
#include "metrics/latest.h"

struct ft_intake {
    /* set once; owned */
    struct ft_acks *acks;
    struct ft_latest *latest;
    struct ft_fanout *fanout;
};

static void batch_decided(void *arg, struct ft_batch *batch)
{
    struct ft_intake *in = arg;

    ft_acks_decided(in->acks, batch);
}

int ft_intake_new(const struct ft_fanout_options *options, ft_ack_fn *ack, void *ack_arg,
                  struct ft_intake **ret)
{
    CLEANUP(ft_intake_freep) struct ft_intake *in = calloc(1, sizeof(*in));
    struct ft_fanout_options o = *options;
    int r;

    if (!in)
        return -ENOMEM;
    o.decided = batch_decided;
    o.decided_arg = in;
    r = ft_acks_new(ack, ack_arg, &in->acks);
    if (r == 0)
        r = ft_latest_new(&in->latest);
    if (r == 0)
        r = ft_fanout_new(&o, &in->fanout);
    if (r < 0)
        return r;
    *ret = TAKE(in);
    return 0;
}

int ft_intake_offer(struct ft_intake *in, const struct ft_uuid *agent, struct rn_slice data,
                    struct ft_fault *reterr)
{
    CLEANUP(ft_batch_unrefp) struct ft_batch *batch = NULL;
    struct ft_metrics metrics;
    int r;

    r = ft_metrics_decode(data, &metrics, reterr);
    if (r < 0 || metrics.count == 0)
        return r;
    r = ft_batch_new(agent, &metrics, &batch);
    if (r < 0)
        return r;
    r = ft_acks_offered(in->acks, batch);
    if (r < 0)
        return r;
    ft_latest_update(in->latest, batch);
    ft_fanout_offer(in->fanout, batch);
    return 0;
}

int ft_intake_change(struct ft_intake *in, const struct ft_fanout_options *options,
                     rn_time drain_until, struct ft_text_list *ret_news)
{
    return ft_fanout_change(in->fanout, options, drain_until, ret_news);
}

int ft_intake_stop(struct ft_intake *in, rn_time deadline)
{
    return ft_fanout_stop(in->fanout, deadline);
}

struct ft_intake *ft_intake_free(struct ft_intake *in)
{
    if (!in)
        return NULL;
    (void)ft_fanout_free(in->fanout); /* first: its lanes may still decide */
    (void)ft_latest_free(in->latest);
    (void)ft_acks_free(in->acks);
    free(in);
    return NULL;
}

void ft_intake_freep(struct ft_intake **in)
{
    *in = ft_intake_free(*in);
}

struct ft_fanout *ft_intake_fanout(struct ft_intake *in)
{
    return in->fanout;
}

struct ft_latest *ft_intake_latest(struct ft_intake *in)
{
    return in->latest;
}
