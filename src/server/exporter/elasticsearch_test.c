/* Every answer that real servers were seen to give (testdata/), and what has to follow from it. */
#include "exporter/stand_in_testing.h"

#include <jansson.h>

static struct rig *rig_at(const char *url)
{
    const struct ft_elasticsearch_settings settings = {
        .head = {.name = "es"}, .url = url, .index = "m-1", .create_template = true};

    return rig_new(&ft_exporter_elasticsearch, &settings);
}

static struct ft_elasticsearch_settings *settings_of(struct rig *g)
{
    return g->self;
}

/* A server, and an exporter that has opened to it (its template is there); what was seen so far is
 * one HEAD. */
static struct rig *opened(struct stand_in **ret, stand_in_fn *answer, void *arg)
{
    struct rig *g;

    *ret = stand_in_start(answer, arg);
    g = rig_at(stand_in_url(*ret));
    OK(web_open(g));
    return g;
}

static void ended(struct rig *g, struct stand_in *s)
{
    rig_free(g);
    stand_in_stop(s);
}

static int send_for(struct rig *g, struct stand_in *s, unsigned status, const char *body)
{
    stand_in_answer(s, (struct canned){.status = status, .body = body});
    return web_send(g, rn_after(20 * RN_S));
}

/* ---- bytes ----------------------------------------------------------------------------------- */

TEST(a_bulk_body_is_a_create_with_the_samples_identity_and_the_document)
{
    struct rig *g = rig_at("http://127.0.0.1:1");
    char wanted[4000];
    const char *agent, *boot;
    struct ft_rows rows;

    rig_fill(g, 1, 2);
    agent = g->rows[0].batch->agent_id;
    boot = g->rows[0].batch->boot_id;
    rows = (struct ft_rows){g->rows, 2};
    OK(ft_exporter_elasticsearch.encode(g->self, &rows, &g->body));
    (void)snprintf(wanted, sizeof(wanted),
                   "{\"create\":{\"_id\":\"%s-%s-1\"}}\n"
                   "{\"agent_id\":\"%s\",\"boot_id\":\"%s\",\"seq\":1,\"@timestamp\":1700000000001,"
                   "\"process_name\":\"shipper\","
                   "\"host_name\":\"web-1\",\"ip\":\"10.0.0.1\",\"pid\":42,\"cmd\":\"./shipper "
                   "--config \\\"a b\\\"\","
                   "\"cpu_usage_rate\":null,\"mem_usage\":1048576,\"send_lines\":1}\n"
                   "{\"create\":{\"_id\":\"%s-%s-2\"}}\n"
                   "{\"agent_id\":\"%s\",\"boot_id\":\"%s\",\"seq\":2,\"@timestamp\":1700000000002,"
                   "\"process_name\":\"shipper\","
                   "\"host_name\":\"web-1\",\"ip\":\"10.0.0.1\",\"pid\":42,\"cmd\":\"./shipper "
                   "--config \\\"a b\\\"\","
                   "\"cpu_usage_rate\":0.1,\"mem_usage\":1048576,\"send_lines\":2}\n",
                   agent, boot, agent, boot, agent, boot, agent, boot);
    OK(ft_buf_add_byte(&g->body, 0));
    STREQ((const char *)g->body.data, wanted);
    rig_free(g);
}

TEST(the_longest_id_is_far_below_the_512_bytes_that_poison_a_batch)
{
    struct rig *g = rig_at("http://127.0.0.1:1");
    struct ft_sample s = rig_sample(UINT64_MAX);
    struct ft_rows rows = {g->rows, 1};
    const char *end;

    s.timestamp_ms = 0;
    rig_add(g, &s, 1);
    OK(ft_exporter_elasticsearch.encode(g->self, &rows, &g->body));
    end = memchr(g->body.data, '\n', g->body.len);
    LT(end - (const char *)g->body.data, 150);
    rig_free(g);
}

/* ---- opening --------------------------------------------------------------------------------- */

