/* The ring alone: what is kept, in which order, and who is woken. */
#include "events.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include <harness/task_test.h>

#include <runnel/task.h>

#include <base/cleanup.h>

static void publish(struct ft_events *e, uint32_t version, const char *name, const char *text)
{
    ft_events_publish(e, &(struct ft_event){.change = FT_EVENT_config_version,
                                            .version = version,
                                            .name = rn_slice_str(name),
                                            .text = rn_slice_str(text)});
}

/* What stands at `number` is the event that publish() made with this version and text. */
static void expect(struct ft_events *e, size_t place, uint64_t number, uint32_t version,
                   const char *text)
{
    struct ft_event_copy c;

    EQ(ft_events_read(e, place, number, &c), 1);
    EQ(c.event.number, number);
    EQ(c.event.version, version);
    EQ(c.event.change, FT_EVENT_config_version);
    TRUE(rn_slice_eq_str(c.event.text, text));
    TRUE(c.event.time_ms > 0);
}

TASK_TEST(events_are_numbered_from_1_and_read_as_they_were_published)
{
    CLEANUP(ft_events_freep) struct ft_events *e = NULL;
    struct ft_event in = {.change = FT_EVENT_config_status,
                          .state = 3,
                          .has_hash = true,
                          .timed_out = true,
                          .version = 7,
                          .agent = {{1, 2, 3}},
                          .hash = {{9, 8, 7}},
                          .name = RN_SLICE_LITERAL("web"),
                          .text = RN_SLICE_LITERAL("why")};
    struct ft_event_copy c;
    size_t place;

    OK(ft_events_new(NULL, &e));
    OK(ft_events_join(e, RNET_CONN_NONE, &place));
    EQ(ft_events_last(e), 0);
    EQ(ft_events_read(e, place, 1, &c), 0);
    ft_events_publish(e, &in);
    EQ(ft_events_last(e), 1);
    EQ(ft_events_read(e, place, 1, &c), 1);
    EQ(c.event.change, FT_EVENT_config_status);
    EQ(ft_event_type(&c.event), FT_EVENT_TYPE_config);
    EQ(c.event.state, 3);
    TRUE(c.event.has_hash && c.event.timed_out);
    EQ(c.event.version, 7);
    TRUE(ft_uuid_eq(&c.event.agent, &in.agent));
    TRUE(ft_hash_eq(&c.event.hash, &in.hash));
    TRUE(rn_slice_eq_str(c.event.name, "web") && rn_slice_eq_str(c.event.text, "why"));
    EQ(ft_events_read(e, place, 2, &c), 0);
    EQ(ft_events_read(e, place, 0, &c), -ESTALE);
    ft_events_leave(e, place);
}

TASK_TEST(the_oldest_go_when_there_are_too_many)
{
    CLEANUP(ft_events_freep) struct ft_events *e = NULL;
    struct ft_event_copy c;
    size_t place;

    OK(ft_events_new(&(struct ft_events_bounds){.records = 8}, &e));
    OK(ft_events_join(e, RNET_CONN_NONE, &place));
    for (uint32_t i = 1; i <= 100; i++) {
        publish(e, i, "n", "t");
        for (uint32_t k = i > 8 ? i - 7 : 1; k <= i; k++)
            expect(e, place, k, k, "t");
        if (i > 8)
            EQ(ft_events_read(e, place, i - 8, &c), -ESTALE);
    }
    ft_events_leave(e, place);
}

TASK_TEST(the_oldest_go_when_they_have_too_many_bytes_and_what_stays_is_whole)
{
    CLEANUP(ft_events_freep) struct ft_events *e = NULL;
    struct ft_event_copy c;
    char text[FT_EVENT_TEXT_MAX + 1] = "";
    size_t place;

    OK(ft_events_new(&(struct ft_events_bounds){.bytes = 3000}, &e));
    OK(ft_events_join(e, RNET_CONN_NONE, &place));
    for (uint32_t i = 1; i <= 2000; i++) {
        uint64_t oldest = i;
        snprintf(text, sizeof(text), "%0*u", (int)(i * 37 % 500 + 5), i);
        publish(e, i, "name", text);
        while (oldest > 1 && ft_events_read(e, place, oldest - 1, &c) == 1)
            oldest--;
        TRUE(i - oldest + 1 <= 3000 / 80);
        TRUE(i - oldest + 1 >= (i < 4 ? i : 4)); /* the longest has some 600 */
        for (uint64_t k = oldest; k <= i; k++) {
            snprintf(text, sizeof(text), "%0*u", (int)(k * 37 % 500 + 5), (unsigned)k);
            expect(e, place, k, (uint32_t)k, text);
        }
    }
    ft_events_leave(e, place);
}

