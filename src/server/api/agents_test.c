/* GET /agents and what hangs below: the shape, the filters, pages, metrics; and want of memory. */
#include "api/testing.h"

#include <stdlib.h>
#include <string.h>

#include <proto/message.h>
#include <proto/metrics.h>
#include <proto/names.h>

/* ---- the shape ---- */

static void expect_keys(const json_t *object, const char *const keys[], size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!json_object_get(object, keys[i]))
            FAIL("%s is missing", keys[i]);
    EQ(json_object_size(object), n);
}
#define EXPECT_KEYS(object, ...)                                                                   \
    expect_keys(object, (const char *const[]){__VA_ARGS__},                                        \
                sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *))

static void set_health(struct bench *b, const struct ft_uuid *uid)
{
    CLEANUP(ft_buf_fini) struct ft_buf bytes = FT_BUF_INIT(4096);
    Opamp__Proto__ComponentHealth h = OPAMP__PROTO__COMPONENT_HEALTH__INIT, inner = h;
    Opamp__Proto__ComponentHealth__ComponentHealthMapEntry
        entry = OPAMP__PROTO__COMPONENT_HEALTH__COMPONENT_HEALTH_MAP_ENTRY__INIT,
        *entries[] = {&entry};

    h.healthy = true;
    h.status = (char *)(uintptr_t) "running";
    inner.last_error = (char *)(uintptr_t) "exit 3";
    entry.key = (char *)(uintptr_t) "shipper";
    entry.value = &inner;
    h.n_component_health_map = 1;
    h.component_health_map = entries;
    OK(ft_message_encode(&h.base, 4096, &bytes));
    struct ft_agent *a = ft_agent_lock(b->registry, uid);
    OK(ft_agent_set_blob(b->registry, &a->health, ft_buf_slice(&bytes)));
    ft_agent_unlock(b->registry, a);
}

static void report(struct bench *b, const struct ft_uuid *uid, enum ft_status status)
{
    struct ft_agent *a = ft_agent_lock(b->registry, uid);

    a->status = (uint8_t)status;
    a->reported_hash = a->rendered->hash;
    a->bits |= FT_AGENT_HAS_REPORTED;
    ft_agent_settle_locked(b->registry, a);
    ft_agent_unlock(b->registry, a);
}

TASK_TEST(an_agent_has_the_shape_of_the_contract)
{
    BENCH(b);
    struct ft_uuid uid = bench_agent(&b, 1, "web-1", "dev");

    set_health(&b, &uid);
    EQ(call(&b, "GET", agent_path(1, "")), 200);
    EXPECT_KEYS(b.json, "instance_uid", "status", "transport", "remote_address", "group", "labels",
                "identifying_attributes", "non_identifying_attributes", "capabilities",
                "sequence_num", "last_seen", "connected_since", "health", "config");
    STREQ(text_at(&b, "instance_uid"), "04000000-0000-0000-0000-000000000001");
    STREQ(text_at(&b, "status"), "online");
    STREQ(text_at(&b, "transport"), "tcp");
    STREQ(text_at(&b, "remote_address"), "127.0.0.1:51022");
    STREQ(text_at(&b, "group"), "default");
    EXPECT_KEYS(at(&b, "labels"), "env");
    STREQ(text_at(&b, "labels.env"), "dev");
    EXPECT_KEYS(at(&b, "identifying_attributes"), "service.name");
    EXPECT_KEYS(at(&b, "non_identifying_attributes"), "host.name");
    STREQ(text_at(&b, "capabilities.0"), "ReportsStatus");
    STREQ(text_at(&b, "capabilities.1"), "AcceptsRemoteConfig");
    EQ(json_array_size(at(&b, "capabilities")), 2);
    EQ(int_at(&b, "sequence_num"), 42);
    STREQ(text_at(&b, "last_seen"), "2025-11-21T10:00:00.000Z");
    STREQ(text_at(&b, "connected_since"), "2025-11-21T09:00:00.000Z");
    TRUE(json_is_true(at(&b, "health.healthy")));
    STREQ(text_at(&b, "health.status"), "running");
    EXPECT_KEYS(at(&b, "health.components"), "shipper");
    TRUE(json_is_false(at(&b, "health.components.shipper.healthy")));
    STREQ(text_at(&b, "health.components.shipper.last_error"), "exit 3");
    /* without a configuration */
    EXPECT_KEYS(at(&b, "config"), "name", "version", "desired_hash", "applied_hash",
                "effective_hash", "status", "error");
    TRUE(null_at(&b, "config.name") && null_at(&b, "config.version") &&
         null_at(&b, "config.desired_hash") && null_at(&b, "config.applied_hash") &&
         null_at(&b, "config.effective_hash"));
    STREQ(text_at(&b, "config.status"), "UNSET");
    STREQ(text_at(&b, "config.error"), "");
}