TASK_TEST(opening_makes_the_template_where_there_is_none)
{
    ALLOW_WEB();
    struct stand_in *s = stand_in_start(NULL, NULL);
    struct rig *g = rig_at(stand_in_url(s));
    json_t *json;

    stand_in_answer(s, (struct canned){.status = 404});
    OK(web_open(g));
    EQ(stand_in_count(s), 2);
    STREQ(stand_in_seen(s, 0)->method, "HEAD");
    STREQ(stand_in_seen(s, 0)->path, "/_index_template/m-1");
    STREQ(stand_in_seen(s, 1)->method, "PUT");
    STREQ(stand_in_seen(s, 1)->path, "/_index_template/m-1");
    STREQ(stand_in_seen(s, 1)->type, "application/json");
    json = json_loads((const char *)stand_in_seen(s, 1)->body.data, 0, NULL);
    STREQ(json_string_value(json_array_get(json_object_get(json, "index_patterns"), 0)), "m-1");
    json_decref(json);
    ended(g, s);
}

TASK_TEST(a_template_that_is_there_stays_as_its_operators_made_it)
{
    ALLOW_WEB();
    struct stand_in *s;
    struct rig *g = opened(&s, NULL, NULL);

    EQ(stand_in_count(s), 1);
    STREQ(stand_in_seen(s, 0)->method, "HEAD");
    ended(g, s);
}

TASK_TEST(a_template_that_is_refused_waits_for_a_person_and_says_why)
{
    ALLOW_WEB();
    struct stand_in *s = stand_in_start(NULL, NULL);
    struct rig *g = rig_at(stand_in_url(s));

    stand_in_answer(s, (struct canned){.status = 404});
    stand_in_answer(
        s, (struct canned){
               .status = 400,
               .body = fixture_read("elasticsearch-7.10.2-template-data-stream-unknown.json")});
    ERR(web_open(g), EACCES);
    STREQ(g->error.text, "cannot make the index template (it may be made by hand: "
                         "`create_template: false`): HTTP 400: "
                         "illegal_argument_exception: composable template [ds] template after "
                         "composition is invalid");
    stand_in_answer(s, (struct canned){.status = 401});
    ERR(web_open(g), EACCES);
    stand_in_answer(s, (struct canned){.status = 503});
    ERR(web_open(g), EIO);
    OK(web_open(g));
    ended(g, s);
}

TASK_TEST(without_a_template_the_server_is_only_asked_who_it_is)
{
    ALLOW_WEB();
    static const char *const roots[] = {"elasticsearch-7.10.2-root.json",
                                        "opensearch-2.19-root.json"};
    struct stand_in *s = stand_in_start(NULL, NULL);

    for (size_t i = 0; i < 2; i++) {
        struct rig *g = rig_at(stand_in_url(s));

        settings_of(g)->create_template = false;
        stand_in_answer(s, (struct canned){.status = 200, .body = fixture_read(roots[i])});
        OK(web_open(g));
        STREQ(stand_in_seen(s, i)->method, "GET");
        STREQ(stand_in_seen(s, i)->path, "/");
        rig_free(g);
    }
    stand_in_stop(s);
}

TASK_TEST(a_server_that_is_not_there_is_an_error_and_opens_later)
{
    ALLOW_WEB();
    struct stand_in *s = stand_in_start(NULL, NULL);
    struct rig *g = rig_at("http://127.0.0.1:1");

    ERR(web_open(g), ECONNREFUSED);
    TRUE(strstr(g->error.text, "127.0.0.1 port 1") != NULL);
    settings_of(g)->url = stand_in_url(s);
    OK(web_open(g));
    ended(g, s);
}

/* ---- requests -------------------------------------------------------------------------------- */

