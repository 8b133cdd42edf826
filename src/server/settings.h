/* fettled.yaml, read by a table (CONTRACT section 2). */
#pragma once

#include <model/yaml.h>

#include "metrics/lane.h"

enum ft_enrolment { FT_ENROLMENT_AUTO, FT_ENROLMENT_OPEN };

struct ft_settings {
    const char *data;
    struct {
        struct ft_strings listen;
        int64_t apply_timeout, heartbeat; /* ns */
        int64_t message_max;              /* bytes */
        int enrolment;                    /* enum ft_enrolment */
        bool insecure;
    } agents;
    struct {
        struct ft_strings listen;
        int64_t body_max;
        bool insecure;
    } api;
    struct {
        struct ft_strings listen;
        bool insecure;
    } debug;
    int64_t stop_timeout;
    struct {
        int type;
    } store;
    struct {
        struct ft_lane_settings lane;
    } metrics;
    struct ft_items exporters; /* of struct ft_variant: ft_exporter_specs() */
    struct {
        unsigned workers; /* 0: auto */
        int leaks;        /* enum rn_leak_policy */
    } runtime;

    struct ft_yaml *yaml; /* owns all of the above; counted */
};

/* Where settings come from: a file, and what the command line says instead. Borrowed by the
 * settings.
 */
struct ft_settings_source {
    const char *file;                     /* NULL: the defaults */
    const char *data;                     /* NULL: the file's, as below */
    struct ft_strings agents, api, debug; /* empty: the file's */
};

/* Read and judge the whole, as at every start: what --check says. 0, or < 0 with the reason. */
int ft_settings_load(const struct ft_settings_source *source, struct ft_settings *ret,
                     struct ft_text_error *reterr);
/* A second holder of the same settings: ft_settings_fini() each. */
void ft_settings_share(const struct ft_settings *s, struct ft_settings *ret);
/* Tell each key in which two differ. */
void ft_settings_diff(const struct ft_settings *a, const struct ft_settings *b,
                      ft_option_differs_fn *differs, void *arg);

/* Read `path` (NULL: the defaults) and check it. 0, or < 0 with FILE:LINE:COLUMN and the reason in
 * *reterr. */
int ft_settings_read(const char *path, struct ft_settings *ret, struct ft_text_error *reterr);
void ft_settings_fini(struct ft_settings *s);

/* Refuse addresses that cannot be read, and those beyond loopback without `insecure: true` in their
 * section. After the command line had its say. */
int ft_settings_check_addresses(const struct ft_settings *s, struct ft_text_error *reterr);
/* Judge the exporters' names. */
int ft_settings_check_exporters(const struct ft_settings *s, struct ft_text_error *reterr);

/* Do agents connect from beyond loopback? */
bool ft_settings_agents_beyond_loopback(const struct ft_settings *s);
