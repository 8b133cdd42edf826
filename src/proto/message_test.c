/* Whole messages: there and back, the caps, and mutations of valid ones. */
#include <proto/message.h>

#include <errno.h>
#include <pthread.h>

#include <base/cleanup.h>
#include <proto/frame.h>

#include "specimen_testing.h"
#include "testing.h"

static const struct ft_limits roomy = {.message_max = FT_MESSAGE_MAX_DEFAULT};

TEST(a_full_report_comes_back_to_the_byte)
{
    CLEANUP(freep) uint8_t            *bytes = NULL;
    CLEANUP(ft_buf_fini) struct ft_buf again = FT_BUF_INIT(FT_MESSAGE_MAX_DEFAULT);
    CLEANUP(ft_agent_message_fini) struct ft_agent_message m = {0};
    size_t                                                 len;

    bytes = specimen_report(&len);
    OK(ft_opamp_decode_agent(rn_slice(bytes, len), &roomy, &m, NULL));
    EQ(m.msg->sequence_num, 7);
    EQ(m.msg->agent_description->n_non_identifying_attributes, 2);
    STREQ(m.msg->health->component_health_map[0]->key, "worker");
    STREQ(m.msg->effective_config->config_map->config_map[0]->value->role, "main");
    OK(ft_message_encode(&m.msg->base, FT_MESSAGE_MAX_DEFAULT, &again));
    EQ(again.len, len);
    MEMEQ(again.data, bytes, len);
}

TEST(a_full_answer_comes_back_to_the_byte)
{
    CLEANUP(freep) uint8_t            *bytes = NULL;
    CLEANUP(ft_buf_fini) struct ft_buf again = FT_BUF_INIT(FT_MESSAGE_MAX_DEFAULT);
    CLEANUP(ft_server_message_fini) struct ft_server_message m = {0};
    size_t                                                   len;

    bytes = specimen_answer(&len);
    OK(ft_opamp_decode_server(rn_slice(bytes, len), &roomy, &m, NULL));
    EQ(m.msg->connection_settings->opamp->heartbeat_interval_seconds, 30);
    EQ(m.msg->error_response->retry_info->retry_after_nanoseconds, 30000000000);
    OK(ft_message_encode(&m.msg->base, FT_MESSAGE_MAX_DEFAULT, &again));
    EQ(again.len, len);
    MEMEQ(again.data, bytes, len);
}

TEST(an_empty_message_is_a_message)
{
    CLEANUP(ft_agent_message_fini) struct ft_agent_message m = {0};
    CLEANUP(ft_buf_fini) struct ft_buf                     out = FT_BUF_INIT(64);

    OK(ft_opamp_decode_agent((struct rn_slice){0}, &roomy, &m, NULL));
    EQ(m.msg->instance_uid.len, 0);
    TRUE(!m.msg->health);
    OK(ft_message_encode_frame(&m.msg->base, 10, &out));
    MEMEQ(out.data, "\0\0\0\1\0", 5);
}

TEST(what_is_over_the_maximum_is_neither_taken_nor_sent)
{
    CLEANUP(freep) uint8_t                                *bytes = NULL;
    CLEANUP(ft_buf_fini) struct ft_buf                     out = FT_BUF_INIT(4096);
    CLEANUP(ft_agent_message_fini) struct ft_agent_message m = {0};
    struct ft_limits                                       tight = roomy;
    struct ft_fault                                        fault;
    size_t                                                 len;

    bytes = specimen_report(&len);
    tight.message_max = len - 1;
    ERR(ft_opamp_decode_agent(rn_slice(bytes, len), &tight, &m, &fault), EBADMSG);
    EQ(fault.kind, FT_FAULT_SIZE);
    OK(ft_opamp_decode_agent(rn_slice(bytes, len), &roomy, &m, &fault));

    ERR(ft_message_encode(&m.msg->base, len - 1, &out), EMSGSIZE);
    ERR(ft_message_encode_envelope(&m.msg->base, len, &out), EMSGSIZE);
    ERR(ft_message_encode_frame(&m.msg->base, len, &out), EMSGSIZE);
    EQ(out.len, 0);
    OK(ft_message_encode_frame(&m.msg->base, len + 1, &out));
    EQ(out.len, 4 + 1 + len);
    ft_buf_clear(&out);
    OK(ft_message_encode_envelope(&m.msg->base, len + 1, &out));
    EQ(out.len, 1 + len);
    out.max = out.len + 1;
    ERR(ft_message_encode(&m.msg->base, len, &out), E2BIG);
}

