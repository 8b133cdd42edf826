/* The document: it is what the table says, and the server does what it says. That answers have the
 * shapes in it is checked at each call of the bench (testing.c). */
#include "api/testing.h"

#include <string.h>

#include "api/routes.h"
#include "api/schemas.h"

TASK_TEST(the_document_is_served_and_names_every_route_once)
{
    BENCH(b);
    size_t n = 0;
    const char *pattern;
    json_t *path;

    EQ(call(&b, "GET", "/api/v1/openapi.json"), 200);
    STREQ(text_at(&b, "openapi"), "3.1.0");
    json_object_foreach(at(&b, "paths"), pattern, path)
    {
        n += json_object_size(path);
    }
    EQ(n, ft_routes_count);
    for (size_t i = 0; i < ft_routes_count; i++)
        TRUE(json_object_get(at(&b, "paths"), ft_routes[i].pattern));
    EQ(call_bare(&b, "GET", "/api/v1/openapi.json", ""), 401);
}

/* A path of the pattern. */
static const char *path_of(const char *pattern)
{
    static char path[256];
    size_t n = 0;

    for (; *pattern; pattern++) {
        path[n++] = *pattern == '{' ? 'x' : *pattern;
        if (*pattern == '{')
            pattern = strchr(pattern, '}');
    }
    path[n] = '\0';
    return path;
}

TASK_TEST(the_server_knows_the_methods_that_are_described_and_no_others)
{
    static const char *const methods[] = {"get", "post", "put", "delete", "patch"};
    BENCH(b);
    CLEANUP(json_decrefp) json_t *doc = ft_openapi();
    const char *pattern;
    json_t *path;

    json_object_foreach(json_object_get(doc, "paths"), pattern, path)
    {
        for (size_t m = 0; m < 5; m++) {
            char method[8] = "";
            for (size_t i = 0; methods[m][i]; i++)
                method[i] = (char)(methods[m][i] & ~0x20);
            test_note("%s %s", method, pattern);
            unsigned status = call(&b, method, path_of(pattern));
            EQ(status == 405, json_object_get(path, methods[m]) == NULL);
        }
    }
}

static void check_references(const json_t *doc, const json_t *j)
{
    const char *key, *ref = json_string_value(json_object_get(j, "$ref"));
    json_t *member;
    size_t i;

    if (ref) {
        EQ(strncmp(ref, "#/components/schemas/", 21), 0);
        const json_t *schemas = json_object_get(json_object_get(doc, "components"), "schemas");
        test_note("%s", ref);
        TRUE(json_object_get(schemas, ref + 21));
    }
    json_object_foreach((json_t *)j, key, member)
    {
        check_references(doc, member);
    }
    json_array_foreach((json_t *)j, i, member)
    {
        check_references(doc, member);
    }
}

TEST(every_reference_leads_to_a_schema_and_every_operation_has_an_id_of_its_own)
{
    CLEANUP(json_decrefp) json_t *doc = ft_openapi();

    check_references(doc, doc);
    for (size_t i = 0; i < ft_routes_count; i++)
        for (size_t k = 0; k < i; k++)
            NE(strcmp(ft_routes[i].id, ft_routes[k].id), 0);
}

TEST(a_schema_is_read_from_few_words)
{
    static const struct ft_schema schema = {
        "T", "name string, parts? Part[], labels integer{}|null", NULL};
    CLEANUP(json_decrefp) json_t *j = ft_schema_json(&schema);
    CLEANUP(json_decrefp)
    json_t *want = json_loads(
        "{\"type\":\"object\",\"additionalProperties\":false,\"required\":[\"name\",\"labels\"],"
        "\"properties\":{\"name\":{\"type\":\"string\"},\"parts\":{\"type\":\"array\",\"items\":"
        "{\"$ref\":\"#/components/schemas/Part\"}},\"labels\":{\"anyOf\":[{\"type\":\"object\","
        "\"additionalProperties\":{\"type\":\"integer\"}},{\"type\":\"null\"}]}}}",
        0, NULL);

    TRUE(json_equal(j, want));
}
