#include "sim.h"

#include <errno.h>
#include <stdlib.h>

#include <base/cleanup.h>
#include <base/log.h>

#include <rnet/server.h>

#include <runnel/loop.h>

#include <proto/frame.h>
#include <proto/metrics.h>
#include <proto/names.h>

#include "fleet.h"
#include "peek.h"

/* ---- configurations ---- */

struct ft_sim_config *ft_sim_config_ref(struct ft_sim_config *c)
{
    c->refs++;
    return c;
}

struct ft_sim_config *ft_sim_config_unref(struct ft_sim_config *c)
{
    if (c && --c->refs == 0) {
        ft_server_message_fini(&c->message);
        free(c);
    }
    return NULL;
}

static struct rn_slice hash_of(const struct ft_server_message *m)
{
    return rn_slice(m->msg->remote_config->config_hash.data, m->msg->remote_config->config_hash.len);
}

/* The configuration of a message: the one that another agent got before, or a new one that takes
 * the message over. NULL: no memory. */
static struct ft_sim_config *config_take(struct ft_fleet *f, struct ft_server_message *m)
{
    struct ft_sim_config *c;

    if (f->newest && rn_slice_eq(hash_of(&f->newest->message), hash_of(m)))
        return ft_sim_config_ref(f->newest);
    c = calloc(1, sizeof(*c));
    if (!c)
        return NULL;
    c->refs = 2; /* the fleet's and the caller's */
    c->message = *m;
    *m = (struct ft_server_message){0};
    ft_sim_config_unref(f->newest);
    f->newest = c;
    f->newest_at = rn_now();
    f->n_configured = 0;
    return c;
}

/* ---- sending ---- */

static void send_composed(struct ft_sim *sim, int composed, rn_time meant_at)
{
    struct ft_fleet *f = sim->fleet;

    if (composed < 0 || rnet_conn_write(sim->conn, ft_buf_slice(&f->out)) < 0) {
        (void)rnet_conn_close(sim->conn, RNET_REASON_MEMORY);
        return;
    }
    f->counts.sent++;
    if (sim->unanswered++ == 0)
        sim->sent_at = meant_at;
}

static struct ft_buf *scratch(struct ft_sim *sim)
{
    ft_buf_clear(&sim->fleet->out);
    return &sim->fleet->out;
}

void ft_sim_heartbeat(struct ft_sim *sim, rn_time meant_at)
{
    struct ft_fleet *f = sim->fleet;

    if (f->beats_left == 0)
        return;
    if (f->beats_left != UINT64_MAX)
        f->beats_left--;
    f->counts.beats_sent++;
    if (sim->bits & FT_SIM_METRICS)
        f->counts.samples_sent += f->options.samples;
    sim->bits |= FT_SIM_BEATING;
    send_composed(sim, ft_compose_heartbeat(sim, scratch(sim)), meant_at);
}

void ft_sim_leave(struct ft_sim *sim)
{
    sim->bits |= FT_SIM_LEAVING;
    send_composed(sim, ft_compose_goodbye(sim, scratch(sim)), rn_loop_now());
    (void)rnet_conn_end(sim->conn, RNET_REASON_LOCAL);
}

void ft_sim_drop(struct ft_sim *sim)
{
    (void)rnet_conn_close(sim->conn, RNET_REASON_LOCAL);
}

static void say_full(struct ft_sim *sim)
{
    sim->bits |= FT_SIM_INTRODUCED;
    send_composed(sim, ft_compose_full(sim, scratch(sim)), rn_loop_now());
}

/* ---- taking ---- */

/* Applied at once: what is measured here is the server. */
static void config_apply(struct ft_sim *sim, struct ft_server_message *m)
{
    struct ft_sim_config *c = config_take(sim->fleet, m);

    if (!c)
        return; /* it will be offered again */
    ft_sim_config_unref(sim->config);
    sim->config = c;
    sim->fleet->counts.configs_received++;
    send_composed(sim, ft_compose_status(sim, FT_STATUS_APPLYING, scratch(sim)), rn_loop_now());
    send_composed(sim, ft_compose_status(sim, FT_STATUS_APPLIED, scratch(sim)), rn_loop_now());
    sim->bits |= FT_SIM_APPLYING;
}

static void error_take(struct ft_sim *sim, const Opamp__Proto__ServerErrorResponse *e)
{
    const bool told = e->details_case == OPAMP__PROTO__SERVER_ERROR_RESPONSE__DETAILS_RETRY_INFO;

    sim->fleet->counts.refused++;
    if (told && e->retry_info && e->retry_info->retry_after_nanoseconds < (uint64_t)(3600 * RN_S))
        sim->due = rn_loop_now() + (rn_time)e->retry_info->retry_after_nanoseconds;
    log_debug("refused", LOG_STR("message", e->error_message));
    (void)rnet_conn_end(sim->conn, RNET_REASON_LOCAL);
}

static void identity_take(struct ft_sim *sim, const Opamp__Proto__AgentIdentification *id)
{
    struct ft_uuid uid;

    if (ft_uuid_from_bytes(rn_slice(id->new_instance_uid.data, id->new_instance_uid.len), &uid) == 0)
        sim->uid = uid;
}

static void capabilities_take(struct ft_sim *sim, const Opamp__Proto__CustomCapabilities *c)
{
    for (size_t i = 0; i < c->n_capabilities; i++)
        if (rn_slice_eq_str(rn_slice_str(c->capabilities[i]), FT_CAPABILITY_PROCESS_METRICS))
            sim->bits |= FT_SIM_METRICS;
}