/* Many empty attributes: two bytes each here, a structure each when decoded. */
static void add_empty_attributes(struct ft_buf *b, size_t n)
{
    for (size_t i = 0; i < n; i++)
        OK(ft_buf_add(b, "\x0a\0", 2));
    test_wrap(b, 3);
}

TEST(a_message_that_would_decode_to_too_much_is_its_own_fault)
{
    CLEANUP(ft_buf_fini) struct ft_buf b = FT_BUF_INIT(FT_MESSAGE_MAX_DEFAULT);
    struct ft_agent_message            m = {0};
    struct ft_budget                   budget = FT_BUDGET_INIT(FT_DECODE_BUDGET_DEFAULT);
    struct ft_limits                   limits = {.budget = &budget};
    struct ft_fault                    fault;

    add_empty_attributes(&b, 5000);
    limits.message_max = b.len;
    ERR(ft_opamp_decode_agent(ft_buf_slice(&b), &limits, &m, &fault), E2BIG);
    EQ(fault.kind, FT_FAULT_MEMORY);
    EQ(budget.used, 0);
    EQ(budget.refusals, 0);
}

TEST(a_server_without_budget_is_not_the_messages_fault)
{
    CLEANUP(ft_buf_fini) struct ft_buf                     b = FT_BUF_INIT(FT_MESSAGE_MAX_DEFAULT);
    struct ft_budget                                       budget = FT_BUDGET_INIT(64 * FT_KIB);
    CLEANUP(ft_agent_message_fini) struct ft_agent_message m = {0};
    struct ft_limits limits = {.message_max = FT_MIB, .budget = &budget};
    struct ft_fault  fault;

    add_empty_attributes(&b, 5000);
    ERR(ft_opamp_decode_agent(ft_buf_slice(&b), &limits, &m, &fault), EAGAIN);
    EQ(fault.kind, FT_FAULT_BUDGET);
    EQ(budget.used, 0);
    EQ(budget.refusals, 1);

    budget.max = FT_DECODE_BUDGET_DEFAULT;
    OK(ft_opamp_decode_agent(ft_buf_slice(&b), &limits, &m, &fault));
    GT(budget.used, 0);
    EQ(budget.used, m.arena.used);
    ft_agent_message_fini(&m);
    EQ(budget.used, 0);
}

TEST(an_arena_counts_its_own_heads_and_aligns)
{
    struct ft_budget budget = FT_BUDGET_INIT(FT_MIB);
    struct ft_arena  a;
    char            *p[100];

    ft_arena_init(&a, 100 * FT_KIB, &budget);
    for (size_t i = 0; i < 100; i++) {
        p[i] = ft_arena_alloc(&a, i * 10);
        TRUE(p[i]);
        EQ((uintptr_t)p[i] % _Alignof(max_align_t), 0);
        memset(p[i], (int)i, i * 10);
    }
    for (size_t i = 1; i < 100; i++)
        EQ(p[i][i * 10 - 1], i);
    EQ(budget.used, a.used);
    TRUE(!ft_arena_alloc(&a, 100 * FT_KIB));
    EQ(a.err, -E2BIG);
    TRUE(!ft_arena_alloc(&a, SIZE_MAX));
    TRUE(ft_arena_alloc(&a, 1));
    ft_arena_fini(&a);
    EQ(budget.used, 0);
}

/* The decoder recurses as deep as the scan admits, and a task's usual stack has 64 KiB, of which it
 * may take half. */
static void nest(struct ft_buf *b, int messages)
{
    for (int i = messages - 4; i > 0; i--)
        test_wrap(b, i % 2 ? 5
                           : 1); /* array_value and values by turns, the outermost an array_value */
    test_wrap(b, 2);
    test_wrap(b, 1);
    test_wrap(b, 3);
}

