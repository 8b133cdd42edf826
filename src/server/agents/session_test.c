/* What comes: replies, sequence, full state, goodbye, refusals. */
#include "agents/testing.h"

#include <string.h>

#define OURS                                                                                       \
    (FT_SERVER_ACCEPTS_STATUS | FT_SERVER_OFFERS_REMOTE_CONFIG |                                   \
     FT_SERVER_ACCEPTS_EFFECTIVE_CONFIG | FT_SERVER_OFFERS_CONNECTION_SETTINGS)

static bool asks_for_all(const Opamp__Proto__ServerToAgent *m)
{
    return m->flags & FT_SERVER_FLAG_REPORT_FULL_STATE;
}

/* Let the next token come, so that the flag is in the reply itself. */
static void let_tokens_come(void)
{
    OK(rn_sleep(rn_after(5 * RN_MS)));
}

SIM_TEST(the_first_reply_tells_what_the_server_can_and_later_ones_do_not, 3)
{
    SERVER(s);
    PEER(p, &s, 1);
    struct report r = {0};

    const Opamp__Proto__ServerToAgent *m = peer_ask(&p, report_first(&r, "web-1"));
    EQ(m->capabilities, OURS);
    MEMEQ(m->instance_uid.data, p.uid.bytes, 16);
    EQ(m->custom_capabilities->n_capabilities, 1);
    STREQ(m->custom_capabilities->capabilities[0], FT_CAPABILITY_PROCESS_METRICS);
    m = peer_beat(&p);
    EQ(m->capabilities, 0);
    TRUE(is_plain(m) && !m->custom_capabilities);
    MEMEQ(m->instance_uid.data, p.uid.bytes, 16);
}

SIM_TEST(each_message_has_exactly_one_reply, 3)
{
    SERVER(s);
    PEER(p, &s, 1);
    struct report r = {0};
    message beat = OPAMP__PROTO__AGENT_TO_SERVER__INIT;

    peer_send(&p, report_first(&r, "web-1"));
    for (int i = 0; i < 50; i++)
        peer_send(&p, &beat);
    for (int i = 0; i < 51; i++)
        TRUE(is_plain(peer_next(&p)));
    peer_hears_nothing(&p, 4 * RN_S);
}

SIM_TEST(a_whole_first_message_is_not_asked_for_more, 3)
{
    SERVER(s);
    PEER(p, &s, 1);
    struct report r = {0};

    p.capabilities = CAPS_ALL;
    p.seq = 77;
    EQ(peer_ask(&p, report_first(&r, "web-1"))->flags, 0);
    EQ(peer_beat(&p)->flags, 0);
}

SIM_TEST(an_unknown_agent_is_asked_for_its_full_state_once, 3)
{
    SERVER(s);
    PEER(p, &s, 1);
    struct report r = {0};

    TRUE(asks_for_all(peer_beat(&p)));
    TRUE(!asks_for_all(peer_beat(&p)));
    TRUE(!asks_for_all(peer_beat(&p)));
    TRUE(!asks_for_all(peer_ask(&p, report_first(&r, "web-1"))));
    TRUE(!asks_for_all(peer_beat(&p)));
}

SIM_TEST(what_was_not_answered_is_asked_again_on_the_next_connection, 3)
{
    SERVER(s);
    struct report r = {0};
    struct peer first = {0};

    peer_open(&first, &s, 1);
    TRUE(asks_for_all(peer_beat(&first)));
    peer_close(&first);
    TASK_UNTIL(server_liveness(&s, 1) == FT_LIVENESS_STALE);

    PEER(p, &s, 1);
    p.seq = 1;
    let_tokens_come();
    TRUE(asks_for_all(peer_beat(&p)));
    TRUE(!asks_for_all(peer_ask(&p, report_first(&r, "web-1"))));
}

SIM_TEST(a_gap_in_the_numbers_asks_for_the_full_state, 3)
{
    SERVER(s);
    PEER(p, &s, 1);
    struct report r = {0};

    peer_ask(&p, report_first(&r, "web-1"));
    peer_beat(&p);
    p.seq++;
    TRUE(asks_for_all(peer_beat(&p)));
    peer_ask(&p, report_first(&r, "web-1"));
    p.seq -= 2;
    let_tokens_come();
    TRUE(asks_for_all(peer_beat(&p)));
}

