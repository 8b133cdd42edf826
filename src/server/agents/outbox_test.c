/* What goes out: configuration, heartbeat interval, acks. */
#include "agents/testing.h"

#include <string.h>

#include "metrics/fanout.h"

/* ---- configuration ---- */

SIM_TEST(a_configuration_is_pushed_to_who_is_there, 3)
{
    SERVER(s);
    PEER(p, &s, 1);
    struct report r = {0};

    peer_ask(&p, report_first(&r, "web-1"));
    struct ft_hash hash = server_desires(&s, 1, 1, "x");
    const Opamp__Proto__ServerToAgent *m = peer_next(&p);
    TRUE(offers(m, &hash));
    EQ(m->remote_config->config->n_config_map, 1);
    STREQ(m->remote_config->config->config_map[0]->key, "a");
    MEMEQ(m->remote_config->config->config_map[0]->value->body.data, "x", 1);
    TRUE(is_plain(peer_beat(&p)));
    EQ(atomic_load(&s.sessions->pushes), 1);
}

SIM_TEST(an_agent_that_already_has_the_content_is_offered_nothing, 3)
{
    SERVER(s);
    PEER(p, &s, 1);
    PEER(other, &s, 2);
    struct report r = {0};

    peer_ask(&other, report_first(&r, "web-2"));
    struct ft_hash hash = server_desires(&s, 2, 1, "x");
    report_whole(&r, "web-1");
    peer_ask(&p, report_config(&r, &hash, FT_STATUS_APPLIED, ""));
    server_desires(&s, 1, 1, "x");
    server_desires(&s, 1, 2, "x"); /* nor when the same is assigned anew */
    TRUE(is_plain(peer_beat(&p)));
    EQ(server_status(&s, 1), FT_STATUS_APPLIED);
}

SIM_TEST(an_agent_that_does_not_accept_configuration_gets_none, 3)
{
    SERVER(s);
    PEER(p, &s, 1);
    struct report r = {0};

    p.capabilities &= ~(uint64_t)FT_AGENT_ACCEPTS_REMOTE_CONFIG;
    peer_ask(&p, report_first(&r, "web-1"));
    server_desires(&s, 1, 1, "x");
    TRUE(is_plain(peer_beat(&p)));
    peer_hears_nothing(&p, 10 * RN_S);
}

SIM_TEST(nothing_is_offered_before_the_status_is_known, 3)
{
    SERVER(s);
    PEER(p, &s, 1);
    struct report r = {0};

    TRUE(peer_beat(&p)->flags & FT_SERVER_FLAG_REPORT_FULL_STATE);
    struct ft_hash hash = server_desires(&s, 1, 1, "x");
    TRUE(is_plain(peer_beat(&p)));
    TRUE(offers(peer_ask(&p, report_first(&r, "web-1")), &hash));
}

SIM_TEST(an_unanswered_flag_counts_as_never_had_one_after_five_seconds, 3)
{
    SERVER(s);
    PEER(p, &s, 1);
    rn_time begin = rn_now();

    peer_beat(&p);
    struct ft_hash hash = server_desires(&s, 1, 1, "x");
    peer_hears_nothing(&p, 4900 * RN_MS);
    TRUE(offers(peer_next(&p), &hash));
    GE(rn_now() - begin, 5 * RN_S);
}

SIM_TEST(a_status_alone_makes_it_known, 3)
{
    SERVER(s);
    PEER(p, &s, 1);
    struct report r = {0};
    struct ft_hash old = {{3}};

    peer_beat(&p);
    struct ft_hash hash = server_desires(&s, 1, 1, "x");
    TRUE(offers(peer_ask(&p, report_config(&r, &old, FT_STATUS_APPLIED, "")), &hash));
}

SIM_TEST(an_unbroken_reconnect_makes_it_known, 3)
{
    SERVER(s);
    struct report r = {0};
    struct peer first = {0};

    peer_open(&first, &s, 1);
    peer_ask(&first, report_first(&r, "web-1"));
    peer_close(&first);
    TASK_UNTIL(server_liveness(&s, 1) == FT_LIVENESS_STALE);
    struct ft_hash hash = server_desires(&s, 1, 1, "x");

    PEER(p, &s, 1);
    p.seq = 1;
    TRUE(offers(peer_beat(&p), &hash));
}

