/* GET /events: server-sent events (WHATWG HTML, section "Server-sent events").
 *
 *     retry, id of now -> event -> event ... -> (nothing for a while: a sign of life) -> event
 *
 * Each client has a task that reads the ring of events at its own pace; nobody waits for it. An id
 * is BOOT-NUMBER, so one of an earlier start of the server cannot be taken for one of this. A
 * client whose next event is not in the ring any more, or never was, is sent `reset` and goes on
 * from now: what it has to do is to read the lists again.
 *
 * A filter passes over events; the sign of life then carries their id, so that a client that comes
 * back does not have to be told of a loss that was none.
 */
#include "api/internal.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <base/cleanup.h>

#include <proto/names.h>

#include "metrics/lane.h"

#define RETRY_MS 2000 /* before a client that lost its connection comes back */
#define LAST_TURN (10 * RN_MS)

struct follower {
    struct ft_api *api;
    struct rnet_http_request *req;
    size_t place;
    unsigned types; /* a bit for each */
    uint64_t next;  /* the number of the event that comes next */
    uint64_t told;  /* of the id that the client knows */
    rn_time wrote;
};

/* ---- what an event says ---- */

static json_t *json_name(struct rn_slice name)
{
    return name.len ? ft_json_slice(name) : json_null();
}

static void set_version(json_t **j, struct rn_slice configuration, uint32_t version)
{
    ft_json_set(j, RN_SLICE_LITERAL("configuration"), json_name(configuration));
    ft_json_set(j, RN_SLICE_LITERAL("version"), version ? ft_json_u64(version) : json_null());
}

static void set_agent(json_t **j, const struct ft_event *e)
{
    char uid[FT_UUID_TEXT_SIZE];

    ft_uuid_format(&e->agent, uid);
    ft_json_set(j, RN_SLICE_LITERAL("instance_uid"), json_string(uid));
}

static void set_status(const struct ft_api *api, json_t **j, const struct ft_event *e)
{
    set_agent(j, e);
    set_version(j, e->name, e->version);
    ft_json_set(j, RN_SLICE_LITERAL("hash"), ft_json_hash(&e->hash, e->has_hash));
    ft_json_set(j, RN_SLICE_LITERAL("status"), json_string(ft_status_name(e->state)));
    ft_json_set(j, RN_SLICE_LITERAL("error"),
                e->timed_out ? ft_json_timed_out(api) : ft_json_slice(e->text));
}

static json_t *json_event(const struct ft_api *api, const struct ft_event *e)
{
    json_t *j = json_pack("{s:o, s:s}", "time", ft_json_time(e->time_ms), "change",
                          ft_event_change_name(e->change));

    switch (e->change) {
    case FT_EVENT_config_status:
        set_status(api, &j, e);
        break;
    case FT_EVENT_config_version:
        set_version(&j, e->name, e->version);
        ft_json_set(&j, RN_SLICE_LITERAL("hash"), ft_json_hash(&e->hash, e->has_hash));
        break;
    case FT_EVENT_config_group:
        ft_json_set(&j, RN_SLICE_LITERAL("group"), ft_json_slice(e->name));
        set_version(&j, e->text, e->version);
        break;
    case FT_EVENT_config_group_deleted:
        ft_json_set(&j, RN_SLICE_LITERAL("group"), ft_json_slice(e->name));
        break;
    case FT_EVENT_exporter_state:
        ft_json_set(&j, RN_SLICE_LITERAL("exporter"), ft_json_slice(e->name));
        ft_json_set(&j, RN_SLICE_LITERAL("state"), json_string(ft_lane_state_name(e->state)));
        ft_json_set(&j, RN_SLICE_LITERAL("last_error"), json_name(e->text));
        break;
    case FT_EVENT_exporter_removed:
        ft_json_set(&j, RN_SLICE_LITERAL("exporter"), ft_json_slice(e->name));
        break;
    default: /* agent's */
        set_agent(&j, e);
        ft_json_set(&j, RN_SLICE_LITERAL("status"), json_string(ft_liveness_name(e->state)));
    }
    return j;
}

/* ---- writing ---- */

