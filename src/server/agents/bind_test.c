/* Which agent a connection speaks for. */
#include "agents/testing.h"

SIM_TEST(a_second_connection_takes_the_agent_over_and_the_first_is_closed, 3)
{
    SERVER(s);
    PEER(old, &s, 1);
    PEER(new, &s, 1);
    struct report r = {0};

    peer_ask(&old, report_first(&r, "web-1"));
    new.seq = 1;
    TRUE(is_plain(peer_beat(&new)));
    TRUE(peer_is_cut(&old));
    TRUE(is_plain(peer_beat(&new)));
    EQ(server_liveness(&s, 1), FT_LIVENESS_ONLINE);

    struct ft_hash hash = server_desires(&s, 1, 1, "x");
    TRUE(offers(peer_next(&new), &hash));
}

static struct ft_uuid expect_new_uid(const Opamp__Proto__ServerToAgent *m,
                                     const struct ft_uuid *old)
{
    struct ft_uuid uid;

    OK(ft_uuid_from_bytes(rn_slice(m->agent_identification->new_instance_uid.data,
                                   m->agent_identification->new_instance_uid.len),
                          &uid));
    MEMEQ(m->instance_uid.data, old->bytes, 16);
    TRUE(!ft_uuid_eq(&uid, old));
    return uid;
}

SIM_TEST(the_third_take_over_within_a_minute_is_a_clone_and_gets_a_uid_of_its_own, 3)
{
    SERVER(s);
    struct peer peers[4] = {0};
    struct report r = {0};

    for (int i = 0; i < 4; i++) {
        OK(rn_sleep(rn_after(19 * RN_S)));
        peer_open(&peers[i], &s, 1);
        if (i < 3)
            TRUE(!peer_ask(&peers[i], report_first(&r, "web-1"))->agent_identification);
    }
    for (int i = 0; i < 2; i++)
        TRUE(peer_is_cut(&peers[i]));
    struct ft_uuid uid =
        expect_new_uid(peer_ask(&peers[3], report_first(&r, "web-1")), &peers[3].uid);
    peer_beat(&peers[2]); /* who was there before is left alone */
    peers[3].uid = uid;
    TRUE(is_plain(peer_ask(&peers[3], report_first(&r, "web-1"))));
    struct ft_registry_counts counts;
    ft_registry_counts(s.registry, &counts);
    EQ(counts.agents[FT_LIVENESS_ONLINE], 2);
    for (int i = 0; i < 4; i++)
        peer_close(&peers[i]);
}

SIM_TEST(an_agent_that_reconnects_now_and_then_is_no_clone, 3)
{
    SERVER(s);
    struct peer last = {0};
    struct report r = {0};

    for (int i = 0; i < 8; i++) { /* without the server noticing the loss */
        struct peer next = {0};
        OK(rn_sleep(rn_after(31 * RN_S)));
        peer_open(&next, &s, 1);
        TRUE(!peer_ask(&next, report_first(&r, "web-1"))->agent_identification);
        peer_close(&last);
        last = next;
    }
    peer_close(&last);
}

SIM_TEST(who_asks_for_a_uid_gets_one_and_comes_back_with_it, 3)
{
    SERVER(s);
    PEER(p, &s, 1);
    message m = OPAMP__PROTO__AGENT_TO_SERVER__INIT;
    struct report r = {0};
    struct ft_agent_snapshot none;

    m.flags = FT_AGENT_FLAG_REQUEST_INSTANCE_UID;
    const Opamp__Proto__ServerToAgent *reply = peer_ask(&p, &m);
    TRUE(reply->capabilities != 0 && !reply->flags);
    struct ft_uuid temporary = p.uid;
    p.uid = expect_new_uid(reply, &temporary);
    TRUE(is_plain(peer_ask(&p, report_first(&r, "web-1"))));
    ERR(ft_registry_snapshot(s.registry, &temporary, &none), ENOENT);
}

SIM_TEST(also_in_the_middle_of_a_connection, 3)
{
    SERVER(s);
    PEER(p, &s, 1);
    struct report r = {0};

    peer_ask(&p, report_first(&r, "web-1"));
    report_first(&r, "web-1");
    r.m.flags = FT_AGENT_FLAG_REQUEST_INSTANCE_UID;
    struct ft_uuid old = p.uid;
    p.uid = expect_new_uid(peer_ask(&p, &r.m), &old);
    EQ(server_liveness(&s, 1), FT_LIVENESS_STALE);
    TRUE(is_plain(peer_ask(&p, report_first(&r, "web-1"))));
}

SIM_TEST(who_gets_a_uid_and_never_uses_it_is_hung_up_on, 3)
{
    SERVER(s);
    PEER(p, &s, 1);
    message m = OPAMP__PROTO__AGENT_TO_SERVER__INIT;

    m.flags = FT_AGENT_FLAG_REQUEST_INSTANCE_UID;
    peer_ask(&p, &m);
    OK(rn_sleep(rn_after(125 * RN_S)));
    TRUE(peer_is_cut(&p));
}
