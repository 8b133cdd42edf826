/* Objects: names, types, lists. */
#include <model/object.h>

#include <errno.h>
#include <stdlib.h>

#include <base/cleanup.h>
#include <harness/test.h>

static struct ft_object object(const char *name, const char *body)
{
    return (struct ft_object){.name = rn_slice_str(name),
                              .body = rn_slice_str(body),
                              .content_type = rn_slice_str("text/plain")};
}

TEST(names_that_become_files_are_judged)
{
    static const char *const good[] = {"config.yaml", "a",   "...", ".hidden",
                                       "h\xc3\xa9",   "a b", "-x",  "\\"};
    static const char *const bad[] = {"",     ".",    "..",   "a/b",  "/",
                                      "a\nb", "\x7f", "\x01", "\xff", "a\xc3"};
    char                     longest[256];
    const char              *why;

    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
        OK(ft_object_name_check(rn_slice_str(good[i]), NULL));
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        test_note("case %zu", i);
        why = NULL;
        ERR(ft_object_name_check(rn_slice_str(bad[i]), &why), EINVAL);
        TRUE(why);
    }
    ERR(ft_object_name_check(rn_slice("a\0b", 3), NULL), EINVAL);
    memset(longest, 'n', sizeof(longest));
    OK(ft_object_name_check(rn_slice(longest, 255), NULL));
    ERR(ft_object_name_check(rn_slice(longest, 256), &why), EINVAL);
    STREQ(why, "an object's name has at most 255 bytes");
}

TEST(a_content_type_is_trimmed_and_has_a_default)
{
    struct rn_slice t;
    char            longest[300];

    OK(ft_content_type_normalize(rn_slice_str(" text/yaml; charset=utf-8\t"), &t));
    TRUE(rn_slice_eq_str(t, "text/yaml; charset=utf-8"));
    OK(ft_content_type_normalize(rn_slice_str("  "), &t));
    TRUE(rn_slice_eq_str(t, "application/octet-stream"));
    OK(ft_content_type_normalize((struct rn_slice){0}, &t));
    TRUE(rn_slice_eq_str(t, "application/octet-stream"));
    ERR(ft_content_type_normalize(rn_slice_str("a\nb"), &t), EINVAL);
    ERR(ft_content_type_normalize(rn_slice_str("\xc3\xa9"), &t), EINVAL);
    memset(longest, 'x', sizeof(longest));
    ERR(ft_content_type_normalize(rn_slice(longest, 256), &t), EINVAL);
}

TEST(a_list_is_sorted_by_bytes_and_found_by_name)
{
    CLEANUP(ft_objects_fini) struct ft_objects list = {0};
    struct ft_object         in[] = {object("b", "2"), object("\xc3\xa9", "4"), object("a", "1"),
                                     object("ab", "x"), object("B", "0")};
    static const char *const order[] = {"B", "a", "ab", "b", "\xc3\xa9"};

    OK(ft_objects_from(in, 5, &list));
    EQ(list.count, 5);
    for (size_t i = 0; i < 5; i++) {
        TRUE(rn_slice_eq_str(list.items[i].name, order[i]));
        EQ(ft_objects_get(&list, rn_slice_str(order[i])), &list.items[i]);
    }
    TRUE(!ft_objects_get(&list, rn_slice_str("abc")));
    TRUE(!ft_objects_get(&list, rn_slice_str("")));
    TRUE(!ft_objects_get(&(struct ft_objects){0}, rn_slice_str("a")));
}

TEST(a_name_twice_is_refused_and_too_many_objects_too)
{
    CLEANUP(ft_objects_fini) struct ft_objects list = {0};
    CLEANUP(freep) struct ft_object           *many = calloc(FT_OBJECTS_MAX + 1, sizeof(*many));
    struct ft_object in[] = {object("a", "1"), object("b", "2"), object("a", "3")};

    ERR(ft_objects_from(in, 3, &list), EEXIST);
    ERR(ft_objects_from(many, FT_OBJECTS_MAX + 1, &list), E2BIG);
    OK(ft_objects_from(NULL, 0, &list));
    EQ(list.count, 0);
}

TEST(a_messages_map_keeps_the_last_of_a_name)
{
    CLEANUP(ft_objects_fini) struct ft_objects list = {0};
    Opamp__Proto__AgentConfigObject one = OPAMP__PROTO__AGENT_CONFIG_OBJECT__INIT, two = one;
    Opamp__Proto__AgentConfigMap__ConfigMapEntry
        a = OPAMP__PROTO__AGENT_CONFIG_MAP__CONFIG_MAP_ENTRY__INIT,
        b = a, c = a;
    Opamp__Proto__AgentConfigMap__ConfigMapEntry *entries[] = {&a, &b, &c};
    Opamp__Proto__AgentConfigMap                  map = OPAMP__PROTO__AGENT_CONFIG_MAP__INIT;

    one.body = (ProtobufCBinaryData){.data = (uint8_t *)"one", .len = 3};
    two.body = (ProtobufCBinaryData){.data = (uint8_t *)"two", .len = 3};
    two.content_type = (char *)"text/x";
    a.key = c.key = (char *)"n";
    a.value = &one;
    c.value = &two;
    map.n_config_map = 3;
    map.config_map = entries; /* b has the empty name and no value */
    OK(ft_objects_from_opamp(&map, &list));
    EQ(list.count, 2);
    EQ(list.items[0].name.len, 0);
    EQ(list.items[0].body.len, 0);
    TRUE(rn_slice_eq_str(list.items[1].body, "two"));
    TRUE(rn_slice_eq_str(list.items[1].content_type, "text/x"));
    ft_objects_fini(&list);
    OK(ft_objects_from_opamp(NULL, &list));
    EQ(list.count, 0);
}

TEST(the_template_flag_is_part_of_the_content)
{
    struct ft_object a = object("n", "b"), b = a;

    TRUE(ft_object_eq(&a, &b));
    b.is_template = true;
    FALSE(ft_object_eq(&a, &b));
    b = object("n", "c");
    FALSE(ft_object_eq(&a, &b));
}
