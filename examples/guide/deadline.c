/* Time runs out: everything in a scope is asked to end, and a shield lets it end well. */
#include <errno.h>
#include <stdio.h>

#include <runnel/runnel.h>

static int saves(void)
{
    int r = rn_shield_begin(rn_after(RN_S)); /* never without an end of its own */

    if (r < 0)
        return r;
    r = rn_sleep(rn_after(2 * RN_MS)); /* would be -ECANCELED at once without the shield */
    rn_shield_end();
    return r;
}

static int runs_for_ever(void *arg)
{
    int r = rn_sleep(RN_FOREVER);

    (void)arg;
    printf("the sleep ended with %s\n", r == -ECANCELED ? "ECANCELED" : "?");
    r = saves();
    printf("saving ended with %s\n", r == 0 ? "success" : "?");
    r = rn_yield();
    printf("and everything else with %s\n", r == -ECANCELED ? "ECANCELED" : "?");
    return r;
}

static int app(void *arg)
{
    struct rn_scope scope;
    int r = rn_scope_open(RN_SCOPE_WAIT_ALL, &scope);

    (void)arg;
    if (r == 0)
        r = rn_go(scope, runs_for_ever, NULL, NULL, 0);
    if (r == 0)
        r = rn_scope_deadline(scope, rn_after(5 * RN_MS));
    if (r == 0)
        r = rn_scope_wait(scope);
    printf("the scope ended with %s\n", r == -ECANCELED ? "ECANCELED" : "?");
    return rn_scope_close(scope);
}

int main(void)
{
    return rn_run(NULL, app, NULL) < 0;
}
