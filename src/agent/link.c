/* The connection, see link.h. */
#include "link.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include <base/cleanup.h>
#include <base/log.h>
#include <proto/frame.h>
#include <proto/message.h>

#include "agent.h"
#include "compose.h"
#include "reply.h"

#define DIAL_NS (10 * RN_S)
#define WRITE_NS (60 * RN_S)   /* for one message to leave */
#define SILENCE_NS (10 * RN_S) /* every message is answered; the least time we give the server */
#define GOODBYE_NS (1 * RN_S)

rn_time ft_jitter(rn_time base, rn_time max, unsigned failures, uint64_t random)
{
    rn_time ceiling = base;

    while (failures-- > 0 && ceiling < max)
        ceiling = ceiling > max / 2 ? max : ceiling * 2;
    ceiling = ceiling < max ? ceiling : max;
    return (rn_time)(random % ((uint64_t)ceiling + 1));
}

static rn_time wait_ns(struct ft_agent *a)
{
    struct ft_link *l = &a->link;
    rn_time named = l->retry_after;
    uint64_t random = 0;

    if (getrandom(&random, sizeof(random), 0) < 0)
        random = (uint64_t)rn_now();
    l->retry_after = 0;
    return named + ft_jitter(a->settings->reconnect_base_ns, a->settings->reconnect_max_ns,
                             named ? 0 : l->failures, random);
}

/* ---- reading ---- */

static int message_take(struct ft_agent *a, struct rn_slice frame)
{
    CLEANUP(ft_server_message_fini) struct ft_server_message m = {0};
    const struct ft_limits limits = {.message_max = FT_MESSAGE_MAX_AGENT};
    struct ft_fault fault = {0};
    struct rn_slice bytes;
    int r = ft_envelope_decode(frame, &bytes);

    if (r == 0)
        r = ft_opamp_decode_server(bytes, &limits, &m, &fault);
    if (r < 0) {
        log_error("the server's message is malformed", LOG_STR("fault", ft_fault_text(fault.kind)),
                  LOG_ERR(r));
        return r;
    }
    a->link.silent_since = 0;
    ft_report_answered(&a->report);
    r = ft_reply_take(a, m.msg);
    if (r == 0 && !a->link.greeted) {
        a->link.greeted = true;
        a->link.failures = 0;
        log_info("connected", LOG_STR("server", a->settings->server));
    }
    return r;
}

/* Reads until the talk ends; says why in link->end. */
static int reader_task(void *arg)
{
    struct ft_agent *a = arg;
    struct ft_link *l = &a->link;
    int r = 0;

    ft_enter(&a->monitor);
    while (r == 0) {
        CLEANUP(freep) uint8_t *frame = NULL;
        size_t len = 0;

        r = FT_OUTSIDE(&a->monitor, rnet_stream_read_frame(l->stream, FT_MESSAGE_MAX_AGENT,
                                                           RN_FOREVER, &frame, &len));
        if (r == 0)
            r = -ECONNRESET; /* the server closed */
        if (r > 0)
            r = message_take(a, rn_slice(frame, len));
    }
    if (l->end == 0)
        l->end = r;
    ft_bell_ring(&a->report.bell);
    ft_leave(&a->monitor);
    return 0;
}

/* ---- writing ---- */

static int frame_send(struct ft_agent *a, const struct ft_message_plan *plan)
{
    CLEANUP(ft_buf_fini) struct ft_buf frame = FT_BUF_INIT(FT_MESSAGE_MAX_AGENT + 64);
    int r = ft_compose(a, plan, &frame);

    if (r == 0)
        r = FT_OUTSIDE(&a->monitor, rnet_stream_write(a->link.stream, frame.data, frame.len,
                                                      rn_after(WRITE_NS)));
    if (r == 0 && a->link.silent_since == 0)
        a->link.silent_since = rn_now();
    return r;
}

static bool has_something(const struct ft_agent *a)
{
    return a->report.dirty || a->report.beat ||
           (a->link.metrics && ft_buffer_has_unsent(&a->samples));
}

static int report_send(struct ft_agent *a)
{
    struct ft_message_plan plan = {.metrics = a->link.metrics};

    plan.parts = ft_report_take(&a->report);
    return frame_send(a, &plan);
}

/* The first message on a connection. */
static int greet(struct ft_agent *a)
{
    struct ft_link *l = &a->link;
    int r;

    a->report.dirty |= l->introduced ? FT_PART_STATUS | FT_PART_CUSTOM : FT_PART_ALL;
    r = report_send(a);
    if (r == 0)
        l->introduced = true;
    return r;
}

/* How long an answer may take. */
static rn_time silence_max(const struct ft_agent *a)
{
    rn_time two = 2 * a->pulse.interval_ns;

    return two > SILENCE_NS ? two : SILENCE_NS;
}

