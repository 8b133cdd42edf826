/* Random programs in a simulation, compared with a model after every step.
 *
 * Some actors share a few channels; each has end-points of its own. A step tells an actor what to
 * do (send, receive, select, sleep, close), or cancels one, or a scope of them, or lets time pass.
 * After each step everything comes to rest, and what has ended by now, and how, must be what the
 * model says. A burst is several steps before the rest: then some order of them must explain what
 * is seen, and all that do are kept: a later step may tell them apart.
 *
 * A program is a list of steps that are valid in any state (what an actor cannot do now is left
 * out). So a failing program is shrunk by leaving out steps, as long as it still fails.
 *
 * Time passes in steps of its own, so what happens at the very moment of a deadline isn't here, nor
 * are descriptors, end-points inside values, shields and deadlines of scopes.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    CHANS = 3,
    ACTORS = 6,
    SCOPES = 2,
    CASES = 3,
    STEPS_MAX = 200,
    QUEUE_MAX = 8,
    BURST_MAX = 4
};

enum step_kind {
    STEP_SELECT,
    STEP_SLEEP,
    STEP_CLOSE_TX,
    STEP_CLOSE_RX,
    STEP_CANCEL,
    STEP_SCOPE_CANCEL,
    STEP_TIME
};

/* A plain send or receive is a select of one case by the plain call. */
struct step {
    uint8_t kind, actor, n_cases;
    bool plain, burst; /* burst: the next step comes before the rest */
    struct {
        uint8_t chan;
        bool send;
    } cases[CASES];
    uint16_t ms;  /* deadline, or how long: 0 only looks */
    bool forever; /* no deadline */
};

/* How an operation ended. No padding: models are compared as bytes. */
struct ending {
    int done;
    int index, result; /* of the case; -1 and the error of the call itself */
    int value;         /* received */
};

/* ---- The model ------------------------------------------------------------------------------- */

/* Deliberately wrong rules, to show that each would be noticed. */
enum fault {
    FAULT_NONE,
    FAULT_LIFO,
    FAULT_NO_REFILL,
    FAULT_CLOSE_SLEEPS,
    FAULT_LATE,
    FAULT_NO_CANCEL,
    FAULT_DROPS,
    N_FAULTS
};

struct waiter {
    uint8_t actor, index;
    bool send;
};
struct model_chan {
    int cap, len, queue[QUEUE_MAX];
    struct waiter waiters[ACTORS * CASES];
    int n_waiters;
};
enum actor_state { ACTOR_IDLE, ACTOR_BUSY, ACTOR_ENDING, ACTOR_ENDED };
struct model_actor {
    enum actor_state state;
    bool tx[CHANS], rx[CHANS];
    struct step step; /* what it is busy with */
    int value;
    int64_t deadline;
    bool by_close; /* ended by a close: any case without a peer will do */
    struct ending ending;
};
struct model {
    enum fault fault;
    struct model_chan chans[CHANS];
    struct model_actor actors[ACTORS];
    int destroyed;
};

/* Begin an operation: `seen` is how it really ended, if it has, and decides among cases that are
 * ready. False: it cannot have ended like that. */
bool model_begin(struct model *m, int actor, const struct step *step, int value, int64_t now,
                 const struct ending *seen);
void model_close(struct model *m, int actor, int chan, bool send);
/* A cancel takes an actor out of its wait at once; it ends, with all it holds, when it runs. */
void model_cancel(struct model *m, int actor);
void model_end(struct model *m, int actor, const struct ending seen[ACTORS]);
void model_time(struct model *m, int64_t now);

/* ---- Programs -------------------------------------------------------------------------------- */

struct random_program {
    uint64_t seed; /* of the simulation, and of capacities */
    size_t n;
    struct step steps[STEPS_MAX];
};

void program_make(struct random_program *p, uint64_t seed);

struct program_counts {
    uint64_t operations; /* compared */
    uint64_t given_up;   /* 1: too many orders explained what was seen, the rest wasn't compared */
};
/* Run it. NULL, or what went wrong (static text). `ret_counts` may be NULL. */
const char *program_try(const struct random_program *p, enum fault fault,
                        struct program_counts *ret_counts);
/* Leave out steps as long as it still fails, by program_fails(), which the caller provides. */
bool program_fails(const struct random_program *p, enum fault fault);
void program_shrink(struct random_program *p, enum fault fault);
void program_print(const struct random_program *p);
