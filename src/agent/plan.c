/* Plans, see plan.h. As text: a line `fettle-plan 1 COUNT`, then per entry
 * `ACTION EXISTS MODE UID GID OURS <tab> OBJECT <tab> PATH`; neither name nor path has control
 * characters (settings.c). */
#include "plan.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <base/cleanup.h>

#define ENTRIES_MAX 65536

void ft_plan_fini(struct ft_plan *p)
{
    for (size_t i = 0; i < p->n; i++) {
        free(p->entries[i].object);
        free(p->entries[i].path);
    }
    free(p->entries);
    *p = (struct ft_plan){0};
}

static int entry_add(struct ft_plan *p, const struct ft_entry *like, const char *object,
                     const char *path)
{
    struct ft_entry *grown = reallocarray(p->entries, p->n + 1, sizeof(*grown));

    if (!grown)
        return -ENOMEM;
    p->entries = grown;
    grown[p->n] = *like;
    grown[p->n].object = strdup(object);
    grown[p->n].path = strdup(path);
    p->n++;
    return grown[p->n - 1].object && grown[p->n - 1].path ? 0 : -ENOMEM;
}

static bool object_is_mapped(const struct ft_settings *settings, struct rn_slice name)
{
    const struct ft_process_settings *p;
    size_t n = ft_settings_processes(settings, &p);

    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < p[i].objects.n; j++)
            if (rn_slice_eq_str(name, p[i].objects.items[j].key))
                return true;
    return false;
}

static int objects_check(const struct ft_settings *settings, const struct ft_offer *offer,
                         struct ft_text_error *reterr)
{
    for (size_t i = 0; i < offer->objects.count; i++) {
        struct rn_slice name = offer->objects.items[i].name;

        if (object_is_mapped(settings, name))
            continue;
        ft_text_error_set(reterr,
                          "object \"%.*s\" is not mapped to a file: add it under `objects` in the "
                          "agent's file, or remove it",
                          (int)(name.len > 255 ? 255 : name.len), (const char *)name.data);
        return -EINVAL;
    }
    return 0;
}

static const struct ft_entry *entry_find(const struct ft_plan *p, const char *path)
{
    for (size_t i = 0; i < p->n; i++)
        if (strcmp(p->entries[i].path, path) == 0)
            return &p->entries[i];
    return NULL;
}

/* Decide about one mapped file. */
static int entry_decide(const struct ft_store *store, const struct ft_offer *offer,
                        const struct ft_pair *pair, struct ft_plan *plan,
                        struct ft_text_error *reterr)
{
    CLEANUP(ft_buf_fini) struct ft_buf now = FT_BUF_INIT(FT_MESSAGE_MAX_AGENT);
    const struct ft_object *object = ft_objects_get(&offer->objects, rn_slice_str(pair->key));
    struct ft_entry e = {.ours = ft_store_wrote(store, pair->value)};
    int r;

    if (entry_find(plan, pair->value) || (!object && !e.ours))
        return 0;
    r = ft_file_read(pair->value, FT_MESSAGE_MAX_AGENT, &now, &e.old);
    if (r < 0 && r != -ENOENT) {
        ft_text_error_set(reterr, "%s: %s: make it a readable file of at most 64 MiB", pair->value,
                          strerror(-r));
        return -EINVAL;
    }
    if (!object)
        e.action = FT_ENTRY_REMOVE;
    else
        e.action = e.old.exists && rn_slice_eq(ft_buf_slice(&now), object->body) ? FT_ENTRY_KEEP
                                                                                 : FT_ENTRY_WRITE;
    if (!object && !e.old.exists)
        return 0; /* somebody removed it already */
    return entry_add(plan, &e, pair->key, pair->value);
}

