#include "store/testing.h"

#include <openssl/evp.h>
#include <string.h>

#include <base/cleanup.h>

#include <model/rendered.h>
#include <proto/message.h>

#include "config/render.h"

static struct ft_object object(const char *name, const char *type, const char *body)
{
    return (struct ft_object){.name = S(name), .content_type = S(type), .body = S(body)};
}

static struct ft_group *group_with(const struct ft_object *o, size_t n,
                                   const struct ft_attr *variables, size_t n_variables)
{
    struct ft_group       *g = calloc(1, sizeof(*g));
    struct ft_objects      objects;
    struct ft_version_head head = {.number = 1};

    atomic_init(&g->refs, 1);
    OK(ft_objects_from(o, n, &objects));
    OK(ft_hash_objects(&objects, &head.hash));
    OK(ft_version_new(&head, &objects, &g->version));
    ft_objects_fini(&objects);
    OK(ft_attrs_new(variables, n_variables, &g->variables));
    return g;
}

static struct ft_subject subject_with(const struct ft_attr *attrs, size_t n)
{
    struct ft_subject s = {0};

    ALLOW_LIBRARIES();
    memset(s.uid.bytes, 0xab, sizeof(s.uid.bytes));
    OK(ft_attrs_new(attrs, n, &s.non_identifying));
    return s;
}

/* ---- The hash and the message ---- */

/* CONTRACT's formula, written a second time: u32 length + name, u32 length + type, u64 length +
 * body. */
static void formula(const struct ft_object *o, size_t n, uint8_t out[32])
{
    EVP_MD_CTX *c = EVP_MD_CTX_new();

    EVP_DigestInit_ex(c, EVP_sha256(), NULL);
    for (size_t i = 0; i < n; i++) {
        const struct rn_slice parts[] = {o[i].name, o[i].content_type, o[i].body};

        for (size_t k = 0; k < 3; k++) {
            uint8_t length[8];

            for (int b = 0; b < 8; b++)
                length[b] = (uint8_t)(parts[k].len >> (56 - 8 * b));
            EVP_DigestUpdate(c, k < 2 ? length + 4 : length, k < 2 ? 4 : 8);
            EVP_DigestUpdate(c, parts[k].data, parts[k].len);
        }
    }
    EVP_DigestFinal_ex(c, out, NULL);
    EVP_MD_CTX_free(c);
}

TEST(the_hash_is_the_contracts_and_the_message_carries_it)
{
    CLEANUP(ft_rendered_unrefp) struct ft_rendered *r = NULL;
    CLEANUP(ft_arena_fini) struct ft_arena          arena = {0};
    const struct ft_limits limits = {.message_max = 65536};
    const struct ft_object sorted[] = {object("a", "text/plain", "one"), object("b", "", ""),
                                       object("c.yaml", "text/yaml", "x: 1\n")};
    struct ft_objects      objects;
    uint8_t                expected[32];
    ProtobufCMessage      *m;

    ALLOW_LIBRARIES();
    OK(ft_objects_from((struct ft_object[]){sorted[2], sorted[0], sorted[1]}, 3, &objects));
    OK(ft_rendered_new(&objects, &r));
    EQ(r->wire.len, ft_rendered_wire_min(&objects));
    ft_objects_fini(&objects);
    formula(sorted, 3, expected);
    MEMEQ(r->hash.bytes, expected, 32);

    OK(ft_message_decode(r->wire, &opamp__proto__agent_remote_config__descriptor, &limits, &arena,
                         &m, NULL));
    const Opamp__Proto__AgentRemoteConfig *config = (const void *)m;
    EQ(config->config_hash.len, 32);
    MEMEQ(config->config_hash.data, expected, 32);
    OK(ft_objects_from_opamp(config->config, &objects));
    EQ(objects.count, 3);
    for (size_t i = 0; i < 3; i++) {
        TRUE(ft_object_eq(&objects.items[i], &sorted[i]));
        TRUE(ft_object_eq(&r->objects.items[i], &sorted[i]));
    }
    ft_objects_fini(&objects);
}