SIM_TEST(a_reconnect_that_continues_the_numbers_is_asked_nothing, 3)
{
    SERVER(s);
    struct report r = {0};
    struct peer first = {0};

    peer_open(&first, &s, 1);
    peer_ask(&first, report_first(&r, "web-1"));
    peer_close(&first);
    TASK_UNTIL(server_liveness(&s, 1) == FT_LIVENESS_STALE);

    PEER(p, &s, 1);
    p.seq = 1;
    const Opamp__Proto__ServerToAgent *m = peer_beat(&p);
    TRUE(!asks_for_all(m));
    EQ(m->capabilities, OURS);
    EQ(server_liveness(&s, 1), FT_LIVENESS_ONLINE);
}

/* opamp-go leaves out what it does not have, whatever its capabilities promise. */
SIM_TEST(the_answer_to_the_flag_is_whole_whatever_it_leaves_out, 3)
{
    SERVER(s);
    PEER(p, &s, 1);
    struct report r = {0};

    p.capabilities = CAPS_ALL;
    report_whole(&r, "web-1");
    r.m.health = NULL;
    TRUE(asks_for_all(peer_ask(&p, &r.m)));
    TRUE(!asks_for_all(peer_ask(&p, &r.m)));
    p.seq += 5;
    let_tokens_come();
    TRUE(asks_for_all(peer_beat(&p)));
}

SIM_TEST(what_the_whole_state_leaves_out_is_gone, 3)
{
    SERVER(s);
    PEER(p, &s, 1);
    struct report r = {0};
    struct ft_hash hash = {{7}};

    p.capabilities = CAPS_ALL;
    report_whole(&r, "web-1");
    peer_ask(&p, report_config(&r, &hash, FT_STATUS_APPLIED, ""));
    p.seq++;
    TRUE(asks_for_all(peer_beat(&p)));
    report_whole(&r, "web-1");
    r.m.effective_config = NULL;
    peer_ask(&p, &r.m);

    CLEANUP(ft_agent_snapshot_fini) struct ft_agent_snapshot now = server_snapshot(&s, 1);
    TRUE(!now.has_reported_hash && !now.has_effective_hash && !now.effective);
    TRUE(now.has_applied_hash && now.health == NULL); /* an empty one is as good as none */
}

SIM_TEST(the_record_has_what_was_reported, 3)
{
    SERVER(s);
    PEER(p, &s, 1);
    struct report r = {0};
    struct ft_uuid changed;
    struct ft_hash hash = {{7}};

    p.capabilities = CAPS_ALL;
    p.seq = 41;
    report_whole(&r, "web-1");
    r.health.healthy = true;
    r.health.status = (char *)(uintptr_t) "running";
    peer_ask(&p, report_config(&r, &hash, FT_STATUS_FAILED, "no such luck"));
    peer_beat(&p);

    CLEANUP(ft_agent_snapshot_fini) struct ft_agent_snapshot now = server_snapshot(&s, 1);
    EQ(now.sequence_num, 42);
    EQ(now.capabilities, CAPS_ALL);
    EQ(now.liveness, FT_LIVENESS_ONLINE);
    EQ(now.transport, FT_TRANSPORT_TCP);
    TRUE(now.description && now.health && now.has_effective_hash);
    MEMEQ(now.reported_hash.bytes, hash.bytes, FT_HASH_LEN);
    TRUE(rn_slice_eq_str(ft_blob_slice(now.status_error), "no such luck"));
    EQ(now.status, FT_STATUS_UNSET); /* nothing is desired */
    OK(rn_rx_try_recv(s.changed, &changed));
    TRUE(ft_uuid_eq(&changed, &p.uid));
    ERR(rn_rx_try_recv(s.changed, &changed), EAGAIN);

    peer_ask(&p, report_first(&r, "web-2"));
    OK(rn_rx_try_recv(s.changed, &changed));
    peer_ask(&p, report_first(&r, "web-2"));
    ERR(rn_rx_try_recv(s.changed, &changed), EAGAIN);
}

/* An enumeration is open: these are what a hostile or a newer agent may send. */
SIM_TEST(statuses_out_of_range_are_unset, 3)
{
    SERVER(s);
    PEER(p, &s, 1);
    struct ft_registry_counts counts;
    static const int strange[] = {-1, 4, 255, 256, INT32_MIN, INT32_MAX};

    for (size_t i = 0; i < sizeof(strange) / sizeof(strange[0]); i++) {
        struct report r = {0};
        report_whole(&r, "web-1");
        peer_ask(&p, &r.m);
        struct ft_hash hash = server_desires(&s, 1, 1, "x");
        report_whole(&r, "web-1");
        report_settings(&r, S("short"), (enum ft_status)strange[i]);
        peer_ask(&p, report_config(&r, &hash, (enum ft_status)strange[i], ""));
        EQ(server_status(&s, 1), FT_STATUS_UNSET);
        ft_registry_counts(s.registry, &counts);
        EQ(counts.status[FT_STATUS_UNSET], 1);
        /* What was pushed meanwhile is read away. */
        while (rnet_stream_read(p.stream, &(uint8_t){0}, 1, rn_after(RN_MS)) > 0)
            ;
    }
}

