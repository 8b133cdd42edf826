/* The front door: token, routes, pages, health, a failing store. */
#include "api/testing.h"

#include <string.h>

static const struct {
    const char *path, *allow; /* the methods, in any order */
} routes[] = {
    {"/api/v1/agents", "GET, HEAD"},
    {"/api/v1/agents/00000000-0000-0000-0000-000000000001", "GET, HEAD"},
    {"/api/v1/agents/00000000-0000-0000-0000-000000000001/effective-config", "GET, HEAD"},
    {"/api/v1/agents/00000000-0000-0000-0000-000000000001/metrics", "GET, HEAD"},
    {"/api/v1/exporters", "GET, HEAD"},
    {"/api/v1/exporters/x", "GET, HEAD"},
    {"/api/v1/configurations", "GET, HEAD, POST"},
    {"/api/v1/configurations/x", "GET, HEAD"},
    {"/api/v1/configurations/x/versions", "GET, HEAD, POST"},
    {"/api/v1/configurations/x/versions/1", "GET, HEAD"},
    {"/api/v1/configurations/x/versions/1/diff", "GET, HEAD"},
    {"/api/v1/events", "GET, HEAD"},
    {"/api/v1/openapi.json", "GET, HEAD"},
    {"/api/v1/agent-groups", "GET, HEAD"},
    {"/api/v1/agent-groups/x", "GET, HEAD, PUT, DELETE"},
    {"/api/v1/agent-groups/x/configuration", "PUT"},
};
#define N_ROUTES (sizeof(routes) / sizeof(routes[0]))

TASK_TEST(every_call_under_api_needs_the_token)
{
    static const char *const wrong[] = {
        "",
        "Authorization: Bearer\r\n",
        "Authorization: Bearer \r\n",
        "Authorization: Bearer x\r\n",
        "Authorization: Basic " TOKEN "\r\n",
        "Authorization: " TOKEN "\r\n",
        "Authorization: Bearer " TOKEN "0\r\n",
        "Authorization: Bearer 1123456789abcdef0123456789abcdef\r\n",
        "Authorization: Bearer 0123456789abcdef0123456789abcdeg\r\n",
        "Authorization: Bearer x\r\nAuthorization: Bearer " TOKEN "\r\n",
    };
    BENCH(b);

    for (size_t w = 0; w < sizeof(wrong) / sizeof(wrong[0]); w++) {
        test_note("%s", wrong[w]);
        EQ(call_bare(&b, "GET", "/api/v1/agents", wrong[w]), 401);
        expect_problem(&b, 401);
        STREQ(field(&b, "WWW-Authenticate"), "Bearer realm=\"fettle\"");
    }
    for (size_t i = 0; i < N_ROUTES; i++) {
        test_note("%s", routes[i].path);
        EQ(call_bare(&b, "GET", routes[i].path, ""), 401);
        EQ(call_bare(&b, "PUT", routes[i].path, ""), 401);
    }
    EQ(call_bare(&b, "GET", "/api/v1/agents", "authorization: bearer " TOKEN "\r\n"), 200);
}

TASK_TEST(no_spelling_of_the_path_goes_around_the_token)
{
    static const char *const spellings[] = {
        "/api/v1/agents",
        "/%61pi/v1/agents",
        "/a%70i/v1/agents",
        "/%61%70%69/v1/agents",
        "/ap%69/v1/agents",
        "/api",
        "/api/",
        "/api/v1/nothing",
        "/%61pi/v1/%61gents",
        "/api/v1/agents?x",
        "http://test/api/v1/agents",
        "http://test/%61pi/v1/agents",
    };
    BENCH(b);

    for (size_t i = 0; i < sizeof(spellings) / sizeof(spellings[0]); i++) {
        test_note("%s", spellings[i]);
        EQ(call_bare(&b, "GET", spellings[i], ""), 401);
    }
    EQ(call(&b, "GET", "/%61pi/v1/agents"), 200);
}

TASK_TEST(health_needs_no_token)
{
    BENCH(b);

    EQ(call_bare(&b, "GET", "/healthz", ""), 200);
    EQ(call_bare(&b, "GET", "/readyz", ""), 200);
    EQ(call_bare(&b, "HEAD", "/readyz", ""), 200);
    ft_api_set_unready(b.api, "the server is stopping");
    call_bare(&b, "GET", "/readyz", "");
    expect_problem(&b, 503);
    STREQ(text_at(&b, "detail"), "the server is stopping");
    EQ(call_bare(&b, "GET", "/healthz", ""), 200);
    ft_api_set_unready(b.api, NULL);
    EQ(call_bare(&b, "GET", "/readyz", ""), 200);
}

