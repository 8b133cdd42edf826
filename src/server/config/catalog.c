/* The catalog judges what comes from outside, lets the store do it, and shows the result.
 *
 *     check -> ft_store_...() -> publish: the youngest table wins -> changes channel: every agent
 *
 * Two writers may come back from the store in either order; the epoch of their tables says which
 * one is younger. Readers take a reference under a short lock and need nothing else.
 */
#include "config/catalog.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <base/cleanup.h>

#include <runnel/lock.h>

#include <model/template.h>
#include <proto/utf8.h>

#include "changes.h"
#include "config/render.h"

struct ft_catalog {
    /* set once */
    struct ft_store *store; /* borrowed */
    size_t           wire_max;
    struct rn_tx     changes; /* borrowed */
    struct ft_events *events; /* borrowed */

    struct rn_lock lock;

    /* lock */
    struct ft_groups *groups; /* counted, never NULL */
};

/* ---- The table ---- */

int ft_catalog_open(const struct ft_catalog_options *options, struct ft_catalog **ret)
{
    CLEANUP(ft_catalog_closep) struct ft_catalog *c = calloc(1, sizeof(*c));
    int r;

    if (!c)
        return -ENOMEM;
    c->store = options->store;
    c->wire_max = ft_render_wire_max(options->message_max);
    c->changes = options->changes;
    c->events = options->events;
    r = ft_store_groups(c->store, &c->groups);
    if (r < 0)
        return r;
    if (!ft_groups_get(c->groups, rn_slice_str(FT_GROUP_DEFAULT)))
        return -EUCLEAN;

    *ret = TAKE(c);
    return 0;
}

void ft_catalog_close(struct ft_catalog *c)
{
    if (!c)
        return;
    ft_groups_unref(c->groups);
    free(c);
}

void ft_catalog_closep(struct ft_catalog **c)
{
    ft_catalog_close(*c);
    *c = NULL;
}

struct ft_groups *ft_catalog_groups(struct ft_catalog *c)
{
    struct ft_groups *t;

    rn_lock_acquire(&c->lock);
    t = ft_groups_ref(c->groups);
    rn_lock_release(&c->lock);
    return t;
}

struct ft_group *ft_catalog_resolve(struct ft_catalog *c, ft_selector_lookup_fn lookup, void *arg)
{
    struct ft_groups *t = ft_catalog_groups(c);
    struct ft_group  *g = ft_group_ref(ft_groups_match(t, lookup, arg));

    ft_groups_unref(t);
    return g;
}

static void publish_version(struct ft_catalog *c, const struct ft_version_head *head)
{
    ft_events_publish(c->events, &(struct ft_event){.change = FT_EVENT_config_version,
                                                    .name = rn_slice_str(head->configuration),
                                                    .version = head->number,
                                                    .has_hash = true,
                                                    .hash = head->hash});
}

/* The group as the youngest table has it: the last event about a group is what is true. */
static void add_event_locked(struct ft_catalog *c, struct rn_slice name)
{
    const struct ft_group *g = ft_groups_get(c->groups, name);
    struct ft_event e = {.change = g ? FT_EVENT_config_group : FT_EVENT_config_group_deleted,
                         .name = name};

    if (g && g->version) {
        e.text = rn_slice_str(g->version->head.configuration);
        e.version = g->version->head.number;
    }
    ft_events_add(c->events, &e);
}

/* Show a table in which group `name` changed. Takes over the reference. */
static void publish(struct ft_catalog *c, struct ft_groups *t, struct rn_slice name)
{
    struct ft_groups *old = t;

    rn_lock_acquire(&c->lock);
    if (t->epoch > c->groups->epoch) {
        old = c->groups;
        c->groups = t;
    }
    add_event_locked(c, name);
    rn_lock_release(&c->lock);
    ft_events_tell(c->events);
    ft_groups_unref(old);
    if (c->changes.gen)
        (void)ft_changes_push_every(c->changes); /* nobody listens any more: the server stops */
}

/* ---- Judging ---- */

__attribute__((format(printf, 3, 4))) static int refuse(struct ft_problem *p, int r,
                                                        const char *detail, ...)
{
    va_list args;

    va_start(args, detail);
    (void)vsnprintf(p->detail, sizeof(p->detail), detail, args);
    va_end(args);
    return r;
}

static void problem_clear(struct ft_problem *p, const char *pointer)
{
    *p = (struct ft_problem){0};
    (void)snprintf(p->pointer, sizeof(p->pointer), "%s", pointer);
}

/* /objects/NAME/FIELD; a name in a pointer has ~ as ~0 and / as ~1. */
static void point_at_object(struct ft_problem *p, struct rn_slice name, const char *field)
{
    size_t at = (size_t)snprintf(p->pointer, sizeof(p->pointer), "/objects/");

    for (size_t i = 0; i < name.len && at + 16 < sizeof(p->pointer); i++) {
        const char c = (char)name.data[i];

        if (c == '~' || c == '/')
            p->pointer[at++] = '~';
        p->pointer[at++] = c == '~' ? '0' : c == '/' ? '1' : c;
    }
    (void)snprintf(p->pointer + at, sizeof(p->pointer) - at, "%s", field);
}