TEST(the_hash_of_a_known_configuration)
{
    const struct ft_object o = object("app.conf", "text/plain", "level = one\n");
    struct ft_objects      objects;
    struct ft_hash         hash;
    char                   hex[FT_HASH_HEX_SIZE];

    ALLOW_LIBRARIES();
    OK(ft_objects_from(&o, 1, &objects));
    OK(ft_hash_objects(&objects, &hash));
    ft_hash_format(&hash, hex);
    STREQ(hex, "4bbb160606d0992c35f6c49833b8d977e41044e50f056fbd5cd05fcd168dca1e");
    ft_objects_fini(&objects);
}

/* ---- Rendering ---- */

TEST(what_has_no_template_is_rendered_once)
{
    CLEANUP(ft_renderer_freep) struct ft_renderer *r = NULL;
    CLEANUP(ft_group_unrefp) struct ft_group      *g = NULL;
    const struct ft_object o = object("a", "text/plain", "{{ as it is }}");
    struct ft_subject      one = subject_with(NULL, 0), two = subject_with(NULL, 0);
    struct ft_rendered    *x, *y;
    struct ft_syntax_error e;

    OK(ft_renderer_new(65536, &r));
    g = group_with(&o, 1, NULL, 0);
    OK(ft_render(r, g, &one, &x, &e));
    OK(ft_render(r, g, &two, &y, &e));
    TRUE(x == y);
    TRUE(ft_hash_eq(&x->hash, &g->version->head.hash));
    TRUE(rn_slice_eq_str(x->objects.items[0].body, "{{ as it is }}"));
    ft_rendered_unref(x);
    EQ(ft_renderer_prune(r), 1);
    ft_rendered_unref(y);
    EQ(ft_renderer_prune(r), 0);
    ft_subject_fini(&one);
    ft_subject_fini(&two);
}

TEST(templates_take_their_values_from_group_and_agent)
{
    CLEANUP(ft_renderer_freep) struct ft_renderer   *r = NULL;
    CLEANUP(ft_group_unrefp) struct ft_group        *g = NULL;
    CLEANUP(ft_rendered_unrefp) struct ft_rendered  *x = NULL;
    const struct ft_attr attrs[] = {{S("host.name"), S("web-1"), FT_ATTR_STRING},
                                    {S("fettle.label.env"), S("prod"), FT_ATTR_STRING}};
    const struct ft_attr variables[] = {{S("level"), S("{{ verbatim }}"), FT_ATTR_STRING}};
    struct ft_object o[] = {object("a", "", "{{ var.level }}|{{ label.env }}|{{attr.host.name}}"),
                            object("b", "", "{{ var.level }}"),
                            object("c", "", "{{ agent.instance_uid }}{{ \"{{\" }}")};
    struct ft_subject      s = subject_with(attrs, 2);
    struct ft_syntax_error e;

    o[0].is_template = o[2].is_template = true;
    OK(ft_renderer_new(65536, &r));
    g = group_with(o, 3, variables, 1);
    OK(ft_render(r, g, &s, &x, &e));
    TRUE(rn_slice_eq_str(x->objects.items[0].body, "{{ verbatim }}|prod|web-1"));
    TRUE(rn_slice_eq_str(x->objects.items[1].body, "{{ var.level }}"));
    TRUE(rn_slice_eq_str(x->objects.items[2].body, "abababab-abab-abab-abab-abababababab{{"));
    ft_subject_fini(&s);
}

