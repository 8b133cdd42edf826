/* What another process has used: processor time and memory of its own. */
#pragma once

#include <runnel/base.h>

struct ft_usage {
    rn_time  cpu_ns;         /* user and system, all threads */
    uint64_t rss_anon_bytes; /* what it wrote itself: no files, no shared memory */
};

/* 0, -ESRCH (no such process), -EACCES, -EBADMSG. */
int ft_usage_read(int pid, struct ft_usage *ret_usage);
