/* The leak corpus: small programs, and what the leak check must say of each of their tasks.
 *
 * A program is one line of text. Its tasks are separated by `|`; each is a list of steps:
 *
 *     !c  ?c        send on channel c, receive from it
 *     #c  *c        send until nobody receives any more; receive until the end
 *     +m  -m        lock and unlock mutex m
 *     (s  )s        take a unit of semaphore s, give one
 *     =w  .w        wait for wait group w, one of its things is done
 *     :e  $e        wait for one-shot e, set it
 *     [?a,!b]       select; `_` an empty case, `0` a default, `7` a deadline of 7 s, and a case
 *                   that ends the task: `?q^`
 *     i?c i+m       a wait that is idle by design, of any kind
 *     >c  <c        close one's own sender, one's own receiver
 *     k>c k<c       only keep a sender, a receiver
 *     z5  zF  y     sleep for 5 s, for ever; yield
 *     &1  W         start the task number 1 in a scope of one's own, and wait for that scope; at
 *                   the end it is closed
 *     C   d5        cancel that scope, give it a deadline
 *     @             begin again
 *
 * `5:` before a task starts five of it; `~` leaves the start to somebody's `&`. Every task owns the
 * end-points that its steps name, nobody else has any, and a task whose call fails ends: because
 * the other side has gone, because it holds that mutex, or because the holder has ended. So what
 * leaks in Go because "the others have left" ends here; to leak, somebody must still hold the other
 * end. Mutexes and their kind belong to the scope of the whole program, as Go's belong to nobody.
 *
 * What is expected is one letter for each task: `d` dead, `s` suspect after leak_age, `e` ended,
 * `w` waiting or working as it should, or never started. A program that expects no `d` and no `s`
 * must raise no alarm.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct program {
    const char *like; /* the program of Go's testgoroutineleakprofile that it follows, or NULL */
    const char *name;
    const char *caps; /* "c3": channel c has three slots, semaphore c three units free, wait group c
                         three things to be done; none is the rule */
    const char *tasks;
    const char *expected;
};

enum { PROGRAM_TASKS = 8, PROGRAM_COPIES = 128 };

extern const struct program programs[];
extern const size_t n_programs;

struct outcome {
    unsigned dead, suspect; /* tasks that were called so */
    unsigned missed;        /* expected and not called */
    unsigned false_alarms;  /* called and not expected */
    unsigned wrong;         /* ended or not, against the expectation; or something stayed open */
    char says[4096];        /* the report, its beginning */
};

/* Run it in a simulation, in the order of `seed`. Aborts on a text that it cannot read. */
void program_run(const struct program *program, unsigned long seed, struct outcome *ret_outcome);
