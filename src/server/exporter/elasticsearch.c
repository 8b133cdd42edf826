/* Elasticsearch and OpenSearch: `create` actions in `_bulk`, which answers for each document.
 *
 * The id is the sample's identity, so what was sent before is a 409 and counts as a duplicate. Both
 * families and all versions from 7.8 on take the same requests; what differs in their errors is the
 * type's name, so the status decides, and the type only where the same status means two things:
 *
 *     201 stored | 409 was there | 429, 5xx later | 429 or 403 of a block, 404, a closed index: a
 * person | 400, 413: never
 *
 * A 400 for the whole request stores nothing. It may be one sample's fault (then halving finds it)
 * or the request's: nothing is rejected unless the server takes other samples.
 */
#include "exporter/types.h"

#include <errno.h>
#include <string.h>

#include <jansson.h>

#include <base/cleanup.h>

#include <runnel/task.h>

#include "exporter/http_client.h"
#include "exporter/json.h"
#include "exporter/parts.h"

#define OPEN_TIME_MAX (10 * RN_S)
#define DOUBTS_MAX 3
#define NDJSON "application/x-ndjson"
/* Statuses of all items, so that they stay in order, and no more of the errors than is used: the
 * rest may repeat the request. */
#define FILTER                                                                                     \
    "filter_path=errors,error,items.*.status,items.*.failure_store,items.*.error.type,items.*."    \
    "error.reason"

struct self {
    struct ft_elasticsearch_settings settings;
    struct ft_http_client *client;
    struct ft_buf part; /* the body of a half */
    char target[512];   /* of bulk requests */
    bool has_taken;     /* since open: documents were answered one by one */
    bool taken_now;     /* the same, in this send */
    unsigned doubts;    /* in this send: single samples that may be at fault, or not */
};

static int index_parse(struct ft_yaml *y, const char *text, void *field, struct ft_text_error *why)
{
    const size_t len = strlen(text);
    char *kept;

    if (len < 1 || len > 255 || strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789-_.") != len ||
        strchr("-_.", text[0])) {
        ft_text_error_set(why,
                          "\"%.80s\" cannot be an index: take 1 to 255 lower-case letters, digits, "
                          "`-`, `_`, `.`, beginning with a "
                          "letter or digit",
                          text);
        return -EINVAL;
    }
    kept = ft_yaml_strdup(y, text);
    *(const char **)field = kept;
    return kept ? 0 : -ENOMEM;
}

#define AT(field) offsetof(struct ft_elasticsearch_settings, field)
const struct ft_option ft_elasticsearch_options[] = {
    FT_EXPORTER_OPTIONS(ft_elasticsearch_settings, "elasticsearch", "false"),
    {"url", FT_CUSTOM, AT(url), .def = "http://127.0.0.1:9200", .parse = ft_http_url_parse,
     .same = ft_option_same_text, .help = "where it listens"},
    {"index", FT_CUSTOM, AT(index), .def = "fettle-process-metrics", .parse = index_parse,
     .same = ft_option_same_text, .help = "the index, or data stream"},
    {"user", FT_STRING, AT(user), .help = "for basic authentication, with password_file"},
    {"password_file", FT_PATH, AT(password_file), .help = "a file with the password"},
    {"api_key_file", FT_PATH, AT(api_key_file),
     .help = "a file with an API key, as it stands behind `ApiKey`"},
    {"ca_file", FT_PATH, AT(ca_file),
     .help = "certificates that may sign the server's, instead of the system's"},
    {"create_template", FT_BOOL, AT(create_template), .def = "true",
     .help = "make an index template where there is none"},
    {0},
};

static int elasticsearch_judge(const void *settings, struct ft_text_error *why)
{
    const struct ft_elasticsearch_settings *s = settings;

    if (!s->user != !s->password_file)
        ft_text_error_set(why, "`user` and `password_file` go together: give both or none");
    else if (s->user && s->api_key_file)
        ft_text_error_set(why, "`api_key_file` beside `user`: give one way to authenticate");
    else if (s->user && strchr(s->user, ':'))
        ft_text_error_set(why, "a `user` with a colon cannot be sent: take another one");
    else
        return 0;
    return -EINVAL;
}

/* ---- open: the template ---------------------------------------------------------------------- */

