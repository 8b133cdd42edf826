#include "config/subject.h"

#include <errno.h>

#include <base/cleanup.h>

#include <proto/limits.h>
#include <proto/message.h>

#define DESCRIPTION_MAX                                                                            \
    (4 * FT_MIB) /* of a description that came in a message which was judged already */

int ft_subject_init(struct ft_subject *s, const struct ft_uuid *uid, struct rn_slice description)
{
    CLEANUP(ft_arena_fini) struct ft_arena    arena = {0};
    const struct ft_limits                    limits = {.message_max = DESCRIPTION_MAX};
    const Opamp__Proto__AgentDescription     *d;
    ProtobufCMessage                         *m;
    struct ft_subject                         out = {.uid = *uid};
    int                                       r;

    if (description.len) {
        r = ft_message_decode(description, &opamp__proto__agent_description__descriptor, &limits,
                              &arena, &m, NULL);
        if (r < 0)
            return r;
        d = (const Opamp__Proto__AgentDescription *)(const void *)m;
        r = ft_attrs_from_opamp(d->identifying_attributes, d->n_identifying_attributes,
                                &out.identifying);
        if (r == 0)
            r = ft_attrs_from_opamp(d->non_identifying_attributes, d->n_non_identifying_attributes,
                                    &out.non_identifying);
        if (r < 0) {
            ft_subject_fini(&out);
            return r;
        }
    }
    *s = out;
    return 0;
}

void ft_subject_fini(struct ft_subject *s)
{
    s->identifying = ft_attrs_free(s->identifying);
    s->non_identifying = ft_attrs_free(s->non_identifying);
}

static bool found(const struct ft_attr *attr, struct rn_slice *ret_value)
{
    if (attr)
        *ret_value = attr->text;
    return attr != NULL;
}

bool ft_subject_attr(const struct ft_subject *s, struct rn_slice key, struct rn_slice *ret_value)
{
    return found(ft_attrs_get(s->identifying, key), ret_value) ||
           found(ft_attrs_get(s->non_identifying, key), ret_value);
}

bool ft_subject_lookup(void *arg, struct rn_slice key, struct rn_slice *ret_value)
{
    const struct ft_subject *s = arg;

    return found(ft_attrs_get_label(s->non_identifying, key), ret_value) ||
           ft_subject_attr(s, key, ret_value);
}
