#include "agents/persist.h"

#include <string.h>

#include <base/cleanup.h>

#include <proto/names.h>

#include "agents/agent.h"
#include "store/fault_vfs.h"
#include "store/testing.h"

static struct ft_uuid uuid_of(unsigned n)
{
    struct ft_uuid u = {{3}};

    memcpy(u.bytes + 4, &n, sizeof(n));
    return u;
}

/* Agent number `n` as a session would leave it. */
static void live(struct ft_registry *r, unsigned n, const char *description)
{
    struct ft_uuid uid = uuid_of(n);
    struct ft_agent *a;
    bool is_new;

    OK(ft_agent_lock_or_new(r, &uid, &a, &is_new));
    OK(ft_agent_set_blob(r, &a->description, S(description)));
    a->sequence_num = n * 10;
    a->last_seen_ms = 1000 + n;
    a->status = FT_STATUS_APPLYING;
    a->bits = FT_AGENT_STATE_KNOWN | FT_AGENT_SEQ_VALID | FT_AGENT_DIRTY;
    ft_agent_set_liveness_locked(r, a, n % 2 ? FT_LIVENESS_ONLINE : FT_LIVENESS_OFFLINE);
    ft_agent_unlock(r, a);
}

static struct ft_agent copy_of(struct ft_registry *r, unsigned n)
{
    struct ft_uuid uid = uuid_of(n);
    struct ft_agent *a = ft_agent_lock(r, &uid);

    if (!a)
        FAIL("agent %u is not there", n);
    struct ft_agent copy = *a;
    ft_agent_unlock(r, a);
    return copy;
}

static size_t count(struct ft_registry *r)
{
    struct ft_registry_counts c;

    ft_registry_counts(r, &c);
    return c.agents[0] + c.agents[1] + c.agents[2];
}

static size_t stored(struct ft_store *store)
{
    CLEANUP(freep) struct ft_agent_row *rows = NULL;
    size_t n = 0;

    OK(ft_store_agents_load(store, NULL, 4096, &rows, &n));
    return n;
}

static void live_and_stop(struct ft_store *store, unsigned n, bool clean)
{
    CLEANUP(ft_registry_freep) struct ft_registry *r = NULL;
    struct rn_scope scope;

    OK(ft_registry_new(&r));
    OK(ft_persist_load(r, store));
    for (unsigned i = 1; i <= n; i++)
        live(r, i, i % 3 ? "common" : "rare");
    if (clean) {
        OK(ft_persist_stop(r, store));
        return;
    }
    OK(rn_scope_open(RN_SCOPE_WAIT_ALL, &scope));
    OK(ft_persist_start(scope, r, store));
    TASK_UNTIL(stored(store) == n);
    OK(rn_scope_close(scope));
}

TASK_TEST(after_a_clean_stop_the_numbers_continue)
{
    enum { N = 1500 };
    CLEANUP(ft_store_closep) struct ft_store *store = testing_store();
    CLEANUP(ft_registry_freep) struct ft_registry *r = NULL;

    live_and_stop(store, N, true);
    OK(ft_registry_new(&r));
    OK(ft_persist_load(r, store));
    EQ(count(r), N);
    for (unsigned i = 1; i <= N; i++) {
        struct ft_agent a = copy_of(r, i);
        EQ(a.sequence_num, i * 10);
        EQ(a.last_seen_ms, 1000 + i);
        EQ(a.bits & (FT_AGENT_SEQ_VALID | FT_AGENT_STATE_KNOWN | FT_AGENT_DIRTY),
           FT_AGENT_SEQ_VALID | FT_AGENT_STATE_KNOWN);
        EQ(a.liveness, i % 2 ? FT_LIVENESS_STALE : FT_LIVENESS_OFFLINE);
        TRUE(rn_slice_eq_str(ft_blob_slice(a.description), i % 3 ? "common" : "rare"));
        GT(a.applying_since, 0); /* and does not time out for the time that we were away */
    }
}

TASK_TEST(after_a_crash_they_do_not_but_the_rest_is_there)
{
    CLEANUP(ft_store_closep) struct ft_store *store = testing_store();
    CLEANUP(ft_registry_freep) struct ft_registry *r = NULL;

    live_and_stop(store, 40, false);
    OK(ft_registry_new(&r));
    OK(ft_persist_load(r, store));
    EQ(count(r), 40);
    EQ(copy_of(r, 7).bits & (FT_AGENT_SEQ_VALID | FT_AGENT_STATE_KNOWN), FT_AGENT_STATE_KNOWN);
}