SIM_TEST(goodbye_is_answered_and_means_offline_at_once, 3)
{
    SERVER(s);
    struct report r = {0};
    Opamp__Proto__AgentDisconnect goodbye = OPAMP__PROTO__AGENT_DISCONNECT__INIT;
    message m = OPAMP__PROTO__AGENT_TO_SERVER__INIT;

    m.agent_disconnect = &goodbye;
    for (unsigned i = 0; i < 5; i++) { /* and who comes back takes nothing over */
        PEER(p, &s, 1);
        EQ(peer_ask(&p, report_first(&r, "web-1"))->capabilities, OURS);
        server_desires(&s, 1, i + 1, "x");
        if (i % 2)
            TRUE(peer_next(&p)->remote_config);
        const Opamp__Proto__ServerToAgent *reply = peer_ask(&p, &m);
        if (i % 2 == 0 && reply->remote_config)
            reply = peer_next(&p);
        TRUE(is_plain(reply) && !reply->flags);
        EQ(server_liveness(&s, 1), FT_LIVENESS_OFFLINE);
        TRUE(peer_is_cut(&p));
    }
}

SIM_TEST(a_connection_that_is_lost_makes_the_agent_stale, 3)
{
    SERVER(s);
    struct report r = {0};
    struct peer p = {0};

    peer_open(&p, &s, 1);
    peer_ask(&p, report_first(&r, "web-1"));
    peer_close(&p);
    TASK_UNTIL(server_liveness(&s, 1) != FT_LIVENESS_ONLINE);
    EQ(server_liveness(&s, 1), FT_LIVENESS_STALE);
}

/* ---- refusals ---- */

static void expect_refusal(struct peer *p, int type)
{
    const Opamp__Proto__ServerToAgent *m = peer_next(p);

    EQ(m->error_response->type, type);
    TRUE(strlen(m->error_response->error_message) > 0);
    /* alone */
    TRUE(!m->remote_config && !m->connection_settings && !m->custom_message && !m->flags &&
         !m->capabilities && !m->agent_identification && !m->custom_capabilities);
    EQ(m->error_response->details_case == OPAMP__PROTO__SERVER_ERROR_RESPONSE__DETAILS_RETRY_INFO,
       type == OPAMP__PROTO__SERVER_ERROR_RESPONSE_TYPE__ServerErrorResponseType_Unavailable);
    TRUE(peer_is_cut(p));
}
#define BAD_REQUEST OPAMP__PROTO__SERVER_ERROR_RESPONSE_TYPE__ServerErrorResponseType_BadRequest
#define UNAVAILABLE OPAMP__PROTO__SERVER_ERROR_RESPONSE_TYPE__ServerErrorResponseType_Unavailable

SIM_TEST(bad_frames_are_refused_and_hung_up_on, 3)
{
    static const struct {
        const char *bytes;
        size_t n;
    } bad[] = {
        {"\0\0\0\0", 4},             /* no header at all */
        {"\0\0\0\1\1", 5},           /* a header that is not 0 */
        {"\0\0\0\2\x80\x80", 6},     /* one without an end */
        {"\0\0\0\3\0\x0a\x10", 7},   /* a field that ends too early */
        {"\0\0\0\6\0\x0a\3abc", 10}, /* a uid of three bytes */
        {"\0\0\0\1\0", 5},           /* no uid */
        {"\0\2\0\0", 4},             /* larger than message_max */
        {"GET / HTTP/1.1\r\n\r\n", 18},
    };
    SERVER(s);

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        test_note("case %zu", i);
        PEER(p, &s, 1);
        peer_send_raw(&p, bad[i].bytes, bad[i].n);
        expect_refusal(&p, BAD_REQUEST);
    }
    test_note(NULL);
    EQ(atomic_load(&s.sessions->messages[FT_TRANSPORT_TCP][FT_KIND_malformed]), 8);
}

SIM_TEST(a_uid_of_zeros_is_nobodys, 3)
{
    SERVER(s);
    PEER(p, &s, 1);
    message m = OPAMP__PROTO__AGENT_TO_SERVER__INIT;

    p.uid = (struct ft_uuid){{0}};
    peer_send(&p, &m);
    expect_refusal(&p, BAD_REQUEST);
}

