/* The log: a line is put together in a buffer on the stack and leaves in one write(2).
 *
 * Nothing here is shared but the three atomics below, so there is no lock and no order between lines of different
 * threads other than the kernel's. The buffer cuts what does not fit and always keeps room for the end of the line: a JSON
 * line that was cut is still valid JSON, because a value is taken back whole when it does not fit.
 */
#include <base/log.h>

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static _Atomic(enum log_format) log_format_now = LOG_TEXT;
static _Atomic(enum log_level) log_level_min = LOG_INFO;
static atomic_uint_fast64_t log_lost_lines;

static const char *const level_names[] = {"debug", "info", "warn", "error"};
static const char *const format_names[] = {"text", "json"};

enum { LINE_MAX_BYTES = 2560, LINE_TAIL_BYTES = 32 };

/* Invariant: len <= LINE_MAX_BYTES - LINE_TAIL_BYTES until the tail is added. */
struct line {
    size_t len;
    bool   cut; /* something did not fit */
    bool   json;
    char   text[LINE_MAX_BYTES];
};

void log_setup(enum log_format format, enum log_level level_min)
{
    atomic_store_explicit(&log_format_now, format, memory_order_relaxed);
    atomic_store_explicit(&log_level_min, level_min, memory_order_relaxed);
}

bool log_on(enum log_level level)
{
    return level >= atomic_load_explicit(&log_level_min, memory_order_relaxed);
}

uint64_t log_lost(void)
{
    return atomic_load_explicit(&log_lost_lines, memory_order_relaxed);
}

static int name_find(const char *const names[], int n, const char *text)
{
    for (int i = 0; i < n; i++)
        if (text && strcmp(names[i], text) == 0)
            return i;
    return -EINVAL;
}

int log_level_parse(const char *text, enum log_level *ret_level)
{
    int i = name_find(level_names, sizeof(level_names) / sizeof(*level_names), text);

    if (i < 0)
        return i;
    *ret_level = (enum log_level)i;
    return 0;
}

int log_format_parse(const char *text, enum log_format *ret_format)
{
    int i = name_find(format_names, sizeof(format_names) / sizeof(*format_names), text);

    if (i < 0)
        return i;
    *ret_format = (enum log_format)i;
    return 0;
}

static void line_put(struct line *l, const char *text, size_t n)
{
    if (l->cut)
        return;
    if (n > sizeof(l->text) - LINE_TAIL_BYTES - l->len) {
        l->cut = true;
        return;
    }
    memcpy(l->text + l->len, text, n);
    l->len += n;
}

/* Into the room kept for the end of the line, once per line: nothing is put after it. */
static void line_mark_cut(struct line *l, const char *mark)
{
    memcpy(l->text + l->len, mark, strlen(mark));
    l->len += strlen(mark);
}

static void line_puts(struct line *l, const char *text)
{
    line_put(l, text, strlen(text));
}

__attribute__((format(printf, 2, 3))) static void line_putf(struct line *l, const char *format, ...)
{
    char text[64];
    va_list ap;
    int n;

    va_start(ap, format);
    n = vsnprintf(text, sizeof(text), format, ap);
    va_end(ap);
    line_put(l, text, n < 0 ? 0 : (size_t)n < sizeof(text) ? (size_t)n : sizeof(text) - 1);
}

/* Length of the well-formed UTF-8 sequence at s, 0 if there is none. */
static size_t utf8_len(const unsigned char *s, size_t n)
{
    const size_t want = s[0] < 0x80 ? 1 : s[0] >= 0xc2 && s[0] < 0xe0 ? 2 : (s[0] & 0xf0) == 0xe0 ? 3 :
                        s[0] >= 0xf0 && s[0] < 0xf5 ? 4 : 0;

    if (want == 0 || want > n)
        return 0;
    for (size_t i = 1; i < want; i++)
        if ((s[i] & 0xc0) != 0x80)
            return 0;
    if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] >= 0xa0) || (s[0] == 0xf0 && s[1] < 0x90) ||
        (s[0] == 0xf4 && s[1] >= 0x90))
        return 0;
    return want;
}

/* `text` without control characters, quotes and broken UTF-8: escaped as JSON does it, in both formats. A text that
 * does not fit is cut between two characters. */
static void line_escape(struct line *l, const char *text, size_t n)
{
    static const char shorts[] = "b\bf\fn\nr\rt\t\"\"\\\\";

    for (size_t i = 0; i < n && !l->cut;) {
        const unsigned char c = (unsigned char)text[i];
        const size_t len = utf8_len((const unsigned char *)text + i, n - i);
        const char *found = NULL;

        for (size_t k = 0; k + 1 < sizeof(shorts); k += 2)
            if (shorts[k + 1] == (char)c)
                found = shorts + k;
        if (found)
            line_put(l, (char[]){'\\', *found}, 2);
        else if (len == 0)
            line_puts(l, "\xef\xbf\xbd"); /* U+FFFD */
        else if (c < 0x20 || c == 0x7f || (c == 0xc2 && (unsigned char)text[i + 1] < 0xa0))
            line_putf(l, "\\u%04x", c == 0xc2 ? (unsigned char)text[i + 1] : c);
        else
            line_put(l, text + i, len);
        i += len ? len : 1;
    }
}