TASK_TEST(its_configuration_goes_from_unset_to_what_it_reports)
{
    BENCH(b);
    struct ft_uuid uid = bench_agent(&b, 1, "web-1", NULL);
    char hash[FT_HASH_HEX_SIZE];

    EQ(call_with(&b, "PUT", "/api/v1/agent-groups/default/configuration", "", S("a: 1")), 202);
    snprintf(hash, sizeof(hash), "%s", text_at(&b, "hash"));
    EQ(call(&b, "GET", agent_path(1, "")), 200); /* at once, rendered or not */
    STREQ(text_at(&b, "config.name"), "default");
    EQ(int_at(&b, "config.version"), 1);
    STREQ(text_at(&b, "config.status"), "UNSET");
    do
        call(&b, "GET", agent_path(1, ""));
    while (null_at(&b, "config.desired_hash") && rn_yield() == 0);
    STREQ(text_at(&b, "config.desired_hash"), hash);

    report(&b, &uid, FT_STATUS_APPLYING);
    call(&b, "GET", agent_path(1, ""));
    STREQ(text_at(&b, "config.status"), "APPLYING");
    struct ft_agent *a = ft_agent_lock(b.registry, &uid);
    OK(ft_agent_set_blob(b.registry, &a->status_error, S("line 3: no")));
    a->applied_hash = a->effective_hash = a->rendered->hash;
    a->bits |= FT_AGENT_HAS_APPLIED | FT_AGENT_HAS_EFFECTIVE;
    ft_agent_unlock(b.registry, a);
    report(&b, &uid, FT_STATUS_FAILED);
    call(&b, "GET", agent_path(1, ""));
    STREQ(text_at(&b, "config.status"), "FAILED");
    STREQ(text_at(&b, "config.error"), "line 3: no");
    STREQ(text_at(&b, "config.applied_hash"), hash);
    STREQ(text_at(&b, "config.effective_hash"), hash);
    report(&b, &uid, FT_STATUS_APPLIED);
    call(&b, "GET", agent_path(1, ""));
    STREQ(text_at(&b, "config.error"), "");
}

TASK_TEST(a_rendering_that_fails_is_shown_with_object_and_line)
{
    BENCH(b);

    bench_agent(&b, 1, "web-1", NULL);
    EQ(call_json(&b, "POST", "/api/v1/configurations", "{\"name\":\"web\"}"), 201);
    EQ(call_json(&b, "POST", "/api/v1/configurations/web/versions",
                 "{\"objects\":{\"a.yaml\":{\"content_type\":\"text/yaml\",\"template\":true,"
                 "\"body\":\"a: 1\\nb: {{ label.env }}\\n\"}}}"),
       201);
    EQ(call_json(&b, "PUT", "/api/v1/agent-groups/default",
                 "{\"selector\":\"\",\"priority\":0,"
                 "\"configuration\":{\"name\":\"web\",\"version\":1}}"),
       200);
    do
        call(&b, "GET", agent_path(1, ""));
    while (strcmp(text_at(&b, "config.status"), "FAILED") != 0 && rn_yield() == 0);
    TRUE(null_at(&b, "config.desired_hash"));
    EQ(strncmp(text_at(&b, "config.error"), "a.yaml:2: ", 10), 0);
}

TASK_TEST(numbers_too_large_for_json_are_shown_as_the_largest)
{
    BENCH(b);
    struct ft_uuid uid = bench_agent(&b, 1, "web-1", NULL);
    struct ft_agent *a = ft_agent_lock(b.registry, &uid);

    a->sequence_num = UINT64_MAX;
    a->last_seen_ms = -5;
    ft_agent_unlock(b.registry, a);
    EQ(call(&b, "GET", agent_path(1, "")), 200);
    EQ(int_at(&b, "sequence_num"), INT64_MAX);
    TRUE(null_at(&b, "last_seen"));
}

/* ---- effective configuration ---- */

