#include "metrics/testing.h"

#include "metrics/latest.h"

static struct ft_batch *named(uint64_t first, const char *const names[], size_t n, unsigned boot)
{
    const struct ft_uuid agent = fake_uuid(1), b = fake_uuid(boot);
    struct ft_sample s[16];
    struct ft_batch *batch;

    for (size_t i = 0; i < n; i++) {
        s[i] = fake_sample(first + i);
        s[i].process_name = rn_slice_str(names[i]);
    }
    OK(ft_batch_new_from(&agent, &b, s, n, &batch));
    return batch;
}

static void update(struct ft_latest *l, struct ft_batch *b)
{
    ft_latest_update(l, b);
    (void)ft_batch_unref(b);
}

static struct ft_latest_list list_of(struct ft_latest *l)
{
    const struct ft_uuid agent = fake_uuid(1);
    struct ft_latest_list list;

    OK(ft_latest_snapshot(l, &agent, &list));
    return list;
}

TEST(the_newest_sample_of_each_process_is_kept_in_the_order_of_names)
{
    struct ft_latest *l;
    struct ft_latest_list list;

    OK(ft_latest_new(&l));
    update(l, named(1, (const char *const[]){"web", "db", "web"}, 3, 1));
    update(l, named(4, (const char *const[]){"db", "cache"}, 2, 1));
    update(l, named(2, (const char *const[]){"web"}, 1, 1)); /* an old one again */
    list = list_of(l);
    EQ(list.n, 3);
    TRUE(rn_slice_eq_str(list.items[0].sample.process_name, "cache"));
    EQ(list.items[0].sample.seq, 5);
    TRUE(rn_slice_eq_str(list.items[1].sample.process_name, "db"));
    EQ(list.items[1].sample.seq, 4);
    TRUE(rn_slice_eq_str(list.items[2].sample.process_name, "web"));
    EQ(list.items[2].sample.seq, 3);
    (void)ft_latest_free(l);
    STREQ(list.items[2].agent_id, list.items[0].agent_id); /* a snapshot outlives its source */
    ft_latest_list_fini(&list);
}

TEST(an_agent_that_never_sent_has_an_empty_list)
{
    struct ft_latest *l;
    struct ft_latest_list list;

    OK(ft_latest_new(&l));
    list = list_of(l);
    EQ(list.n, 0);
    ft_latest_list_fini(&list);
    (void)ft_latest_free(l);
}

TEST(a_new_boot_forgets_the_processes_of_the_old_one)
{
    struct ft_latest *l;
    struct ft_latest_list list;

    OK(ft_latest_new(&l));
    update(l, named(100, (const char *const[]){"web", "db"}, 2, 1));
    update(l, named(1, (const char *const[]){"web"}, 1, 2));
    list = list_of(l);
    EQ(list.n, 1);
    EQ(list.items[0].sample.seq, 1);
    ft_latest_list_fini(&list);
    (void)ft_latest_free(l);
}

TEST(processes_of_one_agent_are_bounded_and_the_one_unheard_of_for_longest_goes)
{
    struct ft_latest *l;
    struct ft_latest_list list;
    char name[32];
    const char *names[1] = {name};

    OK(ft_latest_new(&l));
    for (unsigned i = 1; i <= FT_LATEST_PROCESSES_MAX + 10; i++) {
        (void)snprintf(name, sizeof(name), "p%04u", i);
        update(l, named(i, names, 1, 1));
    }
    list = list_of(l);
    EQ(list.n, FT_LATEST_PROCESSES_MAX);
    EQ(list.items[0].sample.seq, 11);
    ft_latest_list_fini(&list);
    (void)ft_latest_free(l);
}

TEST(one_sample_of_a_big_batch_does_not_keep_all_of_it)
{
    struct ft_latest *l;
    struct ft_latest_list list;

    OK(ft_latest_new(&l));
    update(l, fake_batch(1, 1, 4000));
    list = list_of(l);
    EQ(list.n, 1);
    EQ(list.items[0].sample.seq, 4000);
    EQ(list.items[0].batch->count, 1);
    ft_latest_list_fini(&list);
    (void)ft_latest_free(l);
}
