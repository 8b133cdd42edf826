/* A fake exporter whose temper a test sets, and batches to send. */
#pragma once

#include <harness/task_test.h>

#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>

#include <base/cleanup.h>

#include <model/sample.h>

#include "metrics/fanout.h"

#define FAKE_SEQ_MAX 65536

/* What the next sends do. */
enum fake_temper {
    FAKE_TAKES,   /* OK, or DUPLICATE for what it has */
    FAKE_FAILS,   /* RETRY for all */
    FAKE_HOLDS,   /* HOLD for all */
    FAKE_REJECTS, /* even numbers are rejected */
    FAKE_HANGS,   /* blocks its thread until it is something else */
    FAKE_RANDOM,  /* any verdict for each */
    FAKE_LATER,   /* RETRY for all, and wants to be left alone for retry_after */
    FAKE_HALF,    /* takes every second one that is offered, RETRY for the rest */
};

struct fake {
    _Atomic int temper;
    _Atomic bool shut; /* cannot be opened */
    _Atomic uint64_t sends, rows, stored, opened, closed, biggest;
    _Atomic rn_time first_at, last_at; /* of sends */
    rn_time retry_after;
    rn_time tend_pause; /* 0: no chores */
    _Atomic uint64_t tended;
    uint64_t random;
    bool has[FAKE_SEQ_MAX]; /* by seq, whoever's it is */
};

struct fake_settings {
    struct ft_exporter_head head;
    struct fake *fake;
};

extern const struct ft_exporter_type fake_type;
/* The same with batches of up to 7 samples that wait for 10 s. */
extern const struct ft_exporter_type fake_slow_type;
/* The same with sends that are late after 20 ms. */
extern const struct ft_exporter_type fake_late_type;

/* A sample numbered `seq` of a process called "p". */
struct ft_sample fake_sample(uint64_t seq);
/* A batch of `count` samples from `first` on, of agent and boot number `who`. */
struct ft_batch *fake_batch(unsigned who, uint64_t first, uint32_t count);
struct ft_uuid fake_uuid(unsigned who);

/* Offer one and drop our reference. */
void fake_offer(struct ft_fanout *f, uint64_t first, uint32_t count);

/* Fails unless item `i` balances, and returns its view. */
struct ft_ledger_view fake_books(struct ft_fanout *f, size_t i);
uint64_t fake_column(struct ft_fanout *f, size_t i, enum ft_column c);
