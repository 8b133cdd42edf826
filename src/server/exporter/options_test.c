/* What may stand under `exporters:` for the exporters that send over the network, and what is said
 * about the rest. */
#include <harness/test.h>

#include <string.h>

#include <base/cleanup.h>

#include "exporter/types.h"

struct settings {
    struct ft_items exporters;
};

static const struct ft_option options[] = {
    {"exporters", FT_VARIANTS, offsetof(struct settings, exporters),
     .variants = ft_exporter_variants},
    {0},
};

/* The settings of the one exporter that `text` (a flow mapping) describes; NULL: refused, and `e`
 * says why. */
static const void *settings_read(const char *text, struct ft_yaml **y, struct ft_text_error *e)
{
    struct settings s;
    struct ft_exporter_spec spec;
    char file[1000];

    (void)snprintf(file, sizeof(file), "exporters:\n- {%s}\n", text);
    if (ft_yaml_read_text("/etc/f.yaml", file, strlen(file), options, &s, sizeof(s), y, e) < 0)
        return NULL;
    return ft_exporter_specs(*y, &s.exporters, &spec, e) < 0 ? NULL : spec.settings;
}

static void refused(const char *text, const char *wanted)
{
    CLEANUP(ft_yaml_freep) struct ft_yaml *y = NULL;
    struct ft_text_error e = {0};

    test_note("%s", text);
    EQ(settings_read(text, &y, &e), NULL);
    if (!strstr(e.text, wanted))
        FAIL("{%s}: \"%s\" does not say \"%s\"", text, e.text, wanted);
    TRUE(strncmp(e.text, "/etc/f.yaml:2:", 14) == 0);
}

TEST(elasticsearch_has_the_options_of_the_contract)
{
    CLEANUP(ft_yaml_freep) struct ft_yaml *y = NULL;
    const struct ft_elasticsearch_settings *s;
    struct ft_text_error e;

    s = settings_read("name: es, type: elasticsearch, url: 'https://h:9200/base/', index: "
                      "fettle-process-metrics, user: u,"
                      " password_file: es.pw, ca_file: /x/ca.pem, create_template: false",
                      &y, &e);
    NE(s, NULL);
    STREQ(s->url, "https://h:9200/base");
    STREQ(s->index, "fettle-process-metrics");
    STREQ(s->password_file, "/etc/es.pw");
    STREQ(s->ca_file, "/x/ca.pem");
    FALSE(s->create_template);
    FALSE(s->head.required);
}

TEST(elasticsearch_on_its_defaults_is_on_this_machine)
{
    CLEANUP(ft_yaml_freep) struct ft_yaml *y = NULL;
    const struct ft_elasticsearch_settings *s;
    struct ft_text_error e;

    s = settings_read("type: elasticsearch", &y, &e);
    NE(s, NULL);
    STREQ(s->head.name, "elasticsearch");
    STREQ(s->url, "http://127.0.0.1:9200");
    STREQ(s->index, "fettle-process-metrics");
    EQ(s->user, NULL);
    TRUE(s->create_template);
}

TEST(elasticsearch_refuses_what_cannot_work)
{
    refused("type: elasticsearch, urls: x", "urls");
    refused("type: elasticsearch, index: Fettle",
            "\"Fettle\" cannot be an index: take 1 to 255 lower-case letters");
    refused("type: elasticsearch, index: _x", "cannot be an index");
    refused("type: elasticsearch, index: 'a,b'", "cannot be an index");
    refused("type: elasticsearch, user: u", "`user` and `password_file` go together");
    refused("type: elasticsearch, password_file: f", "`user` and `password_file` go together");
    refused("type: elasticsearch, user: u, password_file: f, api_key_file: g",
            "give one way to authenticate");
    refused("type: elasticsearch, user: 'a:b', password_file: f", "colon");
    refused("type: elasticsearch, password: hunter2", "password");
}

TEST(an_address_is_http_or_https_and_holds_no_password)
{
    CLEANUP(ft_yaml_freep) struct ft_yaml *y = NULL;
    struct ft_text_error e;

    refused("type: elasticsearch, url: 'ftp://h'",
            "\"ftp://h\" is no address: write http://HOST:PORT or https://HOST:PORT");
    refused("type: elasticsearch, url: 'h:9200'", "is no address");
    refused("type: elasticsearch, url: 'http://'", "is no address");
    refused("type: elasticsearch, url: 'http://h:99999'", "is no address");
    refused("type: elasticsearch, url: 'http://h/?a=b'", "has a query or a fragment");
    refused("type: elasticsearch, url: 'http://h/#x'", "has a query or a fragment");
    EQ(settings_read("type: elasticsearch, url: 'http://u:hunter2@h'", &y, &e), NULL);
    TRUE(strstr(e.text, "take user and password out of it") && !strstr(e.text, "hunter2"));
}

