#include "exporter/types.h"

#include <errno.h>
#include <string.h>

#define NAME_MAX_BYTES 64
#define NAME_BYTES "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_."

const struct ft_exporter_type *const ft_exporter_types[] = {
    &ft_exporter_sqlite,   &ft_exporter_file,  &ft_exporter_elasticsearch,
    &ft_exporter_influxdb, &ft_exporter_mysql, NULL,
};

const struct ft_variant_type ft_exporter_variants[] = {
    {"sqlite", ft_sqlite_options, sizeof(struct ft_sqlite_settings), &ft_exporter_sqlite},
    {"file", ft_file_options, sizeof(struct ft_file_settings), &ft_exporter_file},
    {"elasticsearch", ft_elasticsearch_options, sizeof(struct ft_elasticsearch_settings),
     &ft_exporter_elasticsearch},
    {"influxdb", ft_influxdb_options, sizeof(struct ft_influxdb_settings), &ft_exporter_influxdb},
    {"mysql", ft_mysql_options, sizeof(struct ft_mysql_settings), &ft_exporter_mysql},
    {0},
};

static const struct ft_sqlite_settings default_settings = {
    .head = {.name = "sqlite", .required = true}, .path = "metrics.db"};

const struct ft_exporter_spec ft_exporter_default = {.type = &ft_exporter_sqlite,
                                                     .settings = &default_settings};

static int name_judge(const struct ft_yaml *y, struct ft_mark mark, const char *name,
                      struct ft_text_error *reterr)
{
    size_t len = strlen(name);

    if (len >= 1 && len <= NAME_MAX_BYTES && strspn(name, NAME_BYTES) == len)
        return 0;
    return ft_yaml_fail(
        y, mark, reterr,
        "the exporter's name \"%.80s\" cannot be used: take 1 to %d letters, digits, `-`, `_`, `.`",
        name, NAME_MAX_BYTES);
}

static int settings_judge(const struct ft_yaml *y, const struct ft_variant *v,
                          struct ft_text_error *reterr)
{
    const struct ft_exporter_type *type = v->type->tag;
    struct ft_text_error why;

    if (!type->judge || type->judge(v->value, &why) == 0)
        return 0;
    return ft_yaml_fail(y, v->mark, reterr, "%s", why.text);
}

int ft_exporter_specs(const struct ft_yaml *y, const struct ft_items *items,
                      struct ft_exporter_spec *ret, struct ft_text_error *reterr)
{
    const struct ft_variant *v = items->items;

    for (size_t i = 0; i < items->n; i++) {
        const struct ft_exporter_head *head = v[i].value;
        int r = name_judge(y, v[i].mark, head->name, reterr);

        if (r < 0)
            return r;
        for (size_t k = 0; k < i; k++)
            if (strcmp(ft_exporter_spec_head(&ret[k])->name, head->name) == 0)
                return ft_yaml_fail(
                    y, v[i].mark, reterr,
                    "two exporters are called \"%s\": give each a `name` of its own", head->name);
        r = settings_judge(y, &v[i], reterr);
        if (r < 0)
            return r;
        ret[i] = (struct ft_exporter_spec){.type = v[i].type->tag, .settings = head};
    }
    return 0;
}
