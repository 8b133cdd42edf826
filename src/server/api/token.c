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

static int read_token(const char *path, char token[FT_TOKEN_SIZE], struct ft_text_error *reterr)
{
    CLEANUP(closep) int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0) {
        ft_text_error_set(reterr, "cannot read %s: %s", path, strerror(errno));
        return -errno;
    }
    ssize_t n = read(fd, token, FT_TOKEN_SIZE - 1);
    if (n < 0) {
        ft_text_error_set(reterr, "cannot read %s: %s", path, strerror(errno));
        return -errno;
    }
    token[n] = '\0';
    token[strcspn(token, "\r\n")] = '\0';
    if (strlen(token) < TOKEN_MIN) {
        ft_text_error_set(
            reterr, "%s holds no token of %d characters or more: remove it, and a new one is made",
            path, TOKEN_MIN);
        return -EINVAL;
    }
    return 0;
}

/* Written whole under another name, then linked into place: a crash leaves no half token, and a
 * racing start keeps the first. */
static int make_token(const char *path, struct ft_text_error *reterr)
{
    uint8_t random[TOKEN_BYTES];
    char text[2 * TOKEN_BYTES + 2], made[4096];

    if (getrandom(random, sizeof(random), 0) != sizeof(random) ||
        snprintf(made, sizeof(made), "%s.new", path) >= (int)sizeof(made))
        return -EIO;
    ft_hex_format(rn_slice(random, sizeof(random)), text);
    strcat(text, "\n");
    (void)unlink(made);
    CLEANUP(closep) int fd = open(made, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text) || fsync(fd) < 0 ||
        (link(made, path) < 0 && errno != EEXIST)) {
        int e = errno;
        ft_text_error_set(reterr, "cannot write %s: %s", path, strerror(e));
        (void)unlink(made);
        return -e;
    }
    (void)unlink(made);
    return 0;
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
