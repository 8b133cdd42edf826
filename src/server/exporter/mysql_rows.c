#include "exporter/mysql_rows.h"

#include <stdlib.h>
#include <string.h>

#include "exporter/json.h"

/* Texts of agents are at most 2048 bytes. The key is short, so that it fits the index of old
 * servers. */
const char ft_mysql_table[] = "CREATE TABLE IF NOT EXISTS process_metrics ("
                              "agent_id CHAR(36) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,"
                              "boot_id CHAR(36) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,"
                              "seq BIGINT UNSIGNED NOT NULL,"
                              "`timestamp` BIGINT NOT NULL,"
                              "process_name VARCHAR(2048) NOT NULL,"
                              "host_name VARCHAR(2048) NOT NULL,"
                              "ip VARCHAR(255) NOT NULL,"
                              "pid INT UNSIGNED NOT NULL,"
                              "cmd VARCHAR(2048) NOT NULL,"
                              "cpu_usage_rate DOUBLE NULL,"
                              "mem_usage BIGINT UNSIGNED NOT NULL,"
                              "send_lines BIGINT UNSIGNED NOT NULL,"
                              "PRIMARY KEY (`timestamp`, agent_id, boot_id, seq)"
                              ") ENGINE=InnoDB CHARACTER SET utf8mb4 COLLATE utf8mb4_bin";

const char ft_mysql_insert[] = "INSERT INTO process_metrics (agent_id, boot_id, seq, `timestamp`,"
                               " process_name, host_name, ip, pid, cmd, cpu_usage_rate, mem_usage,"
                               " send_lines) VALUES ";

/* Changes nothing, so the row counts as 0; IGNORE would hide values that do not fit. */
const char ft_mysql_insert_end[] = " ON DUPLICATE KEY UPDATE agent_id = process_metrics.agent_id";

/* Behind the backslash; 0: as it is. */
static char escape_of(uint8_t c)
{
    switch (c) {
    case 0:
        return '0';
    case '\n':
        return 'n';
    case '\r':
        return 'r';
    case 0x1a:
        return 'Z';
    case '\'':
    case '"':
    case '\\':
        return (char)c;
    default:
        return 0;
    }
}

static void add_text(struct ft_buf *out, struct rn_slice s)
{
    size_t from = 0;

    (void)ft_buf_add_str(out, ",'");
    for (size_t i = 0; i < s.len; i++) {
        const char escape = escape_of(s.data[i]);

        if (!escape)
            continue;
        (void)ft_buf_add(out, s.data + from, i - from);
        (void)ft_buf_add_byte(out, '\\');
        (void)ft_buf_add_byte(out, (uint8_t)escape);
        from = i + 1;
    }
    (void)ft_buf_add(out, s.data + from, s.len - from);
    (void)ft_buf_add_byte(out, '\'');
}

int ft_mysql_add_row(struct ft_buf *out, const struct ft_row *row)
{
    const struct ft_sample *s = row->sample;

    (void)ft_buf_add_str(out, "('");
    (void)ft_buf_add(out, row->batch->agent_id, FT_UUID_TEXT_SIZE - 1);
    (void)ft_buf_add_str(out, "','");
    (void)ft_buf_add(out, row->batch->boot_id, FT_UUID_TEXT_SIZE - 1);
    (void)ft_json_add_u64(out, "',", s->seq);
    (void)ft_json_add_i64(out, ",", s->timestamp_ms);
    add_text(out, s->process_name);
    add_text(out, s->host_name);
    add_text(out, s->ip);
    (void)ft_json_add_u64(out, ",", s->pid);
    add_text(out, s->cmd);
    (void)ft_buf_add_byte(out, ',');
    if (s->has_cpu_usage_rate)
        (void)ft_json_add_double(out, s->cpu_usage_rate);
    else
        (void)ft_buf_add_str(out, "NULL");
    (void)ft_json_add_u64(out, ",", s->mem_usage);
    (void)ft_json_add_u64(out, ",", s->send_lines);
    return ft_buf_add_str(out, ")\n");
}

bool ft_mysql_next_row(struct rn_slice *body, struct rn_slice *ret)
{
    const uint8_t *end = body->len > 0 ? memchr(body->data, '\n', body->len) : NULL;

    if (!end)
        return false;
    *ret = rn_slice(body->data, (size_t)(end - body->data));
    *body = rn_slice(end + 1, body->len - ret->len - 1);
    return true;
}

/* ---- errors -------------------------------------------------------------------------------- */

/* By number: the names of the server's differ between MySQL and MariaDB, and the library's header
 * has not all. */
enum ft_mysql_kind ft_mysql_kind(unsigned error)
{
    switch (error) {
    case 1048: /* column cannot be null */
    case 1264: /* out of range */
    case 1265: /* data truncated */
    case 1292: /* bad date or number */
    case 1300: /* bad characters */
    case 1364: /* no default */
    case 1366: /* bad integer, bad string */
    case 1367: /* bad double */
    case 1406: /* too long */
    case 1690: /* out of range in an expression */
    case 3819: /* a check constraint, MySQL */
    case 4025: /* the same, MariaDB */
        return FT_MYSQL_ROW;
    case 1153: /* packet bigger than max_allowed_packet */
    case 2020:
        return FT_MYSQL_LARGE;
    case 1021: /* disk full */
    case 1026: /* error writing the file */
    case 1036: /* table is read only */
    case 1044: /* access denied to the database */
    case 1045: /* access denied */
    case 1046: /* no database */
    case 1049: /* unknown database */
    case 1054: /* unknown column */
    case 1064: /* syntax */
    case 1114: /* table is full */
    case 1115: /* unknown character set */
    case 1130: /* host not allowed */
    case 1136: /* column count */
    case 1142: /* command denied */
    case 1143: /* column denied */
    case 1146: /* no such table */
    case 1227: /* privilege needed */
    case 1251: /* old client */
    case 1290: /* read-only */
    case 1698: /* access denied, no password used */
    case 1792: /* read-only transaction */
    case 1836: /* read-only mode */
    case 2026: /* TLS */
    case 2049: /* old authentication */
    case 2059: /* authentication plugin */
    case 3159: /* only TLS */
        return FT_MYSQL_HOLD;
    case 1205: /* lock wait */
    case 1213: /* deadlock */
        return FT_MYSQL_LATER;
    default:
        return FT_MYSQL_LOST;
    }
}

size_t ft_mysql_named_row(const char *text)
{
    static const char words[] = " at row ";
    const char *at = NULL;
    char *end;
    unsigned long n;

    for (const char *next = text; (next = strstr(next, words)) != NULL; next++)
        at = next;
    if (!at || at[strlen(words)] < '0' || at[strlen(words)] > '9')
        return 0;
    n = strtoul(at + strlen(words), &end, 10);
    return *end == 0 ? n : 0;
}
