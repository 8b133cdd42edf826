/* GET /events, read as a client does: resuming, filters, clients that are slow or leave, the end.
 */
#include "api/testing.h"

#include <string.h>

#include <proto/names.h>

#include "agents/agent.h"
#include "api/schemas.h"

/* A client that follows events. It speaks HTTP/1.0, so what comes is the stream and nothing else.
 */
struct tail {
    struct rnet_stream *stream;
    char text[65536];
    size_t len;

    /* the last block */
    char id[64], type[32];
    json_t *data;
};

static void tail_close(struct tail *t)
{
    rnet_stream_closep(&t->stream);
    json_decref(t->data);
    t->data = NULL;
}

static void tail_ask(struct tail *t, struct bench *b, const char *query, const char *id)
{
    char request[512];
    int n =
        snprintf(request, sizeof(request),
                 "GET /api/v1/events%s HTTP/1.0\r\nAuthorization: Bearer " TOKEN "\r\n%s%s%s\r\n",
                 query, id ? "Last-Event-ID: " : "", id ? id : "", id ? "\r\n" : "");

    *t = (struct tail){0};
    OK(rnet_dial(ft_api_address(b->api, 0), rn_after(10 * RN_S), &t->stream));
    OK(rnet_stream_write(t->stream, request, (size_t)n, rn_after(10 * RN_S)));
}

/* The text up to an empty line, in place; false at the end of the stream. */
static bool tail_take(struct tail *t, const char *end_mark, char *ret, size_t size)
{
    char *end;

    t->text[t->len] = '\0';
    while (!(end = strstr(t->text, end_mark))) {
        ssize_t n = rnet_stream_read(t->stream, t->text + t->len, sizeof(t->text) - 1 - t->len,
                                     rn_after(20 * RN_S));
        if (n == 0)
            return false;
        OK(n);
        t->len += (size_t)n;
        t->text[t->len] = '\0';
    }
    snprintf(ret, size, "%.*s", (int)(end - t->text), t->text);
    size_t used = (size_t)(end - t->text) + strlen(end_mark);
    memmove(t->text, t->text + used, t->len - used);
    t->len -= used;
    return true;
}

