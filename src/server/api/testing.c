#include "api/testing.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <proto/message.h>
#include <proto/names.h>

#include "changes.h"

void bench_open(struct bench *b)
{
    bench_open_with(b, NULL, 0);
}

void bench_open_with(struct bench *b, const struct ft_events_bounds *bounds, rn_time alive)
{
    static const char *const addrs[] = {"127.0.0.1:0"};
    struct rn_rx rx;

    *b = (struct bench){.store = testing_store()};
    OK(rn_scope_open(RN_SCOPE_WAIT_ALL, &b->scope));
    OK(rn_chan_open(sizeof(struct ft_uuid), FT_CHANGES_MAX, &b->changes, &rx));
    OK(rn_end_to_scope((struct rn_end[]){rn_end_tx(b->changes)}, 1, b->scope));
    OK(ft_events_new(bounds, &b->events));
    OK(ft_registry_new(&b->registry));
    ft_registry_set_events(b->registry, b->events);
    OK(ft_catalog_open(&(struct ft_catalog_options){b->store, 65536, b->changes, b->events},
                       &b->catalog));
    OK(ft_renderer_new(65536, &b->renderer));
    OK(ft_rollout_start(b->scope,
                        &(struct ft_rollout_options){.catalog = b->catalog,
                                                     .registry = b->registry,
                                                     .renderer = b->renderer,
                                                     .sweep = 20 * RN_MS},
                        rx));
    OK(ft_intake_new(&(struct ft_fanout_options){.data_dir = test_dir(),
                                                 .lane = ft_lane_settings_default,
                                                 .events = b->events},
                     ft_sessions_ack, b->registry, &b->intake));
    static const _Atomic rn_time apply_timeout = 60 * RN_S;
    OK(ft_api_open(&(struct ft_api_options){.addrs = addrs,
                                            .n_addrs = 1,
                                            .scope = b->scope,
                                            .token = TOKEN,
                                            .catalog = b->catalog,
                                            .registry = b->registry,
                                            .fanout = ft_intake_fanout(b->intake),
                                            .latest = ft_intake_latest(b->intake),
                                            .store = b->store,
                                            .events = b->events,
                                            .events_alive = alive,
                                            .body_max = 100000,
                                            .apply_timeout = &apply_timeout},
                   &b->api));
}

static void forget_answer(struct bench *b)
{
    json_decref(b->json);
    free(b->text);
    b->json = NULL;
    b->text = NULL;
}

void bench_close(struct bench *b)
{
    rnet_stream_closep(&b->client);
    forget_answer(b);
    ft_api_close(b->api);
    OK(rn_scope_close(b->scope));
    OK(ft_intake_stop(b->intake, rn_after(5 * RN_S)));
    ft_intake_free(b->intake);
    ft_renderer_free(b->renderer);
    ft_catalog_close(b->catalog);
    ft_registry_free(b->registry);
    ft_store_close(b->store);
    ft_events_free(b->events);
}

/* ---- the client: one connection, kept while the server keeps it ---- */

static void read_head(struct bench *b)
{
    size_t n = 0;

    do {
        if (n == sizeof(b->head) - 1)
            FAIL("the head of the answer is too long");
        OK(rnet_stream_read_full(b->client, b->head + n, 1, rn_after(20 * RN_S)));
        b->head[++n] = '\0';
    } while (n < 4 || memcmp(b->head + n - 4, "\r\n\r\n", 4) != 0);
}

static void read_answer(struct bench *b, const char *method)
{
    forget_answer(b);
    read_head(b);
    b->status = (unsigned)atoi(b->head + 9);
    const char *length = field(b, "Content-Length");
    b->len = length && strcmp(method, "HEAD") != 0 ? (size_t)atoll(length) : 0;
    b->text = calloc(1, b->len + 1);
    OK(rnet_stream_read_full(b->client, b->text, b->len, rn_after(20 * RN_S)));
    const char *type = field(b, "Content-Type");
    if (b->len && type && strstr(type, "json")) {
        b->json = json_loadb(b->text, b->len, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, NULL);
        if (!b->json)
            FAIL("no JSON: %s", b->text);
    }
    const char *connection = field(b, "Connection");
    /* what comes piece by piece may have no end */
    if ((connection && strcmp(connection, "close") == 0) || field(b, "Transfer-Encoding"))
        rnet_stream_closep(&b->client);
}

static unsigned send_call(struct bench *b, const char *method, const char *path,
                          const char *headers, struct rn_slice body)
{
    CLEANUP(freep) char *head = NULL;

    if (!b->client)
        OK(rnet_dial(ft_api_address(b->api, 0), rn_after(10 * RN_S), &b->client));
    OK(asprintf(&head, "%s %s HTTP/1.1\r\nHost: test\r\nContent-Length: %zu\r\n%s\r\n", method,
                path, body.len, headers));
    OK(rnet_stream_write(b->client, head, strlen(head), rn_after(10 * RN_S)));
    if (body.len) {
        int r = rnet_stream_write(b->client, body.data, body.len, rn_after(10 * RN_S));
        if (r < 0 && r != -EPIPE && r != -ECONNRESET) /* it may have seen enough */
            OK(r);
    }
    read_answer(b, method);
    expect_described(method, path, b->status, b->json);
    return b->status;
}

unsigned call_with(struct bench *b, const char *method, const char *path, const char *headers,
                   struct rn_slice body)
{
    CLEANUP(freep) char *all = NULL;

    OK(asprintf(&all, "Authorization: Bearer " TOKEN "\r\n%s", headers));
    return send_call(b, method, path, all, body);
}

