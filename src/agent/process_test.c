/* Supervised processes, with real ones. */
#include "process.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <base/cleanup.h>
#include <runnel/signal.h>

#include "child.h"
#include "survivors.h"
#include "takeup.h"
#include "testing.h"

struct world {
    struct ft_monitor monitor;
    struct ft_settings settings;
    struct ft_supervisor supervisor;
    struct rn_scope scope, ears;
};

static int ears_task(void *arg)
{
    struct ft_supervisor *s = arg;
    struct rn_fd fd;
    sigset_t set;
    int r;

    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGCHLD);
    OK(rn_signals_open(&set, &fd));
    while ((r = rn_signals_wait(fd, RN_FOREVER)) > 0) {
        ft_enter(s->monitor);
        ft_supervisor_child(s);
        ft_leave(s->monitor);
    }
    (void)rn_fd_close(fd);
    return 0;
}

static void world_open(struct world *w, const char *settings)
{
    sigset_t set;

    *w = (struct world){0};
    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGCHLD);
    OK(rn_signals_block(&set));
    testing_write(testing_path("@/program"), testing_program);
    testing_settings(settings, &w->settings);
    OK(mkdir(w->settings.state, 0700));
    OK(ft_supervisor_open(&w->settings, &w->monitor, &w->supervisor));
    OK(rn_scope_open(RN_SCOPE_WAIT_ALL, &w->ears));
    OK(rn_go(w->ears, ears_task, &w->supervisor, NULL, 0));
    OK(rn_scope_open(RN_SCOPE_WAIT_ALL, &w->scope));
    OK(ft_supervisor_start(&w->supervisor, w->scope));
}

static void world_close(struct world *w)
{
    OK(rn_scope_close(w->scope));
    OK(rn_scope_close(w->ears));
    ft_supervisor_close(&w->supervisor);
    ft_settings_fini(&w->settings);
}

static bool member_look(void *group, pid_t pid)
{
    struct ft_proc_stat stat;

    if (ft_proc_stat(pid, &stat) == 0 && stat.pgrp == *(pid_t *)group && stat.state != 'Z')
        *(pid_t *)group = 0;
    return *(pid_t *)group != 0;
}

/* Whoever is left is a zombie that init has not reaped yet. */
static bool group_is_gone(pid_t group)
{
    OK(ft_proc_each(member_look, &group));
    return group != 0;
}

#define PROGRAM                                                                                    \
    "state: @/state\nprocesses:\n  - name: p\n    command: [/bin/sh, ./program, ./file]\n    "     \
    "objects: {o: ./file}\n"                                                                       \
    "    on_change: signal HUP\n    start_grace: 50ms\n    health: {window: 100ms}\n    lines: "   \
    "stdout\n"

TASK_TEST(a_process_runs_in_a_group_of_its_own_and_ends_with_us)
{
    struct world w;
    struct ft_process *p;
    pid_t pid;

    world_open(&w, PROGRAM);
    p = w.supervisor.processes[0];
    TASK_UNTIL(FT_INSIDE(&w.monitor, p->output.lines == 1));
    EQ(FT_INSIDE(&w.monitor, p->state), FT_PROCESS_RUNNING);
    pid = FT_INSIDE(&w.monitor, p->pid);
    EQ(getpgid(pid), pid);
    world_close(&w);
    TASK_UNTIL(group_is_gone(pid));
}

TASK_TEST(a_process_that_ends_is_started_again_and_its_last_words_are_kept)
{
    struct world w;
    struct ft_process *p;
    char text[640];

    world_open(&w, "state: @/state\nprocesses:\n  - name: p\n    command: [/bin/sh, -c, 'echo one; "
                   "echo two; echo bad >&2; exit 3']\n"
                   "    lines: stdout\n");
    p = w.supervisor.processes[0];
    TASK_UNTIL(FT_INSIDE(&w.monitor, p->ended_life == 1));
    ft_enter(&w.monitor);
    ft_process_end_text(p, text, sizeof(text));
    ft_leave(&w.monitor);
    STREQ(text, "exited with code 3: bad");
    TASK_UNTIL(FT_INSIDE(&w.monitor, p->ended_life >= 2));
    GE(FT_INSIDE(&w.monitor, p->failures), 1);
    world_close(&w);
}

