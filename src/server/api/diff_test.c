/* Diffs: the texts against patch(1)'s reading of them, and the route. */
#include "api/testing.h"

#include <stdlib.h>
#include <string.h>

#include "api/diff.h"

static char *diff_with(const char *a, const char *b, const struct ft_diff_limits *limits)
{
    struct ft_object before = {.name = S("f"), .content_type = S("text/plain"), .body = S(a)},
                     after = {.name = S("f"), .content_type = S("text/plain"), .body = S(b)};
    struct ft_buf out = FT_BUF_INIT(1 << 20);

    OK(ft_diff_object((struct ft_diff_side){&before, "1"}, (struct ft_diff_side){&after, "2"},
                      limits, &out));
    OK(ft_buf_add_byte(&out, 0));
    return (char *)ft_buf_take(&out, &(size_t){0});
}

static void expect(const char *a, const char *b, const char *want)
{
    CLEANUP(freep) char *text = diff_with(a, b, &ft_diff_limits_default);

    STREQ(text, want);
}
#define HEAD "--- f\t1\n+++ f\t2\n"

TEST(equal_texts_have_no_diff)
{
    expect("", "", "");
    expect("a\n", "a\n", "");
}

TEST(a_hunk_has_three_lines_around_what_changed)
{
    expect("1\n2\n3\n4\n5\n6\n7\n8\n9\n", "1\n2\n3\n4\nfive\n6\n7\n8\n9\n",
           HEAD "@@ -2,7 +2,7 @@\n 2\n 3\n 4\n-5\n+five\n 6\n 7\n 8\n");
    expect("a\n", "a\nb\n", HEAD "@@ -1 +1,2 @@\n a\n+b\n");
    expect("", "a\n", HEAD "@@ -0,0 +1 @@\n+a\n");
    expect("a\nb\n", "", HEAD "@@ -1,2 +0,0 @@\n-a\n-b\n");
}

TEST(changes_near_each_other_share_a_hunk)
{
    expect("a\n1\n2\n3\n4\n5\n6\nb\n", "A\n1\n2\n3\n4\n5\n6\nB\n",
           HEAD "@@ -1,8 +1,8 @@\n-a\n+A\n 1\n 2\n 3\n 4\n 5\n 6\n-b\n+B\n");
    expect("a\n1\n2\n3\n4\n5\n6\n7\nb\n", "A\n1\n2\n3\n4\n5\n6\n7\nB\n",
           HEAD "@@ -1,4 +1,4 @@\n-a\n+A\n 1\n 2\n 3\n@@ -6,4 +6,4 @@\n 5\n 6\n 7\n-b\n+B\n");
}

TEST(a_last_line_without_its_end_is_told)
{
    expect("a\nb", "a\nb\n",
           HEAD "@@ -1,2 +1,2 @@\n a\n-b\n\\ No newline at end of file\n+b\n");
    expect("a", "b",
           HEAD "@@ -1 +1 @@\n-a\n\\ No newline at end of file\n+b\n\\ No newline at end of file\n");
}

/* ---- any diff leads from the one to the other ---- */

static const char *line_of(const char **at)
{
    const char *line = *at, *end = strchr(line, '\n');

    *at = end ? end + 1 : line + strlen(line);
    return line;
}

/* Apply it strictly; all lines have their ends. */
static void apply(const char *a, const char *diff, char *out)
{
    size_t from, n = 0, at_line = 1;

    if (*diff)
        EQ(strncmp(diff, HEAD, strlen(HEAD)), 0);
    for (diff += *diff ? strlen(HEAD) : 0; *diff;) {
        const char *line = line_of(&diff);
        size_t len = (size_t)(diff - line);

        if (line[0] == '@') {
            EQ(sscanf(line, "@@ -%zu", &from), 1);
            if (strncmp(strchr(line, ' '), " -0,0", 5) == 0)
                from = 1;
            else if (strstr(line, ",0 +"))
                from++;
            for (; at_line < from; at_line++) {
                const char *same = line_of(&a);
                memcpy(out + n, same, (size_t)(a - same));
                n += (size_t)(a - same);
            }
            continue;
        }
        if (line[0] != '+') {
            const char *have = line_of(&a);
            EQ((size_t)(a - have), len - 1);
            MEMEQ(have, line + 1, len - 1);
            at_line++;
        }
        if (line[0] != '-') {
            memcpy(out + n, line + 1, len - 1);
            n += len - 1;
        }
    }
    strcpy(out + n, a);
}

static void random_text(unsigned *seed, char *out, size_t lines)
{
    for (size_t i = 0; i < lines; i++) {
        out[2 * i] = (char)('a' + rand_r(seed) % 4);
        out[2 * i + 1] = '\n';
    }
    out[2 * lines] = 0;
}

