/* Task-locals: a short list on each task that has some. Tasks have few, so it is searched. */
#include <runnel/local.h>

#include <errno.h>
#include <stdlib.h>

#include "core.h"

struct rn__local {
    struct rn__local *next;
    const struct rn_local *key;
    void *value;
};

static struct rn__local **find(const struct rn_local *key)
{
    struct rn__task *t = rn__task_self();
    struct rn__local **at = t ? &t->locals : NULL;

    while (at && *at && (*at)->key != key)
        at = &(*at)->next;
    return at;
}

void *rn_local_get(const struct rn_local *key)
{
    struct rn__local **at = find(key);

    return at && *at ? (*at)->value : NULL;
}

void *rn_local_take(const struct rn_local *key)
{
    struct rn__local **at = find(key);
    struct rn__local *l = at ? *at : NULL;
    void *value;

    if (!l)
        return NULL;
    value = l->value;
    *at = l->next;
    free(l);
    return value;
}

static void destroy(const struct rn_local *key, void *value)
{
    if (value && key->destroy)
        key->destroy(value);
}

/* The old one is out of the list before it is destroyed: its destructor may look, and set. */
int rn_local_set(const struct rn_local *key, void *value)
{
    struct rn__task *t = rn__task_self();
    struct rn__local *l = NULL;
    void *old;

    if (!t)
        return -EPERM;
    if (value && rn_local_get(key) == value)
        return 0;
    if (value) {
        l = malloc(sizeof(*l));
        if (!l)
            return -ENOMEM;
    }
    old = rn_local_take(key);
    if (l) {
        *l = (struct rn__local){t->locals, key, value};
        t->locals = l;
    }
    destroy(key, old);
    return 0;
}

void rn__locals_end(struct rn__task *t)
{
    while (t->locals) {
        const struct rn_local *key = t->locals->key;

        destroy(key, rn_local_take(key));
    }
}