TASK_TEST(what_is_not_there_is_404_and_what_cannot_be_done_is_405)
{
    static const char *const absent[] = {
        "/api/v1/rollouts",
        "/api/v1/",
        "/api/v2/agents",
        "/api/v1/agents/",
        "/api/v1/exporters/x",
        "/api/v1/configurations/x",
        "/api/v1/agents/x",
        "/api/v1/agent-groups/x",
        "/api/v1/agents/00000000-0000-0000-0000-000000000001",
        "/api/v1/agents/00000000-0000-0000-0000-000000000001/commands",
        "/api/v1/configurations/x/versions",
        "/api/v1/configurations/x/versions/1",
        "/api/v1/configurations/x/versions/1/diff?against=1",
    };
    BENCH(b);

    for (size_t i = 0; i < sizeof(absent) / sizeof(absent[0]); i++) {
        test_note("%s", absent[i]);
        call(&b, "GET", absent[i]);
        expect_problem(&b, 404);
    }
    EQ(call_bare(&b, "GET", "/", ""), 404);
    EQ(call_bare(&b, "GET", "/metrics", ""), 404);
    for (size_t i = 0; i < N_ROUTES; i++) {
        test_note("%s", routes[i].path);
        call(&b, "PATCH", routes[i].path);
        expect_problem(&b, 405);
        const char *allow = field(&b, "Allow");
        EQ(strlen(allow), strlen(routes[i].allow));
        TRUE(!strstr(routes[i].allow, "PUT") == !strstr(allow, "PUT"));
        TRUE(!strstr(routes[i].allow, "POST") == !strstr(allow, "POST"));
        TRUE(!strstr(routes[i].allow, "GET") == !strstr(allow, "GET"));
    }
    call(&b, "DELETE", "/healthz");
    expect_problem(&b, 405);
}

TASK_TEST(limit_and_cursor_are_judged)
{
    static const char *const lists[] = {"/api/v1/agents", "/api/v1/configurations",
                                        "/api/v1/agent-groups"};
    static const char *const wrong[] = {
        "limit=0",  "limit=1001", "limit=-1",    "limit=x",
        "limit=",   "limit=1e2",  "cursor=",     "cursor=xyz",
        "cursor=6", "cursor=00",  "cursor=6100", "limit=99999999999999999999999999"};
    BENCH(b);
    char path[128];

    for (size_t l = 0; l < 3; l++) {
        for (size_t w = 0; w < sizeof(wrong) / sizeof(wrong[0]); w++) {
            snprintf(path, sizeof(path), "%s?%s", lists[l], wrong[w]);
            test_note("%s", path);
            call(&b, "GET", path);
            expect_problem(&b, 400);
        }
    }
    call(&b, "GET", "/api/v1/agents?cursor=616263"); /* well-formed, and no uid */
    expect_problem(&b, 400);
    EQ(call_json(&b, "POST", "/api/v1/configurations", "{\"name\":\"web\"}"), 201);
    call(&b, "GET", "/api/v1/configurations/web/versions?cursor=616263");
    expect_problem(&b, 400);
}

TASK_TEST(bodies_are_judged_before_anything_is_done)
{
    BENCH(b);
    CLEANUP(freep) char *deep = malloc(90001), *large = malloc(100001);
    static const char *const wrong[] = {"",
                                        "{",
                                        "[]",
                                        "null",
                                        "\"name\"",
                                        "{\"name\":\"a\",\"name\":\"b\"}",
                                        "{\"name\":\"\xff\"}",
                                        "{\"name\":\"a\"} x"};

    for (size_t w = 0; w < sizeof(wrong) / sizeof(wrong[0]); w++) {
        test_note("%s", wrong[w]);
        call_json(&b, "POST", "/api/v1/configurations", wrong[w]);
        expect_problem(&b, 400);
    }
    /* The parser recurses; a task's stack is small. */
    memset(deep, '[', 90000);
    deep[90000] = '\0';
    call_json(&b, "POST", "/api/v1/configurations", deep);
    expect_problem(&b, 400);
    memset(large, ' ', 100001);
    call_with(&b, "POST", "/api/v1/configurations", "", rn_slice(large, 100001));
    expect_problem(&b, 413);
    call(&b, "GET", "/api/v1/configurations");
    EQ(json_array_size(at(&b, "items")), 0);
}