TASK_TEST(a_send_is_one_bulk_request_with_a_length_and_no_proxy)
{
    ALLOW_WEB();
    struct stand_in *s;
    struct rig *g = opened(&s, NULL, NULL);
    struct seen *x;
    char length[20];

    OK(setenv("http_proxy", "http://127.0.0.1:1", 1));
    rig_fill(g, 1, 2);
    OK(send_for(g, s, 200, fixture_read("opensearch-2.19-bulk-ok.json")));
    x = stand_in_seen(s, 1);
    STREQ(x->method, "POST");
    STREQ(x->path, "/m-1/_bulk");
    STREQ(x->query, "filter_path=errors,error,items.*.status,items.*.failure_store,items.*.error."
                    "type,items.*.error.reason");
    STREQ(x->type, "application/x-ndjson");
    STREQ(x->transfer, "");
    STREQ(x->expect, "");
    (void)snprintf(length, sizeof(length), "%zu", g->body.len);
    STREQ(x->length, length);
    STREQ(x->authorization, "");
    STREQ((const char *)x->body.data,
          (OK(ft_buf_add_byte(&g->body, 0)), (const char *)g->body.data));
    EQ(x->body.data[x->body.len - 1], '\n');
    ended(g, s);
}

TASK_TEST(user_and_password_come_from_a_file_and_are_read_again_after_a_401)
{
    ALLOW_WEB();
    CLEANUP(freep) char *path = secret_write("pw", "wrong\n");
    struct stand_in *s = stand_in_start(NULL, NULL);
    struct rig *g = rig_at(stand_in_url(s));

    settings_of(g)->user = "fettle";
    settings_of(g)->password_file = path;
    OK(web_open(g));
    STREQ(stand_in_seen(s, 0)->authorization, "Basic ZmV0dGxlOndyb25n");
    rig_fill(g, 1, 1);
    (void)send_for(g, s, 401,
                   "{\"error\":{\"type\":\"security_exception\",\"reason\":\"unable to "
                   "authenticate [ZmV0dGxlOndyb25n] wrong\"}}");
    EQ(g->verdicts[0].kind, FT_VERDICT_HOLD);
    STREQ(ft_answer_reason(&g->answer, 0),
          "HTTP 401: security_exception: unable to authenticate [***] ***");

    OK(remove(path));
    (void)web_send(g, rn_after(20 * RN_S)); /* the file is gone while it is being written */
    EQ(g->verdicts[0].kind, FT_VERDICT_HOLD);
    TRUE(strstr(ft_answer_reason(&g->answer, 0),
                "/pw: No such file or directory: write the secret there") != NULL);

    free(secret_write("pw", "right"));
    OK(send_for(g, s, 200, "{\"errors\":false,\"items\":[{\"create\":{\"status\":201}}]}"));
    STREQ(stand_in_seen(s, 2)->authorization, "Basic ZmV0dGxlOnJpZ2h0");
    EQ(g->verdicts[0].kind, FT_VERDICT_OK);
    ended(g, s);
}

TASK_TEST(an_api_key_comes_from_a_file_too_and_its_absence_waits_for_a_person)
{
    ALLOW_WEB();
    CLEANUP(freep) char *path = secret_write("key", "VnVhQ2Z=\n");
    struct stand_in *s = stand_in_start(NULL, NULL);
    struct rig *g = rig_at(stand_in_url(s));

    settings_of(g)->api_key_file = path;
    OK(web_open(g));
    STREQ(stand_in_seen(s, 0)->authorization, "ApiKey VnVhQ2Z=");
    rig_free(g);

    OK(remove(path));
    g = rig_at(stand_in_url(s));
    settings_of(g)->api_key_file = path;
    ERR(web_open(g), EACCES);
    TRUE(strstr(g->error.text, "/key: No such file") != NULL);
    ended(g, s);
}

/* ---- an answer for each document ------------------------------------------------------------- */

/* The verdicts of a fixture, one letter per item: o(k) d(uplicate) r(etry) h(old) x (rejected). */
static void fixture_gives(const char *name, const char *wanted)
{
    struct stand_in *s;
    struct rig *g = opened(&s, NULL, NULL);
    char got[64] = "";

    test_note("%s", name);
    rig_fill(g, 1, strlen(wanted));
    OK(send_for(g, s, 200, fixture_read(name)));
    for (size_t i = 0; i < strlen(wanted); i++)
        got[i] = "rodxh"[g->verdicts[i].kind];
    STREQ(got, wanted);
    EQ(stand_in_count(s), 2);
    ended(g, s);
}

