#include "exporter/json.h"

#include <stdio.h>
#include <stdlib.h>

static bool needs_escape(uint8_t c)
{
    return c < 0x20 || c == '"' || c == '\\';
}

static int add_escaped(struct ft_buf *out, uint8_t c)
{
    switch (c) {
    case '"':
        return ft_buf_add_str(out, "\\\"");
    case '\\':
        return ft_buf_add_str(out, "\\\\");
    case '\n':
        return ft_buf_add_str(out, "\\n");
    case '\t':
        return ft_buf_add_str(out, "\\t");
    default:
        return ft_buf_printf(out, "\\u%04x", c);
    }
}

int ft_json_add_string(struct ft_buf *out, struct rn_slice s)
{
    size_t from = 0;

    (void)ft_buf_add_byte(out, '"');
    for (size_t i = 0; i < s.len; i++) {
        if (!needs_escape(s.data[i]))
            continue;
        (void)ft_buf_add(out, s.data + from, i - from);
        (void)add_escaped(out, s.data[i]);
        from = i + 1;
    }
    (void)ft_buf_add(out, s.data + from, s.len - from);
    return ft_buf_add_byte(out, '"');
}

int ft_json_add_u64(struct ft_buf *out, const char *before, uint64_t v)
{
    char digits[20];
    char *at = digits + sizeof(digits);

    do {
        *--at = (char)('0' + v % 10);
        v /= 10;
    } while (v > 0);
    (void)ft_buf_add_str(out, before);
    return ft_buf_add(out, at, (size_t)(digits + sizeof(digits) - at));
}

int ft_json_add_i64(struct ft_buf *out, const char *before, int64_t v)
{
    if (v >= 0)
        return ft_json_add_u64(out, before, (uint64_t)v);
    (void)ft_buf_add_str(out, before);
    return ft_json_add_u64(out, "-", -(uint64_t)v);
}

int ft_json_add_double(struct ft_buf *out, double v)
{
    char text[40];
    double back;

    for (int digits = 15; digits <= 17; digits++) {
        (void)snprintf(text, sizeof(text), "%.*g", digits, v);
        back = digits < 17 ? strtod(text, NULL) : v;
        if (back >= v && back <= v)
            break;
    }
    return ft_buf_add_str(out, text);
}

static void add_text(struct ft_buf *out, const char *key, struct rn_slice value)
{
    (void)ft_buf_add_str(out, key);
    (void)ft_json_add_string(out, value);
}

static int add_sample(struct ft_buf *out, const struct ft_row *row, const char *time_key)
{
    const struct ft_sample *s = row->sample;

    (void)ft_buf_add_str(out, "{\"agent_id\":\"");
    (void)ft_buf_add(out, row->batch->agent_id, FT_UUID_TEXT_SIZE - 1);
    (void)ft_buf_add_str(out, "\",\"boot_id\":\"");
    (void)ft_buf_add(out, row->batch->boot_id, FT_UUID_TEXT_SIZE - 1);
    (void)ft_json_add_u64(out, "\",\"seq\":", s->seq);
    (void)ft_json_add_i64(out, time_key, s->timestamp_ms);
    add_text(out, ",\"process_name\":", s->process_name);
    add_text(out, ",\"host_name\":", s->host_name);
    add_text(out, ",\"ip\":", s->ip);
    (void)ft_json_add_u64(out, ",\"pid\":", s->pid);
    add_text(out, ",\"cmd\":", s->cmd);
    (void)ft_buf_add_str(out, ",\"cpu_usage_rate\":");
    if (s->has_cpu_usage_rate)
        (void)ft_json_add_double(out, s->cpu_usage_rate);
    else
        (void)ft_buf_add_str(out, "null");
    (void)ft_json_add_u64(out, ",\"mem_usage\":", s->mem_usage);
    (void)ft_json_add_u64(out, ",\"send_lines\":", s->send_lines);
    return ft_buf_add_byte(out, '}');
}

int ft_json_add_sample(struct ft_buf *out, const struct ft_row *row)
{
    return add_sample(out, row, ",\"timestamp\":");
}

int ft_json_add_document(struct ft_buf *out, const struct ft_row *row)
{
    return add_sample(out, row, ",\"@timestamp\":");
}