TASK_TEST(the_effective_configuration_is_what_was_reported)
{
    BENCH(b);
    CLEANUP(ft_buf_fini) struct ft_buf bytes = FT_BUF_INIT(4096);
    struct ft_uuid uid = bench_agent(&b, 1, "web-1", NULL);
    Opamp__Proto__AgentConfigMap map = OPAMP__PROTO__AGENT_CONFIG_MAP__INIT;
    Opamp__Proto__AgentConfigObject objects[2];
    Opamp__Proto__AgentConfigMap__ConfigMapEntry entries[2],
        *pointers[] = {&entries[0], &entries[1]};

    for (int i = 0; i < 2; i++) {
        opamp__proto__agent_config_object__init(&objects[i]);
        opamp__proto__agent_config_map__config_map_entry__init(&entries[i]);
        entries[i].value = &objects[i];
    }
    entries[0].key = (char *)(uintptr_t) "text.yaml";
    objects[0].body = (ProtobufCBinaryData){5, (uint8_t *)(uintptr_t) "a: \0\n"};
    objects[0].content_type = (char *)(uintptr_t) "text/yaml";
    entries[1].key = (char *)(uintptr_t) "raw.bin";
    objects[1].body = (ProtobufCBinaryData){4, (uint8_t *)(uintptr_t) "\xff\x00\xfe\x01"};
    map.n_config_map = 2;
    map.config_map = pointers;

    EQ(call(&b, "GET", agent_path(1, "/effective-config")), 200); /* none so far */
    EQ(json_object_size(at(&b, "objects")), 0);
    OK(ft_message_encode(&map.base, 4096, &bytes));
    struct ft_agent *a = ft_agent_lock(b.registry, &uid);
    OK(ft_agent_set_blob(b.registry, &a->effective, ft_buf_slice(&bytes)));
    ft_agent_unlock(b.registry, a);
    EQ(call(&b, "GET", agent_path(1, "/effective-config")), 200);
    const json_t *text = json_object_get(at(&b, "objects"), "text.yaml");
    EXPECT_KEYS(text, "content_type", "body");
    EQ(json_string_length(json_object_get(text, "body")), 5); /* a NUL is text */
    const json_t *raw = json_object_get(at(&b, "objects"), "raw.bin");
    EXPECT_KEYS(raw, "content_type", "body_base64");
    STREQ(json_string_value(json_object_get(raw, "body_base64")), "/wD+AQ==");
}

/* ---- metrics ---- */

TASK_TEST(the_newest_sample_of_each_process_is_shown)
{
    BENCH(b);
    CLEANUP(ft_buf_fini) struct ft_buf data = FT_BUF_INIT(4096);
    struct ft_uuid uid = bench_agent(&b, 1, "web-1", NULL);
    static const uint8_t boot[FT_BOOT_LEN] = {5};
    struct ft_sample samples[] = {
        {.seq = 1, .timestamp_ms = 100, .process_name = S("z"), .pid = 7},
        {.seq = 2, .timestamp_ms = 100, .process_name = S("a"), .pid = 8},
        {.seq = 3,
         .timestamp_ms = 200,
         .process_name = S("z"),
         .host_name = S("web-1"),
         .ip = S("127.0.0.1"),
         .cmd = S("./z -x"),
         .pid = 7,
         .has_cpu_usage_rate = true,
         .cpu_usage_rate = 0.5,
         .mem_usage = UINT64_MAX,
         .send_lines = 12},
    };
    struct ft_fault fault;

    EQ(call(&b, "GET", agent_path(1, "/metrics")), 200);
    EQ(json_array_size(at(&b, "items")), 0);
    OK(ft_metrics_encode(boot, samples, 3, &data));
    OK(ft_intake_offer(b.intake, &uid, ft_buf_slice(&data), &fault));
    EQ(call(&b, "GET", agent_path(1, "/metrics")), 200);
    EQ(json_array_size(at(&b, "items")), 2);
    EXPECT_KEYS(at(&b, "items.1"), "agent_id", "boot_id", "seq", "timestamp", "process_name",
                "host_name", "ip", "pid", "cmd", "cpu_usage_rate", "mem_usage", "send_lines");
    STREQ(text_at(&b, "items.0.process_name"), "a");
    TRUE(null_at(&b, "items.0.cpu_usage_rate"));
    STREQ(text_at(&b, "items.1.process_name"), "z");
    EQ(int_at(&b, "items.1.seq"), 3);
    EQ(int_at(&b, "items.1.timestamp"), 200);
    EQ(int_at(&b, "items.1.pid"), 7);
    STREQ(text_at(&b, "items.1.cmd"), "./z -x");
    TRUE(json_real_value(at(&b, "items.1.cpu_usage_rate")) == 0.5);
    EQ(int_at(&b, "items.1.mem_usage"), INT64_MAX);
    STREQ(text_at(&b, "items.1.agent_id"), "04000000-0000-0000-0000-000000000001");
}

/* ---- the list ---- */