SIM_TEST(a_gap_makes_it_unknown_again, 3)
{
    SERVER(s);
    PEER(p, &s, 1);
    struct report r = {0};

    peer_ask(&p, report_first(&r, "web-1"));
    OK(rn_sleep(rn_after(5 * RN_MS)));
    p.seq++;
    TRUE(peer_beat(&p)->flags & FT_SERVER_FLAG_REPORT_FULL_STATE);
    struct ft_hash hash = server_desires(&s, 1, 1, "x");
    TRUE(is_plain(peer_beat(&p)));
    p.seq++; /* asked already on this connection: then it waits as long as for an answer */
    TRUE(is_plain(peer_beat(&p)));
    peer_hears_nothing(&p, 4900 * RN_MS);
    TRUE(offers(peer_next(&p), &hash));
}

SIM_TEST(the_same_assignment_is_offered_once_per_connection, 3)
{
    SERVER(s);
    struct report r = {0};
    struct ft_hash hash;

    for (int i = 0; i < 3; i++) {
        struct peer p = {0};
        peer_open(&p, &s, 1);
        const Opamp__Proto__ServerToAgent *m = peer_ask(&p, report_first(&r, "web-1"));
        if (i == 0) {
            hash = server_desires(&s, 1, 1, "x");
            m = peer_next(&p);
        }
        TRUE(offers(m, &hash));
        server_desires(&s, 1, 1, "x"); /* a sweep that says the same again */
        TRUE(is_plain(peer_beat(&p)));
        peer_close(&p);
        TASK_UNTIL(server_liveness(&s, 1) == FT_LIVENESS_STALE);
    }
    EQ(atomic_load(&s.sessions->pushes), 3);
}

SIM_TEST(a_failure_is_tried_again_only_with_a_newer_assignment, 3)
{
    SERVER(s);
    PEER(p, &s, 1);
    struct report r = {0}, status = {0};

    peer_ask(&p, report_first(&r, "web-1"));
    struct ft_hash hash = server_desires(&s, 1, 7, "x");
    TRUE(offers(peer_next(&p), &hash));
    TRUE(is_plain(peer_ask(&p, report_config(&status, &hash, FT_STATUS_FAILED, "no"))));
    server_desires(&s, 1, 7, "x");
    TRUE(is_plain(peer_beat(&p)));
    server_desires(&s, 1, 8, "x");
    TRUE(offers(peer_next(&p), &hash));
    TRUE(is_plain(peer_ask(&p, report_config(&status, &hash, FT_STATUS_FAILED, "no"))));
    server_desires(&s, 1, 8, "x");
    TRUE(is_plain(peer_beat(&p)));
    EQ(server_status(&s, 1), FT_STATUS_FAILED);
}

/* The agent was killed in the middle, finished when it came back, and says so there. */
SIM_TEST(a_failure_that_is_told_on_the_next_connection_is_not_tried_again, 3)
{
    SERVER(s);
    struct report r = {0}, status = {0};
    struct peer first = {0};

    peer_open(&first, &s, 1);
    peer_ask(&first, report_first(&r, "web-1"));
    struct ft_hash hash = server_desires(&s, 1, 7, "x");
    TRUE(offers(peer_next(&first), &hash));
    peer_close(&first);
    TASK_UNTIL(server_liveness(&s, 1) == FT_LIVENESS_STALE);

    PEER(p, &s, 1);
    p.seq = 1;
    TRUE(is_plain(peer_ask(&p, report_config(&status, &hash, FT_STATUS_APPLYING, ""))));
    TRUE(is_plain(peer_ask(&p, report_config(&status, &hash, FT_STATUS_FAILED, "no"))));
    TRUE(is_plain(peer_beat(&p)));
    server_desires(&s, 1, 8, "x");
    TRUE(offers(peer_next(&p), &hash));
}

SIM_TEST(a_failure_of_something_else_does_not_count_for_the_newest_assignment, 3)
{
    SERVER(s);
    PEER(p, &s, 1);
    struct report r = {0}, status = {0};

    peer_ask(&p, report_first(&r, "web-1"));
    struct ft_hash bad = server_desires(&s, 1, 1, "bad");
    TRUE(offers(peer_next(&p), &bad));
    struct ft_hash good = server_desires(&s, 1, 2, "good");
    TRUE(offers(peer_next(&p), &good));
    peer_ask(&p, report_config(&status, &bad, FT_STATUS_FAILED, "bad"));
    struct ft_agent *a = ft_agent_lock(s.registry, &p.uid);
    EQ(a->failed, 0);
    ft_agent_unlock(s.registry, a);
}

