#include "pulse.h"

#include <string.h>
#include <time.h>

#include <base/log.h>

#include "agent.h"
#include "effective.h"

void ft_pulse_set_interval(struct ft_pulse *p, rn_time interval_ns)
{
    p->interval_ns = interval_ns;
    p->restarted = true;
    ft_bell_ring(&p->bell);
}

void ft_pulse_sample(struct ft_pulse *p)
{
    if (p->sampling)
        return;
    p->sampling = p->sample_now = true;
    ft_bell_ring(&p->bell);
}

static int64_t unix_ms(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void process_sample(struct ft_agent *a, struct ft_process *p)
{
    char cmd[FT_TEXT_MAX];
    struct ft_proc_stat stat;
    struct ft_sample s = {
        .timestamp_ms = unix_ms(), .pid = (uint32_t)p->pid, .send_lines = p->output.lines};

    if (p->state != FT_PROCESS_RUNNING || ft_proc_stat(p->pid, &stat) < 0 ||
        ft_proc_cmd(p->pid, cmd, sizeof(cmd)) < 0)
        return;
    s.process_name = rn_slice_str(p->settings->name);
    s.host_name = rn_slice_str(a->host_name);
    s.ip = rn_slice_str(a->link.ip);
    s.cmd = rn_slice_str(cmd);
    s.mem_usage = stat.rss_bytes;
    s.has_cpu_usage_rate = ft_cpu_meter_read(&p->cpu, &stat, rn_now(), &s.cpu_usage_rate);
    (void)ft_buffer_add(&a->samples, &s);
}

static void sample_all(struct ft_agent *a)
{
    uint64_t dropped = a->samples.dropped;

    for (size_t i = 0; i < a->supervisor.n; i++)
        process_sample(a, a->supervisor.processes[i]);
    if (dropped == 0 && a->samples.dropped > 0)
        log_warn("the buffer of samples is full: the oldest are given up",
                 LOG_UINT("samples", a->samples.n));
}

/* Did somebody else change a mapped file? During an application it's us. */
static void files_look(struct ft_agent *a)
{
    uint64_t now = ft_effective_signature(a->settings);

    if (now == a->pulse.signature)
        return;
    a->pulse.signature = now;
    if (a->apply.current.status != FT_STATUS_APPLYING)
        ft_report_mark(&a->report, FT_PART_EFFECTIVE);
}

static void beat(struct ft_agent *a)
{
    if (a->pulse.sampling)
        sample_all(a);
    a->pulse.sample_now = false;
    files_look(a);
    a->report.beat = true;
    ft_bell_ring(&a->report.bell);
}

int ft_pulse_task(void *agent)
{
    struct ft_agent *a = agent;
    struct ft_pulse *p = &a->pulse;
    rn_time due = rn_after(FT_HEARTBEAT_NS_DEFAULT);
    int r = 0;

    ft_enter(&a->monitor);
    p->signature = ft_effective_signature(a->settings);
    while (r == 0 || r == -ETIMEDOUT) {
        r = ft_bell_wait(&p->bell, due);
        if (r == 0 && p->restarted)
            due = rn_after(p->interval_ns);
        p->restarted = false;
        if (r == -ETIMEDOUT || (r == 0 && p->sample_now))
            beat(a);
        if (r == -ETIMEDOUT)
            due += p->interval_ns;
        if (due <
            rn_now()) /* we stood still (a suspended machine): one beat, not all that were missed */
            due = rn_after(p->interval_ns);
    }
    ft_leave(&a->monitor);
    return r == -ECANCELED ? 0 : r;
}