TEST(equal_results_of_different_agents_are_one)
{
    CLEANUP(ft_renderer_freep) struct ft_renderer *r = NULL;
    CLEANUP(ft_group_unrefp) struct ft_group      *g = NULL;
    struct ft_object       o = object("a", "", "{{ label.env }}");
    struct ft_subject      s[3] = {
        subject_with(&(struct ft_attr){S("fettle.label.env"), S("prod"), FT_ATTR_STRING}, 1),
        subject_with(&(struct ft_attr){S("fettle.label.env"), S("prod"), FT_ATTR_STRING}, 1),
        subject_with(&(struct ft_attr){S("fettle.label.env"), S("dev"), FT_ATTR_STRING}, 1),
    };
    struct ft_rendered    *x[3];
    struct ft_syntax_error e;

    o.is_template = true;
    OK(ft_renderer_new(65536, &r));
    g = group_with(&o, 1, NULL, 0);
    for (int i = 0; i < 3; i++)
        OK(ft_render(r, g, &s[i], &x[i], &e));
    TRUE(x[0] == x[1]);
    TRUE(x[0] != x[2]);
    EQ(ft_renderer_prune(r), 2);
    for (int i = 0; i < 3; i++) {
        ft_rendered_unref(x[i]);
        ft_subject_fini(&s[i]);
    }
}

TEST(a_missing_value_is_told_with_object_and_line)
{
    CLEANUP(ft_renderer_freep) struct ft_renderer *r = NULL;
    CLEANUP(ft_group_unrefp) struct ft_group      *g = NULL;
    struct ft_object       o = object("app.conf", "", "one\ntwo {{ var.nowhere }}\n");
    struct ft_subject      s = subject_with(NULL, 0);
    struct ft_rendered    *x;
    struct ft_syntax_error e;

    o.is_template = true;
    OK(ft_renderer_new(65536, &r));
    g = group_with(&o, 1, NULL, 0);
    ERR(ft_render(r, g, &s, &x, &e), ENOENT);
    EQ(strncmp(e.text, "app.conf:2: ", 12), 0);
    TRUE(strstr(e.text, "nowhere") != NULL);
    ft_subject_fini(&s);
}

TEST(a_rendered_configuration_over_the_maximum_is_refused)
{
    CLEANUP(ft_renderer_freep) struct ft_renderer *r = NULL;
    CLEANUP(ft_group_unrefp) struct ft_group      *g = NULL, *plain = NULL;
    static char            large[5001];
    struct ft_object       o[] = {object("small", "", "x"), object("large", "", "{{ var.text }}")};
    struct ft_subject      s = subject_with(NULL, 0);
    struct ft_rendered    *x;
    struct ft_syntax_error e;

    memset(large, 'x', 5000);
    o[1].is_template = true;
    OK(ft_renderer_new(4096, &r));
    g = group_with(o, 2, &(struct ft_attr){S("text"), S(large), FT_ATTR_STRING}, 1);
    ERR(ft_render(r, g, &s, &x, &e), E2BIG);
    EQ(strncmp(e.text, "large:1: ", 9), 0);
    o[1] = object("large", "", large);
    plain = group_with(o, 2, NULL, 0);
    ERR(ft_render(r, plain, &s, &x, &e), E2BIG);
    EQ(strncmp(e.text, "large:1: ", 9), 0);
    ft_subject_fini(&s);
}

TEST(a_label_goes_before_an_attribute_and_identifying_before_other)
{
    struct ft_subject s =
        subject_with((struct ft_attr[]){{S("fettle.label.env"), S("label"), FT_ATTR_STRING},
                                        {S("env"), S("attribute"), FT_ATTR_STRING},
                                        {S("os"), S("other"), FT_ATTR_STRING}},
                     3);
    struct rn_slice   value;

    OK(ft_attrs_new(&(struct ft_attr){S("os"), S("identifying"), FT_ATTR_STRING}, 1,
                    &s.identifying));
    TRUE(ft_subject_lookup(&s, S("env"), &value));
    TRUE(rn_slice_eq_str(value, "label"));
    TRUE(ft_subject_lookup(&s, S("os"), &value));
    TRUE(rn_slice_eq_str(value, "identifying"));
    FALSE(ft_subject_lookup(&s, S("none"), &value));
    ft_subject_fini(&s);
}