/* One block: its fields. A comment alone is the type ":". False at the end. */
static bool tail_block(struct tail *t)
{
    char block[8192], *save = NULL;

    if (!tail_take(t, "\n\n", block, sizeof(block)))
        return false;
    t->type[0] = '\0';
    json_decref(t->data);
    t->data = NULL;
    for (char *line = strtok_r(block, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        if (strncmp(line, "id: ", 4) == 0)
            snprintf(t->id, sizeof(t->id), "%s", line + 4);
        else if (strncmp(line, "event: ", 7) == 0)
            snprintf(t->type, sizeof(t->type), "%s", line + 7);
        else if (strncmp(line, "data: ", 6) == 0)
            t->data = json_loads(line + 6, JSON_REJECT_DUPLICATES, NULL);
        else if (line[0] == ':')
            snprintf(t->type, sizeof(t->type), ":");
        else
            EQ(strncmp(line, "retry: ", 7), 0);
    }
    return true;
}

/* The next event; what is no event is passed over. */
static void tail_next(struct tail *t)
{
    do
        TRUE(tail_block(t));
    while (!t->data);
}

static void tail_open(struct tail *t, struct bench *b, const char *query, const char *id)
{
    char head[4096];

    tail_ask(t, b, query, id);
    TRUE(tail_take(t, "\r\n\r\n", head, sizeof(head)));
    EQ(strncmp(head, "HTTP/1.1 200 ", 13), 0);
    TRUE(strstr(head, "\r\nContent-Type: text/event-stream"));
    TRUE(strstr(head, "\r\nCache-Control: no-store"));
    TRUE(tail_block(t)); /* retry */
    if (!id)
        TRUE(tail_block(t));
}

/* What a refusal says: its status. */
static unsigned tail_refused(struct tail *t)
{
    char head[4096];

    TRUE(tail_take(t, "\r\n\r\n", head, sizeof(head)));
    return (unsigned)atoi(head + 9);
}

#define TAIL(t, b, query, id)                                                                      \
    CLEANUP(tail_close) struct tail t;                                                             \
    tail_open(&t, b, query, id)

static const char *text_of(const struct tail *t, const char *key)
{
    const char *text = json_string_value(json_object_get(t->data, key));

    if (!text)
        FAIL("%s is no string in: %s", key, json_dumps(t->data, 0));
    return text;
}

static void expect(struct tail *t, const char *type, const char *change)
{
    tail_next(t);
    STREQ(t->type, type);
    STREQ(text_of(t, "change"), change);
}

static void put(struct bench *b, const char *body)
{
    EQ(call_with(b, "PUT", "/api/v1/agent-groups/default/configuration", "", S(body)), 202);
}

static void publish_agents(struct bench *b, size_t n)
{
    for (size_t i = 0; i < n; i++)
        ft_events_publish(b->events,
                          &(struct ft_event){.change = FT_EVENT_agent_connected,
                                             .agent = {{(uint8_t)(i >> 8), (uint8_t)i, 1}}});
}

/* ---- what is told ---- */

TASK_TEST(a_push_is_told_as_a_version_a_group_and_the_reports_of_its_agents)
{
    BENCH(b);
    TAIL(t, &b, "", NULL);
    struct ft_agent *a;
    struct ft_uuid uid = bench_agent(&b, 1, "web-1", NULL);
    char hash[FT_HASH_HEX_SIZE];

    EQ(call_with(&b, "PUT", "/api/v1/agent-groups/default/configuration", "", S("one")), 202);
    snprintf(hash, sizeof(hash), "%s", text_at(&b, "hash"));
    expect(&t, "config", "version");
    STREQ(text_of(&t, "configuration"), "default");
    EQ(json_integer_value(json_object_get(t.data, "version")), 1);
    STREQ(text_of(&t, "hash"), hash);
    expect(&t, "config", "group");
    STREQ(text_of(&t, "group"), "default");
    STREQ(text_of(&t, "configuration"), "default");
    EQ(json_integer_value(json_object_get(t.data, "version")), 1);

    TASK_UNTIL(call(&b, "GET", agent_path(1, "")) == 200 && !null_at(&b, "config.desired_hash"));
    a = ft_agent_lock(b.registry, &uid);
    a->reported_hash = a->rendered->hash;
    a->bits |= FT_AGENT_HAS_REPORTED;
    static const int reports[] = {FT_STATUS_APPLYING, FT_STATUS_FAILED, FT_STATUS_APPLIED};
    for (size_t i = 0; i < 3; i++) {
        OK(ft_agent_set_blob(b.registry, &a->status_error, S(i == 1 ? "line\nbroke" : "")));
        a->status = (uint8_t)reports[i];
        ft_agent_settle_locked(b.registry, a);
    }
    ft_agent_unlock(b.registry, a);
    static const char *const statuses[] = {"APPLYING", "FAILED", "APPLIED"}, *const errors[] = {
                                                                                 "", "line\nbroke",
                                                                                 ""};
    for (size_t i = 0; i < 3; i++) {
        expect(&t, "config", "status");
        STREQ(text_of(&t, "status"), statuses[i]);
        STREQ(text_of(&t, "error"), errors[i]);
        STREQ(text_of(&t, "hash"), hash);
        STREQ(text_of(&t, "configuration"), "default");
        EQ(json_integer_value(json_object_get(t.data, "version")), 1);
        STREQ(text_of(&t, "instance_uid"), agent_path(1, "") + strlen("/api/v1/agents/"));
    }
}

TASK_TEST(the_same_status_of_another_version_or_for_another_reason_is_told_again)
{
    static const char *const reasons[] = {"no such variable: a", "no such variable: b"};
    BENCH(b);
    TAIL(t, &b, "?types=config", NULL);
    struct ft_uuid uid = bench_agent(&b, 1, "web-1", NULL);

    for (uint64_t i = 0; i < 4; i++) {
        struct ft_desired d = {.assignment = 100 + i, .error = strdup(reasons[i / 2])};
        OK(ft_registry_desire(b.registry, &uid, &d)); /* each reason twice: told once */
    }
    for (size_t i = 0; i < 2; i++) {
        expect(&t, "config", "status");
        STREQ(text_of(&t, "status"), "FAILED");
        STREQ(text_of(&t, "error"), reasons[i]);
    }
    put(&b, "x");
    expect(&t, "config", "version"); /* nothing was between */
}

TASK_TEST(a_group_that_is_made_changed_and_deleted_is_told)
{
    BENCH(b);
    TAIL(t, &b, "", NULL);

    EQ(call_json(&b, "PUT", "/api/v1/agent-groups/web", "{\"selector\":\"a=b\",\"priority\":1}"),
       201);
    expect(&t, "config", "group");
    STREQ(text_of(&t, "group"), "web");
    TRUE(json_is_null(json_object_get(t.data, "configuration")));
    TRUE(json_is_null(json_object_get(t.data, "version")));
    EQ(call(&b, "DELETE", "/api/v1/agent-groups/web"), 204);
    expect(&t, "config", "group_deleted");
    STREQ(text_of(&t, "group"), "web");
}

TASK_TEST(content_that_is_there_already_is_no_new_version)
{
    BENCH(b);

    put(&b, "one");
    TAIL(t, &b, "", NULL);
    put(&b, "one");
    put(&b, "two");
    expect(&t, "config", "group");
    expect(&t, "config", "version");
}

/* ---- ids ---- */

TASK_TEST(a_client_that_comes_back_with_its_id_misses_nothing_and_sees_nothing_twice)
{
    BENCH(b);
    char id[64];
    struct tail t;

    put(&b, "before"); /* this it never sees */
    tail_open(&t, &b, "", NULL);
    snprintf(id, sizeof(id), "%s", t.id); /* known before the first event */
    tail_close(&t);
    for (int round = 0; round < 3; round++) {
        publish_agents(&b, 3);
        tail_open(&t, &b, "", id);
        for (uint8_t i = 0; i < 3; i++) {
            char start[8];
            expect(&t, "agent", "connected");
            snprintf(start, sizeof(start), "00%02x01", i);
            EQ(strncmp(text_of(&t, "instance_uid"), start, 6), 0);
        }
        NE(strcmp(id, t.id), 0);
        snprintf(id, sizeof(id), "%s", t.id);
        tail_close(&t);
    }
}

static void expect_reset(struct tail *t, const char *reason)
{
    tail_next(t);
    STREQ(t->type, "reset");
    STREQ(text_of(t, "reason"), reason);
    TRUE(strstr(text_of(t, "detail"), "read the lists again"));
}

TASK_TEST(an_id_that_is_too_old_is_answered_by_a_reset_that_says_how_many_were_lost)
{
    CLEANUP(bench_close) struct bench b;
    char id[64];
    struct tail first;

    bench_open_with(&b, &(struct ft_events_bounds){.records = 10}, 0);
    tail_open(&first, &b, "", NULL);
    snprintf(id, sizeof(id), "%s", first.id);
    tail_close(&first);
    publish_agents(&b, 11);
    TAIL(t, &b, "", id);
    expect_reset(&t, "lost");
    EQ(json_integer_value(json_object_get(t.data, "lost")), 11);
    /* and its id is good to go on with */
    publish_agents(&b, 2);
    expect(&t, "agent", "connected");
    snprintf(id, sizeof(id), "%s", t.id);
    TAIL(again, &b, "", id);
    expect(&again, "agent", "connected");
}

TASK_TEST(an_id_of_another_start_or_of_nobody_is_answered_by_a_reset)
{
    BENCH(b);
    char other[64], future[64];

    snprintf(other, sizeof(other), "%016llx-1", (unsigned long long)ft_events_boot(b.events) ^ 1);
    snprintf(future, sizeof(future), "%016llx-99", (unsigned long long)ft_events_boot(b.events));
    const struct {
        const char *id, *reason;
    } cases[] = {{other, "restarted"},
                 {future, "unknown"},
                 {"x", "unknown"},
                 {"1", "unknown"},
                 {"0123456789abcdef", "unknown"},
                 {"0123456789abcdef-", "unknown"},
                 {"0123456789ABCDEF-1", "unknown"},
                 {"0123456789abcdef-01", "unknown"},
                 {"0123456789abcdef--1", "unknown"},
                 {"0123456789abcdef-1 ", "restarted"}, /* a field is trimmed */
                 {"0123456789abcdef-99999999999999999999999", "unknown"}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        TAIL(t, &b, "", cases[i].id);
        test_note("%s", cases[i].id);
        expect_reset(&t, cases[i].reason);
        TRUE(json_is_null(json_object_get(t.data, "lost")));
    }
}

/* ---- filters ---- */

TASK_TEST(only_the_types_that_were_asked_for_are_sent_and_a_reset_in_any_case)
{
    BENCH(b);
    TAIL(agents, &b, "?types=agent", NULL);
    TAIL(both, &b, "?types=exporter,agent", NULL);
    TAIL(t, &b, "?types=rollout", "x");

    expect_reset(&t, "unknown");
    put(&b, "one");
    publish_agents(&b, 1);
    ft_events_publish(b.events, &(struct ft_event){.change = FT_EVENT_exporter_state,
                                                   .state = FT_LANE_holding,
                                                   .name = RN_SLICE_LITERAL("db"),
                                                   .text = RN_SLICE_LITERAL("no table")});
    expect(&agents, "agent", "connected");
    expect(&both, "agent", "connected");
    expect(&both, "exporter", "state");
    STREQ(text_of(&both, "exporter"), "db");
    STREQ(text_of(&both, "state"), "holding");
    STREQ(text_of(&both, "last_error"), "no table");
    ft_events_publish(b.events, &(struct ft_event){.change = FT_EVENT_exporter_removed,
                                                   .name = RN_SLICE_LITERAL("db")});
    expect(&both, "exporter", "removed");
    STREQ(text_of(&both, "exporter"), "db");
    EQ(json_object_size(both.data), 3);
}

TASK_TEST(types_that_nobody_knows_are_refused)
{
    static const char *const wrong[] = {"",      "agents",        "agent,",       ",agent",
                                        "AGENT", "agent,,config", "agent config", "reset"};
    BENCH(b);
    char path[128];

    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        snprintf(path, sizeof(path), "/api/v1/events?types=%s", wrong[i]);
        for (char *c = path; *c; c++)
            *c = *c == ' ' ? '+' : *c;
        test_note("%s", path);
        call(&b, "GET", path);
        expect_problem(&b, 400);
    }
    EQ(call(&b, "HEAD", "/api/v1/events?types=agent"), 200);
    STREQ(field(&b, "Content-Type"), "text/event-stream");
}