static int talk(struct ft_agent *a)
{
    struct ft_link *l = &a->link;
    int r = greet(a);

    while (r == 0 && l->end == 0 && !l->moved) {
        rn_time until = l->silent_since ? l->silent_since + silence_max(a) : RN_FOREVER;

        if (has_something(a)) {
            r = report_send(a);
            continue;
        }
        r = ft_bell_wait(&a->report.bell, until);
        if (r == -ETIMEDOUT && l->silent_since && rn_now() >= l->silent_since + silence_max(a)) {
            log_warn("the server does not answer");
            return r;
        }
        if (r == -ETIMEDOUT)
            r = 0;
    }
    return r < 0 ? r : l->end;
}

/* The stream's other half is still open: say goodbye, then wait for the server's end, so that
 * nothing of it is lost to a reset. */
static void goodbye(struct ft_agent *a)
{
    static const struct ft_message_plan plan = {.goodbye = true};
    char rest[512];
    rn_time until = rn_after(GOODBYE_NS);

    if (rn_shield_begin(until) < 0)
        return;
    if (frame_send(a, &plan) == 0 && rnet_stream_end(a->link.stream) == 0)
        while (FT_OUTSIDE(&a->monitor,
                          rnet_stream_read(a->link.stream, rest, sizeof(rest), until)) > 0)
            ;
    rn_shield_end();
}

/* ---- the connection ---- */

static void address_note(struct ft_link *l)
{
    struct rnet_addr addr;
    char text[RNET_ADDR_TEXT_MAX], host[sizeof(l->ip)], port[16];

    if (rnet_stream_local(l->stream, &addr) < 0 || addr.sa.any.sa_family == AF_UNIX)
        return;
    if (rnet_addr_split(rnet_addr_format(&addr, text, sizeof(text)), host, sizeof(host), port,
                        sizeof(port)) == 0)
        memcpy(l->ip, host, sizeof(l->ip));
}

static void connection_begin(struct ft_agent *a)
{
    struct ft_link *l = &a->link;

    l->end = 0;
    l->greeted = l->metrics = false;
    l->silent_since = 0;
    ft_buffer_rewind(&a->samples);
    address_note(l);
}

static int connection_run(struct ft_agent *a)
{
    const struct rn_task_options options = {.name = "reader",
                                            .stack = RN_STACK_256K}; /* the decoder recurses */
    struct rn_scope scope = {0};
    int r = rn_scope_open(RN_SCOPE_WAIT_ALL, &scope);

    if (r < 0)
        return r;
    r = rn_go_with(&options, scope, reader_task, a, NULL, 0);
    if (r == 0)
        r = talk(a);
    (void)FT_OUTSIDE(&a->monitor, rn_scope_close(scope));
    return r;
}

void ft_link_move(struct ft_agent *a)
{
    a->link.moved = true;
    ft_bell_ring(&a->report.bell);
}

static int connection(struct ft_agent *a)
{
    CLEANUP(ft_settings_fini) struct ft_settings held; /* a reload may exchange the agent's */
    struct ft_link *l = &a->link;

    ft_settings_share(a->settings, &held);
    if (l->moved)
        l->introduced = false;
    l->moved = false;
    int r = FT_OUTSIDE(&a->monitor, rnet_dial(held.address, rn_after(DIAL_NS), &l->stream));

    if (r < 0)
        return r;
    connection_begin(a);
    r = connection_run(a);
    if (r == -ECANCELED || l->moved)
        goodbye(a);
    rnet_stream_closep(&l->stream);
    l->stream = NULL;
    ft_report_disconnected(&a->report);
    return r;
}

/* Until `until`, or the server changes. 0, -ECANCELED. */
static int pause_until(struct ft_agent *a, rn_time until)
{
    int r = 0;

    while (r == 0 && !a->link.moved)
        r = ft_bell_wait(&a->report.bell, until);
    return r == -ETIMEDOUT ? 0 : r;
}

int ft_link_task(void *agent)
{
    struct ft_agent *a = agent;
    int r;

    ft_enter(&a->monitor);
    for (;;) {
        bool first = a->link.failures == 0;
        rn_time wait;

        r = connection(a);
        if (r == -ECANCELED)
            break;
        if (a->link.moved) {
            log_info("changing to another server", LOG_STR("server", a->settings->server));
            a->link.failures = 0;
            a->link.retry_after = 0;
            continue;
        }
        wait = wait_ns(a);
        if (first || a->link.greeted)
            log_warn("not connected", LOG_STR("server", a->settings->server), LOG_ERR(r),
                     LOG_INT("retry_ms", wait / RN_MS));
        else
            log_debug("not connected", LOG_STR("server", a->settings->server), LOG_ERR(r),
                      LOG_INT("retry_ms", wait / RN_MS));
        a->link.failures++;
        r = pause_until(a, rn_after(wait));
        if (r < 0)
            break;
    }
    ft_leave(&a->monitor);
    return r == -ECANCELED ? 0 : r;
}
