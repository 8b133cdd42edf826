#include "store/testing.h"

#include <string.h>

#include <base/cleanup.h>

#include <proto/message.h>

#include "agents/agent.h"
#include "changes.h"
#include "config/rollout.h"

struct fixture {
    struct ft_store    *store;
    struct ft_catalog  *catalog;
    struct ft_renderer *renderer;
    struct ft_registry *registry;
    struct rn_scope     scope;
    struct rn_tx        changes; /* of the scope */
};

static void set_up(struct fixture *f, size_t capacity)
{
    struct rn_rx rx;

    *f = (struct fixture){.store = testing_store()};
    OK(rn_chan_open(sizeof(struct ft_uuid), capacity, &f->changes, &rx));
    OK(ft_catalog_open(&(struct ft_catalog_options){f->store, 65536, f->changes}, &f->catalog));
    OK(ft_renderer_new(65536, &f->renderer));
    OK(ft_registry_new(&f->registry));
    OK(rn_scope_open(RN_SCOPE_WAIT_ALL, &f->scope));
    OK(ft_rollout_start(f->scope,
                        &(struct ft_rollout_options){.catalog = f->catalog,
                                                     .registry = f->registry,
                                                     .renderer = f->renderer},
                        rx));
}

static void tear_down(struct fixture *f)
{
    OK(rn_tx_close(f->changes)); /* the rollout's end */
    OK(rn_scope_wait(f->scope));
    OK(rn_scope_close(f->scope));
    ft_registry_free(f->registry);
    ft_renderer_free(f->renderer);
    ft_catalog_close(f->catalog);
    ft_store_close(f->store);
}
#define FIXTURE(f, capacity)                                                                       \
    CLEANUP(tear_down) struct fixture f;                                                           \
    set_up(&f, capacity)

static struct ft_uuid uid_of(unsigned n)
{
    struct ft_uuid u = {{1}};

    memcpy(u.bytes + 4, &n, sizeof(n));
    return u;
}

/* An agent with one label, or none. */
static void describe(struct fixture *f, unsigned n, const char *env)
{
    CLEANUP(ft_buf_fini) struct ft_buf bytes = FT_BUF_INIT(4096);
    Opamp__Proto__AnyValue         value = OPAMP__PROTO__ANY_VALUE__INIT;
    Opamp__Proto__KeyValue         kv = OPAMP__PROTO__KEY_VALUE__INIT, *kvs[] = {&kv};
    Opamp__Proto__AgentDescription d = OPAMP__PROTO__AGENT_DESCRIPTION__INIT;
    const struct ft_uuid           uid = uid_of(n);
    struct ft_agent               *a;
    bool                           is_new;

    kv.key = (char *)(uintptr_t) "fettle.label.env";
    kv.value = &value;
    value.value_case = OPAMP__PROTO__ANY_VALUE__VALUE_STRING_VALUE;
    value.string_value = (char *)(uintptr_t)env;
    d.n_non_identifying_attributes = env ? 1 : 0;
    d.non_identifying_attributes = kvs;
    OK(ft_message_encode(&d.base, 4096, &bytes));
    OK(ft_agent_lock_or_new(f->registry, &uid, &a, &is_new));
    OK(ft_agent_set_blob(f->registry, &a->description, ft_buf_slice(&bytes)));
    ft_agent_unlock(f->registry, a);
}

static void put(struct fixture *f, const char *group, const char *body)
{
    struct ft_object_put_result r;
    struct ft_problem           problem;

    OK(ft_catalog_put_object(f->catalog, S(group), S("a"), S(""), S(body), FT_MATCH_ALWAYS, &r,
                             &problem));
}

static bool wants(struct fixture *f, unsigned n, const char *body)
{
    CLEANUP(ft_agent_snapshot_fini) struct ft_agent_snapshot s = {0};
    const struct ft_uuid uid = uid_of(n);

    OK(ft_registry_snapshot(f->registry, &uid, &s));
    if (!s.rendered)
        return body == NULL && s.render_error == NULL;
    return body && rn_slice_eq_str(s.rendered->objects.items[0].body, body);
}

static void put_group(struct fixture *f, const char *name, const char *selector,
                      const char *configuration)
{
    struct ft_group_draft d = {
        .name = S(name), .selector = S(selector), .configuration = S(configuration), .version = 1};
    struct ft_problem     problem;
    struct ft_group      *g;
    bool                  created;

    OK(ft_catalog_group_put(f->catalog, &d, &g, &created, &problem));
    ft_group_unref(g);
}

