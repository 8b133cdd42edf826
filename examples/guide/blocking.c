/* A call that blocks its thread runs on a pool; the task waits, and the others go on. */
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include <runnel/runnel.h>

struct job {
    int fd;
    char answer[16];
};

/* On a thread of the pool: no task, no channel, no descriptor of the runtime. */
static int reads(void *arg)
{
    struct job *job = arg;
    ssize_t n = read(job->fd, job->answer, sizeof(job->answer) - 1);

    return n < 0 ? -errno : (int)n;
}

static int ticks(void *arg)
{
    const int *fd = arg;

    puts("meanwhile a task runs");
    return write(*fd, "done", 4) == 4 ? 0 : -errno;
}

static int app(void *arg)
{
    struct rn_class *slow = NULL;
    struct rn_scope scope = {0};
    struct job job = {0};
    int fds[2], r = rn_sys_pipe2(fds, 0);

    (void)arg;
    if (r < 0)
        return r;
    job.fd = fds[0];
    r = rn_class_open("slow", 2, &slow); /* at most two of its calls at once */
    if (r == 0)
        r = rn_scope_open(RN_SCOPE_WAIT_ALL, &scope);
    if (r == 0)
        r = rn_go(scope, ticks, &fds[1], NULL, 0);
    if (r == 0)
        r = rn_blocking(slow, reads, &job);
    printf("the call returned %d: %s\n", r, job.answer);
    rn_scope_closep(&scope); /* `fds` is looked at until here */
    rn_class_closep(&slow);
    (void)rn_sys_close(fds[0]);
    (void)rn_sys_close(fds[1]);
    return r;
}

int main(void)
{
    return rn_run(NULL, app, NULL) < 0;
}