TEST(depth_is_counted_outside_of_strings)
{
    char text[300];

    TRUE(ft_json_depth_fits(S("{\"a\": \"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[\"}")));
    TRUE(ft_json_depth_fits(S("{\"a\\\"[\": \"\\\\\", \"b\": [1]}")));
    TRUE(ft_json_depth_fits(S("]]]]")));
    TRUE(ft_json_depth_fits(S("\"\\")));
    memset(text, '[', sizeof(text));
    TRUE(ft_json_depth_fits(rn_slice(text, FT_JSON_DEPTH_MAX)));
    TRUE(!ft_json_depth_fits(rn_slice(text, FT_JSON_DEPTH_MAX + 1)));
    for (int i = 1; i < 300; i += 2)
        text[i] = ']';
    TRUE(ft_json_depth_fits(rn_slice(text, sizeof(text))));
}

/* ---- exporters ---- */

TASK_TEST(without_exporters_there_is_one_item_called_none)
{
    BENCH(b);

    EQ(call(&b, "GET", "/api/v1/exporters"), 200);
    EQ(json_array_size(at(&b, "items")), 1);
    TRUE(null_at(&b, "next"));
    STREQ(text_at(&b, "items.0.name"), "none");
    EQ(int_at(&b, "items.0.ledger.dropped.no_exporter"), 0);
    EQ(call(&b, "GET", "/api/v1/exporters/none"), 200);
    static const char *const ints[] = {
        "queued_batches",   "in_flight_batches", "ledger.offered",       "ledger.replayed",
        "ledger.delivered", "ledger.duplicate",  "ledger.dead_lettered", "ledger.queued",
        "ledger.in_flight", "ledger.on_disk"};
    for (size_t i = 0; i < sizeof(ints) / sizeof(ints[0]); i++)
        EQ(int_at(&b, ints[i]), 0);
    STREQ(text_at(&b, "name"), "none");
    text_at(&b, "type");
    text_at(&b, "state");
    TRUE(null_at(&b, "last_error") && null_at(&b, "last_success"));
}

/* ---- a failing store ---- */

#ifdef FETTLE_FAULT_POINTS
TASK_TEST(while_the_store_fails_writes_are_503_and_reads_go_on)
{
    static const struct {
        const char *method, *path, *body;
    } writes[] = {
        {"PUT", "/api/v1/agent-groups/default/configuration", "other"},
        {"PUT", "/api/v1/agent-groups/web", "{\"selector\":\"env=x\",\"priority\":1}"},
        {"DELETE", "/api/v1/agent-groups/gone", ""},
        {"POST", "/api/v1/configurations", "{\"name\":\"new\"}"},
        {"POST", "/api/v1/configurations/default/versions",
         "{\"objects\":{\"a\":{\"content_type\":\"text/plain\",\"body\":\"new\"}}}"},
    };
    static const enum ft_disk_fault faults[] = {FT_DISK_FULL, FT_DISK_READONLY, FT_DISK_IOERR};
    BENCH(b);

    EQ(call_json(&b, "PUT", "/api/v1/agent-groups/gone", "{\"selector\":\"a=b\",\"priority\":1}"),
       201);
    EQ(call_with(&b, "PUT", "/api/v1/agent-groups/default/configuration", "", S("first")), 202);
    for (size_t f = 0; f < 3; f++) {
        ft__disk_fault_set(faults[f]);
        for (size_t i = 0; i < sizeof(writes) / sizeof(writes[0]); i++) {
            test_note("fault %zu, %s %s", f, writes[i].method, writes[i].path);
            call_with(&b, writes[i].method, writes[i].path, "", S(writes[i].body));
            expect_problem(&b, 503);
            TRUE(field(&b, "Retry-After") != NULL);
        }
        call_bare(&b, "GET", "/readyz", "");
        expect_problem(&b, 503);
        EQ(call(&b, "GET", "/api/v1/agent-groups"), 200);
        EQ(json_array_size(at(&b, "items")), 2);
        EQ(call(&b, "GET", "/api/v1/configurations/default/versions/1"), 200);
        EQ(call(&b, "GET", "/api/v1/agents"), 200);
        ft__disk_fault_set(FT_DISK_HEALTHY);
        char body[16];
        snprintf(body, sizeof(body), "after %zu", f);
        EQ(call_with(&b, "PUT", "/api/v1/agent-groups/default/configuration", "", S(body)), 202);
        EQ(int_at(&b, "version"), 2 + (long long)f); /* nothing of what failed is left */
        EQ(call_bare(&b, "GET", "/readyz", ""), 200);
    }
}
#endif
