/* Every answer that a real server was seen to give (testdata/influxdb-1.6.7-write.json), and what
 * has to follow from it. */
#include "exporter/stand_in_testing.h"

#include <jansson.h>

#include "exporter/line_protocol.h"

static struct rig *rig_at(const char *url)
{
    const struct ft_influxdb_settings settings = {
        .head = {.name = "in"}, .url = url, .database = "t", .gzip = true};

    return rig_new(&ft_exporter_influxdb, &settings);
}

static struct ft_influxdb_settings *settings_of(struct rig *g)
{
    return g->self;
}

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

/* ---- lines ----------------------------------------------------------------------------------- */

/* The line of a sample, with the agent's and boot's ids as A and B. */
static const char *line_of(const struct ft_sample *sample)
{
    static char text[9000];
    struct rig *g = rig_at("http://127.0.0.1:1");
    struct ft_buf b = FT_BUF_INIT(8000);
    char *at;

    rig_add(g, sample, 1);
    EQ(ft_line_fault(&g->rows[0]), NULL);
    OK(ft_line_add(&b, &g->rows[0]));
    OK(ft_buf_add_byte(&b, 0));
    (void)snprintf(text, sizeof(text), "%s", (const char *)b.data);
    at = strstr(text, g->rows[0].batch->agent_id);
    memmove(at + 1, at + 36, strlen(at + 36) + 1);
    *at = 'A';
    at = strstr(text, g->rows[0].batch->boot_id);
    memmove(at + 1, at + 36, strlen(at + 36) + 1);
    *at = 'B';
    ft_buf_fini(&b);
    rig_free(g);
    return text;
}

TEST(a_line_has_its_tags_in_order_its_fields_and_nanoseconds_that_hold_the_seq)
{
    struct ft_sample s = rig_sample(2);

    STREQ(line_of(&s),
          "process_metrics,agent_id=A,host_name=web-1,process_name=shipper boot_id=\"B\","
          "cmd=\"./shipper --config \\\"a "
          "b\\\"\",cpu_usage_rate=0.1,ip=\"10.0.0.1\",mem_usage=1048576i,pid=42i,"
          "send_lines=2i,seq=2i 1700000000002000002");
    s.has_cpu_usage_rate = false;
    s.seq = 3000001;
    STREQ(line_of(&s),
          "process_metrics,agent_id=A,host_name=web-1,process_name=shipper boot_id=\"B\","
          "cmd=\"./shipper --config \\\"a b\\\"\",ip=\"10.0.0.1\",mem_usage=1048576i,pid=42i,"
          "send_lines=2i,seq=3000001i 1700000000002000001");
}

TEST(tags_escape_what_separates_and_lose_what_they_cannot_hold)
{
    struct ft_sample s = rig_sample(1);

    s.process_name = rn_slice_str("a b,c=d\\e");
    s.host_name = rn_slice_str("two\nlines\\\\");
    s.ip = s.cmd = rn_slice_str("");
    STREQ(line_of(&s), "process_metrics,agent_id=A,host_name=two\\ lines,process_name=a\\ "
                       "b\\,c\\=d\\e boot_id=\"B\",cmd=\"\",ip=\"\","
                       "mem_usage=1048576i,pid=42i,send_lines=1i,seq=1i 1700000000001000001");
    s.process_name = rn_slice_str("");
    s.host_name = rn_slice_str("\\");
    s.cmd = rn_slice_str("say \"\\n\"\nnext");
    STREQ(line_of(&s),
          "process_metrics,agent_id=A boot_id=\"B\",cmd=\"say \\\"\\\\n\\\"\nnext\",ip=\"\","
          "mem_usage=1048576i,pid=42i,send_lines=1i,seq=1i 1700000000001000001");
}

