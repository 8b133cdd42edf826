#include "usage.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <base/cleanup.h>

/* By the clock of the process: to the nanosecond, where /proc/PID/stat counts ticks of 10 ms. */
static int cpu_read(int pid, rn_time *ret_ns)
{
    struct timespec ts;
    clockid_t clock;

    if (clock_getcpuclockid(pid, &clock) != 0 || clock_gettime(clock, &ts) < 0)
        return -ESRCH;
    *ret_ns = (rn_time)ts.tv_sec * RN_S + ts.tv_nsec;
    return 0;
}

static int rss_anon_read(int pid, uint64_t *ret_bytes)
{
    char path[64], line[256];
    unsigned long long kib;

    (void)snprintf(path, sizeof(path), "/proc/%d/status", pid);
    CLEANUP(fclosep) FILE *f = fopen(path, "re");
    if (!f)
        return errno == ENOENT ? -ESRCH : -errno;
    while (fgets(line, sizeof(line), f)) {
        if (sscanf(line, "RssAnon: %llu kB", &kib) == 1) {
            *ret_bytes = kib * 1024;
            return 0;
        }
    }
    return -EBADMSG;
}

int ft_usage_read(int pid, struct ft_usage *ret_usage)
{
    struct ft_usage u;
    int r = cpu_read(pid, &u.cpu_ns);

    if (r == 0)
        r = rss_anon_read(pid, &u.rss_anon_bytes);
    if (r == 0)
        *ret_usage = u;
    return r;
}
