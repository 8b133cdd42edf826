/* The log: one event a line, to stderr, as text or JSON.
 *
 *     log_info("agent connected", LOG_STR("agent", id), LOG_INT("protocol", 1));
 *     log_warnf("rollout %s is late", name);
 *
 *     text   2024-03-01T12:00:00.123Z info  agent connected agent=web-1 protocol=1
 *     json   {"ts":"2024-03-01T12:00:00.123Z","level":"info","msg":"agent connected","agent":"web-1","protocol":1}
 *
 * From any thread and any task: a line is built on the caller's stack (about 2.5 KiB, cut there and marked) and leaves in
 * a single write(2), so lines of several threads never mix. Nothing suspends, nothing allocates; a line that stderr
 * refuses is counted, not retried. Text from a peer is harmless: control characters are escaped in both formats.
 *
 * Programs log, library floors return errors.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };
enum log_format { LOG_TEXT, LOG_JSON };

/* Set before the first line (by main, from --log-level and --log-format); later changes are seen by and by.
 * The parsers return 0 or -EINVAL. */
void     log_setup(enum log_format format, enum log_level level_min);
int      log_level_parse(const char *text, enum log_level *ret_level);
int      log_format_parse(const char *text, enum log_format *ret_format);
bool     log_on(enum log_level level);
uint64_t log_lost(void); /* lines that could not be written */

enum log_kind { LOG_KIND_STR, LOG_KIND_INT, LOG_KIND_UINT, LOG_KIND_FLOAT, LOG_KIND_BOOL, LOG_KIND_ERR };

struct log_field {
    const char   *key;
    enum log_kind kind;
    size_t        len; /* of str */
    union {
        const char *str; /* NULL prints as (null), or JSON null */
        int64_t     i;
        uint64_t    u;
        double      f;
    };
};

#define LOG_STR(k, s)      ((struct log_field){.key = (k), .kind = LOG_KIND_STR, .len = SIZE_MAX, .str = (s)})
#define LOG_STRN(k, s, n)  ((struct log_field){.key = (k), .kind = LOG_KIND_STR, .len = (n), .str = (s)})
#define LOG_INT(k, v)      ((struct log_field){.key = (k), .kind = LOG_KIND_INT, .i = (v)})
#define LOG_UINT(k, v)     ((struct log_field){.key = (k), .kind = LOG_KIND_UINT, .u = (v)})
#define LOG_FLOAT(k, v)    ((struct log_field){.key = (k), .kind = LOG_KIND_FLOAT, .f = (v)})
#define LOG_BOOL(k, v)     ((struct log_field){.key = (k), .kind = LOG_KIND_BOOL, .i = (v)})
/* A negative errno as text: error="Broken pipe". */
#define LOG_ERR(r)         ((struct log_field){.key = "error", .kind = LOG_KIND_ERR, .i = (r)})

/* One event: a constant message, then its fields (may be none). */
#define log_debug(...) LOG_EVENT_(LOG_DEBUG, __VA_ARGS__, LOG_END_)
#define log_info(...)  LOG_EVENT_(LOG_INFO, __VA_ARGS__, LOG_END_)
#define log_warn(...)  LOG_EVENT_(LOG_WARN, __VA_ARGS__, LOG_END_)
#define log_error(...) LOG_EVENT_(LOG_ERROR, __VA_ARGS__, LOG_END_)

#define LOG_END_ ((struct log_field){.key = NULL})
#define LOG_EVENT_(level, msg, ...)                                                                \
    do {                                                                                           \
        if (log_on(level)) {                                                                       \
            const struct log_field log_fields_[] = {__VA_ARGS__};                                  \
            log_write(level, msg, log_fields_, sizeof(log_fields_) / sizeof(*log_fields_) - 1);    \
        }                                                                                          \
    } while (0)

/* The same with a printf-like message and no fields. */
#define log_debugf(...) log_writef(LOG_DEBUG, __VA_ARGS__)
#define log_infof(...)  log_writef(LOG_INFO, __VA_ARGS__)
#define log_warnf(...)  log_writef(LOG_WARN, __VA_ARGS__)
#define log_errorf(...) log_writef(LOG_ERROR, __VA_ARGS__)

void log_write(enum log_level level, const char *msg, const struct log_field fields[], size_t n);
__attribute__((format(printf, 2, 3))) void log_writef(enum log_level level, const char *format, ...);
