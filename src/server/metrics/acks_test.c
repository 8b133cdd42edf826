#include "metrics/testing.h"

#include "metrics/acks.h"

struct told {
    struct ft_uuid boot;
    uint64_t seq;
    unsigned times;
};

static void tell(void *arg, const struct ft_uuid *agent, const struct ft_uuid *boot, uint64_t seq)
{
    struct told *t = arg;

    (void)agent;
    if (t->times && ft_uuid_eq(&t->boot, boot))
        GE(seq, t->seq);
    t->boot = *boot;
    t->seq = seq;
    t->times++;
}

static struct ft_batch *offered(struct ft_acks *a, uint64_t first, uint32_t count)
{
    struct ft_batch *b = fake_batch(1, first, count);

    OK(ft_acks_offered(a, b));
    return b;
}

static void decided(struct ft_acks *a, struct ft_batch *b)
{
    ft_acks_decided(a, b);
    (void)ft_batch_unref(b);
}

TEST(an_ack_is_what_lies_below_the_first_that_is_outstanding)
{
    struct told told = {0};
    struct ft_acks *a;
    struct ft_batch *b[4];

    OK(ft_acks_new(tell, &told, &a));
    for (unsigned i = 0; i < 4; i++)
        b[i] = offered(a, 1 + 10 * i, 10);
    decided(a, b[1]);
    EQ(told.times, 0);
    decided(a, b[3]);
    EQ(told.times, 0);
    decided(a, b[0]);
    EQ(told.seq, 20);
    decided(a, b[2]);
    EQ(told.seq, 40);
    (void)ft_acks_free(a);
}

TEST(numbers_that_never_came_do_not_hold_an_ack)
{
    struct told told = {0};
    struct ft_acks *a;

    OK(ft_acks_new(tell, &told, &a));
    decided(a, offered(a, 5, 2));
    EQ(told.seq, 6);
    decided(a, offered(a, 100, 1));
    EQ(told.seq, 100);
    (void)ft_acks_free(a);
}

TEST(a_resent_batch_is_acked_once_more_and_takes_nothing_back)
{
    struct told told = {0};
    struct ft_acks *a;
    struct ft_batch *again, *next;

    OK(ft_acks_new(tell, &told, &a));
    decided(a, offered(a, 1, 10));
    EQ(told.seq, 10);
    again = offered(a, 4, 3);
    next = offered(a, 11, 5);
    decided(a, next);
    EQ(told.seq, 10); /* the resent one is before it */
    EQ(told.times, 2);
    decided(a, again);
    EQ(told.seq, 15);
    EQ(told.times, 3);
    decided(a, offered(a, 1, 2));
    EQ(told.seq, 15);
    EQ(told.times, 4);
    (void)ft_acks_free(a);
}

TEST(a_batch_that_is_on_its_way_twice_is_acked_when_both_are_decided)
{
    struct told told = {0};
    struct ft_acks *a;
    struct ft_batch *first, *again;

    OK(ft_acks_new(tell, &told, &a));
    first = offered(a, 1, 5);
    again = offered(a, 1, 5); /* after a reconnect */
    decided(a, again);
    EQ(told.times, 0);
    decided(a, first);
    EQ(told.seq, 5);
    (void)ft_acks_free(a);
}

TEST(a_new_boot_begins_anew_and_the_old_one_is_told_to_nobody)
{
    const struct ft_uuid agent = fake_uuid(1), boot = fake_uuid(2);
    struct ft_sample s = fake_sample(1);
    struct told told = {0};
    struct ft_acks *a;
    struct ft_batch *old, *new;

    OK(ft_acks_new(tell, &told, &a));
    old = offered(a, 50, 1);
    OK(ft_batch_new_from(&agent, &boot, &s, 1, &new));
    OK(ft_acks_offered(a, new));
    decided(a, old);
    EQ(told.times, 0);
    decided(a, new);
    EQ(told.seq, 1);
    TRUE(ft_uuid_eq(&told.boot, &boot));
    (void)ft_acks_free(a);
}

TEST(acks_of_many_agents_do_not_mix)
{
    enum { AGENTS = 5000 };
    static struct ft_batch *b[AGENTS];
    struct told told = {0};
    struct ft_acks *a;

    OK(ft_acks_new(tell, &told, &a));
    for (unsigned i = 0; i < AGENTS; i++) {
        b[i] = fake_batch(i, i + 1, 1);
        OK(ft_acks_offered(a, b[i]));
    }
    for (unsigned i = 0; i < AGENTS; i++) {
        told = (struct told){0};
        decided(a, b[i]);
        EQ(told.times, 1);
        EQ(told.seq, i + 1);
    }
    (void)ft_acks_free(a);
}