TEST(any_diff_applied_to_the_old_text_gives_the_new_one)
{
    static const struct ft_diff_limits limits[] = {
        {1000, 1000000}, {3, 1000000}, {1000, 40}, {0, 0}};
    char a[200], b[200], got[400];
    unsigned seed = 1;

    for (unsigned i = 0; i < 4000; i++) {
        random_text(&seed, a, (size_t)rand_r(&seed) % 40);
        random_text(&seed, b, (size_t)rand_r(&seed) % 40);
        CLEANUP(freep) char *text = diff_with(a, b, &limits[i % 4]);
        test_note("%u: %s to %s by %s", i, a, b, text);
        apply(a, text, got);
        STREQ(got, b);
    }
}

TEST(a_costly_pair_is_told_as_one_change)
{
    struct ft_diff_limits limits = {.edits = 2, .steps = 1000};
    CLEANUP(freep) char *text = diff_with("0\na\nb\nc\n9\n", "0\nx\nb\ny\n9\n", &limits);

    STREQ(text, HEAD "@@ -1,5 +1,5 @@\n 0\n-a\n-b\n-c\n+x\n+b\n+y\n 9\n");
}

/* ---- the route ---- */

#define VERSIONS "/api/v1/configurations/web/versions"

static void add_version(struct bench *b, const char *objects)
{
    CLEANUP(freep) char *body = NULL;

    GE(asprintf(&body, "{\"objects\":%s}", objects), 0);
    EQ(call_json(b, "POST", VERSIONS, body), 201);
}

TASK_TEST(two_versions_are_compared_object_by_object)
{
    BENCH(b);

    EQ(call_json(&b, "POST", "/api/v1/configurations", "{\"name\":\"web\"}"), 201);
    add_version(&b, "{\"a\":{\"content_type\":\"text/plain\",\"body\":\"1\\n2\\n\"},"
                    "\"gone\":{\"body\":\"x\\n\"},\"same\":{\"body\":\"s\"},"
                    "\"bin\":{\"body_base64\":\"/w==\"}}");
    add_version(&b, "{\"a\":{\"content_type\":\"text/plain\",\"body\":\"1\\n3\\n\"},"
                    "\"new\":{\"body\":\"y\\n\",\"template\":true},\"same\":{\"body\":\"s\"},"
                    "\"bin\":{\"body_base64\":\"/g==\"}}");
    EQ(call(&b, "GET", VERSIONS "/2/diff?against=1"), 200);
    STREQ(text_at(&b, "configuration"), "web");
    EQ(int_at(&b, "version"), 2);
    EQ(int_at(&b, "against"), 1);
    EQ(json_object_size(at(&b, "objects")), 4);
    STREQ(text_at(&b, "objects.a"),
          "--- a\tversion 1\n+++ a\tversion 2\n@@ -1,2 +1,2 @@\n 1\n-2\n+3\n");
    STREQ(text_at(&b, "objects.gone"),
          "--- gone\tversion 1\n+++ /dev/null\n@@ -1 +0,0 @@\n-x\n");
    STREQ(text_at(&b, "objects.new"), "--- /dev/null\n+++ new\tversion 2\n@@ -0,0 +1 @@\n+y\n");
    STREQ(text_at(&b, "objects.bin"), "Binary object bin differs\n");
    EQ(call(&b, "GET", VERSIONS "/1/diff?against=1"), 200);
    EQ(json_object_size(at(&b, "objects")), 0);
}

TASK_TEST(a_changed_type_or_template_flag_is_a_difference)
{
    BENCH(b);

    EQ(call_json(&b, "POST", "/api/v1/configurations", "{\"name\":\"web\"}"), 201);
    add_version(&b, "{\"a\":{\"content_type\":\"text/plain\",\"body\":\"1\"}}");
    add_version(&b, "{\"a\":{\"content_type\":\"text/yaml\",\"body\":\"1\",\"template\":true}}");
    EQ(call(&b, "GET", VERSIONS "/2/diff?against=1"), 200);
    STREQ(text_at(&b, "objects.a"), "old content-type text/plain\nnew content-type text/yaml\n"
                                    "now a template\n");
}

TASK_TEST(a_diff_needs_two_versions_that_there_are)
{
    BENCH(b);

    EQ(call_json(&b, "POST", "/api/v1/configurations", "{\"name\":\"web\"}"), 201);
    add_version(&b, "{\"a\":{\"body\":\"1\"}}");
    call(&b, "GET", VERSIONS "/1/diff");
    expect_problem(&b, 400);
    call(&b, "GET", VERSIONS "/1/diff?against=2");
    expect_problem(&b, 404);
    call(&b, "GET", VERSIONS "/2/diff?against=1");
    expect_problem(&b, 404);
    call(&b, "GET", VERSIONS "/1/diff?against=x");
    expect_problem(&b, 404);
}
