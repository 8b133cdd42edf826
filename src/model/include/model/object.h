/* A configuration is a named map of objects; an object becomes a file on the agent's side. */
#pragma once

#include <proto/opamp.pb-c.h>

#include <runnel/slice.h>

#define FT_OBJECT_NAME_MAX  255
#define FT_OBJECTS_MAX      256 /* of one configuration */
#define FT_CONTENT_TYPE_MAX 255
#define FT_OBJECT_DEFAULT   "config.yaml"
#define FT_TYPE_OCTETS      "application/octet-stream"

/* Borrows its texts. */
struct ft_object {
    struct rn_slice name;
    struct rn_slice content_type;
    struct rn_slice body;
    bool            is_template;
};

/* A list in byte order of names, each name once. The array is owned, the texts are borrowed. */
struct ft_objects {
    struct ft_object *items;
    size_t            count;
};

/* The rule for a name that an operator gives: 1 to 255 bytes of valid UTF-8, no control bytes, no
 * '/', not "." or "..". Returns: 0, or -EINVAL and what is wrong (for a person) in *reterr, which
 * may be NULL. */
int ft_object_name_check(struct rn_slice name, const char **reterr);

/* White space around it is dropped; absent is FT_TYPE_OCTETS. Returns: 0 or -EINVAL (over 255
 * bytes, control or non-ASCII bytes). */
int ft_content_type_normalize(struct rn_slice sent, struct rn_slice *ret);

/* Byte order of names. */
int ft_object_cmp(const struct ft_object *a, const struct ft_object *b);

/* The same content: name, type, body and template flag. */
bool ft_object_eq(const struct ft_object *a, const struct ft_object *b);

/* The objects of a message's map (NULL: none); the message must outlive them. A name that comes
 * twice keeps its last object. Names are not checked: an agent may report what it likes. Returns:
 * 0, -E2BIG (over FT_OBJECTS_MAX), -ENOMEM. */
int ft_objects_from_opamp(const Opamp__Proto__AgentConfigMap *map, struct ft_objects *ret);

/* Copy and sort an array of objects. Returns: 0, -EEXIST (a name twice), -E2BIG, -ENOMEM. */
int ft_objects_from(const struct ft_object *objects, size_t n, struct ft_objects *ret);

void ft_objects_fini(struct ft_objects *o);

/* NULL when there is none. */
const struct ft_object *ft_objects_get(const struct ft_objects *o, struct rn_slice name);
