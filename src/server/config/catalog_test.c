#include "store/testing.h"

#include <stdio.h>
#include <string.h>

#include <base/cleanup.h>

#include "changes.h"
#include "config/catalog.h"
#include "config/render.h"

#define MESSAGE_MAX 65536

struct fixture {
    struct ft_store   *store;
    struct ft_catalog *catalog;
    struct rn_tx       tx;
    struct rn_rx       rx;
    struct ft_problem  problem;
};

static void set_up(struct fixture *f)
{
    *f = (struct fixture){.store = testing_store()};
    OK(rn_chan_open(sizeof(struct ft_uuid), 8, &f->tx, &f->rx));
    OK(ft_catalog_open(&(struct ft_catalog_options){f->store, MESSAGE_MAX, f->tx}, &f->catalog));
}

static void tear_down(struct fixture *f)
{
    ft_catalog_close(f->catalog);
    ft_store_close(f->store);
    rn_tx_closep(&f->tx);
    rn_rx_closep(&f->rx);
}
#define FIXTURE(f)                                                                                 \
    CLEANUP(tear_down) struct fixture f;                                                           \
    set_up(&f)

static struct ft_object_put_result put(struct fixture *f, const char *group, const char *object,
                                       const char *body)
{
    struct ft_object_put_result r = {0};

    OK(ft_catalog_put_object(f->catalog, S(group), S(object), S("text/plain"), S(body),
                             FT_MATCH_ALWAYS, &r, &f->problem));
    return r;
}

static struct ft_version_head add_version(struct fixture *f, const char *configuration,
                                          const char *object, const char *body)
{
    struct ft_configuration c;
    struct ft_object        o = testing_object(object, body);
    struct ft_version_head  head = {0};
    bool                    created;

    (void)ft_catalog_configuration_create(f->catalog, S(configuration), S(""), &c, &f->problem);
    OK(ft_catalog_version_add(f->catalog, S(configuration), &o, 1, S(""), &head, &created,
                              &f->problem));
    return head;
}

static void put_group(struct fixture *f, const char *name, const char *selector, int64_t priority,
                      const char *configuration, uint32_t version)
{
    struct ft_group_draft d = {.name = S(name),
                               .selector = S(selector),
                               .priority = priority,
                               .configuration = S(configuration),
                               .version = version};
    struct ft_group      *g;
    bool                  created;

    OK(ft_catalog_group_put(f->catalog, &d, &g, &created, &f->problem));
    STREQ(g->name, name);
    ft_group_unref(g);
}

static bool told_everybody(struct fixture *f)
{
    struct ft_uuid uid;
    bool           told = false;

    while (rn_rx_try_recv(f->rx, &uid) == 0)
        told = ft_uuid_is_zero(&uid);
    return told;
}

/* ---- The PUT of one object ---- */

TASK_TEST(a_put_makes_a_version_and_assigns_it)
{
    FIXTURE(f);
    struct ft_object_put_result r = put(&f, "default", "app.conf", "one");
    CLEANUP(ft_groups_unrefp) struct ft_groups *t = ft_catalog_groups(f.catalog);
    const struct ft_group *g = ft_groups_get(t, S("default"));

    STREQ(r.head.configuration, "default");
    EQ(r.head.number, 1);
    TRUE(r.created);
    STREQ(r.head.comment, "");
    EQ(g->version->head.number, 1);
    EQ(g->assignment, r.assignment);
    TRUE(ft_hash_eq(&g->version->head.hash, &r.head.hash));
    TRUE(told_everybody(&f));
}

TASK_TEST(a_put_changes_one_object_of_what_the_group_runs)
{
    FIXTURE(f);
    CLEANUP(ft_version_unrefp) struct ft_version *v = NULL;

    (void)put(&f, "default", "a", "one");
    (void)put(&f, "default", "b", "two");
    EQ(put(&f, "default", "a", "three").head.number, 3);
    OK(ft_catalog_version_get(f.catalog, S("default"), 3, &v));
    EQ(v->objects.count, 2);
    TRUE(rn_slice_eq_str(v->objects.items[0].body, "three"));
    TRUE(rn_slice_eq_str(v->objects.items[1].body, "two"));
}

