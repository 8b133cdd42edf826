#include "effective.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <base/cleanup.h>
#include <base/log.h>

#include "files.h"

#define BODIES_BYTES_MAX (FT_MESSAGE_MAX_AGENT / 2) /* of one file */

static bool is_read(const struct ft_effective *e, const char *name)
{
    for (size_t i = 0; i < e->n; i++)
        if (strcmp(e->files[i].name, name) == 0)
            return true;
    return false;
}

static char *content_type(const struct ft_store *store, const char *name)
{
    const struct ft_object *o =
        store->applied ? ft_objects_get(&store->applied->objects, rn_slice_str(name)) : NULL;

    return o ? strndup((const char *)o->content_type.data, o->content_type.len)
             : strdup(FT_TYPE_OCTETS);
}

static int file_read(const struct ft_store *store, const struct ft_pair *pair,
                     struct ft_effective *e)
{
    struct ft_effective_file *f = &e->files[e->n];
    int r;

    *f = (struct ft_effective_file){.name = pair->key, .body = FT_BUF_INIT(BODIES_BYTES_MAX)};
    r = ft_file_read(pair->value, BODIES_BYTES_MAX, &f->body, NULL);
    if (r == 0) {
        f->content_type = content_type(store, pair->key);
        e->n++;
        return f->content_type ? 0 : -ENOMEM;
    }
    ft_buf_fini(&f->body);
    if (r != -ENOENT)
        log_warn("a mapped file cannot be reported: make it readable", LOG_STR("path", pair->value),
                 LOG_ERR(r));
    return 0;
}

int ft_effective_read(const struct ft_settings *settings, const struct ft_store *store,
                      struct ft_effective *ret)
{
    CLEANUP(ft_effective_fini) struct ft_effective e = {0};
    const struct ft_process_settings *p;
    size_t n = ft_settings_processes(settings, &p), pairs = 0;
    int r = 0;

    for (size_t i = 0; i < n; i++)
        pairs += p[i].objects.n;
    e.files = calloc(pairs + 1, sizeof(*e.files));
    if (!e.files)
        return -ENOMEM;
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < p[i].objects.n && r == 0; j++)
            if (!is_read(&e, p[i].objects.items[j].key))
                r = file_read(store, &p[i].objects.items[j], &e);
    if (r < 0)
        return r;
    *ret = e;
    e = (struct ft_effective){0};
    return 0;
}

void ft_effective_fini(struct ft_effective *e)
{
    for (size_t i = 0; i < e->n; i++) {
        free(e->files[i].content_type);
        ft_buf_fini(&e->files[i].body);
    }
    free(e->files);
    *e = (struct ft_effective){0};
}

static uint64_t mix(uint64_t h, uint64_t v)
{
    h ^= v + UINT64_C(0x9e3779b97f4a7c15) + (h << 6) + (h >> 2);
    return h * UINT64_C(0xff51afd7ed558ccd);
}

uint64_t ft_effective_signature(const struct ft_settings *settings)
{
    const struct ft_process_settings *p;
    size_t n = ft_settings_processes(settings, &p);
    uint64_t h = 1;

    for (size_t i = 0; i < n; i++) {
        for (size_t j = 0; j < p[i].objects.n; j++) {
            struct stat st;

            if (stat(p[i].objects.items[j].value, &st) < 0) {
                h = mix(h, 0);
                continue;
            }
            h = mix(mix(mix(h, st.st_ino), (uint64_t)st.st_size), (uint64_t)st.st_dev);
            h = mix(mix(h, (uint64_t)st.st_mtim.tv_sec), (uint64_t)st.st_mtim.tv_nsec);
            h = mix(mix(h, (uint64_t)st.st_ctim.tv_sec), (uint64_t)st.st_ctim.tv_nsec);
        }
    }
    return h;
}
