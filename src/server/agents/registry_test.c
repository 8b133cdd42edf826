#include "agents/agent.h"

#include <harness/task_test.h>

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include <base/cleanup.h>

#include <proto/names.h>

#define FIXTURE()                                                                                  \
    CLEANUP(ft_registry_freep) struct ft_registry *r = NULL;                                       \
    test_heap_allow(160 * 1024);                                                                   \
    OK(ft_registry_new(&r))

static uint64_t next_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

static struct ft_uuid random_uuid(uint64_t *state)
{
    struct ft_uuid u;
    uint64_t words[2] = {next_random(state), next_random(state)};

    memcpy(u.bytes, words, sizeof(u.bytes));
    return u;
}

static struct ft_uuid uuid_of(unsigned n)
{
    struct ft_uuid u = {{2}};

    memcpy(u.bytes + 4, &n, sizeof(n));
    return u;
}

static bool add(struct ft_registry *r, const struct ft_uuid *uid)
{
    struct ft_agent *a;
    bool is_new;

    OK(ft_agent_lock_or_new(r, uid, &a, &is_new));
    ft_agent_unlock(r, a);
    return is_new;
}

TEST(an_agent_is_added_once_and_found)
{
    FIXTURE();
    struct ft_uuid uid = uuid_of(1), other = uuid_of(2);
    struct ft_agent_snapshot s;

    TRUE(add(r, &uid));
    TRUE(!add(r, &uid));
    OK(ft_registry_snapshot(r, &uid, &s));
    TRUE(ft_uuid_eq(&s.uid, &uid));
    EQ(s.liveness, FT_LIVENESS_OFFLINE);
    ft_agent_snapshot_fini(&s);
    ERR(ft_registry_snapshot(r, &other, &s), ENOENT);
    TRUE(ft_agent_lock(r, &other) == NULL);
}

TEST(many_agents_are_all_there_and_listed_in_order)
{
    enum { N = 30000 };
    FIXTURE();
    CLEANUP(freep) struct ft_uuid *uids = NULL;
    uint64_t state = 88172645463325252u;
    size_t n;

    for (int i = 0; i < N; i++) {
        struct ft_uuid uid = random_uuid(&state);
        TRUE(add(r, &uid));
    }
    OK(ft_registry_uids(r, &uids, &n));
    EQ(n, N);
    for (size_t i = 1; i < n; i++)
        LT(ft_uuid_cmp(&uids[i - 1], &uids[i]), 0);
    state = 88172645463325252u;
    for (int i = 0; i < N; i++) {
        struct ft_uuid uid = random_uuid(&state);
        struct ft_agent *a = ft_agent_lock(r, &uid);
        TRUE(a && ft_uuid_eq(&a->uid, &uid));
        ft_agent_unlock(r, a);
    }
}

static bool count_until_five(void *arg, struct ft_agent *a)
{
    (void)a;
    return ++*(unsigned *)arg < 5;
}

TEST(a_walk_ends_when_it_is_told_to)
{
    FIXTURE();
    unsigned seen = 0;

    for (unsigned i = 0; i < 10000; i++) {
        struct ft_uuid uid = uuid_of(i);
        add(r, &uid);
    }
    ft_agents_each_locked(r, 3, count_until_five, &seen);
    EQ(seen, 5);
}

/* ---- counts ---- */

static bool tally(void *arg, struct ft_agent *a)
{
    struct ft_registry_counts *c = arg;

    c->agents[a->liveness]++;
    c->status[a->shown_status]++;
    return true;
}

static void expect_consistent_counts(struct ft_registry *r)
{
    struct ft_registry_counts told, counted = {0};

    ft_registry_counts(r, &told);
    for (unsigned shard = 0; shard < FT_REGISTRY_SHARDS; shard++)
        ft_agents_each_locked(r, shard, tally, &counted);
    MEMEQ(&told, &counted, sizeof(told));
}

static struct ft_rendered *rendered(const char *body)
{
    struct ft_object object = {.name = rn_slice_str("a"), .body = rn_slice_str(body)};
    struct ft_objects objects = {&object, 1};
    struct ft_rendered *ret;

    OK(ft_rendered_new(&objects, &ret));
    return ret;
}

static void change_at_random(struct ft_registry *r, const struct ft_uuid *uid, uint64_t random,
                             struct ft_rendered *some[3])
{
    if (random % 4 == 0) {
        struct ft_desired d = {.assignment = random,
                               .rendered = ft_rendered_ref(some[random / 4 % 3])};
        if (random / 16 % 4 == 0) {
            d.rendered = ft_rendered_unref(d.rendered);
            d.error = strdup("a:1: no such thing");
        }
        OK(ft_registry_desire(r, uid, &d));
        TRUE(!d.rendered && !d.error);
        return;
    }
    struct ft_agent *a = ft_agent_lock(r, uid);
    a->status = random / 4 % 4;
    a->reported_hash = some[random / 16 % 3]->hash;
    a->bits = random / 64 % 2 ? FT_AGENT_HAS_REPORTED : FT_AGENT_TIMED_OUT;
    ft_agent_set_liveness_locked(r, a, random / 128 % FT_LIVENESS_COUNT);
    ft_agent_settle_locked(r, a);
    ft_agent_unlock(r, a);
}

