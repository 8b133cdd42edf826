#include "exporter/testing.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

void small_disk_mount(const char *size)
{
    char options[64];

    (void)snprintf(options, sizeof(options), "size=%s", size);
    OK(mkdir(rig_path("disk"), 0700));
    if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
        mount("tmpfs", rig_path("disk"), "tmpfs", 0, options) < 0)
        SKIP("mounting a small disk takes more privileges than this process has");
}

void small_disk_fill(void)
{
    static char block[4096];
    const int fd = open(rig_path("disk/filler"), O_CREAT | O_WRONLY | O_APPEND | O_CLOEXEC, 0600);

    OK(fd);
    for (size_t size = sizeof(block); size; size /= 2)
        while (write(fd, block, size) > 0)
            ;
    (void)close(fd);
}

void small_disk_free(void)
{
    OK(unlink(rig_path("disk/filler")));
}