static void ack_take(struct ft_sim *sim, struct rn_slice data)
{
    struct ft_metrics_ack ack;

    if (data.len > 0 && ft_metrics_ack_decode(data, &ack, NULL) == 0)
        sim->fleet->counts.acks++;
}

static void flags_take(struct ft_sim *sim, uint64_t flags)
{
    if (!(flags & FT_SERVER_FLAG_REPORT_FULL_STATE))
        return;
    sim->fleet->counts.full_asked++;
    say_full(sim);
}

/* < 0: malformed. */
static int full_take(struct ft_sim *sim, struct rn_slice bytes)
{
    CLEANUP(ft_server_message_fini) struct ft_server_message m = {0};
    const struct ft_limits limits = {.message_max = FT_MESSAGE_MAX_AGENT};
    int r = ft_opamp_decode_server(bytes, &limits, &m, NULL);

    if (r < 0)
        return r;
    if (m.msg->error_response) {
        error_take(sim, m.msg->error_response);
        return 0;
    }
    if (m.msg->agent_identification)
        identity_take(sim, m.msg->agent_identification);
    if (m.msg->custom_capabilities)
        capabilities_take(sim, m.msg->custom_capabilities);
    if (m.msg->custom_message)
        ack_take(sim, rn_slice(m.msg->custom_message->data.data, m.msg->custom_message->data.len));
    flags_take(sim, m.msg->flags);
    if (m.msg->remote_config)
        config_apply(sim, &m);
    return 0;
}

/* What an answer sets going: the first one greets, the last one of several ends what waited. */
static void answered(struct ft_sim *sim)
{
    struct ft_fleet *f = sim->fleet;
    const bool due = sim->unanswered > 0;

    f->counts.answered += due;
    sim->unanswered -= due;
    if (!(sim->bits & FT_SIM_GREETED)) {
        sim->bits |= FT_SIM_GREETED;
        sim->failures = 0;
        ft_fleet_on_greeted(f, sim);
        return;
    }
    if (!due || sim->unanswered > 0)
        return;
    if (sim->bits & FT_SIM_BEATING) {
        sim->bits &= (uint8_t)~FT_SIM_BEATING;
        ft_spread_add(&f->beat, rn_now() - sim->sent_at);
        ft_fleet_on_beat_answered(f);
    }
    if (sim->bits & FT_SIM_APPLYING) {
        sim->bits &= (uint8_t)~FT_SIM_APPLYING;
        ft_fleet_on_applied(f, sim);
    }
    if (f->beating && f->options.interval == 0)
        ft_sim_heartbeat(sim, rn_now());
}

static int message_take(struct ft_sim *sim, struct rn_slice bytes)
{
    const struct ft_peek p = ft_peek(bytes);
    int r = 0;

    if (sim->bits & FT_SIM_LEAVING)
        return 0;
    if (p.plain) {
        ack_take(sim, p.custom_data);
        flags_take(sim, p.flags);
    } else {
        r = full_take(sim, bytes);
    }
    if (r == 0 && !rnet_conn_ending(sim->conn))
        answered(sim);
    return r;
}

/* ---- the connection ---- */

static int on_open(struct rnet_conn conn, void *data)
{
    struct ft_sim *sim = data;

    sim->conn = conn;
    sim->state = FT_SIM_OPEN;
    sim->unanswered = 0;
    sim->bits &= FT_SIM_INTRODUCED;
    if (sim->bits & FT_SIM_INTRODUCED)
        send_composed(sim, ft_compose_return(sim, scratch(sim)), rn_loop_now());
    else
        say_full(sim);
    return 0;
}

static ssize_t on_bytes(struct rnet_conn conn, void *data, struct rn_slice in)
{
    struct ft_frame frame;
    size_t taken = 0;
    int r;

    while ((r = ft_frame_decode(rn_slice_from(in, taken), FT_MESSAGE_MAX_AGENT, &frame)) == 1) {
        taken += frame.len;
        r = message_take(data, frame.message);
        if (r < 0 || !rnet_conn_alive(conn))
            break;
    }
    return r < 0 ? r : (ssize_t)taken;
}

static void on_timer(struct rnet_conn conn, void *data)
{
    struct ft_sim *sim = data;

    if (!sim->fleet->beating)
        return;
    if (sim->unanswered == 0)
        ft_sim_heartbeat(sim, sim->due);
    else
        sim->fleet->counts.beats_skipped++;
    sim->due += sim->fleet->options.interval;
    (void)rnet_conn_timer(conn, sim->due);
}

static void on_close(struct rnet_conn conn, void *data, enum rnet_reason reason)
{
    struct ft_sim *sim = data;

    (void)conn;
    log_debug("connection ended", LOG_STR("reason", rnet_reason_name(reason)));
    sim->conn = RNET_CONN_NONE;
    sim->state = FT_SIM_IDLE;
    ft_fleet_on_lost(sim->fleet, sim, sim->bits & FT_SIM_GREETED);
}

const struct rnet_protocol ft_sim_protocol = {
    .name = "agent",
    .limits = {.input_max = FT_MESSAGE_MAX_AGENT + FT_FRAME_PREFIX_LEN},
    .on_open = on_open,
    .on_bytes = on_bytes,
    .on_timer = on_timer,
    .on_close = on_close,
};
