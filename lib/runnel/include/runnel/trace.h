/* Looking into a running program from outside of it: stacks of tasks, what pc is which line, channels and descriptors.
 *
 * All of it works from any thread while the observed runtime runs, hangs, or stands still inside a lock: none of its locks is
 * taken. Records are copied and kept only if an epoch or a generation says that they are still the same. The functions given to
 * the ..._each() calls may take their time, and may suspend.
 *
 * The stack of a parked task is read where it lies. That of a running task comes from a signal to its thread (SIGURG; the
 * library is its owner in the process, hands on what isn't its own, and asks nobody unless somebody looks).
 *
 * Unless said otherwise:
 * Suspends: no, but for what the functions do that are given to it.
 * Owner:    of the runtime, its rn_run(): the caller sees to it that it lives; texts last as long as the process.
 * From:     anywhere.
 */
#pragma once

#include <runnel/base.h>
#include <runnel/leak.h>

/* ---- stacks ---- */

#define RN_TRACE_MAX 64
struct rn_trace {
    struct rn_task_info task;
    bool                complete; /* the walk came to where the task began */
    bool                exact;    /* pcs[0] is where it is; the others, and else that too, are return addresses */
    unsigned            n;        /* frames, the innermost first; 0: it never stood still, or its thread didn't answer */
    uintptr_t           pcs[RN_TRACE_MAX];
};
/* Call fn for each task of `rt`; stops when it returns false.
 * Returns: 0, -ENOMEM. */
RN_API int rn_traces_each(const struct rn_runtime *rt, bool (*fn)(void *arg, const struct rn_trace *trace), void *arg);
/* Returns: an address inside the instruction of frame i: the call itself, for a return address. */
static inline uintptr_t rn_trace_pc(const struct rn_trace *t, unsigned i)
{
    return t->pcs[i] - !(i == 0 && t->exact);
}

/* Returns: the first frame worth showing: those before it are the scheduler's, inside of the call that waits. */
RN_API unsigned rn_trace_first(const struct rn_trace *t);

/* ---- addresses ---- */

struct rn_symbol {
    const char *name; /* of the function, static ones too; NULL: unknown */
    uintptr_t   start;
    const char *file; /* NULL: no line table */
    int         line;
};
/* What lies at `pc`. */
RN_API void rn_symbol_at(uintptr_t pc, struct rn_symbol *ret_symbol);

/* A mapped piece of code, of the program (the first) or a library. */
struct rn_module {
    uintptr_t   start, end;
    uint64_t    offset; /* in the file */
    const char *path;
    const char *build_id; /* hexadecimal, "" */
};
/* Module i, in a fixed order; new ones come last.
 * Returns: false: no more. */
RN_API bool rn_module_at(size_t i, struct rn_module *ret_module);

/* ---- channels and descriptors ---- */

#define RN_OWNER_TEXT 64
struct rn_chan_info {
    uint32_t              id; /* as in rn_task_info */
    const struct rn_site *opened;
    uint64_t              len, cap; /* len: UINT64_MAX where it could not be read in peace */
    uint32_t              n_tx, n_rx;           /* open end-points */
    uint32_t              waiting_tx, waiting_rx; /* tasks that wait to send, to receive; a select counts for each of its cases */
    rn_time               waited;               /* the longest of these waits so far */
    /* Who holds it and who waits: the first of each, as text such as `task 7 "lane"`; unused ones are "". */
#define RN_CHAN_NAMES 4
    char holders_tx[RN_CHAN_NAMES][RN_OWNER_TEXT], holders_rx[RN_CHAN_NAMES][RN_OWNER_TEXT];
    char waiters[RN_CHAN_NAMES][RN_OWNER_TEXT];
};
/* Call fn for each open channel.
 * Returns: 0, -ENOMEM. */
RN_API int rn_chans_each(const struct rn_runtime *rt, bool (*fn)(void *arg, const struct rn_chan_info *info), void *arg);

struct rn_fd_info {
    int                   number;
    int                   kind; /* enum rn_fd_kind */
    const struct rn_site *site; /* where it was taken over */
    rn_time               age;
    bool                  watched; /* events go to callbacks of a loop, not to tasks */
    bool                  reader, writer; /* a task waits */
    char                  owner[RN_OWNER_TEXT];
};
/* Returns: "stream". */
RN_API const char *rn_fd_kind_name(int kind);
/* Call fn for each descriptor of `rt`; stops when it returns false. */
RN_API void rn_fds_each(const struct rn_runtime *rt, bool (*fn)(void *arg, const struct rn_fd_info *info), void *arg);

/* ---- text ---- */

/* Where a dump goes, piece by piece; < 0 ends it. */
struct rn_sink {
    int (*write)(void *arg, const void *bytes, size_t n);
    void *arg;
};
/* All stacks, one block per task, as Go writes them (goroutine?debug=2): with everything that the library knows about a wait
 * inside of the brackets. At most `limit` tasks (0: all), then a line with their number.
 * Returns: 0, -ENOMEM, or what the sink said. */
RN_API int rn_dump_tasks(const struct rn_runtime *rt, uint64_t limit, const struct rn_sink *sink);
/* Tables of channels and of descriptors.
 * Returns: 0, -ENOMEM, or what the sink said. */
RN_API int rn_dump_chans(const struct rn_runtime *rt, uint64_t limit, const struct rn_sink *sink);
RN_API int rn_dump_fds(const struct rn_runtime *rt, uint64_t limit, const struct rn_sink *sink);

/* SIGQUIT writes all three to stderr, and the program goes on. From a thread of its own, so also while every worker hangs.
 * The signal must have been blocked by rn_signals_block() before the first thread was started.
 * Returns: 0, -EBUSY (somebody has it already), -EAGAIN (no thread). */
RN_API int rn_quit_dump_start(const struct rn_runtime *rt);
/* Before the runtime ends. Nothing happens when it was not started. */
RN_API void rn_quit_dump_stop(void);
