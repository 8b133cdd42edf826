/* Selectors: the grammar, what holds, and where a person went wrong. */
#include <model/selector.h>

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <base/cleanup.h>
#include <harness/test.h>

struct pair {
    const char *key, *value;
};

static bool lookup(void *arg, struct rn_slice key, struct rn_slice *ret_value)
{
    for (const struct pair *p = arg; p->key; p++) {
        if (!rn_slice_eq_str(key, p->key))
            continue;
        *ret_value = rn_slice_str(p->value);
        return true;
    }
    return false;
}

static struct pair agent[] = {{"env", "prod"}, {"tier", "a"}, {"os.type", "linux"},
                              {"empty", ""},   {"in", "x"},   {"model", "big box"},
                              {NULL, NULL}};

static bool match(const char *text)
{
    CLEANUP(ft_selector_freep) struct ft_selector *s = NULL;

    test_note("selector %s", text);
    OK(ft_selector_parse(rn_slice_str(text), &s, NULL));
    TRUE(rn_slice_eq_str(ft_selector_text(s), text));
    return ft_selector_match(s, lookup, agent);
}

TEST(the_empty_selector_matches_everything)
{
    CLEANUP(ft_selector_freep) struct ft_selector *s = NULL;

    TRUE(match(""));
    TRUE(match("   "));
    TRUE(ft_selector_match(NULL, lookup, agent));
    TRUE(ft_selector_is_empty(NULL));
    OK(ft_selector_parse((struct rn_slice){0}, &s, NULL));
    TRUE(ft_selector_is_empty(s));
}

TEST(each_kind_of_term_holds_where_it_should)
{
    TRUE(match("env=prod"));
    FALSE(match("env=dev"));
    FALSE(match("gone=prod"));
    TRUE(match("env!=dev"));
    FALSE(match("env!=prod"));
    TRUE(match("gone!=prod"));
    TRUE(match("tier in (a,b)"));
    FALSE(match("tier in (b,c)"));
    FALSE(match("gone in (a)"));
    TRUE(match("tier notin (b,c)"));
    FALSE(match("tier notin (a)"));
    TRUE(match("gone notin (a)"));
    TRUE(match("env"));
    FALSE(match("gone"));
    TRUE(match("!gone"));
    FALSE(match("!env"));
    TRUE(match("empty="));
    FALSE(match("env="));
    TRUE(match("env!="));
    TRUE(match("os.type=linux"));
}

TEST(all_terms_have_to_hold_and_space_does_not_count)
{
    TRUE(match(" env = prod , tier in ( a , b ) , ! gone , os.type != windows "));
    FALSE(match("env=prod,tier in (b)"));
    TRUE(match("tier in(a),env"));
    TRUE(match("in=x"));
    TRUE(match("in in (x)"));
    TRUE(match("in"));
    TRUE(match("model=big box"));
    TRUE(match("model in (big box,small)"));
}

static void refuse(const char *text, size_t offset, const char *says)
{
    struct ft_syntax_error e;
    struct ft_selector    *s;

    test_note("selector %s", text);
    ERR(ft_selector_parse(rn_slice_str(text), &s, &e), EINVAL);
    EQ(e.offset, offset);
    EQ(e.column, offset + 1);
    if (!strstr(e.text, says))
        FAIL("%s: does not say %s", e.text, says);
}

TEST(a_wrong_selector_is_refused_at_its_place)
{
    refuse(",", 0, "a key is expected");
    refuse("env=prod,", 9, "a key is expected");
    refuse("=x", 0, "a key is expected");
    refuse("!", 1, "a key is expected");
    refuse("!a=b", 2, "`,` or the end");
    refuse("a b", 2, "`=`, `!=`");
    refuse("a==b", 2, "`,` or the end");
    refuse("a=b=c", 3, "`,` or the end");
    refuse("a in b", 5, "`(` is expected");
    refuse("a in ()", 6, "a value is expected");
    refuse("a in (b", 7, "`,` or `)`");
    refuse("a in (b,)", 8, "a value is expected");
    refuse("a in (b) c", 9, "`,` or the end");
    refuse("a inside (b)", 4, "`(` is expected");
    refuse("a ! b", 2, "`=`, `!=`");
    refuse("a=\n", 2, "control bytes");
    refuse("a=\xff", 2, "UTF-8");
    refuse("a)", 1, "`=`, `!=`");
}

TEST(a_selector_has_maxima)
{
    char                   text[FT_SELECTOR_LEN_MAX + 2], *at = text;
    struct ft_syntax_error e;
    struct ft_selector    *s;

    memset(text, 'k', sizeof(text));
    ERR(ft_selector_parse(rn_slice(text, FT_SELECTOR_KEY_MAX + 1), &s, &e), EINVAL);
    ERR(ft_selector_parse(rn_slice(text, sizeof(text)), &s, &e), EINVAL);
    EQ(e.offset, FT_SELECTOR_LEN_MAX);

    for (int i = 0; i <= FT_SELECTOR_TERMS_MAX; i++)
        at += sprintf(at, "%sk", i ? "," : "");
    ERR(ft_selector_parse(rn_slice_str(text), &s, &e), EINVAL);
    at = text + sprintf(text, "k in (");
    for (int i = 0; i <= FT_SELECTOR_VALUES_MAX; i++)
        at += sprintf(at, "%sv", i ? "," : "");
    (void)sprintf(at, ")");
    ERR(ft_selector_parse(rn_slice_str(text), &s, &e), EINVAL);
    STREQ(e.text, "a selector has at most 256 values");
}

TEST(random_selectors_are_parsed_or_refused_but_never_hurt)
{
    static const char *const parts[] = {"k", "=", "!", "in",       "notin", "(",   ")",
                                        ",", " ", "v", "\xc3\xa9", "\xff",  "env", "prod"};
    const char              *given = getenv("TEST_SEED");
    unsigned seed = given ? (unsigned)strtoul(given, NULL, 0) : (unsigned)time(NULL);
    size_t   taken = 0;

    printf("# seed %u\n", seed);
    test_note("TEST_SEED=%u", seed);
    for (size_t i = 0; i < test_tasks(200000); i++) {
        struct ft_syntax_error e;
        struct ft_selector    *s;
        char                   text[64];
        size_t                 len = 0;

        for (int n = rand_r(&seed) % 10; n > 0; n--) {
            const char *part = parts[(size_t)rand_r(&seed) % (sizeof(parts) / sizeof(parts[0]))];

            memcpy(text + len, part, strlen(part));
            len += strlen(part);
        }
        if (ft_selector_parse(rn_slice(text, len), &s, &e) == 0) {
            (void)ft_selector_match(s, lookup, agent);
            (void)ft_selector_free(s);
            taken++;
        } else {
            LE(e.offset, len);
        }
    }
    GT(taken, 0);
}
