/* shipper: follow a text file and write the lines that match the configuration to stdout.
 *
 *     shipper --config shipper.conf
 *
 * HUP reads the configuration again. A configuration that is wrong ends the program with exit code
 * 2 and one line on stderr, at the start and later: a supervisor is expected to bring the last good
 * one back.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "follow.h"
#include "settings.h"

#define POLL_MS 200

static volatile sig_atomic_t reload_wanted, stop_wanted;

static void on_signal(int number)
{
    if (number == SIGHUP)
        reload_wanted = 1;
    else
        stop_wanted = 1;
}

/* The signals stay blocked but for the wait, so none is missed between a look at the flags and the
 * wait. */
static void signals_setup(sigset_t *ret_waiting)
{
    struct sigaction action = {.sa_handler = on_signal};
    static const int numbers[] = {SIGHUP, SIGTERM, SIGINT};
    sigset_t blocked;

    (void)sigemptyset(&blocked);
    for (size_t i = 0; i < sizeof(numbers) / sizeof(*numbers); i++) {
        (void)sigaddset(&blocked, numbers[i]);
        (void)sigaction(numbers[i], &action, NULL);
    }
    (void)sigprocmask(SIG_BLOCK, &blocked, ret_waiting);
    for (size_t i = 0; i < sizeof(numbers) / sizeof(*numbers); i++)
        (void)sigdelset(ret_waiting, numbers[i]);
}

static void ship(void *arg, const char *line)
{
    if (settings_ship(arg, line))
        (void)puts(line);
}

static bool reload(const char *file, struct settings *s, struct follower *f)
{
    struct settings fresh;
    char why[512];

    if (!settings_read(file, &fresh, why, sizeof(why))) {
        (void)fprintf(stderr, "shipper: %s\n", why);
        return false;
    }
    if (!s->path || strcmp(s->path, fresh.path) != 0)
        follower_close(f); /* another file, from its start */
    settings_free(s);
    *s = fresh;
    return true;
}

static int run(const char *file, const sigset_t *waiting)
{
    const struct timespec nap = {.tv_nsec = POLL_MS * 1000 * 1000L};
    struct settings s = {0};
    struct follower f = {.fd = -1};
    int status = reload(file, &s, &f) ? 0 : 2;

    while (status == 0 && !stop_wanted) {
        if (reload_wanted) {
            reload_wanted = 0;
            status = reload(file, &s, &f) ? 0 : 2;
            continue;
        }
        if (follower_poll(&f, s.path, ship, &s) < 0 || fflush(stdout) != 0) {
            (void)fprintf(stderr, "shipper: cannot go on: %s\n", strerror(errno));
            status = 1;
            continue;
        }
        (void)ppoll(NULL, 0, &nap, waiting);
    }
    settings_free(&s);
    follower_close(&f);
    return status;
}

int main(int argc, char **argv)
{
    sigset_t waiting;

    if (argc == 2 && strcmp(argv[1], "--help") == 0) {
        (void)puts("Usage: shipper --config FILE\n"
                   "Follow a text file and write the lines that match FILE's rules to stdout.\n"
                   "FILE has lines of `key = value`: path (required), contains, match (an extended "
                   "regular expression).\n"
                   "HUP reads FILE again; a wrong FILE ends the program with exit code 2.");
        return 0;
    }
    if (argc != 3 || strcmp(argv[1], "--config") != 0) {
        (void)fprintf(stderr, "shipper: wrong usage: write shipper --config FILE\n");
        return 2;
    }
    signals_setup(&waiting);
    return run(argv[2], &waiting);
}