SIM_TEST(only_the_newest_of_a_burst_is_offered_to_who_was_away, 3)
{
    SERVER(s);
    struct report r = {0};
    struct peer first = {0};
    struct ft_hash hash = {{0}};

    peer_open(&first, &s, 1);
    peer_ask(&first, report_first(&r, "web-1"));
    peer_close(&first);
    TASK_UNTIL(server_liveness(&s, 1) == FT_LIVENESS_STALE);
    for (unsigned i = 1; i <= 20; i++) {
        char body[8];
        snprintf(body, sizeof(body), "%u", i);
        hash = server_desires(&s, 1, i, body);
    }
    PEER(p, &s, 1);
    TRUE(offers(peer_ask(&p, report_first(&r, "web-1")), &hash));
    TRUE(is_plain(peer_beat(&p)));
    EQ(atomic_load(&s.sessions->pushes), 1);
}

/* Each is as large as the output's high mark, and the peer reads nothing. */
SIM_TEST(who_reads_slowly_gets_the_newest_and_not_each, 3)
{
    enum { LEN = 40000, N = 200 };
    SERVER(s);
    PEER(p, &s, 1);
    struct report r = {0};
    static char body[LEN + 1];
    struct ft_hash hash = {{0}};
    unsigned read = 0;

    peer_ask(&p, report_first(&r, "web-1"));
    memset(body, 'x', LEN);
    for (unsigned i = 1; i <= N; i++) {
        snprintf(body, 8, "%07u", i);
        body[7] = 'x';
        hash = server_desires(&s, 1, i, body);
        OK(rn_yield());
    }
    for (;;) {
        const Opamp__Proto__ServerToAgent *m = peer_next(&p);
        TRUE(m && m->remote_config);
        read++;
        if (memcmp(m->remote_config->config_hash.data, hash.bytes, FT_HASH_LEN) == 0)
            break;
    }
    LT(read, N / 2);
    TRUE(is_plain(peer_beat(&p)));
}

/* ---- the heartbeat interval ---- */

static void expect_offer(const Opamp__Proto__ServerToAgent *m)
{
    const Opamp__Proto__ConnectionSettingsOffers *o = m->connection_settings;

    EQ(o->hash.len, FT_HASH_LEN);
    TRUE(!o->own_metrics && !o->own_traces && !o->own_logs && !o->n_other_connections);
    EQ(o->opamp->heartbeat_interval_seconds, HEARTBEAT_S);
    TRUE(!o->opamp->headers && !o->opamp->certificate && !o->opamp->tls && !o->opamp->proxy);
    STREQ(o->opamp->destination_endpoint, "");
}

SIM_TEST(the_interval_is_offered_once_to_who_does_not_report_on_it, 3)
{
    SERVER(s);
    struct report r = {0};

    for (unsigned i = 0; i < 3; i++) {
        struct peer p = {.capabilities = CAPS_BEAT};
        peer_open(&p, &s, 1);
        const Opamp__Proto__ServerToAgent *m = peer_ask(&p, report_first(&r, "web-1"));
        if (i == 0)
            expect_offer(m);
        else
            TRUE(!m->connection_settings);
        TRUE(is_plain(peer_beat(&p)));
        peer_close(&p);
        TASK_UNTIL(server_liveness(&s, 1) == FT_LIVENESS_STALE);
    }
}

SIM_TEST(who_reports_has_it_when_it_says_so, 3)
{
    SERVER(s);
    struct report r = {0}, status = {0};
    struct peer first = {.capabilities = CAPS_ALL};

    peer_open(&first, &s, 1);
    const Opamp__Proto__ServerToAgent *m = peer_ask(&first, report_first(&r, "web-1"));
    expect_offer(m);
    TRUE(is_plain(peer_beat(&first))); /* once per connection, whatever it says */
    peer_close(&first);
    TASK_UNTIL(server_liveness(&s, 1) == FT_LIVENESS_STALE);

    struct peer p = {.capabilities = CAPS_ALL, .seq = 2};
    peer_open(&p, &s, 1);
    expect_offer(peer_beat(&p));
    struct ft_hash hash;
    ft_outbox_settings_hash(HEARTBEAT_S, &hash);
    TRUE(is_plain(peer_ask(&p, report_settings(&status, ft_hash_slice(&hash), FT_STATUS_APPLIED))));
    struct ft_agent *a = ft_agent_lock(s.registry, &p.uid);
    EQ(a->interval, HEARTBEAT_S * RN_S);
    ft_agent_unlock(s.registry, a);
    peer_close(&p);
    TASK_UNTIL(server_liveness(&s, 1) == FT_LIVENESS_STALE);

    struct peer again = {.capabilities = CAPS_ALL, .seq = 4};
    peer_open(&again, &s, 1);
    TRUE(is_plain(peer_beat(&again)));
    /* It lost its settings, and says so in its whole state: by another hash, or by none. */
    report_first(&r, "web-1");
    peer_ask(&again, report_settings(&r, S(""), FT_STATUS_UNSET));
    peer_close(&again);
    TASK_UNTIL(server_liveness(&s, 1) == FT_LIVENESS_STALE);
    struct peer lost = {.capabilities = CAPS_ALL, .seq = 6};
    peer_open(&lost, &s, 1);
    expect_offer(peer_beat(&lost));
    peer_close(&lost);
}

