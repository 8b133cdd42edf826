/* An offered configuration: the bytes of an OpAMP AgentRemoteConfig and a view of them.
 *
 * The bytes are what the journal keeps, so what was offered and what is read back after a crash are
 * one thing. An offer is immutable.
 */
#pragma once

#include <model/object.h>
#include <proto/alloc.h>

struct ft_offer {
    uint8_t *bytes; /* owned: the encoded message */
    size_t len;
    struct ft_arena arena;
    struct rn_slice hash;      /* the server's choice, not empty; into the arena */
    struct ft_objects objects; /* by name; texts in the arena */
};

/* A copy of a message's part. Returns: 0, -EINVAL (no hash), -E2BIG, -ENOMEM. */
int ft_offer_from_opamp(const Opamp__Proto__AgentRemoteConfig *config, struct ft_offer **ret);
/* From stored bytes (copied). Returns: as above, -EBADMSG. */
int ft_offer_from_bytes(struct rn_slice bytes, struct ft_offer **ret);

struct ft_offer *ft_offer_free(struct ft_offer *o); /* NULL is fine; returns NULL */
static inline void ft_offer_freep(struct ft_offer **o)
{
    (void)ft_offer_free(*o);
}

static inline struct rn_slice ft_offer_bytes(const struct ft_offer *o)
{
    return rn_slice(o->bytes, o->len);
}