TASK_TEST(texts_are_cut_between_characters)
{
    CLEANUP(ft_events_freep) struct ft_events *e = NULL;
    struct ft_event_copy c;
    char text[3 * FT_EVENT_TEXT_MAX + 1] = "", name[FT_EVENT_NAME_MAX + 11];
    size_t place;

    for (size_t i = 0; i < FT_EVENT_TEXT_MAX; i++)
        memcpy(text + 3 * i, "\xe2\x82\xac", 4);
    memset(name, 'n', sizeof(name) - 1);
    name[sizeof(name) - 1] = '\0';
    OK(ft_events_new(NULL, &e));
    OK(ft_events_join(e, RNET_CONN_NONE, &place));
    publish(e, 1, name, text);
    EQ(ft_events_read(e, place, 1, &c), 1);
    EQ(c.event.name.len, FT_EVENT_NAME_MAX);
    EQ(c.event.text.len, FT_EVENT_TEXT_MAX / 3 * 3);
    ft_events_leave(e, place);
}

TASK_TEST(places_are_bounded_and_an_end_is_told_after_the_last_event)
{
    CLEANUP(ft_events_freep) struct ft_events *e = NULL;
    struct ft_event_copy c;
    size_t a, b, none;

    OK(ft_events_new(&(struct ft_events_bounds){.followers = 2}, &e));
    OK(ft_events_join(e, RNET_CONN_NONE, &a));
    OK(ft_events_join(e, RNET_CONN_NONE, &b));
    ERR(ft_events_join(e, RNET_CONN_NONE, &none), EBUSY);
    EQ(ft_events_read(e, a, 1, &c), 0); /* waits, and leaves */
    ft_events_leave(e, a);
    OK(ft_events_join(e, RNET_CONN_NONE, &a));
    publish(e, 1, "n", "t");
    ft_events_end(e);
    TRUE(ft_events_ended(e));
    EQ(ft_events_read(e, b, 1, &c), 1);
    ERR(ft_events_read(e, b, 2, &c), ESHUTDOWN);
    ERR(ft_events_join(e, RNET_CONN_NONE, &none), ESHUTDOWN);
    ft_events_leave(e, a);
    ft_events_leave(e, b);
}

TASK_TEST(every_start_has_a_name_of_its_own)
{
    CLEANUP(ft_events_freep) struct ft_events *a = NULL, *b = NULL;

    OK(ft_events_new(NULL, &a));
    OK(ft_events_new(NULL, &b));
    NE(ft_events_boot(a), ft_events_boot(b));
}

/* ---- many publish, many read ---- */

#define PUBLISHERS 4
#define EACH 500

struct crowd {
    struct ft_events *e;
    _Atomic uint32_t who;
};

static int publish_many(void *arg)
{
    struct crowd *crowd = arg;
    uint32_t who = atomic_fetch_add(&crowd->who, 1);

    for (uint32_t i = 0; i < EACH; i++) {
        publish(crowd->e, who * EACH + i, "n", "t");
        if (i % 16 == 0)
            OK(rn_yield());
    }
    return 0;
}

static int read_all(void *arg)
{
    struct crowd *crowd = arg;
    uint32_t next[PUBLISHERS] = {0};
    struct ft_event_copy c;
    size_t place;

    OK(ft_events_join(crowd->e, RNET_CONN_NONE, &place));
    for (uint64_t n = 1; n <= PUBLISHERS * EACH;) {
        int r = ft_events_read(crowd->e, place, n, &c);
        if (r == 0) {
            OK(rn_yield());
            continue;
        }
        EQ(r, 1);
        uint32_t who = c.event.version / EACH;
        EQ(c.event.version % EACH, next[who]++); /* each one's in its order */
        n++;
    }
    ft_events_leave(crowd->e, place);
    return 0;
}

TASK_TEST(every_reader_sees_every_event_of_many_publishers_once)
{
    CLEANUP(ft_events_freep) struct ft_events *e = NULL;
    struct crowd crowd = {0};
    struct rn_scope scope;

    OK(ft_events_new(NULL, &e));
    crowd.e = e;
    OK(rn_scope_open(RN_SCOPE_WAIT_ALL, &scope));
    for (int i = 0; i < PUBLISHERS; i++) {
        OK(rn_go(scope, publish_many, &crowd, NULL, 0));
        OK(rn_go(scope, read_all, &crowd, NULL, 0));
    }
    OK(rn_scope_wait(scope));
    OK(rn_scope_close(scope));
}
