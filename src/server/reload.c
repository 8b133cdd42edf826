#include "reload.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <base/cleanup.h>
#include <base/log.h>

#include "metrics/intake.h"
#include "pipeline.h"

#define READ_MAX (10 * RN_S)

/* ---- reading: a job of the pool ---- */

/* All that a HUP brings, before anything of it is in force. */
struct candidate {
    const struct ft_settings_source *source;
    const char *token_path;
    _Atomic unsigned *readings;
    struct ft_settings settings;
    struct ft_pipeline pipeline;
    char token[FT_TOKEN_SIZE];
    int result;
    struct ft_text_error why;
};

static void candidate_free(void *arg)
{
    struct candidate *c = arg;

    ft_pipeline_fini(&c->pipeline);
    ft_settings_fini(&c->settings);
    explicit_bzero(c->token, sizeof(c->token));
    atomic_fetch_sub(c->readings, 1);
    free(c);
}

static void candidate_freep(struct candidate **c)
{
    if (*c)
        candidate_free(*c);
}

static int read_job(void *arg)
{
    struct candidate *c = arg;

    c->result = ft_settings_load(c->source, &c->settings, &c->why);
    if (c->result == 0)
        c->result = ft_pipeline_read(&c->settings, &c->pipeline, &c->why);
    if (c->result == 0)
        c->result = ft_api_token(c->token_path, c->token, &c->why);
    return 0;
}

static int candidate_read(struct ft_reload *r, struct candidate **ret, struct ft_text_error *reterr)
{
    CLEANUP(candidate_freep) struct candidate *c = calloc(1, sizeof(*c));

    if (!c) {
        ft_text_error_set(reterr, "out of memory: free some");
        return -ENOMEM;
    }
    c->source = r->source;
    c->token_path = r->token_path;
    c->readings = &r->readings;
    atomic_fetch_add(&r->readings, 1);
    struct candidate *given = TAKE(c);
    int e = rn_blocking_owned(r->files, read_job, given, candidate_free, rn_after(READ_MAX));
    if (e < 0) {
        ft_text_error_set(reterr, "the settings cannot be read: %s", strerror(-e));
        return e;
    }
    c = given;
    if (c->result < 0) {
        *reterr = c->why;
        return c->result;
    }
    *ret = TAKE(c);
    return 0;
}

/* ---- what may change ---- */

static void apply_timeout_set(struct ft_reload *r, const struct ft_settings *s)
{
    atomic_store_explicit(&r->apply_timeout, s->agents.apply_timeout, memory_order_relaxed);
}

static void heartbeat_set(struct ft_reload *r, const struct ft_settings *s)
{
    /* Whom a lack of memory keeps from being told at once is told with its next message. */
    (void)ft_sessions_set_heartbeat(r->sessions, (uint32_t)(s->agents.heartbeat / RN_S));
}

/* What is read from `current` whenever it is needed, or is compared where it is kept. */
static void nothing_to_set(struct ft_reload *r, const struct ft_settings *s)
{
    (void)r;
    (void)s;
}

/* The keys that may change while the server runs; every other one needs a restart. */
static const struct key {
    const char *name;
    void (*set)(struct ft_reload *r, const struct ft_settings *s); /* NULL: see the caller */
} keys[] = {
    {"agents.apply_timeout", apply_timeout_set},
    {"agents.heartbeat", heartbeat_set},
    {"stop_timeout", nothing_to_set},
    {"metrics.lane.bytes_max", nothing_to_set}, /* exporters_follow() */
    {"metrics.lane.overflow", nothing_to_set},
    {"exporters", NULL},
};

static const struct key *key_find(const char *name)
{
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
        if (strcmp(keys[i].name, name) == 0)
            return &keys[i];
    return NULL;
}

/* ---- applying ---- */

struct change {
    struct ft_reload *reload;
    const struct ft_settings *to;
    struct ft_text_list applied, restart;
};

/* Differs from what is in force. */
static void apply(void *arg, const char *name)
{
    struct change *c = arg;
    const struct key *key = key_find(name);

    if (!key || !key->set)
        return;
    key->set(c->reload, c->to);
    ft_text_list_add(&c->applied, "%s", name);
}

/* Differs from what the server was started with. */
static void note_restart(void *arg, const char *name)
{
    struct change *c = arg;

    if (!key_find(name))
        ft_text_list_add(&c->restart, "%s", name);
}

static void token_apply(struct change *c, const char *token)
{
    struct ft_reload *r = c->reload;

    if (strcmp(r->token, token) == 0)
        return;
    memcpy(r->token, token, sizeof(r->token));
    ft_api_set_token(r->api, r->token);
    ft_text_list_add(&c->applied, "admin-token");
}

/* Always, not only where the key differs: a secret may have changed, and who failed is tried again.
 */
static void exporters_follow(struct change *c, const struct ft_pipeline *pipeline)
{
    struct ft_fanout_options options = ft_pipeline_options(pipeline, c->to);
    struct ft_text_list news;

    options.lane.batches_max = c->reload->started->metrics.lane.batches_max;
    int r = ft_intake_change(c->reload->intake, &options, rn_after(c->to->stop_timeout), &news);
    if (news.len)
        ft_text_list_add(&c->applied, "exporters (%s)", news.text);
    if (r < 0)
        log_error("not all exporters could be changed: reload again later",
                  LOG_STR("exporters", news.text), LOG_ERR(r));
}

static void tell(const struct change *c)
{
    log_info("settings reloaded", LOG_STR("changed", c->applied.len ? c->applied.text : "nothing"));
    if (c->restart.len)
        log_warn("settings that need a restart stay as they were",
                 LOG_STR("keys", c->restart.text));
}

int ft_reload(struct ft_reload *r)
{
    CLEANUP(candidate_freep) struct candidate *c = NULL;
    struct ft_text_error why = {0};

    int e = candidate_read(r, &c, &why);
    if (e == -ECANCELED)
        return e;
    if (e < 0) {
        log_error("settings not reloaded, the old ones stay", LOG_STR("why", why.text));
        return e;
    }
    struct change change = {.reload = r, .to = &c->settings};
    ft_settings_diff(&r->current, &c->settings, apply, &change);
    ft_settings_diff(r->started, &c->settings, note_restart, &change);
    exporters_follow(&change, &c->pipeline);
    token_apply(&change, c->token);
    tell(&change);
    ft_settings_fini(&r->current);
    ft_settings_share(&c->settings, &r->current);
    return 0;
}

void ft_reload_init(struct ft_reload *r, const struct ft_settings *started)
{
    r->started = started;
    ft_settings_share(started, &r->current);
    atomic_init(&r->apply_timeout, started->agents.apply_timeout);
}

void ft_reload_fini(struct ft_reload *r)
{
    ft_settings_fini(&r->current);
    explicit_bzero(r->token, sizeof(r->token));
}