static const char mappings[] = "{\"index_patterns\":[\"%s\"],\"priority\":200,\"template\":{"
                               "\"mappings\":{\"dynamic\":false,\"properties\":{"
                               "\"@timestamp\":{\"type\":\"date\"},"
                               "\"agent_id\":{\"type\":\"keyword\"},"
                               "\"boot_id\":{\"type\":\"keyword\"},"
                               "\"seq\":{\"type\":\"long\"},"
                               "\"process_name\":{\"type\":\"keyword\"},"
                               "\"host_name\":{\"type\":\"keyword\"},"
                               "\"ip\":{\"type\":\"ip\",\"ignore_malformed\":true},"
                               "\"pid\":{\"type\":\"long\"},"
                               "\"cmd\":{\"type\":\"keyword\"},"
                               "\"cpu_usage_rate\":{\"type\":\"double\"},"
                               "\"mem_usage\":{\"type\":\"long\"},"
                               "\"send_lines\":{\"type\":\"long\"}}}}}";

/* A person has to look at what the server says no to. */
static int refused(const struct self *self, const struct ft_http_answer *a, const char *what,
                   struct ft_text_error *reterr)
{
    struct ft_text_error said;

    ft_http_answer_text(self->client, a, &said);
    ft_text_error_set(reterr, "%s: %.400s", what, said.text);
    return ft_http_kind(a->status) == FT_HTTP_LATER ? -EIO : -EACCES;
}

static int template_create(struct self *self, const char *target, rn_time deadline,
                           struct ft_text_error *reterr)
{
    CLEANUP(ft_buf_fini) struct ft_buf body = FT_BUF_INIT(4096);
    struct ft_http_call call = {
        .method = "PUT", .target = target, .content_type = "application/json"};
    struct ft_http_answer a;
    int r = ft_buf_printf(&body, mappings, self->settings.index);

    if (r < 0)
        return r;
    call.body = ft_buf_slice(&body);
    r = ft_http_call(self->client, &call, deadline, &a, reterr);
    if (r < 0 || a.status == 200)
        return r;
    return refused(
        self, &a,
        "cannot make the index template (it may be made by hand: `create_template: false`)",
        reterr);
}

/* One that is there may have been changed by its operators, and stays. */
static int template_ensure(struct self *self, rn_time deadline, struct ft_text_error *reterr)
{
    char target[300];
    struct ft_http_answer a;
    int r;

    (void)snprintf(target, sizeof(target), "/_index_template/%s", self->settings.index);
    r = ft_http_call(self->client, &(struct ft_http_call){.method = "HEAD", .target = target},
                     deadline, &a, reterr);
    if (r < 0 || a.status == 200)
        return r;
    if (a.status != 404)
        return refused(self, &a, "cannot look for the index template", reterr);
    return template_create(self, target, deadline, reterr);
}

static int server_ask(struct self *self, rn_time deadline, struct ft_text_error *reterr)
{
    struct ft_http_answer a;
    int r;

    if (self->settings.create_template)
        return template_ensure(self, deadline, reterr);
    r = ft_http_call(self->client, &(struct ft_http_call){.method = "GET", .target = "/"}, deadline,
                     &a, reterr);
    if (r < 0 || a.status == 200 || a.status == 403) /* 403: a key that may write and no more */
        return r;
    return refused(self, &a, "cannot use the server", reterr);
}

static int elasticsearch_open(void *arg, struct ft_text_error *reterr)
{
    struct self *self = arg;
    const struct ft_http_options options = {
        .url = self->settings.url,
        .user = self->settings.user,
        .password_file = self->settings.password_file,
        .token_scheme = "ApiKey",
        .token_file = self->settings.api_key_file,
        .ca_file = self->settings.ca_file,
    };
    int r = ft_http_client_open(&options, &self->client, reterr);

    if (r < 0)
        return r;
    self->part.max = SIZE_MAX;
    (void)snprintf(self->target, sizeof(self->target), "/%s/_bulk?" FILTER, self->settings.index);
    r = server_ask(self, rn_now() + OPEN_TIME_MAX, reterr);
    if (r < 0)
        self->client = ft_http_client_close(self->client);
    return r;
}