TEST(numbers_and_times_that_a_server_cannot_hold_are_faults)
{
    struct rig *g = rig_at("http://127.0.0.1:1");
    struct ft_sample s[6];

    for (size_t i = 0; i < 6; i++)
        s[i] = rig_sample(i + 1);
    s[0].mem_usage = UINT64_MAX;
    s[1].send_lines = (uint64_t)INT64_MAX + 1;
    s[2].timestamp_ms = INT64_MAX;
    s[3].timestamp_ms = -9223372036855;
    s[4].timestamp_ms = 9223372036854;
    rig_add(g, s, 6);
    for (size_t i = 0; i < 4; i++)
        NE(ft_line_fault(&g->rows[i]), NULL);
    EQ(ft_line_fault(&g->rows[4]), NULL);
    EQ(ft_line_fault(&g->rows[5]), NULL);
    rig_free(g);
}

/* ---- opening and requests -------------------------------------------------------------------- */

TASK_TEST(version_1_writes_gzip_to_its_database_in_nanoseconds_with_basic_authentication)
{
    ALLOW_WEB();
    CLEANUP(freep) char *path = secret_write("pw", "p");
    struct stand_in *s = stand_in_start(NULL, NULL);
    struct rig *g = rig_at(stand_in_url(s));
    struct seen *x;

    settings_of(g)->database = "a b&c";
    settings_of(g)->retention_policy = "week";
    settings_of(g)->user = "u";
    settings_of(g)->password_file = path;
    stand_in_answer(s, (struct canned){.status = 204});
    OK(web_open(g));
    STREQ(stand_in_seen(s, 0)->path, "/ping");
    rig_fill(g, 1, 3);
    OK(send_for(g, s, 204, NULL));
    EQ(rig_count(g, FT_VERDICT_OK), 3);
    x = stand_in_seen(s, 1);
    STREQ(x->method, "POST");
    STREQ(x->path, "/write");
    STREQ(x->query, "db=a b&c&rp=week");
    STREQ(x->encoding, "gzip");
    STREQ(x->authorization, "Basic dTpw");
    STREQ(x->transfer, "");
    EQ(x->body.len, g->body.len);
    MEMEQ(x->body.data, g->body.data, g->body.len);
    ended(g, s);
}

TASK_TEST(version_2_writes_to_its_bucket_with_a_token_and_plain_where_that_is_wanted)
{
    ALLOW_WEB();
    CLEANUP(freep) char *path = secret_write("token", "t0k\n");
    struct stand_in *s = stand_in_start(NULL, NULL);
    struct rig *g = rig_at(stand_in_url(s));
    struct seen *x;

    settings_of(g)->database = NULL;
    settings_of(g)->org = "acme";
    settings_of(g)->bucket = "fleet";
    settings_of(g)->token_file = path;
    settings_of(g)->gzip = false;
    OK(web_open(g));
    rig_fill(g, 1, 3);
    OK(send_for(g, s, 204, NULL));
    x = stand_in_seen(s, 1);
    STREQ(x->path, "/api/v2/write");
    STREQ(x->query, "org=acme&bucket=fleet");
    STREQ(x->authorization, "Token t0k");
    STREQ(x->encoding, "");
    MEMEQ(x->body.data, g->body.data, g->body.len);
    (void)send_for(g, s, 401,
                   "{\"code\":\"unauthorized\",\"message\":\"unauthorized access with t0k\"}");
    EQ(rig_count(g, FT_VERDICT_HOLD), 3);
    STREQ(ft_answer_reason(&g->answer, 0), "HTTP 401: unauthorized access with ***");
    ended(g, s);
}

TASK_TEST(a_server_that_starts_late_is_opened_when_it_is_there)
{
    ALLOW_WEB();
    struct stand_in *s = stand_in_start(NULL, NULL);
    struct rig *g = rig_at("http://127.0.0.1:1");

    ERR(web_open(g), ECONNREFUSED);
    settings_of(g)->url = stand_in_url(s);
    stand_in_answer(s, (struct canned){.status = 503, .body = "starting", .type = "text/plain"});
    ERR(web_open(g), EIO);
    STREQ(g->error.text, "HTTP 503: starting");
    OK(web_open(g));
    ended(g, s);
}

/* ---- the cases that were recorded ------------------------------------------------------------ */

static json_t *cases_load(void)
{
    json_t *all = json_loads(fixture_read("influxdb-1.6.7-write.json"), 0, NULL);

    TRUE(json_is_array(all));
    return all;
}