TASK_TEST(a_put_of_content_that_is_there_answers_with_the_existing_version_and_assigns_anew)
{
    FIXTURE(f);
    const struct ft_object_put_result one = put(&f, "default", "a", "one"),
                                      two = put(&f, "default", "a", "two"),
                                      back = put(&f, "default", "a", "one"),
                                      same = put(&f, "default", "a", "one");

    EQ(two.head.number, 2);
    EQ(back.head.number, 1);
    FALSE(back.created);
    TRUE(ft_hash_eq(&one.head.hash, &back.head.hash));
    EQ(same.head.number, 1);
    FALSE(same.created);
    GT(same.assignment, back.assignment);
    GT(back.assignment, two.assignment);
}

TASK_TEST(a_put_onto_another_configuration_copies_it_under_the_groups_name)
{
    FIXTURE(f);
    CLEANUP(ft_version_unrefp) struct ft_version *v = NULL;
    struct ft_object_put_result r;

    EQ(add_version(&f, "shared", "a", "one").number, 1);
    put_group(&f, "web", "", 0, "shared", 1);
    r = put(&f, "web", "b", "two");
    STREQ(r.head.configuration, "web");
    EQ(r.head.number, 1);
    STREQ(r.head.comment, "from shared v1");
    OK(ft_catalog_version_get(f.catalog, S("web"), 1, &v));
    EQ(v->objects.count, 2);
    EQ(put(&f, "web", "b", "three").head.number, 2);
    STREQ(put(&f, "web", "b", "four").head.comment, "");
}

TASK_TEST(a_put_that_changes_nothing_keeps_the_version_of_another_configuration)
{
    FIXTURE(f);
    struct ft_object_put_result r;

    (void)add_version(&f, "shared", "a", "one");
    put_group(&f, "web", "", 0, "shared", 1);
    r = put(&f, "web", "a", "one");
    STREQ(r.head.configuration, "shared");
    EQ(r.head.number, 1);
    FALSE(r.created);
}

TASK_TEST(a_put_is_never_a_template_and_leaves_the_others_what_they_are)
{
    FIXTURE(f);
    CLEANUP(ft_version_unrefp) struct ft_version *v = NULL;
    struct ft_configuration c;
    struct ft_object o[2] = {testing_object("a", "{{ var.x }}"),
                             testing_object("b", "{{ var.y }}")};
    struct ft_version_head  head;
    bool                    created;

    o[0].is_template = o[1].is_template = true;
    OK(ft_catalog_configuration_create(f.catalog, S("default"), S(""), &c, &f.problem));
    OK(ft_catalog_version_add(f.catalog, S("default"), o, 2, S(""), &head, &created, &f.problem));
    put_group(&f, "default", "", 0, "default", 1);
    EQ(put(&f, "default", "a", "{{ var.x }}").head.number, 2);
    OK(ft_catalog_version_get(f.catalog, S("default"), 2, &v));
    FALSE(v->objects.items[0].is_template);
    TRUE(v->objects.items[1].is_template);
}

TASK_TEST(a_puts_content_type_is_kept_trimmed_and_its_object_has_a_default)
{
    FIXTURE(f);
    CLEANUP(ft_version_unrefp) struct ft_version *v = NULL;
    struct ft_object_put_result r;

    OK(ft_catalog_put_object(f.catalog, S("default"), S(""), S(""), S("x"), FT_MATCH_ALWAYS, &r,
                             &f.problem));
    OK(ft_catalog_put_object(f.catalog, S("default"), S("b"), S("  text/x; a=b\t"), S("x"),
                             FT_MATCH_ALWAYS, &r, &f.problem));
    OK(ft_catalog_version_get(f.catalog, S("default"), 2, &v));
    TRUE(rn_slice_eq_str(v->objects.items[0].content_type, "text/x; a=b"));
    TRUE(rn_slice_eq_str(v->objects.items[1].name, "config.yaml"));
    TRUE(rn_slice_eq_str(v->objects.items[1].content_type, "application/octet-stream"));
}

