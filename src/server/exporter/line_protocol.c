#include "exporter/line_protocol.h"

#include <string.h>

#include <base/cleanup.h>

#include "exporter/json.h"

#define LINE_TIME_MIN (INT64_MIN + 2)
#define LINE_TIME_MAX (INT64_MAX - 1)
#define NS_IN_MS 1000000

static bool time_of(const struct ft_sample *s, int64_t *ret)
{
    return !__builtin_mul_overflow(s->timestamp_ms, NS_IN_MS, ret) &&
           !__builtin_add_overflow(*ret, (int64_t)(s->seq % NS_IN_MS), ret) &&
           *ret >= LINE_TIME_MIN && *ret <= LINE_TIME_MAX;
}

const char *ft_line_fault(const struct ft_row *row)
{
    const struct ft_sample *s = row->sample;
    int64_t time;

    if (s->seq > INT64_MAX || s->mem_usage > INT64_MAX || s->send_lines > INT64_MAX)
        return "a number is over 2^63-1";
    return time_of(s, &time) ? NULL : "its time is outside of what nanoseconds in 64 bits can say";
}

static bool is_control(uint8_t c)
{
    return c < 0x20 || c == 0x7f;
}

static void add_tag(struct ft_buf *out, const char *key, struct rn_slice value)
{
    size_t from = 0;

    while (value.len > 0 && value.data[value.len - 1] == '\\')
        value.len--;
    if (value.len == 0)
        return;
    (void)ft_buf_add_str(out, key);
    for (size_t i = 0; i < value.len; i++) {
        const uint8_t c = is_control(value.data[i]) ? ' ' : value.data[i];

        if (c != ',' && c != '=' && c != ' ')
            continue;
        (void)ft_buf_add(out, value.data + from, i - from);
        (void)ft_buf_add_byte(out, '\\');
        (void)ft_buf_add_byte(out, c);
        from = i + 1;
    }
    (void)ft_buf_add(out, value.data + from, value.len - from);
}

static void add_string(struct ft_buf *out, const char *key, struct rn_slice value)
{
    size_t from = 0;

    (void)ft_buf_add_str(out, key);
    (void)ft_buf_add_byte(out, '"');
    for (size_t i = 0; i < value.len; i++) {
        if (value.data[i] != '"' && value.data[i] != '\\')
            continue;
        (void)ft_buf_add(out, value.data + from, i - from);
        (void)ft_buf_add_byte(out, '\\');
        from = i; /* the character itself goes with the next run */
    }
    (void)ft_buf_add(out, value.data + from, value.len - from);
    (void)ft_buf_add_byte(out, '"');
}

int ft_line_add(struct ft_buf *out, const struct ft_row *row)
{
    const struct ft_sample *s = row->sample;
    int64_t time = 0;

    (void)time_of(s, &time);
    (void)ft_buf_add_str(out, "process_metrics");
    add_tag(out, ",agent_id=", rn_slice_str(row->batch->agent_id));
    add_tag(out, ",host_name=", s->host_name);
    add_tag(out, ",process_name=", s->process_name);
    add_string(out, " boot_id=", rn_slice_str(row->batch->boot_id));
    add_string(out, ",cmd=", s->cmd);
    if (s->has_cpu_usage_rate) {
        (void)ft_buf_add_str(out, ",cpu_usage_rate=");
        (void)ft_json_add_double(out, s->cpu_usage_rate);
    }
    add_string(out, ",ip=", s->ip);
    (void)ft_json_add_u64(out, ",mem_usage=", s->mem_usage);
    (void)ft_json_add_u64(out, "i,pid=", s->pid);
    (void)ft_json_add_u64(out, "i,send_lines=", s->send_lines);
    (void)ft_json_add_u64(out, "i,seq=", s->seq);
    return ft_json_add_i64(out, "i ", time);
}

/* ---- complaints ------------------------------------------------------------------------------ */

#define NAMES_A_LINE "unable to parse '"

/* The reason behind the line's closing quote, up to the next line that is named or the end. */
static struct rn_slice why_of(struct rn_slice complaint, size_t at)
{
    const uint8_t *from = complaint.data + at,
                  *end = memmem(from, complaint.len - at, "\n" NAMES_A_LINE,
                                strlen("\n" NAMES_A_LINE));
    const uint8_t *dropped;

    if (!end)
        end = complaint.data + complaint.len;
    dropped = memmem(from, (size_t)(end - from), " dropped=", strlen(" dropped="));
    return rn_slice(from, (size_t)((dropped ? dropped : end) - from));
}

/* Where the next line begins that is named; complaint.len: there is none. */
static size_t next_line(struct rn_slice complaint, size_t from)
{
    const uint8_t *hit = from < complaint.len ? memmem(complaint.data + from, complaint.len - from,
                                                       NAMES_A_LINE, strlen(NAMES_A_LINE))
                                              : NULL;

    return hit ? (size_t)(hit - complaint.data) + strlen(NAMES_A_LINE) : complaint.len;
}

/* Does `complaint` say "LINE': " here? The length of that, or 0. */
static size_t line_stands_here(struct rn_slice complaint, size_t at, struct rn_slice line)
{
    return complaint.len - at >= line.len + 3 &&
                   memcmp(complaint.data + at, line.data, line.len) == 0 &&
                   memcmp(complaint.data + at + line.len, "': ", 3) == 0
               ? line.len + 3
               : 0;
}

size_t ft_lines_find(const struct ft_rows *rows, struct rn_slice complaint,
                     void (*named)(void *arg, size_t i, struct rn_slice why), void *arg)
{
    CLEANUP(ft_buf_fini) struct ft_buf line = FT_BUF_INIT(SIZE_MAX);
    size_t at = next_line(complaint, 0), n = 0;

    for (size_t i = 0; i < rows->n && at < complaint.len; i++) {
        size_t len;

        ft_buf_clear(&line);
        if (ft_line_fault(&rows->items[i]) || ft_line_add(&line, &rows->items[i]) < 0)
            continue;
        len = line_stands_here(complaint, at, ft_buf_slice(&line));
        if (len == 0)
            continue;
        named(arg, i, why_of(complaint, at + len));
        at = next_line(complaint, at + len);
        n++;
    }
    return n;
}