TASK_TEST(a_program_that_is_not_there_says_so)
{
    struct world w;
    struct ft_process *p;
    char text[640];

    world_open(&w, "state: @/state\nprocesses:\n  - {name: p, command: [./no-such-program]}\n");
    p = w.supervisor.processes[0];
    TASK_UNTIL(FT_INSIDE(&w.monitor, p->ended_life == 1));
    ft_enter(&w.monitor);
    ft_process_end_text(p, text, sizeof(text));
    ft_leave(&w.monitor);
    STREQ(text, "exited with code 127: fettle-agent: cannot run ./no-such-program: No such file or "
                "directory");
    world_close(&w);
}

TASK_TEST(a_process_that_ignores_term_is_killed_with_its_children)
{
    struct world w;
    struct ft_process *p;
    pid_t pid;

    world_open(&w, "state: @/state\nprocesses:\n  - name: p\n"
                   "    command: [/bin/sh, -c, 'trap \"\" TERM; (while :; do sleep 0.05; done) & "
                   "echo up; while :; do sleep 0.05; done']\n"
                   "    lines: stdout\n");
    p = w.supervisor.processes[0];
    TASK_UNTIL(FT_INSIDE(&w.monitor, p->output.lines == 1));
    pid = FT_INSIDE(&w.monitor, p->pid);
    world_close(&w);
    TASK_UNTIL(group_is_gone(pid));
}

TASK_TEST(output_is_drained_however_much_it_is)
{
    struct world w;
    struct ft_process *p;

    world_open(&w, "state: @/state\nprocesses:\n  - name: p\n"
                   "    command: [/bin/sh, -c, 'yes 0123456789 | head -n 200000; sleep 60']\n    "
                   "lines: stdout\n    stdout: 'file:@/out'\n");
    p = w.supervisor.processes[0];
    TASK_UNTIL(FT_INSIDE(&w.monitor, p->output.lines == 200000));
    EQ(FT_INSIDE(&w.monitor, p->output.dropped), 0);
    world_close(&w);
    struct stat st;
    EQ(stat(testing_path("@/out"), &st), 0);
    EQ(st.st_size, 200000 * 11);
}

TASK_TEST(a_restart_that_is_asked_for_does_not_wait)
{
    struct world w;
    struct ft_process *p;

    world_open(&w, PROGRAM);
    p = w.supervisor.processes[0];
    TASK_UNTIL(FT_INSIDE(&w.monitor, p->output.lines == 1));
    ft_enter(&w.monitor);
    ft_process_restart(p);
    ft_leave(&w.monitor);
    TASK_UNTIL(FT_INSIDE(&w.monitor, p->life == 2 && p->output.lines == 1));
    EQ(FT_INSIDE(&w.monitor, p->failures), 0);
    EQ(FT_INSIDE(&w.monitor, p->ended_life), 1);
    world_close(&w);
}

TASK_TEST(a_real_process_is_measured)
{
    struct world w;
    struct ft_process *p;
    struct ft_proc_stat stat;
    pid_t pid;
    double rate = -1;
    char cmd[256];

    world_open(&w, "state: @/state\nprocesses:\n  - {name: p, command: [/bin/sh, -c, 'while :; do "
                   ":; done']}\n");
    p = w.supervisor.processes[0];
    TASK_UNTIL(FT_INSIDE(&w.monitor, p->state == FT_PROCESS_RUNNING));
    pid = FT_INSIDE(&w.monitor, p->pid);
    TASK_UNTIL(ft_proc_cmd(pid, cmd, sizeof(cmd)) > 0 && strncmp(cmd, "/bin/sh -c", 10) == 0);
    OK(ft_proc_stat(pid, &stat));
    EQ(stat.pgrp, pid);
    TASK_UNTIL(ft_proc_stat(pid, &stat) == 0 &&
               stat.rss_bytes > 4096); /* the kernel counts pages in batches */
    FALSE(ft_cpu_meter_read(&p->cpu, &stat, rn_now(), &rate));
    uint64_t before = stat.cpu_ticks;
    TASK_UNTIL(ft_proc_stat(pid, &stat) == 0 && stat.cpu_ticks >= before + 5);
    TRUE(ft_cpu_meter_read(&p->cpu, &stat, rn_now(), &rate));
    TRUE(rate > 0 && rate < 2);
    stat.start_ticks++; /* another process */
    FALSE(ft_cpu_meter_read(&p->cpu, &stat, rn_now(), &rate));
    TRUE(ft_proc_has_env(pid, testing_path("FETTLE_STATE=@/state")));
    ERR(ft_proc_stat(1 << 30, &stat), ESRCH);
    world_close(&w);
}

/* ---- taking up ---- */

