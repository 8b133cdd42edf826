/* Configurations, their versions, groups, and the raw PUT. */
#include "api/testing.h"

#include <string.h>

#define WEB "/api/v1/configurations/web"

static void make_web(struct bench *b)
{
    EQ(call_json(b, "POST", "/api/v1/configurations", "{\"name\":\"web\",\"comment\":\"c\"}"), 201);
}

/* ---- configurations ---- */

TASK_TEST(a_configuration_is_made_once_and_read)
{
    BENCH(b);

    make_web(&b);
    STREQ(text_at(&b, "name"), "web");
    STREQ(text_at(&b, "comment"), "c");
    TRUE(field(&b, "ETag") != NULL);
    call_json(&b, "POST", "/api/v1/configurations", "{\"name\":\"web\"}");
    expect_problem(&b, 409);
    EQ(call(&b, "GET", WEB), 200);
    STREQ(text_at(&b, "name"), "web");
    EQ(int_at(&b, "latest"), 0);
    EQ(call(&b, "GET", "/api/v1/configurations"), 200);
    EQ(json_array_size(at(&b, "items")), 1);
    EQ(call(&b, "GET", WEB "/versions"), 200);
    EQ(json_array_size(at(&b, "items")), 0);
}

TASK_TEST(what_is_wrong_with_a_configuration_is_named)
{
    static const struct {
        const char *body, *pointer;
    } wrong[] = {
        {"{}", "/name"},
        {"{\"name\":\"\"}", "/name"},
        {"{\"name\":\"a/b\"}", "/name"},
        {"{\"name\":\"a\\u0000b\"}", "/name"},
        {"{\"name\":7}", "/name"},
        {"{\"name\":\"a\",\"comment\":[]}", "/comment"},
        {"{\"name\":\"a\",\"comment\":\"\\u0000\"}", "/comment"},
        {"{\"name\":\"a\",\"more\":1}", "/more"},
    };
    BENCH(b);

    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        test_note("%s", wrong[i].body);
        call_json(&b, "POST", "/api/v1/configurations", wrong[i].body);
        expect_problem_at(&b, 400, wrong[i].pointer);
    }
}

/* ---- versions ---- */

TASK_TEST(a_version_is_immutable_and_the_same_content_is_the_same_version)
{
    static const char first[] =
        "{\"objects\":{\"a.yaml\":{\"content_type\":\"text/yaml\",\"body\":\"a: 1\"},"
        "\"b\":{\"body_base64\":\"/wD+AQ==\"}},\"comment\":\"why\"}";
    BENCH(b);
    char hash[65];

    make_web(&b);
    EQ(call_json(&b, "POST", WEB "/versions", first), 201);
    EQ(int_at(&b, "version"), 1);
    STREQ(text_at(&b, "configuration"), "web");
    snprintf(hash, sizeof(hash), "%s", text_at(&b, "hash"));
    EQ(call_json(&b, "POST", WEB "/versions", first), 200);
    EQ(int_at(&b, "version"), 1);
    EQ(call(&b, "GET", WEB "/versions/1"), 200);
    STREQ(text_at(&b, "hash"), hash);
    STREQ(text_at(&b, "comment"), "why");
    const json_t *a = json_object_get(at(&b, "objects"), "a.yaml");
    STREQ(json_string_value(json_object_get(a, "body")), "a: 1");
    STREQ(json_string_value(json_object_get(a, "content_type")), "text/yaml");
    TRUE(json_is_false(json_object_get(a, "template")));
    STREQ(text_at(&b, "objects.b.body_base64"), "/wD+AQ==");
    STREQ(text_at(&b, "objects.b.content_type"), "application/octet-stream");

    /* The template flag counts for sameness, not for the hash. */
    EQ(call_json(&b, "POST", WEB "/versions",
                 "{\"objects\":{\"a.yaml\":{\"content_type\":\"text/yaml\",\"body\":\"a: 1\","
                 "\"template\":true},\"b\":{\"body_base64\":\"/wD+AQ==\"}}}"),
       201);
    EQ(int_at(&b, "version"), 2);
    STREQ(text_at(&b, "hash"), hash);
    EQ(call(&b, "GET", WEB), 200);
    EQ(int_at(&b, "latest"), 2);
}

