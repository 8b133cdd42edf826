#include "proc.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <base/cleanup.h>
#include <proto/utf8.h>

DEFINE_TRIVIAL_CLEANUP(DIR *, closedir);

/* At most size - 1 bytes and a NUL. Returns the length or -ESRCH. */
static ssize_t proc_read(pid_t pid, const char *name, char *out, size_t size)
{
    CLEANUP(closep) int fd = -1;
    char path[64];
    size_t len = 0;
    ssize_t n;

    (void)snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -ESRCH;
    while (len < size - 1 && (n = read(fd, out + len, size - 1 - len)) > 0)
        len += (size_t)n;
    out[len] = '\0';
    return (ssize_t)len;
}

int ft_proc_stat(pid_t pid, struct ft_proc_stat *ret)
{
    char text[1024];
    const char *p;
    unsigned long long user, system, start;
    long long rss;
    int pgrp;
    char state;

    if (proc_read(pid, "stat", text, sizeof(text)) <= 0)
        return -ESRCH;
    p = strrchr(text, ')'); /* the name before it may contain anything */
    if (!p || sscanf(p + 1,
                     " %c %*d %d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu %*d %*d %*d %*d %*d %*d "
                     "%llu %*u %lld",
                     &state, &pgrp, &user, &system, &start, &rss) != 6)
        return -EBADMSG;
    *ret = (struct ft_proc_stat){state, pgrp, user + system, start,
                                 rss > 0 ? (uint64_t)rss * (uint64_t)sysconf(_SC_PAGESIZE) : 0};
    return 0;
}

int ft_proc_cmd(pid_t pid, char *out, size_t size)
{
    char raw[FT_TEXT_MAX * 2];
    ssize_t n = proc_read(pid, "cmdline", raw, sizeof(raw));

    if (n < 0)
        return -ESRCH;
    while (n > 0 && raw[n - 1] == '\0')
        n--;
    for (ssize_t i = 0; i < n; i++)
        if ((unsigned char)raw[i] < 0x20)
            raw[i] = ' ';
    return (int)ft_text_clean(rn_slice(raw, (size_t)n), out, size);
}

bool ft_proc_has_env(pid_t pid, const char *entry)
{
    enum { ENVIRON_MAX = 256 * 1024 };
    CLEANUP(freep) char *env = malloc(ENVIRON_MAX);
    ssize_t n = env ? proc_read(pid, "environ", env, ENVIRON_MAX) : 0;

    for (const char *p = env; p && p < env + n; p += strlen(p) + 1)
        if (strcmp(p, entry) == 0)
            return true;
    return false;
}

int ft_proc_each(bool (*fn)(void *arg, pid_t pid), void *arg)
{
    CLEANUP(closedirp) DIR *dir = opendir("/proc");
    struct dirent *e;

    if (!dir)
        return -errno;
    while ((e = readdir(dir)))
        if (isdigit((unsigned char)e->d_name[0]) && !fn(arg, (pid_t)atoi(e->d_name)))
            break;
    return 0;
}

bool ft_cpu_meter_read(struct ft_cpu_meter *m, const struct ft_proc_stat *stat, rn_time now,
                       double *ret_rate)
{
    bool known = m->valid && m->start_ticks == stat->start_ticks && now > m->at &&
                 stat->cpu_ticks >= m->cpu_ticks;

    if (known) {
        double seconds = (double)(now - m->at) / 1e9;
        *ret_rate =
            (double)(stat->cpu_ticks - m->cpu_ticks) / (double)sysconf(_SC_CLK_TCK) / seconds;
    }
    *m = (struct ft_cpu_meter){stat->start_ticks, stat->cpu_ticks, now, true};
    return known;
}