TASK_TEST(a_clean_stop_is_good_for_one_start)
{
    CLEANUP(ft_store_closep) struct ft_store *store = testing_store();

    live_and_stop(store, 3, true);
    for (int i = 0; i < 2; i++) {
        CLEANUP(ft_registry_freep) struct ft_registry *r = NULL;
        OK(ft_registry_new(&r));
        OK(ft_persist_load(r, store));
        EQ((copy_of(r, 1).bits & FT_AGENT_SEQ_VALID) != 0, i == 0);
    }
}

/* The longest possible one must not keep the others from being saved. */
TASK_TEST(one_long_record_does_not_hold_up_the_rest)
{
    enum { LEN = (16 << 20) + 1, N = 600 };
    CLEANUP(ft_store_closep) struct ft_store *store = testing_store();
    CLEANUP(freep) char *text = malloc(LEN + 1);

    memset(text, 'x', LEN);
    text[LEN] = '\0';
    {
        CLEANUP(ft_registry_freep) struct ft_registry *r = NULL;
        OK(ft_registry_new(&r));
        OK(ft_persist_load(r, store));
        for (unsigned i = 1; i <= N; i++)
            live(r, i, i == 5 ? text : i % 20 ? "short" : "a little longer");
        text[5 << 20] = '\0';
        for (unsigned i = 10; i < 14; i++) /* and some that fill a batch each */
            live(r, i, text);
        OK(ft_persist_stop(r, store));
    }
    CLEANUP(ft_registry_freep) struct ft_registry *r = NULL;
    OK(ft_registry_new(&r));
    OK(ft_persist_load(r, store));
    EQ(count(r), N);
    EQ(copy_of(r, 5).bits & FT_AGENT_STATE_KNOWN, 0);
    TRUE(copy_of(r, 5).description == NULL);
    EQ(ft_blob_slice(copy_of(r, 12).description).len, 5 << 20);
    EQ(copy_of(r, 12).bits & FT_AGENT_STATE_KNOWN, FT_AGENT_STATE_KNOWN);
}

TASK_TEST(a_row_that_cannot_be_read_is_passed_over)
{
    CLEANUP(ft_store_closep) struct ft_store *store = testing_store();
    CLEANUP(ft_registry_freep) struct ft_registry *r = NULL;
    struct ft_agent_row row = {.uid = uuid_of(2), .record = S("\1garbage")};

    live_and_stop(store, 3, true);
    OK(ft_store_agents_save(store, &row, 1));
    OK(ft_registry_new(&r));
    OK(ft_persist_load(r, store));
    EQ(count(r), 2);
}

#ifdef FETTLE_FAULT_POINTS
TASK_TEST(while_the_storage_fails_the_marks_are_kept)
{
    CLEANUP(ft_store_closep) struct ft_store *store = testing_store();
    CLEANUP(ft_registry_freep) struct ft_registry *r = NULL;
    struct rn_scope scope;
    struct ft_text_error error;

    OK(ft_registry_new(&r));
    OK(ft_persist_load(r, store));
    for (unsigned i = 1; i <= 300; i++)
        live(r, i, "x");
    ft__disk_fault_set(FT_DISK_FULL);
    ERR(ft_persist_stop(r, store), ENOSPC);
    TRUE(ft_store_last_error(store, &error));
    for (unsigned i = 1; i <= 300; i++)
        TRUE(copy_of(r, i).bits & FT_AGENT_DIRTY);

    OK(rn_scope_open(RN_SCOPE_WAIT_ALL, &scope));
    OK(ft_persist_start(scope, r, store));
    uint64_t failures = ft_store_failures(store);
    TASK_UNTIL(ft_store_failures(store) > failures);
    ft__disk_fault_set(FT_DISK_HEALTHY);
    for (unsigned i = 1; i <= 300; i++)
        TASK_UNTIL(!(copy_of(r, i).bits & FT_AGENT_DIRTY));
    TASK_UNTIL(!ft_store_last_error(store, &error));
    OK(rn_scope_close(scope));
}
#endif
