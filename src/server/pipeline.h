/* The exporters that settings ask for. */
#pragma once

#include "metrics/fanout.h"
#include "settings.h"

struct ft_pipeline {
    struct ft_exporter_spec *specs; /* owned; their texts are the settings' */
    size_t n;
};

/* Judge and list them, with what their secret files hold now. Blocking. 0, or < 0 with the reason.
 */
int ft_pipeline_read(const struct ft_settings *s, struct ft_pipeline *ret,
                     struct ft_text_error *reterr);
void ft_pipeline_fini(struct ft_pipeline *p);

/* For ft_intake_new() and ft_intake_change(); borrows both. */
struct ft_fanout_options ft_pipeline_options(const struct ft_pipeline *p,
                                             const struct ft_settings *s);
