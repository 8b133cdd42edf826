#include "pipeline.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "exporter/types.h"

static int files_note(struct ft_pipeline *p, struct ft_text_error *reterr)
{
    int r = 0;

    for (size_t i = 0; i < p->n && r == 0; i++)
        r = ft_exporter_files_hash(&p->specs[i], &p->specs[i].files);
    if (r < 0)
        ft_text_error_set(reterr, "out of memory: free some");
    return r;
}

int ft_pipeline_read(const struct ft_settings *s, struct ft_pipeline *ret,
                     struct ft_text_error *reterr)
{
    struct ft_pipeline p = {.specs = calloc(s->exporters.n + 1, sizeof(*p.specs)),
                            .n = s->exporters.n};
    int r = p.specs ? 0 : -ENOMEM;

    if (r < 0)
        ft_text_error_set(reterr, "out of memory: free some");
    else
        r = ft_exporter_specs(s->yaml, &s->exporters, p.specs, reterr);
    if (r == 0 && !s->exporters.given) {
        p.specs[0] = ft_exporter_default;
        p.n = 1;
    }
    if (r == 0)
        r = files_note(&p, reterr);
    if (r < 0)
        ft_pipeline_fini(&p);
    else
        *ret = p;
    return r;
}

void ft_pipeline_fini(struct ft_pipeline *p)
{
    free(p->specs);
    *p = (struct ft_pipeline){0};
}

struct ft_fanout_options ft_pipeline_options(const struct ft_pipeline *p,
                                             const struct ft_settings *s)
{
    return (struct ft_fanout_options){
        .exporters = p->specs, .n = p->n, .data_dir = s->data, .lane = s->metrics.lane};
}
