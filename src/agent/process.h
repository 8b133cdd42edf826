/* One supervised process: started, drained, restarted with back-off, told about new files, stopped.
 *
 *               spawn                exit
 *     WAITING ---------> RUNNING ------------> WAITING (back-off; at once when somebody asks)
 *        \                  | scope cancelled: TERM, then KILL, to the group
 *         +-----------------+--> STOPPED
 *
 * Each process has a task, the only one that forks, signals its end and reaps it. Others look at
 * the fields, and ask by the calls below, which never wait. A *life* is one run of the program,
 * numbered from 1; whoever watches a process watches a life.
 *
 * Everything here is inside the monitor.
 */
#pragma once

#include <runnel/task.h>

#include "bell.h"
#include "output.h"
#include "proc.h"

enum ft_process_state { FT_PROCESS_WAITING, FT_PROCESS_RUNNING, FT_PROCESS_STOPPED };

struct ft_supervisor;

struct ft_process {
    const struct ft_process_settings *settings; /* borrowed; a reload exchanges it */

    /* set once */
    struct ft_supervisor *supervisor;
    struct ft_bell bell; /* rung by asks and by SIGCHLD */

    /* the process's task writes, anyone reads */
    enum ft_process_state state;
    uint64_t life; /* the number of the current or last one; 0: never started */
    pid_t pid;     /* while RUNNING */
    uint64_t start_ticks;
    rn_time started_at;
    int64_t started_unix_ns;
    uint64_t ended_life;  /* the last life that is over; 0: none */
    int ended_status;     /* as of waitpid(); meaningless if start_error */
    int start_error;      /* negative errno: the life never began */
    char last_words[512]; /* of the last life that is over */
    struct ft_output output;
    unsigned failures; /* in a row, for the back-off */
    bool stopping;     /* we asked for this life's end */

    /* asks; the process's task clears them */
    bool restart_asked, start_asked;
    bool leaving; /* this life is the last */

    /* the sampler */
    struct ft_cpu_meter cpu;
};

struct ft_supervisor {
    /* set once */
    struct ft_monitor *monitor; /* borrowed */
    char *folder;               /* owned: working directory of the processes */
    char *state_folder;         /* owned */
    char *mark;                 /* owned: the environment entry */
    struct rn_scope ringers;    /* every task that may ring is in it */
    struct rn_scope tasks;      /* of the processes */

    /* inside the monitor */
    struct ft_process **processes; /* owned, n of them, in the order of the file */
    size_t n;

    /* set once */
    struct ft_bell
        changed; /* rung when the state of any process changes; the transaction waits for it */
    void (*on_change)(
        void *arg); /* the same for who doesn't wait; set before the start, may be NULL */
    void *on_change_arg;
};

/* From a task; the bells belong to its scope. 0, -ENOMEM. */
int ft_supervisor_open(const struct ft_settings *settings, struct ft_monitor *monitor,
                       struct ft_supervisor *ret);
void ft_supervisor_close(struct ft_supervisor *s); /* after all tasks have ended */
/* Start a task per process in `scope`. */
int ft_supervisor_start(struct ft_supervisor *s, struct rn_scope scope);
/* SIGCHLD came: somebody may have ended. */
void ft_supervisor_child(struct ft_supervisor *s);
/* KILL every group at once; for a second TERM. */
void ft_supervisor_kill(struct ft_supervisor *s);

/* The processes shall be those of `settings` (which take the place of the old ones: those must live
 * until it returns): who is gone is stopped, who runs by another command, output or way of counting
 * is restarted, who is new is started, the rest goes on. Between two applications only.
 *
 * Suspends until who is gone has ended. 0; -ENOMEM: some of the new ones are missing; -EAGAIN (no
 * memory), -ECANCELED: the settings are the old ones. */
int ft_supervisor_follow(struct ft_supervisor *s, const struct ft_settings *settings);

/* Ask for a restart (TERM, KILL after a while, start at once), or for a start if it waits. The next
 * life takes up the files as they are now. */
void ft_process_restart(struct ft_process *p);
void ft_process_start(struct ft_process *p);
/* Send a signal to the process itself. 0 or -ESRCH. */
int ft_process_signal(struct ft_process *p, int signal);

/* "exited with code 2: this configuration is broken", of the last life that is over. (Who was asked
 * to end has no last words.) */
void ft_process_end_text(const struct ft_process *p, char *out, size_t size);
