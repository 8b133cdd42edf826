/* What a failed assert says, and that it ends the process. */
#include <base/assert.h>

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

void rn_assert_failed(const char *file, int line, const char *func, const char *what)
{
    char text[512];
    int n = snprintf(text, sizeof(text), "%s:%d: %s: assertion failed: %s\n", file, line, func, what);

    if (n >= (int)sizeof(text)) {
        n = sizeof(text);
        text[n - 1] = '\n';
    }
    /* The process is about to end: a failed write changes nothing. */
    if (n > 0 && write(STDERR_FILENO, text, (size_t)n) < 0)
        abort();
    abort();
}
