#include <harness/test.h>

#include <string.h>

#include <base/cleanup.h>

#include "exporter/types.h"

TEST(verdicts_have_reasons_and_equal_ones_in_a_row_share_a_text)
{
    struct ft_verdict items[4];
    struct ft_answer a = {.items = items};

    ft_answer_reset(&a, 4);
    STREQ(ft_answer_reason(&a, 0), "");
    EQ(items[3].kind, FT_VERDICT_RETRY);
    ft_answer_one(&a, 0, FT_VERDICT_REJECT, "bad %d", 1);
    ft_answer_one(&a, 1, FT_VERDICT_REJECT, "bad %d", 1);
    ft_answer_one(&a, 2, FT_VERDICT_OK, NULL);
    EQ(items[0].reason, items[1].reason);
    ft_answer_rest(&a, FT_VERDICT_HOLD, "%s", "full");
    STREQ(ft_answer_reason(&a, 1), "bad 1");
    STREQ(ft_answer_reason(&a, 3), "full");
    EQ(items[2].kind, FT_VERDICT_OK);
    EQ(items[3].kind, FT_VERDICT_HOLD);
    ft_answer_all(&a, FT_VERDICT_OK, NULL);
    EQ(items[0].kind, FT_VERDICT_OK);
    ft_buf_fini(&a.reasons);
}

TEST(reasons_are_bounded_and_verdicts_are_not)
{
    enum { N = 4000 };
    static struct ft_verdict items[N];
    struct ft_answer a = {.items = items};

    ft_answer_reset(&a, N);
    for (size_t i = 0; i < N; i++)
        ft_answer_one(&a, i, FT_VERDICT_REJECT, "a reason of its own for each of them: %zu", i);
    LE(a.reasons.len, FT_REASONS_BYTES_MAX);
    EQ(items[N - 1].kind, FT_VERDICT_REJECT);
    STREQ(ft_answer_reason(&a, N - 1), "");
    ft_buf_fini(&a.reasons);
}

/* ---- the table of types --------------------------------------------------------------------- */

struct settings {
    struct ft_items exporters;
};

static const struct ft_option options[] = {
    {"exporters", FT_VARIANTS, offsetof(struct settings, exporters),
     .variants = ft_exporter_variants},
    {0},
};

static int specs_of(const char *text, struct ft_exporter_spec *specs, struct ft_yaml **y,
                    struct ft_text_error *e)
{
    struct settings s;

    OK(ft_yaml_read_text("f.yaml", text, strlen(text), options, &s, sizeof(s), y, e));
    return ft_exporter_specs(*y, &s.exporters, specs, e);
}

static void yaml_freep(struct ft_yaml **y)
{
    *y = ft_yaml_free(*y);
}

TEST(a_configuration_file_names_exporters_of_every_type)
{
    CLEANUP(yaml_freep) struct ft_yaml *y = NULL;
    struct ft_exporter_spec specs[4];
    struct ft_text_error e;

    OK(specs_of("exporters:\n- {name: local, type: sqlite, path: m.db}\n- {type: file, path: '-', "
                "required: true}\n",
                specs, &y, &e));
    EQ(specs[0].type, &ft_exporter_sqlite);
    STREQ(ft_exporter_spec_head(&specs[0])->name, "local");
    TRUE(ft_exporter_spec_head(&specs[0])->required);
    STREQ(((const struct ft_sqlite_settings *)specs[0].settings)->path, "m.db");
    EQ(specs[1].type, &ft_exporter_file);
    STREQ(ft_exporter_spec_head(&specs[1])->name, "file");
    TRUE(ft_exporter_spec_head(&specs[1])->required);
    STREQ(((const struct ft_file_settings *)specs[1].settings)->path, "-");
}

TEST(names_of_exporters_differ_and_can_be_labels)
{
    struct ft_exporter_spec specs[4];
    struct ft_text_error e;

    {
        CLEANUP(yaml_freep) struct ft_yaml *y = NULL;

        ERR(specs_of("exporters:\n- {type: sqlite}\n- {type: file, name: sqlite}\n", specs, &y, &e),
            EINVAL);
        STREQ(e.text,
              "f.yaml:3:3: two exporters are called \"sqlite\": give each a `name` of its own");
    }
    {
        CLEANUP(yaml_freep) struct ft_yaml *y = NULL;

        ERR(specs_of("exporters:\n- {type: file, name: a b}\n", specs, &y, &e), EINVAL);
    }
}

TEST(every_type_is_in_both_tables)
{
    size_t i = 0;

    for (; ft_exporter_types[i]; i++) {
        const struct ft_exporter_type *t = ft_exporter_types[i];

        EQ(ft_exporter_variants[i].tag, t);
        STREQ(ft_exporter_variants[i].name, t->name);
        EQ(ft_exporter_variants[i].table, t->options);
        EQ(ft_exporter_variants[i].size, t->settings_size);
        GE(t->size, t->settings_size);
        TRUE(t->pace.rows_max > 0 && t->pace.bytes_max > 0 && t->pace.send_max > 0 &&
             t->pace.retry_max > 0);
    }
    EQ(ft_exporter_variants[i].name, NULL);
}
