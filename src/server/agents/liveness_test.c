#include "agents/testing.h"

TEST(a_heartbeat_is_missed_half_an_interval_after_it_was_due)
{
    static const struct {
        rn_time silent, interval;
        unsigned missed;
    } rows[] = {
        {0, 30 * RN_S, 0},
        {-5, 30 * RN_S, 0}, /* seen by another thread after the clock was read */
        {30 * RN_S, 30 * RN_S, 0},
        {45 * RN_S - 1, 30 * RN_S, 0},
        {45 * RN_S, 30 * RN_S, 1},
        {75 * RN_S - 1, 30 * RN_S, 1},
        {75 * RN_S, 30 * RN_S, 2},
        {105 * RN_S - 1, 30 * RN_S, 2},
        {105 * RN_S, 30 * RN_S, 3},
        /* but never less than 2 s */
        {3 * RN_S - 1, RN_S, 0},
        {3 * RN_S, RN_S, 1},
        {4 * RN_S, RN_S, 2},
        {5 * RN_S, RN_S, 3},
        {6 * RN_S, 4 * RN_S, 1},
        {7500 * RN_MS - 1, 5 * RN_S, 0},
        {7500 * RN_MS, 5 * RN_S, 1},
        {2 * FT_INTERVAL_MAX, FT_INTERVAL_MAX, 1},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        test_note("row %zu", i);
        EQ(ft_heartbeats_missed(rows[i].silent, rows[i].interval), rows[i].missed);
    }
}

/* The liveness task looks twice a second. */
#define LOOK RN_S

SIM_TEST(who_falls_silent_is_stale_then_offline_and_is_hung_up_on, 5)
{
    SERVER(s);
    PEER(p, &s, 1);
    rn_time begin = rn_now();

    peer_beat(&p);
    EQ(server_liveness(&s, 1), FT_LIVENESS_ONLINE);
    OK(rn_sleep(begin + 45 * RN_S - LOOK));
    EQ(server_liveness(&s, 1), FT_LIVENESS_ONLINE);
    OK(rn_sleep(begin + 45 * RN_S + LOOK));
    EQ(server_liveness(&s, 1), FT_LIVENESS_STALE);
    OK(rn_sleep(begin + 105 * RN_S - LOOK));
    EQ(server_liveness(&s, 1), FT_LIVENESS_STALE);
    OK(rn_sleep(begin + 105 * RN_S + LOOK));
    EQ(server_liveness(&s, 1), FT_LIVENESS_OFFLINE);
    while (!peer_is_cut(&p)) /* after the request for full state's companions, if any */
        ;
    EQ(server_liveness(&s, 1), FT_LIVENESS_OFFLINE);
}

SIM_TEST(who_is_heard_again_is_online_again, 5)
{
    SERVER(s);
    PEER(p, &s, 1);
    struct report r = {0};

    peer_ask(&p, report_first(&r, "web-1"));
    OK(rn_sleep(rn_after(50 * RN_S)));
    EQ(server_liveness(&s, 1), FT_LIVENESS_STALE);
    peer_beat(&p);
    EQ(server_liveness(&s, 1), FT_LIVENESS_ONLINE);
    OK(rn_sleep(rn_after(40 * RN_S)));
    EQ(server_liveness(&s, 1), FT_LIVENESS_ONLINE);
}

SIM_TEST(a_lost_agent_is_offline_when_it_stays_away, 5)
{
    SERVER(s);
    struct peer p = {0};

    peer_open(&p, &s, 1);
    peer_beat(&p);
    peer_close(&p);
    OK(rn_sleep(rn_after(5 * RN_S)));
    EQ(server_liveness(&s, 1), FT_LIVENESS_STALE);
    OK(rn_sleep(rn_after(102 * RN_S)));
    EQ(server_liveness(&s, 1), FT_LIVENESS_OFFLINE);
}

SIM_TEST(the_interval_that_was_taken_is_what_counts, 5)
{
    SERVER(s);
    PEER(p, &s, 1);
    struct report r = {0};

    p.capabilities = CAPS_BEAT; /* no status on connection settings: the offer counts */
    TRUE(peer_ask(&p, report_first(&r, "web-1"))->connection_settings);
    OK(rn_sleep(rn_after((HEARTBEAT_S + HEARTBEAT_S / 2) * RN_S + LOOK)));
    EQ(server_liveness(&s, 1), FT_LIVENESS_STALE);
}

SIM_TEST(applying_without_news_reads_failed_after_a_while, 5)
{
    SERVER(s);
    PEER(p, &s, 1);
    struct report r = {0}, status = {0};

    peer_ask(&p, report_first(&r, "web-1"));
    struct ft_hash hash = server_desires(&s, 1, 1, "x");
    TRUE(offers(peer_next(&p), &hash));
    peer_ask(&p, report_config(&status, &hash, FT_STATUS_APPLYING, ""));
    EQ(server_status(&s, 1), FT_STATUS_APPLYING);
    for (int i = 0; i < 5; i++) { /* heartbeats are no news of it */
        OK(rn_sleep(rn_after(11 * RN_S)));
        TRUE(is_plain(peer_beat(&p)));
    }
    EQ(server_status(&s, 1), FT_STATUS_APPLYING);
    OK(rn_sleep(rn_after(6 * RN_S)));
    CLEANUP(ft_agent_snapshot_fini) struct ft_agent_snapshot now = server_snapshot(&s, 1);
    EQ(now.status, FT_STATUS_FAILED);
    TRUE(now.timed_out);

    /* It is not offered again for that, but with the next assignment. */
    TRUE(is_plain(peer_beat(&p)));
    server_desires(&s, 1, 2, "x");
    TRUE(offers(peer_next(&p), &hash));
    /* And what it says after all is believed. */
    peer_ask(&p, report_config(&status, &hash, FT_STATUS_APPLIED, ""));
    EQ(server_status(&s, 1), FT_STATUS_APPLIED);
}
