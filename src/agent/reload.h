/* HUP: the agent's file is read again, between two applications, and what may change is changed.
 *
 *     asked --(nothing is being applied)--> read and judge (pool)
 *                                              +--wrong--> all stays, one line says why
 *                                              +--right--> changed; one line says what
 *
 * Settings are immutable and counted: who suspends with a text of them holds them.
 */
#pragma once

#include <runnel/blocking.h>

#include "settings.h"

struct ft_agent;

struct ft_reload {
    /* set once */
    const struct ft_settings_source *source;
    const struct ft_settings *started;

    /* the task that reloads: from the first HUP on. A file that hangs must not hold up the work on
     * others. */
    struct rn_class *pool;

    /* inside the monitor */
    struct ft_settings current; /* the agent's; ft_agent.settings points here */
    bool asked;

    /* files that are being read, also by a job that was given up: its thread cannot be joined */
    _Atomic unsigned readings;
};

void ft_reload_init(struct ft_reload *r, const struct ft_settings_source *source,
                    const struct ft_settings *started);
void ft_reload_fini(struct ft_reload *r);

/* HUP came. Inside the monitor; never waits. Asks that come before it is done are one. */
void ft_reload_ask(struct ft_agent *a);
/* For the task that applies, between two applications. Suspends, for as long as a reading may take.
 * 0, -ECANCELED. */
int ft_reload_if_asked(void *agent);
/* Does a reading that was given up still hang? From any thread. */
bool ft_reload_hangs(const struct ft_reload *r);
