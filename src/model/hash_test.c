/* The hash of a configuration, against values that another implementation computed. */
#include <model/hash.h>

#include <errno.h>

#include <base/cleanup.h>
#include <harness/test.h>

static void expect(const struct ft_object *objects, size_t n, const char *want)
{
    CLEANUP(ft_objects_fini) struct ft_objects list = {0};
    char                                       hex[FT_HASH_HEX_SIZE];
    struct ft_hash                             h;

    test_heap_allow(512 * 1024); /* libcrypto keeps what it looked up */
    OK(ft_objects_from(objects, n, &list));
    OK(ft_hash_objects(&list, &h));
    ft_hash_format(&h, hex);
    STREQ(hex, want);
}

TEST(the_hash_is_the_contracts)
{
    struct ft_object two[] = {
        {.name = RN_SLICE_LITERAL("b.yaml"),
         .content_type = RN_SLICE_LITERAL("text/yaml"),
         .body = RN_SLICE_LITERAL("x: 1\n")},
        {.name = RN_SLICE_LITERAL("a"),
         .content_type = RN_SLICE_LITERAL("application/octet-stream"),
         .body = RN_SLICE_LITERAL("\0\xff")},
    };

    expect(two, 2, "aacb9ff243fd2ba78159ec18ac9d88497d0c99eef0fdb9c695ff632d36024d22");
    two[0].is_template = true; /* does not count */
    expect(two, 2, "aacb9ff243fd2ba78159ec18ac9d88497d0c99eef0fdb9c695ff632d36024d22");
    expect(NULL, 0, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

TEST(bytes_have_their_plain_digest)
{
    char           hex[FT_HASH_HEX_SIZE];
    struct ft_hash h, again;

    test_heap_allow(512 * 1024);
    OK(ft_hash_bytes(rn_slice_str("abc"), &h));
    ft_hash_format(&h, hex);
    STREQ(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    OK(ft_hash_parse(rn_slice_str(hex), &again));
    TRUE(ft_hash_eq(&h, &again));
    FALSE(ft_hash_is_zero(&h));
}

TEST(only_64_hex_digits_are_a_hash)
{
    char           text[66];
    struct ft_hash h;

    memset(text, 'A', sizeof(text));
    OK(ft_hash_parse(rn_slice(text, 64), &h));
    EQ(h.bytes[31], 0xaa);
    ERR(ft_hash_parse(rn_slice(text, 63), &h), EINVAL);
    ERR(ft_hash_parse(rn_slice(text, 65), &h), EINVAL);
    text[10] = 'g';
    ERR(ft_hash_parse(rn_slice(text, 64), &h), EINVAL);
    ERR(ft_hash_from_bytes(rn_slice(text, 31), &h), EINVAL);
    OK(ft_hash_from_bytes(rn_slice(text, 32), &h));
    TRUE(rn_slice_eq(ft_hash_slice(&h), rn_slice(text, 32)));
}