static size_t count(struct bench *b, const char *query)
{
    char path[256];

    snprintf(path, sizeof(path), "/api/v1/agents?limit=1000&%s", query);
    EQ(call(b, "GET", path), 200);
    TRUE(null_at(b, "next"));
    return json_array_size(at(b, "items"));
}

TASK_TEST(the_list_is_filtered_by_selector_status_and_group)
{
    BENCH(b);

    for (unsigned i = 0; i < 30; i++)
        bench_agent(&b, i, "web-1", i % 3 == 0 ? "prod" : i % 3 == 1 ? "dev" : NULL);
    EQ(call_json(&b, "PUT", "/api/v1/agent-groups/production",
                 "{\"selector\":\"env=prod\",\"priority\":1}"),
       201);
    EQ(count(&b, ""), 30);
    EQ(count(&b, "selector="), 30);
    EQ(count(&b, "selector=env%3Dprod"), 10);
    EQ(count(&b, "selector=env!=prod"), 20);
    EQ(count(&b, "selector=!env"), 10);
    EQ(count(&b, "selector=env+in+(prod,dev)"), 20);
    EQ(count(&b, "selector=host.name%3Dweb-1,env%3Ddev"), 10);
    EQ(count(&b, "selector=env%3Dnone"), 0);
    EQ(count(&b, "group=production"), 10);
    STREQ(text_at(&b, "items.0.group"), "production");
    EQ(count(&b, "group=default"), 20);
    EQ(count(&b, "group=nothing"), 0);
    EQ(count(&b, "status=online"), 30);
    EQ(count(&b, "status=stale"), 0);
    EQ(count(&b, "status=online&group=production&selector=env"), 10);
    call(&b, "GET", "/api/v1/agents?status=happy");
    expect_problem(&b, 400);
    call(&b, "GET", "/api/v1/agents?selector=env+in");
    expect_problem(&b, 400);
    TRUE(strstr(text_at(&b, "detail"), "column") != NULL);
}

TASK_TEST(pages_show_each_agent_once_in_order)
{
    enum { N = 23 };
    BENCH(b);
    char path[256] = "/api/v1/agents?limit=5&selector=env", last[64] = "";
    size_t seen = 0, pages = 0;

    for (unsigned i = 0; i < 2 * N; i++)
        bench_agent(&b, i, "web-1", i % 2 ? "prod" : NULL);
    for (;; pages++) {
        EQ(call(&b, "GET", path), 200);
        for (size_t i = 0; i < json_array_size(at(&b, "items")); i++, seen++) {
            char way[64];
            snprintf(way, sizeof(way), "items.%zu.instance_uid", i);
            GT(strcmp(text_at(&b, way), last), 0);
            snprintf(last, sizeof(last), "%s", text_at(&b, way));
        }
        if (null_at(&b, "next"))
            break;
        EQ(json_array_size(at(&b, "items")), 5);
        snprintf(path, sizeof(path), "/api/v1/agents?limit=5&selector=env&cursor=%s",
                 text_at(&b, "next"));
    }
    EQ(seen, N);
    EQ(pages, 4);
    /* A full page with nothing behind it has no next. */
    EQ(call(&b, "GET", "/api/v1/agents?limit=23&selector=env"), 200);
    TRUE(null_at(&b, "next"));
}

/* ---- want of memory ---- */

static size_t allocs_left;

static void *scarce_malloc(size_t n)
{
    if (allocs_left == 0)
        return NULL;
    allocs_left--;
    return malloc(n);
}

/* Whatever allocation fails, the answer is whole or there is none; and nothing is left behind. */
TASK_TEST(without_memory_an_agent_is_shown_whole_or_not_at_all)
{
    BENCH(b);
    CLEANUP(ft_agent_snapshot_fini) struct ft_agent_snapshot s = {0};
    CLEANUP(freep) char *whole = NULL;
    struct ft_uuid uid = bench_agent(&b, 1, "web-1", "dev");
    size_t n = 0;
    bool done = false;

    set_health(&b, &uid);
    OK(ft_registry_snapshot(b.registry, &uid, &s));
    json_t *j = ft_json_agent(b.api, &s);
    whole = json_dumps(j, JSON_COMPACT);
    json_decref(j);
    for (; !done; n++) {
        test_note("allocation %zu fails", n);
        json_set_alloc_funcs(scarce_malloc, free);
        allocs_left = n;
        j = ft_json_agent(b.api, &s);
        done = allocs_left > 0;
        json_set_alloc_funcs(malloc, free);
        if (j) {
            CLEANUP(freep) char *text = json_dumps(j, JSON_COMPACT);
            STREQ(text, whole);
        }
        TRUE(j || !done);
        json_decref(j);
    }
    GT(n, 50);
}
