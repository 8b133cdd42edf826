/* Replies, see reply.h. */
#include "reply.h"

#include <errno.h>
#include <string.h>

#include <base/log.h>
#include <proto/names.h>

#define HEARTBEAT_S_MAX 86400

static int error_take(struct ft_agent *a, const Opamp__Proto__ServerErrorResponse *e)
{
    if (e->type == OPAMP__PROTO__SERVER_ERROR_RESPONSE_TYPE__ServerErrorResponseType_Unavailable) {
        if (e->details_case == OPAMP__PROTO__SERVER_ERROR_RESPONSE__DETAILS_RETRY_INFO &&
            e->retry_info) {
            uint64_t ns = e->retry_info->retry_after_nanoseconds;
            a->link.retry_after = ns < (uint64_t)(3600 * RN_S) ? (rn_time)ns : 3600 * RN_S;
        }
        log_info("the server is not available now", LOG_STR("message", e->error_message),
                 LOG_INT("retry_ms", a->link.retry_after / RN_MS));
    } else {
        a->link.retry_after =
            a->settings->reconnect_max_ns; /* the same message would be refused again */
        log_error("the server refused our message", LOG_STR("message", e->error_message));
    }
    return -ECONNABORTED;
}

static void settings_take(struct ft_agent *a, const Opamp__Proto__ConnectionSettingsOffers *offer)
{
    const Opamp__Proto__OpAMPConnectionSettings *s = offer->opamp;
    struct rn_slice hash = rn_slice(offer->hash.data, offer->hash.len);
    const char *error = "";

    if (!s)
        return; /* of kinds that we don't accept */
    if (s->destination_endpoint[0] || s->headers || s->certificate || s->tls || s->proxy)
        error = "only the heartbeat interval can be changed: endpoint, headers, certificate, tls "
                "and proxy stand in the agent's file";
    else if (s->heartbeat_interval_seconds < 1 || s->heartbeat_interval_seconds > HEARTBEAT_S_MAX)
        error = "the heartbeat interval has to be 1 to 86400 seconds";
    else
        ft_pulse_set_interval(&a->pulse, (rn_time)s->heartbeat_interval_seconds * RN_S);
    if (ft_outcome_set(&a->report.settings, hash, *error ? FT_STATUS_FAILED : FT_STATUS_APPLIED,
                       error) == 0)
        ft_report_mark(&a->report, FT_PART_SETTINGS);
}

static void config_take(struct ft_agent *a, const Opamp__Proto__AgentRemoteConfig *config)
{
    struct ft_offer *offer;
    int r = ft_offer_from_opamp(config, &offer);

    if (r == 0) {
        ft_apply_offer(&a->apply, offer);
        return;
    }
    log_error("an offered configuration is unusable", LOG_ERR(r));
    if (config->config_hash.len == 0)
        return; /* no way to answer */
    if (ft_outcome_set(
            &a->report.status, rn_slice(config->config_hash.data, config->config_hash.len),
            FT_STATUS_FAILED,
            r == -ENOMEM ? "out of memory" : "the offer has too many objects or is malformed") == 0)
        ft_report_mark(&a->report, FT_PART_STATUS);
}

struct uid_job {
    struct ft_store *store;
    struct ft_uuid uid;
};

static int uid_job(void *arg)
{
    struct uid_job *j = arg;

    return ft_store_set_uid(j->store, &j->uid);
}

static void identity_take(struct ft_agent *a, const Opamp__Proto__AgentIdentification *id)
{
    struct uid_job j = {.store = &a->store};
    char text[FT_UUID_TEXT_SIZE];
    int r =
        ft_uuid_from_bytes(rn_slice(id->new_instance_uid.data, id->new_instance_uid.len), &j.uid);

    if (r < 0 || ft_uuid_is_zero(&j.uid) || ft_uuid_eq(&j.uid, &a->uid))
        return;
    ft_uuid_format(&j.uid, text);
    log_warn("the server gave us another identity", LOG_STR("instance_uid", text));
    r = FT_OUTSIDE(&a->monitor, rn_blocking(a->files, uid_job, &j));
    if (r < 0)
        log_warn("the new identity cannot be kept: it is used until the next start", LOG_ERR(r));
    a->uid = j.uid;
    ft_buffer_rewind(&a->samples);
    ft_report_mark(&a->report, FT_PART_ALL);
}

static void capabilities_take(struct ft_agent *a, const Opamp__Proto__CustomCapabilities *c)
{
    bool metrics = false;

    for (size_t i = 0; i < c->n_capabilities; i++)
        metrics |= strcmp(c->capabilities[i], FT_CAPABILITY_PROCESS_METRICS) == 0;
    a->link.metrics = metrics;
    if (metrics)
        ft_pulse_sample(&a->pulse);
    if (metrics && ft_buffer_has_unsent(&a->samples))
        ft_bell_ring(&a->report.bell);
}

static void custom_take(struct ft_agent *a, const Opamp__Proto__CustomMessage *m)
{
    struct ft_metrics_ack ack;

    if (strcmp(m->capability, FT_CAPABILITY_PROCESS_METRICS) != 0 ||
        strcmp(m->type, FT_TYPE_METRICS_ACK) != 0)
        return;
    if (ft_metrics_ack_decode(rn_slice(m->data.data, m->data.len), &ack, NULL) < 0) {
        log_warn("an acknowledgement of samples is malformed: ignored");
        return;
    }
    if (memcmp(ack.boot_id, a->boot.bytes, sizeof(ack.boot_id)) == 0) /* else of an earlier life */
        ft_buffer_ack(&a->samples, ack.seq);
}

int ft_reply_take(struct ft_agent *a, const Opamp__Proto__ServerToAgent *msg)
{
    if (msg->instance_uid.len != 0 &&
        !rn_slice_eq(rn_slice(msg->instance_uid.data, msg->instance_uid.len),
                     ft_uuid_slice(&a->uid))) {
        log_warn("a message for another agent: ignored");
        return 0;
    }
    if (msg->error_response)
        return error_take(a, msg->error_response);
    if (msg->agent_identification)
        identity_take(a, msg->agent_identification);
    if (msg->custom_capabilities)
        capabilities_take(a, msg->custom_capabilities);
    if (msg->custom_message)
        custom_take(a, msg->custom_message);
    if (msg->connection_settings)
        settings_take(a, msg->connection_settings);
    if (msg->remote_config)
        config_take(a, msg->remote_config);
    if (msg->flags & FT_SERVER_FLAG_REPORT_FULL_STATE)
        ft_report_mark(&a->report, FT_PART_ALL);
    if (msg->command)
        log_warn("a command came that we never said we accept: ignored");
    return 0;
}