TASK_TEST(all_new_documents_are_stored)
{
    ALLOW_WEB();
    fixture_gives("opensearch-2.19-bulk-ok.json", "oo");
    fixture_gives("elasticsearch-7.10.2-bulk-ok.json", "oo");
}

TASK_TEST(the_same_id_again_is_a_duplicate_and_what_does_not_fit_the_mapping_is_rejected_alone)
{
    ALLOW_WEB();
    fixture_gives("opensearch-2.19-bulk-partial.json", "doxxxhhh");
    fixture_gives("elasticsearch-7.10.2-bulk-partial.json", "doxxxhhh");
}

TASK_TEST(a_document_that_is_no_json_is_rejected_and_its_neighbours_are_stored)
{
    ALLOW_WEB();
    fixture_gives("opensearch-2.19-bulk-bad-json-doc.json", "oxo");
    fixture_gives("elasticsearch-7.10.2-bulk-bad-json-doc.json", "oxo");
}

TASK_TEST(an_item_429_is_sent_again_and_the_201_beside_it_is_not)
{
    ALLOW_WEB();
    fixture_gives("opensearch-2.19-bulk-429-items.json", "o"
                                                         "rrrrr"
                                                         "o"
                                                         "rrrrrrrrrrrrrrrrr");
    fixture_gives("elasticsearch-7.10.2-bulk-429-items.json", "o"
                                                              "rrrrrrrrrrrrrrrrrrrrrrr");
}

TASK_TEST(a_429_of_a_full_disk_and_a_blocked_index_wait_for_a_person)
{
    ALLOW_WEB();
    fixture_gives("opensearch-2.19-bulk-flood-stage.json", "h");
    fixture_gives("elasticsearch-7.10.2-bulk-flood-stage.json", "h");
    fixture_gives("opensearch-2.19-bulk-blocked.json", "h");
    fixture_gives("elasticsearch-7.10.2-bulk-blocked.json", "h");
}

TASK_TEST(a_data_stream_answers_like_an_index)
{
    ALLOW_WEB();
    fixture_gives("opensearch-2.19-bulk-datastream.json", "odxxo");
}

/* One item with this status and type. */
static enum ft_verdict_kind kind_of_item(struct rig *g, struct stand_in *s, unsigned status,
                                         const char *type)
{
    char body[300];

    (void)snprintf(body, sizeof(body),
                   "{\"errors\":true,\"items\":[{\"create\":{\"status\":%u,\"error\":{\"type\":\"%"
                   "s\",\"reason\":\"r\"}}}]}",
                   status, type);
    OK(send_for(g, s, 200, body));
    return g->verdicts[0].kind;
}

TASK_TEST(a_closed_or_missing_index_waits_for_a_person_and_errors_of_the_server_are_tried_again)
{
    ALLOW_WEB();
    struct stand_in *s;
    struct rig *g = opened(&s, NULL, NULL);

    rig_fill(g, 1, 1);
    EQ(kind_of_item(g, s, 400, "index_closed_exception"), FT_VERDICT_HOLD);
    EQ(kind_of_item(g, s, 400, "invalid_index_name_exception"), FT_VERDICT_HOLD);
    EQ(kind_of_item(g, s, 404, "index_not_found_exception"), FT_VERDICT_HOLD);
    EQ(kind_of_item(g, s, 401, "security_exception"), FT_VERDICT_HOLD);
    EQ(kind_of_item(g, s, 413, "too_big"), FT_VERDICT_REJECT);
    EQ(kind_of_item(g, s, 500, "boom"), FT_VERDICT_RETRY);
    EQ(kind_of_item(g, s, 503, "unavailable_shards_exception"), FT_VERDICT_RETRY);
    STREQ(ft_answer_reason(&g->answer, 0), "HTTP 503: unavailable_shards_exception: r");
    ended(g, s);
}

