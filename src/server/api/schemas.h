/* The shapes of what the API takes and answers, in few words.
 *
 *     {"Pair", "name string, size? integer, parts Part[], labels string{}, error string|null"}
 *
 * A field is its key and its type; a `?` behind the key: it may be absent. Types: string, integer,
 * number, boolean, time (RFC 3339), uuid, hash, any, or a schema; `T[]` is a list, `T{}` an object whose
 * values are T, `T|null` may be null. A schema with `values` is a string, one of these. */
#pragma once

#include <jansson.h>

#include <runnel/slice.h>

struct ft_schema {
    const char *name;
    const char *fields; /* NULL: a string with `values` */
    const char *values; /* "a b c" */
};
extern const struct ft_schema ft_schemas[];
extern const size_t ft_schemas_count;

/* As JSON Schema (2020-12); NULL: no memory. */
json_t *ft_schema_json(const struct ft_schema *s);
/* A type alone: "string|null". */
json_t *ft_schema_type(struct rn_slice type);