TASK_TEST(a_sign_of_life_comes_when_nothing_happens_and_carries_the_id_over_what_was_filtered)
{
    CLEANUP(bench_close) struct bench b;
    char id[64];

    bench_open_with(&b, NULL, 10 * RN_MS);
    TAIL(t, &b, "?types=exporter", NULL);
    TRUE(tail_block(&t));
    STREQ(t.type, ":");
    snprintf(id, sizeof(id), "%s", t.id);
    publish_agents(&b, 5);
    while (strcmp(t.id, id) == 0)
        TRUE(tail_block(&t));
    TRUE(!t.data);
    TRUE(strstr(t.id, "-5"));
    TRUE(tail_block(&t));
    STREQ(t.type, ":");
}

/* ---- clients ---- */

TASK_TEST(a_token_that_does_not_count_any_more_ends_the_streams_that_came_with_it)
{
    static const char other[] = "ffffffffffffffffffffffffffffffff";
    CLEANUP(bench_close) struct bench b;

    bench_open_with(&b, NULL, 3600 * RN_S); /* nothing but the change wakes it */
    TAIL(t, &b, "", NULL);
    publish_agents(&b, 1);
    expect(&t, "agent", "connected");
    ft_api_set_token(b.api, TOKEN); /* the same again is none */
    publish_agents(&b, 1);
    expect(&t, "agent", "connected");
    ft_api_set_token(b.api, other);
    publish_agents(&b, 1);
    TRUE(!tail_block(&t));
    struct tail again;
    tail_ask(&again, &b, "", t.id);
    EQ(tail_refused(&again), 401);
    tail_close(&again);
}

