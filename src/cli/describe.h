/* One agent as text for people. */
#pragma once

#include <stdio.h>

#include <jansson.h>

/* What the API says about it: the agent, the items of its metrics, the objects that it reported as
 * effective (NULL: unknown). */
struct description {
    const json_t *agent, *samples, *effective;
};

void describe_print(const struct description *d, FILE *out);
