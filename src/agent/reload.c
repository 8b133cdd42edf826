/* Reloading, see reload.h. */
#include "reload.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <base/cleanup.h>
#include <base/log.h>

#include "agent.h"

#define READ_MAX (10 * RN_S)

void ft_reload_init(struct ft_reload *r, const struct ft_settings_source *source,
                    const struct ft_settings *started)
{
    *r = (struct ft_reload){.source = source, .started = started};
    ft_settings_share(started, &r->current);
}

void ft_reload_fini(struct ft_reload *r)
{
    ft_settings_fini(&r->current);
}

void ft_reload_ask(struct ft_agent *a)
{
    a->reload.asked = true;
    ft_bell_ring(&a->apply.bell);
}

/* ---- what may change ---- */

static void labels_changed(struct ft_agent *a)
{
    ft_report_mark(&a->report, FT_PART_DESCRIPTION);
}

static void processes_changed(struct ft_agent *a)
{
    /* the single process gives the agent its name */
    ft_report_mark(&a->report, FT_PART_DESCRIPTION | FT_PART_HEALTH | FT_PART_EFFECTIVE);
}

/* What is read whenever it is needed. */
static void nothing_to_do(struct ft_agent *a)
{
    (void)a;
}

/* The keys that may change while the agent runs; every other one needs a restart. */
static const struct key {
    const char *name;
    void (*changed)(struct ft_agent *a); /* the new settings are in force */
} keys[] = {
    {"server", ft_link_move},          {"labels", labels_changed},
    {"reconnect.base", nothing_to_do}, {"reconnect.max", nothing_to_do},
    {"processes", processes_changed},
};

static const struct key *key_find(const char *name)
{
    for (size_t i = 0; i < sizeof(keys) / sizeof(*keys); i++)
        if (strcmp(keys[i].name, name) == 0)
            return &keys[i];
    return NULL;
}

/* ---- what came of it ---- */

struct changes {
    const struct key *list[sizeof(keys) / sizeof(*keys)];
    size_t n;
    struct ft_text_list applied, restart;
};

/* Differs from what is in force. */
static void note(void *arg, const char *name)
{
    struct changes *c = arg;
    const struct key *key = key_find(name);

    if (!key)
        return;
    c->list[c->n++] = key;
    ft_text_list_add(&c->applied, "%s", name);
}

/* Differs from what the agent was started with. */
static void note_restart(void *arg, const char *name)
{
    struct changes *c = arg;

    if (!key_find(name))
        ft_text_list_add(&c->restart, "%s", name);
}

static void tell(const struct changes *c)
{
    log_info("settings reloaded", LOG_STR("changed", c->applied.len ? c->applied.text : "nothing"));
    if (c->restart.len)
        log_warn("settings that need a restart stay as they were",
                 LOG_STR("keys", c->restart.text));
}

/* ---- reading: a job of the pool ---- */

struct candidate {
    const struct ft_settings_source *source;
    _Atomic unsigned *readings;
    struct ft_settings settings;
    int result;
    struct ft_text_error err;
};

static void candidate_free(void *arg)
{
    struct candidate *c = arg;

    ft_settings_fini(&c->settings);
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

    c->result = ft_settings_read(c->source->file, c->source->server, &c->settings, &c->err);
    return 0;
}

/* 0: *ret has been read, be it wrong. Else the error of the call. */
static int candidate_read(struct ft_agent *a, struct candidate **ret)
{
    int r = a->reload.pool ? 0 : rn_class_open("settings", 1, &a->reload.pool);
    struct candidate *c = r < 0 ? NULL : calloc(1, sizeof(*c));

    if (!c)
        return r < 0 ? r : -ENOMEM;
    c->source = a->reload.source;
    c->readings = &a->reload.readings;
    atomic_fetch_add(c->readings, 1);
    r = FT_OUTSIDE(&a->monitor, rn_blocking_owned(a->reload.pool, read_job, c, candidate_free,
                                                  rn_after(READ_MAX)));
    if (r == 0)
        *ret = c;
    return r;
}

bool ft_reload_hangs(const struct ft_reload *r)
{
    return atomic_load(&r->readings) > 0;
}

/* ---- one reload ---- */

/* Put `s`, which is taken over in every case, in force. 0, -ECANCELED. */
static int settings_take(struct ft_agent *a, struct ft_settings *s)
{
    struct ft_reload *r = &a->reload;
    struct changes c = {.n = 0};

    ft_settings_diff(&r->current, s, note, &c);
    ft_settings_diff(r->started, s, note_restart, &c);
    s->state = r->started->state;
    int e = ft_supervisor_follow(&a->supervisor, s);
    if (e == -EAGAIN || e == -ECANCELED) {
        if (e == -EAGAIN)
            log_error("settings not reloaded, the old ones stay: no memory: free some");
        ft_settings_fini(s);
        return e == -ECANCELED ? e : 0;
    }
    if (e < 0)
        log_error("not all new processes could be started: reload again", LOG_ERR(e));
    struct ft_settings old = r->current;
    r->current = *s;
    ft_settings_fini(&old);
    for (size_t i = 0; i < c.n; i++)
        c.list[i]->changed(a);
    tell(&c);
    return 0;
}

int ft_reload_if_asked(void *agent)
{
    struct ft_agent *a = agent;

    if (!a->reload.asked)
        return 0;
    CLEANUP(candidate_freep) struct candidate *c = NULL;

    a->reload.asked = false;
    int r = candidate_read(a, &c);
    if (r == -ECANCELED)
        return r;
    if (r == 0 && c->result == 0) {
        struct ft_settings settings = c->settings;
        c->settings = (struct ft_settings){0};
        return settings_take(a, &settings);
    }
    log_error("settings not reloaded, the old ones stay",
              LOG_STR("why", r == 0 && c->err.text[0] ? c->err.text
                             : r == -ETIMEDOUT ? "the settings cannot be read: in vain for 10 s"
                                               : strerror(r < 0 ? -r : -c->result)));
    return 0;
}
