/* Templates: what is put in, and what is refused where. */
#include <model/template.h>

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <base/cleanup.h>
#include <harness/test.h>

static bool lookup(void *arg, enum ft_template_kind kind, struct rn_slice name,
                   struct rn_slice *ret_value)
{
    (void)arg;
    if (kind == FT_TEMPLATE_UID) {
        EQ(name.len, 0);
        *ret_value = rn_slice_str("UID");
        return true;
    }
    if (kind == FT_TEMPLATE_VAR && rn_slice_eq_str(name, "rate"))
        *ret_value = rn_slice_str("5");
    else if (kind == FT_TEMPLATE_LABEL && rn_slice_eq_str(name, "env"))
        *ret_value = rn_slice_str("{{ var.rate }}"); /* verbatim: not looked at again */
    else if (kind == FT_TEMPLATE_ATTR && rn_slice_eq_str(name, "host.name"))
        *ret_value = rn_slice_str("web-1");
    else if (kind == FT_TEMPLATE_VAR && rn_slice_eq_str(name, "empty"))
        *ret_value = rn_slice_str("");
    else
        return false;
    return true;
}

static void render(const char *in, const char *want)
{
    CLEANUP(ft_buf_fini) struct ft_buf out = FT_BUF_INIT(4096);
    struct ft_syntax_error             e = {0};

    test_note("template %s: %s", in, e.text);
    OK(ft_template_check(rn_slice_str(in), &e));
    OK(ft_template_render(rn_slice_str("o"), rn_slice_str(in), lookup, NULL, &out, &e));
    TRUE(rn_slice_eq_str(ft_buf_slice(&out), want));
}

TEST(values_are_put_in_verbatim)
{
    render("", "");
    render("plain } text }} { with braces\n", "plain } text }} { with braces\n");
    render("rate: {{ var.rate }}\n", "rate: 5\n");
    render("{{var.rate}}{{\tvar.empty\t}}{{ attr.host.name }}", "5web-1");
    render("{{ label.env }}", "{{ var.rate }}");
    render("{{ agent.instance_uid }}", "UID");
    render("a {{ \"{{\" }} b {{\"{{\"}}", "a {{ b {{");
}

static void refuse(const char *in, unsigned line, unsigned column, const char *says)
{
    CLEANUP(ft_buf_fini) struct ft_buf out = FT_BUF_INIT(4096);
    struct ft_syntax_error             e;

    test_note("template %s", in);
    ERR(ft_template_check(rn_slice_str(in), &e), EINVAL);
    EQ(e.line, line);
    EQ(e.column, column);
    if (!strstr(e.text, says))
        FAIL("%s: does not say %s", e.text, says);
    OK(ft_buf_add_str(&out, "before"));
    ERR(ft_template_render(rn_slice_str("o.yaml"), rn_slice_str(in), lookup, NULL, &out, &e),
        EINVAL);
    TRUE(rn_slice_eq_str(ft_buf_slice(&out), "before"));
    EQ(strncmp(e.text, "o.yaml:", 7), 0);
}

TEST(a_wrong_expression_is_refused_at_its_line)
{
    refuse("a\nb {{ nothing }}\n", 2, 6, "`nothing` is not a value");
    refuse("{{ var. }}", 1, 4, "`var.` is not a value");
    refuse("{{ }}", 1, 4, "is not a value");
    refuse("{{ agent.other }}", 1, 4, "`agent.other`");
    refuse("{{ agent.instance_uid.x }}", 1, 4, "`agent.instance_uid.x`");
    refuse("{{ VAR.rate }}", 1, 4, "`VAR.rate`");
    refuse("x\n\n{{ var.rate", 3, 12, "`}}` is expected");
    refuse("{{ var.rate\n}}", 1, 12, "`}}` is expected");
    refuse("{{ var.rate | upper }}", 1, 13, "`}}` is expected");
    refuse("{{ var.rate }", 1, 13, "`}}` is expected");
    refuse("{{", 1, 3, "is not a value");
    refuse("{{{ var.rate }}}", 1, 3, "is not a value");
    refuse("{{ \"}}\" }}", 1, 4, "is not a value");
    refuse("{{ \"{{\" x }}", 1, 9, "`}}` is expected");
    refuse("{{ var.h\xc3\xa9 }}", 1, 9, "`}}` is expected");
}