TASK_TEST(what_is_wrong_with_a_version_is_named)
{
    static const struct {
        const char *objects;
        unsigned status;
        const char *pointer;
    } wrong[] = {
        {"{}", 400, "/objects"},
        {"[]", 400, "/objects"},
        {"{\"a\":1}", 400, "/objects/a"},
        {"{\"a\":{}}", 400, "/objects/a/body_base64"},
        {"{\"a\":{\"body\":\"x\",\"body_base64\":\"\"}}", 400, "/objects/a/body"},
        {"{\"a\":{\"body\":1}}", 400, "/objects/a/body"},
        {"{\"a\":{\"body\":\"x\",\"template\":1}}", 400, "/objects/a/template"},
        {"{\"a\":{\"body\":\"x\",\"content_type\":1}}", 400, "/objects/a/content_type"},
        {"{\"a\":{\"body\":\"x\",\"mode\":1}}", 400, "/objects/a"},
        {"{\"~/a\":{\"body\":1}}", 400, "/objects/~0~1a/body"},
        {"{\"a\":{\"body_base64\":\"YQ\"}}", 400, "/objects/a/body_base64"},
        {"{\"a\":{\"body_base64\":\"Y===\"}}", 400, "/objects/a/body_base64"},
        {"{\"a\":{\"body_base64\":\"=AAA\"}}", 400, "/objects/a/body_base64"},
        {"{\"a\":{\"body_base64\":\"YQ==   \\n\"}}", 400, "/objects/a/body_base64"},
        {"{\"a\":{\"body_base64\":\" YWI\"}}", 400, "/objects/a/body_base64"},
        {"{\"a\":{\"body_base64\":\"Y\\u00e4Q=\"}}", 400, "/objects/a/body_base64"},
        {"{\"..\":{\"body\":\"x\"}}", 400, NULL},
        {"{\"a\":{\"body\":\"b\\n{{ var. }}\",\"template\":true}}", 422, "/objects/a/body"},
    };
    BENCH(b);
    char body[512];

    make_web(&b);
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        snprintf(body, sizeof(body), "{\"objects\":%s}", wrong[i].objects);
        test_note("%s", body);
        call_json(&b, "POST", WEB "/versions", body);
        if (wrong[i].pointer)
            expect_problem_at(&b, wrong[i].status, wrong[i].pointer);
        else
            expect_problem(&b, wrong[i].status);
    }
    EQ(int_at(&b, "errors.0.line"), 2); /* of the last: where the template is wrong */
    call_json(&b, "POST", "/api/v1/configurations/nothing/versions",
              "{\"objects\":{\"a\":{\"body\":\"x\"}}}");
    expect_problem(&b, 404);
    EQ(call(&b, "GET", WEB), 200);
    EQ(int_at(&b, "latest"), 0);
}

TASK_TEST(base64_may_be_empty_and_of_any_length)
{
    static const char *const bodies[] = {"", "YQ==", "YWI=", "YWJj", "YWJjZA==", "+/+/"};
    BENCH(b);

    make_web(&b);
    for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
        char body[128];
        snprintf(body, sizeof(body), "{\"objects\":{\"a\":{\"body_base64\":\"%s\"}}}", bodies[i]);
        EQ(call_json(&b, "POST", WEB "/versions", body), 201);
    }
    EQ(call(&b, "GET", WEB "/versions/5"), 200);
    STREQ(text_at(&b, "objects.a.body"), "abcd");
    EQ(call(&b, "GET", WEB "/versions/1"), 200);
    STREQ(text_at(&b, "objects.a.body"), "");
}

TASK_TEST(versions_are_paged_by_number)
{
    BENCH(b);
    char path[128] = WEB "/versions?limit=4";
    long long next = 1;

    make_web(&b);
    for (int i = 1; i <= 10; i++) {
        char body[128];
        snprintf(body, sizeof(body), "{\"objects\":{\"a\":{\"body\":\"%d\"}}}", i);
        EQ(call_json(&b, "POST", WEB "/versions", body), 201);
    }
    for (;;) {
        EQ(call(&b, "GET", path), 200);
        for (size_t i = 0; i < json_array_size(at(&b, "items")); i++) {
            char way[64];
            snprintf(way, sizeof(way), "items.%zu.version", i);
            EQ(int_at(&b, way), next++);
        }
        if (null_at(&b, "next"))
            break;
        snprintf(path, sizeof(path), WEB "/versions?limit=4&cursor=%s", text_at(&b, "next"));
    }
    EQ(next, 11);
    static const char *const no_numbers[] = {"0", "11", "-1", "x", "4294967297", "1.0", "%31%00"};
    for (size_t i = 0; i < sizeof(no_numbers) / sizeof(no_numbers[0]); i++) {
        snprintf(path, sizeof(path), WEB "/versions/%s", no_numbers[i]);
        test_note("%s", path);
        call(&b, "GET", path);
        expect_problem(&b, 404);
    }
}

