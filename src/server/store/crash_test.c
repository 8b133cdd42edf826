/* A process that is killed in the middle of writing: what it was told to be on disk is there. */
#include "store/testing.h"

#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <base/cleanup.h>

struct writer {
    int         pipe;
    unsigned    first;
};

/* Put object after object; each is reported into the pipe when the store said that it is done. */
static int write_for_ever(void *arg)
{
    const struct writer *w = arg;
    struct ft_text_error e;
    struct ft_store     *s;

    if (ft_store_open(test_dir(), &s, &e) < 0)
        _exit(3);
    for (unsigned i = w->first;; i++) {
        char                        body[32];
        struct ft_object            o = testing_object("n", body);
        struct ft_object_put        put = {.group = S("default"), .object = &o, .wire_max = 1000};
        struct ft_object_put_result result;
        struct ft_groups           *t;

        (void)snprintf(body, sizeof(body), "%u", i);
        o.body = S(body);
        if (ft_store_object_put(s, &put, &result, &t) < 0)
            _exit(4);
        ft_groups_unref(t);
        if (write(w->pipe, &i, sizeof(i)) != (ssize_t)sizeof(i))
            _exit(5);
    }
}

/* Let a process write until it has reported `n`, kill it, and return the last number that it
 * reported. */
static unsigned killed_after(unsigned first, unsigned n)
{
    int      fds[2], status;
    unsigned last = 0, value;
    pid_t    pid;

    OK(pipe(fds));
    pid = fork();
    OK(pid);
    if (pid == 0) {
        struct writer w = {fds[1], first};

        (void)close(fds[0]);
        (void)rn_run(NULL, write_for_ever, &w);
        _exit(6);
    }
    (void)close(fds[1]);
    while (n-- && read(fds[0], &value, sizeof(value)) == (ssize_t)sizeof(value))
        last = value;
    (void)kill(pid, SIGKILL);
    while (read(fds[0], &value, sizeof(value)) == (ssize_t)sizeof(value))
        last = value;
    EQ(waitpid(pid, &status, 0), pid);
    TRUE(WIFSIGNALED(status));
    (void)close(fds[0]);
    return last;
}

static unsigned reported;

static int look(void *arg)
{
    CLEANUP(ft_store_closep) struct ft_store   *s = testing_store();
    CLEANUP(ft_groups_unrefp) struct ft_groups *t = NULL;
    CLEANUP(ft_version_unrefp) struct ft_version *v = NULL;
    struct ft_configuration c;
    char                    body[32];
    unsigned                found;

    (void)arg;
    OK(ft_store_groups(s, &t));
    (void)snprintf(body, sizeof(body), "%.*s", (int)t->items[0]->version->objects.items[0].body.len,
                   (const char *)t->items[0]->version->objects.items[0].body.data);
    EQ(sscanf(body, "%u", &found), 1);
    GE(found, reported);
    LE(found, reported + 1); /* one may have been on its way */

    /* Each put has made exactly one version. */
    OK(ft_store_configuration_get(s, S("default"), &c));
    EQ(c.latest, found);
    OK(ft_store_version_get(s, S("default"), reported, &v));
    reported = found;
    return 0;
}

TEST(what_was_acknowledged_survives_a_kill_in_the_middle_of_writing)
{
    ALLOW_LIBRARIES();
    reported = 0;
    for (unsigned round = 1; round <= 8; round++) {
        reported = killed_after(reported + 1, round * 5);
        OK(rn_run(NULL, look, NULL));
    }
}