static void missing(const char *in, const char *want)
{
    CLEANUP(ft_buf_fini) struct ft_buf out = FT_BUF_INIT(4096);
    struct ft_syntax_error             e;

    OK(ft_template_check(rn_slice_str(in), &e));
    ERR(ft_template_render(rn_slice_str("shipper.yaml"), rn_slice_str(in), lookup, NULL, &out, &e),
        ENOENT);
    STREQ(e.text, want);
    EQ(out.len, 0);
}

TEST(a_missing_value_is_named_with_object_line_and_remedy)
{
    missing("a: 1\nb: {{ var.region }}\n", "shipper.yaml:2: variable `region` is missing: set it "
                                           "in the variables of the agent's group");
    missing("{{ label.tier }}", "shipper.yaml:1: label `tier` is missing on this agent: set it "
                                "under `labels` in the agent's file");
    missing("\n\n\n{{ attr.os.type }}", "shipper.yaml:4: attribute `os.type` is not reported by "
                                        "this agent: use one that it has, or a variable");
}

TEST(a_text_that_grows_past_the_maximum_is_refused)
{
    CLEANUP(ft_buf_fini) struct ft_buf out = FT_BUF_INIT(8);
    struct ft_syntax_error             e;

    OK(ft_buf_add_str(&out, "1234"));
    ERR(ft_template_render(rn_slice_str("o"), rn_slice_str("\n{{ attr.host.name }}"), lookup, NULL,
                           &out, &e),
        E2BIG);
    STREQ(e.text, "o:2: the rendered text passes 8 bytes: shorten it, or raise message_max");
    TRUE(rn_slice_eq_str(ft_buf_slice(&out), "1234"));
    OK(ft_buf_error(&out));
}

TEST(the_longest_names_leave_room_for_the_reason)
{
    CLEANUP(ft_buf_fini) struct ft_buf out = FT_BUF_INIT(64);
    char                               object[255], body[400];
    struct ft_syntax_error             e;

    memset(object, 'o', sizeof(object));
    memset(body, 'n', sizeof(body));
    memcpy(body, "{{ var.", 7);
    memcpy(body + sizeof(body) - 3, " }}", 3);
    ERR(ft_template_render(rn_slice(object, sizeof(object)), rn_slice(body, sizeof(body)), lookup,
                           NULL, &out, &e),
        ENOENT);
    TRUE(strstr(e.text, "nnn` is missing: set it in the variables of the agent's group"));
}

TEST(random_templates_are_rendered_or_refused_but_never_hurt)
{
    static const char *const parts[] = {
        "{{", "}}",   " ", "\"{{\"", "var.rate",           "label.env", "attr.x",
        "\n", "text", "{", "}",      "agent.instance_uid", "\xff"};
    const char *given = getenv("TEST_SEED");
    unsigned    seed = given ? (unsigned)strtoul(given, NULL, 0) : (unsigned)time(NULL);
    size_t      rendered = 0;

    printf("# seed %u\n", seed);
    test_note("TEST_SEED=%u", seed);
    for (size_t i = 0; i < test_tasks(100000); i++) {
        CLEANUP(ft_buf_fini) struct ft_buf out = FT_BUF_INIT(40);
        char                               text[256];
        size_t                             len = 0;
        int                                checked, r;

        for (int n = rand_r(&seed) % 12; n > 0; n--) {
            const char *part = parts[(size_t)rand_r(&seed) % (sizeof(parts) / sizeof(parts[0]))];

            memcpy(text + len, part, strlen(part));
            len += strlen(part);
        }
        checked = ft_template_check(rn_slice(text, len), NULL);
        r = ft_template_render(rn_slice_str("o"), rn_slice(text, len), lookup, NULL, &out, NULL);
        if (checked == 0)
            TRUE(r == 0 || r == -ENOENT || r == -E2BIG);
        else
            NE(r, 0);
        rendered += r == 0;
    }
    GT(rendered, 0);
}