TASK_TEST(a_document_that_went_to_the_failure_store_was_not_stored)
{
    ALLOW_WEB();
    struct stand_in *s;
    struct rig *g = opened(&s, NULL, NULL);

    rig_fill(g, 1, 2);
    OK(send_for(
        g, s, 200,
        "{\"errors\":false,\"items\":[{\"create\":{\"status\":201,\"failure_store\":\"used\"}},"
        "{\"create\":{\"status\":201,\"failure_store\":\"not_applicable_or_unknown\"}}]}"));
    EQ(g->verdicts[0].kind, FT_VERDICT_REJECT);
    EQ(g->verdicts[1].kind, FT_VERDICT_OK);
    ended(g, s);
}

TASK_TEST(an_error_that_repeats_the_request_shows_neither_header_nor_password)
{
    ALLOW_WEB();
    CLEANUP(freep) char *path = secret_write("pw", "secret");
    struct stand_in *s = stand_in_start(NULL, NULL);
    struct rig *g = rig_at(stand_in_url(s));

    settings_of(g)->user = "secret"; /* as in the fixture */
    settings_of(g)->password_file = path;
    OK(web_open(g));
    rig_fill(g, 1, 1);
    OK(send_for(g, s, 200,
                fixture_read("elasticsearch-7.10.2-bulk-error-echoes-authorization.json")));
    EQ(g->verdicts[0].kind, FT_VERDICT_REJECT);
    STREQ(ft_answer_reason(&g->answer, 0), "HTTP 400: mapper_parsing_exception: failed to parse");
    (void)send_for(g, s, 405,
                   "{\"error\":{\"type\":\"t\",\"reason\":\"POST / HTTP/1.1\\r\\nAuthorization: "
                   "Basic c2VjcmV0OnNlY3JldA==\\r\\n"
                   "X: c2VjcmV0OnNlY3JldA==\"},\"status\":405}");
    STREQ(ft_answer_reason(&g->answer, 0),
          "HTTP 405: t: POST / HTTP/1.1 Authorization: *** X: ***");
    ended(g, s);
}

TASK_TEST(an_answer_that_cannot_be_understood_stores_nothing_for_sure)
{
    ALLOW_WEB();
    static const char *const answers[] = {
        "",
        "{}",
        "[]",
        "{\"items\":{}}",
        "{\"errors\":false,\"items\":[]}",
        "<html>",
        "{\"errors\":false,\"items\":[{\"create\":{\"status\":201}}]}",
        ("{\"errors\":false,\"items\":[{\"create\":{\"status\":201}},"
         "{\"create\":{\"status\":201}},{\"create\":{\"status\":201}}]}"),
        "{\"errors\":false,\"items\":[{\"create\":{}},{}]}",
        "{\"errors\":false,\"items\":[7,null]}",
    };
    struct stand_in *s;
    struct rig *g = opened(&s, NULL, NULL);

    rig_fill(g, 1, 2);
    for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
        test_note("%s", answers[i]);
        OK(send_for(g, s, 200, answers[i]));
        EQ(rig_count(g, FT_VERDICT_RETRY), 2);
        NE(ft_answer_reason(&g->answer, 0)[0], 0);
    }
    ended(g, s);
}

/* ---- an answer for the request --------------------------------------------------------------- */

TASK_TEST(a_server_under_pressure_is_left_alone_for_as_long_as_it_says)
{
    ALLOW_WEB();
    struct stand_in *s;
    struct rig *g = opened(&s, NULL, NULL);

    rig_fill(g, 1, 3);
    ERR(send_for(g, s, 429, fixture_read("opensearch-2.19-429-indexing-pressure.json")), EIO);
    EQ(rig_count(g, FT_VERDICT_RETRY), 3);
    EQ(g->answer.retry_after, 0);
    TRUE(strncmp(ft_answer_reason(&g->answer, 2),
                 "HTTP 429: rejected_execution_exception: rejected execution of", 60) == 0);
    stand_in_answer(s, (struct canned){.status = 503, .field = "Retry-After", .value = "7"});
    ERR(web_send(g, rn_after(20 * RN_S)), EIO);
    EQ(g->answer.retry_after, 7 * RN_S);
    EQ(rig_count(g, FT_VERDICT_RETRY), 3);
    stand_in_answer(s, (struct canned){.status = 503, .field = "Retry-After", .value = "99999999"});
    ERR(web_send(g, rn_after(20 * RN_S)), EIO);
    LE(g->answer.retry_after, 3600 * RN_S);
    ended(g, s);
}

