/* GET /configurations/{name}/versions/{n}/diff?against=m
 *
 * The comparing runs on a thread of its own: it may take a while, and nobody shall wait for it. Both
 * versions are immutable and counted, so they may be read there.
 */
#include "api/internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <base/cleanup.h>

#include "api/diff.h"

#define DIFF_BYTES_MAX ((size_t)256 << 20) /* of all texts of one answer */

/* What the job works on: who asked holds the versions while it runs. */
struct job {
    const struct ft_version *old, *new;
    json_t *objects; /* NULL: no memory */
};

static int compare_names(const struct job *job, size_t i, size_t j)
{
    if (i == job->old->objects.count)
        return 1;
    if (j == job->new->objects.count)
        return -1;
    return ft_object_cmp(&job->old->objects.items[i], &job->new->objects.items[j]);
}

static int add_diff(struct job *job, const struct ft_object *a, const struct ft_object *b,
                    struct ft_buf *out)
{
    char labels[2][32];

    snprintf(labels[0], sizeof(labels[0]), "version %u", job->old->head.number);
    snprintf(labels[1], sizeof(labels[1]), "version %u", job->new->head.number);
    ft_buf_clear(out);
    int r = ft_diff_object((struct ft_diff_side){a, labels[0]}, (struct ft_diff_side){b, labels[1]},
                           &ft_diff_limits_default, out);
    struct rn_slice text = ft_buf_slice(out);
    if (r == 0 && text.len)
        ft_json_set(&job->objects, (a ? a : b)->name,
                    json_stringn((const char *)text.data, text.len));
    out->max -= text.len;
    return r < 0 ? r : job->objects ? 0 : -ENOMEM;
}

/* Both lists are in the order of their names. */
static int compare_versions(void *arg)
{
    struct job *job = arg;
    CLEANUP(ft_buf_fini) struct ft_buf out = FT_BUF_INIT(DIFF_BYTES_MAX);
    size_t i = 0, j = 0;
    int r = 0;

    job->objects = json_object();
    while (r == 0 && (i < job->old->objects.count || j < job->new->objects.count)) {
        int c = compare_names(job, i, j);

        r = add_diff(job, c <= 0 ? &job->old->objects.items[i] : NULL,
                     c >= 0 ? &job->new->objects.items[j] : NULL, &out);
        i += c <= 0;
        j += c >= 0;
    }
    return r;
}

static void reply(struct ft_api *api, struct rnet_http_request *req, struct job *job)
{
    int r = rn_blocking(api->diffs, compare_versions, job);

    if (r == 0) {
        ft_reply_json(req, 200,
                      json_pack("{s:s, s:I, s:I, s:o}", "configuration",
                                job->new->head.configuration, "version",
                                (json_int_t)job->new->head.number, "against",
                                (json_int_t)job->old->head.number, "objects", job->objects));
        return;
    }
    json_decref(job->objects);
    if (r == -E2BIG)
        ft_reply_problem(req, 422, "the difference is larger than %zu MiB: read both versions",
                         DIFF_BYTES_MAX >> 20);
    else
        ft_reply_problem(req, 503, "the versions could not be compared: %s", strerror(-r));
}

void ft_handle_version_diff(void *arg, struct rnet_http_request *req)
{
    struct ft_api *api = arg;
    CLEANUP(ft_version_unrefp) struct ft_version *old = NULL;
    CLEANUP(ft_version_unrefp) struct ft_version *new = NULL;
    struct rn_slice against = rnet_http_query(req, "against");

    if (!against.data) {
        ft_reply_problem(req, 400, "against which version? Say so: ?against=1");
        return;
    }
    if (!ft_request_version(api, req, rnet_http_param(req, "n"), &new) ||
        !ft_request_version(api, req, against, &old))
        return;
    reply(api, req, &(struct job){.old = old, .new = new});
}
