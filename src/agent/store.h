/* The state folder: what the agent knows across its own death.
 *
 *     lock                held as long as an agent runs on it
 *     instance-uid        who we are
 *     status              RemoteConfigStatus: the last outcome, as it is reported
 *     applied             AgentRemoteConfig: the last good configuration, whole
 *     written             the paths that fettle wrote, one a line (and may therefore remove)
 *     children            process groups that a killed agent may have left behind
 *     transaction/        the journal of an application in progress; see transaction.h
 *
 * Each file is replaced atomically. Blocking; one caller at a time.
 */
#pragma once

#include <model/text_error.h>
#include <model/uuid.h>
#include <proto/names.h>

#include "offer.h"

/* The last outcome. Zero: none yet. */
struct ft_outcome {
    uint8_t *hash; /* owned */
    size_t hash_len;
    enum ft_status status;
    char error[FT_TEXT_MAX];
};
int ft_outcome_set(struct ft_outcome *o, struct rn_slice hash, enum ft_status status,
                   const char *error);
void ft_outcome_fini(struct ft_outcome *o);
static inline struct rn_slice ft_outcome_hash(const struct ft_outcome *o)
{
    return rn_slice(o->hash, o->hash_len);
}

struct ft_store {
    /* set once in ft_store_open() */
    const char *folder; /* borrowed */
    int lock;           /* -1: not open */

    /* one caller at a time */
    struct ft_uuid uid;
    struct ft_outcome outcome;
    struct ft_offer *applied; /* NULL: none */
    char **written;           /* n paths, owned */
    size_t n_written;
};

/* Make the folder, lock it, read what is there; a new identity when there is none. 0, -EWOULDBLOCK
 * (another agent has it), or what failed; *reterr names it. */
int ft_store_open(const char *folder, struct ft_store *ret, struct ft_text_error *reterr);
void ft_store_close(struct ft_store *s);

int ft_store_set_uid(struct ft_store *s, const struct ft_uuid *uid);

/* Record an application: the offer becomes the last good one, `written` the paths that are
 * fettle's. On success the store owns the offer. */
int ft_store_set_applied(struct ft_store *s, struct ft_offer **offer, const char *const *written,
                         size_t n);
/* Record the outcome as it will be reported. Memory is changed even if the disk refuses. */
int ft_store_set_outcome(struct ft_store *s, struct rn_slice hash, enum ft_status status,
                         const char *error);

bool ft_store_wrote(const struct ft_store *s, const char *path);
