#include <base/list.h>

#include <harness/test.h>

struct item {
    int         value;
    struct list link;
};

/* The values in order, as a number in base 10. */
static int digits(struct list *head)
{
    struct item *it;
    int n = 0;

    LIST_EACH (it, head, link)
        n = n * 10 + it->value;
    return n;
}

TEST(a_fresh_list_is_empty)
{
    struct list head = LIST_INIT(head);
    struct list zero = {0};

    TRUE(list_empty(&head));
    TRUE(list_empty(&zero));
    EQ(list_count(&head), 0);
    EQ(list_count(&zero), 0);
    TRUE(LIST_FIRST(&head, struct item, link) == NULL);
    TRUE(LIST_TAKE_FIRST(&head, struct item, link) == NULL);
}

TEST(nodes_keep_the_order_of_their_adding)
{
    struct list head = LIST_INIT(head);
    struct item a = {.value = 1}, b = {.value = 2}, c = {.value = 3}, d = {.value = 4};

    list_add_tail(&head, &b.link);
    list_add_tail(&head, &d.link);
    list_add_head(&head, &a.link);
    list_add_before(&d.link, &c.link);
    EQ(digits(&head), 1234);
    EQ(LIST_FIRST(&head, struct item, link)->value, 1);
    EQ(LIST_LAST(&head, struct item, link)->value, 4);
    EQ(list_count(&head), 4);
}

TEST(a_removed_node_may_be_removed_again)
{
    struct list head = LIST_INIT(head);
    struct item a = {.value = 1}, b = {.value = 2}, never = {.value = 3};

    list_add_tail(&head, &a.link);
    list_add_tail(&head, &b.link);
    list_remove(&a.link);
    list_remove(&a.link);
    list_remove(&never.link);
    FALSE(list_linked(&a.link));
    FALSE(list_linked(&never.link));
    TRUE(list_linked(&b.link));
    EQ(digits(&head), 2);
}

TEST(a_walk_may_remove_what_it_stands_on)
{
    struct list head = LIST_INIT(head);
    struct item items[5] = {0}, *it, *tmp;

    for (int i = 0; i < 5; i++) {
        items[i].value = i + 1;
        list_add_tail(&head, &items[i].link);
    }
    LIST_EACH_SAFE (it, tmp, &head, link)
        if (it->value % 2)
            list_remove(&it->link);
    EQ(digits(&head), 24);
}

TEST(a_splice_moves_everything)
{
    struct list one = LIST_INIT(one), two = LIST_INIT(two);
    struct item a = {.value = 1}, b = {.value = 2}, c = {.value = 3};

    list_add_tail(&one, &a.link);
    list_add_tail(&two, &b.link);
    list_add_tail(&two, &c.link);
    list_splice_tail(&one, &two);
    list_splice_tail(&one, &two);
    EQ(digits(&one), 123);
    TRUE(list_empty(&two));
    EQ(LIST_TAKE_FIRST(&one, struct item, link)->value, 1);
    EQ(digits(&one), 23);
}
