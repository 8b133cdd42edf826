/* Two tasks and the scope that waits for them. */
#include <stdio.h>

#include <runnel/runnel.h>

static int squares(void *arg)
{
    int *n = arg;

    *n *= *n;
    return 0;
}

static int app(void *arg)
{
    struct rn_scope scope;
    int a = 3, b = 4, r = rn_scope_open(RN_SCOPE_WAIT_ALL, &scope);

    (void)arg;
    if (r == 0)
        r = rn_go(scope, squares, &a, NULL, 0); /* may lie on our stack: the scope ends first */
    if (r == 0)
        r = rn_go(scope, squares, &b, NULL, 0);
    if (r == 0)
        r = rn_scope_wait(scope); /* the first error of a task, or 0 */
    rn_scope_closep(&scope);      /* nothing of it runs any more after this */
    printf("hello, %d\n", a + b);
    return r;
}

int main(void)
{
    return rn_run(NULL, app, NULL) < 0;
}
