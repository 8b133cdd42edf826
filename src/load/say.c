#include "say.h"

#include <stdarg.h>
#include <stdio.h>

#include <model/scalar.h>

void say(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    fputs("fettle-load: ", stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
}

static bool within(const char *option, const char *text, int64_t value, uint64_t min, uint64_t max,
                   uint64_t *ret_value)
{
    if (value < 0 || (uint64_t)value < min || (uint64_t)value > max) {
        say("--%s %s is out of range: use %llu to %llu", option, text, (unsigned long long)min,
            (unsigned long long)max);
        return false;
    }
    *ret_value = (uint64_t)value;
    return true;
}

bool arg_count(const char *option, const char *text, uint64_t min, uint64_t max,
               uint64_t *ret_value)
{
    int64_t value;

    if (ft_int_parse(text, &value) < 0) {
        say("--%s %s is no number: use a whole one", option, text);
        return false;
    }
    return within(option, text, value, min, max, ret_value);
}

bool arg_bytes(const char *option, const char *text, uint64_t min, uint64_t max,
               uint64_t *ret_value)
{
    int64_t value;

    if (ft_size_parse(text, &value) < 0) {
        say("--%s %s is no size: use one like 512 or 64KiB", option, text);
        return false;
    }
    return within(option, text, value, min, max, ret_value);
}

bool arg_duration(const char *option, const char *text, int64_t *ret_ns)
{
    if (ft_duration_parse(text, ret_ns) == 0)
        return true;
    say("--%s %s is no duration: use one like 250ms, 30s or 5m", option, text);
    return false;
}
