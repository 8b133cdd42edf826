/* One application of one offer: all files or none, whatever dies in between.
 *
 *     begin --> [journal in force] --> write --> (processes take it up, apply.c) --> end APPLIED
 *                     |                  |                     |
 *                     +------------------+----------- fail ----+
 *                                                      |
 *                                                   restore --> (processes) --> end FAILED
 *
 * The journal is the folder STATE/transaction: `offer` (the bytes), `plan`, `old.N` (copies of what
 * entry N replaces or removes) and, once it is decided, `failed` (the reason). It is built as
 * transaction.new and comes into force by one rename; before that nothing was touched, after it
 * everything needed to go forwards or backwards is there. Both directions may be repeated. It ends,
 * after the outcome is recorded, by one rename to transaction.old.
 *
 * A start that finds a journal in force goes on with it: forwards, or backwards when `failed` is
 * there. So an application ends in APPLIED or FAILED, never between. Blocking; one caller at a
 * time.
 */
#pragma once

#include "plan.h"

struct ft_txn {
    struct ft_store *store; /* borrowed */
    struct ft_offer *offer; /* owned */
    struct ft_plan plan;
    bool failed; /* going backwards, and why: */
    char reason[FT_TEXT_MAX];
};

/* Plan and journal. On success the transaction owns the offer. Returns: 0; -EINVAL: refused,
 * *reterr says why; else what failed
 * (*reterr too). On error nothing is left. */
int ft_txn_begin(struct ft_store *store, const struct ft_settings *settings,
                 struct ft_offer **offer, struct ft_txn *ret, struct ft_text_error *reterr);

/* Look for a journal of an earlier life, and clear away what is not in force. Returns: 1 and *ret,
 * 0 (none), or an error. */
int ft_txn_load(struct ft_store *store, struct ft_txn *ret, struct ft_text_error *reterr);

/* Forwards: every file gets what the plan says. On error *reterr names the file. */
int ft_txn_write(struct ft_txn *t, struct ft_text_error *reterr);

/* From here it goes backwards. The reason is in the journal first. */
int ft_txn_fail(struct ft_txn *t, const char *reason);

/* Backwards: every file is as it was. On error some may not be; call it again. */
int ft_txn_restore(struct ft_txn *t, struct ft_text_error *reterr);

/* Record the outcome and end the journal: APPLIED (not failed), or FAILED with t->reason. When the
 * outcome of APPLIED cannot be recorded, the journal stays in force and the caller fails the
 * transaction. */
int ft_txn_end(struct ft_txn *t);

void ft_txn_fini(struct ft_txn *t);
