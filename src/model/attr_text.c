/* Values as text: scalars as a person would write them, arrays and maps as JSON. */
#include "attr_text.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static void base64(struct rn_slice in, struct ft_buf *out)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

    for (size_t i = 0; i < in.len; i += 3) {
        size_t   left = in.len - i;
        uint32_t group = (uint32_t)in.data[i] << 16 |
                         (left > 1 ? (uint32_t)in.data[i + 1] << 8 : 0) |
                         (left > 2 ? in.data[i + 2] : 0);
        char four[4] = {digits[group >> 18], digits[group >> 12 & 63],
                        left > 1 ? digits[group >> 6 & 63] : '=',
                        left > 2 ? digits[group & 63] : '='};

        (void)ft_buf_add(out, four, sizeof(four));
    }
}

/* The shortest form that reads back as the same number. */
static void number(double d, struct ft_buf *out)
{
    char text[32];

    for (int digits = 15; digits <= 17; digits++) {
        (void)snprintf(text, sizeof(text), "%.*g", digits, d);
        if (strtod(text, NULL) == d)
            break;
    }
    (void)ft_buf_add_str(out, text);
}

static void json_string(struct rn_slice s, struct ft_buf *out)
{
    size_t plain = 0;

    (void)ft_buf_add_byte(out, '"');
    for (size_t i = 0; i < s.len; i++) {
        uint8_t c = s.data[i];

        if (c >= 0x20 && c != '"' && c != '\\')
            continue;
        (void)ft_buf_add(out, s.data + plain, i - plain);
        plain = i + 1;
        if (c >= 0x20)
            (void)ft_buf_printf(out, "\\%c", c);
        else
            (void)ft_buf_printf(out, "\\u%04x", c);
    }
    (void)ft_buf_add(out, s.data + plain, s.len - plain);
    (void)ft_buf_add_byte(out, '"');
}

static void json_value(const Opamp__Proto__AnyValue *v, struct ft_buf *out);

static void json_array(const Opamp__Proto__ArrayValue *a, struct ft_buf *out)
{
    (void)ft_buf_add_byte(out, '[');
    for (size_t i = 0; i < a->n_values; i++) {
        if (i > 0)
            (void)ft_buf_add_byte(out, ',');
        json_value(a->values[i], out);
    }
    (void)ft_buf_add_byte(out, ']');
}

static void json_map(const Opamp__Proto__KeyValueList *m, struct ft_buf *out)
{
    (void)ft_buf_add_byte(out, '{');
    for (size_t i = 0; i < m->n_values; i++) {
        if (i > 0)
            (void)ft_buf_add_byte(out, ',');
        json_string(rn_slice_str(m->values[i]->key), out);
        (void)ft_buf_add_byte(out, ':');
        json_value(m->values[i]->value, out);
    }
    (void)ft_buf_add_byte(out, '}');
}

/* A value's text; strings, bytes and odd numbers without quotes. */
static enum ft_attr_kind plain(const Opamp__Proto__AnyValue *v, struct ft_buf *out)
{
    switch (v ? v->value_case : OPAMP__PROTO__ANY_VALUE__VALUE__NOT_SET) {
    case OPAMP__PROTO__ANY_VALUE__VALUE_STRING_VALUE:
        (void)ft_buf_add_str(out, v->string_value);
        return FT_ATTR_STRING;
    case OPAMP__PROTO__ANY_VALUE__VALUE_BOOL_VALUE:
        (void)ft_buf_add_str(out, v->bool_value ? "true" : "false");
        return FT_ATTR_BOOL;
    case OPAMP__PROTO__ANY_VALUE__VALUE_INT_VALUE:
        (void)ft_buf_printf(out, "%" PRId64, v->int_value);
        return FT_ATTR_INT;
    case OPAMP__PROTO__ANY_VALUE__VALUE_DOUBLE_VALUE:
        if (isfinite(v->double_value)) {
            number(v->double_value, out);
            return FT_ATTR_DOUBLE;
        }
        (void)ft_buf_add_str(out, isnan(v->double_value) ? "NaN"
                                  : v->double_value > 0  ? "Infinity"
                                                         : "-Infinity");
        return FT_ATTR_STRING;
    case OPAMP__PROTO__ANY_VALUE__VALUE_BYTES_VALUE:
        base64(rn_slice(v->bytes_value.data, v->bytes_value.len), out);
        return FT_ATTR_STRING;
    case OPAMP__PROTO__ANY_VALUE__VALUE_ARRAY_VALUE:
        json_array(v->array_value, out);
        return FT_ATTR_JSON;
    case OPAMP__PROTO__ANY_VALUE__VALUE_KVLIST_VALUE:
        json_map(v->kvlist_value, out);
        return FT_ATTR_JSON;
    default: return FT_ATTR_NULL;
    }
}

/* Inside of arrays and maps everything is JSON; what plain() calls a string gets its quotes. */
static void json_value(const Opamp__Proto__AnyValue *v, struct ft_buf *out)
{
    if (!v || v->value_case == OPAMP__PROTO__ANY_VALUE__VALUE__NOT_SET) {
        (void)ft_buf_add_str(out, "null");
    } else if (v->value_case == OPAMP__PROTO__ANY_VALUE__VALUE_STRING_VALUE) {
        json_string(rn_slice_str(v->string_value), out);
    } else if (v->value_case == OPAMP__PROTO__ANY_VALUE__VALUE_BYTES_VALUE ||
               (v->value_case == OPAMP__PROTO__ANY_VALUE__VALUE_DOUBLE_VALUE &&
                !isfinite(v->double_value))) {
        (void)ft_buf_add_byte(out, '"');
        (void)plain(v, out);
        (void)ft_buf_add_byte(out, '"');
    } else {
        (void)plain(v, out);
    }
}

int ft__attr_text(const Opamp__Proto__AnyValue *v, struct ft_buf *out, enum ft_attr_kind *ret_kind)
{
    *ret_kind = plain(v, out);
    return ft_buf_error(out);
}