/* 0; -ETIMEDOUT: it takes nothing, for two signs of life; -ESHUTDOWN: there is no time to wait for
 * it; or the connection's. */
static int let_catch_up(struct follower *f)
{
    rn_time deadline = rn_after(2 * f->api->o.events_alive);
    int r = 0;

    while (r == 0 && rnet_http_stream_is_behind(f->req))
        r = ft_events_ended(f->api->o.events) ? -ESHUTDOWN
                                              : rnet_http_stream_wait(f->req, deadline);
    return r;
}

__attribute__((format(printf, 2, 3))) static int say(struct follower *f, const char *format, ...)
{
    CLEANUP(freep) char *text = NULL;
    va_list args;

    va_start(args, format);
    int n = vasprintf(&text, format, args);
    va_end(args);
    if (n < 0) {
        text = NULL;
        return -ENOMEM;
    }
    int r = rnet_http_stream_push(f->req, rn_slice(text, (size_t)n));
    f->wrote = rn_now();
    return r == 1 ? let_catch_up(f) : r;
}

/* One event; `data` is taken. JSON has no line ends, so it is one line. */
static int say_event(struct follower *f, const char *type, uint64_t number, json_t *data)
{
    CLEANUP(freep) char *text = data ? json_dumps(data, JSON_COMPACT) : NULL;

    json_decref(data);
    if (!text)
        return -ENOMEM;
    f->told = number;
    return say(f, "id: %016" PRIx64 "-%" PRIu64 "\nevent: %s\ndata: %s\n\n",
               ft_events_boot(f->api->o.events), number, type, text);
}

/* An id alone is no event: the client only remembers it. */
static int say_id(struct follower *f, uint64_t number)
{
    f->told = number;
    return say(f, "id: %016" PRIx64 "-%" PRIu64 "\n\n", ft_events_boot(f->api->o.events), number);
}

enum reset { LOST, RESTARTED, UNKNOWN };

/* Go on from now. */
static int say_reset(struct follower *f, enum reset why)
{
    static const char
        *const reasons[] = {"lost", "restarted", "unknown"},
               *const details[] = {
                   "events were lost, since too many came in the meantime: read the lists again",
                   "this id is of another start of the server: read the lists again",
                   "this is no id that the server gave: read the lists again"};
    uint64_t last = ft_events_last(f->api->o.events);
    json_t *lost = why == LOST ? ft_json_u64(last + 1 - f->next) : json_null();

    f->next = last + 1;
    return say_event(
        f, "reset", last,
        json_pack("{s:s, s:o, s:s}", "reason", reasons[why], "lost", lost, "detail", details[why]));
}

/* A client that did not take the last sign of life is none. */
static int say_alive(struct follower *f)
{
    if (rnet_conn_unsent(rnet_http_conn(f->req)) > 0)
        return -ETIMEDOUT;
    return f->told < f->next - 1 ? say_id(f, f->next - 1) : say(f, ": alive\n\n");
}

/* ---- following ---- */

/* All that has happened. 0, or < 0: it is over; -EACCES: the token is not valid any more. */
static int catch_up(struct follower *f)
{
    struct ft_event_copy copy;
    int r = 0;

    while (r >= 0) {
        if (!ft_api_admits(f->api, f->req)) /* asked each time: saying an event may have waited */
            return -EACCES;
        r = ft_events_read(f->api->o.events, f->place, f->next, &copy);
        if (r == 0)
            return 0;
        if (r == -ESTALE) {
            r = say_reset(f, LOST);
        } else if (r == 1) {
            enum ft_event_type type = ft_event_type(&copy.event);
            f->next++;
            if (f->types & 1u << type)
                r = say_event(f, ft_event_type_name(type), copy.event.number,
                              json_event(f->api, &copy.event));
        }
    }
    return r;
}

static int follow(struct follower *f)
{
    int r = catch_up(f);

    while (r >= 0) {
        r = rnet_http_stream_wait(f->req, f->wrote + f->api->o.events_alive);
        if (r == -ETIMEDOUT)
            r = say_alive(f);
        if (r >= 0)
            r = catch_up(f);
    }
    return r;
}