static void elasticsearch_close(void *arg)
{
    struct self *self = arg;

    self->client = ft_http_client_close(self->client);
    ft_buf_fini(&self->part);
}

/* ---- encode ---------------------------------------------------------------------------------- */

static int elasticsearch_encode(const void *self, const struct ft_rows *in, struct ft_buf *out)
{
    (void)self;
    for (size_t i = 0; i < in->n; i++) {
        const struct ft_row *row = &in->items[i];

        (void)ft_buf_add_str(out, "{\"create\":{\"_id\":\"");
        (void)ft_buf_add(out, row->batch->agent_id, FT_UUID_TEXT_SIZE - 1);
        (void)ft_buf_add_byte(out, '-');
        (void)ft_buf_add(out, row->batch->boot_id, FT_UUID_TEXT_SIZE - 1);
        (void)ft_json_add_u64(out, "-", row->sample->seq);
        (void)ft_buf_add_str(out, "\"}}\n");
        (void)ft_json_add_document(out, row);
        (void)ft_buf_add_byte(out, '\n');
    }
    return ft_buf_error(out);
}

/* ---- send: the items ------------------------------------------------------------------------- */

static const char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));

    return text ? text : "";
}

/* The index says no whatever the document: read-only, closed, missing. A flood-stage block comes as
 * a 429 that does not go away. */
static bool blocks(json_int_t status, const char *type)
{
    return status == 401 || status == 403 || status == 404 ||
           strcmp(type, "cluster_block_exception") == 0 ||
           strcmp(type, "index_closed_exception") == 0 ||
           strcmp(type, "invalid_index_name_exception") == 0;
}

static enum ft_verdict_kind item_kind(json_int_t status, const char *type)
{
    if (status == 200 || status == 201)
        return FT_VERDICT_OK;
    if (status == 409)
        return FT_VERDICT_DUPLICATE;
    if (blocks(status, type))
        return FT_VERDICT_HOLD;
    return ft_http_kind((unsigned)status) == FT_HTTP_LATER ? FT_VERDICT_RETRY : FT_VERDICT_REJECT;
}

/* The one value of {"create": {...}}. */
static const json_t *item_result(const json_t *item)
{
    const char *key;
    const json_t *value;

    json_object_foreach((json_t *)item, key, value) return value;
    return NULL;
}

static void item_judge(const struct self *self, const struct ft_part *part, size_t i,
                       const json_t *item)
{
    const json_t *result = item_result(item);
    const json_int_t status = json_integer_value(json_object_get(result, "status"));
    const json_t *error = json_object_get(result, "error");
    const enum ft_verdict_kind kind = item_kind(status, text_of(error, "type"));
    CLEANUP(ft_buf_fini) struct ft_buf said = FT_BUF_INIT((size_t)1 << 20);
    struct ft_text_error shown;

    if (status < 200 || status > 599) {
        ft_answer_one(part->answer, part->first + i, FT_VERDICT_RETRY,
                      "an item of the answer has no status");
    } else if (kind == FT_VERDICT_OK && strcmp(text_of(result, "failure_store"), "used") == 0) {
        ft_answer_one(part->answer, part->first + i, FT_VERDICT_REJECT,
                      "the server put it into the failure store of the data stream");
    } else if (kind == FT_VERDICT_OK || kind == FT_VERDICT_DUPLICATE) {
        ft_answer_one(part->answer, part->first + i, kind, NULL);
    } else {
        (void)ft_buf_printf(&said, error ? "HTTP %d: %s: %s" : "HTTP %d", (int)status,
                            text_of(error, "type"), text_of(error, "reason"));
        ft_http_hide(self->client, ft_buf_slice(&said), &shown);
        ft_answer_one(part->answer, part->first + i, kind, "%s", shown.text);
    }
}

static int items_judge(struct self *self, const struct ft_part *part,
                       const struct ft_http_answer *a)
{
    CLEANUP(json_decrefp)
    json_t *json = json_loadb((const char *)a->body.data, a->body.len, 0, NULL);
    const json_t *items = json_object_get(json, "items");

    if (!json_is_array(items)) {
        ft_part_all(part, FT_VERDICT_RETRY,
                    "the answer to a bulk request %s: is this Elasticsearch?",
                    a->cut ? "is too long" : "has no items");
        return FT_PART_DONE;
    }
    if (json_array_size(items) != part->n) {
        ft_part_all(part, FT_VERDICT_RETRY, "the server answered for %zu documents of %zu",
                    json_array_size(items), part->n);
        return FT_PART_DONE;
    }
    for (size_t i = 0; i < part->n; i++)
        item_judge(self, part, i, json_array_get(items, i));
    self->has_taken = self->taken_now = true;
    return FT_PART_DONE;
}