static void line_time(struct line *l)
{
    struct timespec now;
    struct tm tm;

    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &tm);
    line_putf(l, "%04d-%02d-%02dT%02d:%02d:%02d.%03ldZ", tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday, tm.tm_hour,
              tm.tm_min, tm.tm_sec, now.tv_nsec / 1000000);
}

static void line_begin(struct line *l, enum log_level level, const char *msg, size_t msg_len)
{
    l->len = 0;
    l->cut = false;
    l->json = atomic_load_explicit(&log_format_now, memory_order_relaxed) == LOG_JSON;
    line_puts(l, l->json ? "{\"ts\":\"" : "");
    line_time(l);
    if (l->json)
        line_putf(l, "\",\"level\":\"%s\",\"msg\":\"", level_names[level]);
    else
        line_putf(l, " %-5s ", level_names[level]);
    line_escape(l, msg, msg_len);
    if (l->cut) { /* what is in the line ends inside the message: go on from there */
        line_mark_cut(l, l->json ? "\",\"cut\":true" : " (cut)");
        return;
    }
    line_puts(l, l->json ? "\"" : "");
}

/* Without quotes only what a person and a splitter on blanks read the same. */
static bool is_plain(const char *text, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)text[i] <= ' ' || (unsigned char)text[i] >= 0x7f || strchr("\"\\=", text[i]))
            return false;
    return n > 0;
}

static void line_string(struct line *l, const char *text, size_t len)
{
    const bool quoted = l->json || (text && !is_plain(text, strnlen(text, len)));

    if (!text) {
        line_puts(l, l->json ? "null" : "(null)");
        return;
    }
    line_puts(l, quoted ? "\"" : "");
    line_escape(l, text, strnlen(text, len));
    line_puts(l, quoted ? "\"" : "");
}

static void line_float(struct line *l, double f)
{
    if (l->json && !isfinite(f))
        line_puts(l, "null");
    else
        line_putf(l, "%.9g", f);
}

static void line_field(struct line *l, const struct log_field *f)
{
    const size_t start = l->len;
    const bool was_cut = l->cut;
    char text[64];

    line_puts(l, l->json ? ",\"" : " ");
    line_escape(l, f->key, strlen(f->key));
    line_puts(l, l->json ? "\":" : "=");
    switch (f->kind) {
    case LOG_KIND_STR:
        line_string(l, f->str, f->len);
        break;
    case LOG_KIND_INT:
        line_putf(l, "%" PRId64, f->i);
        break;
    case LOG_KIND_UINT:
        line_putf(l, "%" PRIu64, f->u);
        break;
    case LOG_KIND_FLOAT:
        line_float(l, f->f);
        break;
    case LOG_KIND_BOOL:
        line_puts(l, f->i ? "true" : "false");
        break;
    case LOG_KIND_ERR:
        line_string(l, strerror_r((int)(f->i < 0 ? -f->i : f->i), text, sizeof(text)), SIZE_MAX);
        break;
    }
    if (l->cut && !was_cut) { /* taken back whole, and said */
        l->len = start;
        line_mark_cut(l, l->json ? ",\"cut\":true" : " (cut)");
    }
}

/* One write; a line that stderr refuses (full pipe that does not block, closed) is counted. */
static void line_end(struct line *l)
{
    ssize_t n;

    if (l->json)
        l->text[l->len++] = '}';
    l->text[l->len++] = '\n';
    do
        n = write(STDERR_FILENO, l->text, l->len);
    while (n < 0 && errno == EINTR);
    if (n != (ssize_t)l->len)
        atomic_fetch_add_explicit(&log_lost_lines, 1, memory_order_relaxed);
}

void log_write(enum log_level level, const char *msg, const struct log_field fields[], size_t n)
{
    struct line l;

    if (!log_on(level))
        return;
    line_begin(&l, level, msg, strlen(msg));
    for (size_t i = 0; i < n; i++)
        line_field(&l, &fields[i]);
    line_end(&l);
}

void log_writef(enum log_level level, const char *format, ...)
{
    char msg[1024];
    va_list ap;
    int n;

    if (!log_on(level))
        return;
    va_start(ap, format);
    n = vsnprintf(msg, sizeof(msg), format, ap);
    va_end(ap);
    log_write(level, n < 0 ? format : msg, NULL, 0);
}
