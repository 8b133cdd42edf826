/* The census of tasks, on demand, and Go's words for what they wait for. */
#include "channel.h"

const char *rn_wait_name(enum rn_wait_kind wait)
{
    switch (wait) {
    case RN_WAIT_NONE:
        return "";
    case RN_WAIT_CHAN_SEND:
        return "chan send";
    case RN_WAIT_CHAN_RECV:
        return "chan receive";
    case RN_WAIT_SELECT:
        return "select";
    case RN_WAIT_SLEEP:
        return "sleep";
    case RN_WAIT_FD_READ:
    case RN_WAIT_FD_WRITE:
        return "IO wait";
    case RN_WAIT_SCOPE:
        return "scope wait";
    case RN_WAIT_BLOCKING:
        return "blocking call";
    }
    return "unknown";
}

void rn_tasks_each(const struct rn_runtime *rt,
                   bool (*fn)(void *arg, const struct rn_task_info *info), void *arg)
{
    struct rn__leaks *leaks = rn__chans_of(rt)->leaks;
    uint32_t end = rn__tasks_end(rt);

    for (uint32_t id = 0; id < end; id++) {
        struct rn__task_view v;
        if (!rn__task_view(rt, id, &v))
            continue;

        bool parked = v.state == RN_TASK_PARKED;
        rn_time now = parked ? rn_loop_now() : 0;
        const struct rn_task_info info = {
            .id = v.id,
            .name = v.name,
            .state = v.state,
            .wait = parked ? v.wait.kind : RN_WAIT_NONE,
            .born = v.born,
            .wait_site = parked ? v.wait.site : NULL,
            .wait_ns = parked && now > v.since ? now - v.since : 0,
            .dead = parked && rn__leaks_dead(leaks, v.id, v.epoch),
        };
        if (!fn(arg, &info))
            return;
    }
}
