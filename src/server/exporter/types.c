#include "exporter/types.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include <base/cleanup.h>

#include <proto/buf.h>

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

    if (len >= 1 && len <= FT_EXPORTER_NAME_MAX && strspn(name, NAME_BYTES) == len)
        return 0;
    return ft_yaml_fail(
        y, mark, reterr,
        "the exporter's name \"%.80s\" cannot be used: take 1 to %d letters, digits, `-`, `_`, `.`",
        name, FT_EXPORTER_NAME_MAX);
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

int ft_exporter_specs(struct ft_yaml *y, const struct ft_items *items, struct ft_exporter_spec *ret,
                      struct ft_text_error *reterr)
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
        ret[i] = (struct ft_exporter_spec){.type = v[i].type->tag, .settings = head, .yaml = y};
    }
    return 0;
}

#define FILE_READ_MAX ((size_t)1 << 20)

/* Append what a file holds; nothing where it cannot be read. */
static void file_append(struct ft_buf *out, const char *path)
{
    CLEANUP(closep) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    char part[4096];
    ssize_t n;

    while (fd >= 0 && out->len < FILE_READ_MAX && (n = read(fd, part, sizeof(part))) > 0)
        ft_buf_add(out, part, (size_t)n);
    explicit_bzero(part, sizeof(part));
}

int ft_exporter_files_hash(const struct ft_exporter_spec *spec, struct ft_hash *ret)
{
    struct ft_buf all = FT_BUF_INIT(2 * FILE_READ_MAX);

    for (const struct ft_option *o = spec->type->options; o->kind != FT_END; o++) {
        const char *path;

        if (o->kind != FT_PATH)
            continue;
        memcpy(&path, (const char *)spec->settings + o->offset, sizeof(path));
        (void)ft_buf_printf(&all, "%s\n", o->name);
        if (path)
            file_append(&all, path);
    }
    int r = ft_buf_error(&all);
    if (r == 0)
        r = ft_hash_bytes(ft_buf_slice(&all), ret);
    if (all.data)
        explicit_bzero(all.data, all.len);
    ft_buf_fini(&all);
    return r;
}

bool ft_exporter_same(const struct ft_exporter_spec *a, const struct ft_exporter_spec *b)
{
    return a->type == b->type && ft_hash_eq(&a->files, &b->files) &&
           ft_options_equal(a->type->options, a->settings, b->settings);
}