TEST(counts_agree_with_the_records_under_random_changes)
{
    FIXTURE();
    struct ft_rendered *some[3] = {rendered("x"), rendered("y"), rendered("z")};
    uint64_t state = 1;

    for (int i = 0; i < 20000; i++) {
        struct ft_uuid uid = uuid_of((unsigned)(next_random(&state) % 300));
        add(r, &uid);
        change_at_random(r, &uid, next_random(&state) >> 8, some);
        if (i % 1000 == 0)
            expect_consistent_counts(r);
    }
    expect_consistent_counts(r);
    for (int i = 0; i < 3; i++)
        ft_rendered_unref(some[i]);
}

/* ---- desired state ---- */

TEST(nothing_is_desired_of_an_agent_that_is_not_there)
{
    FIXTURE();
    struct ft_uuid uid = uuid_of(1);
    struct ft_desired d = {.assignment = 1, .rendered = rendered("x"), .error = strdup("why")};

    ERR(ft_registry_desire(r, &uid, &d), ENOENT);
    TRUE(!d.rendered && !d.error);
}

/* A row: what the agent reported, and whether an offer of assignment 5, content "x", is due. */
TEST(an_offer_is_due_only_for_what_the_agent_does_not_have)
{
    static const struct {
        const char *reported;
        int status;
        uint64_t failed, offered;
        bool timed_out, due;
    } rows[] = {
        {NULL, FT_STATUS_UNSET, 0, 0, false, true},    /* it never had one */
        {NULL, FT_STATUS_UNSET, 0, 5, false, false},   /* on its way */
        {"y", FT_STATUS_APPLIED, 0, 0, false, true},   /* another one */
        {"y", FT_STATUS_APPLIED, 0, 4, false, true},   /* the newest goes out */
        {"y", FT_STATUS_APPLYING, 0, 5, false, false}, /* was told already */
        {"x", FT_STATUS_APPLIED, 0, 0, false, false},  /* has it */
        {"x", FT_STATUS_APPLYING, 0, 0, false, false}, /* is at it */
        {"x", FT_STATUS_FAILED, 4, 4, false, true},    /* failed before this assignment */
        {"x", FT_STATUS_FAILED, 5, 0, false, false},   /* failed with this one */
        {"x", FT_STATUS_FAILED, 5, 5, false, false},
        {"x", FT_STATUS_FAILED, 6, 0, false, false},
        {"x", FT_STATUS_APPLYING, 4, 4, true, true}, /* timed out before this one */
        {"x", FT_STATUS_APPLYING, 5, 5, true, false},
        {"x", FT_STATUS_UNSET, 0, 0, false, true}, /* has its hash, but never took it up */
    };
    struct ft_rendered *x = rendered("x"), *y = rendered("y");

    test_heap_allow(160 * 1024);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        test_note("row %zu", i);
        struct ft_agent a = {.rendered = x,
                             .conn = {1, 1},
                             .capabilities = FT_AGENT_ACCEPTS_REMOTE_CONFIG,
                             .bits = FT_AGENT_CONFIG_KNOWN,
                             .assignment = 5,
                             .offered = rows[i].offered,
                             .failed = rows[i].failed,
                             .status = (uint8_t)rows[i].status};
        if (rows[i].reported) {
            a.bits |= FT_AGENT_HAS_REPORTED;
            a.reported_hash = rows[i].reported[0] == 'x' ? x->hash : y->hash;
        }
        a.bits |= rows[i].timed_out ? FT_AGENT_TIMED_OUT : 0;
        a.bits |= rows[i].offered ? FT_AGENT_OFFERED : 0;
        EQ(ft_agent_offer_due_locked(&a), rows[i].due);

        struct ft_agent b = a;
        b.bits &= ~(uint32_t)FT_AGENT_CONFIG_KNOWN;
        TRUE(!ft_agent_offer_due_locked(&b));
        b = a;
        b.capabilities = 0;
        TRUE(!ft_agent_offer_due_locked(&b));
        b = a;
        b.conn = RNET_CONN_NONE;
        TRUE(!ft_agent_offer_due_locked(&b));
        b = a;
        b.rendered = NULL;
        TRUE(!ft_agent_offer_due_locked(&b));
    }
    ft_rendered_unref(x);
    ft_rendered_unref(y);
}

/* ---- threads ---- */

static void *work(void *arg)
{
    struct ft_registry *r = arg;
    uint64_t state = (uint64_t)(uintptr_t)&state | 1;

    for (int i = 0; i < 5000; i++) {
        struct ft_uuid uid = uuid_of((unsigned)(next_random(&state) % 2000));
        struct ft_agent_snapshot s;
        struct ft_agent *a;
        bool is_new;

        OK(ft_agent_lock_or_new(r, &uid, &a, &is_new));
        ft_agent_set_liveness_locked(r, a, next_random(&state) % FT_LIVENESS_COUNT);
        OK(ft_agent_set_blob(r, &a->description, rn_slice_str(i % 2 ? "one" : "two")));
        ft_agent_unlock(r, a);
        OK(ft_registry_snapshot(r, &uid, &s));
        EQ(s.description->len, 3);
        ft_agent_snapshot_fini(&s);
    }
    return NULL;
}

TEST(threads_may_add_change_and_copy_at_once)
{
    FIXTURE();
    pthread_t threads[4];

    for (int i = 0; i < 4; i++)
        EQ(pthread_create(&threads[i], NULL, work, r), 0);
    for (int i = 0; i < 4; i++)
        EQ(pthread_join(threads[i], NULL), 0);
    expect_consistent_counts(r);
}

TEST(a_record_is_as_small_as_we_say)
{
    LE(sizeof(struct ft_agent), 344);
}
