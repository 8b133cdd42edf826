/* The newest sample of each process, by agent: what the API shows.
 *
 * Bounded: FT_LATEST_PROCESSES_MAX processes per agent (the one heard of longest ago goes first),
 * FT_TABLE_AGENTS_MAX agents (likewise). A new boot of an agent replaces all of the old one, so
 * processes that are no longer configured vanish with the agent's restart.
 */
#pragma once

#include <model/sample.h>

#define FT_LATEST_PROCESSES_MAX 256

struct ft_latest;

int ft_latest_new(struct ft_latest **ret);
struct ft_latest *ft_latest_free(struct ft_latest *l); /* returns NULL */

/* Take notice of a batch: a reference of it, or a copy of a sample, is kept. Never waits. From any
 * thread of the runtime. */
void ft_latest_update(struct ft_latest *l, struct ft_batch *batch);

struct ft_latest_sample {
    const char *agent_id, *boot_id;
    struct ft_sample sample;
    struct ft_batch *batch; /* a reference: what the texts lie in */
};

struct ft_latest_list {
    struct ft_latest_sample *items; /* by process_name, in byte order */
    size_t n;
};

/* 0 (also when there is none: n 0), -ENOMEM. */
int ft_latest_snapshot(struct ft_latest *l, const struct ft_uuid *agent,
                       struct ft_latest_list *ret);
void ft_latest_list_fini(struct ft_latest_list *list); /* all zero is fine */
