/* What goes to a person, and what a command line says. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum { EXIT_DONE = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

/* "fettle-load: what is wrong: what to do" on stderr. */
__attribute__((format(printf, 1, 2))) void say(const char *format, ...);

/* The value of an option. False: it was said what is wrong. */
bool arg_count(const char *option, const char *text, uint64_t min, uint64_t max,
               uint64_t *ret_value);
bool arg_duration(const char *option, const char *text, int64_t *ret_ns);
bool arg_bytes(const char *option, const char *text, uint64_t min, uint64_t max,
               uint64_t *ret_value);
