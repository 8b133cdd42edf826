/* Applying offers, one after the other: the task that drives transactions and watches the processes
 * take them up.
 *
 * Only the newest offer is kept while one is being applied. Every offer gets an answer with its own
 * hash: APPLYING and then APPLIED or FAILED, or at once what it is already.
 */
#pragma once

#include <runnel/blocking.h>

#include "process.h"
#include "report.h"
#include "transaction.h"

struct ft_apply {
    /* set once */
    struct ft_monitor *monitor;
    const struct ft_settings *settings;
    struct ft_store *store; /* used in jobs of `files` only */
    struct ft_supervisor *supervisor;
    struct ft_report *report;
    struct rn_class *files; /* one thread: its jobs never overlap */
    struct ft_bell bell;
    int (*between)(void *arg); /* called when the bell rang and nothing is being applied */
    void *between_arg;

    /* inside the monitor */
    struct ft_offer *next; /* the newest offer that waits, or NULL */
    struct ft_outcome
        applied; /* a copy of the store's last good hash; status APPLIED if there is one */
    struct ft_outcome
        current;  /* hash of the offer in progress; status APPLYING meanwhile, else UNSET */
    bool pending; /* `txn` is one of an earlier life, to be finished first */
    struct ft_txn txn;
};

/* Before the processes start: finish the file part of a transaction that an earlier life left
 * behind. Blocking. 0, or an error that keeps the agent from starting. */
int ft_apply_recover(struct ft_apply *a, struct ft_text_error *reterr);

/* The task. Ends when cancelled; a transaction in progress is left to the next start. */
int ft_apply_task(void *apply);

/* An offer came. Takes it over. */
void ft_apply_offer(struct ft_apply *a, struct ft_offer *offer);

void ft_apply_fini(struct ft_apply *a);