static const json_t *case_find(const json_t *all, const char *name)
{
    size_t i;
    json_t *c;

    json_array_foreach(all, i, c) if (strcmp(json_string_value(json_object_get(c, "case")), name) ==
                                      0) return c;
    FAIL("there is no case %s", name);
    return NULL;
}

static const char *case_body(const json_t *c)
{
    static char text[8000];
    const json_t *body = json_object_get(c, "body");

    if (json_is_string(body))
        (void)snprintf(text, sizeof(text), "%s", json_string_value(body));
    else
        text[json_dumpb(body, text, sizeof(text) - 1, 0)] = 0;
    return text;
}

/* Send one sample, get the answer of a recorded case. */
static enum ft_verdict_kind case_gives(const char *name, const char *reason)
{
    struct stand_in *s;
    struct rig *g = opened(&s, NULL, NULL);
    json_t *all = cases_load();
    const json_t *c = case_find(all, name);
    enum ft_verdict_kind kind;

    test_note("%s", name);
    rig_fill(g, 1, 1);
    (void)send_for(g, s, (unsigned)json_integer_value(json_object_get(c, "status")), case_body(c));
    kind = g->verdicts[0].kind;
    if (reason)
        STREQ(ft_answer_reason(&g->answer, 0), reason);
    EQ(stand_in_count(s), 2);
    json_decref(all);
    ended(g, s);
    return kind;
}

TASK_TEST(what_is_taken_and_what_is_taken_again_is_stored)
{
    ALLOW_WEB();
    EQ(case_gives("ok", ""), FT_VERDICT_OK);
    EQ(case_gives("ok-same-again", ""), FT_VERDICT_OK);
    EQ(case_gives("gzip", ""), FT_VERDICT_OK);
}

TASK_TEST(what_is_wrong_with_the_request_or_the_database_waits_for_a_person)
{
    ALLOW_WEB();
    EQ(case_gives("no-db", "HTTP 404: database not found: \"t\": create it"), FT_VERDICT_HOLD);
    EQ(case_gives("missing-db-param", "HTTP 400: database is required"), FT_VERDICT_HOLD);
    EQ(case_gives("bad-consistency", "HTTP 400: invalid consistency level"), FT_VERDICT_HOLD);
    EQ(case_gives("bad-gzip", "HTTP 400: unexpected EOF"), FT_VERDICT_HOLD);
    EQ(case_gives("get-write", "HTTP 405: Method Not Allowed"), FT_VERDICT_HOLD);
    EQ(case_gives("v2-write", "HTTP 404: 404 page not found"), FT_VERDICT_HOLD);
}

TASK_TEST(a_retention_policy_that_is_missing_is_a_500_and_waits_for_a_person_all_the_same)
{
    ALLOW_WEB();
    EQ(case_gives("bad-rp", "HTTP 500: retention policy not found: nope"), FT_VERDICT_HOLD);
}

TASK_TEST(a_single_line_that_the_server_does_not_take_is_rejected_with_its_reason)
{
    ALLOW_WEB();
    static const char *const names[] = {
        "unsigned", "nan", "empty-tag", "no-field", "duplicate-tag", "time-out-of-range", "crlf"};

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        EQ(case_gives(names[i], NULL), FT_VERDICT_REJECT);
    EQ(case_gives("beyond-rp", "HTTP 400: partial write: points beyond retention policy dropped=1"),
       FT_VERDICT_REJECT);
    EQ(case_gives("field-type-conflict", NULL), FT_VERDICT_REJECT);
}

/* ---- partial writes: a server that names lines ----------------------------------------------- */

enum manner {
    NAMES_LINES,              /* 1.x: partial write, dropped=0, each bad line named */
    NAMES_AND_STORES_NOTHING, /* "unable to parse" alone: even for one bad line */
    NAMES_THE_FIRST,          /* 2.x: nothing stored, the first bad line named */
    COUNTS,                   /* dropped=N, no line named */
    SAYS_422,                 /* 2.x: some rejected, in its own words */
};