TEST(influxdb_is_version_1_with_a_database_and_version_2_with_a_bucket)
{
    CLEANUP(ft_yaml_freep) struct ft_yaml *y = NULL, *y2 = NULL;
    const struct ft_influxdb_settings *s;
    struct ft_text_error e;

    s = settings_read("name: in, type: influxdb, url: 'http://127.0.0.1:8086', database: fettle, "
                      "user: u, password_file: p",
                      &y, &e);
    NE(s, NULL);
    STREQ(s->database, "fettle");
    TRUE(s->gzip);
    s = settings_read("type: influxdb, org: o, bucket: b, token_file: t, gzip: false", &y2, &e);
    NE(s, NULL);
    STREQ(s->url, "http://127.0.0.1:8086");
    STREQ(s->token_file, "/etc/t");
    FALSE(s->gzip);
}

TEST(influxdb_refuses_a_mixture_of_versions)
{
    refused("type: influxdb",
            "give either `database` (InfluxDB 1.x) or `org`, `bucket` and `token_file` (2.x)");
    refused("type: influxdb, database: d, bucket: b, org: o, token_file: t",
            "give either `database`");
    refused("type: influxdb, bucket: b", "`bucket` needs `org` and `token_file`");
    refused("type: influxdb, bucket: b, org: o", "`bucket` needs");
    refused("type: influxdb, bucket: b, org: o, token_file: t, user: u", "are for 1.x");
    refused("type: influxdb, database: d, token_file: t", "are for 2.x");
    refused("type: influxdb, database: d, user: u", "go together");
    refused("type: influxdb, database: d, precision: ms", "precision");
}

TEST(mysql_has_the_options_of_the_contract)
{
    CLEANUP(ft_yaml_freep) struct ft_yaml *y = NULL, *y2 = NULL;
    const struct ft_mysql_settings *s;
    struct ft_text_error e;

    s = settings_read("name: my, type: mysql, host: 127.0.0.1, port: 3307, user: u, password_file: "
                      "my.pw, database: d",
                      &y, &e);
    NE(s, NULL);
    EQ(s->port, 3307);
    STREQ(s->password_file, "/etc/my.pw");
    s = settings_read("type: mysql", &y2, &e);
    NE(s, NULL);
    STREQ(s->host, "127.0.0.1");
    EQ(s->port, 3306);
    STREQ(s->user, "fettle");
    STREQ(s->database, "fettle");
    EQ(s->password_file, NULL);
    refused("type: mysql, port: 70000", "port");
    refused("type: mysql, password: hunter2", "password");
}

TEST(an_exporter_is_the_same_until_a_setting_or_a_secret_of_it_changes)
{
    static const char text[] = "exporters:\n- {name: my, type: mysql, user: u, database: d, "
                               "password_file: pw}\n- {name: my2, type: mysql, user: u, "
                               "database: d, password_file: pw}\n";
    CLEANUP(ft_yaml_freep) struct ft_yaml *y = NULL;
    struct ft_exporter_spec specs[2], before;
    struct ft_text_error e = {0};
    struct settings s;
    char name[300], path[300];

    test_heap_allow(256 * 1024); /* what libcrypto keeps once it was used */
    (void)snprintf(name, sizeof(name), "%s/f.yaml", test_dir());
    (void)snprintf(path, sizeof(path), "%s/pw", test_dir());
    OK(ft_yaml_read_text(name, text, strlen(text), options, &s, sizeof(s), &y, &e));
    OK(ft_exporter_specs(y, &s.exporters, specs, &e));
    OK(ft_exporter_files_hash(&specs[0], &specs[0].files)); /* there is no such file: no error */
    before = specs[0];
    TRUE(ft_exporter_same(&before, &specs[0]));
    FALSE(ft_exporter_same(&before, &specs[1]));
    {
        CLEANUP(fclosep) FILE *f = fopen(path, "w");
        fputs("secret\n", f);
    }
    OK(ft_exporter_files_hash(&specs[0], &specs[0].files));
    FALSE(ft_exporter_same(&before, &specs[0]));
}
