/* A window into a running program on runnel, that answers while the program hangs.
 *
 *     struct rnet_debug_options o = {.addrs = addrs, .n_addrs = 1, .observed = rn_runtime_self()};
 *     r = rnet_debug_serve(&o, &debug);
 *     printf("debug=%s\n", rnet_debug_address(debug, 0));
 *     ...
 *     rnet_debug_stop(debug);
 *
 * A thread of its own runs a second runtime with one worker, which serves
 *
 *     /metrics                  what runnel, rnet and the process can say, and what the collectors
 *                               add (Prometheus' text)
 *     /debug/pprof/             Go's index; goroutine: profile.proto, ?debug=1 grouped, ?debug=2 all
 *     /debug/tasks              every task with state, wait, ages and sites (?format=json)
 *     /debug/leaks              a leak check, made now: the dead and the suspect, by group
 *     /debug/objects            channels: length, capacity, who holds them, who waits
 *     /debug/listeners          as netstat -ntlp, with owner and verdict (?format=json)
 *     /debug/fds                descriptors with owner, site and age
 *     /debug/syscalls           the table of strace -c (?delta=SECONDS)
 *
 * Lists are bounded by ?limit=N. The leak check also runs every 5 s, by the runtime's policy, so that
 * its numbers in /metrics are of now. No lock of the observed runtime is ever taken.
 */
#pragma once

#include <runnel/base.h>
#include <runnel/runtime.h>

struct rnet_debug;
struct rnet_metrics;

/* Called on the debug thread for each /metrics: reads atomics and seqlocks only, takes no lock,
 * does not wait. */
struct rnet_collector {
    void (*collect)(void *arg, struct rnet_metrics *out);
    void *arg;
};

struct rnet_debug_options {
    const char *const           *addrs; /* as in rnet_http_options */
    size_t                       n_addrs;
    struct rn_runtime           *observed;   /* must outlive the window */
    const struct rnet_collector *collectors; /* copied */
    size_t                       n_collectors;
};

/* Start. Blocks the calling thread for the moment that it takes to bind. 0, or what
 * rnet_http_open() said; -EAGAIN where no thread could be had. From a task or a plain thread. */
RN_API int rnet_debug_serve(const struct rnet_debug_options *options,
                            struct rnet_debug              **ret_debug);
/* The bound address `i`; NULL past the last. */
RN_API const char *rnet_debug_address(const struct rnet_debug *debug, size_t i);
/* Stop serving and join the thread. NULL is fine. */
RN_API void rnet_debug_stop(struct rnet_debug *debug);
RN_API void rnet_debug_stopp(struct rnet_debug **debug);

/* What /metrics says of runnel, rnet and the process, for programs that have a page of their own.
 */
RN_API void rnet_debug_collect(struct rn_runtime *observed, struct rnet_metrics *out);
