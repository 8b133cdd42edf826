/* Tests that need tasks.
 *
 *     TASK_TEST(a_receiver_is_woken_by_a_send) { ... }            // the body is the first task of a runtime
 *     SIM_TEST(no_order_loses_a_value, 1000) { ... seed ... }     // a simulated runtime per seed, all in one child
 *
 * A task that can never wake aborts the test, with its place. SIM_SEED=n runs that one seed of each SIM_TEST; a failure names
 * the seed. The number of seeds is scaled by TEST_TASKS.
 *
 * Link with the `harness_task` dependency.
 */
#pragma once

#include <harness/test.h>

#include <runnel/runtime.h>
#include <runnel/task.h>

#define TASK_TEST(name) TASK_TEST_WITH(name, (.workers = 1))
/* The same with options: TASK_TEST_WITH(name, (.workers = 4)). */
#define TASK_TEST_WITH(name, options_)                                                             \
    static void task_body_##name(void);                                                            \
    TEST(name)                                                                                     \
    {                                                                                              \
        const struct rn_options task_options = {TASK_UNPAREN_ options_};                           \
        task_test_run(&task_options, task_body_##name);                                            \
    }                                                                                              \
    static void task_body_##name(void)
#define TASK_UNPAREN_(...) __VA_ARGS__

#define SIM_TEST(name, n_seeds)                                                                    \
    static void sim_body_##name(uint64_t seed);                                                    \
    TEST(name)                                                                                     \
    {                                                                                              \
        sim_test_run(n_seeds, sim_body_##name);                                                    \
    }                                                                                              \
    static void sim_body_##name(__attribute__((unused)) uint64_t seed)

/* A body that has to die of `signal` and say `says`. */
#define TASK_ABORT_TEST(name, signal, says)                                                        \
    static void task_body_##name(void);                                                            \
    ABORT_TEST(name, signal, says)                                                                 \
    {                                                                                              \
        task_test_run(NULL, task_body_##name);                                                     \
    }                                                                                              \
    static void task_body_##name(void)

/* UNTIL for tasks: lets others run, then sleeps a millisecond (of virtual time in a simulation) between two looks. */
#define TASK_UNTIL(cond)                                                                           \
    do {                                                                                           \
        test_waiting(__FILE__, __LINE__, #cond);                                                   \
        while (!(cond))                                                                            \
            task_test_nap();                                                                       \
        test_waiting(NULL, 0, NULL);                                                               \
    } while (0)

/* `options` may be NULL; its leak policy is always RN_LEAKS_ABORT. */
void task_test_run(const struct rn_options *options, void (*body)(void));
void sim_test_run(uint64_t n_seeds, void (*body)(uint64_t seed));
void task_test_nap(void);