/* ---- send: the request ----------------------------------------------------------------------- */

/* What is wrong with a part of one sample that got a 400? The sample, if the server has taken
 * others. */
static int bad_sample_judge(struct self *self, const struct ft_part *part, const char *said)
{
    if (self->taken_now || (self->has_taken && part->rows->n <= DOUBTS_MAX)) {
        ft_part_all(part, FT_VERDICT_REJECT, "%s", said);
        return FT_PART_DONE;
    }
    ft_part_all(part, FT_VERDICT_HOLD, "%s", said);
    return ++self->doubts < DOUBTS_MAX ? FT_PART_DONE : -EBADMSG;
}

static int request_judge(struct self *self, const struct ft_part *part,
                         const struct ft_http_answer *a)
{
    const enum ft_http_kind kind = ft_http_kind(a->status);
    struct ft_text_error said;

    ft_http_answer_text(self->client, a, &said);
    if ((kind == FT_HTTP_TOO_LARGE || kind == FT_HTTP_BAD) && part->n > 1)
        return FT_PART_HALVE;
    if (kind == FT_HTTP_TOO_LARGE) {
        ft_part_all(part, FT_VERDICT_REJECT, "%s", said.text);
        return FT_PART_DONE;
    }
    if (kind == FT_HTTP_BAD) {
        int r = bad_sample_judge(self, part, said.text);

        if (r < 0)
            ft_answer_rest(part->answer, FT_VERDICT_HOLD, "%s", said.text);
        return r;
    }
    part->answer->retry_after = kind == FT_HTTP_LATER ? a->retry_after : 0;
    ft_answer_rest(part->answer, kind == FT_HTTP_LATER ? FT_VERDICT_RETRY : FT_VERDICT_HOLD, "%s",
                   said.text);
    return -EIO;
}

static int part_send(void *arg, const struct ft_part *part)
{
    struct self *self = arg;
    const struct ft_rows rows = ft_part_rows(part);
    struct ft_http_call call = {
        .method = "POST", .target = self->target, .content_type = NDJSON, .body = part->body};
    struct ft_http_answer a;
    struct ft_text_error why = {0};
    int r = 0;

    if (!part->body.data) {
        ft_buf_clear(&self->part);
        r = elasticsearch_encode(self, &rows, &self->part);
        call.body = ft_buf_slice(&self->part);
    }
    if (r == 0)
        r = ft_http_call(self->client, &call, part->deadline, &a, &why);
    if (r == 0)
        return a.status == 200 ? items_judge(self, part, &a) : request_judge(self, part, &a);
    ft_answer_rest(part->answer, r == -EACCES ? FT_VERDICT_HOLD : FT_VERDICT_RETRY, "%s", why.text);
    return r;
}

static int elasticsearch_send(void *arg, const struct ft_rows *in, struct rn_slice body,
                              struct ft_answer *answer, rn_time deadline)
{
    struct self *self = arg;
    const struct ft_part whole = {
        .rows = in, .n = in->n, .body = body, .answer = answer, .deadline = deadline};

    self->taken_now = false;
    self->doubts = 0;
    return ft_parts_send(part_send, self, &whole);
}

const struct ft_exporter_type ft_exporter_elasticsearch = {
    .name = "elasticsearch",
    .summary = "documents in Elasticsearch or OpenSearch",
    .size = sizeof(struct self),
    .settings_size = sizeof(struct ft_elasticsearch_settings),
    .options = ft_elasticsearch_options,
    .pace = {.rows_max = 5000,
             .bytes_max = (size_t)5 << 20,
             .age_max = RN_S,
             .send_max = 30 * RN_S,
             .retry_max = 10 * RN_S},
    .judge = elasticsearch_judge,
    .open = elasticsearch_open,
    .encode = elasticsearch_encode,
    .send = elasticsearch_send,
    .close = elasticsearch_close,
};