struct judge {
    enum manner manner;
    const char *bad; /* lines with this are bad */
    size_t stored;   /* lines, over all requests */
};

static struct canned judged(void *arg, const struct seen *x)
{
    static char text[1 << 16], body[1 << 17];
    struct judge *j = arg;
    size_t n = 0, bad = 0, len = 0;
    json_t *json;
    const bool stores = j->manner == NAMES_LINES || j->manner == COUNTS || j->manner == SAYS_422;

    if (strcmp(x->method, "POST") != 0)
        return (struct canned){.status = 204};
    for (const char *line = (const char *)x->body.data, *end; (end = strchr(line, '\n')) != NULL;
         line = end + 1, n++) {
        char one[2000];

        (void)snprintf(one, sizeof(one), "%.*s", (int)(end - line), line);
        if (!strstr(one, j->bad))
            continue;
        if (bad++ == 0 || j->manner != NAMES_THE_FIRST)
            len += (size_t)snprintf(text + len, sizeof(text) - len,
                                    "%sunable to parse '%s': invalid number", bad > 1 ? "\n" : "",
                                    one);
    }
    if (bad == 0) {
        j->stored += n;
        return (struct canned){.status = 204};
    }
    j->stored += stores ? n - bad : 0;
    if (j->manner == COUNTS || j->manner == SAYS_422)
        (void)snprintf(text, sizeof(text),
                       "field type conflict: input field \"mem\" is type float dropped=%zu", bad);
    json = j->manner == SAYS_422
               ? json_pack("{s:s, s:s}", "code", "unprocessable entity", "message",
                           "failure writing points")
               : json_pack("{s:s+}", "error",
                           j->manner == NAMES_LINES || j->manner == COUNTS ? "partial write: " : "",
                           text);
    if (j->manner == NAMES_LINES) {
        char *whole;

        OK(asprintf(&whole, "partial write: %s dropped=0", text));
        json_object_set_new(json, "error", json_string(whole));
        free(whole);
    }
    body[json_dumpb(json, body, sizeof(body) - 1, 0)] = 0;
    json_decref(json);
    return (struct canned){.status = j->manner == SAYS_422 ? 422 : 400, .body = body};
}

/* 64 samples, those with a seq of 1x (10 to 19) bad: how many requests it took. */
static size_t judged_well(enum manner manner)
{
    struct judge j = {.manner = manner, .bad = "seq=1"};
    struct stand_in *s;
    struct rig *g = opened(&s, judged, &j);
    size_t n;

    rig_fill(g, 2, 63); /* 2 ... 64; bad are 10 ... 19 */
    OK(web_send(g, rn_after(20 * RN_S)));
    for (size_t i = 0; i < 63; i++) {
        test_note("manner %d, row %zu: %s", manner, i, ft_answer_reason(&g->answer, i));
        EQ(g->verdicts[i].kind, i + 2 >= 10 && i + 2 <= 19 ? FT_VERDICT_REJECT : FT_VERDICT_OK);
    }
    GE(j.stored, 53);
    NE(ft_answer_reason(&g->answer, 10)[0], 0);
    n = stand_in_count(s) - 1;
    ended(g, s);
    return n;
}

TASK_TEST(a_partial_write_rejects_the_lines_that_it_names_although_it_says_dropped_0)
{
    ALLOW_WEB();
    EQ(judged_well(NAMES_LINES), 1);
}

TASK_TEST(lines_that_are_named_where_nothing_was_stored_are_left_out_and_the_others_sent_again)
{
    ALLOW_WEB();
    EQ(judged_well(NAMES_AND_STORES_NOTHING), 2);
    LE(judged_well(NAMES_THE_FIRST), 40);
}

TASK_TEST(a_partial_write_that_only_counts_is_halved_until_the_count_is_all)
{
    ALLOW_WEB();
    LE(judged_well(COUNTS), 30);
    LE(judged_well(SAYS_422), 60);
}

