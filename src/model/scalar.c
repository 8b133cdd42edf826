#include <model/scalar.h>

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

struct unit {
    const char *name;
    int64_t     factor;
};

static const struct unit duration_units[] = {
    {"ns", 1},
    {"us", 1000},
    {"ms", 1000 * 1000},
    {"s", INT64_C(1000000000)},
    {"m", INT64_C(60000000000)},
    {"h", INT64_C(3600000000000)},
    {"d", INT64_C(86400000000000)},
    {NULL, 0},
};

static const struct unit size_units[] = {
    {"", 1},
    {"B", 1},
    {"KiB", INT64_C(1) << 10},
    {"MiB", INT64_C(1) << 20},
    {"GiB", INT64_C(1) << 30},
    {"TiB", INT64_C(1) << 40},
    {NULL, 0},
};

/* The digits at the start of *text; moves *text behind them. */
static int digits_parse(const char **text, int64_t *ret_value)
{
    const char *p = *text;
    int64_t     v = 0;

    if (*p < '0' || *p > '9')
        return -EINVAL;
    for (; *p >= '0' && *p <= '9'; p++)
        if (__builtin_mul_overflow(v, 10, &v) || __builtin_add_overflow(v, *p - '0', &v))
            return -ERANGE;
    *text = p;
    *ret_value = v;
    return 0;
}

static int quantity_parse(const char *text, const struct unit units[], int64_t *ret_value)
{
    int64_t v;
    int     r = digits_parse(&text, &v);

    if (r < 0)
        return r;
    for (const struct unit *u = units; u->name; u++) {
        if (strcmp(u->name, text) != 0)
            continue;
        if (__builtin_mul_overflow(v, u->factor, &v))
            return -ERANGE;
        *ret_value = v;
        return 0;
    }
    return -EINVAL;
}

int ft_duration_parse(const char *text, int64_t *ret_ns)
{
    return quantity_parse(text, duration_units, ret_ns);
}

int ft_size_parse(const char *text, int64_t *ret_bytes)
{
    return quantity_parse(text, size_units, ret_bytes);
}

int ft_int_parse(const char *text, int64_t *ret_value)
{
    bool    minus = *text == '-';
    int64_t v;
    int     r;

    text += minus;
    r = digits_parse(&text, &v);
    if (r < 0)
        return r;
    if (*text)
        return -EINVAL;
    *ret_value = minus ? -v : v;
    return 0;
}