static struct ft_entry entry;
static struct ft_plan file_plan(void)
{
    entry = (struct ft_entry){
        .action = FT_ENTRY_WRITE, .object = (char *)"o", .path = (char *)testing_path("@/./file")};
    return (struct ft_plan){&entry, 1};
}

static int take_up(struct world *w, const struct ft_plan *plan, char why[1024])
{
    return FT_INSIDE(&w->monitor, ft_take_up(&w->supervisor, plan, false, why, 1024));
}

TASK_TEST(a_process_takes_up_a_file_by_its_signal)
{
    struct world w;
    struct ft_process *p;
    struct ft_plan plan;
    char why[1024] = "";

    world_open(&w, PROGRAM);
    p = w.supervisor.processes[0];
    plan = file_plan();
    TASK_UNTIL(FT_INSIDE(&w.monitor, p->output.lines == 1));
    OK(take_up(&w, &plan, why));
    EQ(FT_INSIDE(&w.monitor, p->life), 1);
    testing_write(testing_path("@/file"), "broken\n");
    ERR(take_up(&w, &plan, why), ECHILD);
    STREQ(why, "process p exited with code 2: this is broken");
    testing_write(testing_path("@/file"), "good\n");
    OK(take_up(&w, &plan, why)); /* it waits for its back-off: started at once */
    EQ(FT_INSIDE(&w.monitor, p->life), 2);
    world_close(&w);
}

TASK_TEST(a_process_that_dies_of_the_signal_itself_is_restarted_once)
{
    struct world w;
    struct ft_process *p;
    struct ft_plan plan;
    char why[1024] = "";

    world_open(&w, "state: @/state\nprocesses:\n  - name: p\n    command: [/bin/sh, -c, 'echo up; "
                   "exec sleep 60']\n    objects: {o: ./file}\n"
                   "    on_change: signal HUP\n    start_grace: 50ms\n    health: {window: "
                   "100ms}\n    lines: stdout\n");
    p = w.supervisor.processes[0];
    plan = file_plan();
    TASK_UNTIL(FT_INSIDE(&w.monitor, p->output.lines == 1));
    OK(take_up(&w, &plan, why));
    EQ(FT_INSIDE(&w.monitor, p->life), 2);
    EQ(FT_INSIDE(&w.monitor, p->state), FT_PROCESS_RUNNING);
    world_close(&w);
}

TASK_TEST(a_process_that_dies_within_its_window_after_a_restart_fails)
{
    struct world w;
    struct ft_plan plan;
    char why[1024] = "";

    world_open(&w, "state: @/state\nprocesses:\n  - name: p\n    command: [/bin/sh, -c, 'test -e "
                   "file && exit 4; exec sleep 60']\n"
                   "    objects: {o: ./file}\n    health: {window: 10s}\n");
    plan = file_plan();
    TASK_UNTIL(FT_INSIDE(&w.monitor, w.supervisor.processes[0]->state == FT_PROCESS_RUNNING));
    testing_write(testing_path("@/file"), "x");
    ERR(take_up(&w, &plan, why), ECHILD);
    STREQ(why, "process p exited with code 4");
    world_close(&w);
}

/* ---- survivors ---- */

/* Between fork and exec it is a copy of ourselves, with our command line and our memory. */
TEST(a_started_process_is_never_seen_as_ourselves)
{
    static const char *const argv[] = {"sleep", "60", NULL};
    struct ft_spawn spawn = {argv, test_dir(), "FETTLE_STATE=x"};

    for (int i = 0; i < 100; i++) {
        char cmd[256];
        int out, err, status;
        pid_t pid;

        OK(ft_spawn(&spawn, &pid, &out, &err));
        OK(ft_proc_cmd(pid, cmd, sizeof(cmd)));
        (void)kill(pid, SIGKILL);
        EQ(waitpid(pid, &status, 0), pid);
        (void)close(out);
        (void)close(err);
        STREQ(cmd, "sleep 60");
    }
}

