/* No process outlives the agent. PDEATHSIG kills the children of a killed agent at once; what they
 * had started themselves is found by the next start: the groups are journalled in STATE/children,
 * and every process carries FETTLE_STATE=FOLDER in its environment, so that a number that came to
 * somebody else meanwhile is never taken for ours. */
#pragma once

#include <stdint.h>
#include <sys/types.h>

#include <stddef.h>

struct ft_child_record {
    const char *name;
    pid_t pgid;
    uint64_t start_ticks;
};

/* Replace the journal. Not fsynced: what it speaks of does not outlive the machine either. 0 or
 * -errno. */
int ft_survivors_journal(const char *state_folder, const struct ft_child_record *records, size_t n);

/* Kill the groups of an earlier agent's journal, and wait until they are gone. Returns how many
 * groups, or -errno. */
int ft_survivors_kill(const char *state_folder);

#define FT_STATE_ENV "FETTLE_STATE"
