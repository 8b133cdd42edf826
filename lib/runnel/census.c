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
    case RN_WAIT_MUTEX:
        return "sync.Mutex.Lock";
    case RN_WAIT_SEM:
        return "semacquire";
    case RN_WAIT_GROUP:
        return "sync.WaitGroup.Wait";
    case RN_WAIT_ONCE:
        return "once wait";
    case RN_WAIT_ONESHOT:
        return "one-shot wait";
    case RN_WAIT_BLOCKING:
        return "blocking call";
    }
    return "unknown";
}

static bool waits_for(const struct rn__task_view *v, enum rn_wait_kind a, enum rn_wait_kind b)
{
    return v->state == RN_TASK_PARKED && (v->wait.kind == a || v->wait.kind == b);
}

static uint32_t chan_of(const struct rn__chans *cs, const struct rn__task_view *v)
{
    const struct rn__end_rec *rec = waits_for(v, RN_WAIT_CHAN_SEND, RN_WAIT_CHAN_RECV)
                                        ? rn__rec_find(cs, v->wait.slot)
                                        : NULL;
    const struct rn__chan *c = rec ? atomic_load(&rec->chan) : NULL;

    return c ? rn__chan_index(cs, c) + 1 : 0;
}

void rn__task_info(const struct rn_runtime *rt, const struct rn__task_view *v,
                   struct rn_task_info *ret_info)
{
    const struct rn__chans *cs = rn__chans_of(rt);
    bool parked = v->state == RN_TASK_PARKED;
    rn_time now = parked ? rn_loop_now() : 0;
    unsigned verdict = parked ? rn__leaks_verdict(cs->leaks, v->id, v->epoch) : RN__LEAK_NONE;

    *ret_info = (struct rn_task_info){
        .id = v->id,
        .name = v->name,
        .state = v->state,
        .wait = parked ? v->wait.kind : RN_WAIT_NONE,
        .born = v->born,
        .wait_site = parked ? v->wait.site : NULL,
        .wait_ns = parked && now > v->since ? now - v->since : 0,
        .dead = verdict == RN__LEAK_DEAD,
        .suspect = verdict == RN__LEAK_SUSPECT,
        .chan = chan_of(cs, v),
        .fd = waits_for(v, RN_WAIT_FD_READ, RN_WAIT_FD_WRITE)
                  ? rn__fd_number_at(rt, v->wait.slot)
                  : -1,
    };
}

void rn_tasks_each(const struct rn_runtime *rt,
                   bool (*fn)(void *arg, const struct rn_task_info *info), void *arg)
{
    uint32_t end = rn__tasks_end(rt);

    for (uint32_t id = 0; id < end; id++) {
        struct rn__task_view v;
        struct rn_task_info info;
        if (!rn__task_view(rt, id, &v))
            continue;

        rn__task_info(rt, &v, &info);
        if (!fn(arg, &info))
            return;
    }
}