/* Text that a database column and a JSON string can hold. */
static bool is_text(struct rn_slice s)
{
    return ft_utf8_valid(s) && (s.len == 0 || !memchr(s.data, '\0', s.len));
}

static int check_name(struct rn_slice name, const char *pointer, struct ft_problem *p)
{
    const char *why;

    problem_clear(p, pointer);
    return ft_name_check(name, &why) < 0 ? refuse(p, -EINVAL, "%s", why) : 0;
}

static int check_comment(struct rn_slice comment, struct ft_problem *p)
{
    problem_clear(p, "/comment");
    if (comment.len > FT_COMMENT_MAX)
        return refuse(p, -EINVAL, "a comment has at most %d bytes", FT_COMMENT_MAX);
    return is_text(comment) ? 0 : refuse(p, -EINVAL, "a comment is UTF-8 text without NUL");
}

static int check_object(const struct ft_object *in, struct ft_object *out, struct ft_problem *p)
{
    struct ft_syntax_error e;
    const char            *why;

    *out = *in;
    point_at_object(p, in->name, "");
    if (ft_object_name_check(in->name, &why) < 0)
        return refuse(p, -EINVAL, "%s", why);
    point_at_object(p, in->name, "/content_type");
    if (ft_content_type_normalize(in->content_type, &out->content_type) < 0)
        return refuse(p, -EINVAL, "a content type has at most 255 bytes of printable ASCII");
    if (!in->is_template)
        return 0;

    point_at_object(p, in->name, "/body");
    if (ft_template_check(in->body, &e) < 0) {
        p->line = e.line;
        return refuse(p, -EBADMSG, "line %u, column %u: %s", e.line, e.column, e.text);
    }
    return 0;
}

/* Copies the array, with content types as they are stored. */
static int check_objects(const struct ft_catalog *c, const struct ft_object objects[], size_t n,
                         struct ft_objects *ret, struct ft_problem *p)
{
    CLEANUP(freep) struct ft_object *checked = NULL;
    int r;

    problem_clear(p, "/objects");
    if (n == 0)
        return refuse(p, -EBADMSG, "a version has at least one object");
    if (n > FT_OBJECTS_MAX)
        return refuse(p, -E2BIG, "a version has at most %d objects", FT_OBJECTS_MAX);
    checked = calloc(n, sizeof(*checked));
    if (!checked)
        return -ENOMEM;
    for (size_t i = 0; i < n; i++) {
        r = check_object(&objects[i], &checked[i], p);
        if (r < 0)
            return r;
    }

    problem_clear(p, "/objects");
    r = ft_objects_from(checked, n, ret);
    if (r == -EEXIST)
        return refuse(p, -EINVAL, "an object comes twice");
    if (r < 0)
        return r;
    if (ft_rendered_wire_min(ret) > c->wire_max)
        return refuse(p, -E2BIG,
                      "the objects pass %zu bytes, the most that a message to an agent holds: "
                      "raise message_max or split them",
                      c->wire_max);
    return 0;
}

/* ---- Configurations and versions ---- */

int ft_catalog_configuration_create(struct ft_catalog *c, struct rn_slice name,
                                    struct rn_slice comment, struct ft_configuration *ret,
                                    struct ft_problem *reterr)
{
    int r = check_name(name, "/name", reterr);

    if (r == 0)
        r = check_comment(comment, reterr);
    if (r < 0)
        return r;
    problem_clear(reterr, "/name");
    r = ft_store_configuration_create(c->store, name, comment, ret);
    return r == -EEXIST ? refuse(reterr, r, "a configuration of this name exists") : r;
}

int ft_catalog_configuration_get(struct ft_catalog *c, struct rn_slice name,
                                 struct ft_configuration *ret)
{
    return ft_store_configuration_get(c->store, name, ret);
}

int ft_catalog_configuration_list(struct ft_catalog *c, struct rn_slice after, size_t max,
                                  struct ft_configuration **ret, size_t *ret_n)
{
    return ft_store_configuration_list(c->store, after, max, ret, ret_n);
}

int ft_catalog_version_add(struct ft_catalog *c, struct rn_slice configuration,
                           const struct ft_object objects[], size_t n, struct rn_slice comment,
                           struct ft_version_head *ret, bool *ret_created,
                           struct ft_problem *reterr)
{
    CLEANUP(ft_objects_fini) struct ft_objects checked = {0};
    int r = check_comment(comment, reterr);

    if (r == 0)
        r = check_objects(c, objects, n, &checked, reterr);
    if (r < 0)
        return r;
    problem_clear(reterr, "");
    r = ft_store_version_add(c->store, configuration, &checked, comment, ret, ret_created);
    if (r == 0 && *ret_created)
        publish_version(c, ret);
    return r == -ENOENT ? refuse(reterr, r, "there is no such configuration: create it first") : r;
}

