/* What the kernel says about a process: /proc/PID. Small, non-blocking reads. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include <runnel/base.h>

struct ft_proc_stat {
    char state; /* 'R', 'S', 'Z', ... */
    pid_t pgrp;
    uint64_t cpu_ticks;   /* user and system */
    uint64_t start_ticks; /* since the machine's boot: with the pid, an identity */
    uint64_t rss_bytes;
};

/* 0, -ESRCH (no such process), -EBADMSG. */
int ft_proc_stat(pid_t pid, struct ft_proc_stat *ret);

/* The command line, arguments joined by blanks, as valid text; falls back to "" for a zombie.
 * Returns its length or -ESRCH. */
int ft_proc_cmd(pid_t pid, char *out, size_t size);

/* Does the environment it was started with contain `entry` ("NAME=value")? */
bool ft_proc_has_env(pid_t pid, const char *entry);

/* Call fn for each process there is, until it returns false. */
int ft_proc_each(bool (*fn)(void *arg, pid_t pid), void *arg);

/* CPU use between two looks. */
struct ft_cpu_meter {
    uint64_t start_ticks; /* of the process measured before; another one starts anew */
    uint64_t cpu_ticks;
    rn_time at;
    bool valid;
};
/* True and the rate (1.0: one core busy) since the last call for the same process; false in its
 * first. */
bool ft_cpu_meter_read(struct ft_cpu_meter *m, const struct ft_proc_stat *stat, rn_time now,
                       double *ret_rate);