TASK_TEST(a_put_that_cannot_be_is_refused_and_changes_nothing)
{
    FIXTURE(f);
    CLEANUP(ft_groups_unrefp)
    struct ft_groups *before = ft_catalog_groups(f.catalog),
                     *after = NULL;
    static char                 large[MESSAGE_MAX];
    struct ft_object_put_result r;
    const char *const           names[] = {"..", ".", "a/b", "a\nb", "\xff"};

    memset(large, 'x', sizeof(large));
    ERR(ft_catalog_put_object(f.catalog, S("nobody"), S("a"), S(""), S("x"), FT_MATCH_ALWAYS, &r,
                              &f.problem),
        ENOENT);
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        ERR(ft_catalog_put_object(f.catalog, S("default"), S(names[i]), S(""), S("x"),
                                  FT_MATCH_ALWAYS, &r, &f.problem),
            EINVAL);
    ERR(ft_catalog_put_object(f.catalog, S("default"), S("a"), S("t\nx"), S("x"), FT_MATCH_ALWAYS,
                              &r, &f.problem),
        EINVAL);
    ERR(ft_catalog_put_object(f.catalog, S("default"), S("a"), S(""),
                              rn_slice(large, sizeof(large)), FT_MATCH_ALWAYS, &r, &f.problem),
        E2BIG);
    ERR(ft_catalog_put_object(f.catalog, S("default"), S("a"), S(""), S("x"), 12345, &r,
                              &f.problem),
        ESTALE);
    after = ft_catalog_groups(f.catalog);
    TRUE(before == after);
    FALSE(told_everybody(&f));
}

TASK_TEST(the_largest_configuration_that_is_accepted_is_one_that_can_be_rendered)
{
    FIXTURE(f);
    static char                 large[MESSAGE_MAX];
    struct ft_object_put_result r;
    size_t                      n = MESSAGE_MAX;
    struct ft_renderer         *renderer;
    struct ft_rendered         *rendered;
    struct ft_syntax_error      e;
    struct ft_subject           subject = {0};

    memset(large, 'x', sizeof(large));
    while (ft_catalog_put_object(f.catalog, S("default"), S("a"), S(""), rn_slice(large, n),
                                 FT_MATCH_ALWAYS, &r, &f.problem) == -E2BIG)
        n--;
    LT(n, MESSAGE_MAX);
    OK(ft_renderer_new(MESSAGE_MAX, &renderer));
    struct ft_group *g = ft_catalog_resolve(f.catalog, ft_subject_lookup, &subject);
    OK(ft_render(renderer, g, &subject, &rendered, &e));
    LE(rendered->wire.len, ft_render_wire_max(MESSAGE_MAX));
    ft_group_unref(g);
    ft_rendered_unref(rendered);
    ft_renderer_free(renderer);
}

/* Each of many tasks puts its own objects; the base of each is what the one before left. */
enum { PUTTERS = 8, PUTS = 10 };

struct putter {
    struct fixture *f;
    int             number;
};

static int put_some(void *arg)
{
    const struct putter *p = arg;

    for (int i = 0; i < PUTS; i++) {
        struct ft_object_put_result r;
        struct ft_problem           problem;
        char                        name[16], body[16];

        (void)snprintf(name, sizeof(name), "o%d", p->number);
        (void)snprintf(body, sizeof(body), "%d", i);
        OK(ft_catalog_put_object(p->f->catalog, S("default"), S(name), S(""), S(body),
                                 FT_MATCH_ALWAYS, &r, &problem));
        TRUE(r.created);
    }
    return 0;
}

