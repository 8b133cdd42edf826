/* Shared by the tests of channels, end-points, select and leaks. */
#pragma once

#include <harness/task_test.h>

#include <runnel/runnel.h>

#include <base/cleanup.h>

#define SCOPE(name)                                                                                \
    CLEANUP(rn_scope_closep) struct rn_scope name = {0};                                           \
    OK(rn_scope_open(RN_SCOPE_WAIT_ALL, &name))

/* Start a task that gets these end-points, or none. */
#define GO(scope, fn, arg, ...)                                                                    \
    rn_go(scope, fn, arg, ((const struct rn_end[]){__VA_ARGS__}),                                  \
          sizeof((const struct rn_end[]){__VA_ARGS__}) / sizeof(struct rn_end))
#define GO0(scope, fn, arg) rn_go(scope, fn, arg, NULL, 0)
#define GO_SMALL(scope, fn, arg, ...)                                                              \
    rn_go_with(&(const struct rn_task_options){.stack = RN_STACK_16K}, scope, fn, arg,             \
               ((const struct rn_end[]){__VA_ARGS__}),                                             \
               sizeof((const struct rn_end[]){__VA_ARGS__}) / sizeof(struct rn_end))

static inline uint64_t tasks_parked(void)
{
    struct rn_stats s;
    rn_stats(rn_runtime_self(), &s);
    return s.tasks_parked;
}

static inline uint64_t ends_open(void)
{
    struct rn_stats s;
    rn_stats(rn_runtime_self(), &s);
    EQ(s.endpoints_unowned, 0);
    return s.endpoints;
}
