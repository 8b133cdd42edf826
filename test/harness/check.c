/* What the macros call: a check that fails says where and what, and aborts.
 *
 * Written without stdio's streams: the caller may be a task on a 16 KiB stack, and another thread may hold the lock of stderr.
 */
#include <harness/test.h>

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void put(const char *text, size_t n)
{
    while (n > 0) {
        ssize_t done = write(STDERR_FILENO, text, n);

        if (done <= 0)
            return;
        text += done;
        n -= (size_t)done;
    }
}

void test_fail(const char *file, int line, const char *format, ...)
{
    static atomic_flag taken = ATOMIC_FLAG_INIT;
    static char text[4096]; /* of the thread that fails first; the process ends with it */
    va_list ap;
    size_t n;

    while (atomic_flag_test_and_set(&taken))
        pause();
    n = (size_t)snprintf(text, sizeof(text), "%s:%d: ", file, line);
    n = n < sizeof(text) ? n : sizeof(text) - 1;
    va_start(ap, format);
    vsnprintf(text + n, sizeof(text) - n, format, ap);
    va_end(ap);
    put(text, strlen(text));
    put("\n", 1);
    abort();
}

long long test_ok_(long long r, const char *expr, const char *file, int line)
{
    if (r < 0)
        test_fail(file, line, "%s: %lld (%s)", expr, r, r > -4096 ? strerrorname_np((int)-r) : "?");
    return r;
}

void test_err_(long long r, int error, const char *expr, const char *name, const char *file, int line)
{
    const char *got = r < 0 && r > -4096 ? strerrorname_np((int)-r) : NULL;

    if (r != -error)
        test_fail(file, line, "%s: %lld (%s%s), not -%s", expr, r, got ? "-" : "", got ? got : "no error", name);
}

void test_streq_(const char *a, const char *b, const char *ta, const char *tb, const char *file, int line)
{
    if (a == b || (a && b && strcmp(a, b) == 0))
        return;
    test_fail(file, line, "%s == %s:\n  \"%.1500s\"\n  \"%.1500s\"", ta, tb, a ? a : "(null)", b ? b : "(null)");
}

/* Sixteen bytes from the first difference on. */
static void hex(char *to, const unsigned char *from, size_t n)
{
    *to = '\0';
    for (size_t i = 0; i < n && i < 16; i++)
        to += sprintf(to, " %02x", from[i]);
}

void test_memeq_(const void *a, const void *b, size_t n, const char *ta, const char *tb, const char *file, int line)
{
    const unsigned char *x = a, *y = b;
    char hx[64], hy[64];
    size_t at = 0;

    while (at < n && x[at] == y[at])
        at++;
    if (at == n)
        return;
    hex(hx, x + at, n - at);
    hex(hy, y + at, n - at);
    test_fail(file, line, "%s == %s: differ from byte %zu of %zu:\n %s\n %s", ta, tb, at, n, hx, hy);
}
