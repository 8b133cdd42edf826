/* DNS as a blocking job that owns its argument: a caller that gives up leaves it to the pool. */
#include <runnel/resolve.h>

#include <errno.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>

#include <base/cleanup.h>

struct lookup {
    char *host, *service;
    struct addrinfo *list;
    int error; /* EAI_... */
};

static void lookup_free(void *arg)
{
    struct lookup *l = arg;

    if (l->list)
        freeaddrinfo(l->list);
    free(l->host);
    free(l->service);
    free(l);
}

static void lookup_freep(struct lookup **l)
{
    if (*l)
        lookup_free(*l);
}

static int lookup_run(void *arg)
{
    const struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    struct lookup *l = arg;

    l->error = getaddrinfo(l->host, l->service, &hints, &l->list);
    return 0;
}

static int error_of(int eai)
{
    switch (eai) {
    case 0:
        return 0;
    case EAI_NONAME:
    case EAI_NODATA:
    case EAI_SERVICE:
        return -ENOENT;
    case EAI_AGAIN:
        return -EAGAIN;
    case EAI_MEMORY:
        return -ENOMEM;
    default:
        return -EIO;
    }
}

static int addrs_copy(const struct addrinfo *list, struct rn_addr ret_addrs[], size_t max)
{
    size_t n = 0;

    for (; list && n < max; list = list->ai_next) {
        if (list->ai_addrlen > sizeof(ret_addrs[n].addr))
            continue;
        ret_addrs[n] = (struct rn_addr){.len = list->ai_addrlen};
        memcpy(&ret_addrs[n].addr, list->ai_addr, list->ai_addrlen);
        n++;
    }
    return n > 0 ? (int)n : -ENOENT;
}

int rn_resolve_at(const struct rn_site *site, struct rn_class *dns, const char *host,
                  const char *service, struct rn_addr ret_addrs[], size_t max, rn_time deadline)
{
    CLEANUP(lookup_freep) struct lookup *l = NULL;
    struct lookup *given;
    int r;

    if (max == 0 || max > INT32_MAX)
        return -EINVAL;
    l = calloc(1, sizeof(*l));
    if (!l)
        return -ENOMEM;
    l->host = strdup(host);
    l->service = service ? strdup(service) : NULL;
    if (!l->host || (service && !l->service))
        return -ENOMEM;
    given = TAKE(l);
    r = rn_blocking_owned_at(site, dns, lookup_run, given, lookup_free, deadline);
    if (r < 0)
        return r;
    l = given;
    r = error_of(l->error);
    return r < 0 ? r : addrs_copy(l->list, ret_addrs, max);
}
