/* The effective configuration: what the mapped files really hold, whoever wrote them. */
#pragma once

#include <proto/buf.h>

#include "settings.h"
#include "store.h"

struct ft_effective_file {
    const char *name; /* of the object; borrowed from the settings */
    char *content_type;
    struct ft_buf body;
};

struct ft_effective {
    struct ft_effective_file *files; /* owned */
    size_t n;
};

/* Read all mapped files; one that is missing or unreadable is left out. An object that several
 * processes map is read once. Content types are those of the last good configuration. Blocking;
 * serialised with all other uses of the store. 0 or -ENOMEM. */
int ft_effective_read(const struct ft_settings *settings, const struct ft_store *store,
                      struct ft_effective *ret);
void ft_effective_fini(struct ft_effective *e);

/* A number that changes when a mapped file is changed, replaced or removed. Doesn't read the files.
 */
uint64_t ft_effective_signature(const struct ft_settings *settings);
