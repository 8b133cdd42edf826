/* The shipper's configuration file: lines of `key = value`. */
#pragma once

#include <regex.h>
#include <stdbool.h>
#include <stddef.h>

struct settings {
    char *path;     /* the file to follow, owned */
    char *contains; /* ship lines that contain this text; NULL: no such rule */
    bool has_match;
    regex_t match; /* ship lines that match this extended regular expression */
};

/* Returns true; or false and one line for people in `why`. */
bool settings_read(const char *file, struct settings *ret, char *why, size_t why_size);
void settings_free(struct settings *s);
/* Does the line (without its end) go out? */
bool settings_ship(const struct settings *s, const char *line);