unsigned call(struct bench *b, const char *method, const char *path)
{
    return call_with(b, method, path, "", (struct rn_slice){0});
}

unsigned call_json(struct bench *b, const char *method, const char *path, const char *body)
{
    return call_with(b, method, path, "Content-Type: application/json\r\n", S(body));
}

unsigned call_bare(struct bench *b, const char *method, const char *path, const char *headers)
{
    return send_call(b, method, path, headers, (struct rn_slice){0});
}

/* ---- looking at the answer ---- */

const char *field(struct bench *b, const char *name)
{
    static char value[512];
    size_t len = strlen(name);

    for (const char *line = b->head; (line = strstr(line, "\r\n"));) {
        line += 2;
        if (strncasecmp(line, name, len) != 0 || line[len] != ':')
            continue;
        line += len + 1;
        line += strspn(line, " ");
        snprintf(value, sizeof(value), "%.*s", (int)strcspn(line, "\r"), line);
        return value;
    }
    return NULL;
}

json_t *at(struct bench *b, const char *way)
{
    json_t *j = b->json;

    while (j && *way) {
        size_t n = strcspn(way, ".");
        char key[128];
        snprintf(key, sizeof(key), "%.*s", (int)n, way);
        j = json_is_array(j) ? json_array_get(j, (size_t)atoi(key)) : json_object_get(j, key);
        way += way[n] ? n + 1 : n;
    }
    return j;
}

const char *text_at(struct bench *b, const char *way)
{
    const char *text = json_string_value(at(b, way));

    if (!text)
        FAIL("%s is no string in: %s", way, b->text);
    return text;
}

long long int_at(struct bench *b, const char *way)
{
    if (!json_is_integer(at(b, way)))
        FAIL("%s is no integer in: %s", way, b->text);
    return json_integer_value(at(b, way));
}

bool null_at(struct bench *b, const char *way)
{
    return json_is_null(at(b, way));
}

void expect_problem(struct bench *b, unsigned status)
{
    if (b->status != status)
        FAIL("%u instead of %u: %s", b->status, status, b->text);
    STREQ(field(b, "Content-Type"), "application/problem+json");
    STREQ(text_at(b, "type"), "about:blank");
    TRUE(strlen(text_at(b, "title")) > 0);
    EQ(int_at(b, "status"), status);
    TRUE(strlen(text_at(b, "detail")) > 0);
}

void expect_problem_at(struct bench *b, unsigned status, const char *pointer)
{
    expect_problem(b, status);
    STREQ(text_at(b, "errors.0.pointer"), pointer);
    TRUE(strlen(text_at(b, "errors.0.detail")) > 0);
    EQ(json_array_size(at(b, "errors")), 1);
}

/* ---- agents ---- */

static struct ft_uuid uuid_of(unsigned n)
{
    struct ft_uuid u = {{4}};

    u.bytes[14] = (uint8_t)(n >> 8);
    u.bytes[15] = (uint8_t)n;
    return u;
}

static void set(Opamp__Proto__KeyValue *kv, Opamp__Proto__AnyValue *value, const char *key,
                const char *text)
{
    opamp__proto__key_value__init(kv);
    opamp__proto__any_value__init(value);
    kv->key = (char *)(uintptr_t)key;
    kv->value = value;
    value->value_case = OPAMP__PROTO__ANY_VALUE__VALUE_STRING_VALUE;
    value->string_value = (char *)(uintptr_t)text;
}

struct ft_uuid bench_agent(struct bench *b, unsigned n, const char *host, const char *env)
{
    CLEANUP(ft_buf_fini) struct ft_buf bytes = FT_BUF_INIT(4096);
    Opamp__Proto__AgentDescription d = OPAMP__PROTO__AGENT_DESCRIPTION__INIT;
    Opamp__Proto__KeyValue kv[3], *kvs[] = {&kv[0], &kv[1]}, *identifying[] = {&kv[2]};
    Opamp__Proto__AnyValue values[3];
    struct ft_uuid uid = uuid_of(n);
    struct ft_agent *a;
    bool is_new;

    set(&kv[0], &values[0], "host.name", host);
    set(&kv[1], &values[1], "fettle.label.env", env);
    set(&kv[2], &values[2], "service.name", "shipper");
    d.n_non_identifying_attributes = env ? 2 : 1;
    d.non_identifying_attributes = kvs;
    d.n_identifying_attributes = 1;
    d.identifying_attributes = identifying;
    OK(ft_message_encode(&d.base, 4096, &bytes));
    OK(ft_agent_lock_or_new(b->registry, &uid, &a, &is_new));
    OK(ft_agent_set_blob(b->registry, &a->description, ft_buf_slice(&bytes)));
    OK(ft_agent_set_blob(b->registry, &a->remote_address, S("127.0.0.1:51022")));
    a->transport = FT_TRANSPORT_TCP;
    a->last_seen_ms = 1763719200000;
    a->connected_since_ms = 1763715600000;
    a->sequence_num = 42;
    a->capabilities = FT_AGENT_REPORTS_STATUS | FT_AGENT_ACCEPTS_REMOTE_CONFIG;
    ft_agent_set_liveness_locked(b->registry, a, FT_LIVENESS_ONLINE);
    ft_agent_unlock(b->registry, a);
    return uid;
}

const char *agent_path(unsigned n, const char *suffix)
{
    static char path[128];
    char text[FT_UUID_TEXT_SIZE];
    struct ft_uuid uid = uuid_of(n);

    ft_uuid_format(&uid, text);
    snprintf(path, sizeof(path), "/api/v1/agents/%s%s", text, suffix);
    return path;
}