TASK_TEST(a_recorded_answer_names_two_of_three_lines)
{
    ALLOW_WEB();
    json_t *all = cases_load();
    const char *said = json_string_value(
        json_object_get(json_object_get(case_find(all, "two-bad-lines"), "body"), "error"));
    struct rig *g = rig_at("http://127.0.0.1:1");
    const struct ft_rows rows = {g->rows, 3};

    rig_fill(g, 1, 3);
    EQ(ft_lines_find(&rows, rn_slice_str(said), NULL, NULL), 0); /* none of ours */
    EQ(ft_lines_find(&rows, rn_slice_str("unable to parse '"), NULL, NULL), 0);
    EQ(ft_lines_find(&rows, rn_slice_str(""), NULL, NULL), 0);
    json_decref(all);
    rig_free(g);
}

TASK_TEST(a_sample_that_has_no_line_is_rejected_here_and_never_sent)
{
    ALLOW_WEB();
    struct stand_in *s;
    struct rig *g = opened(&s, NULL, NULL);
    struct ft_sample samples[2] = {rig_sample(1), rig_sample(2)};

    samples[0].timestamp_ms = INT64_MAX;
    rig_add(g, samples, 2);
    OK(send_for(g, s, 204, NULL));
    EQ(g->verdicts[0].kind, FT_VERDICT_REJECT);
    EQ(g->verdicts[1].kind, FT_VERDICT_OK);
    TRUE(strstr((const char *)stand_in_seen(s, 1)->body.data, "seq=1i") == NULL);
    rig_forget(g);
    rig_add(g, samples, 1);
    OK(web_send(g, rn_after(20 * RN_S)));
    EQ(g->verdicts[0].kind, FT_VERDICT_REJECT);
    EQ(stand_in_count(s), 2); /* there was nothing to send */
    ended(g, s);
}

/* ---- time and size --------------------------------------------------------------------------- */

struct limit {
    size_t lines_max, stored;
};

static struct canned limited(void *arg, const struct seen *x)
{
    struct limit *l = arg;
    size_t n = 0;

    for (size_t i = 0; i < x->body.len; i++)
        n += x->body.data[i] == '\n';
    if (n > l->lines_max)
        return (struct canned){.status = 413, .body = "{\"error\":\"Request Entity Too Large\"}"};
    l->stored += n;
    return (struct canned){.status = 204};
}

TASK_TEST(a_body_that_is_too_large_is_halved)
{
    ALLOW_WEB();
    struct limit l = {.lines_max = 10};
    struct stand_in *s;
    struct rig *g = opened(&s, limited, &l);

    rig_fill(g, 1, 64);
    OK(web_send(g, rn_after(20 * RN_S)));
    EQ(rig_count(g, FT_VERDICT_OK), 64);
    EQ(l.stored, 64);
    l.lines_max = 0;
    rig_fill(g, 1, 4);
    OK(web_send(g, rn_after(20 * RN_S)));
    EQ(rig_count(g, FT_VERDICT_REJECT), 4);
    STREQ(ft_answer_reason(&g->answer, 3), "HTTP 413: Request Entity Too Large");
    ended(g, s);
}

TASK_TEST(a_busy_server_is_tried_again_after_what_it_says_and_a_hung_one_after_the_deadline)
{
    ALLOW_WEB();
    struct stand_in *s;
    struct rig *g = opened(&s, NULL, NULL);

    rig_fill(g, 1, 2);
    stand_in_answer(s, (struct canned){.status = 429, .field = "Retry-After", .value = "3"});
    ERR(web_send(g, rn_after(20 * RN_S)), EIO);
    EQ(g->answer.retry_after, 3 * RN_S);
    EQ(rig_count(g, FT_VERDICT_RETRY), 2);
    ERR(send_for(g, s, 500, "{\"error\":\"timeout\"}"), EIO);
    EQ(rig_count(g, FT_VERDICT_RETRY), 2);
    stand_in_answer(s, (struct canned){.hangs = true});
    ERR(web_send(g, rn_after(50 * RN_MS)), ETIMEDOUT);
    EQ(rig_count(g, FT_VERDICT_RETRY), 2);
    OK(send_for(g, s, 204, NULL));
    EQ(rig_count(g, FT_VERDICT_OK), 2);
    ended(g, s);
}