TASK_TEST(refusals_wait_for_a_person_also_when_error_is_a_string)
{
    ALLOW_WEB();
    struct stand_in *s;
    struct rig *g = opened(&s, NULL, NULL);

    rig_fill(g, 1, 2);
    ERR(send_for(
            g, s, 406,
            "{\"error\":\"Content-Type header [text/plain] is not supported\",\"status\":406}"),
        EIO);
    EQ(rig_count(g, FT_VERDICT_HOLD), 2);
    STREQ(ft_answer_reason(&g->answer, 1),
          "HTTP 406: Content-Type header [text/plain] is not supported");
    ERR(send_for(g, s, 403, NULL), EIO);
    EQ(rig_count(g, FT_VERDICT_HOLD), 2);
    STREQ(ft_answer_reason(&g->answer, 1), "HTTP 403");
    stand_in_answer(s, (struct canned){.status = 307, .field = "Location", .value = "/elsewhere"});
    ERR(web_send(g, rn_after(20 * RN_S)), EIO);
    EQ(rig_count(g, FT_VERDICT_HOLD), 2);
    EQ(stand_in_count(s), 4); /* nothing was followed */
    ended(g, s);
}

TASK_TEST(a_server_that_hangs_costs_the_deadline_and_no_more)
{
    ALLOW_WEB();
    struct stand_in *s;
    struct rig *g = opened(&s, NULL, NULL);

    rig_fill(g, 1, 2);
    stand_in_answer(s, (struct canned){.hangs = true});
    ERR(web_send(g, rn_after(50 * RN_MS)), ETIMEDOUT);
    EQ(rig_count(g, FT_VERDICT_RETRY), 2);
    TRUE(strstr(ft_answer_reason(&g->answer, 0), "timed out") != NULL);
    OK(send_for(g, s, 200, fixture_read("opensearch-2.19-bulk-ok.json")));
    EQ(rig_count(g, FT_VERDICT_OK), 2);
    ended(g, s);
}

/* A server that refuses every request with a poisoned document, as a whole; `number` is its seq. */
struct poison {
    const char *mark;
    unsigned status;
    const char *body;
    size_t n_max; /* more documents in a request are refused too; 0: no limit */
};

static size_t documents(const struct seen *x)
{
    size_t n = 0;

    for (size_t i = 0; i < x->body.len; i++)
        n += x->body.data[i] == '\n';
    return n / 2;
}

static struct canned poisoned(void *arg, const struct seen *x)
{
    static char body[1 << 18];
    const struct poison *p = arg;
    size_t len = 0;

    if (strcmp(x->method, "POST") != 0)
        return (struct canned){.status = 200};
    if ((p->mark && strstr((const char *)x->body.data, p->mark)) ||
        (p->n_max && documents(x) > p->n_max))
        return (struct canned){.status = p->status, .body = p->body};
    len = (size_t)snprintf(body, sizeof(body), "{\"errors\":false,\"items\":[");
    for (size_t i = 0; i < documents(x); i++)
        len += (size_t)snprintf(body + len, sizeof(body) - len, "%s{\"create\":{\"status\":201}}",
                                i ? "," : "");
    (void)snprintf(body + len, sizeof(body) - len, "]}");
    return (struct canned){.status = 200, .body = body};
}

