/* A rendered configuration: the objects as an agent gets them, with their hash and the encoded
 * message, made once and shared.
 *
 * Immutable and counted: references may be held and dropped by any thread. Equal content has an
 * equal hash, so a cache by hash keeps each body once (config/render.h of the server).
 */
#pragma once

#include <stdatomic.h>

#include <model/hash.h>
#include <model/object.h>

struct ft_rendered {
    _Atomic uint32_t  refs;
    struct ft_hash    hash;    /* the contract's, over `objects` */
    struct ft_objects objects; /* texts inside `wire` */
    size_t            bytes;   /* of names, content types and bodies together */
    struct rn_slice   wire;    /* an encoded AgentRemoteConfig, with its config_hash; owned */
};

/* Copies the objects. Returns: 0, -ENOMEM. */
int ft_rendered_new(const struct ft_objects *objects, struct ft_rendered **ret);

struct ft_rendered *ft_rendered_ref(struct ft_rendered *r);
/* NULL is fine. Returns NULL. */
struct ft_rendered *ft_rendered_unref(struct ft_rendered *r);
void                ft_rendered_unrefp(struct ft_rendered **r);

/* How long the AgentRemoteConfig of these objects is at least, without making it: a template counts
 * as if it rendered to nothing. */
size_t ft_rendered_wire_min(const struct ft_objects *objects);