SIM_TEST(who_cannot_change_its_interval_is_not_asked_to, 3)
{
    SERVER(s);
    static const uint64_t caps[] = {CAPS_MIN, CAPS_MIN | FT_AGENT_REPORTS_HEARTBEAT,
                                    CAPS_MIN | FT_AGENT_ACCEPTS_OPAMP_CONNECTION_SETTINGS};

    for (unsigned i = 0; i < 3; i++) {
        struct report r = {0};
        struct peer p = {.capabilities = caps[i]};
        peer_open(&p, &s, i + 1);
        TRUE(is_plain(peer_ask(&p, report_first(&r, "web-1"))));
        struct ft_agent *a = ft_agent_lock(s.registry, &p.uid);
        EQ(a->interval, FT_INTERVAL_DEFAULT);
        ft_agent_unlock(s.registry, a);
        peer_close(&p);
    }
}

/* ---- acks ---- */

static const uint8_t boot[FT_BOOT_LEN] = {9, 9, 9};

static const Opamp__Proto__ServerToAgent *send_samples(struct peer *p, uint64_t first, unsigned n)
{
    CLEANUP(ft_buf_fini) struct ft_buf data = FT_BUF_INIT(4096);
    Opamp__Proto__CustomMessage custom = OPAMP__PROTO__CUSTOM_MESSAGE__INIT;
    message m = OPAMP__PROTO__AGENT_TO_SERVER__INIT;
    struct ft_sample samples[4] = {0};

    for (unsigned i = 0; i < n; i++)
        samples[i] = (struct ft_sample){.seq = first + i,
                                        .timestamp_ms = 1000,
                                        .process_name = S("shipper"),
                                        .host_name = S("web-1"),
                                        .ip = S("127.0.0.1"),
                                        .cmd = S("./shipper")};
    OK(ft_metrics_encode(boot, samples, n, &data));
    custom.capability = (char *)(uintptr_t)FT_CAPABILITY_PROCESS_METRICS;
    custom.type = (char *)(uintptr_t)FT_TYPE_PROCESS_METRICS;
    custom.data = (ProtobufCBinaryData){data.len, data.data};
    m.custom_message = &custom;
    return peer_ask(p, &m);
}

static void expect_ack(const Opamp__Proto__ServerToAgent *m, uint64_t seq)
{
    struct ft_metrics_ack ack;

    STREQ(m->custom_message->capability, FT_CAPABILITY_PROCESS_METRICS);
    STREQ(m->custom_message->type, FT_TYPE_METRICS_ACK);
    OK(ft_metrics_ack_decode(rn_slice(m->custom_message->data.data, m->custom_message->data.len),
                             &ack, NULL));
    EQ(ack.seq, seq);
    MEMEQ(ack.boot_id, boot, FT_BOOT_LEN);
}

SIM_TEST(an_ack_rides_in_the_reply_and_is_told_once, 3)
{
    SERVER(s); /* without exporters, so a sample is decided when it is offered */
    PEER(p, &s, 1);
    struct report r = {0};

    peer_ask(&p, report_first(&r, "web-1"));
    expect_ack(send_samples(&p, 1, 1), 1);
    expect_ack(send_samples(&p, 2, 3), 4);
    TRUE(is_plain(peer_beat(&p)));
}

SIM_TEST(of_several_acks_the_newest_is_told, 3)
{
    SERVER(s);
    PEER(p, &s, 1);
    struct report r = {0};
    struct ft_uuid boot_uid;

    memcpy(boot_uid.bytes, boot, sizeof(boot));
    peer_ask(&p, report_first(&r, "web-1"));
    expect_ack(send_samples(&p, 1, 1), 1);
    ft_sessions_ack(s.registry, &p.uid, &boot_uid, 5);
    ft_sessions_ack(s.registry, &p.uid, &boot_uid, 8);
    expect_ack(peer_beat(&p), 8);
    TRUE(is_plain(peer_beat(&p)));
    ft_sessions_ack(s.registry, &(struct ft_uuid){{77}}, &boot_uid, 1); /* of nobody */
}

