/* Is an answer what the OpenAPI document says? */
#pragma once

#include <jansson.h>

/* Fails the test unless the document knows this answer to this call: its status, and, where it has
 * a body, its shape. */
void expect_described(const char *method, const char *path, unsigned status, const json_t *body);
