#include "api/shape.h"

#include <string.h>

#include <harness/test.h>

#include "api/routes.h"

static const json_t *document; /* during one look */

/* ---- values against schemas: what our schemas use of JSON Schema ---- */

static const json_t *resolve(const json_t *schema)
{
    const char *ref = json_string_value(json_object_get(schema, "$ref"));

    if (!ref)
        return schema;
    const json_t *schemas = json_object_get(json_object_get(document, "components"), "schemas");
    schema = json_object_get(schemas, strrchr(ref, '/') + 1);
    if (!schema)
        FAIL("%s leads nowhere", ref);
    return schema;
}

static bool has_type(const json_t *value, const char *type)
{
    return (strcmp(type, "string") == 0 && json_is_string(value)) ||
           (strcmp(type, "integer") == 0 && json_is_integer(value)) ||
           (strcmp(type, "number") == 0 && json_is_number(value)) ||
           (strcmp(type, "boolean") == 0 && json_is_boolean(value)) ||
           (strcmp(type, "object") == 0 && json_is_object(value)) ||
           (strcmp(type, "array") == 0 && json_is_array(value)) ||
           (strcmp(type, "null") == 0 && json_is_null(value));
}

static bool fits(const json_t *value, const json_t *schema);

static bool fits_any(const json_t *value, const json_t *schemas)
{
    size_t i;
    json_t *schema;

    json_array_foreach((json_t *)schemas, i, schema)
    {
        if (fits(value, schema))
            return true;
    }
    return false;
}

static bool is_one_of(const json_t *value, const json_t *values)
{
    size_t i;
    json_t *one;

    json_array_foreach((json_t *)values, i, one)
    {
        if (json_equal(value, one))
            return true;
    }
    return false;
}

static bool members_fit(const json_t *value, const json_t *schema)
{
    const json_t *properties = json_object_get(schema, "properties"),
                 *others = json_object_get(schema, "additionalProperties");
    const char *key;
    json_t *member;
    size_t i;

    json_object_foreach((json_t *)value, key, member)
    {
        const json_t *own = json_object_get(properties, key);
        if (!own && json_is_false(others))
            test_note("there is no field %s", key);
        if (own || others ? !fits(member, own ? own : others) : false)
            return false;
    }
    json_array_foreach(json_object_get(schema, "required"), i, member)
    {
        if (json_object_get(value, json_string_value(member)))
            continue;
        test_note("%s is missing", json_string_value(member));
        return false;
    }
    return true;
}

static bool fits(const json_t *value, const json_t *schema)
{
    size_t i;
    json_t *item;

    if (json_is_false(schema))
        return false;
    schema = resolve(schema);
    const char *type = json_string_value(json_object_get(schema, "type"));
    const json_t *any = json_object_get(schema, "anyOf"), *values = json_object_get(schema, "enum"),
                 *items = json_object_get(schema, "items");
    if ((any && !fits_any(value, any)) || (type && !has_type(value, type)) ||
        (values && !is_one_of(value, values)))
        return false;
    if (items)
        json_array_foreach((json_t *)value, i, item)
        {
            if (!fits(item, items))
                return false;
        }
    return !type || strcmp(type, "object") != 0 || members_fit(value, schema);
}

/* ---- calls ---- */

/* Does the path, without its query, fit the template? */
static bool is_of(const char *path, const char *pattern)
{
    while (*pattern && *path && *path != '?') {
        if (*pattern == '{') {
            size_t n = strcspn(path, "/?");
            if (n == 0)
                return false;
            path += n;
            pattern = strchr(pattern, '}') + 1;
        } else if (*pattern++ != *path++) {
            return false;
        }
    }
    return !*pattern && (!*path || *path == '?');
}

static const json_t *path_item(const char *path)
{
    const char *pattern;
    json_t *item;

    json_object_foreach(json_object_get(document, "paths"), pattern, item)
    {
        if (is_of(path, pattern))
            return item;
    }
    return NULL;
}

static const json_t *operation_of(const json_t *item, const char *method)
{
    char key[16] = "";

    for (size_t i = 0; method[i] && i < sizeof(key) - 1; i++)
        key[i] = (char)(method[i] | 0x20);
    const json_t *op = json_object_get(item, key);
    return op || strcmp(key, "head") != 0 ? op : json_object_get(item, "get");
}

static void look(const char *method, const char *path, unsigned status, const json_t *body)
{
    const json_t *op = operation_of(path_item(path), method);
    const char *type;
    json_t *content;
    char key[16];

    if (!op)
        return; /* refused before any route: 401, 404, 405 */
    snprintf(key, sizeof(key), "%u", status);
    const json_t *answer = json_object_get(json_object_get(op, "responses"), key);
    if (!answer)
        FAIL("%s %s answers %u, which is not described", method, path, status);
    if (!body)
        return;
    json_object_foreach(json_object_get(answer, "content"), type, content)
    {
        if (!fits(body, json_object_get(content, "schema")))
            FAIL("%s %s answers %u with %s, which is not as described", method, path, status,
                 json_dumps(body, JSON_ENCODE_ANY));
    }
}

void expect_described(const char *method, const char *path, unsigned status, const json_t *body)
{
    json_t *doc = ft_openapi();

    TRUE(doc);
    document = doc;
    look(method, path, status, body);
    document = NULL;
    json_decref(doc);
}