TASK_TEST(puts_at_the_same_time_make_exactly_one_version_each_and_lose_none)
{
    FIXTURE(f);
    CLEANUP(ft_groups_unrefp) struct ft_groups *t = NULL;
    struct putter           putters[PUTTERS];
    struct rn_scope         scope;
    struct ft_configuration c;

    OK(rn_scope_open(RN_SCOPE_WAIT_ALL, &scope));
    OK(rn_end_to_scope((struct rn_end[]){rn_end_tx(f.tx)}, 1, scope));
    for (int i = 0; i < PUTTERS; i++) {
        putters[i] = (struct putter){&f, i};
        OK(rn_go(scope, put_some, &putters[i], NULL, 0));
    }
    OK(rn_scope_wait(scope));
    OK(rn_scope_close(scope));
    f.tx = (struct rn_tx){0};

    OK(ft_catalog_configuration_get(f.catalog, S("default"), &c));
    EQ(c.latest, PUTTERS * PUTS);
    t = ft_catalog_groups(f.catalog);
    EQ(t->items[0]->version->head.number, PUTTERS * PUTS);
    EQ(t->items[0]->version->objects.count, PUTTERS);
    for (int i = 0; i < PUTTERS; i++)
        TRUE(rn_slice_eq_str(t->items[0]->version->objects.items[i].body, "9"));
}

/* ---- Versions ---- */

TASK_TEST(a_template_is_judged_when_its_version_is_made)
{
    FIXTURE(f);
    struct ft_configuration c;
    struct ft_object        o = testing_object("a~b.conf", "line one\n{{ var. }}\n");
    struct ft_version_head  head;
    bool                    created;

    OK(ft_catalog_configuration_create(f.catalog, S("web"), S(""), &c, &f.problem));
    OK(ft_catalog_version_add(f.catalog, S("web"), &o, 1, S(""), &head, &created, &f.problem));
    o.is_template = true;
    ERR(ft_catalog_version_add(f.catalog, S("web"), &o, 1, S(""), &head, &created, &f.problem),
        EBADMSG);
    STREQ(f.problem.pointer, "/objects/a~0b.conf/body");
    EQ(f.problem.line, 2);
}

TASK_TEST(what_is_wrong_in_a_version_is_pointed_at)
{
    FIXTURE(f);
    static char             large[MESSAGE_MAX + 1], comment[FT_COMMENT_MAX + 2];
    struct ft_object        o = testing_object("..", "x");
    struct ft_version_head  head;
    bool                    created;

    memset(large, 'x', MESSAGE_MAX);
    memset(comment, 'x', FT_COMMENT_MAX + 1);
    ERR(ft_catalog_version_add(f.catalog, S("web"), &o, 1, S(""), &head, &created, &f.problem),
        EINVAL);
    STREQ(f.problem.pointer, "/objects/..");
    ERR(ft_catalog_version_add(f.catalog, S("web"), &o, 0, S(""), &head, &created, &f.problem),
        EBADMSG);
    STREQ(f.problem.pointer, "/objects");
    o = testing_object("a", "x");
    ERR(ft_catalog_version_add(f.catalog, S("web"), &o, 1, S(""), &head, &created, &f.problem),
        ENOENT);
    ERR(ft_catalog_version_add(f.catalog, S("web"), &o, 1, S(comment), &head, &created, &f.problem),
        EINVAL);
    STREQ(f.problem.pointer, "/comment");
    o.body = S(large);
    ERR(ft_catalog_version_add(f.catalog, S("web"), &o, 1, S(""), &head, &created, &f.problem),
        E2BIG);
}

TASK_TEST(names_are_judged)
{
    FIXTURE(f);
    struct ft_configuration c;

    ERR(ft_catalog_configuration_create(f.catalog, S(""), S(""), &c, &f.problem), EINVAL);
    STREQ(f.problem.pointer, "/name");
    ERR(ft_catalog_configuration_create(f.catalog, S("a/b"), S(""), &c, &f.problem), EINVAL);
    ERR(ft_catalog_configuration_create(f.catalog, S("-a"), S(""), &c, &f.problem), EINVAL);
    OK(ft_catalog_configuration_create(f.catalog, S("a.b_c-1"), S(""), &c, &f.problem));
    ERR(ft_catalog_configuration_create(f.catalog, S("a.b_c-1"), S(""), &c, &f.problem), EEXIST);
}

/* ---- Groups ---- */