/* ---- groups ---- */

#define GROUP "/api/v1/agent-groups/web"

TASK_TEST(a_group_is_made_replaced_and_deleted)
{
    BENCH(b);

    make_web(&b);
    EQ(call_json(&b, "POST", WEB "/versions", "{\"objects\":{\"a\":{\"body\":\"x\"}}}"), 201);
    EQ(call_json(&b, "PUT", GROUP,
                 "{\"selector\":\"env=prod\",\"priority\":5,\"configuration\":{\"name\":\"web\","
                 "\"version\":1},\"variables\":{\"a.b\":\"1\",\"c\":\"\"}}"),
       201);
    STREQ(text_at(&b, "name"), "web");
    STREQ(text_at(&b, "selector"), "env=prod");
    EQ(int_at(&b, "priority"), 5);
    EQ(int_at(&b, "configuration.version"), 1);
    STREQ(json_string_value(json_object_get(at(&b, "variables"), "a.b")), "1");
    EQ(call_json(&b, "PUT", GROUP, "{\"selector\":\"\",\"priority\":-5}"), 200);
    EQ(int_at(&b, "priority"), -5);
    EQ(json_object_size(at(&b, "variables")), 0);
    EQ(call(&b, "GET", "/api/v1/agent-groups"), 200);
    STREQ(text_at(&b, "items.0.name"), "default");
    STREQ(text_at(&b, "items.1.name"), "web");
    EQ(call(&b, "GET", "/api/v1/agent-groups?limit=1"), 200);
    char path[128];
    snprintf(path, sizeof(path), "/api/v1/agent-groups?limit=1&cursor=%s", text_at(&b, "next"));
    EQ(call(&b, "GET", path), 200);
    STREQ(text_at(&b, "items.0.name"), "web");
    TRUE(null_at(&b, "next"));
    EQ(call(&b, "DELETE", GROUP), 204);
    call(&b, "GET", GROUP);
    expect_problem(&b, 404);
    call(&b, "DELETE", GROUP);
    expect_problem(&b, 404);
    call(&b, "DELETE", "/api/v1/agent-groups/default");
    expect_problem(&b, 409);
}

TASK_TEST(what_is_wrong_with_a_group_is_named)
{
    static const struct {
        const char *body;
        unsigned status;
        const char *pointer;
    } wrong[] = {
        {"{\"priority\":1}", 400, "/selector"},
        {"{\"selector\":\"\"}", 400, "/priority"},
        {"{\"selector\":\"\",\"priority\":1.5}", 400, "/priority"},
        {"{\"selector\":1,\"priority\":1}", 400, "/selector"},
        {"{\"selector\":\"a in\",\"priority\":1}", 422, "/selector"},
        {"{\"selector\":\"\",\"priority\":1,\"configuration\":{\"name\":\"x\"}}", 400,
         "/configuration"},
        {"{\"selector\":\"\",\"priority\":1,\"configuration\":{\"name\":\"x\",\"version\":0}}", 400,
         "/configuration"},
        {"{\"selector\":\"\",\"priority\":1,\"configuration\":{\"name\":\"x\",\"version\":1}}", 422,
         "/configuration"},
        {"{\"selector\":\"\",\"priority\":1,\"variables\":{\"a\":1}}", 400, "/variables"},
        {"{\"selector\":\"\",\"priority\":1,\"agents\":[]}", 400, "/agents"},
    };
    BENCH(b);

    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        test_note("%s", wrong[i].body);
        call_json(&b, "PUT", GROUP, wrong[i].body);
        expect_problem_at(&b, wrong[i].status, wrong[i].pointer);
    }
    call_json(&b, "PUT", "/api/v1/agent-groups/default", "{\"selector\":\"a\",\"priority\":1}");
    GE(b.status, 400);
    LT(b.status, 500);
    call(&b, "GET", GROUP);
    expect_problem(&b, 404);
}