TASK_TEST(a_document_that_poisons_its_batch_is_found_by_halving_and_rejected_alone)
{
    ALLOW_WEB();
    struct poison p = {"\"seq\":70,", 400,
                       "{\"error\":{\"type\":\"action_request_validation_exception\",\"reason\":"
                       "\"id is too long\"}}",
                       0};
    struct stand_in *s;
    struct rig *g = opened(&s, poisoned, &p);

    rig_fill(g, 1, 100);
    OK(web_send(g, rn_after(20 * RN_S)));
    EQ(rig_count(g, FT_VERDICT_OK), 99);
    EQ(g->verdicts[69].kind, FT_VERDICT_REJECT);
    STREQ(ft_answer_reason(&g->answer, 69),
          "HTTP 400: action_request_validation_exception: id is too long");
    LE(stand_in_count(s), 1 + 2 * 7 + 2);
    ended(g, s);
}

TASK_TEST(a_poisoned_document_that_comes_first_is_rejected_once_the_server_has_taken_others)
{
    ALLOW_WEB();
    struct poison p = {"\"seq\":1,", 400, "{\"error\":\"bad\"}", 0};
    struct stand_in *s;
    struct rig *g = opened(&s, poisoned, &p);

    rig_fill(g, 1, 8);
    OK(web_send(g, rn_after(20 * RN_S)));
    EQ(g->verdicts[0].kind, FT_VERDICT_HOLD);
    EQ(rig_count(g, FT_VERDICT_OK), 7);
    rig_fill(g, 1, 1); /* what is left */
    OK(web_send(g, rn_after(20 * RN_S)));
    EQ(g->verdicts[0].kind, FT_VERDICT_REJECT);
    ended(g, s);
}

TASK_TEST(a_request_that_is_wrong_whatever_is_in_it_rejects_nothing_and_is_soon_given_up)
{
    ALLOW_WEB();
    static const char *const answers[] = {
        "opensearch-2.19-bulk-bad-action.json", "opensearch-2.19-bulk-no-newline.json",
        "elasticsearch-7.10.2-bulk-bad-action.json", "elasticsearch-7.10.2-bulk-no-newline.json"};
    for (size_t i = 0; i < 4; i++) {
        struct poison p = {"create", 400, fixture_read(answers[i]), 0};
        struct stand_in *s;
        struct rig *g = opened(&s, poisoned, &p);

        rig_fill(g, 1, 1000);
        ERR(web_send(g, rn_after(20 * RN_S)), EBADMSG);
        EQ(rig_count(g, FT_VERDICT_HOLD), 1000);
        TRUE(strstr(ft_answer_reason(&g->answer, 999), "[Source") == NULL);
        LE(stand_in_count(s), 20);
        ended(g, s);
    }
}

TASK_TEST(a_request_that_is_too_large_is_halved_and_a_document_that_is_too_large_is_rejected)
{
    ALLOW_WEB();
    struct poison p = {"\"seq\":3,", 413, NULL, 4};
    struct stand_in *s;
    struct rig *g = opened(&s, poisoned, &p);

    rig_fill(g, 1, 32);
    OK(web_send(g, rn_after(20 * RN_S)));
    EQ(rig_count(g, FT_VERDICT_OK), 31);
    EQ(g->verdicts[2].kind, FT_VERDICT_REJECT);
    STREQ(ft_answer_reason(&g->answer, 2), "HTTP 413");
    ended(g, s);
}

TASK_TEST(half_of_a_send_that_fails_leaves_the_other_half_stored)
{
    ALLOW_WEB();
    struct stand_in *s;
    struct rig *g = opened(&s, NULL, NULL);

    rig_fill(g, 1, 4);
    stand_in_answer(s, (struct canned){.status = 413});
    stand_in_answer(
        s, (struct canned){.status = 200, .body = fixture_read("opensearch-2.19-bulk-ok.json")});
    stand_in_answer(s, (struct canned){.status = 503});
    ERR(web_send(g, rn_after(20 * RN_S)), EIO);
    EQ(rig_count(g, FT_VERDICT_OK), 2);
    EQ(rig_count(g, FT_VERDICT_RETRY), 2);
    STREQ(ft_answer_reason(&g->answer, 3), "HTTP 503");
    ended(g, s);
}
