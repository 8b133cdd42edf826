#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>

#include <harness/task_test.h>

#include <runnel/runnel.h>

TASK_TEST(numbers_and_names_become_addresses_while_other_tasks_run)
{
    struct rn_class *dns;
    struct rn_addr a[4];

    test_heap_allow(64 << 10); /* the resolver's own tables */
    OK(rn_class_open("dns", 2, &dns));
    EQ(rn_resolve(dns, "127.0.0.1", "8080", a, 4, RN_FOREVER), 1);
    const struct sockaddr_in *in = (const void *)&a[0].addr;
    EQ(a[0].len, sizeof(*in));
    EQ(in->sin_family, AF_INET);
    EQ(in->sin_port, htons(8080));
    EQ(in->sin_addr.s_addr, htonl(INADDR_LOOPBACK));

    EQ(rn_resolve(dns, "::1", NULL, a, 4, RN_FOREVER), 1);
    EQ(a[0].addr.ss_family, AF_INET6);
    GE(rn_resolve(dns, "localhost", "1", a, 4, RN_FOREVER), 1);
    EQ(rn_resolve(dns, "localhost", "1", a, 1, RN_FOREVER), 1);

    ERR(rn_resolve(dns, "not a name", "1", a, 4, RN_FOREVER), ENOENT);
    ERR(rn_resolve(dns, "127.0.0.1", "no-such-service", a, 4, RN_FOREVER), ENOENT);
    ERR(rn_resolve(dns, "127.0.0.1", "1", a, 0, RN_FOREVER), EINVAL);
    rn_class_close(dns);
}

struct hold {
    struct rn_class *class;
    struct rn_lock lock;
    _Atomic bool running;
};

static int holds(void *arg)
{
    struct hold *h = arg;

    h->running = true;
    rn_lock_acquire(&h->lock);
    rn_lock_release(&h->lock);
    return 0;
}

static int keeps_busy(void *arg)
{
    struct hold *h = arg;

    return rn_blocking(h->class, holds, h);
}

TASK_TEST(a_lookup_that_gets_no_thread_in_time_is_taken_back)
{
    struct hold h = {0};
    struct rn_addr a[1];
    struct rn_scope s;

    OK(rn_class_open("dns", 1, &h.class));
    OK(rn_scope_open(0, &s));
    rn_lock_acquire(&h.lock);
    OK(rn_go(s, keeps_busy, &h, NULL, 0)); /* no thread is left for the lookup */
    TASK_UNTIL(h.running);
    ERR(rn_resolve(h.class, "127.0.0.1", "1", a, 1, rn_after(RN_MS)), ETIMEDOUT);
    rn_lock_release(&h.lock);
    OK(rn_scope_close(s));
    rn_class_close(h.class);
}
