/* What an offer means for the files of this agent: one entry per mapped file, decided once and
 * journalled.
 *
 *     write    the file gets the object's bytes
 *     keep     it has them already
 *     remove   fettle wrote it, and the offer has its object no more
 *
 * The plan remembers what was there before, which is what "last good" means for a file: also a
 * local one that fettle never wrote.
 */
#pragma once

#include "files.h"
#include "settings.h"
#include "store.h"

enum ft_entry_action { FT_ENTRY_WRITE, FT_ENTRY_KEEP, FT_ENTRY_REMOVE };

struct ft_entry {
    enum ft_entry_action action;
    struct ft_file_attrs old; /* what the path held when the plan was made */
    bool ours;                /* fettle wrote it before */
    char *object, *path;
};

struct ft_plan {
    struct ft_entry *entries; /* owned, with their texts */
    size_t n;
};

/* Returns: 0; -EINVAL and a reason for people: the offer does not fit the agent's file or the files
 * cannot be read; -ENOMEM. */
int ft_plan_make(const struct ft_settings *settings, const struct ft_store *store,
                 const struct ft_offer *offer, struct ft_plan *ret, struct ft_text_error *reterr);
void ft_plan_fini(struct ft_plan *p);

/* Does any file change? */
bool ft_plan_changes(const struct ft_plan *p);
/* Does a file of this process change? */
bool ft_plan_touches(const struct ft_plan *p, const struct ft_process_settings *process);
/* After a restart: does the agent's file still map what the plan was made for? */
bool ft_plan_fits(const struct ft_plan *p, const struct ft_settings *settings);

/* The plan as text, and back. Decode returns 0, -EBADMSG, -ENOMEM. */
int ft_plan_encode(const struct ft_plan *p, struct ft_buf *out);
int ft_plan_decode(struct rn_slice text, struct ft_plan *ret);