/* ---- the request ---- */

/* "agent,config" as bits; false: there is another word. */
static bool read_types(struct rn_slice in, unsigned *ret)
{
    *ret = 0;
    for (;;) {
        const uint8_t *comma = in.len ? memchr(in.data, ',', in.len) : NULL;
        struct rn_slice word = rn_slice(in.data, comma ? (size_t)(comma - in.data) : in.len);
        unsigned t = 0;

        while (t < FT_EVENT_TYPE_COUNT &&
               !rn_slice_eq_str(word, ft_event_type_name((enum ft_event_type)t)))
            t++;
        if (t == FT_EVENT_TYPE_COUNT)
            return false;
        *ret |= 1u << t;
        if (!comma)
            return true;
        in = rn_slice_from(in, word.len + 1);
    }
}

/* BOOT-NUMBER as we write it. */
static bool read_id(struct rn_slice in, uint64_t *ret_boot, uint64_t *ret_number)
{
    char text[48], again[48];

    if (in.len >= sizeof(text))
        return false;
    memcpy(text, in.data, in.len);
    text[in.len] = '\0';
    if (sscanf(text, "%16" SCNx64 "-%20" SCNu64, ret_boot, ret_number) != 2)
        return false;
    snprintf(again, sizeof(again), "%016" PRIx64 "-%" PRIu64, *ret_boot, *ret_number);
    return strcmp(text, again) == 0;
}

static int begin(struct follower *f)
{
    struct ft_events *events = f->api->o.events;
    struct rn_slice id = rnet_http_field(f->req, "last-event-id");
    uint64_t last = ft_events_last(events), boot, number;
    int r = say(f, "retry: %d\n\n", RETRY_MS);

    f->next = last + 1;
    if (r < 0)
        return r;
    if (id.len == 0)
        return say_id(f, last);
    if (!read_id(id, &boot, &number))
        return say_reset(f, UNKNOWN);
    if (boot != ft_events_boot(events))
        return say_reset(f, RESTARTED);
    if (number > last)
        return say_reset(f, UNKNOWN);
    f->next = number + 1;
    f->told = number;
    return 0;
}

/* The server stops: what was said leaves, if the client takes it at once. */
static void take_leave(struct follower *f)
{
    struct rnet_conn conn = rnet_http_conn(f->req);

    if (rnet_conn_unsent(conn) > 0)
        (void)rn_sleep(rn_after(LAST_TURN));
    if (rnet_conn_unsent(conn) > 0)
        (void)rnet_conn_close(conn, RNET_REASON_DRAIN);
}

static void answer(struct follower *f)
{
    int r = rnet_http_header(f->req, "Cache-Control", "no-store");

    if (r == 0)
        r = rnet_http_stream(f->req, 200, "text/event-stream");
    if (r < 0 || rn_slice_eq_str(rnet_http_method(f->req), "HEAD"))
        return;
    r = begin(f);
    if (r >= 0)
        r = follow(f);
    if (r == -ESHUTDOWN)
        take_leave(f);
    else if (r == -ETIMEDOUT)
        (void)rnet_conn_close(rnet_http_conn(f->req), RNET_REASON_WRITE_TIMEOUT);
    else if (r == -ENOMEM)
        (void)rnet_conn_close(rnet_http_conn(f->req), RNET_REASON_MEMORY);
}

void ft_handle_events(void *arg, struct rnet_http_request *req)
{
    struct follower f = {.api = arg, .req = req, .types = ~0u};
    struct rn_slice types = rnet_http_query(req, "types");

    if (types.data && !read_types(types, &f.types)) {
        ft_reply_problem(req, 400,
                         "types must be some of agent, config, rollout and exporter, "
                         "with commas between them");
        return;
    }
    int r = ft_events_join(f.api->o.events, rnet_http_conn(req), &f.place);
    if (r < 0) {
        (void)rnet_http_header(req, "Retry-After", "5");
        ft_reply_problem(req, 503, "%s",
                         r == -EBUSY ? "too many clients follow events already"
                                     : "the server is stopping");
        return;
    }
    answer(&f);
    ft_events_leave(f.api->o.events, f.place);
}