TEST(survivors_of_a_killed_agent_are_killed_and_others_are_not)
{
    const char *argv[] = {"/bin/sh", "-c", "sleep 60 & echo up; wait", NULL};
    struct ft_spawn spawn = {argv, test_dir(), testing_path("FETTLE_STATE=@")};
    struct ft_proc_stat stat;
    int out, err;
    char c;
    pid_t pid;

    OK(ft_spawn(&spawn, &pid, &out, &err));
    EQ(read(out, &c, 1), 1);
    OK(ft_proc_stat(pid, &stat));
    struct ft_child_record stranger = {
        "p p", pid,
        stat.start_ticks + 1}; /* same number, another process: proved by the environment */
    OK(ft_survivors_journal(testing_path("@"), &stranger, 1));
    EQ(ft_survivors_kill("/nowhere"), 0);
    pid_t reaper = fork(); /* survivors are adopted and reaped by init; here by us */
    if (reaper == 0)
        _exit(ft_survivors_kill(testing_path("@")) == 1 ? 0 : 1);
    int status;
    EQ(waitpid(pid, &status, 0), pid);
    EQ(WTERMSIG(status), SIGKILL);
    EQ(waitpid(reaper, &status, 0), reaper);
    EQ(status, 0);
    EQ(ft_survivors_kill(testing_path("@")), 0);
    (void)close(out);
    (void)close(err);
}

TEST(last_words_are_the_last_lines)
{
    CLEANUP(freep) struct ft_words *w = calloc(1, sizeof(*w));
    char text[512];

    EQ(ft_words_last(w, text, sizeof(text)), 0);
    ft_words_add(w, "one\ntwo\n", 8);
    ft_words_last(w, text, sizeof(text));
    STREQ(text, "one | two");
    for (int i = 0; i < 1000; i++)
        ft_words_add(w, "noise noise\n", 12);
    ft_words_add(w, "a\nb\t\xff\nc\n\n", 9);
    ft_words_last(w, text, sizeof(text));
    STREQ(text, "a | b \xef\xbf\xbd | c");
    for (int i = 0; i < 100; i++)
        ft_words_add(w, "0123456789012345678901234567890123456789", 40);
    LE(ft_words_last(w, text, sizeof(text)), 511);
}

/* ---- other processes while it runs ---- */

static const char two_processes[] = "state: @/state\nprocesses:\n"
                                    "  - {name: stays, command: [sleep, '1000']}\n"
                                    "  - {name: goes, command: [sleep, '1001']}\n";
static const char other_processes[] =
    "state: @/state\nprocesses:\n"
    "  - {name: comes, command: [sleep, '1002']}\n"
    "  - {name: stays, command: [sleep, '1000'], start_grace: 7s}\n";
static const char other_command[] =
    "state: @/state\nprocesses:\n"
    "  - {name: comes, command: [sleep, '1003']}\n"
    "  - {name: stays, command: [sleep, '1000'], start_grace: 7s}\n";

/* The processes shall be those of `text`, which takes the place of what the world has. */
static void follow(struct world *w, const char *text)
{
    struct ft_settings next;

    testing_settings(text, &next);
    ft_enter(&w->monitor);
    OK(ft_supervisor_follow(&w->supervisor, &next));
    ft_leave(&w->monitor);
    ft_settings_fini(&w->settings);
    w->settings = next;
}

static bool runs(struct world *w, size_t i, uint64_t life)
{
    struct ft_process *p = w->supervisor.processes[i];

    return FT_INSIDE(&w->monitor, p->state == FT_PROCESS_RUNNING && p->life == life);
}

TASK_TEST(other_settings_stop_who_is_gone_start_who_is_new_and_let_the_rest_run_on)
{
    struct world w;
    pid_t stays, goes, comes;

    world_open(&w, two_processes);
    TASK_UNTIL(runs(&w, 0, 1) && runs(&w, 1, 1));
    stays = FT_INSIDE(&w.monitor, w.supervisor.processes[0]->pid);
    goes = FT_INSIDE(&w.monitor, w.supervisor.processes[1]->pid);

    follow(&w, other_processes);
    TASK_UNTIL(group_is_gone(goes));
    EQ(w.supervisor.n, 2);
    STREQ(w.supervisor.processes[0]->settings->name, "comes");
    TASK_UNTIL(runs(&w, 0, 1));
    TRUE(runs(&w, 1, 1));
    EQ(FT_INSIDE(&w.monitor, w.supervisor.processes[1]->pid), stays);
    EQ(FT_INSIDE(&w.monitor, w.supervisor.processes[1]->settings->start_grace_ns), 7 * RN_S);

    comes = FT_INSIDE(&w.monitor, w.supervisor.processes[0]->pid);
    follow(&w, other_command); /* a start_grace needs no new life, a command does */
    TASK_UNTIL(runs(&w, 0, 2));
    TRUE(group_is_gone(comes));
    TRUE(runs(&w, 1, 1));
    follow(&w, "state: @/state\n");
    EQ(w.supervisor.n, 0);
    TRUE(group_is_gone(stays));
    world_close(&w);
}
