#include "exporter/secret.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include <base/cleanup.h>

static int fail(struct ft_text_error *reterr, const char *path, const char *what)
{
    ft_text_error_set(reterr, "%s: %s", path, what);
    return -EACCES;
}

static int fail_errno(struct ft_text_error *reterr, const char *path, int error)
{
    ft_text_error_set(reterr,
                      "%s: %s: write the secret there, readable for fettled and nobody else", path,
                      strerrordesc_np(error));
    return -EACCES;
}

static ssize_t file_read(int fd, char *text, size_t size)
{
    size_t len = 0;

    while (len < size) {
        ssize_t n = read(fd, text + len, size - len);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        if (n == 0)
            break;
        len += (size_t)n;
    }
    return (ssize_t)len;
}

/* Cut blanks from both ends; false: nothing is left, or it would not fit a header's line. */
static bool secret_trim(char *text, size_t len)
{
    size_t from = 0;

    while (len > 0 && isspace((unsigned char)text[len - 1]))
        len--;
    while (from < len && isspace((unsigned char)text[from]))
        from++;
    memmove(text, text + from, len - from);
    len -= from;
    text[len] = 0;
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f)
            return false;
    return len > 0;
}

static void secret_freep(char **s)
{
    *s = ft_secret_free(*s);
}

int ft_secret_read(const char *path, char **ret, struct ft_text_error *reterr)
{
    CLEANUP(secret_freep) char *text = calloc(1, FT_SECRET_MAX + 2);
    CLEANUP(closep) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    struct stat st;
    ssize_t n;

    if (!text)
        return -ENOMEM;
    if (fd < 0 || fstat(fd, &st) < 0)
        return fail_errno(reterr, path, errno);
    if (S_ISDIR(st.st_mode))
        return fail_errno(reterr, path, EISDIR);
    n = file_read(fd, text, FT_SECRET_MAX + 1);
    if (n < 0)
        return fail_errno(reterr, path, (int)-n);
    if (n > FT_SECRET_MAX)
        return fail(reterr, path, "too long for a secret: leave nothing but the secret in it");
    if (!secret_trim(text, (size_t)n))
        return fail(reterr, path,
                    "not a secret on one line: write the secret there and nothing else");
    *ret = TAKE(text);
    return 0;
}

char *ft_secret_free(char *secret)
{
    if (secret)
        explicit_bzero(secret, strlen(secret));
    free(secret);
    return NULL;
}

/* ---- what is shown --------------------------------------------------------------------------- */

#define HEADER "authorization:"
#define ECHO_BEGINS "at [Source:"

/* How much of `text` is a secret here at its beginning. */
static size_t secret_here(struct rn_slice text, const char *const *secrets, size_t n)
{
    size_t longest = 0;

    for (size_t i = 0; i < n; i++) {
        size_t len = secrets[i] ? strlen(secrets[i]) : 0;

        if (len > longest && len <= text.len && memcmp(text.data, secrets[i], len) == 0)
            longest = len;
    }
    return longest;
}

static bool begins(struct rn_slice text, const char *word)
{
    size_t len = strlen(word);

    return text.len >= len && strncasecmp((const char *)text.data, word, len) == 0;
}

static size_t to_end_of_line(struct rn_slice text, size_t from)
{
    while (from < text.len && text.data[from] != '\r' && text.data[from] != '\n')
        from++;
    return from;
}

struct shown {
    char *out;
    size_t len;
    bool full;
};

static void show(struct shown *s, const char *text, size_t n)
{
    if (s->full || s->len + n > FT_SHOWN_MAX - 3) {
        s->full = true;
        return;
    }
    memcpy(s->out + s->len, text, n);
    s->len += n;
}

/* Whole characters only; blanks never stand in a row. */
static size_t show_char(struct shown *s, struct rn_slice rest)
{
    size_t n = 1;

    if (rest.data[0] <= ' ' || rest.data[0] == 0x7f) {
        if (s->len > 0 && s->out[s->len - 1] != ' ')
            show(s, " ", 1);
        return 1;
    }
    while (n < 4 && n < rest.len && (rest.data[n] & 0xc0) == 0x80)
        n++;
    show(s, (const char *)rest.data, n);
    return n;
}

void ft_secrets_hide(struct rn_slice text, const char *const *secrets, size_t n,
                     char out[FT_SHOWN_MAX + 1])
{
    struct shown s = {.out = out};

    for (size_t i = 0; i < text.len && !s.full;) {
        const struct rn_slice rest = rn_slice(text.data + i, text.len - i);
        const size_t secret = secret_here(rest, secrets, n);

        if (begins(rest, ECHO_BEGINS))
            break;
        if (secret > 0) {
            show(&s, "***", 3);
            i += secret;
        } else if (begins(rest, HEADER)) {
            show(&s, "Authorization: ***", strlen("Authorization: ***"));
            i += to_end_of_line(rest, strlen(HEADER));
        } else {
            i += show_char(&s, rest);
        }
    }
    while (s.len > 0 && out[s.len - 1] == ' ')
        s.len--;
    if (s.full) {
        memcpy(out + s.len, "...", 3);
        s.len += 3;
    }
    out[s.len] = 0;
}
