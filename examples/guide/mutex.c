/* An account that is changed in one piece over a call that suspends; and a wait until all are done.
 */
#include <errno.h>
#include <stdio.h>

#include <runnel/runnel.h>

struct bank {
    struct rn_mutex mutex;
    struct rn_group busy;
    int balance;
};

static int pays_in(void *arg)
{
    struct bank *b = arg;
    int r = rn_mutex_lock(b->mutex, RN_FOREVER);

    if (r < 0)
        return r;
    int seen = b->balance;
    r = rn_yield(); /* others run here, and wait at the lock */
    b->balance = seen + 1;
    (void)rn_mutex_unlock(b->mutex); /* handed to who has waited longest */
    (void)rn_group_done(b->busy);
    return r;
}

static int app(void *arg)
{
    struct bank b = {0};
    struct rn_scope scope;
    int r = rn_scope_open(RN_SCOPE_WAIT_ALL, &scope);

    (void)arg;
    if (r == 0)
        r = rn_mutex_open(scope, &b.mutex); /* goes with the scope */
    if (r == 0)
        r = rn_group_open(scope, 100, &b.busy);
    for (int i = 0; i < 100 && r == 0; i++)
        r = rn_go(scope, pays_in, &b, NULL, 0);
    if (r == 0)
        r = rn_group_wait(b.busy, rn_after(RN_S));
    printf("balance %d\n", b.balance);
    printf("unlocking what another holds, or nobody: %s\n",
           rn_mutex_unlock(b.mutex) == -EPERM ? "EPERM" : "?");
    rn_scope_closep(&scope);
    printf("locking it when its scope is gone: %s\n",
           rn_mutex_lock(b.mutex, RN_FOREVER) == -EBADF ? "EBADF" : "?");
    return r;
}

int main(void)
{
    return rn_run(NULL, app, NULL) < 0;
}