int ft_catalog_version_get(struct ft_catalog *c, struct rn_slice configuration, uint32_t number,
                           struct ft_version **ret)
{
    return ft_store_version_get(c->store, configuration, number, ret);
}

int ft_catalog_version_list(struct ft_catalog *c, struct rn_slice configuration, uint32_t after,
                            size_t max, struct ft_version_head **ret, size_t *ret_n)
{
    return ft_store_version_list(c->store, configuration, after, max, ret, ret_n);
}

/* ---- Groups ---- */

static int check_selector(const struct ft_group_draft *d, struct ft_problem *p)
{
    CLEANUP(ft_selector_freep) struct ft_selector *selector = NULL;
    struct ft_syntax_error e;
    int                    r;

    problem_clear(p, "/selector");
    if (d->selector.len > FT_SELECTOR_LEN_MAX)
        return refuse(p, -EBADMSG, "a selector has at most %d bytes", FT_SELECTOR_LEN_MAX);
    r = ft_selector_parse(d->selector, &selector, &e);
    if (r == -EINVAL)
        return refuse(p, -EBADMSG, "column %u: %s", e.column, e.text);
    if (r < 0)
        return r;
    if (rn_slice_eq_str(d->name, FT_GROUP_DEFAULT) && !ft_selector_is_empty(selector))
        return refuse(p, -EBADMSG,
                      "the group default takes only the empty selector: it has every agent that no "
                      "other group matches");
    return 0;
}

static int check_variables(const struct ft_attrs *variables, struct ft_problem *p)
{
    problem_clear(p, "/variables");
    for (uint32_t i = 0; variables && i < variables->count; i++) {
        const struct ft_attr *v = &variables->items[i];

        if (v->key.len == 0 || v->key.len > 255 || !is_text(v->key) || !is_text(v->text))
            return refuse(p, -EBADMSG,
                          "a variable has a name of 1 to 255 bytes and a text as its value, both "
                          "UTF-8 without NUL");
    }
    return 0;
}

int ft_catalog_group_put(struct ft_catalog *c, const struct ft_group_draft *draft,
                         struct ft_group **ret, bool *ret_created, struct ft_problem *reterr)
{
    struct ft_groups *t = NULL;
    int               r = check_name(draft->name, "", reterr);

    if (r == 0)
        r = check_selector(draft, reterr);
    if (r == 0)
        r = check_variables(draft->variables, reterr);
    if (r < 0)
        return r;

    problem_clear(reterr, "/configuration");
    r = ft_store_group_put(c->store, draft, ret_created, &t);
    if (r == -ENOENT)
        return refuse(reterr, -EBADMSG, "there is no version %u of a configuration of this name",
                      draft->version);
    if (r < 0)
        return r;
    *ret = ft_group_ref(ft_groups_get(t, draft->name));
    publish(c, t, draft->name);
    return 0;
}

int ft_catalog_group_delete(struct ft_catalog *c, struct rn_slice name, uint64_t if_match)
{
    struct ft_groups *t = NULL;
    int               r;

    if (rn_slice_eq_str(name, FT_GROUP_DEFAULT))
        return -EPERM;
    r = ft_store_group_delete(c->store, name, if_match, &t);
    if (r < 0)
        return r;
    publish(c, t, name);
    return 0;
}

int ft_catalog_put_object(struct ft_catalog *c, struct rn_slice group, struct rn_slice object,
                          struct rn_slice content_type, struct rn_slice body, uint64_t if_match,
                          struct ft_object_put_result *ret, struct ft_problem *reterr)
{
    struct ft_object o = {.name = object.len ? object : rn_slice_str(FT_OBJECT_DEFAULT),
                          .body = body};
    struct ft_object_put put = {
        .group = group, .object = &o, .wire_max = c->wire_max, .if_match = if_match};
    struct ft_groups    *t = NULL;
    const char          *why;
    int                  r;

    problem_clear(reterr, "");
    if (ft_object_name_check(o.name, &why) < 0)
        return refuse(reterr, -EINVAL, "object: %s", why);
    if (ft_content_type_normalize(content_type, &o.content_type) < 0)
        return refuse(reterr, -EINVAL, "Content-Type: at most 255 bytes of printable ASCII");

    r = ft_store_object_put(c->store, &put, ret, &t);
    if (r == -E2BIG)
        return refuse(reterr, r,
                      "with this object the configuration passes %d objects or %zu bytes, the most "
                      "that a message to an agent holds",
                      FT_OBJECTS_MAX, c->wire_max);
    if (r == -ENOENT)
        return refuse(reterr, r, "there is no such group");
    if (r < 0)
        return r;
    if (ret->created)
        publish_version(c, &ret->head);
    publish(c, t, group);
    return 0;
}