static bool lookup_env(void *arg, struct rn_slice key, struct rn_slice *ret_value)
{
    if (!arg || !rn_slice_eq_str(key, "env"))
        return false;
    *ret_value = S((const char *)arg);
    return true;
}

static void expect_group(struct fixture *f, const char *env, const char *group)
{
    struct ft_group *g = ft_catalog_resolve(f->catalog, lookup_env, (void *)(uintptr_t)env);

    STREQ(g->name, group);
    ft_group_unref(g);
}

TASK_TEST(an_agent_belongs_to_the_group_of_highest_priority_then_first_name)
{
    FIXTURE(f);

    put_group(&f, "default", "", 1000, "", 0);
    put_group(&f, "b", "env=prod", 10, "", 0);
    put_group(&f, "a", "env=prod", 10, "", 0);
    put_group(&f, "low", "env", 1, "", 0);
    put_group(&f, "below", "!env", -5, "", 0);
    expect_group(&f, "prod", "a");
    expect_group(&f, "dev", "low");
    expect_group(&f, NULL, "below");
    put_group(&f, "b", "env=prod", 11, "", 0);
    expect_group(&f, "prod", "b");
    OK(ft_catalog_group_delete(f.catalog, S("b"), FT_MATCH_ALWAYS));
    OK(ft_catalog_group_delete(f.catalog, S("a"), FT_MATCH_ALWAYS));
    OK(ft_catalog_group_delete(f.catalog, S("below"), FT_MATCH_ALWAYS));
    expect_group(&f, "prod", "low");
    expect_group(&f, NULL, "default");
}

TASK_TEST(the_default_group_stays_and_takes_only_the_empty_selector)
{
    FIXTURE(f);
    struct ft_group_draft d = {.name = S("default"), .selector = S("env=prod")};
    struct ft_group      *g;
    bool                  created;

    ERR(ft_catalog_group_delete(f.catalog, S("default"), FT_MATCH_ALWAYS), EPERM);
    ERR(ft_catalog_group_put(f.catalog, &d, &g, &created, &f.problem), EBADMSG);
    STREQ(f.problem.pointer, "/selector");
    ERR(ft_catalog_group_delete(f.catalog, S("nobody"), FT_MATCH_ALWAYS), ENOENT);
}

TASK_TEST(a_group_is_refused_for_its_selector_its_variables_or_its_configuration)
{
    FIXTURE(f);
    CLEANUP(ft_attrs_freep) struct ft_attrs *variables = NULL;
    struct ft_group_draft d = {.name = S("a"), .selector = S("env in (")};
    struct ft_group      *g;
    bool                  created;

    ERR(ft_catalog_group_put(f.catalog, &d, &g, &created, &f.problem), EBADMSG);
    STREQ(f.problem.pointer, "/selector");
    d.selector = S("env in (a,b)");
    d.configuration = S("none");
    d.version = 1;
    ERR(ft_catalog_group_put(f.catalog, &d, &g, &created, &f.problem), EBADMSG);
    STREQ(f.problem.pointer, "/configuration");
    OK(ft_attrs_new(&(struct ft_attr){S("k"), S("\xff"), FT_ATTR_STRING}, 1, &variables));
    d.variables = variables;
    ERR(ft_catalog_group_put(f.catalog, &d, &g, &created, &f.problem), EBADMSG);
    STREQ(f.problem.pointer, "/variables");
    FALSE(told_everybody(&f));
}

TASK_TEST(assignments_are_numbered_also_over_a_restart)
{
    FIXTURE(f);
    const uint64_t first = put(&f, "default", "a", "one").assignment;
    struct ft_group *g;

    ft_catalog_close(f.catalog);
    ft_store_close(f.store);
    f.store = testing_store();
    OK(ft_catalog_open(&(struct ft_catalog_options){f.store, MESSAGE_MAX, f.tx}, &f.catalog));
    g = ft_catalog_resolve(f.catalog, lookup_env, NULL);
    EQ(g->assignment, first);
    EQ(g->version->head.number, 1);
    ft_group_unref(g);
    GT(put(&f, "default", "a", "one").assignment, first);
}
