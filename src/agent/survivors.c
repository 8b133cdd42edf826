#include "survivors.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <base/cleanup.h>
#include <base/log.h>

#include "files.h"
#include "proc.h"

#define JOURNAL_BYTES_MAX (1024 * 1024)
#define GONE_TRIES 400 /* of 5 ms */

/* The machine's boot: pids and ticks of an earlier one mean nothing. */
static int machine_boot(char out[64])
{
    CLEANUP(closep) int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, out, 63);

    if (n <= 0)
        return -EIO;
    out[n] = '\0';
    out[strcspn(out, "\n")] = '\0';
    return 0;
}

int ft_survivors_journal(const char *state_folder, const struct ft_child_record *records, size_t n)
{
    CLEANUP(fclosep) FILE *f = NULL;
    char path[PATH_MAX], temporary[PATH_MAX], boot[64];
    int r = ft_path_format(path, sizeof(path), "%s/children", state_folder);

    if (r == 0)
        r = ft_path_format(temporary, sizeof(temporary), "%s/.children.new", state_folder);
    if (r == 0)
        r = machine_boot(boot);
    if (r < 0)
        return r;
    f = fopen(temporary, "we");
    if (!f)
        return -errno;
    for (size_t i = 0; i < n; i++)
        (void)fprintf(f, "%s %d %llu %s\n", boot, (int)records[i].pgid,
                      (unsigned long long)records[i].start_ticks, records[i].name);
    if (fflush(f) != 0)
        return -errno;
    return rename(temporary, path) < 0 ? -errno : 0;
}

/* One look over all processes: who is in the group, and does one of them prove that it is ours? */
struct census {
    pid_t pgid;
    uint64_t start_ticks;
    const char *mark;
    int alive;
    bool ours;
};

static bool census_take(void *arg, pid_t pid)
{
    struct census *c = arg;
    struct ft_proc_stat st;

    if (ft_proc_stat(pid, &st) < 0 || st.pgrp != c->pgid || st.state == 'Z')
        return true;
    c->alive++;
    c->ours |=
        (pid == c->pgid && st.start_ticks == c->start_ticks) || ft_proc_has_env(pid, c->mark);
    return true;
}

static int group_kill(struct census *c, const char *name)
{
    const struct timespec nap = {.tv_nsec = 5 * 1000 * 1000};

    (void)ft_proc_each(census_take, c);
    if (!c->ours)
        return 0;
    log_warn("killing what an earlier agent left behind", LOG_STR("process", name),
             LOG_INT("group", c->pgid));
    for (int i = 0; i < GONE_TRIES && c->alive > 0; i++) {
        (void)kill(-c->pgid, SIGKILL);
        (void)nanosleep(&nap, NULL);
        c->alive = 0;
        (void)ft_proc_each(census_take, c);
    }
    return 1;
}

static int line_kill(char *line, const char *boot, const char *mark)
{
    char line_boot[64];
    int pgid, name_at = 0;
    unsigned long long ticks;

    if (sscanf(line, "%63s %d %llu %n", line_boot, &pgid, &ticks, &name_at) != 3 ||
        strcmp(line_boot, boot) != 0 || pgid <= 1)
        return 0;
    return group_kill(&(struct census){.pgid = pgid, .start_ticks = ticks, .mark = mark},
                      line + name_at);
}

int ft_survivors_kill(const char *state_folder)
{
    CLEANUP(ft_buf_fini) struct ft_buf text = FT_BUF_INIT(JOURNAL_BYTES_MAX);
    char path[PATH_MAX], mark[PATH_MAX + 32], boot[64];
    char *rest = NULL;
    int killed = 0;
    int r = ft_path_format(path, sizeof(path), "%s/children", state_folder);

    if (r == 0)
        r = machine_boot(boot);
    if (r == 0)
        r = ft_file_read(path, JOURNAL_BYTES_MAX - 1, &text, NULL);
    if (r == 0)
        r = ft_buf_add_byte(&text, '\0');
    if (r < 0)
        return r == -ENOENT ? 0 : r;
    (void)snprintf(mark, sizeof(mark), FT_STATE_ENV "=%s", state_folder);
    for (char *l = strtok_r((char *)text.data, "\n", &rest); l; l = strtok_r(NULL, "\n", &rest))
        killed += line_kill(l, boot, mark);
    return killed;
}
