/* Attributes: every kind of value as text, lists with their maxima. */
#include <model/attrs.h>

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include <base/cleanup.h>
#include <harness/test.h>

static Opamp__Proto__AnyValue value_of(int value_case)
{
    Opamp__Proto__AnyValue v = OPAMP__PROTO__ANY_VALUE__INIT;

    v.value_case = (Opamp__Proto__AnyValue__ValueCase)value_case;
    return v;
}

#define VALUE(name, CASE, field, ...)                                                              \
    Opamp__Proto__AnyValue name = value_of(OPAMP__PROTO__ANY_VALUE__VALUE_##CASE##_VALUE);         \
    name.field##_value = __VA_ARGS__

/* One attribute `k` with this value: its text and kind. */
static void expect(Opamp__Proto__AnyValue *v, enum ft_attr_kind kind, const char *text)
{
    CLEANUP(ft_attrs_freep) struct ft_attrs *a = NULL;
    Opamp__Proto__KeyValue                   kv = OPAMP__PROTO__KEY_VALUE__INIT, *kvs[] = {&kv};
    const struct ft_attr                    *got;

    kv.key = (char *)"k";
    kv.value = v;
    OK(ft_attrs_from_opamp(kvs, 1, &a));
    got = ft_attrs_get(a, rn_slice_str("k"));
    TRUE(got);
    STREQ((const char *)got->text.data, text);
    EQ(got->text.len, strlen(text));
    EQ(got->kind, kind);
}

TEST(scalars_are_text_and_keep_their_kind)
{
    VALUE(s, STRING, string, (char *)"a \"b\"");
    VALUE(t, BOOL, bool, 1);
    VALUE(f, BOOL, bool, 0);
    VALUE(i, INT, int, INT64_MIN);
    VALUE(b, BYTES, bytes, (ProtobufCBinaryData){.data = (uint8_t *)"\0\xff\x10\x83", .len = 4});

    expect(&s, FT_ATTR_STRING, "a \"b\"");
    expect(&t, FT_ATTR_BOOL, "true");
    expect(&f, FT_ATTR_BOOL, "false");
    expect(&i, FT_ATTR_INT, "-9223372036854775808");
    expect(&b, FT_ATTR_STRING, "AP8Qgw==");
    expect(NULL, FT_ATTR_NULL, "");
}

TEST(doubles_have_their_shortest_form)
{
    static const struct {
        double      d;
        const char *text;
    } cases[] = {
        {0.1, "0.1"}, {1, "1"}, {1.0 / 3, "0.3333333333333333"}, {1e300, "1e+300"}, {-0.5, "-0.5"}};

    for (size_t n = 0; n < sizeof(cases) / sizeof(cases[0]); n++) {
        VALUE(v, DOUBLE, double, cases[n].d);
        expect(&v, FT_ATTR_DOUBLE, cases[n].text);
    }
    VALUE(nan, DOUBLE, double, NAN);
    VALUE(inf, DOUBLE, double, -INFINITY);
    expect(&nan, FT_ATTR_STRING, "NaN");
    expect(&inf, FT_ATTR_STRING, "-Infinity");
}

TEST(arrays_and_maps_are_json)
{
    VALUE(s, STRING, string, (char *)"a\"\\\n\xe2\x82\xac");
    VALUE(i, INT, int, -5);
    VALUE(d, DOUBLE, double, INFINITY);
    VALUE(b, BYTES, bytes, (ProtobufCBinaryData){.data = (uint8_t *)"x", .len = 1});
    Opamp__Proto__AnyValue     none = OPAMP__PROTO__ANY_VALUE__INIT;
    Opamp__Proto__AnyValue    *values[] = {&s, &i, &d, &b, &none};
    Opamp__Proto__ArrayValue   array = OPAMP__PROTO__ARRAY_VALUE__INIT;
    Opamp__Proto__KeyValueList list = OPAMP__PROTO__KEY_VALUE_LIST__INIT;
    Opamp__Proto__KeyValue     x = OPAMP__PROTO__KEY_VALUE__INIT, y = x, *kvs[] = {&x, &y};

    array.n_values = 5;
    array.values = values;
    VALUE(a, ARRAY, array, &array);
    expect(&a, FT_ATTR_JSON, "[\"a\\\"\\\\\\u000a\xe2\x82\xac\",-5,\"Infinity\",\"eA==\",null]");
    x.key = (char *)"x";
    x.value = &a;
    y.key = (char *)"q\"";
    array.n_values = 1;
    list.n_values = 2;
    list.values = kvs;
    VALUE(m, KVLIST, kvlist, &list);
    expect(&m, FT_ATTR_JSON, "{\"x\":[\"a\\\"\\\\\\u000a\xe2\x82\xac\"],\"q\\\"\":null}");
}

static struct ft_attr attr(const char *key, const char *text)
{
    return (struct ft_attr){.key = rn_slice_str(key), .text = rn_slice_str(text)};
}

TEST(a_list_is_sorted_and_keeps_the_last_of_a_key)
{
    CLEANUP(ft_attrs_freep) struct ft_attrs *a = NULL, *b = NULL;
    struct ft_attr  in[] = {attr("z", "1"), attr("a", "first"), attr("fettle.label.env", "prod"),
                            attr("a", "last")};
    struct ft_attr  same[] = {attr("fettle.label.env", "prod"), attr("a", "last"), attr("z", "1")};
    struct rn_slice label;

    OK(ft_attrs_new(in, 4, &a));
    EQ(a->count, 3);
    TRUE(rn_slice_eq_str(a->items[0].text, "last"));
    TRUE(rn_slice_eq_str(a->items[2].key, "z"));
    TRUE(!ft_attrs_get(a, rn_slice_str("b")));
    EQ(ft_attrs_get_label(a, rn_slice_str("env")), &a->items[1]);
    TRUE(!ft_attrs_get_label(a, rn_slice_str("en")));
    TRUE(!ft_attrs_get_label(a, rn_slice_str("")));
    TRUE(ft_attr_is_label(&a->items[1], &label));
    TRUE(rn_slice_eq_str(label, "env"));
    FALSE(ft_attr_is_label(&a->items[0], &label));

    OK(ft_attrs_new(same, 3, &b));
    TRUE(ft_attrs_eq(a, b));
    EQ(a->bytes, b->bytes);
    FALSE(ft_attrs_eq(a, NULL));
    TRUE(ft_attrs_eq(NULL, NULL));
    TRUE(!ft_attrs_get(NULL, rn_slice_str("a")));
}

TEST(a_list_has_maxima)
{
    CLEANUP(freep) struct ft_attr           *many = calloc(FT_ATTRS_MAX + 1, sizeof(*many));
    CLEANUP(freep) char                     *text = calloc(1, FT_ATTRS_BYTES_MAX + 1);
    CLEANUP(ft_attrs_freep) struct ft_attrs *a = NULL;
    Opamp__Proto__KeyValue                   kv = OPAMP__PROTO__KEY_VALUE__INIT, *kvs[] = {&kv};
    struct ft_attr                           big;

    ERR(ft_attrs_new(many, FT_ATTRS_MAX + 1, &a), E2BIG);
    memset(text, 'x', FT_ATTRS_BYTES_MAX);
    big = attr("k", text);
    ERR(ft_attrs_new(&big, 1, &a), E2BIG);
    big.text.len -= 3;
    OK(ft_attrs_new(&big, 1, &a));

    VALUE(v, BYTES, bytes,
          (ProtobufCBinaryData){.data = (uint8_t *)text, .len = FT_ATTRS_BYTES_MAX});
    kv.value = &v;
    a = ft_attrs_free(a);
    ERR(ft_attrs_from_opamp(kvs, 1, &a), E2BIG); /* base64 makes it longer still */
    OK(ft_attrs_from_opamp(NULL, 0, &a));
    EQ(a->count, 0);
}
