#include "offer.h"

#include <errno.h>
#include <stdlib.h>

#include <base/cleanup.h>
#include <proto/message.h>

static int offer_from_encoded(uint8_t *bytes, size_t len, struct ft_offer **ret)
{
    CLEANUP(ft_offer_freep) struct ft_offer *o = calloc(1, sizeof(*o));
    const struct ft_limits limits = {.message_max = FT_MESSAGE_MAX_AGENT};
    ProtobufCMessage *msg;
    int r;

    if (!o) {
        free(bytes);
        return -ENOMEM;
    }
    o->bytes = bytes;
    o->len = len;
    r = ft_message_decode(ft_offer_bytes(o), &opamp__proto__agent_remote_config__descriptor,
                          &limits, &o->arena, &msg, NULL);
    if (r < 0)
        return r;
    const Opamp__Proto__AgentRemoteConfig *c = (const Opamp__Proto__AgentRemoteConfig *)msg;
    if (c->config_hash.len == 0)
        return -EINVAL;
    o->hash = rn_slice(c->config_hash.data, c->config_hash.len);
    r = ft_objects_from_opamp(c->config, &o->objects);
    if (r < 0)
        return r;
    *ret = TAKE(o);
    return 0;
}

int ft_offer_from_opamp(const Opamp__Proto__AgentRemoteConfig *config, struct ft_offer **ret)
{
    CLEANUP(ft_buf_fini) struct ft_buf out = FT_BUF_INIT(FT_MESSAGE_MAX_AGENT);
    size_t len;
    uint8_t *bytes;
    int r = ft_message_encode(&config->base, FT_MESSAGE_MAX_AGENT, &out);

    if (r < 0)
        return r;
    bytes = ft_buf_take(&out, &len);
    return bytes ? offer_from_encoded(bytes, len, ret) : -EINVAL;
}

int ft_offer_from_bytes(struct rn_slice bytes, struct ft_offer **ret)
{
    uint8_t *copy = malloc(bytes.len + 1);

    if (!copy)
        return -ENOMEM;
    memcpy(copy, bytes.data, bytes.len);
    return offer_from_encoded(copy, bytes.len, ret);
}

struct ft_offer *ft_offer_free(struct ft_offer *o)
{
    if (!o)
        return NULL;
    ft_objects_fini(&o->objects);
    ft_arena_fini(&o->arena);
    free(o->bytes);
    free(o);
    return NULL;
}