int ft_plan_make(const struct ft_settings *settings, const struct ft_store *store,
                 const struct ft_offer *offer, struct ft_plan *ret, struct ft_text_error *reterr)
{
    CLEANUP(ft_plan_fini) struct ft_plan plan = {0};
    const struct ft_process_settings *p;
    size_t n = ft_settings_processes(settings, &p);
    int r = objects_check(settings, offer, reterr);

    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < p[i].objects.n && r == 0; j++)
            r = entry_decide(store, offer, &p[i].objects.items[j], &plan, reterr);
    if (r < 0)
        return r;
    *ret = plan;
    plan = (struct ft_plan){0};
    return 0;
}

bool ft_plan_changes(const struct ft_plan *p)
{
    for (size_t i = 0; i < p->n; i++)
        if (p->entries[i].action != FT_ENTRY_KEEP)
            return true;
    return false;
}

static bool maps(const struct ft_process_settings *process, const struct ft_entry *e)
{
    for (size_t j = 0; j < process->objects.n; j++)
        if (strcmp(process->objects.items[j].value, e->path) == 0 &&
            strcmp(process->objects.items[j].key, e->object) == 0)
            return true;
    return false;
}

bool ft_plan_touches(const struct ft_plan *p, const struct ft_process_settings *process)
{
    for (size_t i = 0; i < p->n; i++)
        if (p->entries[i].action != FT_ENTRY_KEEP && maps(process, &p->entries[i]))
            return true;
    return false;
}

bool ft_plan_fits(const struct ft_plan *p, const struct ft_settings *settings)
{
    const struct ft_process_settings *processes;
    size_t n = ft_settings_processes(settings, &processes);

    for (size_t i = 0; i < p->n; i++) {
        bool found = false;

        for (size_t j = 0; j < n && !found; j++)
            found = maps(&processes[j], &p->entries[i]);
        if (!found)
            return false;
    }
    return true;
}

int ft_plan_encode(const struct ft_plan *p, struct ft_buf *out)
{
    (void)ft_buf_printf(out, "fettle-plan 1 %zu\n", p->n);
    for (size_t i = 0; i < p->n; i++) {
        const struct ft_entry *e = &p->entries[i];

        (void)ft_buf_printf(out, "%d %d %o %u %u %d\t%s\t%s\n", e->action, e->old.exists,
                            (unsigned)e->old.mode, (unsigned)e->old.uid, (unsigned)e->old.gid,
                            e->ours, e->object, e->path);
    }
    return ft_buf_error(out);
}

static int line_decode(char *line, struct ft_plan *plan)
{
    struct ft_entry e = {0};
    unsigned mode, uid, gid;
    int action, exists, ours;
    char *object = strchr(line, '\t'), *path = object ? strchr(object + 1, '\t') : NULL;

    if (!path)
        return -EBADMSG;
    *object++ = '\0';
    *path++ = '\0';
    if (sscanf(line, "%d %d %o %u %u %d", &action, &exists, &mode, &uid, &gid, &ours) != 6)
        return -EBADMSG;
    if (action < FT_ENTRY_WRITE || action > FT_ENTRY_REMOVE || *path != '/')
        return -EBADMSG;
    e.action = (enum ft_entry_action)action;
    e.old = (struct ft_file_attrs){exists != 0, (mode_t)mode & 07777, uid, gid};
    e.ours = ours != 0;
    return entry_add(plan, &e, object, path);
}

int ft_plan_decode(struct rn_slice text, struct ft_plan *ret)
{
    CLEANUP(ft_plan_fini) struct ft_plan plan = {0};
    CLEANUP(freep) char *copy = strndup((const char *)text.data, text.len);
    char *rest = NULL, *line;
    size_t n;
    int r;

    if (!copy)
        return -ENOMEM;
    line = strtok_r(copy, "\n", &rest);
    if (!line || sscanf(line, "fettle-plan 1 %zu", &n) != 1 || n > ENTRIES_MAX)
        return -EBADMSG;
    while ((line = strtok_r(NULL, "\n", &rest))) {
        r = line_decode(line, &plan);
        if (r < 0)
            return r;
    }
    if (plan.n != n)
        return -EBADMSG;
    *ret = plan;
    plan = (struct ft_plan){0};
    return 0;
}