TASK_TEST(a_client_too_many_is_refused_until_another_leaves)
{
    CLEANUP(bench_close) struct bench b;
    struct tail one;

    bench_open_with(&b, &(struct ft_events_bounds){.followers = 2}, 0);
    tail_open(&one, &b, "", NULL);
    TAIL(two, &b, "", NULL);
    call(&b, "GET", "/api/v1/events");
    expect_problem(&b, 503);
    STREQ(field(&b, "Retry-After"), "5");
    EQ(call(&b, "GET", "/api/v1/agents"), 200); /* the rest of the API does not mind */
    tail_close(&one);
    /* nothing is published and no sign of life is due: its end alone frees its place */
    bool in = false;
    while (!in) {
        struct tail three;
        tail_ask(&three, &b, "", NULL);
        in = tail_refused(&three) == 200;
        tail_close(&three);
    }
}

TASK_TEST(a_client_that_does_not_read_holds_up_nobody_and_is_told_what_it_lost)
{
    CLEANUP(bench_close) struct bench b;

    bench_open_with(&b, NULL, 3600 * RN_S);
    TAIL(fast, &b, "", NULL);
    TAIL(slow, &b, "", NULL);
    size_t n = 0, seen = 0;

    while (ft_events_last(b.events) < 90000) { /* some 15 MB: more than all buffers hold */
        publish_agents(&b, 1000);
        for (size_t i = 0; i < 1000; i++, n++)
            expect(&fast, "agent", "connected");
    }
    do {
        tail_next(&slow);
        seen++;
    } while (strcmp(slow.type, "reset") != 0);
    STREQ(text_of(&slow, "reason"), "lost");
    LT(seen, n);
    EQ((size_t)json_integer_value(json_object_get(slow.data, "lost")) + seen - 1, n);
    publish_agents(&b, 1);
    expect(&slow, "agent", "connected");
    expect(&fast, "agent", "connected");
}

TASK_TEST(a_stop_ends_the_streams_after_the_last_event_and_does_not_wait_for_who_does_not_read)
{
    CLEANUP(bench_close) struct bench b;

    bench_open_with(&b, NULL, 3600 * RN_S);
    TAIL(t, &b, "", NULL);
    TAIL(slow, &b, "", NULL);

    while (ft_events_last(b.events) < 90000) {
        publish_agents(&b, 1000);
        for (size_t i = 0; i < 1000; i++)
            expect(&t, "agent", "connected");
    }
    put(&b, "the last");
    OK(ft_api_stop(b.api, RN_FOREVER)); /* returns, so it waited for nobody for ever */
    expect(&t, "config", "version");
    expect(&t, "config", "group");
    TRUE(!tail_block(&t));
}
