/* The agent as a whole: its parts, and the order in which they start and stop.
 *
 *     main thread = the only worker of the runtime (children die with the thread that forked them)
 *       signals         TERM, INT: stop; CHLD: somebody ended
 *       process (n)     one per supervised process, with two drains each
 *       apply           offers, transactions, and between them what a HUP changes
 *       pulse           samples and heartbeats
 *       link            the connection, with a reader
 *
 * What tasks share is inside the monitor. Work on files runs on the pool, one job at a time, and
 * touches `store` and the transaction only.
 */
#pragma once

#include "apply.h"
#include "buffer.h"
#include "link.h"
#include "process.h"
#include "pulse.h"
#include "reload.h"
#include "report.h"
#include "settings.h"
#include "store.h"

struct ft_agent {
    const struct ft_settings *settings; /* &reload.current */

    /* set once */
    struct ft_uuid boot; /* new at each start */
    char host_name[256];
    int64_t started_unix_ns;

    struct ft_store store; /* jobs of `files` only */
    struct ft_monitor monitor;
    struct ft_uuid uid; /* who we are to the server */
    struct rn_class *files;
    struct ft_supervisor supervisor;
    struct ft_report report;
    struct ft_apply apply;
    struct ft_buffer samples;
    struct ft_pulse pulse;
    struct ft_link link;
    struct ft_reload reload;
    struct rn_scope work; /* every task that ends when the agent is told to */
    bool stopping;
};

/* `settings` were read from `source`, which a HUP reads again; both are borrowed. What needs no
 * runtime: identity, survivors, the file part of an unfinished transaction. 0, or an error told in
 * *reterr. */
int ft_agent_open(const struct ft_settings_source *source, const struct ft_settings *settings,
                  struct ft_agent *a, struct ft_text_error *reterr);
void ft_agent_close(struct ft_agent *a);

/* The first task of the runtime: returns when told to stop and everything has ended, but for a
 * reading of the settings that hangs (ft_reload_hangs()): its thread cannot be joined. */
int ft_agent_main(void *agent);