static unsigned put_if(struct bench *b, const char *tag, const char *priority)
{
    char headers[128], body[64];

    snprintf(headers, sizeof(headers), "If-Match: %s\r\n", tag);
    snprintf(body, sizeof(body), "{\"selector\":\"a\",\"priority\":%s}", priority);
    return call_with(b, "PUT", GROUP, headers, S(body));
}

TASK_TEST(if_match_lets_only_one_of_two_writers_win)
{
    BENCH(b);
    char tag[64], newer[64];

    EQ(put_if(&b, "*", "1"), 412);
    EQ(call_json(&b, "PUT", GROUP, "{\"selector\":\"a\",\"priority\":1}"), 201);
    snprintf(tag, sizeof(tag), "%s", field(&b, "ETag"));
    EQ(call(&b, "GET", GROUP), 200);
    STREQ(field(&b, "ETag"), tag);
    EQ(put_if(&b, tag, "2"), 200);
    snprintf(newer, sizeof(newer), "%s", field(&b, "ETag"));
    NE(strcmp(tag, newer), 0);
    put_if(&b, tag, "3");
    expect_problem(&b, 412);
    put_if(&b, "\"somebody-elses\"", "3");
    expect_problem(&b, 412);
    put_if(&b, "\"\"", "3");
    expect_problem(&b, 412);
    put_if(&b, "W/\"1\"", "3");
    expect_problem(&b, 400);
    put_if(&b, "17", "3");
    expect_problem(&b, 400);
    EQ(put_if(&b, "*", "4"), 200);
    EQ(int_at(&b, "priority"), 4);
    EQ(call_with(&b, "DELETE", GROUP, "If-Match: \"18446744073709551614\"\r\n", S("")), 412);
    EQ(call_with(&b, "PUT", GROUP "/configuration", "If-Match: \"1000000\"\r\n", S("x")), 412);
    EQ(call(&b, "DELETE", GROUP), 204);
}

/* ---- the raw PUT ---- */

TASK_TEST(a_raw_put_makes_one_version_of_the_groups_own_configuration)
{
    BENCH(b);
    const char *const path = "/api/v1/agent-groups/default/configuration";

    EQ(call_with(&b, "PUT", path, "Content-Type:  text/yaml \r\n", S("a: 1")), 202);
    STREQ(text_at(&b, "configuration"), "default");
    EQ(int_at(&b, "version"), 1);
    EQ(strlen(text_at(&b, "hash")), 64);
    EQ(json_object_size(b.json), 3);
    EQ(call_with(&b, "PUT", path, "Content-Type: text/yaml\r\n", S("a: 1")), 202);
    EQ(int_at(&b, "version"), 1);
    EQ(call_with(&b, "PUT", "/api/v1/agent-groups/default/configuration?object=b%20c", "",
                 S("\xff")),
       202);
    EQ(int_at(&b, "version"), 2);
    EQ(call(&b, "GET", "/api/v1/configurations/default/versions/2"), 200);
    const json_t *objects = at(&b, "objects");
    EQ(json_object_size(objects), 2);
    STREQ(
        json_string_value(json_object_get(json_object_get(objects, "config.yaml"), "content_type")),
        "text/yaml");
    STREQ(json_string_value(json_object_get(json_object_get(objects, "b c"), "body_base64")),
          "/w==");
    STREQ(json_string_value(json_object_get(json_object_get(objects, "b c"), "content_type")),
          "application/octet-stream");
}

TASK_TEST(a_raw_put_that_cannot_be_is_refused)
{
    static const char *const names[] = {"", ".", "..", "a%2Fb", "a%0Ab", "%FF"};
    BENCH(b);
    char path[128];
    CLEANUP(freep) char *large = malloc(99000);

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        snprintf(path, sizeof(path), "/api/v1/agent-groups/default/configuration?object=%s",
                 names[i]);
        test_note("%s", path);
        call_with(&b, "PUT", path, "", S("x"));
        expect_problem(&b, 400);
    }
    call_with(&b, "PUT", "/api/v1/agent-groups/nothing/configuration", "", S("x"));
    expect_problem(&b, 404);
    memset(large, 'x', 99000); /* within body_max, over message_max */
    call_with(&b, "PUT", "/api/v1/agent-groups/default/configuration", "", rn_slice(large, 99000));
    expect_problem(&b, 422);
    call(&b, "GET", "/api/v1/configurations/default");
    expect_problem(&b, 404);
}
