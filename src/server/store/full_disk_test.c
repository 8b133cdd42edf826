/* A disk that is really full: a small tmpfs in a mount namespace of this process. */
#include "store/testing.h"

#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <base/cleanup.h>

static char disk[512], filler[600];

static void fill_up(void)
{
    static char block[4096];
    const int   fd = open(filler, O_CREAT | O_WRONLY | O_APPEND | O_CLOEXEC, 0600);

    OK(fd);
    memset(block, 'x', sizeof(block));
    for (size_t size = sizeof(block); size; size /= 2) {
        while (write(fd, block, size) > 0)
            ;
    }
    (void)close(fd);
}

static int put(struct ft_store *s, unsigned n)
{
    static char                 body[40000];
    struct ft_object            o = testing_object("a", "");
    struct ft_object_put        put = {.group = S("default"), .object = &o, .wire_max = 100000};
    struct ft_object_put_result result;
    struct ft_groups           *t = NULL;
    int                         r;

    memset(body, 'a' + (int)(n % 26), sizeof(body));
    (void)snprintf(body, sizeof(body), "%u", n);
    o.body = rn_slice(body, sizeof(body));
    r = ft_store_object_put(s, &put, &result, &t);
    ft_groups_unref(t);
    return r;
}

static void live_through_it(void)
{
    CLEANUP(ft_store_closep) struct ft_store *s = testing_store_in(disk);
    struct ft_configuration c;
    unsigned                good = 0;

    for (int round = 0; round < 3; round++) {
        int r = 0;

        OK(put(s, good));
        good++;
        fill_up();
        while ((r = put(s, good)) == 0) /* the log may have room left from before */
            good++;
        EQ(r, -ENOSPC);
        ERR(put(s, good), ENOSPC);
        OK(ft_store_configuration_get(s, S("default"), &c)); /* reading goes on */
        EQ(c.latest, good);
        OK(unlink(filler));
    }
    OK(put(s, good++));
    ft_store_close(s);
    s = testing_store_in(disk);
    OK(ft_store_configuration_get(s, S("default"), &c));
    EQ(c.latest, good);
}

TEST(a_disk_that_is_really_full_loses_nothing_and_heals_when_space_is_freed)
{
    ALLOW_LIBRARIES();
    (void)snprintf(disk, sizeof(disk), "%s/disk", test_dir());
    (void)snprintf(filler, sizeof(filler), "%s/filler", disk);
    OK(mkdir(disk, 0700));
    if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
        mount("tmpfs", disk, "tmpfs", 0, "size=4m") < 0)
        SKIP("mounting a small disk takes more privileges than this process has");
    task_test_run(NULL, live_through_it);
    (void)umount2(disk, MNT_DETACH);
}