SIM_TEST(an_ack_that_came_while_the_agent_was_away_is_told_when_it_is_back, 3)
{
    SERVER(s);
    struct report r = {0};
    struct peer first = {0};
    struct ft_uuid boot_uid;

    memcpy(boot_uid.bytes, boot, sizeof(boot));
    peer_open(&first, &s, 1);
    peer_ask(&first, report_first(&r, "web-1"));
    expect_ack(send_samples(&first, 1, 1), 1);
    peer_close(&first);
    TASK_UNTIL(server_liveness(&s, 1) == FT_LIVENESS_STALE);
    ft_sessions_ack(s.registry, &first.uid, &boot_uid, 2);

    PEER(p, &s, 1);
    p.seq = 2;
    expect_ack(peer_beat(&p), 2);
}

SIM_TEST(an_ack_and_a_configuration_may_go_together, 3)
{
    SERVER(s);
    struct report r = {0};
    struct peer first = {0};

    peer_open(&first, &s, 1);
    peer_ask(&first, report_first(&r, "web-1"));
    peer_close(&first);
    TASK_UNTIL(server_liveness(&s, 1) == FT_LIVENESS_STALE);
    struct ft_hash hash = server_desires(&s, 1, 1, "x");

    PEER(p, &s, 1);
    p.seq = 1;
    const Opamp__Proto__ServerToAgent *m = send_samples(&p, 1, 2);
    expect_ack(m, 2);
    TRUE(offers(m, &hash));
    TRUE(m->capabilities != 0);
}

SIM_TEST(samples_that_make_no_sense_are_answered_and_nothing_else, 3)
{
    SERVER(s);
    PEER(p, &s, 1);
    Opamp__Proto__CustomMessage custom = OPAMP__PROTO__CUSTOM_MESSAGE__INIT;
    message m = OPAMP__PROTO__AGENT_TO_SERVER__INIT;
    struct report r = {0};

    peer_ask(&p, report_first(&r, "web-1"));
    custom.capability = (char *)(uintptr_t)FT_CAPABILITY_PROCESS_METRICS;
    custom.type = (char *)(uintptr_t)FT_TYPE_PROCESS_METRICS;
    custom.data = (ProtobufCBinaryData){3, (uint8_t *)(uintptr_t) "\xff\xff\xff"};
    m.custom_message = &custom;
    TRUE(is_plain(peer_ask(&p, &m)));
    custom.type = (char *)(uintptr_t) "SomethingNew";
    TRUE(is_plain(peer_ask(&p, &m)));
    custom.capability = (char *)(uintptr_t) "com.example.other";
    TRUE(is_plain(peer_ask(&p, &m)));
}

SIM_TEST(another_heartbeat_is_offered_at_once_and_counts_once_it_is_taken, 3)
{
    SERVER(s);
    struct report r = {0}, status = {0};
    struct peer p = {.capabilities = CAPS_ALL};
    struct ft_hash old, hash;

    peer_open(&p, &s, 1);
    expect_offer(peer_ask(&p, report_first(&r, "web-1")));
    ft_outbox_settings_hash(HEARTBEAT_S, &old);
    ft_outbox_settings_hash(HEARTBEAT_S + 1, &hash);
    OK(ft_sessions_set_heartbeat(s.sessions, HEARTBEAT_S + 1));
    const Opamp__Proto__ServerToAgent *m = peer_next(&p);
    NE(m->connection_settings, NULL);
    EQ(m->connection_settings->opamp->heartbeat_interval_seconds, HEARTBEAT_S + 1);
    MEMEQ(m->connection_settings->hash.data, hash.bytes, FT_HASH_LEN);

    /* the answer to the old offer comes late, and is not taken for one to the new */
    TRUE(is_plain(peer_ask(&p, report_settings(&status, ft_hash_slice(&old), FT_STATUS_APPLIED))));
    struct ft_agent *a = ft_agent_lock(s.registry, &p.uid);
    NE(a->interval, (HEARTBEAT_S + 1) * RN_S);
    ft_agent_unlock(s.registry, a);
    TRUE(is_plain(peer_ask(&p, report_settings(&status, ft_hash_slice(&hash), FT_STATUS_APPLIED))));
    a = ft_agent_lock(s.registry, &p.uid);
    EQ(a->interval, (HEARTBEAT_S + 1) * RN_S);
    ft_agent_unlock(s.registry, a);
    OK(ft_sessions_set_heartbeat(s.sessions, HEARTBEAT_S + 1)); /* it has that one */
    peer_hears_nothing(&p, 2 * RN_S);
    peer_close(&p);
}