SIM_TEST(silence_after_the_accept_is_refused_after_five_seconds, 3)
{
    SERVER(s);
    PEER(p, &s, 1);
    rn_time begin = rn_now();

    peer_send_raw(&p, "\0\0", 2);
    expect_refusal(&p, BAD_REQUEST);
    LE(rn_now() - begin, 6 * RN_S);
}

SIM_TEST(a_second_uid_on_one_connection_is_refused, 3)
{
    SERVER(s);
    PEER(p, &s, 1);
    message m = OPAMP__PROTO__AGENT_TO_SERVER__INIT;

    peer_beat(&p);
    p.uid = uuid_of(2);
    peer_send(&p, &m);
    expect_refusal(&p, BAD_REQUEST);
    TASK_UNTIL(server_liveness(&s, 1) == FT_LIVENESS_STALE);
}

SIM_TEST(without_memory_for_decoding_the_agent_shall_come_back_later, 3)
{
    SERVER(s);
    PEER(p, &s, 1);
    PEER(other, &s, 2);
    struct report r = {0};

    peer_beat(&other);
    s.budget.max = 100;
    peer_send(&p, report_first(&r, "web-1"));
    expect_refusal(&p, UNAVAILABLE);
    peer_beat(&other); /* the others are not concerned */
}

SIM_TEST(an_effective_configuration_with_too_many_objects_is_refused, 3)
{
    SERVER(s);
    PEER(p, &s, 1);
    enum { N = FT_OBJECTS_MAX + 1 };
    struct report r = {0};
    Opamp__Proto__AgentConfigObject object = OPAMP__PROTO__AGENT_CONFIG_OBJECT__INIT;
    Opamp__Proto__AgentConfigMap__ConfigMapEntry entries[N], *pointers[N];
    char names[N][8];

    report_first(&r, "web-1");
    for (int i = 0; i < N; i++) {
        opamp__proto__agent_config_map__config_map_entry__init(&entries[i]);
        snprintf(names[i], sizeof(names[i]), "%d", i);
        entries[i].key = names[i];
        entries[i].value = &object;
        pointers[i] = &entries[i];
    }
    r.map.config_map = pointers;
    r.map.n_config_map = N;
    peer_send(&p, &r.m);
    expect_refusal(&p, BAD_REQUEST);
}

static int drain(void *arg)
{
    return ft_sessions_drain(((struct server *)arg)->sessions, rn_after(10 * RN_S));
}

SIM_TEST(a_drain_sends_all_agents_away_for_a_while, 3)
{
    SERVER(s);
    PEER(p, &s, 1);
    PEER(silent, &s, 2);
    struct rn_scope scope;

    peer_beat(&p);
    OK(rn_scope_open(RN_SCOPE_WAIT_ALL, &scope));
    OK(rn_go(scope, drain, &s, NULL, 0));
    const Opamp__Proto__ServerToAgent *m = peer_next(&p);
    EQ(m->error_response->type, UNAVAILABLE);
    TRUE(m->error_response->retry_info->retry_after_nanoseconds > 0);
    TRUE(peer_is_cut(&p));
    expect_refusal(&silent, UNAVAILABLE);
    peer_close(&p);
    peer_close(&silent);
    OK(rn_scope_wait(scope));
    OK(rn_scope_close(scope));
    EQ(server_liveness(&s, 1), FT_LIVENESS_STALE);
}

/* ---- the herd ---- */

SIM_TEST(a_herd_is_asked_for_its_state_at_five_hundred_a_second, 1)
{
    enum { N = 60 };
    SERVER(s);
    struct peer peers[N] = {0};
    message beat = OPAMP__PROTO__AGENT_TO_SERVER__INIT;
    unsigned at_once = 0;
    rn_time begin = rn_now();

    for (unsigned i = 0; i < N; i++) {
        peer_open(&peers[i], &s, i + 1);
        peer_send(&peers[i], &beat);
    }
    for (unsigned i = 0; i < N; i++)
        at_once += asks_for_all(peer_next(&peers[i]));
    GE(at_once, 1);
    LT(at_once, N);
    /* The rest comes in messages of their own, in the order of arrival. */
    for (unsigned i = at_once; i < N; i++)
        TRUE(asks_for_all(peer_next(&peers[i])));
    GE(rn_now() - begin, (N - 2) * 2 * RN_MS);
    for (unsigned i = 0; i < N; i++)
        peer_close(&peers[i]);
}