TASK_TEST(a_new_version_is_desired_by_all_agents_of_its_group)
{
    FIXTURE(f, FT_CHANGES_MAX);

    for (unsigned i = 0; i < 100; i++)
        describe(&f, i, i % 2 ? "prod" : "dev");
    put_group(&f, "production", "env=prod", "");
    put(&f, "production", "careful");
    put(&f, "default", "bold");
    for (unsigned i = 0; i < 100; i++)
        TASK_UNTIL(wants(&f, i, i % 2 ? "careful" : "bold"));
    put(&f, "default", "bolder");
    TASK_UNTIL(wants(&f, 98, "bolder"));
    TRUE(wants(&f, 99, "careful"));
}

TASK_TEST(an_agent_that_describes_itself_anew_changes_its_group)
{
    FIXTURE(f, FT_CHANGES_MAX);
    const struct ft_uuid uid = uid_of(7);

    put_group(&f, "production", "env=prod", "");
    put(&f, "production", "careful");
    describe(&f, 7, NULL);
    OK(ft_changes_push(f.changes, &uid));
    OK(rn_yield());
    TASK_UNTIL(wants(&f, 7, NULL));
    describe(&f, 7, "prod");
    OK(ft_changes_push(f.changes, &uid));
    TASK_UNTIL(wants(&f, 7, "careful"));
}

TASK_TEST(changes_that_overflow_the_channel_are_not_forgotten)
{
    FIXTURE(f, 2);

    put(&f, "default", "x");
    for (unsigned i = 0; i < 50; i++) {
        const struct ft_uuid uid = uid_of(i);

        describe(&f, i, NULL);
        GE(ft_changes_push(f.changes, &uid), 0);
    }
    for (unsigned i = 0; i < 50; i++)
        TASK_UNTIL(wants(&f, i, "x"));
}

TASK_TEST(a_rendering_that_fails_is_told_for_that_agent_alone_and_heals)
{
    FIXTURE(f, FT_CHANGES_MAX);
    CLEANUP(ft_agent_snapshot_fini) struct ft_agent_snapshot s = {0};
    struct ft_object        o = testing_object("a", "{{ label.env }}");
    const struct ft_uuid    uid = uid_of(2);
    struct ft_configuration c;
    struct ft_version_head  head;
    struct ft_problem       problem;
    bool                    created;

    o.is_template = true;
    describe(&f, 1, "prod");
    describe(&f, 2, NULL);
    OK(ft_catalog_configuration_create(f.catalog, S("web"), S(""), &c, &problem));
    OK(ft_catalog_version_add(f.catalog, S("web"), &o, 1, S(""), &head, &created, &problem));
    put_group(&f, "default", "", "web");
    TASK_UNTIL(wants(&f, 1, "prod"));
    TASK_UNTIL(!wants(&f, 2, NULL));
    OK(ft_registry_snapshot(f.registry, &uid, &s));
    TRUE(s.rendered == NULL);
    EQ(strncmp((const char *)s.render_error->data, "a:1: ", 5), 0);

    describe(&f, 2, "dev");
    OK(ft_changes_push(f.changes, &uid));
    TASK_UNTIL(wants(&f, 2, "dev"));
}

TASK_TEST(the_slow_sweep_heals_what_nobody_told)
{
    struct fixture f = {.store = testing_store()};
    struct rn_tx   told, untold;
    struct rn_rx   rx, rx_untold;

    OK(rn_chan_open(sizeof(struct ft_uuid), 1, &told, &rx));
    OK(rn_chan_open(sizeof(struct ft_uuid), 1, &untold, &rx_untold));
    OK(ft_catalog_open(&(struct ft_catalog_options){f.store, 65536, untold}, &f.catalog));
    OK(ft_renderer_new(65536, &f.renderer));
    OK(ft_registry_new(&f.registry));
    OK(rn_scope_open(RN_SCOPE_WAIT_ALL, &f.scope));
    OK(ft_rollout_start(
        f.scope, &(struct ft_rollout_options){f.catalog, f.registry, f.renderer, 10 * RN_MS}, rx));
    f.changes = told;
    describe(&f, 1, NULL);
    put(&f, "default", "found");
    TASK_UNTIL(wants(&f, 1, "found"));
    rn_tx_closep(&untold);
    rn_rx_closep(&rx_untold);
    tear_down(&f);
}