static void *decode_deep(void *arg)
{
    struct ft_buf          *b = arg;
    struct ft_agent_message m = {0};

    OK(ft_opamp_decode_agent(ft_buf_slice(b), &roomy, &m, NULL));
    ft_agent_message_fini(&m);
    return NULL;
}

TEST(the_deepest_message_decodes_on_a_small_stack)
{
    CLEANUP(ft_buf_fini) struct ft_buf b = FT_BUF_INIT(4096);
    struct ft_agent_message            m = {0};
    struct ft_fault                    fault;
    pthread_attr_t                     attr;
    pthread_t                          thread;

    if (test_sanitized())
        SKIP("a sanitizer's frames are larger");
    nest(&b, FT_SCAN_DEPTH_MAX);
    EQ(pthread_attr_init(&attr), 0);
    EQ(pthread_attr_setstacksize(&attr, 40 * 1024), 0); /* some of it is the thread's own */
    EQ(pthread_create(&thread, &attr, decode_deep, &b), 0);
    EQ(pthread_join(thread, NULL), 0);
    EQ(pthread_attr_destroy(&attr), 0);

    ft_buf_clear(&b);
    nest(&b, FT_SCAN_DEPTH_MAX + 1);
    ERR(ft_opamp_decode_agent(ft_buf_slice(&b), &roomy, &m, &fault), EBADMSG);
    EQ(fault.kind, FT_FAULT_DEPTH);
}

TEST(mutated_reports_are_decoded_or_refused_but_never_hurt)
{
    CLEANUP(freep) uint8_t *bytes = NULL;
    uint64_t                state = test_seed();
    size_t                  len, taken = 0, n = test_tasks(test_sanitized() ? 20000 : 100000);

    bytes = specimen_report(&len);
    for (size_t i = 0; i < n; i++) {
        struct ft_agent_message m = {0};
        size_t                  mutated_len;
        uint8_t                *mutated = test_mutate(&state, rn_slice(bytes, len), &mutated_len);
        int r = ft_opamp_decode_agent(rn_slice(mutated, mutated_len), &roomy, &m, NULL);

        if (r == 0) {
            taken++;
            ft_agent_message_fini(&m);
        } else {
            ERR(r, EBADMSG);
        }
        free(mutated);
    }
    GT(taken, 0);
    LT(taken, n);
}

TEST(mutated_answers_are_decoded_or_refused_but_never_hurt)
{
    CLEANUP(freep) uint8_t *bytes = NULL;
    uint64_t                state = test_seed();
    size_t                  len, n = test_tasks(test_sanitized() ? 20000 : 100000);

    bytes = specimen_answer(&len);
    for (size_t i = 0; i < n; i++) {
        struct ft_server_message m = {0};
        size_t                   mutated_len;
        uint8_t                 *mutated = test_mutate(&state, rn_slice(bytes, len), &mutated_len);
        int r = ft_opamp_decode_server(rn_slice(mutated, mutated_len), &roomy, &m, NULL);

        if (r == 0)
            ft_server_message_fini(&m);
        else
            ERR(r, EBADMSG);
        free(mutated);
    }
}

TEST(repeating_a_part_merges_it_within_the_cap)
{
    CLEANUP(ft_buf_fini) struct ft_buf                     b = FT_BUF_INIT(FT_MESSAGE_MAX_DEFAULT);
    CLEANUP(ft_agent_message_fini) struct ft_agent_message m = {0};
    struct ft_limits                                       limits = {.message_max = 64 * FT_KIB};
    int                                                    r;

    for (int i = 0; i < 3; i++)
        OK(ft_buf_add(&b, "\x1a\x02\x0a\0", 4)); /* agent_description with one attribute */
    OK(ft_opamp_decode_agent(ft_buf_slice(&b), &limits, &m, NULL));
    EQ(m.msg->agent_description->n_identifying_attributes, 3);
    ft_agent_message_fini(&m);

    for (int i = 0; i < 10000; i++)
        OK(ft_buf_add(&b, "\x1a\x02\x0a\0", 4));
    r = ft_opamp_decode_agent(ft_buf_slice(&b), &limits, &m, NULL);
    ERR(r, E2BIG); /* each merge copies the list so far; the arena says when that is enough */
}
