/* The admin token: made once, readable by its owner only, 256 random bits as hex. */
#include "api/api.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>

#include <base/cleanup.h>

#include <model/hash.h>

#define TOKEN_BYTES 32
#define TOKEN_MIN 16

static int fail(struct ft_text_error *reterr, const char *what, const char *path, int e)
{
    ft_text_error_set(reterr, "cannot %s %s: %s", what, path, strerror(e));
    return -e;
}

static int read_token(const char *path, char token[FT_TOKEN_SIZE], struct ft_text_error *reterr)
{
    CLEANUP(closep) int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, token, FT_TOKEN_SIZE - 1);

    if (n < 0)
        return fail(reterr, "read", path, errno);
    token[n] = '\0';
    token[strcspn(token, "\r\n")] = '\0';
    if (strlen(token) >= TOKEN_MIN && n < FT_TOKEN_SIZE - 1)
        return 0;
    ft_text_error_set(reterr,
                      "%s holds no token of %d to %d characters: remove it, and a new one is made",
                      path, TOKEN_MIN, FT_TOKEN_SIZE - 2);
    return -EINVAL;
}

static int write_whole(const char *path, const char *text)
{
    CLEANUP(closep) int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

    if (fd < 0)
        return -errno;
    ssize_t n = write(fd, text, strlen(text));
    if (n != (ssize_t)strlen(text))
        return n < 0 ? -errno : -ENOSPC;
    return fsync(fd) < 0 ? -errno : 0;
}

/* Written whole under another name, then linked into place: a crash leaves no half token, and a
 * racing start keeps the first. */
static int make_token(const char *path, struct ft_text_error *reterr)
{
    uint8_t random[TOKEN_BYTES];
    char text[2 * TOKEN_BYTES + 2], made[4096];

    if (snprintf(made, sizeof(made), "%s.new", path) >= (int)sizeof(made))
        return fail(reterr, "write", path, ENAMETOOLONG);
    if (getrandom(random, sizeof(random), 0) != sizeof(random))
        return fail(reterr, "make random bytes for", path, EIO);
    ft_hex_format(rn_slice(random, sizeof(random)), text);
    text[2 * TOKEN_BYTES] = '\n';
    text[2 * TOKEN_BYTES + 1] = '\0';
    (void)unlink(made);
    int r = write_whole(made, text);
    if (r == 0 && link(made, path) < 0 && errno != EEXIST)
        r = -errno;
    (void)unlink(made);
    return r < 0 ? fail(reterr, "write", path, -r) : 0;
}

int ft_api_token(const char *path, char token[FT_TOKEN_SIZE], struct ft_text_error *reterr)
{
    if (access(path, F_OK) < 0 && errno == ENOENT) {
        int r = make_token(path, reterr);
        if (r < 0)
            return r;
    }
    return read_token(path, token, reterr);
}
