/* The exporters that there are. */
#pragma once

#include "exporter/exporter.h"

/* One per file, with its settings. */
struct ft_sqlite_settings {
    struct ft_exporter_head head;
    const char *path; /* relative to the data directory */
    int64_t keep;     /* ns; rows older than that are deleted; 0: none */
};
extern const struct ft_option ft_sqlite_options[];
extern const struct ft_exporter_type ft_exporter_sqlite;

struct ft_file_settings {
    struct ft_exporter_head head;
    const char *path; /* likewise; `-` is stdout */
};
extern const struct ft_option ft_file_options[];
extern const struct ft_exporter_type ft_exporter_file;

struct ft_elasticsearch_settings {
    struct ft_exporter_head head;
    const char *url;
    const char *index;
    const char *user, *password_file; /* both or none */
    const char *api_key_file;         /* instead of them */
    const char *ca_file;
    bool create_template;
};
extern const struct ft_option ft_elasticsearch_options[];
extern const struct ft_exporter_type ft_exporter_elasticsearch;

struct ft_influxdb_settings {
    struct ft_exporter_head head;
    const char *url;
    const char *database, *retention_policy; /* 1.x, with */
    const char *user, *password_file;        /* both or none; */
    const char *org, *bucket, *token_file;   /* or 2.x */
    const char *ca_file;
    bool gzip;
};
extern const struct ft_option ft_influxdb_options[];
extern const struct ft_exporter_type ft_exporter_influxdb;

struct ft_mysql_settings {
    struct ft_exporter_head head;
    const char *host; /* beginning with a slash: a unix socket */
    int64_t port;
    const char *user, *password_file, *database;
    const char *ca_file;
};
extern const struct ft_option ft_mysql_options[];
extern const struct ft_exporter_type ft_exporter_mysql;

extern const struct ft_exporter_type *const ft_exporter_types[]; /* NULL ends it */

/* The same for an FT_VARIANTS option of a configuration file: `type:` chooses. Its tags are struct
 * ft_exporter_type. */
extern const struct ft_variant_type ft_exporter_variants[];

/* What runs when the configuration names no exporters at all: sqlite on its defaults. */
extern const struct ft_exporter_spec ft_exporter_default;

/* Judge the exporters of a configuration file: names are 1 to 64 bytes of letters, digits, `-`, `_`
 * and `.`, and different from one another. Fills `ret` (room for items->n) from the variants.
 * Returns 0 or -EINVAL with file, line and column. */
int ft_exporter_specs(struct ft_yaml *y, const struct ft_items *items, struct ft_exporter_spec *ret,
                      struct ft_text_error *reterr);

/* What the files hold that an exporter's settings name: another hash, another secret. Blocking. A
 * file that cannot be read counts as empty. 0, -ENOMEM. */
int ft_exporter_files_hash(const struct ft_exporter_spec *spec, struct ft_hash *ret);
